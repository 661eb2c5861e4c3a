// Devices by name, with everything that this build has.
#include "hal/device.h"
#include "mlirage/runtime.h"
#include "runtime/drivers.h"
#include "runtime/perf_map.h"
#include "vmvx_module/loader.h"

static const mlirage_executable_loader_t* const loaders[] = {&mlirage_loader_embedded_elf, &mlirage_loader_system,
                                                             &mlirage_loader_vmvx};
static const mlirage_executable_loader_t* const naming_loaders[] = {&mlirage_loader_with_perf_map,
                                                                    &mlirage_loader_system, &mlirage_loader_vmvx};

const char* const* mlirage_driver_names(void) { return mlirage_drivers_names; }

mlirage_status_t mlirage_device_create(const char* name, const mlirage_device_options_t* options,
                                       mlirage_device_t** out_device, mlirage_error_t* error) {
  *out_device = NULL;
  const mlirage_device_options_t defaults = {.struct_size = sizeof(defaults), .allocator = mlirage_allocator_system()};
  mlirage_device_options_t completed;
  MLIRAGE_TRY(mlirage_device_options_read(options != NULL ? options : &defaults, &completed, error));
  if (completed.loaders == NULL) {
    completed.loaders = mlirage_perf_map_wanted() ? naming_loaders : loaders;
    completed.loader_count = sizeof(loaders) / sizeof(loaders[0]);
  }
  char known[64] = "";
  size_t size = 0;
  for (size_t i = 0; mlirage_drivers_names[i] != NULL; ++i) {
    if (mlirage_string_equal(mlirage_string(mlirage_drivers_names[i]), mlirage_string(name))) {
      return mlirage_drivers_creators[i](&completed, out_device, error);
    }
    if (size < sizeof(known)) {
      size += mlirage_format(known + size, sizeof(known) - size, "%s%s", i == 0 ? "" : ", ", mlirage_drivers_names[i]);
    }
  }
  return mlirage_fail(error, MLIRAGE_NOT_FOUND, "no device '%s'; this build has %s", name, known);
}
