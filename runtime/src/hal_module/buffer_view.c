// What is asked of buffer views, by programs with devices and without.
#include "hal_module/arguments.h"

mlirage_status_t mlirage_module_buffer_view_assert(mlirage_vm_call_t* call) {
  REF(rodata, message, 1);
  mlirage_string_t text = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, message, "message", &text));
  if (call->refs[0] == NULL) {
    return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%.*s: missing", MLIRAGE_STRING_ARGS(text));
  }
  REF(buffer_view, view, 0);
  int64_t shape[MLIRAGE_MAX_RANK];
  const size_t rank = call->group_counts[0];
  MLIRAGE_TRY(mlirage_argument_shape(call, call->scalars + 1, rank, shape));
  return mlirage_buffer_view_assert(view, text, (uint32_t)call->scalars[0], rank, shape, call->error);
}

// The memory of a view; empty ranges have none.
static mlirage_status_t memory_of(const mlirage_vm_call_t* call, mlirage_buffer_view_t* view,
                                  mlirage_mutable_bytes_t* out_memory) {
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  return mlirage_buffer_map(buffer, MLIRAGE_MAP_READ, 0, mlirage_buffer_length(buffer), out_memory, call->error);
}

mlirage_status_t mlirage_module_buffer_view_assert_distinct(mlirage_vm_call_t* call) {
  REF(buffer_view, view, 0);
  REF(rodata, message, 1);
  mlirage_string_t text = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, message, "message", &text));
  mlirage_mutable_bytes_t mine = {NULL, 0};
  MLIRAGE_TRY(memory_of(call, view, &mine));
  const size_t count = call->group_counts[0];
  for (size_t i = 0; i < count; ++i) {
    REF(buffer_view, other, 2 + i);
    mlirage_mutable_bytes_t others = {NULL, 0};
    MLIRAGE_TRY(memory_of(call, other, &others));
    const uintptr_t a = (uintptr_t)mine.data, b = (uintptr_t)others.data;
    if (mine.size != 0 && others.size != 0 && (a < b ? b - a < mine.size : a - b < others.size)) {
      return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%.*s: its memory is that of another argument too",
                          MLIRAGE_STRING_ARGS(text));
    }
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_module_buffer_view_dim(mlirage_vm_call_t* call) {
  REF(buffer_view, view, 0);
  const uint32_t index = (uint32_t)call->scalars[0];
  const size_t rank = mlirage_buffer_view_rank(view);
  if (index >= rank) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "dimension %u of a view of rank %zu", index, rank);
  }
  call->scalar_results[0] = mlirage_buffer_view_shape(view)[index];
  return MLIRAGE_OK;
}
