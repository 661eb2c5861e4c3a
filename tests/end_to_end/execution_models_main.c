// Execution models from C: `execution_models MODULE MODE …`. What is printed are counters,
// and every allocation is counted: at the end nothing is left.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/hal_loader_module.h"
#include "mlirage/hal_module.h"
#include "mlirage/runtime.h"

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)
#define CHECK_OK(expression)                                                           \
  do {                                                                                 \
    if ((expression) != MLIRAGE_OK) {                                                  \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, error.text); \
      exit(1);                                                                         \
    }                                                                                  \
  } while (0)

#define CALLS 100
#define SIDE ((size_t)160)

static mlirage_error_t error;
static long live, allocations, fail_at;

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  (void)self, (void)old_size;
  if (new_size == 0) {
    if (block != NULL) __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    free(block);
    return NULL;
  }
  const long number = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
  if (fail_at != 0 && number >= fail_at) return NULL;
  if (block == NULL) __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
  return realloc(block, new_size);
}

// Kernels linked into this program, if there are.
extern const mlirage_executable_library_t* mlirage_executable_library_query(uint32_t max_version) __attribute__((weak));

static mlirage_device_t* open_device(const char* name) {
  mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = {NULL, resize}, .worker_count = 2};
  if (strcmp(name, "local-task") != 0) options.worker_count = 0;
  mlirage_device_t* device = NULL;
  CHECK_OK(mlirage_device_create(name, &options, &device, &error));
  return device;
}

static uint64_t count_dispatches(mlirage_device_t* device) {
  mlirage_device_statistics_t statistics = {.struct_size = sizeof(statistics)};
  mlirage_device_statistics(device, &statistics);
  return statistics.dispatches;
}

static mlirage_fence_t* make_fence(mlirage_device_t* device) {
  mlirage_fence_t* fence = NULL;
  CHECK_OK(mlirage_fence_create(device, &fence, &error));
  return fence;
}

static mlirage_value_t make_matrix(mlirage_device_t* device, size_t shift) {
  static float data[SIDE * SIDE];
  const size_t shape[2] = {SIDE, SIDE};
  for (size_t i = 0; i < SIDE; ++i) {
    for (size_t j = 0; j < SIDE; ++j) data[i * SIDE + j] = j == (i + shift) % SIDE ? 1.0f : 0.0f;
  }
  mlirage_value_t value = {.kind = 'r', .as.view = NULL};
  CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, data, &value.as.view, &error));
  return value;
}

static void check_matrix(const mlirage_value_t* value, size_t shift) {
  static float data[SIDE * SIDE];
  CHECK_OK(mlirage_array_read(value->as.view, data, sizeof(data), &error));
  for (size_t i = 0; i < SIDE; ++i) {
    for (size_t j = 0; j < SIDE; ++j) CHECK(data[i * SIDE + j] == (j == (i + shift) % SIDE ? 1.0f : 0.0f));
  }
}

