#include "base/memory.h"
#include "hal/buffer.h"

struct mlirage_buffer_view_t {
  mlirage_object_t object;
  mlirage_buffer_t* buffer;  // exactly the range; retained
  mlirage_element_type_t element_type;
  uint32_t rank;
  size_t shape[];
};

static size_t view_size(size_t rank) { return sizeof(mlirage_buffer_view_t) + rank * sizeof(size_t); }
static void destroy(void* object) {
  mlirage_buffer_view_t* view = object;
  mlirage_device_t* device = view->buffer->device;
  mlirage_device_retain(device);  // the buffer may hold the last other reference
  mlirage_buffer_release(view->buffer);
  mlirage_pool_cell_release(&device->pool, view, view_size(view->rank));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_buffer_view_type = {"hal.buffer_view", destroy};

// "f32[2,?]": -1 prints as ?.
typedef struct shape_text_t {
  char text[160];
} shape_text_t;

static shape_text_t describe(mlirage_element_type_t element_type, size_t rank, const int64_t* signed_shape,
                             const size_t* shape) {
  shape_text_t result;
  const size_t capacity = sizeof(result.text);
  size_t size = mlirage_format(result.text, capacity, "%s[", mlirage_element_type_name(element_type));
  for (size_t i = 0; i < rank && size < capacity; ++i) {
    const char* comma = i == 0 ? "" : ",";
    if (signed_shape != NULL && signed_shape[i] < 0) {
      size += mlirage_format(result.text + size, capacity - size, "%s?", comma);
    } else {
      const size_t extent = signed_shape != NULL ? (size_t)signed_shape[i] : shape[i];
      size += mlirage_format(result.text + size, capacity - size, "%s%zu", comma, extent);
    }
  }
  if (size < capacity) mlirage_format(result.text + size, capacity - size, "]");
  return result;
}

mlirage_status_t mlirage_buffer_view_create(mlirage_buffer_t* buffer, size_t offset, size_t length,
                                            mlirage_element_type_t element_type, size_t rank, const size_t* shape,
                                            mlirage_buffer_view_t** out_view, mlirage_error_t* error) {
  *out_view = NULL;
  if (rank > MLIRAGE_MAX_RANK) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "rank %zu is above the limit of %u", rank, MLIRAGE_MAX_RANK);
  }
  size_t needed = 0;
  if (!mlirage_dense_byte_length(element_type, rank, shape, &needed) || needed != length) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "a view of %s needs %zu bytes, the range has %zu",
                        describe(element_type, rank, NULL, shape).text, needed, length);
  }
  mlirage_buffer_t* range = NULL;
  MLIRAGE_TRY(mlirage_buffer_subspan(buffer, offset, length, &range, error));
  // Kernels rely on natural alignment; that of a complex number is its parts'.
  uint8_t* host = NULL;
  mlirage_status_t status = mlirage_buffer_host(range, &host, error);
  const size_t bytes = mlirage_element_bits(element_type) / 8;
  const size_t alignment = bytes > 8 || element_type == MLIRAGE_ELEMENT_COMPLEX_64 ? bytes / 2 : bytes;
  if (status == MLIRAGE_OK && alignment > 1 && (uintptr_t)host % alignment != 0) {
    status = mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "memory of a view of %s is not aligned to %zu bytes",
                          describe(element_type, rank, NULL, shape).text, alignment);
  }
  mlirage_device_t* device = buffer->device;
  void* cell = NULL;
  if (status == MLIRAGE_OK) status = mlirage_pool_cell_acquire(&device->pool, view_size(rank), &cell);
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(range);
    if (status == MLIRAGE_OUT_OF_MEMORY) return mlirage_fail(error, status, "no memory for a buffer view");
    return status;
  }
  mlirage_buffer_view_t* view = cell;
  mlirage_object_initialize(&view->object, &mlirage_buffer_view_type);
  view->buffer = range;
  view->element_type = element_type;
  view->rank = (uint32_t)rank;
  for (size_t i = 0; i < rank; ++i) view->shape[i] = shape[i];
  *out_view = view;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_buffer_view_assert(const mlirage_buffer_view_t* view, mlirage_string_t message,
                                            mlirage_element_type_t element_type, size_t rank, const int64_t* shape,
                                            mlirage_error_t* error) {
  bool matches = view->rank == rank && mlirage_element_type_matches(element_type, view->element_type);
  for (size_t i = 0; matches && i < rank; ++i) matches = shape[i] < 0 || (uint64_t)shape[i] == view->shape[i];
  if (matches) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%.*s%sexpected %s, got %s", MLIRAGE_STRING_ARGS(message),
                      message.size != 0 ? ": " : "",
                      describe(element_type, rank <= MLIRAGE_MAX_RANK ? rank : MLIRAGE_MAX_RANK, shape, NULL).text,
                      describe(view->element_type, view->rank, NULL, view->shape).text);
}

mlirage_buffer_t* mlirage_buffer_view_buffer(const mlirage_buffer_view_t* view) { return view->buffer; }

mlirage_element_type_t mlirage_buffer_view_element_type(const mlirage_buffer_view_t* view) {
  return view->element_type;
}

size_t mlirage_buffer_view_rank(const mlirage_buffer_view_t* view) { return view->rank; }

const size_t* mlirage_buffer_view_shape(const mlirage_buffer_view_t* view) { return view->shape; }

size_t mlirage_buffer_view_describe(const mlirage_buffer_view_t* view, char* buffer, size_t capacity) {
  return mlirage_format(buffer, capacity, "%s", describe(view->element_type, view->rank, NULL, view->shape).text);
}
