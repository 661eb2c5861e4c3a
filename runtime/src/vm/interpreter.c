// The interpreter: one function over verified code.
//
// With compilers that have it, every instruction jumps to the next through a table of
// label addresses (computed goto), which predicts better than one switch; define
// MLIRAGE_VM_COMPUTED_GOTO as 0 for the switch.
#include "base/memory.h"
#include "vm/buffer.h"
#include "vm/context.h"
#include "vm/list.h"
#include "vm/opcodes.h"
#include "vm/scalar_math.h"

#ifndef MLIRAGE_VM_COMPUTED_GOTO
#if defined(__GNUC__)
#define MLIRAGE_VM_COMPUTED_GOTO 1
#else
#define MLIRAGE_VM_COMPUTED_GOTO 0
#endif
#endif

#if MLIRAGE_VM_COMPUTED_GOTO
#pragma GCC diagnostic ignored "-Wpedantic"  // label addresses are no ISO C
#endif

//===--------------------------------------------------------------------------===
// Calls among functions of programs
//===--------------------------------------------------------------------------===

// Enters function |ordinal| of |instance|: arguments come from the registers listed
// at |registers| of the innermost frame, results go to those listed after them.
static mlirage_status_t enter_callee(mlirage_vm_invocation_t* invocation, const mlirage_vm_instance_t* instance,
                                     uint32_t ordinal, const uint16_t* registers, mlirage_error_t* error) {
  const mlirage_vm_frame_t* caller = invocation->frame;
  const mlirage_convention_t* shape = &instance->module->function_shapes[ordinal];
  MLIRAGE_TRY(mlirage_vm_push(invocation, mlirage_vm_top(caller), instance, ordinal, error));
  mlirage_vm_frame_t* callee = invocation->frame;
  for (uint32_t i = 0; i < shape->scalar_argument_count; ++i) callee->scalars[i] = caller->scalars[*registers++];
  for (uint32_t i = 0; i < shape->ref_argument_count; ++i) {
    void* ref = caller->refs[*registers++];
    mlirage_object_retain(ref);
    callee->refs[i] = ref;
  }
  callee->result_registers = registers;
  return MLIRAGE_OK;
}

// CALL_IMPORT at the innermost frame's pc.
static mlirage_status_t call_import(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  const mlirage_vm_frame_t* frame = invocation->frame;
  const mlirage_vm_instance_t* instance = frame->instance;
  const mlirage_vm_binding_t* binding = &instance->bindings[frame->pc[1]];
  if (MLIRAGE_LIKELY(binding->native != NULL)) return mlirage_vm_call_native(invocation, error);
  if (binding->instance != NULL) {
    // Conventions are equal and functions have no groups: registers follow the counts.
    return enter_callee(invocation, binding->instance, binding->function, frame->pc + 4, error);
  }
  return mlirage_fail(error, MLIRAGE_NOT_FOUND, "the optional import '%s' has not been found",
                      mlirage_module_import(instance->module, frame->pc[1]).name);
}

// RETURN with its registers at |registers|: hands the results over and leaves the
// innermost frame. False if that was the outermost one.
static bool return_results(mlirage_vm_invocation_t* invocation, const uint16_t* registers) {
  mlirage_vm_frame_t* frame = invocation->frame;
  mlirage_vm_frame_t* caller = frame->caller;
  const mlirage_convention_t* shape = &frame->instance->module->function_shapes[frame->ordinal];
  const uint16_t* targets = frame->result_registers;
  for (uint32_t i = 0; i < shape->scalar_result_count; ++i) {
    const uint64_t value = frame->scalars[*registers++];
    if (caller != NULL) {
      caller->scalars[*targets++] = value;
    } else {
      invocation->scalar_results[i] = value;
    }
  }
  for (uint32_t i = 0; i < shape->ref_result_count; ++i) {
    void* ref = frame->refs[*registers++];
    mlirage_object_retain(ref);
    mlirage_vm_set_ref(caller != NULL ? &caller->refs[*targets++] : &invocation->ref_results[i], ref);
  }
  if (caller != NULL) caller->pc = targets;
  mlirage_vm_pop(invocation);
  return caller != NULL;
}

