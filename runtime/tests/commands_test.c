// Commands beyond fill, copy and dispatch: updates, workgroup counts in memory, nesting. On
// every driver; the null driver keeps the rules and runs nothing.
#include "check.h"

typedef struct fixture_t {
  mlirage_device_t* device;
  mlirage_executable_t* kernels;
  bool runs;
} fixture_t;

static void test_update(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  static uint8_t data[MLIRAGE_MAX_UPDATE + 1];
  const size_t sizes[] = {0, 1, 7, 4096, MLIRAGE_MAX_UPDATE};
  for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); ++s) {
    mlirage_buffer_t* buffer = allocate(fixture->device, sizes[s] + 8);
    mlirage_command_buffer_t* commands = record(fixture->device, 1);
    for (size_t i = 0; i < sizes[s]; ++i) data[i] = (uint8_t)(i * 7 + 1);
    CHECK_OK(mlirage_command_buffer_update(commands, data, (mlirage_slot_range_t){0, 0, sizes[s]}, &error));
    CHECK_OK(mlirage_command_buffer_update(commands, "tail", (mlirage_slot_range_t){0, sizes[s] + 3, 4}, &error));
    memset(data, 0, sizes[s]);  // copied
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    CHECK_OK(execute(fixture->device, commands, 1, &buffer, &error));
    const uint8_t* bytes = memory_of(buffer);
    for (size_t i = 0; i < sizes[s]; ++i) CHECK(bytes[i] == (fixture->runs ? (uint8_t)(i * 7 + 1) : 0));
    CHECK(memcmp(bytes + sizes[s], fixture->runs ? "\0\0\0tail\0" : "\0\0\0\0\0\0\0\0", 8) == 0);
    mlirage_command_buffer_release(commands);
    mlirage_buffer_release(buffer);
  }
  mlirage_command_buffer_t* commands = record(fixture->device, 1);
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_update(
                                        commands, data, (mlirage_slot_range_t){0, 0, MLIRAGE_MAX_UPDATE + 1}, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_command_buffer_update(commands, data, (mlirage_slot_range_t){1, 0, 1}, &error));
  mlirage_command_buffer_release(commands);
}

// Counts that a command of the wave before writes, at an odd address.
static void test_indirect(const fixture_t* fixture) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const uint32_t grids[][3] = {{1, 1, 1}, {7, 5, 3}, {1000, 1, 1}, {0, 7, 7}, {100000, 1, 1}};
  mlirage_buffer_t* counts = allocate(fixture->device, 16);
  for (size_t g = 0; g < sizeof(grids) / sizeof(grids[0]); ++g) {
    const size_t total = (size_t)grids[g][0] * grids[g][1] * grids[g][2];
    mlirage_buffer_t* buffers[2] = {allocate(fixture->device, total * 4 + 4), counts};
    mlirage_command_buffer_t* commands = record(fixture->device, 2);
    const mlirage_slot_range_t range = {0, 0, total * 4};
    const mlirage_slot_range_t count = {1, 1, 12};
    CHECK_OK(mlirage_command_buffer_update(commands, grids[g], count, &error));
    CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
    CHECK_OK(mlirage_command_buffer_dispatch_indirect(commands, fixture->kernels, KERNEL_COUNT, count, 0, NULL, 1,
                                                      &range, &error));
    CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
    for (uint32_t replay = 1; replay <= 3; ++replay) {
      CHECK_OK(execute(fixture->device, commands, 2, buffers, &error));
      const uint32_t* cells = memory_of(buffers[0]);
      for (size_t i = 0; i <= total; ++i) CHECK(cells[i] == (i < total && fixture->runs ? replay : 0));
    }
    mlirage_command_buffer_release(commands);
    mlirage_buffer_release(buffers[0]);
  }
  // The kernel sees the grid.
  const uint32_t grid[3] = {2, 3, 4};
  mlirage_buffer_t* buffers[2] = {allocate(fixture->device, 24 * 24), counts};
  memcpy((uint8_t*)memory_of(counts), grid, 12);
  mlirage_command_buffer_t* commands = record(fixture->device, 2);
  const mlirage_slot_range_t range = {0, 0, 24 * 24};
  const mlirage_slot_range_t count = {1, 0, 12};
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_command_buffer_dispatch_indirect(commands, fixture->kernels, KERNEL_IDS,
                                                       (mlirage_slot_range_t){1, 0, 8}, 0, NULL, 1, &range, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_command_buffer_dispatch_indirect(commands, fixture->kernels, KERNEL_IDS,
                                                       (mlirage_slot_range_t){2, 0, 12}, 0, NULL, 1, &range, &error));
  CHECK_OK(mlirage_command_buffer_dispatch_indirect(commands, fixture->kernels, KERNEL_IDS, count, 0, NULL, 1, &range,
                                                    &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  CHECK_OK(execute(fixture->device, commands, 2, buffers, &error));
  const uint32_t last[6] = {1, 2, 3, 2, 3, 4};
  if (fixture->runs) CHECK(memcmp((uint8_t*)memory_of(buffers[0]) + 23 * 24, last, 24) == 0);
  // Counts whose product is no number fail the work, not the machine.
  memset(memory_of(counts), 0xff, 12);
  const mlirage_status_t status = execute(fixture->device, commands, 2, buffers, &error);
  CHECK(status == (fixture->runs ? MLIRAGE_OUT_OF_RANGE : MLIRAGE_OK));
  if (fixture->runs) CHECK(strstr(error.text, "dispatch 'ids_u32': too many workgroups, 4294967295 x") != NULL);
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffers[0]);
  mlirage_buffer_release(counts);
}