// x @ shift, 100 times, each call on the result of the one before, behind a closed gate.
static void run_chain(mlirage_device_t* device, mlirage_session_t* session, mlirage_status_t gate_status) {
  mlirage_function_t function;
  CHECK_OK(mlirage_session_lookup(session, "main", &function, &error));
  CHECK(function.has_fences);
  const mlirage_value_t shift = make_matrix(device, 1);
  mlirage_value_t x = make_matrix(device, 0);
  mlirage_fence_t* gate = make_fence(device);
  mlirage_fence_t* before = gate;
  mlirage_fence_retain(before);
  const uint64_t none = count_dispatches(device);
  for (int i = 0; i < CALLS; ++i) {
    mlirage_fence_t* after = make_fence(device);
    const mlirage_value_t arguments[2] = {x, shift};
    mlirage_value_t result;
    CHECK_OK(mlirage_session_call_async(session, &function, 2, arguments, before, after, 1, &result, &error));
    mlirage_buffer_view_release(x.as.view);
    mlirage_fence_release(before);
    x = result;
    before = after;
  }
  const uint64_t issued = count_dispatches(device) - none;
  CHECK(issued == 0);
  if (gate_status != MLIRAGE_OK) {
    mlirage_error_t failure = {gate_status, "the gate broke"};
    mlirage_fence_fail(gate, gate_status, &failure);
    CHECK(mlirage_fence_wait(before, MLIRAGE_WAIT_FOREVER, &error) == gate_status);
    CHECK(strstr(error.text, "the gate broke") != NULL);
    CHECK(count_dispatches(device) == none);
    printf("failure: through %d calls, 0 dispatches\n", CALLS);
  } else {
    mlirage_fence_signal(gate);
    // The host has work of its own; it sees the device's go on meanwhile.
    uint64_t steps = 0, seen = count_dispatches(device), changes = 0;
    const uint64_t at_return = seen - none;
    while (mlirage_fence_query(before, &error) == MLIRAGE_PENDING) {
      for (volatile int i = 0; i < 1000; ++i) continue;
      ++steps;
      const uint64_t now = count_dispatches(device);
      changes += now != seen;
      seen = now;
    }
    CHECK_OK(mlirage_fence_wait(before, MLIRAGE_WAIT_FOREVER, &error));
    check_matrix(&x, CALLS % SIDE);
    printf(
        "chain: %d calls issued with %llu dispatches done, %llu when the gate was open, %llu at the end; "
        "%llu steps of the host meanwhile, which saw %llu changes\n",
        CALLS, (unsigned long long)issued, (unsigned long long)at_return,
        (unsigned long long)(count_dispatches(device) - none), (unsigned long long)steps, (unsigned long long)changes);
  }
  mlirage_fence_release(before);
  mlirage_fence_release(gate);
  mlirage_buffer_view_release(x.as.view);
  mlirage_buffer_view_release(shift.as.view);
}

// Calls that wait for each other are refused; fences that are let go fail what waits.
static void run_cycle(mlirage_device_t* device, mlirage_session_t* session) {
  mlirage_function_t function;
  CHECK_OK(mlirage_session_lookup(session, "main", &function, &error));
  const mlirage_value_t arguments[2] = {make_matrix(device, 0), make_matrix(device, 1)};
  mlirage_fence_t* fences[3] = {make_fence(device), make_fence(device), make_fence(device)};
  mlirage_value_t result;
  for (int i = 0; i < 2; ++i) {
    CHECK_OK(
        mlirage_session_call_async(session, &function, 2, arguments, fences[i], fences[i + 1], 1, &result, &error));
    mlirage_buffer_view_release(result.as.view);
  }
  CHECK(mlirage_session_call_async(session, &function, 2, arguments, fences[2], fences[0], 1, &result, &error) ==
        MLIRAGE_INVALID_ARGUMENT);
  printf("cycle: %s\n", error.text);
  // The refused call has failed the fence that it was to signal, and so the others.
  CHECK(mlirage_fence_wait(fences[2], MLIRAGE_WAIT_FOREVER, &error) == MLIRAGE_INVALID_ARGUMENT);
  for (int i = 0; i < 3; ++i) mlirage_fence_release(fences[i]);
  mlirage_fence_t* gate = make_fence(device);
  mlirage_fence_t* done = make_fence(device);
  CHECK_OK(mlirage_session_call_async(session, &function, 2, arguments, gate, done, 1, &result, &error));
  mlirage_buffer_view_release(result.as.view);
  mlirage_fence_release(gate);
  CHECK(mlirage_fence_wait(done, MLIRAGE_WAIT_FOREVER, &error) == MLIRAGE_ABORTED);
  printf("abandoned: %s\n", error.text);
  mlirage_fence_release(done);
  for (int i = 0; i < 2; ++i) mlirage_buffer_view_release(arguments[i].as.view);
}

