// Internal: operands of microkernels, and the check that they stay inside of their buffers.
#ifndef MLIRAGE_VMVX_STRIDED_H_
#define MLIRAGE_VMVX_STRIDED_H_

#include "mlirage/vm.h"

// Loops of one kernel at most.
#define MLIRAGE_VMVX_MAX_LOOPS 12u
#define MLIRAGE_VMVX_MAX_OPERANDS 4u

// The loops of a kernel, outermost first: extents, and the steps of each operand in elements.
typedef struct mlirage_vmvx_loops_t {
  uint32_t count;
  int64_t extents[MLIRAGE_VMVX_MAX_LOOPS];
  int64_t strides[MLIRAGE_VMVX_MAX_OPERANDS][MLIRAGE_VMVX_MAX_LOOPS];
  uint8_t* data[MLIRAGE_VMVX_MAX_OPERANDS];  // of the element that every loop starts at
} mlirage_vmvx_loops_t;

// Reads the arguments of a kernel of |operand_count| buffers, the last of which is
// written. Scalars of |call| from |first| on: an offset (elements) for each buffer; then
// for each loop its extent and a stride for each buffer. |sizes| are those of elements.
// Does nothing but set |*out_is_empty| if an extent is 0.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vmvx_read_loops(const mlirage_vm_call_t* call, size_t first,
                                                          uint32_t operand_count, const size_t* sizes,
                                                          mlirage_vmvx_loops_t* out_loops, bool* out_is_empty);

#endif  // MLIRAGE_VMVX_STRIDED_H_
