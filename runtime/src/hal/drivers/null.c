// null: accepts everything and runs nothing. A new driver starts as a copy of this file:
// memory, waiting and checking are the generic part's, what follows is all that is left.
#include "hal/command_buffer.h"
#include "hal/drivers/cpu.h"

static void destroy(mlirage_device_t* device) {
  const mlirage_allocator_t allocator = device->allocator;
  mlirage_device_deinitialize(device);
  mlirage_free(allocator, device, sizeof(mlirage_cpu_device_t));
}

// A real driver walks command_buffer->commands here; see drivers/replay.c.
static mlirage_status_t execute(mlirage_device_t* device, mlirage_command_buffer_t* command_buffer,
                                const mlirage_binding_t* bindings, mlirage_fence_t* signal, mlirage_error_t* error) {
  (void)device;
  (void)command_buffer;
  (void)bindings;
  (void)signal;  // a driver that returns before the work is done returns MLIRAGE_PENDING and signals it
  (void)error;
  return MLIRAGE_OK;
}

// Executables are loaded as for the CPU, for their entry points' names and counts.
static const mlirage_device_vtable_t vtable = {
    .destroy = destroy,
    .supports = mlirage_cpu_supports,
    .executable_create = mlirage_cpu_executable_create,
    .execute = execute,
};

mlirage_status_t mlirage_null_device_create(const mlirage_device_options_t* given, mlirage_device_t** out_device,
                                            mlirage_error_t* error) {
  *out_device = NULL;
  mlirage_device_options_t options;
  MLIRAGE_TRY(mlirage_device_options_read(given, &options, error));
  void* block = NULL;
  if (mlirage_allocate(options.allocator, sizeof(mlirage_cpu_device_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a device");
  }
  mlirage_cpu_device_t* cpu = block;
  mlirage_device_initialize(&cpu->device, &vtable, "null", options.allocator, 1);
  cpu->loaders = options.loaders;
  cpu->loader_count = options.loader_count;
  *out_device = &cpu->device;
  return MLIRAGE_OK;
}