// Two calls on one thread: each waits for a fence of its own inside (its loop reads a bound).
static void run_interleaved(mlirage_device_t* device, mlirage_module_t* module) {
  mlirage_hal_module_t* hal = NULL;
  CHECK_OK(mlirage_hal_module_create((mlirage_allocator_t){NULL, resize}, &device, 1, &hal));
  const mlirage_vm_native_module_t natives = mlirage_hal_module_functions(hal);
  mlirage_vm_context_t* context = NULL;
  CHECK_OK(
      mlirage_vm_context_create((mlirage_allocator_t){NULL, resize}, NULL, &natives, 1, &module, 1, &context, &error));
  mlirage_vm_function_t function;
  CHECK_OK(mlirage_vm_context_lookup(context, 0, "repeat", &function, &error));
  mlirage_vm_invocation_t* invocations[2] = {NULL, NULL};
  mlirage_fence_t* gates[2];
  mlirage_fence_t* ends[2];
  const float ones[4] = {1, 1, 1, 1};
  const size_t four = 4;
  for (int i = 0; i < 2; ++i) {
    CHECK_OK(mlirage_vm_invocation_create(context, &invocations[i], &error));
    const int64_t bound = 3 + i;
    mlirage_buffer_view_t* x = NULL;
    mlirage_buffer_view_t* n = NULL;
    CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, &four, ones, &x, &error));
    CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_INT_64, 0, NULL, &bound, &n, &error));
    gates[i] = make_fence(device);
    ends[i] = make_fence(device);
    void* refs[4] = {x, n, gates[i], ends[i]};
    const mlirage_status_t status = mlirage_vm_begin(invocations[i], &function, NULL, refs, &error);
    CHECK(status == MLIRAGE_PENDING);
    CHECK(mlirage_vm_pending(invocations[i]) != NULL);
    mlirage_buffer_view_release(x);
    mlirage_buffer_view_release(n);
  }
  for (int i = 1; i >= 0; --i) {  // the later one first
    mlirage_fence_signal(gates[i]);
    mlirage_status_t status = mlirage_vm_resume(invocations[i], &error);
    while (status == MLIRAGE_PENDING) {
      CHECK_OK(mlirage_fence_wait(mlirage_vm_pending(invocations[i]), MLIRAGE_WAIT_FOREVER, &error));
      status = mlirage_vm_resume(invocations[i], &error);
    }
    CHECK_OK(status);
    void* result = NULL;
    CHECK_OK(mlirage_vm_finish(invocations[i], NULL, &result));
    CHECK_OK(mlirage_fence_wait(ends[i], MLIRAGE_WAIT_FOREVER, &error));
    float data[4];
    CHECK_OK(mlirage_array_read(result, data, sizeof(data), &error));
    CHECK(data[0] == (float)(1 << (3 + i)) && data[3] == data[0]);
    mlirage_buffer_view_release(result);
  }
  for (int i = 0; i < 2; ++i) {
    mlirage_vm_invocation_release(invocations[i]);
    mlirage_fence_release(gates[i]);
    mlirage_fence_release(ends[i]);
  }
  mlirage_vm_context_release(context);
  mlirage_hal_module_release(hal);
  printf("interleaved: 2 calls suspended at once on one thread, resumed in the other order\n");
}

// A session over |path| with the kernels of this program.
static mlirage_session_t* load_linked(mlirage_device_t* device, const char* path,
                                      mlirage_static_library_module_t** out_library) {
  mlirage_session_t* none = NULL;
  CHECK(mlirage_session_load_file(device, path, NULL, &none, &error) == MLIRAGE_NOT_FOUND);
  printf("alone: %s\n", error.text);
  FILE* file = fopen(path, "rb");
  CHECK(file != NULL);
  static _Alignas(MLIRAGE_MODULE_ALIGNMENT) uint8_t contents[1 << 16];
  const size_t size = fread(contents, 1, sizeof(contents), file);
  fclose(file);
  mlirage_module_t* module = NULL;
  const mlirage_module_storage_t storage = {{contents, size}, NULL, NULL};
  CHECK_OK(
      mlirage_module_create((mlirage_allocator_t){NULL, resize}, storage, MLIRAGE_MODULE_DEFAULT, &module, &error));
  CHECK_OK(mlirage_static_library_module_create((mlirage_allocator_t){NULL, resize}, "module_executables",
                                                mlirage_executable_library_query, out_library, &error));
  const mlirage_vm_native_module_t native = mlirage_static_library_module_functions(*out_library);
  const mlirage_session_links_t links = {.native_module_count = 1, .native_modules = &native};
  mlirage_session_t* session = NULL;
  CHECK_OK(mlirage_session_create_linked(device, module, &links, NULL, &session, &error));
  mlirage_module_release(module);
  return session;
}

