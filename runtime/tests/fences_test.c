// Fences: signalling, failing, joining, waiting from other threads, and the queue's
// operations that wait.
#include "check.h"
#include "platform/platform.h"

typedef struct noted_t {
  mlirage_fence_waiter_t waiter;
  int calls;
  mlirage_status_t status;
} noted_t;

static void note(mlirage_fence_waiter_t* waiter, mlirage_status_t status) {
  noted_t* noted = (noted_t*)waiter;
  ++noted->calls;
  noted->status = status;
}

static void test_signal(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_fence_t* fence = create_fence(device);
  noted_t noted = {{NULL, note}, 0, MLIRAGE_OK};
  mlirage_fence_notify(fence, &noted.waiter);
  CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(fence, &error));
  CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait(fence, 0, &error));
  CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait(fence, 1000000, &error));
  mlirage_fence_signal(fence);
  mlirage_error_t late = {MLIRAGE_IO, "late"};
  mlirage_fence_fail(fence, MLIRAGE_IO, &late);  // ignored
  CHECK_OK(mlirage_fence_query(fence, &error));
  CHECK(noted.calls == 1 && noted.status == MLIRAGE_OK);
  mlirage_fence_notify(fence, &noted.waiter);
  CHECK(noted.calls == 2);
  CHECK_OK(mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, &error));
  mlirage_fence_release(fence);
  CHECK_OK(mlirage_fence_wait(NULL, 0, &error));

  fence = create_fence(device);
  const mlirage_error_t failure = {MLIRAGE_ABORTED, "kernel said no"};
  mlirage_fence_fail(fence, MLIRAGE_ABORTED, &failure);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, &error));
  CHECK(strcmp(error.text, "kernel said no") == 0);
  mlirage_fence_release(fence);
}

static void test_join(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_fence_t* a = create_fence(device);
  mlirage_fence_t* b = create_fence(device);
  mlirage_fence_t* joined = NULL;
  mlirage_fence_t* const none[2] = {NULL, NULL};
  CHECK_OK(mlirage_fence_join(2, none, &joined, &error));
  CHECK(joined == NULL);
  mlirage_fence_t* const all[4] = {a, NULL, b, a};
  CHECK_OK(mlirage_fence_join(4, all, &joined, &error));
  mlirage_fence_signal(a);
  CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(joined, &error));
  mlirage_fence_t* rest = NULL;
  CHECK_OK(mlirage_fence_join(4, all, &rest, &error));
  CHECK(rest == b);
  mlirage_fence_release(rest);
  mlirage_fence_signal(b);
  CHECK_OK(mlirage_fence_query(joined, &error));
  mlirage_fence_release(joined);
  mlirage_fence_release(a);
  mlirage_fence_release(b);

  a = create_fence(device);
  b = create_fence(device);
  mlirage_fence_t* const two[2] = {a, b};
  CHECK_OK(mlirage_fence_join(2, two, &joined, &error));
  const mlirage_error_t failure = {MLIRAGE_ABORTED, "b failed"};
  mlirage_fence_fail(b, MLIRAGE_ABORTED, &failure);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(joined, &error));
  CHECK(strcmp(error.text, "b failed") == 0);
  mlirage_fence_signal(a);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(joined, &error));
  mlirage_fence_release(joined);
  mlirage_fence_release(a);
  mlirage_fence_release(b);
}

static void signal_later(void* argument) {
  mlirage_fence_t* fence = argument;
  uint32_t word = 0;
  mlirage_platform_wait(&word, 0, 2000000);
  mlirage_fence_signal(fence);
  mlirage_fence_release(fence);
}

static void test_threads(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  for (int i = 0; i < 20; ++i) {
    mlirage_fence_t* fence = create_fence(device);
    mlirage_fence_retain(fence);
    mlirage_thread_t thread;
    CHECK(mlirage_platform_thread_create(signal_later, fence, "signal", MLIRAGE_ANY_CORE, &thread) == MLIRAGE_OK);
    CHECK_OK(mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, &error));
    mlirage_platform_thread_join(&thread);
    mlirage_fence_release(fence);
  }
}