// One recording used twice in another, on halves of a buffer; x = x * 3 + k in order.
static void test_nested(const fixture_t* fixture) {
  enum { CELLS = 64 };
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* nested = record(fixture->device, 2);
  const mlirage_slot_range_t inner = {0, 0, CELLS * 4};
  const uint32_t grid[3] = {CELLS, 1, 1};
  const uint32_t constants[2][2] = {{3, 1}, {3, 2}};
  CHECK_OK(mlirage_command_buffer_update(nested, grid, (mlirage_slot_range_t){1, 4, 12}, &error));
  dispatch(nested, fixture->kernels, KERNEL_AFFINE, CELLS, 2, constants[0], 1, &inner);
  CHECK_OK(mlirage_command_buffer_barrier(nested, &error));
  CHECK_OK(mlirage_command_buffer_dispatch_indirect(
      nested, fixture->kernels, KERNEL_AFFINE, (mlirage_slot_range_t){1, 4, 12}, 2, constants[1], 1, &inner, &error));
  mlirage_command_buffer_t* commands = record(fixture->device, 2);
  const mlirage_slot_range_t slots[2][2] = {{{0, 0, CELLS * 4}, {1, 0, 16}}, {{0, CELLS * 4, CELLS * 4}, {1, 16, 16}}};
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_command_buffer_execute(commands, nested, 2, slots[0], &error));
  CHECK_OK(mlirage_command_buffer_finalize(nested, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_command_buffer_execute(commands, nested, 1, slots[0], &error));
  const mlirage_slot_range_t small[2] = {{0, 0, CELLS * 4 - 1}, {1, 0, 16}};
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_execute(commands, nested, 2, small, &error));
  const mlirage_slot_range_t none[2] = {{0, 0, CELLS * 4}, {2, 0, 16}};
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_command_buffer_execute(commands, nested, 2, none, &error));
  CHECK_OK(mlirage_command_buffer_execute(commands, nested, 2, slots[0], &error));
  CHECK_OK(mlirage_command_buffer_execute(commands, nested, 2, slots[1], &error));
  CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  CHECK_OK(mlirage_command_buffer_execute(commands, nested, 2, slots[0], &error));
  mlirage_command_buffer_release(nested);
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  mlirage_buffer_t* buffers[2] = {allocate(fixture->device, CELLS * 8), allocate(fixture->device, 32)};
  CHECK_OK(execute(fixture->device, commands, 2, buffers, &error));
  const uint32_t* cells = memory_of(buffers[0]);
  for (size_t i = 0; i < 2 * CELLS; ++i) {
    const uint32_t once = 5, twice = (5 * 3 + 1) * 3 + 2;
    CHECK(cells[i] == (!fixture->runs ? 0 : i < CELLS ? twice : once));
  }
  mlirage_command_buffer_release(commands);
  mlirage_buffer_release(buffers[0]);
  mlirage_buffer_release(buffers[1]);
}

void test_commands(void) {
  static const struct {
    const char* name;
    uint32_t workers;
  } drivers[] = {{"null", 1}, {"local-sync", 1}, {"local-task", 1}, {"local-task", 2}, {"local-task", 4}};
  for (size_t d = 0; d < sizeof(drivers) / sizeof(drivers[0]); ++d) {
    counting_t counting = {0, 0, 0};
    mlirage_device_t* device = create_device(drivers[d].name, counting_allocator(&counting), drivers[d].workers);
    const fixture_t fixture = {device, load_kernels(device), d != 0};
    test_update(&fixture);
    test_indirect(&fixture);
    test_nested(&fixture);
    mlirage_executable_release(fixture.kernels);
    mlirage_device_release(device);
    CHECK(counting.live == 0);
  }
}
