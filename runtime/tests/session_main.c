// Sessions over a module given on the command line (tests/runtime/programs.py), under
// sanitizers: loading, calling, wrong calls, and running out of memory at every point.
//   session_main MODULE MODULE_WITHOUT_WEIGHTS WEIGHTS…
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/runtime.h"

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

typedef struct counting_t {
  long fail_at;
  long allocations;
  long live;
} counting_t;

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  counting_t* counting = self;
  (void)old_size;
  if (new_size == 0) {
    __atomic_fetch_sub(&counting->live, 1, __ATOMIC_RELAXED);
    free(block);
    return NULL;
  }
  const long number = __atomic_add_fetch(&counting->allocations, 1, __ATOMIC_RELAXED);
  if (counting->fail_at != 0 && number >= counting->fail_at) return NULL;
  if (block == NULL) __atomic_fetch_add(&counting->live, 1, __ATOMIC_RELAXED);
  return realloc(block, new_size);
}

static mlirage_status_t call_main(mlirage_device_t* device, mlirage_session_t* session, size_t count,
                                  mlirage_error_t* error) {
  mlirage_function_t function;
  MLIRAGE_TRY(mlirage_session_lookup(session, "main", &function, error));
  float data[100];
  for (size_t i = 0; i < 100; ++i) data[i] = (float)i;
  mlirage_value_t arguments[2] = {{.kind = 'r', .as.view = NULL}, {.kind = 'r', .as.view = NULL}};
  mlirage_value_t result = {.kind = 'r', .as.view = NULL};
  mlirage_status_t status = MLIRAGE_OK;
  for (int i = 0; i < 2 && status == MLIRAGE_OK; ++i) {
    status = mlirage_array_create(device, MLIRAGE_ELEMENT_FLOAT_32, 1, &count, data, &arguments[i].as.view, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_call(session, &function, 2, arguments, 1, &result, error);
  if (status == MLIRAGE_OK) status = mlirage_array_read(result.as.view, data, count * sizeof(float), error);
  for (size_t i = 0; i < count && status == MLIRAGE_OK; ++i) CHECK(data[i] == (float)(2 * i));
  mlirage_buffer_view_release(arguments[0].as.view);
  mlirage_buffer_view_release(arguments[1].as.view);
  mlirage_buffer_view_release(result.as.view);
  return status;
}

// Wrong calls say what is wrong and change nothing.
static void call_wrongly(mlirage_session_t* session) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_function_t function;
  CHECK(mlirage_session_lookup(session, "nothing", &function, &error) == MLIRAGE_NOT_FOUND);
  CHECK(strstr(error.text, "no function 'nothing'; the module has: echo, main") != NULL);
  CHECK(mlirage_session_function_count(session) == 2);
  CHECK(mlirage_session_function(session, 2, &function, &error) == MLIRAGE_OUT_OF_RANGE);
  CHECK(mlirage_session_function(session, 0, &function, &error) == MLIRAGE_OK && strcmp(function.name, "echo") == 0);
  CHECK(mlirage_session_lookup(session, "main", &function, &error) == MLIRAGE_OK);
  const mlirage_value_t null[2] = {{.kind = 'r', .as.view = NULL}, {.kind = 'r', .as.view = NULL}};
  const mlirage_value_t number[2] = {{.kind = 'i', .as.i32 = 1}, {.kind = 'i', .as.i32 = 1}};
  mlirage_value_t result;
  CHECK(mlirage_session_call(session, &function, 1, null, 1, &result, &error) == MLIRAGE_INVALID_ARGUMENT);
  CHECK(strcmp(error.text, "'main' takes 2 arguments and gives 1 results, got 1 and 1") == 0);
  CHECK(mlirage_session_call(session, &function, 2, null, 1, &result, &error) == MLIRAGE_INVALID_ARGUMENT);
  CHECK(strcmp(error.text, "'main': argument 0 is NULL") == 0);
  CHECK(mlirage_session_call(session, &function, 2, number, 1, &result, &error) == MLIRAGE_INVALID_ARGUMENT);
  CHECK(result.kind == 'r' && result.as.view == NULL);
}

static mlirage_status_t scenario(const char* path, const char* driver, mlirage_allocator_t allocator) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = allocator, .worker_count = 2};
  mlirage_device_t* device = NULL;
  MLIRAGE_TRY(mlirage_device_create(driver, &options, &device, &error));
  mlirage_session_t* session = NULL;
  mlirage_session_t* second = NULL;
  mlirage_status_t status = mlirage_session_load_file(device, path, NULL, &session, &error);
  const size_t sizes[] = {4, 0, 100};
  for (size_t i = 0; i < 3 && status == MLIRAGE_OK; ++i) status = call_main(device, session, sizes[i], &error);
  // Another session over the same module has its own state and outlives the first.
  if (status == MLIRAGE_OK) {
    status = mlirage_session_create(device, mlirage_session_module(session), NULL, &second, &error);
  }
  if (status == MLIRAGE_OK) call_wrongly(session);
  mlirage_session_release(session);
  if (status == MLIRAGE_OK) status = call_main(device, second, 4, &error);
  mlirage_session_release(second);
  mlirage_device_release(device);
  return status;
}