static mlirage_status_t fail_program(const mlirage_vm_frame_t* frame, const uint16_t* operands,
                                     mlirage_error_t* error) {
  const uint32_t status = mlirage_vm_read_u32(operands);
  const char* text = mlirage_module_text(frame->instance->module, mlirage_vm_read_u32(operands + 2));
  const bool is_failure = status != MLIRAGE_OK && status != MLIRAGE_PENDING && status <= MLIRAGE_INTERNAL;
  return mlirage_fail(error, is_failure ? (mlirage_status_t)status : MLIRAGE_ABORTED, "%s", text);
}

static uint32_t count_ones(uint64_t value) {
  uint32_t count = 0;
  for (; value != 0; value &= value - 1) ++count;
  return count;
}

//===--------------------------------------------------------------------------===
// The loop. pc is at the opcode; pc[1] and on are its operands.
//===--------------------------------------------------------------------------===

#if MLIRAGE_VM_COMPUTED_GOTO
#define CASE(name) op_##name:
#define DISPATCH() goto* next[*pc]
#else
#define CASE(name) case MLIRAGE_VM_##name:
#define DISPATCH() goto dispatch
#endif
#define NEXT(units) \
  do {              \
    pc += (units);  \
    DISPATCH();     \
  } while (0)
// Backward jumps and calls can go on for ever: now and then somebody looks.
#define COUNT_JUMP()                                          \
  do {                                                        \
    if (MLIRAGE_UNLIKELY(invocation->jumps_left == 0)) {      \
      frame->pc = pc;                                         \
      MLIRAGE_TRY(mlirage_vm_check_jumps(invocation, error)); \
    }                                                         \
    --invocation->jumps_left;                                 \
  } while (0)
#define JUMP(target)                       \
  do {                                     \
    const uint16_t* to_ = code + (target); \
    if (to_ <= pc) COUNT_JUMP();           \
    pc = to_;                              \
    DISPATCH();                            \
  } while (0)
// Takes up the frame that is the innermost one now.
#define ENTER_FRAME()                                                    \
  do {                                                                   \
    frame = invocation->frame;                                           \
    scalars = frame->scalars;                                            \
    refs = frame->refs;                                                  \
    code = frame->instance->module->code + frame->function->code_offset; \
    pc = frame->pc;                                                      \
  } while (0)
#define FAIL(...)                            \
  do {                                       \
    frame->pc = pc;                          \
    return mlirage_fail(error, __VA_ARGS__); \
  } while (0)

#define I32(k) ((uint32_t)scalars[pc[k]])
#define I64(k) (scalars[pc[k]])
#define F32(k) mlirage_vm_f32(scalars[pc[k]])
#define F64(k) mlirage_vm_f64(scalars[pc[k]])
#define SET(k, value) scalars[pc[k]] = (value)
#define SET_REF(k, value)                   \
  do {                                      \
    void* ref_ = (value);                   \
    mlirage_object_retain(ref_);            \
    mlirage_vm_set_ref(&refs[pc[k]], ref_); \
  } while (0)

#define UNARY(name, READ, from, expression) \
  CASE(name) {                              \
    const from a = READ(1);                 \
    SET(2, expression);                     \
    NEXT(3);                                \
  }
#define BINARY(name, READ, from, expression) \
  CASE(name) {                               \
    const from a = READ(1), b = READ(2);     \
    SET(3, expression);                      \
    NEXT(4);                                 \
  }
#define DIVISION(name, READ, from, expression)                              \
  CASE(name) {                                                              \
    const from a = READ(1), b = READ(2);                                    \
    if (b == 0) FAIL(MLIRAGE_DIVISION_BY_ZERO, "integer division by zero"); \
    SET(3, expression);                                                     \
    NEXT(4);                                                                \
  }