// |count| calls in a row; with |caller_storage| the results lie in memory given to them.
static void run_many(mlirage_device_t* device, mlirage_session_t* session, long count, bool caller_storage) {
  mlirage_function_t function;
  CHECK_OK(mlirage_session_lookup(session, "main", &function, &error));
  const size_t shape[1] = {4};
  const float a[4] = {1, 2, 3, 4};
  const float b[4] = {2, 2, 2, 0.5f};
  mlirage_value_t arguments[4];
  for (int i = 0; i < 4; ++i) arguments[i].kind = 'r';
  CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, a, &arguments[0].as.view, &error));
  CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, b, &arguments[1].as.view, &error));
  size_t argument_count = 2;
  if (caller_storage) {
    mlirage_function_t query;
    mlirage_value_t size;
    CHECK_OK(mlirage_session_lookup(session, "main.scratch_size", &query, &error));
    CHECK_OK(mlirage_session_call(session, &query, 0, NULL, 1, &size, &error));
    const size_t bytes = (size_t)size.as.i64;
    uint8_t* zeros = calloc(bytes + 1, 1);
    CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, shape, a, &arguments[2].as.view, &error));
    CHECK_OK(mlirage_array_create(device, MLIRAGE_ELEMENT_UINT_8, 1, &bytes, zeros, &arguments[3].as.view, &error));
    free(zeros);
    argument_count = 4;
  }
  mlirage_device_statistics_t before = {.struct_size = sizeof(before)}, after = before;
  long allocations_before = 0, live_before = 0;
  const long warm = 10;
  if (function.has_fences) {
    // More calls in flight than ever below, where the device's thread may still be letting go of the last one when the
    // next begins: all that they need is kept for later ones.
    enum { IN_FLIGHT = 4 };
    mlirage_fence_t* before_it = NULL;
    mlirage_value_t flying[IN_FLIGHT];
    for (size_t i = 0; i < IN_FLIGHT; ++i) {
      mlirage_fence_t* done = NULL;
      CHECK_OK(mlirage_fence_create(device, &done, &error));
      CHECK_OK(mlirage_session_call_async(session, &function, argument_count, arguments, before_it, done, 1, &flying[i],
                                          &error));
      mlirage_fence_release(before_it);
      before_it = done;
    }
    CHECK_OK(mlirage_fence_wait(before_it, MLIRAGE_WAIT_FOREVER, &error));
    mlirage_fence_release(before_it);
    for (size_t i = 0; i < IN_FLIGHT; ++i) mlirage_buffer_view_release(flying[i].as.view);
    mlirage_device_wait_idle(device);
  }
  for (long i = 0; i < count + warm; ++i) {
    if (i == warm) {
      mlirage_device_wait_idle(device);
      mlirage_device_statistics(device, &before);
      allocations_before = allocations;
      live_before = live;
    }
    mlirage_value_t result;
    CHECK_OK(mlirage_session_call(session, &function, argument_count, arguments, 1, &result, &error));
    if (caller_storage) CHECK(result.as.view == arguments[2].as.view);
    mlirage_buffer_view_release(result.as.view);
  }
  mlirage_device_wait_idle(device);
  mlirage_device_statistics(device, &after);
  printf(
      "many: %ld calls, %ld allocations, %ld blocks more, %llu bytes of buffers live before and %llu after, "
      "%llu blocks from the pool\n",
      count, allocations - allocations_before, live - live_before, (unsigned long long)before.live_bytes,
      (unsigned long long)after.live_bytes, (unsigned long long)(after.pool_hits - before.pool_hits));
  CHECK(allocations == allocations_before && live == live_before);
  CHECK(before.live_bytes == after.live_bytes && before.allocations == after.allocations);
  if (caller_storage) {
    float data[4];
    CHECK_OK(mlirage_array_read(arguments[2].as.view, data, sizeof(data), &error));
    for (int i = 0; i < 4; ++i) CHECK(data[i] == a[i] * b[i]);
  }
  for (size_t i = 0; i < argument_count; ++i) mlirage_buffer_view_release(arguments[i].as.view);
}

