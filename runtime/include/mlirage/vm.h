// The virtual machine that runs host programs: contexts (modules linked to the
// native functions they import, with their globals) and invocations (stacks).
//
// Threads: a context and its invocations are used by one thread at a time; different
// contexts are independent, even over the same modules.
// Memory: everything is allocated by the create functions; calls allocate nothing.
#ifndef MLIRAGE_VM_H_
#define MLIRAGE_VM_H_

#include "mlirage/base.h"
#include "mlirage/module.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

//===--------------------------------------------------------------------------===
// Native modules: functions in C that programs import
//===--------------------------------------------------------------------------===

// What a native function is given. Scalars are 64-bit slots: i32 and f32 in the low
// 32 bits (the high ones are 0), i64 and f64 as they are. Scalars and references are
// numbered apart, each in the order of the calling convention, groups unrolled; the
// counts follow from the convention and |group_counts|.
typedef struct mlirage_vm_call_t {
  void* self;                    // of the native module
  const uint64_t* scalars;       // borrowed
  void* const* refs;             // borrowed; mlirage_object_t or NULL
  const uint16_t* group_counts;  // repetitions of each group
  uint64_t* scalar_results;      // zeroed
  void** ref_results;            // NULLs; ownership of what is stored goes to the VM
  // If true the function may return MLIRAGE_PENDING with |pending| set to an object
  // (ownership goes to the VM) to wait for; it is called again, with the same
  // arguments, when the invocation is resumed. If false it must block instead.
  bool can_suspend;
  void* pending;
  mlirage_error_t* error;                      // for mlirage_fail
  size_t export_index;                         // of the function, in the native module's list
  struct mlirage_vm_invocation_t* invocation;  // for mlirage_vm_spend
} mlirage_vm_call_t;

// Counts work that a function is about to do as so many backward jumps of the program
// (mlirage_vm_options_t): about one for each thousand simple operations. Fails if the
// call is to end; for functions whose work programs decide on.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_spend(mlirage_vm_call_t* call, uint64_t jumps);

typedef mlirage_status_t (*mlirage_vm_native_function_t)(mlirage_vm_call_t* call);

typedef struct mlirage_vm_native_export_t {
  const char* name;
  const char* convention;  // module.h
  mlirage_vm_native_function_t function;
} mlirage_vm_native_export_t;

// Functions under the name of a module. |exports| and names are borrowed for the
// life of the contexts made with it; |self| belongs to the caller.
typedef struct mlirage_vm_native_module_t {
  const char* name;
  uint32_t version;
  size_t export_count;
  const mlirage_vm_native_export_t* exports;
  void* self;
} mlirage_vm_native_module_t;

static inline int32_t mlirage_vm_i32(uint64_t slot) { return (int32_t)(uint32_t)slot; }
static inline int64_t mlirage_vm_i64(uint64_t slot) { return (int64_t)slot; }
static inline uint64_t mlirage_vm_from_i32(int32_t value) { return (uint32_t)value; }
static inline uint64_t mlirage_vm_from_i64(int64_t value) { return (uint64_t)value; }
static inline float mlirage_vm_f32(uint64_t slot) {
  const union {
    uint32_t bits;
    float value;
  } u = {(uint32_t)slot};
  return u.value;
}
static inline double mlirage_vm_f64(uint64_t slot) {
  const union {
    uint64_t bits;
    double value;
  } u = {slot};
  return u.value;
}
static inline uint64_t mlirage_vm_from_f32(float value) {
  union {
    float value;
    uint32_t bits;
  } u;
  u.value = value;
  return u.bits;
}
static inline uint64_t mlirage_vm_from_f64(double value) {
  union {
    double value;
    uint64_t bits;
  } u;
  u.value = value;
  return u.bits;
}

// |ref| as an object of |type|, or a failure that names the function's argument.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_check_ref(void* ref, const mlirage_object_type_t* type,
                                                       const char* argument, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Buffers: bytes of host memory that programs and native functions share
//===--------------------------------------------------------------------------===

// A mutable !util.buffer, or a read-only range of one. References may be kept and
// dropped on any thread; the bytes are nobody's but the program's.
typedef struct mlirage_vm_buffer_t {
  mlirage_object_t object;
  uint8_t* data;
  size_t length;
  bool is_writable;
  mlirage_object_t* owner;        // of |data|: released with this; NULL: the block is of this
  size_t block_size;              // of this object, and of its data if it has no owner
  mlirage_allocator_t allocator;  // of the block; one that does nothing where somebody else keeps it
} mlirage_vm_buffer_t;

extern const mlirage_object_type_t mlirage_vm_buffer_type;

// Creates a mutable buffer of |length| zero bytes.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_buffer_create(mlirage_allocator_t allocator, size_t length,
                                                           mlirage_vm_buffer_t** out_buffer, mlirage_error_t* error);
// Makes |*out_buffer|, memory of the caller's, a mutable buffer over |bytes|, for calls
// during which nothing keeps references: it must be alone again when they are over.
void mlirage_vm_buffer_borrow(mlirage_mutable_bytes_t bytes, mlirage_vm_buffer_t* out_buffer);

// The bytes of |ref|, which is a !util.buffer of either kind (mutable, read-only data),
// or a failure that names the function's argument. A splat has no bytes to lend: it
// fails as UNSUPPORTED. Borrowed from |ref|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_buffer_read(void* ref, const char* argument, mlirage_bytes_t* out_bytes,
                                                         mlirage_error_t* error);
// The same for writing: FAILED_PRECONDITION if |ref| is read-only.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_buffer_write(void* ref, const char* argument,
                                                          mlirage_mutable_bytes_t* out_bytes, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Lists: values of any kind by position (!util.list)
