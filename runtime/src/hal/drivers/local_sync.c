// local-sync: everything on the calling thread, in the call.
#include "hal/drivers/cpu.h"
#include "hal/drivers/replay.h"

static void destroy(mlirage_device_t* device) {
  const mlirage_allocator_t allocator = device->allocator;
  mlirage_device_deinitialize(device);
  mlirage_free(allocator, device, sizeof(mlirage_cpu_device_t));
}

static mlirage_status_t execute(mlirage_device_t* device, mlirage_command_buffer_t* command_buffer,
                                const mlirage_binding_t* bindings, mlirage_fence_t* signal, mlirage_error_t* error) {
  (void)signal;  // done on return
  mlirage_replay_t replay;
  MLIRAGE_TRY(mlirage_replay_begin(&replay, device, command_buffer, bindings, 1, error));
  const mlirage_status_t status = mlirage_replay_run(&replay, error);
  mlirage_replay_end(&replay);
  return status;
}

static const mlirage_device_vtable_t vtable = {
    .destroy = destroy,
    .supports = mlirage_cpu_supports,
    .executable_create = mlirage_cpu_executable_create,
    .execute = execute,
};

mlirage_status_t mlirage_local_sync_device_create(const mlirage_device_options_t* given, mlirage_device_t** out_device,
                                                  mlirage_error_t* error) {
  *out_device = NULL;
  mlirage_device_options_t options;
  MLIRAGE_TRY(mlirage_device_options_read(given, &options, error));
  void* block = NULL;
  if (mlirage_allocate(options.allocator, sizeof(mlirage_cpu_device_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a device");
  }
  mlirage_cpu_device_t* cpu = block;
  mlirage_device_initialize(&cpu->device, &vtable, "local-sync", options.allocator, 1);
  cpu->loaders = options.loaders;
  cpu->loader_count = options.loader_count;
  *out_device = &cpu->device;
  return MLIRAGE_OK;
}
