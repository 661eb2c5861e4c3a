// Internal: linked modules, stacks and frames.
#ifndef MLIRAGE_VM_CONTEXT_H_
#define MLIRAGE_VM_CONTEXT_H_

#include "mlirage/vm.h"
#include "module/format.h"

typedef struct mlirage_vm_instance_t mlirage_vm_instance_t;

// What an import is bound to: a native function, a function of another module of the
// context, or nothing (optional imports).
typedef struct mlirage_vm_binding_t {
  mlirage_vm_native_function_t native;
  void* self;
  size_t export_index;
  const mlirage_vm_instance_t* instance;
  uint32_t function;
} mlirage_vm_binding_t;

typedef union mlirage_vm_global_t {
  uint64_t scalar;
  void* ref;
} mlirage_vm_global_t;

// A module in a context.
struct mlirage_vm_instance_t {
  mlirage_module_t* module;
  mlirage_vm_binding_t* bindings;  // one per import
  mlirage_vm_global_t* globals;
  bool is_initialized;
};

struct mlirage_vm_context_t {
  mlirage_allocator_t allocator;
  size_t stack_size;
  uint64_t jump_limit;
  mlirage_status_t (*poll)(void* poll_self);
  void* poll_self;
  void (*trace)(void* trace_self, const char* line);
  void* trace_self;
  uint32_t cancelled;  // atomic: how often
  size_t native_module_count;
  mlirage_vm_native_module_t* native_modules;
  size_t instance_count;
  mlirage_vm_instance_t* instances;
};

// One call in progress; its registers follow it on the stack.
typedef struct mlirage_vm_frame_t {
  struct mlirage_vm_frame_t* caller;  // NULL: called from outside
  const mlirage_vm_instance_t* instance;
  const mlirage_file_function_t* function;
  uint32_t ordinal;                  // of |function|
  const uint16_t* pc;                // up to date while another function runs, and at failures
  const uint16_t* result_registers;  // in the caller's code, which goes on behind them
  uint64_t* scalars;
  void** refs;
} mlirage_vm_frame_t;

typedef enum mlirage_vm_state_t {
  MLIRAGE_VM_IDLE,
  MLIRAGE_VM_RUNNING,
  MLIRAGE_VM_SUSPENDED,
  MLIRAGE_VM_FINISHED,  // results wait to be taken
} mlirage_vm_state_t;

// The stack: results of the outermost function, then frames.
struct mlirage_vm_invocation_t {
  mlirage_vm_context_t* context;
  mlirage_allocator_t allocator;  // of what the program allocates
  mlirage_vm_state_t state;
  bool can_suspend;
  uint32_t cancelled;     // the context's when the call began
  uint64_t jumps_left;    // until the next look at whether to go on
  uint64_t jumps_beyond;  // after that, until the limit
  void* pending;
  mlirage_vm_frame_t* frame;  // innermost
  mlirage_convention_t convention;
  uint64_t* scalar_results;
  void** ref_results;
  uint8_t* stack;
  uint8_t* stack_end;
};

// An invocation in memory of the caller's, aligned to 64: for who runs functions without
// allocating. What programs allocate comes from |allocator|.
size_t mlirage_vm_invocation_size(const mlirage_vm_context_t* context);
mlirage_vm_invocation_t* mlirage_vm_invocation_place(mlirage_vm_context_t* context, mlirage_allocator_t allocator,
                                                     void* memory);

// Stores |value|, ownership included, in |slot|.
static inline void mlirage_vm_set_ref(void** slot, void* value) {
  void* old = *slot;
  *slot = value;
  if (old != NULL) mlirage_object_release(old);
}

// Makes the frame of function |ordinal| the innermost one, above |top|; registers are
// zero. OUT_OF_MEMORY if the stack has no room.
mlirage_status_t mlirage_vm_push(mlirage_vm_invocation_t* invocation, uint8_t* top,
                                 const mlirage_vm_instance_t* instance, uint32_t ordinal, mlirage_error_t* error);
// Releases the references of the innermost frame and leaves it.
void mlirage_vm_pop(mlirage_vm_invocation_t* invocation);
// The end of |frame|, where the stack is free.
uint8_t* mlirage_vm_top(const mlirage_vm_frame_t* frame);

// Runs the innermost frame until the outermost one returns (OK), the invocation
// suspends (PENDING) or fails (frames stay, with their pc).
mlirage_status_t mlirage_vm_run(mlirage_vm_invocation_t* invocation, mlirage_error_t* error);
// Called when |jumps_left| is 0: may the call go on? Then there are jumps again.
mlirage_status_t mlirage_vm_check_jumps(mlirage_vm_invocation_t* invocation, mlirage_error_t* error);
// Takes |jumps| at once, for work inside of an instruction; never PENDING.
mlirage_status_t mlirage_vm_charge(mlirage_vm_invocation_t* invocation, uint64_t jumps, mlirage_error_t* error);
// Writes the line for the instruction at |pc| of the innermost frame.
void mlirage_vm_trace(const mlirage_vm_invocation_t* invocation, const uint16_t* pc);
// Calls the native function of the CALL_IMPORT at the innermost frame's pc and moves
// the pc behind it.
mlirage_status_t mlirage_vm_call_native(mlirage_vm_invocation_t* invocation, mlirage_error_t* error);

#endif  // MLIRAGE_VM_CONTEXT_H_