// A chain of operations of which each waits for the one before; longer than any stack
// would stand if they ran inside each other.
static void test_chain(mlirage_device_t* device) {
  enum { LENGTH = 20000 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(device, 8);
  mlirage_command_buffer_t* commands = record(device, 1);
  CHECK_OK(mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 8}, 0x0102030405060708u, 8, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  const mlirage_binding_t binding = {buffer, 0, 8};
  mlirage_fence_t* first = create_fence(device);
  mlirage_fence_t* last = first;
  mlirage_fence_retain(last);
  for (int i = 0; i < LENGTH; ++i) {
    mlirage_fence_t* next = create_fence(device);
    CHECK_OK(mlirage_queue_execute(device, last, next, commands, 1, &binding, MLIRAGE_QUEUE_DEFAULT, &error));
    mlirage_fence_release(last);
    last = next;
  }
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_queue_execute(device, last, NULL, commands, 1, &binding, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(last, &error));
  uint64_t value = 0;
  CHECK_OK(mlirage_buffer_read(buffer, 0, &value, 8, &error));
  CHECK(value == 0);
  mlirage_fence_signal(first);
  CHECK_OK(mlirage_fence_wait(last, MLIRAGE_WAIT_FOREVER, &error));
  CHECK_OK(mlirage_buffer_read(buffer, 0, &value, 8, &error));
  CHECK(value == 0x0102030405060708u);
  mlirage_fence_release(first);
  mlirage_fence_release(last);
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffer);
}

// Failures travel along the chain; memory is given back all the same.
static void test_failed_wait(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  for (int early = 0; early < 2; ++early) {
    mlirage_fence_t* wait = create_fence(device);
    mlirage_fence_t* signals[3] = {create_fence(device), create_fence(device), create_fence(device)};
    const mlirage_error_t failure = {MLIRAGE_ABORTED, "first failed"};
    if (early) mlirage_fence_fail(wait, MLIRAGE_ABORTED, &failure);
    mlirage_buffer_t* buffer = NULL;
    CHECK_OK(mlirage_queue_alloca(device, wait, signals[0], 64, &buffer, &error));
    mlirage_command_buffer_t* commands = record(device, 0);
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    CHECK_OK(mlirage_queue_execute(device, signals[0], signals[1], commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
    CHECK_OK(mlirage_queue_dealloca(device, signals[1], signals[2], buffer, &error));
    if (!early) mlirage_fence_fail(wait, MLIRAGE_ABORTED, &failure);
    for (int i = 0; i < 3; ++i) {
      CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(signals[i], &error));
      CHECK(strcmp(error.text, "first failed") == 0);
      mlirage_fence_release(signals[i]);
    }
    mlirage_mutable_bytes_t memory;
    CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, mlirage_buffer_map(buffer, MLIRAGE_MAP_READ, 0, 1, &memory, &error));
    mlirage_buffer_release(buffer);
    mlirage_command_buffer_release(commands);
    CHECK_FAILS(MLIRAGE_ABORTED, mlirage_queue_alloca(device, wait, NULL, 64, &buffer, &error));
    CHECK(buffer == NULL);
    mlirage_fence_release(wait);
  }
}

static void test_wait_many(mlirage_device_t* device) {
  enum { COUNT = 40 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_fence_t* fences[COUNT];
  for (int i = 0; i < COUNT; ++i) fences[i] = create_fence(device);
  size_t index = 0;
  for (size_t count = 1; count <= COUNT; count += 13) {
    CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait_any(count, fences, 0, &index, &error));
    CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait_any(count, fences, 100000, &index, &error));
    CHECK(index == count);
    CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait_all(count, fences, 100000, &error));
  }
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_fence_wait_any(0, fences, 0, &index, &error));
  CHECK_OK(mlirage_fence_wait_all(0, fences, 0, &error));
  mlirage_fence_retain(fences[33]);
  mlirage_thread_t thread;
  CHECK(mlirage_platform_thread_create(signal_later, fences[33], "signal", MLIRAGE_ANY_CORE, &thread) == MLIRAGE_OK);
  CHECK_OK(mlirage_fence_wait_any(COUNT, fences, MLIRAGE_WAIT_FOREVER, &index, &error));
  CHECK(index == 33);
  mlirage_platform_thread_join(&thread);
  const mlirage_error_t failure = {MLIRAGE_ABORTED, "seven"};
  mlirage_fence_fail(fences[7], MLIRAGE_ABORTED, &failure);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_wait_any(COUNT, fences, MLIRAGE_WAIT_FOREVER, &index, &error));
  CHECK(index == 7 && strcmp(error.text, "seven") == 0);
  mlirage_fence_t* const with_null[2] = {fences[0], NULL};
  CHECK_OK(mlirage_fence_wait_any(2, with_null, MLIRAGE_WAIT_FOREVER, &index, &error));
  CHECK(index == 1);
  for (int i = 0; i < COUNT; ++i) mlirage_fence_signal(fences[i]);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_wait_all(COUNT, fences, MLIRAGE_WAIT_FOREVER, &error));
  for (int i = 0; i < COUNT; ++i) mlirage_fence_release(fences[i]);
}

