// What the drivers that run on the CPU share: a list of loaders.
#ifndef MLIRAGE_HAL_DRIVERS_CPU_H_
#define MLIRAGE_HAL_DRIVERS_CPU_H_

#include "hal/device.h"
#include "hal/executable.h"

typedef struct mlirage_cpu_device_t {
  mlirage_device_t device;
  const mlirage_executable_loader_t* const* loaders;
  size_t loader_count;
} mlirage_cpu_device_t;

bool mlirage_cpu_supports(const mlirage_device_t* device, mlirage_string_t format);
mlirage_status_t mlirage_cpu_executable_create(mlirage_device_t* device, mlirage_string_t format, mlirage_bytes_t data,
                                               mlirage_executable_t** out_executable, mlirage_error_t* error);

#endif  // MLIRAGE_HAL_DRIVERS_CPU_H_
