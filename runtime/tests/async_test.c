// Work that is handed over: calls return before it is done, chains need no host, the last
// reference may be anybody's. Runs on every driver; those without a thread do it in the call.
#include "check.h"
#include "platform/platform.h"

typedef struct fixture_t {
  mlirage_device_t* device;
  mlirage_executable_t* kernels;
  bool threaded;
} fixture_t;

static mlirage_command_buffer_t* record_one(const fixture_t* fixture, size_t entry, uint32_t workgroups) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(fixture->device, 1);
  const mlirage_slot_range_t range = {0, 0, 256};
  dispatch(commands, fixture->kernels, entry, workgroups, 0, NULL, 1, &range);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  return commands;
}

static void submit(const fixture_t* fixture, mlirage_fence_t* wait, mlirage_fence_t* signal,
                   mlirage_command_buffer_t* commands, mlirage_buffer_t* buffer) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_binding_t binding = {buffer, 0, 256};
  CHECK_OK(mlirage_queue_execute(fixture->device, wait, signal, commands, 1, &binding, MLIRAGE_QUEUE_ASYNC, &error));
}

// Device code waits for what the host writes after the call has returned.
static void test_returns_before(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(fixture->device, 256);
  uint32_t* cells = memory_of(buffer);
  mlirage_command_buffer_t* commands = record_one(fixture, KERNEL_GATE, 1);
  for (uint32_t i = 0; i < 50; ++i) {
    mlirage_fence_t* done = create_fence(fixture->device);
    __atomic_store_n(&cells[0], fixture->threaded ? 0u : 3u, __ATOMIC_RELEASE);
    submit(fixture, NULL, done, commands, buffer);
    if (fixture->threaded) {
      CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(done, &error));
      CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait(done, 10000, &error));
      __atomic_store_n(&cells[0], 3u, __ATOMIC_RELEASE);
    }
    // With a limit: the waiting thread does not take part.
    CHECK_OK(mlirage_fence_wait(done, 60000000000u, &error));
    CHECK(cells[1] == 3 * (i + 1));
    mlirage_fence_release(done);
  }
  const mlirage_binding_t binding = {buffer, 0, 256};
  if (fixture->threaded) {
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
                mlirage_queue_execute(fixture->device, NULL, NULL, commands, 1, &binding, MLIRAGE_QUEUE_ASYNC, &error));
  }
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffer);
}

// A chain behind a gate: every call returns, one wait at the end; fences released on the way.
static void test_chain(const fixture_t* fixture, const counting_t* counting) {
  enum { LENGTH = 100 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* gate = allocate(fixture->device, 256);
  uint32_t* cells = memory_of(gate);
  mlirage_command_buffer_t* wait_for_host = record_one(fixture, KERNEL_GATE, 1);
  mlirage_command_buffer_t* commands = record_one(fixture, KERNEL_COUNT, 64);
  long allocations = 0;
  for (int round = 0; round < 6; ++round) {
    if (round == 3) allocations = counting->allocations;
    __atomic_store_n(&cells[0], fixture->threaded ? 0u : 1u, __ATOMIC_RELEASE);
    mlirage_fence_t* last = create_fence(fixture->device);
    submit(fixture, NULL, last, wait_for_host, gate);
    mlirage_buffer_t* buffer = NULL;
    mlirage_fence_t* ready = create_fence(fixture->device);
    CHECK_OK(mlirage_queue_alloca(fixture->device, last, ready, 256, &buffer, &error));
    memset(memory_of(buffer), 0, 256);
    mlirage_fence_release(last);
    last = ready;
    for (int i = 0; i < LENGTH; ++i) {
      mlirage_fence_t* next = create_fence(fixture->device);
      submit(fixture, last, next, commands, buffer);
      mlirage_fence_release(last);
      last = next;
    }
    if (fixture->threaded) CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(last, &error));
    __atomic_store_n(&cells[0], 1u, __ATOMIC_RELEASE);
    CHECK_OK(mlirage_fence_wait(last, MLIRAGE_WAIT_FOREVER, &error));
    const uint32_t* counts = memory_of(buffer);
    for (int i = 0; i < 64; ++i) CHECK(counts[i] == LENGTH);
    CHECK_OK(mlirage_queue_dealloca(fixture->device, last, NULL, buffer, &error));
    mlirage_buffer_release(buffer);
    mlirage_fence_release(last);
  }
  // Chains of work take nothing from the system once the pool is warm.
  CHECK(counting->allocations == allocations);
  mlirage_command_buffer_release(wait_for_host);
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(gate);
}

