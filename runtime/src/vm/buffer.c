#include "vm/buffer.h"

#include "base/memory.h"
#include "mlirage/module.h"

static void destroy(void* object) {
  mlirage_vm_buffer_t* buffer = object;
  mlirage_object_release(buffer->owner);
  mlirage_free(buffer->allocator, buffer, buffer->block_size);
}

const mlirage_object_type_t mlirage_vm_buffer_type = {"util.buffer", destroy};

// A buffer with |extra| bytes behind it.
static mlirage_status_t create(mlirage_allocator_t allocator, size_t extra, mlirage_vm_buffer_t** out_buffer,
                               mlirage_error_t* error) {
  void* block = NULL;
  size_t size = 0;
  if (!mlirage_checked_add(sizeof(mlirage_vm_buffer_t), extra, &size) ||
      mlirage_allocate(allocator, size, &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a buffer of %zu bytes", extra);
  }
  mlirage_vm_buffer_t* buffer = block;
  mlirage_object_initialize(&buffer->object, &mlirage_vm_buffer_type);
  buffer->data = (uint8_t*)block + sizeof(*buffer);
  buffer->length = extra;
  buffer->is_writable = true;
  buffer->block_size = size;
  buffer->allocator = allocator;
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_create(mlirage_allocator_t allocator, size_t length,
                                          mlirage_vm_buffer_t** out_buffer, mlirage_error_t* error) {
  *out_buffer = NULL;
  return create(allocator, length, out_buffer, error);
}

static void* keep(void* self, void* block, size_t old_size, size_t new_size) {
  (void)self, (void)block, (void)old_size, (void)new_size;
  return NULL;
}

void mlirage_vm_buffer_borrow(mlirage_mutable_bytes_t bytes, mlirage_vm_buffer_t* out_buffer) {
  memset(out_buffer, 0, sizeof(*out_buffer));
  mlirage_object_initialize(&out_buffer->object, &mlirage_vm_buffer_type);
  out_buffer->data = bytes.data;
  out_buffer->length = bytes.size;
  out_buffer->is_writable = true;
  out_buffer->allocator.resize = keep;
}

//===--------------------------------------------------------------------------===
// Either kind of buffer, seen alike
//===--------------------------------------------------------------------------===

// What is behind a reference; |rodata| is set for splats, which have no bytes.
typedef struct view_t {
  uint8_t* data;
  size_t length;
  bool is_writable;
  mlirage_object_t* owner;  // keeps the bytes alive
  const mlirage_rodata_t* splat;
} view_t;

static mlirage_status_t look(void* ref, const char* argument, view_t* out_view, mlirage_error_t* error) {
  if (ref == NULL) return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%s is null", argument);
  const mlirage_object_type_t* type = ((const mlirage_object_t*)ref)->type;
  if (type == &mlirage_vm_buffer_type) {
    mlirage_vm_buffer_t* buffer = ref;
    mlirage_object_t* owner = buffer->owner != NULL ? buffer->owner : &buffer->object;
    *out_view = (view_t){buffer->data, buffer->length, buffer->is_writable, owner, NULL};
    return MLIRAGE_OK;
  }
  if (type == &mlirage_rodata_type) {
    const mlirage_rodata_t* rodata = ref;
    // Never written to: it is not writable.
    uint8_t* data = (uint8_t*)(uintptr_t)rodata->data;
    const mlirage_rodata_t* splat = rodata->pattern_length != 0 ? rodata : NULL;
    *out_view = (view_t){data, rodata->length, false, rodata->owner, splat};
    return MLIRAGE_OK;
  }
  return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%s is a %s where a util.buffer is needed", argument,
                      type->name);
}

static mlirage_status_t check_range(const view_t* view, uint64_t offset, uint64_t length, mlirage_error_t* error) {
  if (mlirage_range_fits_u64(offset, length, view->length)) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "range [%lld, +%lld) of a buffer of %zu bytes", (long long)offset,
                      (long long)length, view->length);
}

// The range [offset, offset + length) of a buffer that is read (written).
static mlirage_status_t look_range(void* ref, uint64_t offset, uint64_t length, bool for_writing, view_t* out_view,
                                   mlirage_error_t* error) {
  MLIRAGE_TRY(look(ref, "the buffer", out_view, error));
  MLIRAGE_TRY(check_range(out_view, offset, length, error));
  if (for_writing && !out_view->is_writable) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "the buffer is read-only");
  }
  return MLIRAGE_OK;
}

// Copies a range of |view|, which has been checked, to other memory.
static void read_range(const view_t* view, size_t offset, size_t length, void* out_bytes) {
  if (view->splat != NULL) {
    mlirage_rodata_read(view->splat, offset, length, out_bytes);
  } else if (length != 0) {
    memmove(out_bytes, view->data + offset, length);
  }
}

