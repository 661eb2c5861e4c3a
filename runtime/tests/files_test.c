// Files: of the system, by descriptor and in memory; reading, writing, ranges, the queue.
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <unistd.h>

#include "check.h"

static int releases;
static void count_release(void* self, mlirage_mutable_bytes_t memory) {
  CHECK(self == &releases && memory.size == 100);
  ++releases;
}

// Writes, reads back at other places, refuses what is outside.
static void test_file(mlirage_device_t* device, mlirage_file_t* file, bool grows) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(device, 64);
  uint8_t* bytes = memory_of(buffer);
  for (uint8_t i = 0; i < 64; ++i) bytes[i] = i;
  CHECK_OK(mlirage_queue_write(device, NULL, NULL, buffer, 10, file, 50, 40, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(grows ? MLIRAGE_OK : MLIRAGE_OUT_OF_RANGE,
              mlirage_queue_write(device, NULL, NULL, buffer, 0, file, 90, 11, MLIRAGE_QUEUE_DEFAULT, &error));
  memset(bytes, 0xee, 64);
  mlirage_fence_t* gate = create_fence(device);
  mlirage_fence_t* done = create_fence(device);
  CHECK_OK(mlirage_queue_read(device, gate, done, file, 60, buffer, 5, 20, MLIRAGE_QUEUE_ASYNC, &error));
  CHECK(bytes[5] == 0xee);
  mlirage_fence_signal(gate);
  CHECK_OK(mlirage_fence_wait(done, MLIRAGE_WAIT_FOREVER, &error));
  for (uint8_t i = 0; i < 20; ++i) CHECK(bytes[5 + i] == 20 + i);
  CHECK(bytes[4] == 0xee && bytes[25] == 0xee);
  mlirage_fence_release(gate);
  mlirage_fence_release(done);
  uint64_t length = 0;
  CHECK_OK(mlirage_file_length(file, &length, &error));
  CHECK(length == (grows ? 101 : 100));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_queue_read(device, NULL, NULL, file, 95, buffer, 0, 10, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_queue_read(device, NULL, NULL, file, UINT64_MAX, buffer, 0, 1, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_queue_read(device, NULL, NULL, file, 0, buffer, 60, 5, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_OK(mlirage_queue_read(device, NULL, NULL, file, 0, buffer, 64, 0, MLIRAGE_QUEUE_DEFAULT, &error));
  mlirage_buffer_release(buffer);
}

static void test_driver(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_file_t* file = NULL;
  char path[] = "/tmp/mlirage-files-XXXXXX";
  const int descriptor = mkstemp(path);
  CHECK(descriptor >= 0);
  CHECK_OK(mlirage_file_open(device, path, MLIRAGE_FILE_WRITE, &file, &error));
  test_file(device, file, true);
  mlirage_file_release(file);
  CHECK(ftruncate(descriptor, 0) == 0);
  CHECK_OK(mlirage_file_from_descriptor(device, descriptor, MLIRAGE_FILE_WRITE, &file, &error));
  close(descriptor);  // the file has its own
  test_file(device, file, true);
  mlirage_file_release(file);
  CHECK_OK(mlirage_file_open(device, path, MLIRAGE_FILE_READ, &file, &error));
  mlirage_buffer_t* buffer = allocate(device, 8);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_queue_write(device, NULL, NULL, buffer, 0, file, 0, 8, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_OK(mlirage_queue_read(device, NULL, NULL, file, 60, buffer, 0, 8, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK(*(const uint8_t*)memory_of(buffer) == 20);
  mlirage_buffer_release(buffer);
  mlirage_file_release(file);
  CHECK(unlink(path) == 0);
  CHECK_FAILS(MLIRAGE_NOT_FOUND, mlirage_file_open(device, path, MLIRAGE_FILE_READ, &file, &error));
  CHECK_FAILS(MLIRAGE_IO, mlirage_file_open(device, "/tmp/", MLIRAGE_FILE_WRITE, &file, &error));
  CHECK_FAILS(MLIRAGE_IO, mlirage_file_from_descriptor(device, -1, MLIRAGE_FILE_READ, &file, &error));
  CHECK(file == NULL);

  uint8_t memory[100] = {0};
  const mlirage_mutable_bytes_t bytes = {memory, sizeof(memory)};
  releases = 0;
  CHECK_OK(mlirage_file_import(device, bytes, (mlirage_release_callback_t){count_release, &releases},
                               MLIRAGE_FILE_WRITE, &file, &error));
  test_file(device, file, false);
  CHECK(memory[50] == 10 && releases == 0);
  mlirage_file_release(file);
  mlirage_device_wait_idle(device);
  CHECK(releases == 1);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_file_import(device, (mlirage_mutable_bytes_t){NULL, 1}, (mlirage_release_callback_t){NULL, NULL},
                                  MLIRAGE_FILE_READ, &file, &error));
}

void test_files(void) {
  static const char* const drivers[] = {"null", "local-sync", "local-task"};
  for (uint32_t d = 0; d < 3; ++d) {
    counting_t counting = {0, 0, 0};
    mlirage_device_t* device = create_device(drivers[d], counting_allocator(&counting), d == 2 ? 2 : 1);
    test_driver(device);
    mlirage_device_wait_idle(device);
    mlirage_device_release(device);
    CHECK(counting.live == 0);
  }
}