// A failure in the middle is that of all that follows.
static void test_failure(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(fixture->device, 0);
  const uint32_t which = 3;
  dispatch(commands, fixture->kernels, KERNEL_FAIL, 10, 1, &which, 0, NULL);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  mlirage_fence_t* failed = create_fence(fixture->device);
  CHECK_OK(mlirage_queue_execute(fixture->device, NULL, failed, commands, 0, NULL, MLIRAGE_QUEUE_ASYNC, &error));
  mlirage_fence_t* next = create_fence(fixture->device);
  CHECK_OK(mlirage_queue_execute(fixture->device, failed, next, commands, 0, NULL, MLIRAGE_QUEUE_ASYNC, &error));
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_wait(next, MLIRAGE_WAIT_FOREVER, &error));
  CHECK(strcmp(error.text, "dispatch 'fail_at' failed with code 7") == 0);
  mlirage_fence_release(failed);
  mlirage_fence_release(next);
  mlirage_command_buffer_release(commands);
}

// Many hosts hand over at once, and wait in all the ways there are.
static void hand_over(void* argument) {
  const fixture_t* fixture = argument;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(fixture->device, 256);
  mlirage_command_buffer_t* commands = record_one(fixture, KERNEL_COUNT, 64);
  mlirage_fence_t* last = NULL;
  for (uint32_t i = 1; i <= 300; ++i) {
    mlirage_fence_t* next = create_fence(fixture->device);
    submit(fixture, last, next, commands, buffer);
    mlirage_fence_release(last);
    last = next;
    size_t index = 0;
    switch (i % 16) {
      case 0: CHECK_OK(mlirage_fence_wait(last, MLIRAGE_WAIT_FOREVER, &error)); break;
      case 5: CHECK_OK(mlirage_fence_wait(last, 60000000000u, &error)); break;
      case 11: CHECK_OK(mlirage_fence_wait_any(1, &last, MLIRAGE_WAIT_FOREVER, &index, &error)); break;
      default: continue;
    }
    CHECK(((const uint32_t*)memory_of(buffer))[63] == i);
  }
  CHECK_OK(mlirage_fence_wait(last, MLIRAGE_WAIT_FOREVER, &error));
  mlirage_fence_release(last);
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffer);
}

static void test_hosts(fixture_t* fixture) {
  mlirage_thread_t threads[3];
  for (int i = 0; i < 3; ++i) {
    CHECK(mlirage_platform_thread_create(hand_over, fixture, "host", MLIRAGE_ANY_CORE, &threads[i]) == MLIRAGE_OK);
  }
  for (int i = 0; i < 3; ++i) mlirage_platform_thread_join(&threads[i]);
}

// Everything is released while the work runs: the device ends itself, on its own thread.
static void test_forgotten(const char* driver, uint32_t workers) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  for (int i = 0; i < 20; ++i) {
    counting_t counting = {0, 0, 0};
    mlirage_device_t* device = create_device(driver, counting_allocator(&counting), workers);
    const fixture_t fixture = {device, load_kernels(device), strcmp(driver, "local-task") == 0};
    uint32_t cells[64] = {fixture.threaded ? 0 : 1};  // of the host: they outlive the device
    mlirage_buffer_t* buffer = NULL;
    CHECK_OK(mlirage_buffer_import(device, (mlirage_mutable_bytes_t){(uint8_t*)cells, sizeof(cells)},
                                   (mlirage_release_callback_t){NULL, NULL}, &buffer, &error));
    mlirage_command_buffer_t* commands = record_one(&fixture, KERNEL_GATE, 1);
    mlirage_fence_t* done = create_fence(device);
    submit(&fixture, NULL, done, commands, buffer);
    mlirage_fence_release(done);
    mlirage_buffer_release(buffer);
    mlirage_command_buffer_release(commands);
    mlirage_executable_release(fixture.kernels);
    if (i % 2 == 0) {
      if (fixture.threaded) __atomic_store_n(&cells[0], 1u, __ATOMIC_RELEASE);
      mlirage_device_wait_idle(device);
      mlirage_device_release(device);
    } else {
      mlirage_device_release(device);
      if (fixture.threaded) __atomic_store_n(&cells[0], 1u, __ATOMIC_RELEASE);
      while (__atomic_load_n(&counting.live, __ATOMIC_ACQUIRE) != 0) {
        uint32_t word = 0;
        mlirage_platform_wait(&word, 0, 1000000);
      }
    }
    CHECK(__atomic_load_n(&counting.live, __ATOMIC_ACQUIRE) == 0);
  }
}

static void test_driver(const char* driver, uint32_t workers) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device(driver, counting_allocator(&counting), workers);
  fixture_t fixture = {device, load_kernels(device), strcmp(driver, "local-task") == 0};
  test_returns_before(&fixture);
  test_chain(&fixture, &counting);
  test_failure(&fixture);
  test_hosts(&fixture);
  mlirage_executable_release(fixture.kernels);
  mlirage_device_wait_idle(device);
  mlirage_device_release(device);
  CHECK(counting.live == 0);
  test_forgotten(driver, workers);
}

void test_async(void) {
  test_driver("local-sync", 1);
  for (uint32_t workers = 1; workers <= 4; workers *= 2) test_driver("local-task", workers);
}