mlirage_status_t mlirage_vm_buffer_read(void* ref, const char* argument, mlirage_bytes_t* out_bytes,
                                        mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look(ref, argument, &view, error));
  if (view.splat != NULL) return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "%s is a splat", argument);
  *out_bytes = (mlirage_bytes_t){view.data, view.length};
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_write(void* ref, const char* argument, mlirage_mutable_bytes_t* out_bytes,
                                         mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look(ref, argument, &view, error));
  if (!view.is_writable) return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "%s is read-only", argument);
  *out_bytes = (mlirage_mutable_bytes_t){view.data, view.length};
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Instructions
//===--------------------------------------------------------------------------===

mlirage_status_t mlirage_vm_buffer_alloc(mlirage_allocator_t allocator, uint64_t length, void** out_buffer,
                                         mlirage_error_t* error) {
  size_t size = 0;
  if (length > INT64_MAX || !mlirage_checked_size(length, &size)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a buffer of %lld bytes", (long long)length);
  }
  mlirage_vm_buffer_t* buffer = NULL;
  MLIRAGE_TRY(create(allocator, size, &buffer, error));
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_clone(mlirage_allocator_t allocator, void* source, uint64_t offset, uint64_t length,
                                         void** out_buffer, mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look_range(source, offset, length, false, &view, error));
  mlirage_vm_buffer_t* buffer = NULL;
  MLIRAGE_TRY(create(allocator, (size_t)length, &buffer, error));
  read_range(&view, (size_t)offset, (size_t)length, buffer->data);
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

// A slice of a slice hangs on the one owner: chains do not grow. A slice of a splat is
// a copy, and read-only as the splat is.
mlirage_status_t mlirage_vm_buffer_slice(mlirage_allocator_t allocator, void* source, uint64_t offset, uint64_t length,
                                         void** out_buffer, mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look_range(source, offset, length, false, &view, error));
  mlirage_vm_buffer_t* buffer = NULL;
  MLIRAGE_TRY(create(allocator, view.splat != NULL ? (size_t)length : 0, &buffer, error));
  buffer->is_writable = view.is_writable;
  if (view.splat != NULL) {
    read_range(&view, (size_t)offset, (size_t)length, buffer->data);
  } else {
    mlirage_object_retain(view.owner);
    buffer->owner = view.owner;
    buffer->data = view.data == NULL ? NULL : view.data + (size_t)offset;
    buffer->length = (size_t)length;
  }
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_length(void* buffer, uint64_t* out_length, mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look(buffer, "the buffer", &view, error));
  *out_length = view.length;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_compare(void* a, uint64_t a_offset, void* b, uint64_t b_offset, uint64_t length,
                                           uint32_t* out_is_equal, mlirage_error_t* error) {
  view_t left = {0}, right = {0};
  MLIRAGE_TRY(look_range(a, a_offset, length, false, &left, error));
  MLIRAGE_TRY(look_range(b, b_offset, length, false, &right, error));
  *out_is_equal = 1;
  uint8_t pieces[2][64];
  for (size_t done = 0, step = 0; done < (size_t)length && *out_is_equal != 0; done += step) {
    step = (size_t)length - done < sizeof(pieces[0]) ? (size_t)length - done : sizeof(pieces[0]);
    read_range(&left, (size_t)a_offset + done, step, pieces[0]);
    read_range(&right, (size_t)b_offset + done, step, pieces[1]);
    *out_is_equal = memcmp(pieces[0], pieces[1], step) == 0;
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_fill(void* target, uint64_t offset, uint64_t length, uint64_t value,
                                        uint32_t value_size, mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look_range(target, offset, length, true, &view, error));
  const bool is_size = value_size == 1 || value_size == 2 || value_size == 4 || value_size == 8;
  if (!is_size || length % value_size != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%lld bytes cannot be filled with values of %u bytes",
                        (long long)length, value_size);
  }
  if (length == 0) return MLIRAGE_OK;
  const mlirage_rodata_t pattern = {
      .data = (const uint8_t*)&value, .length = (size_t)length, .pattern_length = value_size};
  mlirage_rodata_read(&pattern, 0, (size_t)length, view.data + (size_t)offset);
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_copy(void* source, uint64_t source_offset, void* target, uint64_t target_offset,
                                        uint64_t length, mlirage_error_t* error) {
  view_t from = {0}, to = {0};
  MLIRAGE_TRY(look_range(source, source_offset, length, false, &from, error));
  MLIRAGE_TRY(look_range(target, target_offset, length, true, &to, error));
  if (length != 0) read_range(&from, (size_t)source_offset, (size_t)length, to.data + (size_t)target_offset);
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_load(void* source, uint64_t offset, size_t size, void* out_value,
                                        mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look_range(source, offset, size, false, &view, error));
  read_range(&view, (size_t)offset, size, out_value);
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_buffer_store(void* target, uint64_t offset, size_t size, const void* value,
                                         mlirage_error_t* error) {
  view_t view = {0};
  MLIRAGE_TRY(look_range(target, offset, size, true, &view, error));
  memcpy(view.data + (size_t)offset, value, size);
  return MLIRAGE_OK;
}