static mlirage_status_t weights_scenario(const char* path, const char* weights, mlirage_allocator_t allocator) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = allocator};
  static uint8_t more[64];
  mlirage_device_t* device = NULL;
  mlirage_parameters_t* parameters = NULL;
  mlirage_session_t* session = NULL;
  mlirage_status_t status = mlirage_device_create("local-sync", &options, &device, &error);
  if (status == MLIRAGE_OK) status = mlirage_parameters_create(allocator, &parameters);
  for (int i = 0; i < 9 && status == MLIRAGE_OK; ++i) {
    const char key[2] = {(char)('a' + i), 0};
    status = mlirage_parameters_add(parameters, mlirage_string("other"), mlirage_string(key),
                                    (mlirage_mutable_bytes_t){more, sizeof(more)},
                                    (mlirage_release_callback_t){NULL, NULL}, &error);
  }
  if (status == MLIRAGE_OK) {
    status = mlirage_parameters_add_file(parameters, MLIRAGE_PARAMETERS_SCOPE, weights, MLIRAGE_PARAMETERS_CHECK_DATA,
                                         &error);
  }
  if (status == MLIRAGE_OK) status = mlirage_session_load_file(device, path, parameters, &session, &error);
  mlirage_parameters_release(parameters);
  mlirage_session_release(session);
  mlirage_device_release(device);
  return status;
}

static int releases;
static void release(void* self, mlirage_mutable_bytes_t memory) {
  CHECK(self == &releases && memory.size == 10);
  ++releases;
}

int main(int argc, char** argv) {
  CHECK(argc >= 2);
  static const char* const drivers[] = {"local-sync", "local-task"};
  for (int d = 0; d < 2; ++d) {
    for (long n = 1;; ++n) {
      counting_t counting = {n, 0, 0};
      const mlirage_status_t status = scenario(argv[1], drivers[d], (mlirage_allocator_t){&counting, resize});
      CHECK(counting.live == 0);
      if (status == MLIRAGE_OK) {
        printf("%s: %ld points of failure\n", drivers[d], n - 1);
        break;
      }
      CHECK(status == MLIRAGE_OUT_OF_MEMORY);
    }
  }
  for (int w = 3; w < argc; ++w) {
    for (long n = 1;; ++n) {
      counting_t counting = {n, 0, 0};
      const mlirage_status_t status = weights_scenario(argv[2], argv[w], (mlirage_allocator_t){&counting, resize});
      CHECK(counting.live == 0);
      if (status == MLIRAGE_OK) {
        printf("%s: %ld points of failure\n", strrchr(argv[w], '.'), n - 1);
        break;
      }
      CHECK(status == MLIRAGE_OUT_OF_MEMORY);
    }
  }
  // Memory given to a failing load is given back, aligned or not.
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = NULL;
  CHECK(mlirage_device_create("local-sync", NULL, &device, &error) == MLIRAGE_OK);
  CHECK(mlirage_device_create("x", NULL, &(mlirage_device_t*){NULL}, &error) == MLIRAGE_NOT_FOUND);
  static _Alignas(64) uint8_t junk[80];
  for (size_t offset = 0; offset < 2; ++offset) {
    mlirage_session_t* session = NULL;
    const mlirage_mutable_bytes_t memory = {junk + offset, 10};
    CHECK(mlirage_session_load_memory(device, memory, (mlirage_release_callback_t){release, &releases}, NULL, &session,
                                      &error) == MLIRAGE_INVALID_MODULE);
    CHECK(session == NULL && releases == (int)offset + 1);
  }
  mlirage_device_release(device);
  return 0;
}
