// Invocations: stacks, frames, calls from outside, and what a failure says.
#include "base/memory.h"
#include "vm/context.h"
#include "vm/opcodes.h"

//===--------------------------------------------------------------------------===
// Frames
//===--------------------------------------------------------------------------===

static uint8_t* align_pointer(uint8_t* pointer) { return pointer + (0u - (uintptr_t)pointer) % sizeof(uint64_t); }

uint8_t* mlirage_vm_top(const mlirage_vm_frame_t* frame) {
  return align_pointer((uint8_t*)(frame->refs + frame->function->ref_registers));
}

mlirage_status_t mlirage_vm_push(mlirage_vm_invocation_t* invocation, uint8_t* top,
                                 const mlirage_vm_instance_t* instance, uint32_t ordinal, mlirage_error_t* error) {
  const mlirage_file_function_t* function = &instance->module->functions[ordinal];
  const size_t scalar_bytes = (size_t)function->scalar_registers * sizeof(uint64_t);
  const size_t ref_bytes = (size_t)function->ref_registers * sizeof(void*);
  const size_t room = (size_t)(invocation->stack_end - top);
  const size_t size = sizeof(mlirage_vm_frame_t) + scalar_bytes + ref_bytes + sizeof(uint64_t);
  if (size > room) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY,
                        "stack overflow: calls are nested too deeply for a stack of %zu bytes",
                        (size_t)(invocation->stack_end - invocation->stack));
  }
  mlirage_vm_frame_t* frame = (void*)top;
  frame->caller = invocation->frame;
  frame->instance = instance;
  frame->function = function;
  frame->ordinal = ordinal;
  frame->pc = instance->module->code + function->code_offset;
  frame->result_registers = NULL;
  frame->scalars = (void*)(top + sizeof(*frame));
  frame->refs = (void*)(top + sizeof(*frame) + scalar_bytes);
  memset(frame->scalars, 0, scalar_bytes + ref_bytes);
  invocation->frame = frame;
  return MLIRAGE_OK;
}

void mlirage_vm_pop(mlirage_vm_invocation_t* invocation) {
  mlirage_vm_frame_t* frame = invocation->frame;
  for (uint32_t i = 0; i < frame->function->ref_registers; ++i) {
    if (frame->refs[i] != NULL) mlirage_object_release(frame->refs[i]);
  }
  invocation->frame = frame->caller;
}

//===--------------------------------------------------------------------------===
// Whether to go on
//===--------------------------------------------------------------------------===

#define JUMPS_BETWEEN_LOOKS 1024u

static mlirage_status_t fail_limit(const mlirage_vm_context_t* context, mlirage_error_t* error) {
  return mlirage_fail(error, MLIRAGE_DEADLINE_EXCEEDED, "more than %llu calls and backward jumps",
                      (unsigned long long)context->jump_limit);
}

// Has somebody cancelled, or does the host say no? PENDING if it wants to go on later.
static mlirage_status_t ask_host(const mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  const mlirage_vm_context_t* context = invocation->context;
  if (__atomic_load_n(&context->cancelled, __ATOMIC_ACQUIRE) != invocation->cancelled) {
    return mlirage_fail(error, MLIRAGE_CANCELLED, "the call was cancelled");
  }
  const mlirage_status_t status = context->poll == NULL ? MLIRAGE_OK : context->poll(context->poll_self);
  if (status == MLIRAGE_OK || status == MLIRAGE_PENDING) return status;
  return mlirage_fail(error, status, "the host ended the call");
}

mlirage_status_t mlirage_vm_check_jumps(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  if (invocation->jumps_beyond == 0) return fail_limit(invocation->context, error);
  const bool is_last = invocation->jumps_beyond < JUMPS_BETWEEN_LOOKS;
  invocation->jumps_left = is_last ? invocation->jumps_beyond : JUMPS_BETWEEN_LOOKS;
  if (invocation->jumps_beyond != UINT64_MAX) invocation->jumps_beyond -= invocation->jumps_left;
  const mlirage_status_t status = ask_host(invocation, error);
  return status == MLIRAGE_PENDING && !invocation->can_suspend ? MLIRAGE_OK : status;
}

mlirage_status_t mlirage_vm_charge(mlirage_vm_invocation_t* invocation, uint64_t jumps, mlirage_error_t* error) {
  if (MLIRAGE_LIKELY(jumps <= invocation->jumps_left)) {
    invocation->jumps_left -= jumps;
    return MLIRAGE_OK;
  }
  jumps -= invocation->jumps_left;
  invocation->jumps_left = 0;
  if (jumps > invocation->jumps_beyond) return fail_limit(invocation->context, error);
  if (invocation->jumps_beyond != UINT64_MAX) {
    invocation->jumps_beyond -= jumps;
  } else {
    invocation->jumps_left = JUMPS_BETWEEN_LOOKS;
  }
  const mlirage_status_t status = ask_host(invocation, error);
  return status == MLIRAGE_PENDING ? MLIRAGE_OK : status;
}