//===--------------------------------------------------------------------------===

typedef struct mlirage_vm_list_t mlirage_vm_list_t;

extern const mlirage_object_type_t mlirage_vm_list_type;

// An element: |kind| is 'i', 'I', 'f', 'F' (in |scalar|) or 'r' (|ref|, may be NULL).
typedef struct mlirage_vm_variant_t {
  char kind;
  uint64_t scalar;
  void* ref;
} mlirage_vm_variant_t;

MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_list_create(mlirage_allocator_t allocator, mlirage_vm_list_t** out_list,
                                                         mlirage_error_t* error);
size_t mlirage_vm_list_size(const mlirage_vm_list_t* list);
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_list_resize(mlirage_vm_list_t* list, size_t size, mlirage_error_t* error);
// Borrowed from the list.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_list_get(const mlirage_vm_list_t* list, size_t index,
                                                      mlirage_vm_variant_t* out_value, mlirage_error_t* error);
// Retains a reference. FAILED_PRECONDITION if lists would contain each other.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_list_set(mlirage_vm_list_t* list, size_t index, mlirage_vm_variant_t value,
                                                      mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Contexts
//===--------------------------------------------------------------------------===

typedef struct mlirage_vm_context_t mlirage_vm_context_t;
typedef struct mlirage_vm_invocation_t mlirage_vm_invocation_t;

typedef struct mlirage_vm_options_t {
  // Bytes of each invocation's stack; 0: 64 KiB or what the largest function needs.
  size_t stack_size;
  // Backward jumps and calls an invocation may make before it fails with
  // DEADLINE_EXCEEDED; 0: no limit. For programs that are not trusted to end.
  uint64_t jump_limit;
  // Asked now and then (about every thousand backward jumps and calls) whether to go on;
  // PENDING
  // suspends a call that can be, another status than OK ends it: deadlines, interrupts. May be NULL.
  mlirage_status_t (*poll)(void* poll_self);
  void* poll_self;
  // Given a line for every instruction before it runs: where, what, the values that it
  // reads. NULL, and then free of cost, where nobody looks.
  void (*trace)(void* trace_self, const char* line);
  void* trace_self;
} mlirage_vm_options_t;

// Links |modules| (retained) among themselves and to |native_modules| (copied), and
// runs the function exported as "__init" of each module, those that others import from
// first, else in the order given. NOT_FOUND names every import that nothing provides,
// INVALID_MODULE modules that import from each other in a circle. Of two modules of one
// name the first has precedence, native ones before others.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_context_create(mlirage_allocator_t allocator,
                                                            const mlirage_vm_options_t* options,
                                                            const mlirage_vm_native_module_t* native_modules,
                                                            size_t native_module_count,
                                                            mlirage_module_t* const* modules, size_t module_count,
                                                            mlirage_vm_context_t** out_context, mlirage_error_t* error);
// Makes the calls that are in progress fail with CANCELLED at their next backward jump or
// call; later ones are not affected. From any thread. (A native function that waits is
// not interrupted.)
void mlirage_vm_context_cancel(mlirage_vm_context_t* context);
// Puts all modules back into the state that they had when the context was new: globals
// as they start, initializers run again. No call may be in progress.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_context_reset(mlirage_vm_context_t* context, mlirage_error_t* error);
// Every invocation must have been released. NULL is ignored.
void mlirage_vm_context_release(mlirage_vm_context_t* context);

// A function of a module of a context. Plain data, valid as long as the context.
typedef struct mlirage_vm_function_t {
  uint32_t module;    // position in the context's list
  uint32_t function;  // ordinal in the module
  mlirage_convention_t convention;
} mlirage_vm_function_t;

// Finds the export |name| of the module at position |module|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_context_lookup(const mlirage_vm_context_t* context, size_t module,
                                                            const char* name, mlirage_vm_function_t* out_function,
                                                            mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Invocations
//===--------------------------------------------------------------------------===

// A stack on which one call at a time runs; used again for call after call.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_invocation_create(mlirage_vm_context_t* context,
                                                               mlirage_vm_invocation_t** out_invocation,
                                                               mlirage_error_t* error);
// Unwinds a suspended call first. NULL is ignored.
void mlirage_vm_invocation_release(mlirage_vm_invocation_t* invocation);

// Calls |function| and returns when it has: awaits block. Arguments and results are
// slots as for native functions; refs are borrowed, |ref_results| belong to the
// caller. On failure no result is written and |error| tells where in the program
// (it is cleared first).
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_invoke(mlirage_vm_invocation_t* invocation,
                                                    const mlirage_vm_function_t* function, const uint64_t* scalars,
                                                    void* const* refs, uint64_t* scalar_results, void** ref_results,
                                                    mlirage_error_t* error);

// The same in steps. begin and resume return OK when the function has returned (take
// the results with mlirage_vm_finish), PENDING when it waits for the object
// mlirage_vm_pending (borrowed): resume when that is signalled; NULL if it only lets
// others run (yield): resume at any time. Any other status ends the call.
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_begin(mlirage_vm_invocation_t* invocation,
                                                   const mlirage_vm_function_t* function, const uint64_t* scalars,
                                                   void* const* refs, mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_resume(mlirage_vm_invocation_t* invocation, mlirage_error_t* error);
void* mlirage_vm_pending(const mlirage_vm_invocation_t* invocation);
MLIRAGE_MUST_USE mlirage_status_t mlirage_vm_finish(mlirage_vm_invocation_t* invocation, uint64_t* scalar_results,
                                                    void** ref_results);
// Gives up a suspended call.
void mlirage_vm_cancel(mlirage_vm_invocation_t* invocation);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_VM_H_
