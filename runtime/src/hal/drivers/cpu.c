#include "hal/drivers/cpu.h"

bool mlirage_cpu_supports(const mlirage_device_t* device, mlirage_string_t format) {
  const mlirage_cpu_device_t* cpu = (const mlirage_cpu_device_t*)device;
  return mlirage_loaders_support(cpu->loaders, cpu->loader_count, format);
}

mlirage_status_t mlirage_cpu_executable_create(mlirage_device_t* device, mlirage_string_t format, mlirage_bytes_t data,
                                               mlirage_executable_t** out_executable, mlirage_error_t* error) {
  const mlirage_cpu_device_t* cpu = (const mlirage_cpu_device_t*)device;
  return mlirage_loaders_load(cpu->loaders, cpu->loader_count, device->allocator, format, data, out_executable, error);
}
