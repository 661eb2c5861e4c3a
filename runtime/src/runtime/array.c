#include "mlirage/runtime.h"

mlirage_status_t mlirage_array_create(mlirage_device_t* device, mlirage_element_type_t element_type, size_t rank,
                                      const size_t* shape, const void* data, mlirage_buffer_view_t** out_view,
                                      mlirage_error_t* error) {
  *out_view = NULL;
  size_t length = 0;
  if (!mlirage_dense_byte_length(element_type, rank, shape, &length)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "the array's size does not fit");
  }
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(device, length, &buffer, error));
  mlirage_status_t status = mlirage_buffer_write(buffer, 0, data, length, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_buffer_view_create(buffer, 0, length, element_type, rank, shape, out_view, error);
  }
  mlirage_buffer_release(buffer);
  return status;
}

mlirage_status_t mlirage_array_read(const mlirage_buffer_view_t* view, void* out_data, size_t length,
                                    mlirage_error_t* error) {
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  if (mlirage_buffer_length(buffer) != length) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "the array has %zu bytes, not %zu",
                        mlirage_buffer_length(buffer), length);
  }
  return mlirage_buffer_read(buffer, 0, out_data, length, error);
}
