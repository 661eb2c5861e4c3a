// Arguments of native functions: checked, and told about by name when they are wrong.
// Internal to the native modules hal, hal_inline and hal_loader.
#ifndef MLIRAGE_HAL_MODULE_ARGUMENTS_H_
#define MLIRAGE_HAL_MODULE_ARGUMENTS_H_

#include "mlirage/hal.h"
#include "mlirage/module.h"
#include "mlirage/vm.h"

// Declares |name|, reference argument |index|, which must be there.
#define REF(kind, name, index)                  \
  mlirage_##kind##_t* name = call->refs[index]; \
  MLIRAGE_TRY(mlirage_vm_check_ref(name, &mlirage_##kind##_type, #name, call->error))
// The same for one that may be null.
#define OPTIONAL_REF(kind, name, index)         \
  mlirage_##kind##_t* name = call->refs[index]; \
  if (name != NULL) MLIRAGE_TRY(mlirage_vm_check_ref(name, &mlirage_##kind##_type, #name, call->error))
// Declares |name|, scalar argument |index|, an i64 that is a size.
#define SIZE(name, index) \
  size_t name = 0;        \
  MLIRAGE_TRY(mlirage_argument_size(call, call->scalars[index], #name, &name))

static inline mlirage_status_t mlirage_argument_size(const mlirage_vm_call_t* call, uint64_t value, const char* name,
                                                     size_t* out_size) {
  if (value <= INT64_MAX && mlirage_checked_size(value, out_size)) return MLIRAGE_OK;
  return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "%s of %lld is no size", name, (long long)value);
}

static inline mlirage_status_t mlirage_argument_u32(const mlirage_vm_call_t* call, uint64_t value, const char* name,
                                                    uint32_t* out_value) {
  *out_value = (uint32_t)value;
  if (value <= UINT32_MAX) return MLIRAGE_OK;
  return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "%s of %lld is too large", name, (long long)value);
}

static inline mlirage_status_t mlirage_argument_bytes(const mlirage_vm_call_t* call, const mlirage_rodata_t* rodata,
                                                      const char* name, mlirage_bytes_t* out_bytes) {
  if (rodata->pattern_length != 0) {
    return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%s is a splat, not plain bytes", name);
  }
  *out_bytes = (mlirage_bytes_t){rodata->data, rodata->length};
  return MLIRAGE_OK;
}

static inline mlirage_status_t mlirage_argument_string(const mlirage_vm_call_t* call, const mlirage_rodata_t* rodata,
                                                       const char* name, mlirage_string_t* out_string) {
  mlirage_bytes_t bytes = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_bytes(call, rodata, name, &bytes));
  *out_string = (mlirage_string_t){(const char*)bytes.data, bytes.size};
  return MLIRAGE_OK;
}

// Groups that are one table must be of the same length.
static inline mlirage_status_t mlirage_argument_groups(const mlirage_vm_call_t* call, size_t first, const char* what) {
  const uint16_t* counts = call->group_counts + first;
  if (counts[0] == counts[1] && counts[0] == counts[2]) return MLIRAGE_OK;
  return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%u, %u and %u parts of %s", counts[0], counts[1],
                      counts[2], what);
}

// Extents of a shape; |out_shape| has room for MLIRAGE_MAX_RANK.
static inline mlirage_status_t mlirage_argument_shape(const mlirage_vm_call_t* call, const uint64_t* values,
                                                      size_t rank, int64_t* out_shape) {
  if (rank > MLIRAGE_MAX_RANK) {
    return mlirage_fail(call->error, MLIRAGE_UNSUPPORTED, "rank %zu is more than %u", rank, MLIRAGE_MAX_RANK);
  }
  for (size_t i = 0; i < rank; ++i) out_shape[i] = mlirage_vm_i64(values[i]);
  return MLIRAGE_OK;
}

// Functions that hal and hal_inline have in common: views (buffer_view.c).
mlirage_status_t mlirage_module_buffer_view_assert(mlirage_vm_call_t* call);
mlirage_status_t mlirage_module_buffer_view_assert_distinct(mlirage_vm_call_t* call);
mlirage_status_t mlirage_module_buffer_view_dim(mlirage_vm_call_t* call);

#endif  // MLIRAGE_HAL_MODULE_ARGUMENTS_H_
