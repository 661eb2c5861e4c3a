// Timelines: reaching, failing, points as what work waits for and signals, from any thread.
#include "check.h"
#include "platform/platform.h"

static mlirage_semaphore_t* create_semaphore(mlirage_device_t* device, uint64_t value) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_semaphore_t* semaphore = NULL;
  CHECK_OK(mlirage_semaphore_create(device, value, &semaphore, &error));
  return semaphore;
}

static mlirage_fence_t* point(mlirage_semaphore_t* semaphore, uint64_t value) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_fence_t* fence = NULL;
  CHECK_OK(mlirage_semaphore_point(semaphore, value, &fence, &error));
  return fence;
}

static uint64_t value_of(mlirage_semaphore_t* semaphore) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  uint64_t value = 0;
  CHECK_OK(mlirage_semaphore_query(semaphore, &value, &error));
  return value;
}

static void test_values(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_semaphore_t* semaphore = create_semaphore(device, 5);
  CHECK(value_of(semaphore) == 5);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_semaphore_signal(semaphore, 5, &error));
  CHECK(strcmp(error.text, "signal of 5 at a semaphore that is at 5") == 0);
  CHECK_OK(mlirage_semaphore_wait(semaphore, 5, 0, &error));
  CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_semaphore_wait(semaphore, 6, 0, &error));
  CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_semaphore_wait(semaphore, 6, 100000, &error));
  mlirage_fence_t* points[4] = {point(semaphore, 10), point(semaphore, 7), point(semaphore, 5), point(semaphore, 7)};
  CHECK_OK(mlirage_fence_query(points[2], &error));
  CHECK_OK(mlirage_semaphore_signal(semaphore, 8, &error));
  CHECK_FAILS(MLIRAGE_PENDING, mlirage_fence_query(points[0], &error));
  CHECK_OK(mlirage_fence_query(points[1], &error));
  CHECK_OK(mlirage_fence_query(points[3], &error));
  // A point takes its timeline along, and never back.
  mlirage_fence_signal(points[0]);
  CHECK(value_of(semaphore) == 10);
  mlirage_fence_signal(points[1]);
  CHECK(value_of(semaphore) == 10);
  for (int i = 0; i < 4; ++i) mlirage_fence_release(points[i]);

  const mlirage_error_t failure = {MLIRAGE_ABORTED, "broken"};
  mlirage_fence_t* late = point(semaphore, UINT64_MAX);
  mlirage_semaphore_fail(semaphore, MLIRAGE_ABORTED, &failure);
  mlirage_semaphore_fail(semaphore, MLIRAGE_IO, NULL);  // the first stays
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_fence_query(late, &error));
  CHECK(strcmp(error.text, "broken") == 0);
  uint64_t value = 0;
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_semaphore_query(semaphore, &value, &error));
  CHECK(value == 10);
  CHECK_OK(mlirage_semaphore_wait(semaphore, 10, MLIRAGE_WAIT_FOREVER, &error));  // was reached
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_semaphore_wait(semaphore, 11, MLIRAGE_WAIT_FOREVER, &error));
  CHECK_FAILS(MLIRAGE_ABORTED, mlirage_semaphore_signal(semaphore, 11, &error));
  mlirage_fence_release(late);
  mlirage_semaphore_release(semaphore);
}

// A pipeline along one timeline: step i waits for i and takes it to i + 1; recorded in any order.
static void test_pipeline(mlirage_device_t* device) {
  enum { STEPS = 300 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_semaphore_t* semaphore = create_semaphore(device, 0);
  mlirage_buffer_t* buffer = allocate(device, STEPS * 4);
  for (uint32_t i = STEPS; i-- > 0;) {
    mlirage_command_buffer_t* commands = NULL;
    CHECK_OK(mlirage_command_buffer_create(device, true, 1, &commands, &error));
    // Each copies its predecessor's cell: the last is right only if all ran in order.
    if (i == 0) {
      CHECK_OK(mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 4}, 0x12345678, 4, &error));
    } else {
      CHECK_OK(mlirage_command_buffer_copy(commands, (mlirage_slot_range_t){0, (i - 1) * 4, 4},
                                           (mlirage_slot_range_t){0, i * 4, 4}, &error));
    }
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    mlirage_fence_t* wait = point(semaphore, i + 1);
    mlirage_fence_t* signal = point(semaphore, i + 2);
    const mlirage_binding_t binding = {buffer, 0, STEPS * 4};
    CHECK_OK(mlirage_queue_execute(device, wait, signal, commands, 1, &binding, MLIRAGE_QUEUE_ASYNC, &error));
    mlirage_fence_release(wait);  // the timeline keeps what waits
    mlirage_fence_release(signal);
    mlirage_command_buffer_release(commands);
  }
  CHECK(value_of(semaphore) == 0);
  CHECK_OK(mlirage_semaphore_signal(semaphore, 1, &error));
  CHECK_OK(mlirage_semaphore_wait(semaphore, STEPS + 1, MLIRAGE_WAIT_FOREVER, &error));
  CHECK(((const uint32_t*)memory_of(buffer))[STEPS - 1] == 0x12345678);
  mlirage_semaphore_release(semaphore);
  mlirage_buffer_release(buffer);
}

// Waiting with a limit leaves nothing behind that would keep the timeline.
static void test_given_up(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_semaphore_t* semaphore = create_semaphore(device, 0);
  mlirage_fence_t* points[2] = {point(semaphore, 1), point(semaphore, 2)};
  size_t index = 0;
  CHECK_FAILS(MLIRAGE_DEADLINE_EXCEEDED, mlirage_fence_wait_any(2, points, 100000, &index, &error));
  mlirage_fence_release(points[0]);
  mlirage_fence_release(points[1]);
  mlirage_semaphore_release(semaphore);
}

typedef struct counter_t {
  mlirage_semaphore_t* mine;
  mlirage_semaphore_t* theirs;
  uint64_t rounds;
} counter_t;

static void play(void* argument) {
  const counter_t* counter = argument;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  for (uint64_t i = 1; i <= counter->rounds; ++i) {
    CHECK_OK(mlirage_semaphore_wait(counter->theirs, i, MLIRAGE_WAIT_FOREVER, &error));
    CHECK_OK(mlirage_semaphore_signal(counter->mine, i, &error));
  }
}

static void test_threads(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  enum { ROUNDS = 300 };
  counter_t counter = {create_semaphore(device, 0), create_semaphore(device, 0), ROUNDS};
  mlirage_thread_t thread;
  CHECK(mlirage_platform_thread_create(play, &counter, "play", MLIRAGE_ANY_CORE, &thread) == MLIRAGE_OK);
  for (uint64_t i = 1; i <= ROUNDS; ++i) {
    CHECK_OK(mlirage_semaphore_signal(counter.theirs, i, &error));
    CHECK_OK(mlirage_semaphore_wait(counter.mine, i, MLIRAGE_WAIT_FOREVER, &error));
  }
  mlirage_platform_thread_join(&thread);
  mlirage_semaphore_release(counter.mine);
  mlirage_semaphore_release(counter.theirs);
}

void test_semaphores(void) {
  static const char* const drivers[] = {"local-sync", "local-task"};
  for (uint32_t d = 0; d < 2; ++d) {
    counting_t counting = {0, 0, 0};
    mlirage_device_t* device = create_device(drivers[d], counting_allocator(&counting), d + 1);
    test_values(device);
    test_pipeline(device);
    test_given_up(device);
    test_threads(device);
    mlirage_device_wait_idle(device);
    mlirage_device_release(device);
    CHECK(counting.live == 0);
  }
}
