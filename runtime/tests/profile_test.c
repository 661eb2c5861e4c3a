// Profiling: every unit of every command in exactly one event, drops counted, on and off while work runs.
#include "check.h"
#include "platform/platform.h"

enum { WORKGROUPS = 500, EVENTS = 4096 };

static const char* const drivers[] = {"local-sync", "local-task"};

// Two dispatches, a fill, a copy and an update, with barriers.
static mlirage_command_buffer_t* record_everything(mlirage_device_t* device, mlirage_executable_t* kernels) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_command_buffer_t* commands = record(device, 1);
  const uint32_t spins = 20;
  const mlirage_slot_range_t cells = {0, 0, WORKGROUPS * 4};
  const mlirage_slot_range_t first = {0, 0, 400};
  const mlirage_slot_range_t second = {0, 400, 400};
  for (int i = 0; i < 2; ++i) {
    dispatch(commands, kernels, KERNEL_SLOW, WORKGROUPS, 1, &spins, 1, &cells);
    CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  }
  CHECK_OK(mlirage_command_buffer_fill(commands, first, 7, 4, &error));
  CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  CHECK_OK(mlirage_command_buffer_copy(commands, first, second, &error));
  CHECK_OK(mlirage_command_buffer_barrier(commands, &error));
  CHECK_OK(mlirage_command_buffer_update(commands, "12345678", (mlirage_slot_range_t){0, 800, 8}, &error));
  CHECK_OK(mlirage_command_buffer_finalize(commands, &error));
  return commands;
}

static void check_event(const mlirage_profile_event_t* event) {
  static const uint64_t bytes[] = {WORKGROUPS * 4, WORKGROUPS * 4, 400, 400, 8};
  static const uint32_t kinds[] = {MLIRAGE_PROFILE_DISPATCH, MLIRAGE_PROFILE_DISPATCH, MLIRAGE_PROFILE_FILL,
                                   MLIRAGE_PROFILE_COPY, MLIRAGE_PROFILE_UPDATE};
  CHECK(event->command < 5 && event->kind == kinds[event->command] && event->bytes == bytes[event->command]);
  CHECK(event->first < event->end && event->end <= event->units && event->start_ns <= event->end_ns);
  if (event->kind != MLIRAGE_PROFILE_DISPATCH) {
    CHECK(event->units == 1 && event->name[0] == '\0');
    return;
  }
  CHECK(event->units == WORKGROUPS && event->workgroup_count[0] == WORKGROUPS && event->workgroup_count[1] == 1);
  CHECK(strcmp(event->name, "slow_u32") == 0 && event->constant_count == 1 && event->constants[0] == 20);
}

static void test_events(const char* driver) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = create_device(driver, mlirage_allocator_system(), 3);
  mlirage_executable_t* kernels = load_kernels(device);
  mlirage_command_buffer_t* commands = record_everything(device, kernels);
  mlirage_buffer_t* buffer = allocate(device, WORKGROUPS * 4);
  static mlirage_profile_event_t events[EVENTS];
  size_t count = 0;
  uint64_t dropped = 0;
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION,
              mlirage_device_profiling_read(device, EVENTS, events, &count, &dropped, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_device_profiling_begin(device, 0, &error));
  CHECK_OK(execute(device, commands, 1, &buffer, &error));
  CHECK_OK(mlirage_device_profiling_begin(device, EVENTS, &error));
  CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, mlirage_device_profiling_begin(device, EVENTS, &error));
  enum { ROUNDS = 5 };
  for (uint32_t i = 0; i < ROUNDS; ++i) CHECK_OK(execute(device, commands, 1, &buffer, &error));
  // What is gone by then still has its name.
  mlirage_command_buffer_release(commands);
  mlirage_executable_release(kernels);
  CHECK_OK(mlirage_device_profiling_read(device, EVENTS, events, &count, &dropped, &error));
  CHECK(dropped == 0 && count >= ROUNDS * 6);
  uint64_t units[ROUNDS][5] = {{0}};
  uint32_t executions = 0;
  for (size_t i = 0; i < count; ++i) {
    const mlirage_profile_event_t* event = &events[i];
    CHECK(event->execution < ROUNDS && event->worker < mlirage_device_worker_count(device));
    if (event->kind == MLIRAGE_PROFILE_EXECUTE) {
      CHECK(event->execution == executions++ && event->units == 5);
      continue;
    }
    CHECK(event->execution == executions);  // an execution ends after its commands
    check_event(event);
    units[event->execution][event->command] += event->end - event->first;
  }
  CHECK(executions == ROUNDS);
  for (int i = 0; i < ROUNDS; ++i) {
    for (int c = 0; c < 5; ++c) CHECK(units[i][c] == (c < 2 ? WORKGROUPS : 1));
  }
  CHECK_OK(mlirage_device_profiling_read(device, EVENTS, events, &count, &dropped, &error));
  CHECK(count == 0);
  mlirage_device_profiling_end(device);
  mlirage_device_profiling_end(device);
  mlirage_buffer_release(buffer);
  mlirage_device_release(device);
}