// |U| and |S| are the unsigned and signed types of |width| bits. Division by -1 is
// negation: min / -1 would trap.
#define INTEGER_CASES(type, READ, U, S, width)                                                  \
  BINARY(ADD_##type, READ, U, (U)(a + b))                                                       \
  BINARY(SUB_##type, READ, U, (U)(a - b))                                                       \
  BINARY(MUL_##type, READ, U, (U)(a * b))                                                       \
  DIVISION(DIV_S_##type, READ, U, b == (U) - 1 ? (U)(0u - a) : (U)((S)a / (S)b))                \
  DIVISION(DIV_U_##type, READ, U, (U)(a / b))                                                   \
  DIVISION(REM_S_##type, READ, U, b == (U) - 1 ? 0 : (U)((S)a % (S)b))                          \
  DIVISION(REM_U_##type, READ, U, (U)(a % b))                                                   \
  BINARY(AND_##type, READ, U, a& b)                                                             \
  BINARY(OR_##type, READ, U, a | b)                                                             \
  BINARY(XOR_##type, READ, U, a ^ b)                                                            \
  BINARY(SHL_##type, READ, U, b < (width) ? (U)(a << b) : 0)                                    \
  BINARY(SHR_S_##type, READ, U, (U)((S)a >> (b < (width) ? b : (width) - 1)))                   \
  BINARY(SHR_U_##type, READ, U, b < (width) ? (U)(a >> b) : 0)                                  \
  BINARY(MIN_S_##type, READ, U, (S)a < (S)b ? a : b)                                            \
  BINARY(MIN_U_##type, READ, U, a < b ? a : b)                                                  \
  BINARY(MAX_S_##type, READ, U, (S)a > (S)b ? a : b)                                            \
  BINARY(MAX_U_##type, READ, U, a > b ? a : b)                                                  \
  UNARY(CLZ_##type, READ, U, a == 0 ? (width) : (uint32_t)__builtin_clzll(a) - (64u - (width))) \
  UNARY(CTZ_##type, READ, U, a == 0 ? (width) : (uint32_t)__builtin_ctzll(a))                   \
  UNARY(POPCNT_##type, READ, U, count_ones(a))                                                  \
  BINARY(EQ_##type, READ, U, a == b)                                                            \
  BINARY(NE_##type, READ, U, a != b)                                                            \
  BINARY(LT_S_##type, READ, U, (S)a < (S)b)                                                     \
  BINARY(LT_U_##type, READ, U, a < b)                                                           \
  BINARY(LE_S_##type, READ, U, (S)a <= (S)b)                                                    \
  BINARY(LE_U_##type, READ, U, a <= b)

#define FROM_F32(value) mlirage_vm_from_f32(value)
#define FROM_F64(value) mlirage_vm_from_f64(value)
// Functions on doubles are exact on floats too: their results are floats again, or
// (square root) round to the right one.
#define FLOAT_CASES(type, READ, FROM, T, sign)                                      \
  BINARY(ADD_##type, READ, T, FROM(a + b))                                          \
  BINARY(SUB_##type, READ, T, FROM(a - b))                                          \
  BINARY(MUL_##type, READ, T, FROM(a* b))                                           \
  BINARY(DIV_##type, READ, T, FROM(a / b))                                          \
  BINARY(REM_##type, READ, T, FROM((T)mlirage_f64_remainder((double)a, (double)b))) \
  UNARY(NEG_##type, I64, uint64_t, a ^ (sign))                                      \
  UNARY(ABS_##type, I64, uint64_t, a & ~(sign))                                     \
  BINARY(COPYSIGN_##type, I64, uint64_t, (a & ~(sign)) | (b & (sign)))              \
  UNARY(FLOOR_##type, READ, T, FROM((T)mlirage_f64_floor((double)a)))               \
  UNARY(CEIL_##type, READ, T, FROM((T)mlirage_f64_ceil((double)a)))                 \
  UNARY(TRUNC_##type, READ, T, FROM((T)mlirage_f64_trunc((double)a)))               \
  UNARY(ROUND_EVEN_##type, READ, T, FROM((T)mlirage_f64_round_even((double)a)))     \
  UNARY(SQRT_##type, READ, T, FROM((T)mlirage_f64_sqrt((double)a)))                 \
  BINARY(MIN_##type, READ, T, FROM((T)mlirage_f64_minimum((double)a, (double)b)))   \
  BINARY(MAX_##type, READ, T, FROM((T)mlirage_f64_maximum((double)a, (double)b)))   \
  BINARY(EQ_##type, READ, T, a == b)                                                \
  BINARY(LT_##type, READ, T, a < b)                                                 \
  BINARY(LE_##type, READ, T, a <= b)

// A step that may fail, outside of this function.
#define STEP(call)                                 \
  do {                                             \
    const mlirage_status_t status_ = (call);       \
    if (MLIRAGE_UNLIKELY(status_ != MLIRAGE_OK)) { \
      frame->pc = pc;                              \
      return status_;                              \
    }                                              \
  } while (0)
// Work in proportion to |bytes|, beyond what an instruction costs anyway.
#define CHARGE(bytes) STEP(mlirage_vm_charge(invocation, (bytes) >> 12, error))
// Most buffers are mutable ones, and most accesses fit: the rest, failures included, is
// left to buffer.c.
#define BUFFER_CASE_LOAD(name, T, result)                                      \
  CASE(BUFFER_LOAD_##name) {                                                   \
    const mlirage_vm_buffer_t* buffer = refs[pc[1]];                           \
    const uint64_t offset = I64(2);                                            \
    T a = 0;                                                                   \
    if (MLIRAGE_LIKELY(mlirage_vm_buffer_has(buffer, offset, sizeof(T)))) {    \
      memcpy(&a, buffer->data + (size_t)offset, sizeof(T));                    \
    } else {                                                                   \
      STEP(mlirage_vm_buffer_load(refs[pc[1]], offset, sizeof(T), &a, error)); \
    }                                                                          \
    SET(3, result);                                                            \
    NEXT(4);                                                                   \
  }
#define BUFFER_CASE_STORE(name, T)                                                                 \
  CASE(BUFFER_STORE_##name) {                                                                      \
    const mlirage_vm_buffer_t* buffer = refs[pc[1]];                                               \
    const uint64_t offset = I64(2);                                                                \
    const T a = (T)I64(3);                                                                         \
    if (MLIRAGE_LIKELY(mlirage_vm_buffer_has(buffer, offset, sizeof(T)) && buffer->is_writable)) { \
      memcpy(buffer->data + (size_t)offset, &a, sizeof(T));                                        \
    } else {                                                                                       \
      STEP(mlirage_vm_buffer_store(refs[pc[1]], offset, sizeof(T), &a, error));                    \
    }                                                                                              \
    NEXT(4);                                                                                       \
  }

#define LIST_CASES(type, letter)                                               \
  CASE(LIST_GET_##type) {                                                      \
    mlirage_vm_variant_t element = {.kind = (letter)};                         \
    STEP(mlirage_vm_list_take(refs[pc[1]], I64(2), &element, error));          \
    SET(3, element.scalar);                                                    \
    NEXT(4);                                                                   \
  }                                                                            \
  CASE(LIST_SET_##type) {                                                      \
    const mlirage_vm_variant_t element = {.kind = (letter), .scalar = I64(3)}; \
    STEP(mlirage_vm_list_put(refs[pc[1]], I64(2), element, error));            \
    NEXT(4);                                                                   \
  }

mlirage_status_t mlirage_vm_run(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
#if MLIRAGE_VM_COMPUTED_GOTO
  static const void* const labels[MLIRAGE_VM_OPCODE_LIMIT] = {
#define MLIRAGE_VM_OPCODE(number, name, operands, meaning) [number] = &&op_##name,
#include "vm/vm_opcodes.def"
  };
#endif
#if MLIRAGE_VM_COMPUTED_GOTO
  // With tracing every instruction goes by one place.
  static const void* const traced[MLIRAGE_VM_OPCODE_LIMIT] = {
#define MLIRAGE_VM_OPCODE(number, name, operands, meaning) [number] = &&trace,
#include "vm/vm_opcodes.def"
  };
  const void* const* next = invocation->context->trace != NULL ? traced : labels;
#endif
  mlirage_vm_frame_t* frame = NULL;
  uint64_t* scalars = NULL;
  void** refs = NULL;
  const uint16_t* code = NULL;
  const uint16_t* pc = NULL;
  ENTER_FRAME();
#if MLIRAGE_VM_COMPUTED_GOTO
  DISPATCH();
trace:
  mlirage_vm_trace(invocation, pc);
  goto* labels[*pc];
#else
dispatch:
  if (invocation->context->trace != NULL) mlirage_vm_trace(invocation, pc);
  switch ((mlirage_vm_opcode_t)*pc) {
#endif

  // Control flow.
  CASE(BRANCH) { JUMP(mlirage_vm_read_u32(pc + 1)); }
  CASE(BRANCH_IF) { JUMP(mlirage_vm_read_u32(I32(1) != 0 ? pc + 2 : pc + 4)); }
  CASE(SWITCH) {
    const uint32_t last = pc[2] - 1u;
    const uint64_t value = I64(1);
    JUMP(mlirage_vm_read_u32(pc + 3 + 2 * (value < last ? (uint32_t)value : last)));
  }
  CASE(CALL) {
    frame->pc = pc;
    COUNT_JUMP();
    MLIRAGE_TRY(enter_callee(invocation, frame->instance, pc[1], pc + 2, error));
    ENTER_FRAME();
    DISPATCH();
  }
  CASE(CALL_IMPORT) {
    frame->pc = pc;
    COUNT_JUMP();
    MLIRAGE_TRY(call_import(invocation, error));
    ENTER_FRAME();
    DISPATCH();
  }
  CASE(IMPORT_RESOLVED) {
    const mlirage_vm_binding_t* binding = &frame->instance->bindings[pc[1]];
    SET(2, binding->native != NULL || binding->instance != NULL);
    NEXT(3);
  }
  CASE(RETURN) {
    if (!return_results(invocation, pc + 1)) return MLIRAGE_OK;
    ENTER_FRAME();
    DISPATCH();
  }
  CASE(FAIL) {
    frame->pc = pc;
    return fail_program(frame, pc + 1, error);
  }
  CASE(ASSERT) {
    if (MLIRAGE_UNLIKELY(I32(1) == 0)) {
      frame->pc = pc;
      return fail_program(frame, pc + 2, error);
    }
    NEXT(6);
  }
  CASE(YIELD) {
    if (invocation->can_suspend) {
      frame->pc = pc + 1;
      return MLIRAGE_PENDING;
    }
    NEXT(1);
  }

  // Registers, constants, globals.
  CASE(CONST_32) {
    SET(3, mlirage_vm_read_u32(pc + 1));
    NEXT(4);
  }
  CASE(CONST_64) {
    SET(5, mlirage_vm_read_u64(pc + 1));
    NEXT(6);
  }
  CASE(CONST_64_SHORT) {
    SET(3, (uint64_t)(int64_t)(int32_t)mlirage_vm_read_u32(pc + 1));
    NEXT(4);
  }
  CASE(MOVE) {
    SET(2, I64(1));
    NEXT(3);
  }
  CASE(MOVE_REF) {
    SET_REF(2, refs[pc[1]]);
    NEXT(3);
  }
  CASE(NULL_REF) {
    mlirage_vm_set_ref(&refs[pc[1]], NULL);
    NEXT(2);
  }
  CASE(RODATA) {
    SET_REF(2, &frame->instance->module->rodata[pc[1]]);
    NEXT(3);
  }
  CASE(DISCARD) {
    const uint32_t count = pc[1];
    for (uint32_t i = 0; i < count; ++i) mlirage_vm_set_ref(&refs[pc[2 + i]], NULL);
    NEXT(2 + count);
  }
  CASE(SELECT) {
    SET(4, I32(1) != 0 ? I64(2) : I64(3));
    NEXT(5);
  }
  CASE(SELECT_REF) {
    SET_REF(4, refs[pc[I32(1) != 0 ? 2 : 3]]);
    NEXT(5);
  }
  CASE(IS_NULL) {
    SET(2, refs[pc[1]] == NULL);
    NEXT(3);
  }
  CASE(GLOBAL_LOAD) {
    SET(2, frame->instance->globals[pc[1]].scalar);
    NEXT(3);
  }
  CASE(GLOBAL_STORE) {
    frame->instance->globals[pc[1]].scalar = I64(2);
    NEXT(3);
  }
  CASE(GLOBAL_LOAD_REF) {
    SET_REF(2, frame->instance->globals[pc[1]].ref);
    NEXT(3);
  }
  CASE(GLOBAL_STORE_REF) {
    void* ref = refs[pc[2]];
    mlirage_object_retain(ref);
    mlirage_vm_set_ref(&frame->instance->globals[pc[1]].ref, ref);
    NEXT(3);
  }

  INTEGER_CASES(I32, I32, uint32_t, int32_t, 32u)
  INTEGER_CASES(I64, I64, uint64_t, int64_t, 64u)
  FLOAT_CASES(F32, F32, FROM_F32, float, UINT64_C(1) << 31)
  FLOAT_CASES(F64, F64, FROM_F64, double, UINT64_C(1) << 63)

  // Conversions.
  UNARY(EXTEND_S_I32_I64, I32, uint32_t, (uint64_t)(int64_t)(int32_t)a)
  UNARY(EXTEND_U_I32_I64, I32, uint32_t, a)
  UNARY(TRUNC_I64_I32, I64, uint64_t, (uint32_t)a)
  UNARY(EXTEND_S_I8_I32, I32, uint32_t, ((a & 0xFFu) ^ 0x80u) - 0x80u)
  UNARY(EXTEND_S_I16_I32, I32, uint32_t, ((a & 0xFFFFu) ^ 0x8000u) - 0x8000u)
  UNARY(F32_F64, F32, float, FROM_F64((double)a))
  UNARY(F64_F32, F64, double, FROM_F32((float)a))
  UNARY(F16_F32, I32, uint32_t, FROM_F32(mlirage_f16_to_f32((uint16_t)a)))
  UNARY(F32_F16, F32, float, mlirage_f32_to_f16(a))
  UNARY(BF16_F32, I32, uint32_t, FROM_F32(mlirage_bf16_to_f32((uint16_t)a)))
  UNARY(F32_BF16, F32, float, mlirage_f32_to_bf16(a))
  UNARY(BITCAST_I32_F32, I64, uint64_t, a)
  UNARY(BITCAST_F32_I32, I64, uint64_t, a)
  UNARY(BITCAST_I64_F64, I64, uint64_t, a)
  UNARY(BITCAST_F64_I64, I64, uint64_t, a)
  UNARY(I32_F32_S, I32, uint32_t, FROM_F32((float)(int32_t)a))
  UNARY(I32_F32_U, I32, uint32_t, FROM_F32((float)a))
  UNARY(I32_F64_S, I32, uint32_t, FROM_F64((double)(int32_t)a))
  UNARY(I32_F64_U, I32, uint32_t, FROM_F64((double)a))
  UNARY(I64_F32_S, I64, uint64_t, FROM_F32((float)(int64_t)a))
  UNARY(I64_F32_U, I64, uint64_t, FROM_F32((float)a))
  UNARY(I64_F64_S, I64, uint64_t, FROM_F64((double)(int64_t)a))
  UNARY(I64_F64_U, I64, uint64_t, FROM_F64((double)a))
  UNARY(F32_I32_S, F32, float, (uint32_t)mlirage_f64_to_i32((double)a))
  UNARY(F32_I32_U, F32, float, mlirage_f64_to_u32((double)a))
  UNARY(F32_I64_S, F32, float, (uint64_t)mlirage_f64_to_i64((double)a))
  UNARY(F32_I64_U, F32, float, mlirage_f64_to_u64((double)a))
  UNARY(F64_I32_S, F64, double, (uint32_t)mlirage_f64_to_i32(a))
  UNARY(F64_I32_U, F64, double, mlirage_f64_to_u32(a))
  UNARY(F64_I64_S, F64, double, (uint64_t)mlirage_f64_to_i64(a))
  UNARY(F64_I64_U, F64, double, mlirage_f64_to_u64(a))

  // Buffers.
  CASE(BUFFER_ALLOC) {
    CHARGE(I64(1));
    void* created = NULL;
    STEP(mlirage_vm_buffer_alloc(invocation->allocator, I64(1), &created, error));
    mlirage_vm_set_ref(&refs[pc[2]], created);
    NEXT(3);
  }
  CASE(BUFFER_CLONE) {
    CHARGE(I64(3));
    void* created = NULL;
    STEP(mlirage_vm_buffer_clone(invocation->allocator, refs[pc[1]], I64(2), I64(3), &created, error));
    mlirage_vm_set_ref(&refs[pc[4]], created);
    NEXT(5);
  }
  CASE(BUFFER_SLICE) {
    CHARGE(I64(3));  // of a splat it is a copy
    void* created = NULL;
    STEP(mlirage_vm_buffer_slice(invocation->allocator, refs[pc[1]], I64(2), I64(3), &created, error));
    mlirage_vm_set_ref(&refs[pc[4]], created);
    NEXT(5);
  }
  CASE(BUFFER_LENGTH) {
    uint64_t length = 0;
    STEP(mlirage_vm_buffer_length(refs[pc[1]], &length, error));
    SET(2, length);
    NEXT(3);
  }
  CASE(BUFFER_COMPARE) {
    CHARGE(I64(5));
    uint32_t is_equal = 0;
    STEP(mlirage_vm_buffer_compare(refs[pc[1]], I64(2), refs[pc[3]], I64(4), I64(5), &is_equal, error));
    SET(6, is_equal);
    NEXT(7);
  }
  CASE(BUFFER_FILL) {
    CHARGE(I64(3));
    STEP(mlirage_vm_buffer_fill(refs[pc[1]], I64(2), I64(3), I64(4), mlirage_vm_read_u32(pc + 5), error));
    NEXT(7);
  }
  CASE(BUFFER_COPY) {
    CHARGE(I64(5));
    STEP(mlirage_vm_buffer_copy(refs[pc[1]], I64(2), refs[pc[3]], I64(4), I64(5), error));
    NEXT(6);
  }
  BUFFER_CASE_LOAD(U8, uint8_t, a)
  BUFFER_CASE_LOAD(S8, uint8_t, ((uint32_t)a ^ 0x80u) - 0x80u)
  BUFFER_CASE_LOAD(U16, uint16_t, a)
  BUFFER_CASE_LOAD(S16, uint16_t, ((uint32_t)a ^ 0x8000u) - 0x8000u)
  BUFFER_CASE_LOAD(32, uint32_t, a)
  BUFFER_CASE_LOAD(64, uint64_t, a)
  BUFFER_CASE_STORE(8, uint8_t)
  BUFFER_CASE_STORE(16, uint16_t)
  BUFFER_CASE_STORE(32, uint32_t)
  BUFFER_CASE_STORE(64, uint64_t)

  // Lists.
  CASE(LIST_CREATE) {
    mlirage_vm_list_t* created = NULL;
    STEP(mlirage_vm_list_create(invocation->allocator, &created, error));
    mlirage_vm_set_ref(&refs[pc[1]], created);
    NEXT(2);
  }
  CASE(LIST_SIZE) {
    mlirage_vm_list_t* list = refs[pc[1]];
    STEP(mlirage_vm_check_ref(list, &mlirage_vm_list_type, "the list", error));
    SET(2, mlirage_vm_list_size(list));
    NEXT(3);
  }
  CASE(LIST_RESIZE) {
    mlirage_vm_list_t* list = refs[pc[1]];
    STEP(mlirage_vm_check_ref(list, &mlirage_vm_list_type, "the list", error));
    CHARGE(16 * (mlirage_vm_list_size(list) + I64(2)));
    STEP(mlirage_vm_list_resize_to(list, I64(2), error));
    NEXT(3);
  }
  CASE(LIST_KIND) {
    uint32_t kind = 0;
    STEP(mlirage_vm_list_kind(refs[pc[1]], I64(2), &kind, error));
    SET(3, kind);
    NEXT(4);
  }
  LIST_CASES(I32, 'i')
  LIST_CASES(I64, 'I')
  LIST_CASES(F32, 'f')
  LIST_CASES(F64, 'F')
  CASE(LIST_GET_REF) {
    mlirage_vm_variant_t element = {.kind = 'r'};
    STEP(mlirage_vm_list_take(refs[pc[1]], I64(2), &element, error));
    SET_REF(3, element.ref);
    NEXT(4);
  }
  CASE(LIST_SET_REF) {
    const mlirage_vm_variant_t element = {.kind = 'r', .ref = refs[pc[3]]};
    STEP(mlirage_vm_list_put(refs[pc[1]], I64(2), element, error));
    NEXT(4);
  }

#if !MLIRAGE_VM_COMPUTED_GOTO
}
return mlirage_fail(error, MLIRAGE_INTERNAL, "unverified code");
#endif
}

#undef CASE
#undef DISPATCH
#undef NEXT
#undef JUMP
#undef ENTER_FRAME
#undef FAIL
#undef I32
#undef I64
#undef F32
#undef F64
#undef SET
#undef SET_REF
#undef UNARY
#undef BINARY
#undef DIVISION
#undef INTEGER_CASES
#undef FROM_F32
#undef FROM_F64
#undef FLOAT_CASES
#undef STEP
#undef BUFFER_CASE_LOAD
#undef BUFFER_CASE_STORE
#undef LIST_CASES
#undef COUNT_JUMP
#undef CHARGE