// Everything from the device to the result, or the first failure; nothing is left.
static mlirage_status_t try_everything(const char* path, const char* name) {
  mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = {NULL, resize}};
  mlirage_device_t* device = NULL;
  MLIRAGE_TRY(mlirage_device_create(name, &options, &device, &error));
  mlirage_session_t* session = NULL;
  mlirage_value_t arguments[2] = {{.kind = 'r', .as.view = NULL}, {.kind = 'r', .as.view = NULL}};
  mlirage_value_t result = {.kind = 'r', .as.view = NULL};
  const float data[4] = {1, 2, 3, 4};
  const size_t four = 4;
  mlirage_status_t status = mlirage_session_load_file(device, path, NULL, &session, &error);
  mlirage_function_t function;
  if (status == MLIRAGE_OK) status = mlirage_session_lookup(session, "main", &function, &error);
  for (int i = 0; i < 2 && status == MLIRAGE_OK; ++i) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, &four, data, &arguments[i].as.view, &error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_call(session, &function, 2, arguments, 1, &result, &error);
  mlirage_buffer_view_release(result.as.view);
  for (int i = 0; i < 2; ++i) mlirage_buffer_view_release(arguments[i].as.view);
  mlirage_session_release(session);
  mlirage_device_wait_idle(device);
  mlirage_device_release(device);
  CHECK(live == 0);
  return status;
}

static void run_out_of_memory(const char* path, const char* name) {
  for (fail_at = 1;; ++fail_at) {
    allocations = 0;
    const mlirage_status_t status = try_everything(path, name);
    if (status == MLIRAGE_OK) break;
    CHECK(status == MLIRAGE_OUT_OF_MEMORY);
  }
  printf("memory ran out at %ld places\n", fail_at - 1);
}

int main(int argc, char** argv) {
  CHECK(argc >= 4);
  const char* mode = argv[3];
  if (strcmp(mode, "memory") == 0) {
    run_out_of_memory(argv[1], argv[2]);
    return 0;
  }
  mlirage_device_t* device = open_device(argv[2]);
  mlirage_static_library_module_t* library = NULL;
  mlirage_session_t* session = NULL;
  if (mlirage_executable_library_query != NULL) {
    session = load_linked(device, argv[1], &library);
  } else {
    CHECK_OK(mlirage_session_load_file(device, argv[1], NULL, &session, &error));
  }
  if (strcmp(mode, "chain") == 0) run_chain(device, session, MLIRAGE_OK);
  if (strcmp(mode, "failure") == 0) run_chain(device, session, MLIRAGE_ABORTED);
  if (strcmp(mode, "cycle") == 0) run_cycle(device, session);
  if (strcmp(mode, "interleaved") == 0) run_interleaved(device, mlirage_session_module(session));
  if (strcmp(mode, "many") == 0) run_many(device, session, strtol(argv[4], NULL, 10), false);
  if (strcmp(mode, "caller") == 0) run_many(device, session, strtol(argv[4], NULL, 10), true);
  mlirage_session_release(session);
  mlirage_static_library_module_release(library);
  mlirage_device_wait_idle(device);
  mlirage_device_release(device);
  CHECK(live == 0);
  return 0;
}
