// What every driver must do. The null driver runs nothing, but keeps the same rules.
#include "check.h"

typedef struct fixture_t {
  mlirage_device_t* device;
  mlirage_executable_t* kernels;
  bool runs;  // device code
} fixture_t;

static void test_executable(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  CHECK(mlirage_executable_entry_count(fixture->kernels) == KERNEL_COUNT_OF_ENTRIES);
  CHECK(strcmp(mlirage_executable_entry(fixture->kernels, KERNEL_ADD)->name, "add_f32") == 0);
  CHECK(mlirage_executable_entry(fixture->kernels, KERNEL_COUNT_OF_ENTRIES) == NULL);
  mlirage_executable_t* none = NULL;
  const mlirage_bytes_t nothing = {NULL, 0};
  CHECK_FAILS(MLIRAGE_UNSUPPORTED,
              mlirage_executable_create(fixture->device, mlirage_string("cuda-ptx"), nothing, &none, &error));
  CHECK(none == NULL && strcmp(error.text, "this machine cannot run executables of format 'cuda-ptx'") == 0);
  CHECK_FAILS(MLIRAGE_INVALID_MODULE, mlirage_executable_create(fixture->device, mlirage_string("embedded-elf-x86_64"),
                                                                nothing, &none, &error));
}

static void test_add(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const size_t sizes[] = {0, 1, 4, 63, 64, 65, 1000, 4097};
  for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); ++s) {
    const size_t count = sizes[s];
    const size_t bytes = count * sizeof(float);
    mlirage_buffer_t* buffers[3];
    // The table binds ranges inside of buffers; commands ranges inside of these.
    for (int i = 0; i < 3; ++i) buffers[i] = allocate(fixture->device, bytes + 192);
    for (size_t i = 0; i < count; ++i) {
      ((float*)memory_of(buffers[0]))[i + 32] = (float)i;
      ((float*)memory_of(buffers[1]))[i + 32] = (float)(2 * i);
    }
    mlirage_command_buffer_t* commands = record(fixture->device, 3);
    const mlirage_slot_range_t ranges[3] = {{0, 64, bytes}, {1, 64, bytes}, {2, 64, bytes}};
    dispatch(commands, fixture->kernels, KERNEL_ADD, (uint32_t)((count + 63) / 64), 0, NULL, 3, ranges);
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    mlirage_binding_t bindings[3];
    for (int i = 0; i < 3; ++i) bindings[i] = (mlirage_binding_t){buffers[i], 64, bytes + 64};
    for (int replay = 0; replay < 3; ++replay) {
      memset(memory_of(buffers[2]), 0, bytes + 192);
      CHECK_OK(
          mlirage_queue_execute(fixture->device, NULL, NULL, commands, 3, bindings, MLIRAGE_QUEUE_DEFAULT, &error));
      const float* out = memory_of(buffers[2]);
      for (size_t i = 0; i < count + 48; ++i) {
        const bool inside = i >= 32 && i < 32 + count && fixture->runs;
        CHECK(out[i] == (inside ? (float)(3 * (i - 32)) : 0.0f));
      }
    }
    mlirage_command_buffer_release(commands);
    for (int i = 0; i < 3; ++i) mlirage_buffer_release(buffers[i]);
  }
}

