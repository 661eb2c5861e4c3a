#include "vmvx_module/contract.h"

#include "vm/scalar_math.h"
#include "vmvx_module/strided.h"

// Elements of out that are kept in registers over the innermost reduction.
#define BLOCK 16
// Iterations of each of the two innermost loops between looks at whether to go on.
#define PIECE 2048

// One contraction: |L|, |R| and |O| are the element types, |A| that of sums, |GET_L| and
// |GET_R| make an A of an element.
//
// The two innermost loops are "reduce, then along out" where the compiler could arrange
// it: a block of out stays in registers while the reduction runs.
#define CONTRACTION(types, L, R, O, A, GET_L, GET_R, zero_points)                                                 \
  static void along_##types(const L* lhs, const R* rhs, O* out, const int64_t* n, const int64_t* ls,              \
                            const int64_t* rs, const int64_t* os, A lz, A rz) {                                   \
    (void)lz, (void)rz;                                                                                           \
    int64_t j = 0;                                                                                                \
    if (ls[1] == 0 && rs[1] == 1 && os[1] == 1) {                                                                 \
      for (; j + BLOCK <= n[1]; j += BLOCK) {                                                                     \
        A sums[BLOCK];                                                                                            \
        for (int q = 0; q < BLOCK; ++q) sums[q] = out[j + q];                                                     \
        for (int64_t k = 0; k < n[0]; ++k) {                                                                      \
          const A a = GET_L(lhs[k * ls[0]]);                                                                      \
          const R* row = rhs + k * rs[0] + j;                                                                     \
          for (int q = 0; q < BLOCK; ++q) sums[q] += a * GET_R(row[q]);                                           \
        }                                                                                                         \
        for (int q = 0; q < BLOCK; ++q) out[j + q] = sums[q];                                                     \
      }                                                                                                           \
    }                                                                                                             \
    for (; j < n[1]; ++j) {                                                                                       \
      O* o = out + j * os[1];                                                                                     \
      A sum = *o;                                                                                                 \
      for (int64_t k = 0; k < n[0]; ++k) {                                                                        \
        sum += GET_L(lhs[k * ls[0] + j * ls[1]]) * GET_R(rhs[k * rs[0] + j * rs[1]]);                             \
      }                                                                                                           \
      *o = sum;                                                                                                   \
    }                                                                                                             \
  }                                                                                                               \
  static void general_##types(const L* lhs, const R* rhs, O* out, const int64_t* n, const int64_t* ls,            \
                              const int64_t* rs, const int64_t* os, A lz, A rz) {                                 \
    (void)lz, (void)rz;                                                                                           \
    for (int64_t i = 0; i < n[0]; ++i) {                                                                          \
      for (int64_t j = 0; j < n[1]; ++j) {                                                                        \
        out[i * os[0] + j * os[1]] += GET_L(lhs[i * ls[0] + j * ls[1]]) * GET_R(rhs[i * rs[0] + j * rs[1]]);      \
      }                                                                                                           \
    }                                                                                                             \
  }                                                                                                               \
  mlirage_status_t mlirage_vmvx_contract_##types(mlirage_vm_call_t* call) {                                       \
    static const size_t sizes[] = {sizeof(L), sizeof(R), sizeof(O)};                                              \
    mlirage_vmvx_loops_t loops;                                                                                   \
    bool is_empty = false;                                                                                        \
    MLIRAGE_TRY(mlirage_vmvx_read_loops(call, (zero_points) ? 2 : 0, 3, sizes, &loops, &is_empty));               \
    if (is_empty) return MLIRAGE_OK;                                                                              \
    const A lz = (zero_points) ? (A)(int32_t)call->scalars[0] : (A)0;                                             \
    const A rz = (zero_points) ? (A)(int32_t)call->scalars[1] : (A)0;                                             \
    while (loops.count < 2) push_unit_loop(&loops);                                                               \
    const uint32_t inner = loops.count - 2;                                                                       \
    const int64_t *ls = loops.strides[0] + inner, *rs = loops.strides[1] + inner, *os = loops.strides[2] + inner; \
    const int64_t* n = loops.extents + inner;                                                                     \
    const bool reduces = os[0] == 0;                                                                              \
    int64_t at[MLIRAGE_VMVX_MAX_LOOPS] = {0};                                                                     \
    const L* lhs = (const L*)(const void*)loops.data[0];                                                          \
    const R* rhs = (const R*)(const void*)loops.data[1];                                                          \
    O* out = (O*)(void*)loops.data[2];                                                                            \
    for (;;) {                                                                                                    \
      for (int64_t k = 0; k < n[0]; k += PIECE) {                                                                 \
        const int64_t part[2] = {n[0] - k < PIECE ? n[0] - k : PIECE, 0};                                         \
        for (int64_t j = 0; j < n[1]; j += PIECE) {                                                               \
          const int64_t both[2] = {part[0], n[1] - j < PIECE ? n[1] - j : PIECE};                                 \
          MLIRAGE_TRY(mlirage_vm_spend(call, (uint64_t)(both[0] * both[1]) / 1024 + 1));                          \
          (reduces ? along_##types : general_##types)(lhs + k * ls[0] + j * ls[1], rhs + k * rs[0] + j * rs[1],   \
                                                      out + k * os[0] + j * os[1], both, ls, rs, os, lz, rz);     \
        }                                                                                                         \
      }                                                                                                           \
      uint32_t loop = inner;                                                                                      \
      for (; loop > 0; --loop) {                                                                                  \
        lhs += loops.strides[0][loop - 1];                                                                        \
        rhs += loops.strides[1][loop - 1];                                                                        \
        out += loops.strides[2][loop - 1];                                                                        \
        if (++at[loop - 1] < loops.extents[loop - 1]) break;                                                      \
        lhs -= loops.strides[0][loop - 1] * at[loop - 1];                                                         \
        rhs -= loops.strides[1][loop - 1] * at[loop - 1];                                                         \
        out -= loops.strides[2][loop - 1] * at[loop - 1];                                                         \
        at[loop - 1] = 0;                                                                                         \
      }                                                                                                           \
      if (loop == 0) return MLIRAGE_OK;                                                                           \
    }                                                                                                             \
  }

