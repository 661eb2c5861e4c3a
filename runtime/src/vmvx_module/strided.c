#include "vmvx_module/strided.h"

// Lowest and highest element of an operand; false if they are beyond 64 bits.
static bool find_bounds(const mlirage_vmvx_loops_t* loops, uint32_t operand, int64_t offset, int64_t* out_lowest,
                        int64_t* out_highest) {
  *out_lowest = *out_highest = offset;
  for (uint32_t i = 0; i < loops->count; ++i) {
    int64_t reach = 0;
    if (__builtin_mul_overflow(loops->extents[i] - 1, loops->strides[operand][i], &reach)) return false;
    int64_t* bound = reach < 0 ? out_lowest : out_highest;
    if (__builtin_add_overflow(*bound, reach, bound)) return false;
  }
  return true;
}

static mlirage_status_t place_operand(const mlirage_vm_call_t* call, uint32_t operand, int64_t offset, size_t size,
                                      bool is_written, mlirage_vmvx_loops_t* loops) {
  static const char* const names[MLIRAGE_VMVX_MAX_OPERANDS] = {"operand 0", "operand 1", "operand 2", "operand 3"};
  uint8_t* data = NULL;
  size_t length = 0;
  if (is_written) {
    mlirage_mutable_bytes_t bytes = {NULL, 0};
    MLIRAGE_TRY(mlirage_vm_buffer_write(call->refs[operand], names[operand], &bytes, call->error));
    data = bytes.data;
    length = bytes.size;
  } else {
    mlirage_bytes_t bytes = {NULL, 0};
    MLIRAGE_TRY(mlirage_vm_buffer_read(call->refs[operand], names[operand], &bytes, call->error));
    data = (uint8_t*)(uintptr_t)bytes.data;  // read only
    length = bytes.size;
  }
  int64_t lowest = 0, highest = 0;
  if (!find_bounds(loops, operand, offset, &lowest, &highest) || lowest < 0 ||
      (uint64_t)highest >= (uint64_t)(length / size)) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "%s reaches out of its buffer of %zu bytes", names[operand],
                        length);
  }
  if ((uintptr_t)data % size != 0) {
    return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%s is not aligned to its elements of %zu bytes",
                        names[operand], size);
  }
  loops->data[operand] = data + (size_t)offset * size;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vmvx_read_loops(const mlirage_vm_call_t* call, size_t first, uint32_t operand_count,
                                         const size_t* sizes, mlirage_vmvx_loops_t* out_loops, bool* out_is_empty) {
  const uint64_t* offsets = call->scalars + first;
  const uint64_t* groups = offsets + operand_count;
  const uint32_t count = call->group_counts[0];
  *out_is_empty = false;
  if (count > MLIRAGE_VMVX_MAX_LOOPS) {
    return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "%u loops are more than %u", count,
                        MLIRAGE_VMVX_MAX_LOOPS);
  }
  out_loops->count = 0;
  for (uint32_t i = 0; i < count; ++i, groups += 1 + operand_count) {
    const int64_t extent = mlirage_vm_i64(groups[0]);
    if (extent < 0) return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "loop %u has a negative extent", i);
    if (extent == 0) *out_is_empty = true;
    if (extent == 1) continue;
    const uint32_t loop = out_loops->count++;
    out_loops->extents[loop] = extent;
    for (uint32_t k = 0; k < operand_count; ++k) {
      out_loops->strides[k][loop] = extent == 0 ? 0 : mlirage_vm_i64(groups[1 + k]);
    }
  }
  if (*out_is_empty) return MLIRAGE_OK;
  for (uint32_t k = 0; k < operand_count; ++k) {
    const bool is_written = k + 1 == operand_count;
    MLIRAGE_TRY(place_operand(call, k, mlirage_vm_i64(offsets[k]), sizes[k], is_written, out_loops));
  }
  return MLIRAGE_OK;
}