// What finds no room is counted; what is read makes room.
static void test_drops(const char* driver) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = create_device(driver, mlirage_allocator_system(), 1);
  mlirage_executable_t* kernels = load_kernels(device);
  mlirage_command_buffer_t* commands = record_everything(device, kernels);
  mlirage_buffer_t* buffer = allocate(device, WORKGROUPS * 4);
  mlirage_profile_event_t events[8];
  size_t count = 0;
  uint64_t dropped = 0;
  CHECK_OK(mlirage_device_profiling_begin(device, 8, &error));
  for (uint64_t i = 1; i <= 3; ++i) {
    for (int n = 0; n < 2; ++n) CHECK_OK(execute(device, commands, 1, &buffer, &error));
    CHECK_OK(mlirage_device_profiling_read(device, 3, events, &count, &dropped, &error));
    CHECK(count == 3 && dropped == 4 * i);
    CHECK_OK(mlirage_device_profiling_read(device, 8, events, &count, &dropped, &error));
    CHECK(count == 5 && events[4].execution == 2 * i - 1);
  }
  // Still on: ends with the device.
  mlirage_buffer_release(buffer);
  mlirage_command_buffer_release(commands);
  mlirage_executable_release(kernels);
  mlirage_device_release(device);
}

typedef struct switcher_t {
  mlirage_device_t* device;
  uint32_t stop;
} switcher_t;

static void switch_on_and_off(void* argument) {
  switcher_t* switcher = argument;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_profile_event_t events[16];
  while (__atomic_load_n(&switcher->stop, __ATOMIC_ACQUIRE) == 0) {
    CHECK_OK(mlirage_device_profiling_begin(switcher->device, 64, &error));
    for (int i = 0; i < 20; ++i) {
      size_t count = 0;
      uint64_t dropped = 0;
      CHECK_OK(mlirage_device_profiling_read(switcher->device, 16, events, &count, &dropped, &error));
      for (size_t e = 0; e < count; ++e) {
        if (events[e].kind != MLIRAGE_PROFILE_EXECUTE) check_event(&events[e]);
      }
    }
    mlirage_device_profiling_end(switcher->device);
  }
}

static void test_switching(const char* driver) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = create_device(driver, mlirage_allocator_system(), 3);
  mlirage_executable_t* kernels = load_kernels(device);
  mlirage_command_buffer_t* commands = record_everything(device, kernels);
  mlirage_buffer_t* buffer = allocate(device, WORKGROUPS * 4);
  switcher_t switcher = {device, 0};
  mlirage_thread_t thread;
  CHECK(mlirage_platform_thread_create(switch_on_and_off, &switcher, "switcher", MLIRAGE_ANY_CORE, &thread) ==
        MLIRAGE_OK);
  for (int i = 0; i < 200; ++i) CHECK_OK(execute(device, commands, 1, &buffer, &error));
  __atomic_store_n(&switcher.stop, 1u, __ATOMIC_RELEASE);
  mlirage_platform_thread_join(&thread);
  mlirage_buffer_release(buffer);
  mlirage_command_buffer_release(commands);
  mlirage_executable_release(kernels);
  mlirage_device_release(device);
}

void test_profile(void) {
  for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); ++i) {
    test_events(drivers[i]);
    test_drops(drivers[i]);
    test_switching(drivers[i]);
  }
}