// A loop that runs once, outside of the others.
static void push_unit_loop(mlirage_vmvx_loops_t* loops) {
  for (uint32_t i = loops->count; i > 0; --i) {
    loops->extents[i] = loops->extents[i - 1];
    for (uint32_t k = 0; k < 3; ++k) loops->strides[k][i] = loops->strides[k][i - 1];
  }
  loops->extents[0] = 1;
  for (uint32_t k = 0; k < 3; ++k) loops->strides[k][0] = 0;
  ++loops->count;
}

#define SAME(x) (x)
#define LHS_I8(x) ((uint32_t)(int32_t)(x) - lz)
#define RHS_I8(x) ((uint32_t)(int32_t)(x) - rz)
// Integers wrap: they are added as unsigned ones.
CONTRACTION(f32, float, float, float, float, SAME, SAME, false)
CONTRACTION(f64, double, double, double, double, SAME, SAME, false)
CONTRACTION(i32, uint32_t, uint32_t, uint32_t, uint32_t, SAME, SAME, false)
CONTRACTION(i64, uint64_t, uint64_t, uint64_t, uint64_t, SAME, SAME, false)
CONTRACTION(f16_f32, uint16_t, uint16_t, float, float, mlirage_f16_to_f32, mlirage_f16_to_f32, false)
CONTRACTION(bf16_f32, uint16_t, uint16_t, float, float, mlirage_bf16_to_f32, mlirage_bf16_to_f32, false)
CONTRACTION(s8s8_i32, int8_t, int8_t, uint32_t, uint32_t, LHS_I8, RHS_I8, true)
CONTRACTION(u8s8_i32, uint8_t, int8_t, uint32_t, uint32_t, LHS_I8, RHS_I8, true)
CONTRACTION(s8u8_i32, int8_t, uint8_t, uint32_t, uint32_t, LHS_I8, RHS_I8, true)
CONTRACTION(u8u8_i32, uint8_t, uint8_t, uint32_t, uint32_t, LHS_I8, RHS_I8, true)
