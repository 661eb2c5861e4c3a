#include "hal/device.h"

#include "base/memory.h"

static void destroy(void* object) {
  mlirage_device_t* device = object;
  device->vtable->destroy(device);
}

const mlirage_object_type_t mlirage_device_type = {"hal.device", destroy};

void mlirage_device_initialize(mlirage_device_t* device, const mlirage_device_vtable_t* vtable, const char* name,
                               mlirage_allocator_t allocator, uint32_t worker_count) {
  memset(device, 0, sizeof(*device));
  mlirage_object_initialize(&device->object, &mlirage_device_type);
  device->vtable = vtable;
  device->name = name;
  device->allocator = allocator;
  device->worker_count = worker_count;
  mlirage_pool_initialize(&device->pool, allocator);
}

void mlirage_device_deinitialize(mlirage_device_t* device) { mlirage_pool_trim(&device->pool); }

const char* mlirage_device_name(const mlirage_device_t* device) { return device->name; }

mlirage_allocator_t mlirage_device_host_allocator(const mlirage_device_t* device) { return device->allocator; }

uint32_t mlirage_device_worker_count(const mlirage_device_t* device) { return device->worker_count; }

void mlirage_device_statistics(mlirage_device_t* device, mlirage_device_statistics_t* out_statistics) {
  mlirage_lock_acquire(&device->pool.lock);
  *out_statistics = device->pool.statistics;
  mlirage_lock_release(&device->pool.lock);
  out_statistics->imported_buffers = __atomic_load_n(&device->imported_buffers, __ATOMIC_RELAXED);
  out_statistics->dispatches = __atomic_load_n(&device->dispatches, __ATOMIC_RELAXED);
  out_statistics->workgroups = __atomic_load_n(&device->workgroups, __ATOMIC_RELAXED);
}

void mlirage_device_trim(mlirage_device_t* device) { mlirage_pool_trim(&device->pool); }

bool mlirage_device_supports(const mlirage_device_t* device, mlirage_string_t format) {
  return device->vtable->supports(device, format);
}

mlirage_status_t mlirage_executable_create(mlirage_device_t* device, mlirage_string_t format, mlirage_bytes_t data,
                                           mlirage_executable_t** out_executable, mlirage_error_t* error) {
  *out_executable = NULL;
  return device->vtable->executable_create(device, format, data, out_executable, error);
}

void mlirage_device_wait_idle(mlirage_device_t* device) {
  if (device->vtable->wait_queue != NULL) device->vtable->wait_queue(device);
}