static void test_cancel(mlirage_device_t* device) {
  noted_t noted[3];
  mlirage_fence_t* fence = create_fence(device);
  for (int i = 0; i < 3; ++i) {
    noted[i] = (noted_t){{NULL, note}, 0, MLIRAGE_OK};
    mlirage_fence_notify(fence, &noted[i].waiter);
  }
  CHECK(mlirage_fence_cancel(fence, &noted[1].waiter));
  CHECK(!mlirage_fence_cancel(fence, &noted[1].waiter));
  mlirage_fence_signal(fence);
  CHECK(noted[0].calls == 1 && noted[1].calls == 0 && noted[2].calls == 1);
  CHECK(!mlirage_fence_cancel(fence, &noted[0].waiter));
  CHECK(!mlirage_fence_cancel(NULL, &noted[0].waiter));
  mlirage_fence_release(fence);
}

// What nobody can signal anymore fails, along the chain, and lets everything go.
static void test_abandoned(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(device, 1);
  CHECK_OK(mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 8}, 1, 8, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  mlirage_buffer_t* buffer = allocate(device, 8);
  const mlirage_binding_t binding = {buffer, 0, 8};
  mlirage_fence_t* first = create_fence(device);
  mlirage_fence_t* second = create_fence(device);
  mlirage_fence_t* third = create_fence(device);
  mlirage_fence_t* other = create_fence(device);
  mlirage_fence_t* joined = NULL;
  mlirage_fence_t* const both[2] = {second, other};
  CHECK_OK(mlirage_queue_execute(device, first, second, commands, 1, &binding, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_OK(mlirage_fence_join(2, both, &joined, &error));
  CHECK_OK(mlirage_queue_execute(device, joined, third, commands, 1, &binding, MLIRAGE_QUEUE_DEFAULT, &error));
  mlirage_fence_release(second);
  mlirage_fence_release(joined);
  CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(third, &error));
  mlirage_fence_release(first);
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(third, &error));
  CHECK(strcmp(error.text, "a fence was released before it was signalled") == 0);
  CHECK(*(const uint64_t*)memory_of(buffer) == 0);
  mlirage_fence_release(third);
  mlirage_fence_release(other);  // only now is nothing left of the join
  mlirage_buffer_release(buffer);
  mlirage_command_buffer_release(commands);
}

// Rings of operations are refused where they close, however long they are.
static void test_rings(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(device, 0);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
#define SUBMIT(wait, signal) \
  mlirage_queue_execute(device, (wait), (signal), commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error)
  mlirage_buffer_t* buffer = NULL;
  for (int length = 1; length <= 50; length += 7) {
    mlirage_fence_t* first = create_fence(device);
    mlirage_fence_t* last = first;
    mlirage_fence_retain(last);
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, SUBMIT(first, first));
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_queue_alloca(device, first, first, 8, &buffer, &error));
    for (int i = 0; i < length; ++i) {
      mlirage_fence_t* next = create_fence(device);
      mlirage_fence_t* other = create_fence(device);
      mlirage_fence_t* joined = NULL;
      CHECK_OK(SUBMIT(last, next));
      mlirage_fence_t* const both[2] = {next, other};
      CHECK_OK(mlirage_fence_join(2, both, &joined, &error));
      mlirage_fence_release(last);
      mlirage_fence_release(next);
      mlirage_fence_signal(other);
      mlirage_fence_release(other);
      last = joined;
    }
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, SUBMIT(last, first));
    CHECK(strstr(error.text, "would wait for itself") != NULL);
    mlirage_fence_t* free = create_fence(device);
    CHECK_OK(SUBMIT(last, free));  // no ring
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, SUBMIT(free, NULL));
    mlirage_fence_release(free);
    mlirage_fence_release(first);
    CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(last, &error));
    mlirage_fence_release(last);
  }
#undef SUBMIT
  mlirage_command_buffer_release(commands);
}

void test_fences(void) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device("local-sync", counting_allocator(&counting), 1);
  test_signal(device);
  test_join(device);
  test_threads(device);
  test_chain(device);
  test_failed_wait(device);
  test_wait_many(device);
  test_cancel(device);
  test_abandoned(device);
  test_rings(device);
  mlirage_device_release(device);
  CHECK(counting.live == 0);
}
