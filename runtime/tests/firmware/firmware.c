// A program for bare metal: the virtual machine, a device and the module `hal`, in memory of
// its own. It is linked without any library: what the runtime needs beyond this folder would
// be an error of the linker.
#include "firmware.h"

#include "mlirage/hal_module.h"
#include "mlirage/module.h"
#include "mlirage/vm.h"

static _Alignas(64) uint8_t memory[16 << 10];

static mlirage_status_t call(mlirage_vm_context_t* context, int64_t argument, int64_t* out_result,
                             mlirage_error_t* error) {
  mlirage_vm_function_t function;
  MLIRAGE_TRY(mlirage_vm_context_lookup(context, 0, "main", &function, error));
  mlirage_vm_invocation_t* invocation = NULL;
  MLIRAGE_TRY(mlirage_vm_invocation_create(context, &invocation, error));
  const uint64_t scalar = mlirage_vm_from_i64(argument);
  uint64_t result = 0;
  const mlirage_status_t status = mlirage_vm_invoke(invocation, &function, &scalar, NULL, &result, NULL, error);
  *out_result = mlirage_vm_i64(result);
  mlirage_vm_invocation_release(invocation);
  return status;
}

static mlirage_status_t run(mlirage_allocator_t allocator, mlirage_bytes_t contents, int64_t argument,
                            int64_t* out_result, mlirage_error_t* error) {
  const mlirage_device_options_t options = {.struct_size = sizeof(options), .allocator = allocator};
  mlirage_device_t* device = NULL;
  mlirage_hal_module_t* hal = NULL;
  mlirage_module_t* module = NULL;
  mlirage_vm_context_t* context = NULL;
  mlirage_status_t status = mlirage_local_sync_device_create(&options, &device, error);
  if (status == MLIRAGE_OK) status = mlirage_hal_module_create(allocator, &device, 1, &hal);
  if (status == MLIRAGE_OK) {
    const mlirage_module_storage_t storage = {contents, NULL, NULL};
    status = mlirage_module_create(allocator, storage, MLIRAGE_MODULE_DEFAULT, &module, error);
  }
  if (status == MLIRAGE_OK) {
    const mlirage_vm_native_module_t native = mlirage_hal_module_functions(hal);
    const mlirage_vm_options_t small = {.stack_size = 4096};
    status = mlirage_vm_context_create(allocator, &small, &native, 1, &module, 1, &context, error);
  }
  if (status == MLIRAGE_OK) status = call(context, argument, out_result, error);
  mlirage_vm_context_release(context);
  mlirage_module_release(module);
  mlirage_hal_module_release(hal);
  mlirage_device_release(device);
  return status;
}

int firmware_main(const uint8_t* module, size_t size, int64_t argument, int64_t* out_result) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_allocator_t allocator;
  mlirage_status_t status =
      mlirage_arena_initialize((mlirage_mutable_bytes_t){memory, sizeof(memory)}, &allocator, &error);
  if (status == MLIRAGE_OK) status = run(allocator, (mlirage_bytes_t){module, size}, argument, out_result, &error);
  return (int)status;
}