static void test_fill_and_copy(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const size_t size = (300u << 10) + 24;  // more than two pieces
  mlirage_buffer_t* buffers[2] = {allocate(fixture->device, size), allocate(fixture->device, size)};
  for (size_t length = 1; length <= 8; length *= 2) {
    const uint64_t patterns[2] = {0x1122334455667788u, 0xababababababababu};
    for (int p = 0; p < 2; ++p) {
      mlirage_command_buffer_t* commands = record(fixture->device, 2);
      CHECK_OK(
          mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 8, size - 16}, patterns[p], length, &error));
      CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
      CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
      CHECK_OK(mlirage_command_buffer_copy(commands, (mlirage_slot_range_t){0, 8, size - 16},
                                           (mlirage_slot_range_t){1, 16, size - 16}, &error));
      CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
      memset(memory_of(buffers[0]), 0, size);
      memset(memory_of(buffers[1]), 0, size);
      CHECK_OK(execute(fixture->device, commands, 2, buffers, &error));
      for (size_t i = 0; i < size; ++i) {
        const bool filled = fixture->runs && i >= 8 && i < size - 8;
        const uint8_t byte = (uint8_t)(patterns[p] >> (8 * (i % length)));
        CHECK(((uint8_t*)memory_of(buffers[0]))[i] == (filled ? byte : 0));
        const bool copied = fixture->runs && i >= 16;
        CHECK(((uint8_t*)memory_of(buffers[1]))[i] == (copied ? byte : 0));
      }
      mlirage_command_buffer_release(commands);
    }
  }
  mlirage_buffer_release(buffers[0]);
  mlirage_buffer_release(buffers[1]);
}

// Each wave reads what the one before wrote: x = x * 3 + k for k = 0, 1, …
static void test_barriers(const fixture_t* fixture) {
  enum { CELLS = 257, WAVES = 200 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(fixture->device, CELLS * 4);
  mlirage_command_buffer_t* commands = record(fixture->device, 1);
  CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  uint32_t expected = 0;
  for (uint32_t wave = 0; wave < WAVES; ++wave) {
    const uint32_t constants[2] = {3, wave};
    // Two commands of a wave, on halves.
    const mlirage_slot_range_t low = {0, 0, 128 * 4};
    const mlirage_slot_range_t high = {0, 128 * 4, (CELLS - 128) * 4};
    dispatch(commands, fixture->kernels, KERNEL_AFFINE, 128, 2, constants, 1, &low);
    dispatch(commands, fixture->kernels, KERNEL_AFFINE, CELLS - 128, 2, constants, 1, &high);
    CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
    expected = expected * 3 + wave;
  }
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  for (int replay = 0; replay < 20; ++replay) {
    memset(memory_of(buffer), 0, CELLS * 4);
    CHECK_OK(execute(fixture->device, commands, 1, &buffer, &error));
    for (size_t i = 0; i < CELLS; ++i) CHECK(((uint32_t*)memory_of(buffer))[i] == (fixture->runs ? expected : 0));
  }
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffer);
}

static void test_workgroups(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const uint32_t grids[][3] = {{1, 1, 1}, {7, 1, 1}, {1, 5, 1}, {1, 1, 3}, {3, 5, 7}, {64, 3, 2}, {0, 5, 5}};
  for (size_t g = 0; g < sizeof(grids) / sizeof(grids[0]); ++g) {
    const uint32_t* grid = grids[g];
    const size_t total = (size_t)grid[0] * grid[1] * grid[2];
    mlirage_buffer_t* buffer = allocate(fixture->device, total * 24);
    mlirage_command_buffer_t* commands = record(fixture->device, 1);
    const mlirage_slot_range_t range = {0, 0, total * 24};
    CHECK_OK(mlirage_command_buffer_dispatch(commands, fixture->kernels, KERNEL_IDS, grid, 0, NULL, 1, &range, &error));
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    CHECK_OK(execute(fixture->device, commands, 1, &buffer, &error));
    const uint32_t* row = memory_of(buffer);
    for (uint32_t z = 0; z < grid[2] && fixture->runs; ++z) {
      for (uint32_t y = 0; y < grid[1]; ++y) {
        for (uint32_t x = 0; x < grid[0]; ++x, row += 6) {
          CHECK(row[0] == x && row[1] == y && row[2] == z);
          CHECK(row[3] == grid[0] && row[4] == grid[1] && row[5] == grid[2]);
        }
      }
    }
    mlirage_command_buffer_release(commands);
    mlirage_buffer_release(buffer);
  }
}

