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

static mlirage_status_t create_pinned(size_t struct_size, uint32_t workers, const uint32_t* cores, size_t core_count,
                                      mlirage_device_t** out_device, mlirage_error_t* error) {
  const mlirage_device_options_t device_options = {.struct_size = struct_size,
                                                   .allocator = mlirage_allocator_system(),
                                                   .worker_count = workers,
                                                   .cores = cores,
                                                   .core_count = core_count};
  return mlirage_local_task_device_create(&device_options, out_device, error);
}

static void test_options(void) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const size_t size = sizeof(mlirage_device_options_t);
  mlirage_device_t* device = NULL;
  uint32_t cores[3] = {0, 0, 0};
  // Some core of this process: the tests may be confined to any.
  while (create_pinned(size, 2, cores, 3, &device, &error) == MLIRAGE_NOT_FOUND && cores[0] < 1024) {
    for (int i = 0; i < 3; ++i) ++cores[i];
  }
  CHECK(device != NULL && mlirage_device_worker_count(device) == 2);
  mlirage_device_release(device);
  CHECK_OK(create_pinned(size, 0, cores, 3, &device, &error));
  CHECK(mlirage_device_worker_count(device) == 3);
  const mlirage_string_t category = mlirage_string("hal.device");
  CHECK(mlirage_device_query_i64(device, category, mlirage_string("concurrency")) == 3);
  CHECK(mlirage_device_query_i64(device, category, mlirage_string("colour")) == 0);
  CHECK(mlirage_device_query_i64(device, mlirage_string("hal.device.id"), mlirage_string("local*")) == 1);
  CHECK(mlirage_device_query_i64(device, mlirage_string("hal.device.id"), mlirage_string("local-sync")) == 0);
  CHECK(mlirage_device_query_i64(device, mlirage_string("hal.executable.format"), mlirage_string("x")) == 0);
  mlirage_device_release(device);
  const uint32_t none[2] = {100000, 100000};
  CHECK_FAILS(MLIRAGE_NOT_FOUND, create_pinned(size, 2, none, 2, &device, &error));
  CHECK(strcmp(error.text, "cannot pin worker 1 to core 100000, which this process may not use") == 0);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, create_pinned(size, 2, cores, 0, &device, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, create_pinned(0, 2, NULL, 0, &device, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, create_pinned(size, 257, NULL, 0, &device, &error));
  CHECK(device == NULL);
}

// Devices work side by side, each with threads of its own, on memory that they share.
static void test_devices(void) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  counting_t counting = {0, 0, 0};
  mlirage_device_t* devices[3];
  mlirage_executable_t* kernels[3];
  mlirage_buffer_t* shared = NULL;
  mlirage_fence_t* last = NULL;
  for (uint32_t i = 0; i < 3; ++i) {
    devices[i] = create_device(i == 2 ? "local-sync" : "local-task", counting_allocator(&counting), i == 2 ? 1 : 2);
    kernels[i] = load_kernels(devices[i]);
  }
  shared = allocate(devices[0], 4000);
  for (uint32_t step = 0; step < 60; ++step) {
    mlirage_device_t* device = devices[step % 3];
    mlirage_command_buffer_t* commands = record(device, 1);
    const uint32_t constants[2] = {3, step};
    dispatch(commands, kernels[step % 3], KERNEL_AFFINE, 1000, 2, constants, 1, &(mlirage_slot_range_t){0, 0, 4000});
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    mlirage_fence_t* next = create_fence(device);
    const mlirage_binding_t binding = {shared, 0, 4000};
    CHECK_OK(mlirage_queue_execute(device, last, next, commands, 1, &binding, MLIRAGE_QUEUE_ASYNC, &error));
    mlirage_command_buffer_release(commands);
    mlirage_fence_release(last);
    last = next;
  }
  CHECK_OK(mlirage_fence_wait(last, 60000000000u, &error));
  uint32_t expected = 0;
  for (uint32_t step = 0; step < 60; ++step) expected = expected * 3 + step;
  for (size_t i = 0; i < 1000; ++i) CHECK(((const uint32_t*)memory_of(shared))[i] == expected);
  mlirage_fence_release(last);
  mlirage_buffer_release(shared);
  for (int i = 0; i < 3; ++i) {
    mlirage_executable_release(kernels[i]);
    mlirage_device_wait_idle(devices[i]);
  }
  for (int i = 0; i < 3; ++i) mlirage_device_release(devices[i]);
  CHECK(counting.live == 0);
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
  test_options();
  test_devices();
}
