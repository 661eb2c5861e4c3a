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