mlirage_status_t mlirage_vm_spend(mlirage_vm_call_t* call, uint64_t jumps) {
  return mlirage_vm_charge(call->invocation, jumps, call->error);
}

//===--------------------------------------------------------------------------===
// Failures
//===--------------------------------------------------------------------------===

// Appends "\n  at text" and gives the size of the whole.
static size_t append_line(mlirage_error_t* error, size_t size, const char* name, const char* location) {
  if (size >= sizeof(error->text)) return size;
  const char* format = location[0] != '\0' ? "\n  at %s (%s)" : "\n  at %s";
  return size + mlirage_format(error->text + size, sizeof(error->text) - size, format, name, location);
}

// Appends where it happened: the native function that failed, then the calls from the
// innermost one out, with the locations of the source.
static void append_trace(const mlirage_vm_invocation_t* invocation, mlirage_status_t status, mlirage_error_t* error) {
  if (error == NULL) return;
  size_t size = mlirage_string(error->text).size;
  if (error->status != status || size == 0) {
    error->status = status;
    size = mlirage_format(error->text, sizeof(error->text), "%s", mlirage_status_name(status));
  }
  const mlirage_vm_frame_t* frame = invocation->frame;
  if (frame != NULL && *frame->pc == MLIRAGE_VM_CALL_IMPORT) {
    size = append_line(error, size, mlirage_module_import(frame->instance->module, frame->pc[1]).name, "");
  }
  for (; frame != NULL; frame = frame->caller) {
    const mlirage_module_t* module = frame->instance->module;
    const uint32_t pc = (uint32_t)(frame->pc - (module->code + frame->function->code_offset));
    size = append_line(error, size, mlirage_module_text(module, frame->function->name),
                       mlirage_module_location(module, frame->ordinal, pc));
  }
}

//===--------------------------------------------------------------------------===
// Invocations
//===--------------------------------------------------------------------------===

size_t mlirage_vm_invocation_size(const mlirage_vm_context_t* context) {
  return sizeof(mlirage_vm_invocation_t) + context->stack_size;
}

mlirage_vm_invocation_t* mlirage_vm_invocation_place(mlirage_vm_context_t* context, mlirage_allocator_t allocator,
                                                     void* memory) {
  mlirage_vm_invocation_t* invocation = memory;
  memset(invocation, 0, sizeof(*invocation));
  invocation->context = context;
  invocation->allocator = allocator;
  invocation->stack = (uint8_t*)memory + sizeof(*invocation);
  invocation->stack_end = invocation->stack + context->stack_size;
  return invocation;
}

mlirage_status_t mlirage_vm_invocation_create(mlirage_vm_context_t* context, mlirage_vm_invocation_t** out_invocation,
                                              mlirage_error_t* error) {
  *out_invocation = NULL;
  void* block = NULL;
  size_t size = 0;
  if (!mlirage_checked_add(sizeof(mlirage_vm_invocation_t), context->stack_size, &size) ||
      mlirage_allocate(context->allocator, size, &block) != MLIRAGE_OK ||
      block == NULL) {  // the size is not 0, which compilers do not see
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a stack of %zu bytes", context->stack_size);
  }
  *out_invocation = mlirage_vm_invocation_place(context, context->allocator, block);
  return MLIRAGE_OK;
}

void mlirage_vm_invocation_release(mlirage_vm_invocation_t* invocation) {
  if (invocation == NULL) return;
  mlirage_vm_cancel(invocation);
  mlirage_free(invocation->context->allocator, invocation, mlirage_vm_invocation_size(invocation->context));
}

static void take_pending(mlirage_vm_invocation_t* invocation) { mlirage_vm_set_ref(&invocation->pending, NULL); }

void mlirage_vm_cancel(mlirage_vm_invocation_t* invocation) {
  while (invocation->frame != NULL) mlirage_vm_pop(invocation);
  take_pending(invocation);
  if (invocation->state == MLIRAGE_VM_FINISHED) {
    for (uint32_t i = 0; i < invocation->convention.ref_result_count; ++i) {
      mlirage_vm_set_ref(&invocation->ref_results[i], NULL);
    }
  }
  invocation->state = MLIRAGE_VM_IDLE;
}

