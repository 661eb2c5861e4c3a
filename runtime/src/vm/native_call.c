// Calls from programs to native functions.
#include "base/memory.h"
#include "vm/context.h"

// Releases what a function that failed has left in its results.
static void drop_results(void** ref_results, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) mlirage_vm_set_ref(&ref_results[i], NULL);
}

static mlirage_status_t suspend(mlirage_vm_invocation_t* invocation, void* pending, mlirage_error_t* error) {
  if (!invocation->can_suspend) {
    mlirage_object_release(pending);
    return mlirage_fail(error, MLIRAGE_INTERNAL, "a native function is pending in a call that blocks");
  }
  invocation->pending = pending;
  return MLIRAGE_PENDING;
}

mlirage_status_t mlirage_vm_call_native(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  mlirage_vm_frame_t* frame = invocation->frame;
  const uint16_t* operands = frame->pc + 1;  // import, counts of arguments, of groups, registers
  const mlirage_vm_binding_t* binding = &frame->instance->bindings[operands[0]];
  const mlirage_convention_t* shape = &frame->instance->module->import_shapes[operands[0]].counts;
  const size_t scalar_count = operands[1], ref_count = operands[2];
  const size_t scalar_words = scalar_count + shape->scalar_result_count;
  const size_t ref_words = ref_count + shape->ref_result_count;

  uint8_t* top = mlirage_vm_top(frame);
  if (top > invocation->stack_end ||
      scalar_words * sizeof(uint64_t) + ref_words * sizeof(void*) > (size_t)(invocation->stack_end - top)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "stack overflow: no room for the arguments of a native function");
  }
  uint64_t* scalars = (void*)top;
  void** refs = (void*)(top + scalar_words * sizeof(uint64_t));
  const uint16_t* registers = operands + 3 + shape->group_count;
  for (size_t i = 0; i < scalar_count; ++i) scalars[i] = frame->scalars[*registers++];
  for (size_t i = 0; i < ref_count; ++i) refs[i] = frame->refs[*registers++];
  for (size_t i = scalar_count; i < scalar_words; ++i) scalars[i] = 0;
  for (size_t i = ref_count; i < ref_words; ++i) refs[i] = NULL;

  mlirage_vm_call_t call = {
      .self = binding->self,
      .scalars = scalars,
      .refs = refs,
      .group_counts = operands + 3,
      .scalar_results = scalars + scalar_count,
      .ref_results = refs + ref_count,
      .can_suspend = invocation->can_suspend,
      .error = error,
      .export_index = binding->export_index,
      .invocation = invocation,
  };
  const mlirage_status_t status = binding->native(&call);
  if (MLIRAGE_UNLIKELY(status != MLIRAGE_OK)) {
    drop_results(call.ref_results, shape->ref_result_count);
    return status == MLIRAGE_PENDING ? suspend(invocation, call.pending, error) : status;
  }
  for (size_t i = scalar_count; i < scalar_words; ++i) frame->scalars[*registers++] = scalars[i];
  for (size_t i = ref_count; i < ref_words; ++i) mlirage_vm_set_ref(&frame->refs[*registers++], refs[i]);
  frame->pc = registers;
  return MLIRAGE_OK;
}
