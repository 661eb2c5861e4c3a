// Files: of the system, or memory of the host that is used like one.
#include "hal/file.h"

#include "base/memory.h"
#include "hal/device.h"

struct mlirage_file_t {
  mlirage_object_t object;
  mlirage_device_t* device;  // retained
  bool writable;
  bool in_memory;
  int descriptor;                      // of the system's
  mlirage_mutable_bytes_t memory;      // of those in memory
  mlirage_release_callback_t release;  // likewise
};

static void destroy(void* object) {
  mlirage_file_t* file = object;
  mlirage_device_t* device = file->device;
  if (!file->in_memory) mlirage_platform_file_close(file->descriptor);
  if (file->release.call != NULL) file->release.call(file->release.self, file->memory);
  mlirage_pool_cell_release(&device->pool, file, sizeof(*file));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_file_type = {"hal.file", destroy};

static mlirage_status_t create(mlirage_device_t* device, mlirage_file_access_t access, mlirage_file_t** out_file,
                               mlirage_error_t* error) {
  *out_file = NULL;
  void* cell = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, sizeof(mlirage_file_t), &cell) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a file object");
  }
  mlirage_file_t* file = cell;
  mlirage_object_initialize(&file->object, &mlirage_file_type);
  mlirage_device_retain(device);
  file->device = device;
  file->writable = access == MLIRAGE_FILE_WRITE;
  file->in_memory = true;
  *out_file = file;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_file_open(mlirage_device_t* device, const char* path, mlirage_file_access_t access,
                                   mlirage_file_t** out_file, mlirage_error_t* error) {
  *out_file = NULL;
  mlirage_file_t* file = NULL;
  MLIRAGE_TRY(create(device, access, &file, error));
  const mlirage_status_t status = mlirage_platform_file_open(path, file->writable, &file->descriptor, error);
  if (status != MLIRAGE_OK) {
    mlirage_file_release(file);
    return status;
  }
  file->in_memory = false;
  *out_file = file;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_file_from_descriptor(mlirage_device_t* device, int descriptor, mlirage_file_access_t access,
                                              mlirage_file_t** out_file, mlirage_error_t* error) {
  *out_file = NULL;
  mlirage_file_t* file = NULL;
  MLIRAGE_TRY(create(device, access, &file, error));
  const mlirage_status_t status = mlirage_platform_file_duplicate(descriptor, &file->descriptor, error);
  if (status != MLIRAGE_OK) {
    mlirage_file_release(file);
    return status;
  }
  file->in_memory = false;
  *out_file = file;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_file_import(mlirage_device_t* device, mlirage_mutable_bytes_t memory,
                                     mlirage_release_callback_t release, mlirage_file_access_t access,
                                     mlirage_file_t** out_file, mlirage_error_t* error) {
  *out_file = NULL;
  if (memory.data == NULL && memory.size != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "cannot import %zu bytes at address NULL", memory.size);
  }
  MLIRAGE_TRY(create(device, access, out_file, error));
  (*out_file)->memory = memory;
  (*out_file)->release = release;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_file_length(const mlirage_file_t* file, uint64_t* out_length, mlirage_error_t* error) {
  *out_length = file->memory.size;
  return file->in_memory ? MLIRAGE_OK : mlirage_platform_file_length(file->descriptor, out_length, error);
}

mlirage_status_t mlirage_file_check(const mlirage_file_t* file, bool write, uint64_t offset, size_t length,
                                    mlirage_error_t* error) {
  if (write && !file->writable) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "the file was opened for reading only");
  }
  // The system's files grow as they are written.
  uint64_t size = INT64_MAX;
  if (file->in_memory || !write) MLIRAGE_TRY(mlirage_file_length(file, &size, error));
  if (mlirage_range_fits_u64(offset, length, size)) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "range of %zu bytes at %llu is outside of a file of %llu bytes",
                      length, (unsigned long long)offset, (unsigned long long)size);
}

mlirage_status_t mlirage_file_read(mlirage_file_t* file, uint64_t offset, void* memory, size_t length,
                                   mlirage_error_t* error) {
  if (length == 0) return MLIRAGE_OK;
  if (!file->in_memory) return mlirage_platform_file_read(file->descriptor, offset, memory, length, error);
  memcpy(memory, file->memory.data + (size_t)offset, length);
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_file_write(mlirage_file_t* file, uint64_t offset, const void* memory, size_t length,
                                    mlirage_error_t* error) {
  if (length == 0) return MLIRAGE_OK;
  if (!file->in_memory) return mlirage_platform_file_write(file->descriptor, offset, memory, length, error);
  memcpy(file->memory.data + (size_t)offset, memory, length);
  return MLIRAGE_OK;
}