// Runs what is on the stack; a failure is explained and unwinds.
static mlirage_status_t run(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  invocation->state = MLIRAGE_VM_RUNNING;
  const mlirage_status_t status = mlirage_vm_run(invocation, error);
  if (status == MLIRAGE_OK) {
    invocation->state = MLIRAGE_VM_FINISHED;
  } else if (status == MLIRAGE_PENDING) {
    invocation->state = MLIRAGE_VM_SUSPENDED;
  } else {
    append_trace(invocation, status, error);
    for (uint32_t i = 0; i < invocation->convention.ref_result_count; ++i) {
      mlirage_vm_set_ref(&invocation->ref_results[i], NULL);
    }
    mlirage_vm_cancel(invocation);
  }
  return status;
}

// Puts the results area and the first frame on the stack.
static mlirage_status_t enter(mlirage_vm_invocation_t* invocation, const mlirage_vm_function_t* function,
                              const uint64_t* scalars, void* const* refs, mlirage_error_t* error) {
  const mlirage_vm_instance_t* instance = &invocation->context->instances[function->module];
  const mlirage_convention_t convention = instance->module->function_shapes[function->function];
  const size_t scalar_bytes = (size_t)convention.scalar_result_count * sizeof(uint64_t);
  const size_t ref_bytes = (size_t)convention.ref_result_count * sizeof(void*);
  uint8_t* base = align_pointer(invocation->stack);
  if (scalar_bytes + ref_bytes + 2 * sizeof(uint64_t) > (size_t)(invocation->stack_end - base)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "stack overflow: no room for the results");
  }
  invocation->convention = convention;
  invocation->scalar_results = (void*)base;
  invocation->ref_results = (void*)(base + scalar_bytes);
  memset(base, 0, scalar_bytes + ref_bytes);
  invocation->frame = NULL;
  invocation->jumps_left = 0;
  invocation->jumps_beyond = invocation->context->jump_limit;
  invocation->cancelled = __atomic_load_n(&invocation->context->cancelled, __ATOMIC_ACQUIRE);
  MLIRAGE_TRY(
      mlirage_vm_push(invocation, align_pointer(base + scalar_bytes + ref_bytes), instance, function->function, error));
  mlirage_vm_frame_t* frame = invocation->frame;
  for (uint32_t i = 0; i < convention.scalar_argument_count; ++i) frame->scalars[i] = scalars[i];
  for (uint32_t i = 0; i < convention.ref_argument_count; ++i) {
    mlirage_object_retain(refs[i]);
    frame->refs[i] = refs[i];
  }
  return MLIRAGE_OK;
}

static mlirage_status_t start(mlirage_vm_invocation_t* invocation, const mlirage_vm_function_t* function,
                              const uint64_t* scalars, void* const* refs, bool can_suspend, mlirage_error_t* error) {
  if (invocation->state != MLIRAGE_VM_IDLE) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "another call is in progress on this invocation");
  }
  if (error != NULL) {
    error->status = MLIRAGE_OK;  // native functions may fail without a text: none of an earlier call
    error->text[0] = '\0';
  }
  MLIRAGE_TRY(enter(invocation, function, scalars, refs, error));
  invocation->can_suspend = can_suspend;
  return run(invocation, error);
}

mlirage_status_t mlirage_vm_begin(mlirage_vm_invocation_t* invocation, const mlirage_vm_function_t* function,
                                  const uint64_t* scalars, void* const* refs, mlirage_error_t* error) {
  return start(invocation, function, scalars, refs, true, error);
}

mlirage_status_t mlirage_vm_resume(mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  if (invocation->state != MLIRAGE_VM_SUSPENDED) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "no suspended call to resume");
  }
  take_pending(invocation);
  return run(invocation, error);
}

void* mlirage_vm_pending(const mlirage_vm_invocation_t* invocation) { return invocation->pending; }

mlirage_status_t mlirage_vm_finish(mlirage_vm_invocation_t* invocation, uint64_t* scalar_results, void** ref_results) {
  if (invocation->state != MLIRAGE_VM_FINISHED) return MLIRAGE_FAILED_PRECONDITION;
  for (uint32_t i = 0; i < invocation->convention.scalar_result_count; ++i) {
    scalar_results[i] = invocation->scalar_results[i];
  }
  for (uint32_t i = 0; i < invocation->convention.ref_result_count; ++i) ref_results[i] = invocation->ref_results[i];
  invocation->state = MLIRAGE_VM_IDLE;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_invoke(mlirage_vm_invocation_t* invocation, const mlirage_vm_function_t* function,
                                   const uint64_t* scalars, void* const* refs, uint64_t* scalar_results,
                                   void** ref_results, mlirage_error_t* error) {
  MLIRAGE_TRY(start(invocation, function, scalars, refs, false, error));
  return mlirage_vm_finish(invocation, scalar_results, ref_results);
}