static void test_device_failure(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(fixture->device, 0);
  const uint32_t which = 3;
  dispatch(commands, fixture->kernels, KERNEL_FAIL, 10, 1, &which, 0, NULL);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  const mlirage_status_t expected = fixture->runs ? MLIRAGE_ABORTED : MLIRAGE_OK;
  CHECK_FAILS(expected,
              mlirage_queue_execute(fixture->device, NULL, NULL, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
  if (fixture->runs) CHECK(strcmp(error.text, "dispatch 'fail_at' failed with code 7") == 0);
  mlirage_fence_t* fence = NULL;
  CHECK_OK(mlirage_fence_create(fixture->device, &fence, &error));
  CHECK_OK(mlirage_queue_execute(fixture->device, NULL, fence, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(expected, mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, &error));
  mlirage_fence_release(fence);
  mlirage_command_buffer_release(commands);
  // The device goes on working.
  commands = record(fixture->device, 0);
  dispatch(commands, fixture->kernels, KERNEL_SCRATCH, 100, 0, NULL, 0, NULL);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  CHECK_OK(mlirage_queue_execute(fixture->device, NULL, NULL, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
  mlirage_command_buffer_release(commands);
}

static void test_rules(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = fixture->device;
  mlirage_command_buffer_t* commands = record(device, 2);
  const mlirage_slot_range_t good = {0, 0, 64};
  const mlirage_slot_range_t no_slot = {2, 0, 64};
  const mlirage_slot_range_t huge = {0, SIZE_MAX, 2};
  const uint32_t one[3] = {1, 1, 1};
  const uint32_t many[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_fill(commands, no_slot, 0, 1, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_fill(commands, huge, 0, 1, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_command_buffer_fill(commands, good, 0, 3, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 63}, 0, 2, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_command_buffer_copy(commands, good, (mlirage_slot_range_t){1, 0, 32}, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_command_buffer_copy(commands, good, (mlirage_slot_range_t){0, 63, 64}, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_dispatch(commands, fixture->kernels, KERNEL_COUNT_OF_ENTRIES,
                                                                    one, 0, NULL, 0, NULL, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_command_buffer_dispatch(commands, fixture->kernels, KERNEL_ADD, one, 0, NULL, 1, &good, &error));
  CHECK(strcmp(error.text, "entry point 'add_f32' takes 0 constants and 3 bindings, got 0 and 1") == 0);
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_dispatch(commands, fixture->kernels, KERNEL_COUNT, many, 0,
                                                                    NULL, 1, &good, &error));
  const mlirage_binding_t none[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION,
              mlirage_queue_execute(device, NULL, NULL, commands, 2, none, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_OK(mlirage_command_buffer_fill(commands, good, 1, 1, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, mlirage_command_buffer_fill(commands, good, 1, 1, &error));
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, mlirage_command_buffer_finalize(commands, &error));
  mlirage_buffer_t* buffer = allocate(device, 100);
  const mlirage_binding_t bindings[][2] = {
      {{buffer, 0, 63}, {NULL, 0, 0}},   // shorter than the commands need
      {{buffer, 50, 64}, {NULL, 0, 0}},  // outside of its buffer
      {{NULL, 0, 64}, {NULL, 0, 0}},     // no buffer
      {{buffer, SIZE_MAX, 64}, {NULL, 0, 0}},
  };
  for (size_t i = 0; i < 4; ++i) {
    CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
                mlirage_queue_execute(device, NULL, NULL, commands, 2, bindings[i], MLIRAGE_QUEUE_DEFAULT, &error));
  }
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_queue_execute(device, NULL, NULL, commands, 1, bindings[0], MLIRAGE_QUEUE_DEFAULT, &error));
  mlirage_buffer_release(buffer);
  mlirage_command_buffer_release(commands);
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_create(device, false, 1u << 20, &commands, &error));

  CHECK_OK(mlirage_command_buffer_create(device, true, 0, &commands, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  CHECK_OK(mlirage_queue_execute(device, NULL, NULL, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION,
              mlirage_queue_execute(device, NULL, NULL, commands, 0, NULL, MLIRAGE_QUEUE_DEFAULT, &error));
  mlirage_command_buffer_release(commands);
}

// A dealloca'd buffer must be refused by the execution, not read.
static void test_use_after_dealloca(const fixture_t* fixture) {
  if (!fixture->runs) return;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = NULL;
  CHECK_OK(mlirage_queue_alloca(fixture->device, NULL, NULL, 64, &buffer, &error));
  mlirage_command_buffer_t* commands = record(fixture->device, 1);
  CHECK_OK(mlirage_command_buffer_fill(commands, (mlirage_slot_range_t){0, 0, 64}, 0, 1, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  CHECK_OK(execute(fixture->device, commands, 1, &buffer, &error));
  CHECK_OK(mlirage_queue_dealloca(fixture->device, NULL, NULL, buffer, &error));
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, execute(fixture->device, commands, 1, &buffer, &error));
  mlirage_buffer_release(buffer);
  mlirage_command_buffer_release(commands);
}

// The second run of the same work takes nothing from the system.
static void test_steady_state(const fixture_t* fixture, const counting_t* counting) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(fixture->device, 1);
  const mlirage_slot_range_t range = {0, 0, 4000};
  for (int i = 0; i < 100; ++i) {
    dispatch(commands, fixture->kernels, KERNEL_COUNT, 1000, 0, NULL, 1, &range);
    dispatch(commands, fixture->kernels, KERNEL_SCRATCH, 2, 0, NULL, 0, NULL);
    CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  }
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  long allocations = 0;
  for (int round = 0; round < 50; ++round) {
    if (round == 5) allocations = counting->allocations;
    mlirage_buffer_t* buffer = NULL;
    mlirage_fence_t* fence = NULL;
    CHECK_OK(mlirage_fence_create(fixture->device, &fence, &error));
    CHECK_OK(mlirage_queue_alloca(fixture->device, NULL, NULL, 4000, &buffer, &error));
    memset(memory_of(buffer), 0, 4000);
    const mlirage_binding_t binding = {buffer, 0, 4000};
    CHECK_OK(mlirage_queue_execute(fixture->device, NULL, fence, commands, 1, &binding, MLIRAGE_QUEUE_DEFAULT, &error));
    CHECK_OK(mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, &error));
    for (size_t i = 0; i < 1000; ++i) CHECK(((uint32_t*)memory_of(buffer))[i] == (fixture->runs ? 100u : 0u));
    CHECK_OK(mlirage_queue_dealloca(fixture->device, NULL, NULL, buffer, &error));
    mlirage_buffer_release(buffer);
    mlirage_fence_release(fence);
  }
  CHECK(counting->allocations == allocations);
  mlirage_command_buffer_release(commands);
}

static void test_driver(const char* driver, uint32_t workers) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device(driver, counting_allocator(&counting), workers);
  const fixture_t fixture = {device, load_kernels(device), strcmp(driver, "null") != 0};
  CHECK(strcmp(mlirage_device_name(device), driver) == 0);
  CHECK(mlirage_device_worker_count(device) == workers);
  test_executable(&fixture);
  test_add(&fixture);
  test_fill_and_copy(&fixture);
  test_barriers(&fixture);
  test_workgroups(&fixture);
  test_device_failure(&fixture);
  test_rules(&fixture);
  test_use_after_dealloca(&fixture);
  test_steady_state(&fixture, &counting);
  mlirage_executable_release(fixture.kernels);
  mlirage_device_release(device);
  CHECK(counting.live == 0);
}

void test_conformance(void) {
  test_driver("null", 1);
  test_driver("local-sync", 1);
  test_driver("local-task", 1);
  test_driver("local-task", 2);
  test_driver("local-task", 5);
}
