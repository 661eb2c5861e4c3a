// The VM from C: native modules, the cost of a call, and that running out of memory
// at any point leaks nothing. Usage: vm_test MODULE, a module made by
// tests/vm/c_vm_test.py with the functions used below.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mlirage/vm.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

//===--------------------------------------------------------------------------===
// An allocator that fails at the n-th block and counts what is alive
//===--------------------------------------------------------------------------===

typedef struct counting_t {
  long fail_at;  // 0: never
  long allocations;
  long live;
} counting_t;

static void* counting_resize(void* self, void* block, size_t old_size, size_t new_size) {
  (void)old_size;
  counting_t* counting = self;
  if (new_size == 0) {
    counting->live -= block != NULL;
    free(block);
    return NULL;
  }
  if (++counting->allocations == counting->fail_at) return NULL;
  counting->live += block == NULL;
  return realloc(block, new_size);
}

//===--------------------------------------------------------------------------===
// A native module
//===--------------------------------------------------------------------------===

typedef struct box_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  int64_t value;
} box_t;

static void destroy_box(void* object) {
  box_t* box = object;
  mlirage_free(box->allocator, box, sizeof(*box));
}
static const mlirage_object_type_t box_type = {"test.box", destroy_box};

static mlirage_status_t box_make(mlirage_vm_call_t* call) {
  const counting_t* counting = call->self;
  const mlirage_allocator_t allocator = {call->self, counting_resize};
  CHECK(counting != NULL);
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(allocator, sizeof(box_t), &block));
  box_t* box = block;
  mlirage_object_initialize(&box->object, &box_type);
  box->allocator = allocator;
  box->value = mlirage_vm_i64(call->scalars[0]);
  call->ref_results[0] = box;
  return MLIRAGE_OK;
}

static mlirage_status_t box_read(mlirage_vm_call_t* call) {
  MLIRAGE_TRY(mlirage_vm_check_ref(call->refs[0], &box_type, "box", call->error));
  const box_t* box = call->refs[0];
  call->scalar_results[0] = mlirage_vm_from_i64(box->value);
  return MLIRAGE_OK;
}

static const mlirage_vm_native_export_t box_exports[] = {
    {"make", "I_r", box_make},
    {"read", "r_I", box_read},
};

//===--------------------------------------------------------------------------===
// Scenarios
//===--------------------------------------------------------------------------===

static mlirage_bytes_t contents;

static mlirage_status_t create(mlirage_allocator_t allocator, mlirage_vm_context_t** out_context,
                               mlirage_error_t* error) {
  mlirage_module_t* module = NULL;
  const mlirage_module_storage_t storage = {contents, NULL, NULL};
  MLIRAGE_TRY(mlirage_module_create(allocator, storage, MLIRAGE_MODULE_CHECK_DATA, &module, error));
  const mlirage_vm_native_module_t native = {"box", 1, sizeof(box_exports) / sizeof(*box_exports), box_exports,
                                             allocator.self};
  const mlirage_status_t status =
      mlirage_vm_context_create(allocator, NULL, &native, 1, &module, 1, out_context, error);
  mlirage_module_release(module);
  return status;
}

static mlirage_status_t call(mlirage_vm_invocation_t* invocation, mlirage_vm_context_t* context, const char* name,
                             uint64_t argument, uint64_t* out_result, mlirage_error_t* error) {
  mlirage_vm_function_t function;
  MLIRAGE_TRY(mlirage_vm_context_lookup(context, 0, name, &function, error));
  return mlirage_vm_invoke(invocation, &function, &argument, NULL, out_result, NULL, error);
}

// Boxes are made in the initializer, in a loop, and kept in a global.
static mlirage_status_t scenario(mlirage_allocator_t allocator) {
  mlirage_error_t error;
  mlirage_vm_context_t* context = NULL;
  mlirage_vm_invocation_t* invocation = NULL;
  mlirage_status_t status = create(allocator, &context, &error);
  if (status == MLIRAGE_OK) status = mlirage_vm_invocation_create(context, &invocation, &error);
  uint64_t result = 0;
  if (status == MLIRAGE_OK) status = call(invocation, context, "boxes", 5, &result, &error);
  if (status == MLIRAGE_OK) CHECK(result == 0 + 1 + 2 + 3 + 4 + 100);
  if (status != MLIRAGE_OK) CHECK(strlen(error.text) > 0);
  mlirage_vm_invocation_release(invocation);
  mlirage_vm_context_release(context);
  return status;
}

static void test_out_of_memory(void) {
  for (long n = 1;; ++n) {
    counting_t counting = {.fail_at = n};
    const mlirage_status_t status = scenario((mlirage_allocator_t){&counting, counting_resize});
    CHECK(counting.live == 0);
    if (status == MLIRAGE_OK) {
      printf("out of memory: ok after %ld fault points\n", n - 1);
      return;
    }
    CHECK(status == MLIRAGE_OUT_OF_MEMORY);
  }
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Calls allocate nothing; prints what they cost.
static void test_cost(void) {
  counting_t counting = {0};
  mlirage_error_t error;
  mlirage_vm_context_t* context = NULL;
  mlirage_vm_invocation_t* invocation = NULL;
  CHECK(create((mlirage_allocator_t){&counting, counting_resize}, &context, &error) == MLIRAGE_OK);
  CHECK(mlirage_vm_invocation_create(context, &invocation, &error) == MLIRAGE_OK);
  static const struct {
    const char* name;
    uint64_t argument;
    uint64_t result;
    long calls;
    const char* what;
  } rows[] = {
      {"increment", 41, 42, 1000000, "a call from C of a function that adds 1"},
      {"imports", 10, 1000, 100000, "10 calls of a native function"},
      {"sum", 1000, 499500, 2000, "1000 rounds of a loop of 4 instructions"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
    mlirage_vm_function_t function;
    CHECK(mlirage_vm_context_lookup(context, 0, rows[i].name, &function, &error) == MLIRAGE_OK);
    const long before = counting.allocations;
    const double start = seconds();
    for (long k = 0; k < rows[i].calls; ++k) {
      uint64_t result = 0;
      CHECK(mlirage_vm_invoke(invocation, &function, &rows[i].argument, NULL, &result, NULL, &error) == MLIRAGE_OK);
      CHECK(result == rows[i].result);
    }
    printf("%s: %.1f ns\n", rows[i].what, (seconds() - start) * 1e9 / (double)rows[i].calls);
    CHECK(counting.allocations == before);
  }
  mlirage_vm_invocation_release(invocation);
  mlirage_vm_context_release(context);
  CHECK(counting.live == 0);
}

int main(int argc, char** argv) {
  CHECK(argc == 2);
  FILE* file = fopen(argv[1], "rb");
  CHECK(file != NULL);
  const size_t capacity = (size_t)1 << 20;
  uint8_t* memory = aligned_alloc(MLIRAGE_MODULE_ALIGNMENT, capacity);
  CHECK(memory != NULL);
  contents = (mlirage_bytes_t){memory, fread(memory, 1, capacity, file)};
  fclose(file);
  test_out_of_memory();
  test_cost();
  free(memory);
  return 0;
}
