// Functions of the host that programs call, and programs that call each other, in one context:
//   custom_module main.mlirage library.mlirage
//
// "main" imports host.scale ("I_I", here), and lib.twice of the module "lib"; its function
// run(x) is lib.twice(host.scale(x)).
#include <stdio.h>
#include <stdlib.h>

#include "mlirage/module.h"
#include "mlirage/vm.h"

// What the module `host` keeps.
typedef struct host_t {
  int64_t factor;
  int calls;
} host_t;

// Operands and results are slots, in the order of the convention: "I_I" is i64 -> i64.
static mlirage_status_t scale(mlirage_vm_call_t* call) {
  host_t* host = call->self;
  ++host->calls;
  int64_t product = 0;
  if (__builtin_mul_overflow(mlirage_vm_i64(call->scalars[0]), host->factor, &product)) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "host.scale: the product does not fit");
  }
  call->scalar_results[0] = mlirage_vm_from_i64(product);
  return MLIRAGE_OK;
}

static const mlirage_vm_native_export_t exports[] = {{"scale", "I_I", scale}};

static void release_contents(void* contents) { free(contents); }

// The module in the file |path|; its memory is the module's from here on.
static mlirage_status_t load(const char* path, mlirage_module_t** out_module, mlirage_error_t* error) {
  *out_module = NULL;
  FILE* file = fopen(path, "rb");
  if (file == NULL) return mlirage_fail(error, MLIRAGE_NOT_FOUND, "cannot open '%s'", path);
  void* contents = aligned_alloc(MLIRAGE_MODULE_ALIGNMENT, 1 << 20);
  const size_t size = contents != NULL ? fread(contents, 1, 1 << 20, file) : 0;
  fclose(file);
  if (contents == NULL) return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for '%s'", path);
  const mlirage_module_storage_t storage = {{contents, size}, contents, release_contents};
  const mlirage_status_t status =
      mlirage_module_create(mlirage_allocator_system(), storage, MLIRAGE_MODULE_DEFAULT, out_module, error);
  if (status != MLIRAGE_OK) free(contents);
  return status;
}

static mlirage_status_t run(char** paths, mlirage_error_t* error) {
  host_t host = {.factor = 10};
  const mlirage_vm_native_module_t native = {"host", 0, 1, exports, &host};
  mlirage_module_t* modules[2] = {NULL, NULL};
  mlirage_vm_context_t* context = NULL;
  mlirage_vm_invocation_t* invocation = NULL;
  mlirage_vm_function_t function;
  const uint64_t argument = mlirage_vm_from_i64(21);
  uint64_t result = 0;

  mlirage_status_t status = load(paths[0], &modules[0], error);
  if (status == MLIRAGE_OK) status = load(paths[1], &modules[1], error);
  if (status == MLIRAGE_OK) {
    status = mlirage_vm_context_create(mlirage_allocator_system(), NULL, &native, 1, modules, 2, &context, error);
  }
  if (status == MLIRAGE_OK) status = mlirage_vm_context_lookup(context, 0, "run", &function, error);
  if (status == MLIRAGE_OK) status = mlirage_vm_invocation_create(context, &invocation, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_vm_invoke(invocation, &function, &argument, NULL, &result, NULL, error);
  }
  if (status == MLIRAGE_OK) printf("%lld after %d call\n", (long long)mlirage_vm_i64(result), host.calls);
  mlirage_vm_invocation_release(invocation);
  mlirage_vm_context_release(context);
  mlirage_module_release(modules[0]);
  mlirage_module_release(modules[1]);
  return status;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: custom_module MAIN LIBRARY\n");
    return 2;
  }
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_status_t status = run(argv + 1, &error);
  if (status != MLIRAGE_OK) fprintf(stderr, "custom_module: %s: %s\n", mlirage_status_name(status), error.text);
  return status == MLIRAGE_OK ? 0 : 1;
}
