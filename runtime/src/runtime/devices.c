// Devices by name, with everything that this build has.
#include "hal/device.h"
#include "mlirage/runtime.h"
#include "vmvx_module/loader.h"

static const mlirage_executable_loader_t* const loaders[] = {&mlirage_loader_embedded_elf, &mlirage_loader_system,
                                                             &mlirage_loader_vmvx};

typedef mlirage_status_t (*create_t)(const mlirage_device_options_t* options, mlirage_device_t** out_device,
                                     mlirage_error_t* error);
static const char* const names[] = {"local-task", "local-sync", "null", NULL};
static const create_t creators[] = {mlirage_local_task_device_create, mlirage_local_sync_device_create,
                                    mlirage_null_device_create};

const char* const* mlirage_driver_names(void) { return names; }

mlirage_status_t mlirage_device_create(const char* name, const mlirage_device_options_t* options,
                                       mlirage_device_t** out_device, mlirage_error_t* error) {
  *out_device = NULL;
  const mlirage_device_options_t defaults = {.struct_size = sizeof(defaults), .allocator = mlirage_allocator_system()};
  mlirage_device_options_t completed;
  MLIRAGE_TRY(mlirage_device_options_read(options != NULL ? options : &defaults, &completed, error));
  if (completed.loaders == NULL) {
    completed.loaders = loaders;
    completed.loader_count = sizeof(loaders) / sizeof(loaders[0]);
  }
  for (size_t i = 0; names[i] != NULL; ++i) {
    if (mlirage_string_equal(mlirage_string(names[i]), mlirage_string(name))) {
      return creators[i](&completed, out_device, error);
    }
  }
  return mlirage_fail(error, MLIRAGE_NOT_FOUND, "no device '%s'; this build has local-task, local-sync, null", name);
}
