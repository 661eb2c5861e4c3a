// The native VM module `hal_loader`: executables of the module file, run in the call.
// A function per op of HalLoader in mlirage/hal/inline_dialect.py, in its order.
#include "mlirage/hal_loader_module.h"

#include "base/memory.h"
#include "hal/device.h"
#include "hal/executable.h"
#include "hal_loader_module/dispatch.h"
#include "hal_module/arguments.h"

struct mlirage_hal_loader_module_t {
  mlirage_allocator_t allocator;
  mlirage_device_t* device;
  mlirage_dispatch_memory_t memory;
};

static mlirage_status_t executable_query_support(mlirage_vm_call_t* call) {
  const mlirage_hal_loader_module_t* module = call->self;
  REF(rodata, format, 0);
  mlirage_string_t text = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, format, "format", &text));
  call->scalar_results[0] = mlirage_device_supports(module->device, text);
  return MLIRAGE_OK;
}

static mlirage_status_t executable_load(mlirage_vm_call_t* call) {
  const mlirage_hal_loader_module_t* module = call->self;
  REF(rodata, format, 0);
  REF(rodata, data, 1);
  mlirage_string_t text = {NULL, 0};
  mlirage_bytes_t bytes = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, format, "format", &text));
  MLIRAGE_TRY(mlirage_argument_bytes(call, data, "data", &bytes));
  mlirage_executable_t* executable = NULL;
  MLIRAGE_TRY(mlirage_executable_create(module->device, text, bytes, &executable, call->error));
  call->ref_results[0] = executable;
  return MLIRAGE_OK;
}

static mlirage_status_t executable_dispatch(mlirage_vm_call_t* call) {
  mlirage_hal_loader_module_t* module = call->self;
  REF(executable, executable, 0);
  uint64_t workgroups = 0;
  MLIRAGE_TRY(mlirage_dispatch_inline(call, 1, &executable->library, &module->memory, &workgroups));
  __atomic_fetch_add(&module->device->dispatches, (size_t)1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&module->device->workgroups, (size_t)workgroups, __ATOMIC_RELAXED);
  return MLIRAGE_OK;
}

// Conventions are made from the ops by mlirage/vm/convert_hal.py; a test compares.
static const mlirage_vm_native_export_t exports[] = {
    {"executable_query_support", "r_i", executable_query_support},
    {"executable_load", "rr_r", executable_load},
    {"executable_dispatch", "riIII[i][r][I][I]_", executable_dispatch},
};

mlirage_status_t mlirage_hal_loader_module_create(mlirage_allocator_t allocator, mlirage_device_t* device,
                                                  mlirage_hal_loader_module_t** out_module) {
  *out_module = NULL;
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(allocator, sizeof(mlirage_hal_loader_module_t), &block));
  mlirage_hal_loader_module_t* module = block;
  module->allocator = allocator;
  module->memory.allocator = allocator;
  mlirage_device_retain(device);
  module->device = device;
  *out_module = module;
  return MLIRAGE_OK;
}

void mlirage_hal_loader_module_release(mlirage_hal_loader_module_t* module) {
  if (module == NULL) return;
  mlirage_dispatch_memory_free(&module->memory);
  mlirage_device_release(module->device);
  mlirage_free(module->allocator, module, sizeof(*module));
}

mlirage_vm_native_module_t mlirage_hal_loader_module_functions(mlirage_hal_loader_module_t* module) {
  return (mlirage_vm_native_module_t){
      .name = "hal_loader",
      .version = 1,
      .export_count = sizeof(exports) / sizeof(*exports),
      .exports = exports,
      .self = module,
  };
}
