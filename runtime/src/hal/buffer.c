#include "hal/buffer.h"

#include "base/memory.h"

void mlirage_buffer_surrender(mlirage_buffer_t* buffer) {
  if (buffer->block != NULL) mlirage_pool_release(&buffer->device->pool, buffer->block);
  buffer->block = NULL;
  buffer->host = NULL;
}

static void destroy(void* object) {
  mlirage_buffer_t* buffer = object;
  mlirage_device_t* device = buffer->device;
  if (buffer->imported) __atomic_fetch_sub(&device->imported_bytes, buffer->length, __ATOMIC_RELAXED);
  if (buffer->release.call != NULL) {
    buffer->release.call(buffer->release.self, (mlirage_mutable_bytes_t){buffer->host, buffer->length});
  }
  mlirage_buffer_surrender(buffer);
  mlirage_buffer_release(buffer->root);
  mlirage_pool_cell_release(&device->pool, buffer, sizeof(*buffer));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_buffer_type = {"hal.buffer", destroy};

static mlirage_status_t create(mlirage_device_t* device, size_t length, mlirage_buffer_t** out_buffer,
                               mlirage_error_t* error) {
  void* cell = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, sizeof(mlirage_buffer_t), &cell) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a buffer object");
  }
  mlirage_buffer_t* buffer = cell;
  mlirage_object_initialize(&buffer->object, &mlirage_buffer_type);
  mlirage_device_retain(device);
  buffer->device = device;
  buffer->length = length;
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_allocate(mlirage_device_t* device, size_t length, mlirage_buffer_t** out_buffer,
                                         mlirage_error_t* error) {
  *out_buffer = NULL;
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(create(device, length, &buffer, error));
  if (length > 0) {
    if (mlirage_pool_acquire(&device->pool, length, &buffer->block) != MLIRAGE_OK) {
      mlirage_buffer_release(buffer);
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a buffer of %zu bytes on device '%s'", length,
                          device->name);
    }
    buffer->host = mlirage_block_data(buffer->block);
  }
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_import(mlirage_device_t* device, mlirage_mutable_bytes_t memory,
                                       mlirage_release_callback_t release, mlirage_buffer_t** out_buffer,
                                       mlirage_error_t* error) {
  *out_buffer = NULL;
  if (memory.data == NULL && memory.size != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "cannot import %zu bytes at address NULL", memory.size);
  }
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(create(device, memory.size, &buffer, error));
  buffer->host = memory.data;
  buffer->release = release;
  buffer->imported = true;
  __atomic_fetch_add(&device->imported_buffers, (size_t)1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&device->imported_bytes, memory.size, __ATOMIC_RELAXED);
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t check_range(const mlirage_buffer_t* buffer, size_t offset, size_t length,
                                    mlirage_error_t* error) {
  if (mlirage_range_fits(offset, length, buffer->length)) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "range of %zu bytes at %zu is outside of a buffer of %zu bytes",
                      length, offset, buffer->length);
}

mlirage_status_t mlirage_buffer_subspan(mlirage_buffer_t* buffer, size_t offset, size_t length,
                                        mlirage_buffer_t** out_buffer, mlirage_error_t* error) {
  *out_buffer = NULL;
  MLIRAGE_TRY(check_range(buffer, offset, length, error));
  if (length == buffer->length) {
    mlirage_buffer_retain(buffer);
    *out_buffer = buffer;
    return MLIRAGE_OK;
  }
  mlirage_buffer_t* span = NULL;
  MLIRAGE_TRY(create(buffer->device, length, &span, error));
  span->root = buffer->root != NULL ? buffer->root : buffer;
  mlirage_buffer_retain(span->root);
  span->offset = buffer->offset + offset;
  *out_buffer = span;
  return MLIRAGE_OK;
}

size_t mlirage_buffer_length(const mlirage_buffer_t* buffer) { return buffer->length; }

mlirage_device_t* mlirage_buffer_device(const mlirage_buffer_t* buffer) { return buffer->device; }

bool mlirage_buffer_same_allocation(const mlirage_buffer_t* a, const mlirage_buffer_t* b) {
  return (a->root != NULL ? a->root : a) == (b->root != NULL ? b->root : b);
}

mlirage_status_t mlirage_buffer_host(const mlirage_buffer_t* buffer, uint8_t** out_host, mlirage_error_t* error) {
  *out_host = NULL;
  if (buffer->length == 0) return MLIRAGE_OK;
  const mlirage_buffer_t* root = buffer->root != NULL ? buffer->root : buffer;
  if (root->host == NULL) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION,
                        "a transient buffer of %zu bytes is used after its dealloca", root->length);
  }
  *out_host = root->host + buffer->offset;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_map(mlirage_buffer_t* buffer, mlirage_map_access_t access, size_t offset, size_t length,
                                    mlirage_mutable_bytes_t* out_memory, mlirage_error_t* error) {
  (void)access;  // the host's own memory: nothing to move in either direction
  *out_memory = (mlirage_mutable_bytes_t){NULL, 0};
  MLIRAGE_TRY(check_range(buffer, offset, length, error));
  uint8_t* host = NULL;
  MLIRAGE_TRY(mlirage_buffer_host(buffer, &host, error));
  *out_memory = (mlirage_mutable_bytes_t){host == NULL ? NULL : host + offset, length};
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_export(mlirage_buffer_t* buffer, mlirage_mutable_bytes_t* out_memory,
                                       mlirage_error_t* error) {
  // The host's own memory: the range itself.
  return mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, 0, buffer->length, out_memory, error);
}

mlirage_status_t mlirage_buffer_unmap(mlirage_buffer_t* buffer, mlirage_mutable_bytes_t memory,
                                      mlirage_error_t* error) {
  (void)buffer;
  (void)memory;
  (void)error;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_read(mlirage_buffer_t* buffer, size_t offset, void* target, size_t length,
                                     mlirage_error_t* error) {
  mlirage_mutable_bytes_t memory;
  MLIRAGE_TRY(mlirage_buffer_map(buffer, MLIRAGE_MAP_READ, offset, length, &memory, error));
  if (length != 0) memcpy(target, memory.data, length);
  return mlirage_buffer_unmap(buffer, memory, error);
}

mlirage_status_t mlirage_buffer_write(mlirage_buffer_t* buffer, size_t offset, const void* source, size_t length,
                                      mlirage_error_t* error) {
  mlirage_mutable_bytes_t memory;
  MLIRAGE_TRY(mlirage_buffer_map(buffer, MLIRAGE_MAP_WRITE, offset, length, &memory, error));
  if (length != 0) memcpy(memory.data, source, length);
  return mlirage_buffer_unmap(buffer, memory, error);
}
