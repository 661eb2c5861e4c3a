#include "hal/device.h"

#include "base/memory.h"

static void destroy(void* object) {
  mlirage_device_t* device = object;
  device->vtable->destroy(device);
}

const mlirage_object_type_t mlirage_device_type = {"hal.device", destroy};

// The first version of the options ended here; none is shorter.
#define LEAST_OPTIONS (offsetof(mlirage_device_options_t, core_count) + sizeof(size_t))

mlirage_status_t mlirage_device_options_read(const mlirage_device_options_t* given,
                                             mlirage_device_options_t* out_options, mlirage_error_t* error) {
  memset(out_options, 0, sizeof(*out_options));
  if (given->struct_size < LEAST_OPTIONS) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "struct_size of the device's options is %zu; set it to sizeof(mlirage_device_options_t)",
                        given->struct_size);
  }
  const size_t known = given->struct_size < sizeof(*given) ? given->struct_size : sizeof(*given);
  memcpy(out_options, given, known);
  if (out_options->allocator.resize == NULL) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "the device's options have no allocator");
  }
  return MLIRAGE_OK;
}

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

void mlirage_device_deinitialize(mlirage_device_t* device) {
  mlirage_device_profiling_end(device);
  mlirage_pool_trim(&device->pool);
}

const char* mlirage_device_name(const mlirage_device_t* device) { return device->name; }

mlirage_allocator_t mlirage_device_host_allocator(const mlirage_device_t* device) { return device->allocator; }

uint32_t mlirage_device_worker_count(const mlirage_device_t* device) { return device->worker_count; }

void mlirage_device_statistics(mlirage_device_t* device, mlirage_device_statistics_t* statistics) {
  const size_t struct_size = statistics->struct_size;
  mlirage_lock_acquire(&device->pool.lock);
  mlirage_device_statistics_t known = device->pool.statistics;
  mlirage_lock_release(&device->pool.lock);
  known.struct_size = struct_size;
  known.imported_buffers = __atomic_load_n(&device->imported_buffers, __ATOMIC_RELAXED);
  known.imported_bytes = __atomic_load_n(&device->imported_bytes, __ATOMIC_RELAXED);
  known.dispatches = __atomic_load_n(&device->dispatches, __ATOMIC_RELAXED);
  known.workgroups = __atomic_load_n(&device->workgroups, __ATOMIC_RELAXED);
  memset(statistics, 0, struct_size);
  memcpy(statistics, &known, struct_size < sizeof(known) ? struct_size : sizeof(known));
}

// Is |text| like |pattern|, in which a * stands for anything? At most one of these.
static bool is_like(mlirage_string_t text, mlirage_string_t pattern) {
  size_t star = 0;
  while (star < pattern.size && pattern.data[star] != '*') ++star;
  if (star == pattern.size) return mlirage_string_equal(text, pattern);
  const mlirage_string_t front = {pattern.data, star};
  const mlirage_string_t back = {pattern.data + star + 1, pattern.size - star - 1};
  if (text.size < front.size + back.size || !mlirage_string_starts_with(text, front)) return false;
  return mlirage_string_equal((mlirage_string_t){text.data + text.size - back.size, back.size}, back);
}

int64_t mlirage_device_query_i64(const mlirage_device_t* device, mlirage_string_t category, mlirage_string_t key) {
  if (mlirage_string_equal(category, mlirage_string("hal.device.id"))) {
    return is_like(mlirage_string(device->name), key);
  }
  if (mlirage_string_equal(category, mlirage_string("hal.executable.format"))) {
    return mlirage_device_supports(device, key);
  }
  if (mlirage_string_equal(category, mlirage_string("hal.device")) &&
      mlirage_string_equal(key, mlirage_string("concurrency"))) {
    return device->worker_count;
  }
  return 0;
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
