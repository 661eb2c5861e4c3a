// local-task under load: every workgroup exactly once, several callers, failures, speed.
#include "check.h"
#include "platform/platform.h"

typedef struct job_t {
  mlirage_device_t* device;
  mlirage_executable_t* kernels;
  uint32_t seed;
} job_t;

// Waves of all sizes and costs; counts what ran.
static void run_job(void* argument) {
  const job_t* job = argument;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  uint32_t state = job->seed;
  for (int round = 0; round < 12; ++round) {
    mlirage_command_buffer_t* commands = record(job->device, 1);
    enum { CELLS = 3000 };
    uint32_t expected[CELLS] = {0};
    for (int wave = 0; wave < 30; ++wave) {
      size_t first = 0;
      while (first < CELLS) {
        state = state * 1664525u + 1013904223u;
        size_t count = 1 + (state >> 8) % 700;
        if (count > CELLS - first) count = CELLS - first;
        const mlirage_slot_range_t range = {0, first * 4, count * 4};
        const uint32_t spins = (state >> 20) % 40;
        dispatch(commands, job->kernels, KERNEL_SLOW, (uint32_t)count, 1, &spins, 1, &range);
        for (size_t i = first; i < first + count; ++i) ++expected[i];
        first += count;
      }
      CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
    }
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    mlirage_buffer_t* buffer = allocate(job->device, CELLS * 4);
    for (uint32_t replay = 1; replay <= 3; ++replay) {
      CHECK_OK(execute(job->device, commands, 1, &buffer, &error));
      const uint32_t* cells = memory_of(buffer);
      for (size_t i = 0; i < CELLS; ++i) CHECK(cells[i] == expected[i] * replay);
    }
    mlirage_buffer_release(buffer);
    mlirage_command_buffer_release(commands);
  }
}

static void test_callers(mlirage_device_t* device, mlirage_executable_t* kernels) {
  enum { CALLERS = 3 };
  job_t jobs[CALLERS];
  mlirage_thread_t threads[CALLERS];
  for (uint32_t i = 0; i < CALLERS; ++i) {
    jobs[i] = (job_t){device, kernels, i * 7919 + 1};
    CHECK(mlirage_platform_thread_create(run_job, &jobs[i], "caller", MLIRAGE_ANY_CORE, &threads[i]) == MLIRAGE_OK);
  }
  for (int i = 0; i < CALLERS; ++i) mlirage_platform_thread_join(&threads[i]);
}

// A failure ends the execution, whoever runs into it, and leaves the device usable.
static void test_failures(mlirage_device_t* device, mlirage_executable_t* kernels) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  for (uint32_t which = 0; which < 4000; which += 97) {
    mlirage_command_buffer_t* commands = record(device, 0);
    const uint32_t never = UINT32_MAX;
    for (int i = 0; i < 4; ++i) {
      dispatch(commands, kernels, KERNEL_FAIL, 4000, 1, i == 2 ? &which : &never, 0, NULL);
      if (i % 2 == 1) CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
    }
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    CHECK_FAILS(MLIRAGE_ABORTED,
                mlirage_queue_execute(device, NULL, NULL, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
    CHECK(strcmp(error.text, "dispatch 'fail_at' failed with code 7") == 0);
    mlirage_command_buffer_release(commands);
  }
}

// Devices come and go, idle and right after work.
static void test_lifetimes(void) {
  for (uint32_t i = 0; i < 20; ++i) {
    counting_t counting = {0, 0, 0};
    mlirage_device_t* device = create_device("local-task", counting_allocator(&counting), 1 + i % 4);
    if (i % 2 == 0) {
      mlirage_executable_t* kernels = load_kernels(device);
      mlirage_error_t error = {MLIRAGE_OK, {0}};
      mlirage_buffer_t* buffer = allocate(device, 4000);
      mlirage_command_buffer_t* commands = record(device, 1);
      const uint32_t spins = 500;
      const mlirage_slot_range_t range = {0, 0, 4000};
      dispatch(commands, kernels, KERNEL_SLOW, 1000, 1, &spins, 1, &range);
      CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
      CHECK_OK(execute(device, commands, 1, &buffer, &error));
      mlirage_command_buffer_release(commands);
      mlirage_buffer_release(buffer);
      mlirage_executable_release(kernels);
    }
    mlirage_device_release(device);
    CHECK(counting.live == 0);
  }
}

void test_task(void) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device("local-task", counting_allocator(&counting), 3);
  mlirage_executable_t* kernels = load_kernels(device);
  const job_t alone = {device, kernels, 5};
  run_job((void*)(uintptr_t)&alone);
  test_callers(device, kernels);
  test_failures(device, kernels);
  mlirage_executable_release(kernels);
  mlirage_device_release(device);
  CHECK(counting.live == 0);
  test_lifetimes();
}
