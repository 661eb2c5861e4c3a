// Internal: sums of products over strided loops (matmul, convolution, dot product, …).
#ifndef MLIRAGE_VMVX_CONTRACT_H_
#define MLIRAGE_VMVX_CONTRACT_H_

#include "mlirage/vm.h"

// out[…] += lhs[…] * rhs[…] over all loops. Convention: references lhs, rhs, out; scalars
// as mlirage_vmvx_read_loops() says. Named by the types of lhs and rhs, then of out.
// The int8 forms have two i32 first: zero points that are subtracted from lhs and rhs.
#define MLIRAGE_VMVX_CONTRACTIONS(X) \
  X(f32, "rrrIII[IIII]_")            \
  X(f64, "rrrIII[IIII]_")            \
  X(i32, "rrrIII[IIII]_")            \
  X(i64, "rrrIII[IIII]_")            \
  X(f16_f32, "rrrIII[IIII]_")        \
  X(bf16_f32, "rrrIII[IIII]_")       \
  X(s8s8_i32, "iirrrIII[IIII]_")     \
  X(u8s8_i32, "iirrrIII[IIII]_")     \
  X(s8u8_i32, "iirrrIII[IIII]_")     \
  X(u8u8_i32, "iirrrIII[IIII]_")

#define X(types, convention) mlirage_status_t mlirage_vmvx_contract_##types(mlirage_vm_call_t* call);
MLIRAGE_VMVX_CONTRACTIONS(X)
#undef X

#endif  // MLIRAGE_VMVX_CONTRACT_H_
