// The hardware abstraction: devices, their memory, what runs on them and when.
//
// Objects are reference counted (mlirage/base.h): x_create gives a reference,
// x_retain and x_release count. Every object keeps what it needs alive: a view its
// buffer, a buffer its device, a command buffer its executables.
// Thread safety: devices, fences, executables and finished command buffers may be
// used from several threads at once; recording a command buffer is for one thread.
// Contents of memory are ordered by fences alone.
//
// Offsets and lengths are bytes. Fences may be NULL: as |wait| that means "already
// signalled", as |signal| "nobody asks".
#ifndef MLIRAGE_HAL_H_
#define MLIRAGE_HAL_H_

#include "mlirage/base.h"
#include "mlirage/executable.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlirage_device_t mlirage_device_t;
typedef struct mlirage_buffer_t mlirage_buffer_t;
typedef struct mlirage_buffer_view_t mlirage_buffer_view_t;
typedef struct mlirage_command_buffer_t mlirage_command_buffer_t;
typedef struct mlirage_executable_t mlirage_executable_t;
typedef struct mlirage_fence_t mlirage_fence_t;
typedef struct mlirage_semaphore_t mlirage_semaphore_t;
typedef struct mlirage_file_t mlirage_file_t;
typedef struct mlirage_executable_loader_t mlirage_executable_loader_t;

// What `object->type` of a reference is compared with: hal.device, hal.buffer, …
extern const mlirage_object_type_t mlirage_device_type;
extern const mlirage_object_type_t mlirage_buffer_type;
extern const mlirage_object_type_t mlirage_buffer_view_type;
extern const mlirage_object_type_t mlirage_command_buffer_type;
extern const mlirage_object_type_t mlirage_executable_type;
extern const mlirage_object_type_t mlirage_fence_type;
extern const mlirage_object_type_t mlirage_semaphore_type;
extern const mlirage_object_type_t mlirage_file_type;

#define MLIRAGE_DECLARE_REFERENCE_(name)                                                                    \
  static inline void mlirage_##name##_retain(mlirage_##name##_t* object) { mlirage_object_retain(object); } \
  static inline void mlirage_##name##_release(mlirage_##name##_t* object) { mlirage_object_release(object); }
MLIRAGE_DECLARE_REFERENCE_(device)
MLIRAGE_DECLARE_REFERENCE_(buffer)
MLIRAGE_DECLARE_REFERENCE_(buffer_view)
MLIRAGE_DECLARE_REFERENCE_(command_buffer)
MLIRAGE_DECLARE_REFERENCE_(executable)
MLIRAGE_DECLARE_REFERENCE_(fence)
MLIRAGE_DECLARE_REFERENCE_(semaphore)
MLIRAGE_DECLARE_REFERENCE_(file)
#undef MLIRAGE_DECLARE_REFERENCE_

//===--------------------------------------------------------------------------===
// Element types
//===--------------------------------------------------------------------------===

// kind << 24 | bits. Part of the module format (hal.buffer_view_create and _assert).
// Compiled code is signless (i8 is INT_8); hosts say SINT or UINT where they know.
#define MLIRAGE_ELEMENT_TYPE(kind, bits) (((uint32_t)(kind) << 24) | (uint32_t)(bits))
typedef uint32_t mlirage_element_type_t;
enum {
  MLIRAGE_ELEMENT_OPAQUE_8 = 0x00000008,
  MLIRAGE_ELEMENT_BOOL_8 = 0x01000008,  // 0 or 1 in a byte; i1 tensors
  MLIRAGE_ELEMENT_INT_4 = 0x02000004,   // signless; below 8 bits: packed, low bits first
  MLIRAGE_ELEMENT_INT_8 = 0x02000008,
  MLIRAGE_ELEMENT_INT_16 = 0x02000010,
  MLIRAGE_ELEMENT_INT_32 = 0x02000020,
  MLIRAGE_ELEMENT_INT_64 = 0x02000040,
  MLIRAGE_ELEMENT_SINT_4 = 0x03000004,
  MLIRAGE_ELEMENT_SINT_8 = 0x03000008,
  MLIRAGE_ELEMENT_SINT_16 = 0x03000010,
  MLIRAGE_ELEMENT_SINT_32 = 0x03000020,
  MLIRAGE_ELEMENT_SINT_64 = 0x03000040,
  MLIRAGE_ELEMENT_UINT_4 = 0x04000004,
  MLIRAGE_ELEMENT_UINT_8 = 0x04000008,
  MLIRAGE_ELEMENT_UINT_16 = 0x04000010,
  MLIRAGE_ELEMENT_UINT_32 = 0x04000020,
  MLIRAGE_ELEMENT_UINT_64 = 0x04000040,
  MLIRAGE_ELEMENT_FLOAT_16 = 0x05000010,
  MLIRAGE_ELEMENT_FLOAT_32 = 0x05000020,
  MLIRAGE_ELEMENT_FLOAT_64 = 0x05000040,
  MLIRAGE_ELEMENT_BFLOAT_16 = 0x06000010,
  MLIRAGE_ELEMENT_FLOAT_8_E4M3FN = 0x07000008,
  MLIRAGE_ELEMENT_FLOAT_8_E5M2 = 0x08000008,
  MLIRAGE_ELEMENT_FLOAT_8_E4M3FNUZ = 0x09000008,
  MLIRAGE_ELEMENT_FLOAT_8_E5M2FNUZ = 0x0A000008,
  MLIRAGE_ELEMENT_FLOAT_8_E8M0FNU = 0x0B000008,
  MLIRAGE_ELEMENT_COMPLEX_64 = 0x0C000040,   // two f32
  MLIRAGE_ELEMENT_COMPLEX_128 = 0x0C000080,  // two f64
  MLIRAGE_ELEMENT_FLOAT_8_E4M3 = 0x0D000008,
  MLIRAGE_ELEMENT_FLOAT_8_E3M4 = 0x0E000008,
  MLIRAGE_ELEMENT_FLOAT_8_E4M3B11FNUZ = 0x0F000008,
};

static inline uint32_t mlirage_element_bits(mlirage_element_type_t type) { return type & 0xFFFFu; }
// "f32", "ui8", "bool"; "element type 0x…" is never returned: unknown ones are "?".
const char* mlirage_element_type_name(mlirage_element_type_t type);
// Can memory of type |given| be read as |expected|? Equal, or integers of equal width
// of which one is signless, or bool and 8-bit integers, or |expected| is opaque.
bool mlirage_element_type_matches(mlirage_element_type_t expected, mlirage_element_type_t given);

//===--------------------------------------------------------------------------===
// Devices
//===--------------------------------------------------------------------------===

// Counters of a device and of the memory behind its buffers. Monotonic unless they say "now".
typedef struct mlirage_device_statistics_t {
  size_t struct_size;         // sizeof(mlirage_device_statistics_t), set by the caller
  uint64_t allocations;       // blocks taken from the system
  uint64_t allocated_bytes;   // bytes taken from the system
  uint64_t frees;             // blocks given back to the system
  uint64_t freed_bytes;       // bytes given back to the system
  uint64_t live_bytes;        // now: held by buffers and by running work
  uint64_t peak_live_bytes;   // largest |live_bytes|
  uint64_t pooled_bytes;      // now: kept for coming buffers
  uint64_t peak_bytes;        // largest |live_bytes| + |pooled_bytes|
  uint64_t pool_hits;         // blocks that were not taken from the system
  uint64_t imported_buffers;  // buffers over memory of others
  uint64_t imported_bytes;    // now: behind these
  uint64_t dispatches;        // executed
  uint64_t workgroups;        // executed
} mlirage_device_statistics_t;

const char* mlirage_device_name(const mlirage_device_t* device);  // "local-sync"
mlirage_allocator_t mlirage_device_host_allocator(const mlirage_device_t* device);
uint32_t mlirage_device_worker_count(const mlirage_device_t* device);  // threads that run device code
// Fills the |struct_size| bytes of |statistics| that are known here, and zeroes the others.
void mlirage_device_statistics(mlirage_device_t* device, mlirage_device_statistics_t* statistics);
// Waits until nothing that was handed over to the device's own thread is running, and that
// thread holds no references. Work that still waits for a fence is not waited for. Before the
// memory of a device's allocator goes away: wait for the fences, then call this, then release
// everything. Not from callbacks of the device's.
void mlirage_device_wait_idle(mlirage_device_t* device);
// Gives pooled memory back to the system.
void mlirage_device_trim(mlirage_device_t* device);

// What the device is or can do, as a number; 0 for what is not known here.
//   hal.device.id          is its name like |key| ("local-*")?
//   hal.executable.format  can it load executables of the format |key|?
//   hal.device             |key| "concurrency": threads that run device code
int64_t mlirage_device_query_i64(const mlirage_device_t* device, mlirage_string_t category, mlirage_string_t key);

// Can the device load executables of |format| ("embedded-elf-x86_64:+avx2,+fma")?
bool mlirage_device_supports(const mlirage_device_t* device, mlirage_string_t format);

//===--------------------------------------------------------------------------===
// Buffers
//===--------------------------------------------------------------------------===

// A new buffer of unspecified contents, 64-byte aligned. Length 0 is fine.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_allocate(mlirage_device_t* device, size_t length,
                                                          mlirage_buffer_t** out_buffer, mlirage_error_t* error);

// Called once when the last reference to an imported buffer is gone, on any thread.
typedef struct mlirage_release_callback_t {
  void (*call)(void* self, mlirage_mutable_bytes_t memory);  // NULL: nothing to do
  void* self;
} mlirage_release_callback_t;

// A buffer over host memory of the caller, which stays valid until |release| is
// called. Devices that cannot share it copy and call |release| at once. On failure
// |release| is not called. Contents may be written by programs only if the buffer is
// given as something they may write (a mutated argument).
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_import(mlirage_device_t* device, mlirage_mutable_bytes_t memory,
                                                        mlirage_release_callback_t release,
                                                        mlirage_buffer_t** out_buffer, mlirage_error_t* error);

// A range of |buffer| that keeps it alive. The whole range returns |buffer| retained.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_subspan(mlirage_buffer_t* buffer, size_t offset, size_t length,
                                                         mlirage_buffer_t** out_buffer, mlirage_error_t* error);

size_t mlirage_buffer_length(const mlirage_buffer_t* buffer);
mlirage_device_t* mlirage_buffer_device(const mlirage_buffer_t* buffer);  // borrowed
// True if |a| and |b| are ranges of the same allocation.
bool mlirage_buffer_same_allocation(const mlirage_buffer_t* a, const mlirage_buffer_t* b);

// The range as host memory, until the matching unmap. Devices of separate memory
// copy or map here; on host devices this is the memory itself. Waits for nothing.
typedef enum mlirage_map_access_t {
  MLIRAGE_MAP_READ = 1,
  MLIRAGE_MAP_WRITE = 2,    // and read
  MLIRAGE_MAP_DISCARD = 3,  // write all of it: old contents may be lost
} mlirage_map_access_t;
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_map(mlirage_buffer_t* buffer, mlirage_map_access_t access,
                                                     size_t offset, size_t length, mlirage_mutable_bytes_t* out_memory,
                                                     mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_unmap(mlirage_buffer_t* buffer, mlirage_mutable_bytes_t memory,
                                                       mlirage_error_t* error);
// The buffer's own memory in the host's address space, valid as long as the buffer (until its
// dealloca, for a transient one). UNSUPPORTED where devices have memory of their own: map there.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_export(mlirage_buffer_t* buffer, mlirage_mutable_bytes_t* out_memory,
                                                        mlirage_error_t* error);
// Copies out of and into a buffer.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_read(mlirage_buffer_t* buffer, size_t offset, void* target,
                                                      size_t length, mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_write(mlirage_buffer_t* buffer, size_t offset, const void* source,
                                                       size_t length, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Buffer views: what crosses the boundary of a program
//===--------------------------------------------------------------------------===

#define MLIRAGE_MAX_RANK 32u

// A view of [offset, offset + length) of |buffer| (retained) as a dense row-major
// array. |length| must be what |element_type| and |shape| need exactly.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_view_create(mlirage_buffer_t* buffer, size_t offset, size_t length,
                                                             mlirage_element_type_t element_type, size_t rank,
                                                             const size_t* shape, mlirage_buffer_view_t** out_view,
                                                             mlirage_error_t* error);
// Fails with "|message|: expected f32[2,?], got f64[2,3]" unless the view matches;
// -1 in |shape| allows any extent. |message| may be empty.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_view_assert(const mlirage_buffer_view_t* view,
                                                             mlirage_string_t message,
                                                             mlirage_element_type_t element_type, size_t rank,
                                                             const int64_t* shape, mlirage_error_t* error);
mlirage_buffer_t* mlirage_buffer_view_buffer(const mlirage_buffer_view_t* view);  // the range; borrowed
mlirage_element_type_t mlirage_buffer_view_element_type(const mlirage_buffer_view_t* view);
size_t mlirage_buffer_view_rank(const mlirage_buffer_view_t* view);
const size_t* mlirage_buffer_view_shape(const mlirage_buffer_view_t* view);  // |rank| extents; borrowed
// "f32[2,3]" in the manner of mlirage_format.
size_t mlirage_buffer_view_describe(const mlirage_buffer_view_t* view, char* buffer, size_t capacity);
// Bytes of a dense array; false if it does not fit size_t.
bool mlirage_dense_byte_length(mlirage_element_type_t element_type, size_t rank, const size_t* shape,
                               size_t* out_length);

//===--------------------------------------------------------------------------===
// Executables
//===--------------------------------------------------------------------------===

// Loads the library |data| of |format|. |data| is borrowed for the call unless the
// loader says otherwise (none does).
MLIRAGE_MUST_USE mlirage_status_t mlirage_executable_create(mlirage_device_t* device, mlirage_string_t format,
                                                            mlirage_bytes_t data, mlirage_executable_t** out_executable,
                                                            mlirage_error_t* error);
size_t mlirage_executable_entry_count(const mlirage_executable_t* executable);
const mlirage_entry_attributes_t* mlirage_executable_entry(const mlirage_executable_t* executable, size_t ordinal);

//===--------------------------------------------------------------------------===
// Fences
//===--------------------------------------------------------------------------===

// A fence not yet signalled. It is signalled once, with success or a failure. If its last
// reference is released before, nobody can signal it: what waits fails with ABORTED.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_create(mlirage_device_t* device, mlirage_fence_t** out_fence,
                                                       mlirage_error_t* error);
// Signalled when all of |fences| are (NULL ones count as signalled), with the first
// failure if there is one. |*out_fence| is NULL when nothing is to be waited for.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_join(size_t count, mlirage_fence_t* const* fences,
                                                     mlirage_fence_t** out_fence, mlirage_error_t* error);
// Signals; work waiting for it may start on this thread. A second signal is ignored.
void mlirage_fence_signal(mlirage_fence_t* fence);
// Signals a failure; text is taken from |error| if given.
void mlirage_fence_fail(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* error);

// MLIRAGE_OK, MLIRAGE_PENDING (|error| untouched), or the failure of the work. NULL is OK.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_query(mlirage_fence_t* fence, mlirage_error_t* error);

#define MLIRAGE_WAIT_FOREVER UINT64_MAX
// Blocks until signalled; without a limit of time it also runs work of the fence's device
// that is ready and that nobody has begun. Returns as query does; MLIRAGE_DEADLINE_EXCEEDED
// after |timeout_ns|. NULL is OK at once.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_wait(mlirage_fence_t* fence, uint64_t timeout_ns,
                                                     mlirage_error_t* error);
// Blocks until one of |count| > 0 fences is signalled, the first of those in |*out_index|, and
// returns as query does of that one; MLIRAGE_DEADLINE_EXCEEDED with |count| in |*out_index|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_wait_any(size_t count, mlirage_fence_t* const* fences,
                                                         uint64_t timeout_ns, size_t* out_index,
                                                         mlirage_error_t* error);
// Blocks until all are; returns the failure of the first in order that failed.
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_wait_all(size_t count, mlirage_fence_t* const* fences,
                                                         uint64_t timeout_ns, mlirage_error_t* error);

// Calls |call| once when the fence is signalled: at once on this thread if it is
// already, else on the thread that signals. |waiter| belongs to the caller and stays
// valid until then. Must not block.
typedef struct mlirage_fence_waiter_t {
  struct mlirage_fence_waiter_t* next;  // the fence's own
  void (*call)(struct mlirage_fence_waiter_t* waiter, mlirage_status_t status);
} mlirage_fence_waiter_t;
void mlirage_fence_notify(mlirage_fence_t* fence, mlirage_fence_waiter_t* waiter);
// Takes |waiter| back. False if it was called already, or is being called just now.
bool mlirage_fence_cancel(mlirage_fence_t* fence, mlirage_fence_waiter_t* waiter);

//===--------------------------------------------------------------------------===
// Semaphores: timelines
//===--------------------------------------------------------------------------===
// A number that grows. A point of it is a fence, to be given wherever a fence is: as |wait|
// it is signalled once the semaphore reaches the point's value, as |signal| it takes the
// semaphore there. A semaphore keeps what waits for its points: signal or fail it before the
// last reference is released. All functions may be called from any thread.

MLIRAGE_MUST_USE mlirage_status_t mlirage_semaphore_create(mlirage_device_t* device, uint64_t initial_value,
                                                           mlirage_semaphore_t** out_semaphore, mlirage_error_t* error);
// The value reached, and the failure of the timeline if it has one.
MLIRAGE_MUST_USE mlirage_status_t mlirage_semaphore_query(mlirage_semaphore_t* semaphore, uint64_t* out_value,
                                                          mlirage_error_t* error);
// Goes on to |value|, which is larger than the value reached.
MLIRAGE_MUST_USE mlirage_status_t mlirage_semaphore_signal(mlirage_semaphore_t* semaphore, uint64_t value,
                                                           mlirage_error_t* error);
// Ends the timeline: points not reached fail, now and later. The first failure stays.
void mlirage_semaphore_fail(mlirage_semaphore_t* semaphore, mlirage_status_t status, const mlirage_error_t* error);
// Blocks until |value| is reached; as mlirage_fence_wait.
MLIRAGE_MUST_USE mlirage_status_t mlirage_semaphore_wait(mlirage_semaphore_t* semaphore, uint64_t value,
                                                         uint64_t timeout_ns, mlirage_error_t* error);
// The fence of a point; it retains |semaphore|. Failing the fence fails the semaphore.
MLIRAGE_MUST_USE mlirage_status_t mlirage_semaphore_point(mlirage_semaphore_t* semaphore, uint64_t value,
                                                          mlirage_fence_t** out_fence, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Command buffers: recorded once, executed with a binding table
//===--------------------------------------------------------------------------===

// In recording state. Commands name buffers by slot of a table of |binding_capacity|
// entries given at each execution. |one_shot|: executed once at most.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_create(mlirage_device_t* device, bool one_shot,
                                                                size_t binding_capacity,
                                                                mlirage_command_buffer_t** out_command_buffer,
                                                                mlirage_error_t* error);

// [offset, offset + length) of the buffer in |slot|.
typedef struct mlirage_slot_range_t {
  uint32_t slot;
  size_t offset;
  size_t length;
} mlirage_slot_range_t;

// Commands recorded between two barriers may run in any order and at the same time.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_barrier(mlirage_command_buffer_t* command_buffer,
                                                                 mlirage_error_t* error);
// |pattern_length| is 1, 2, 4 or 8 and divides |target.length|; low bytes of |pattern|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_fill(mlirage_command_buffer_t* command_buffer,
                                                              mlirage_slot_range_t target, uint64_t pattern,
                                                              size_t pattern_length, mlirage_error_t* error);
// Lengths are equal; ranges must not overlap.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_copy(mlirage_command_buffer_t* command_buffer,
                                                              mlirage_slot_range_t source, mlirage_slot_range_t target,
                                                              mlirage_error_t* error);
// Writes |target.length| bytes of |data| (copied), at most MLIRAGE_MAX_UPDATE.
#define MLIRAGE_MAX_UPDATE 65536u
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_update(mlirage_command_buffer_t* command_buffer,
                                                                const void* data, mlirage_slot_range_t target,
                                                                mlirage_error_t* error);
// Retains |executable|; copies |constants| and |bindings|. Counts must be what the
// entry point declares. A workgroup count of 0 is a command that does nothing.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_dispatch(
    mlirage_command_buffer_t* command_buffer, mlirage_executable_t* executable, size_t entry_ordinal,
    const uint32_t workgroup_count[3], size_t constant_count, const uint32_t* constants, size_t binding_count,
    const mlirage_slot_range_t* bindings, mlirage_error_t* error);
// The same with counts that are read from memory, three uint32_t, when the execution gets there:
// commands before the last barrier may write them.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_dispatch_indirect(
    mlirage_command_buffer_t* command_buffer, mlirage_executable_t* executable, size_t entry_ordinal,
    mlirage_slot_range_t workgroup_count, size_t constant_count, const uint32_t* constants, size_t binding_count,
    const mlirage_slot_range_t* bindings, mlirage_error_t* error);
// As if the commands and barriers of |nested| were recorded here, with range |slots[i]| for its
// slot i. |nested| is finalized, not one-shot, and copied: it may be released.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_execute(mlirage_command_buffer_t* command_buffer,
                                                                 const mlirage_command_buffer_t* nested,
                                                                 size_t slot_count, const mlirage_slot_range_t* slots,
                                                                 mlirage_error_t* error);
// Ends recording; nothing can be executed before.
MLIRAGE_MUST_USE mlirage_status_t mlirage_command_buffer_finalize(mlirage_command_buffer_t* command_buffer,
                                                                  mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Files: what queues read from and write to
//===--------------------------------------------------------------------------===
// May be used from several threads at once; ranges written at the same time are the callers'
// affair.

typedef enum mlirage_file_access_t {
  MLIRAGE_FILE_READ = 1,
  MLIRAGE_FILE_WRITE = 2,  // and read
} mlirage_file_access_t;

// The file |path|; for writing it is created if it is not there, and keeps what it has.
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_open(mlirage_device_t* device, const char* path,
                                                    mlirage_file_access_t access, mlirage_file_t** out_file,
                                                    mlirage_error_t* error);
// A file that is open already. |descriptor| is duplicated, and stays the caller's.
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_from_descriptor(mlirage_device_t* device, int descriptor,
                                                               mlirage_file_access_t access, mlirage_file_t** out_file,
                                                               mlirage_error_t* error);
// Memory of the caller as a file of its length, until |release| is called; not called on failure.
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_import(mlirage_device_t* device, mlirage_mutable_bytes_t memory,
                                                      mlirage_release_callback_t release, mlirage_file_access_t access,
                                                      mlirage_file_t** out_file, mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_length(const mlirage_file_t* file, uint64_t* out_length,
                                                      mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// The queue of a device
//===--------------------------------------------------------------------------===
// Operations start after |wait| and signal |signal| when done. What is wrong with the
// call itself is returned; what goes wrong in the work fails |signal|, or is returned
// if that is NULL and the work was done in the call. If |wait| has failed, nothing is
// done and |signal| fails likewise. An operation that would wait for itself, directly or
// through others, is refused.

// A transient buffer from the device's pool, usable after |signal|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_alloca(mlirage_device_t* device, mlirage_fence_t* wait,
                                                       mlirage_fence_t* signal, size_t length,
                                                       mlirage_buffer_t** out_buffer, mlirage_error_t* error);
// Gives the memory back to the pool after |wait|; the reference itself is still
// released by its owner, and must not be used in later work.
MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_dealloca(mlirage_device_t* device, mlirage_fence_t* wait,
                                                         mlirage_fence_t* signal, mlirage_buffer_t* buffer,
                                                         mlirage_error_t* error);

typedef struct mlirage_binding_t {
  mlirage_buffer_t* buffer;  // may be NULL for a slot of length 0
  size_t offset;
  size_t length;
} mlirage_binding_t;

typedef enum mlirage_queue_flags_t {
  MLIRAGE_QUEUE_DEFAULT = 0,
  // The call returns before the work is done, and a thread of the device takes the caller's
  // part in it. local-task starts that thread at the first such call; local-sync has none and
  // does the work in the call. Needs |signal|.
  MLIRAGE_QUEUE_ASYNC = 1,
} mlirage_queue_flags_t;

// Retains the command buffer and the buffers until done; copies |bindings|. By default the
// calling thread takes part in the work if |wait| is signalled already, and the call returns
// when the work is done: the quickest way to a result that is needed next.
MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_execute(mlirage_device_t* device, mlirage_fence_t* wait,
                                                        mlirage_fence_t* signal,
                                                        mlirage_command_buffer_t* command_buffer, size_t binding_count,
                                                        const mlirage_binding_t* bindings, mlirage_queue_flags_t flags,
                                                        mlirage_error_t* error);

// Reads |length| bytes at |file_offset| of |file| into the buffer. Retains both until done.
MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_read(mlirage_device_t* device, mlirage_fence_t* wait,
                                                     mlirage_fence_t* signal, mlirage_file_t* file,
                                                     uint64_t file_offset, mlirage_buffer_t* buffer, size_t offset,
                                                     size_t length, mlirage_queue_flags_t flags,
                                                     mlirage_error_t* error);
// Writes them to the file, which grows if it is the system's.
MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_write(mlirage_device_t* device, mlirage_fence_t* wait,
                                                      mlirage_fence_t* signal, mlirage_buffer_t* buffer, size_t offset,
                                                      mlirage_file_t* file, uint64_t file_offset, size_t length,
                                                      mlirage_queue_flags_t flags, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// Profiling: what a device ran, where and when
//===--------------------------------------------------------------------------===

typedef enum mlirage_profile_kind_t {
  MLIRAGE_PROFILE_DISPATCH = 0,
  MLIRAGE_PROFILE_FILL = 1,
  MLIRAGE_PROFILE_COPY = 2,
  MLIRAGE_PROFILE_UPDATE = 3,
  MLIRAGE_PROFILE_EXECUTE = 4,  // a whole command buffer, on the thread that executed it
} mlirage_profile_kind_t;

// Constants of a dispatch that an event keeps: enough for the extents of most.
#define MLIRAGE_PROFILE_CONSTANTS 24u

// What one thread ran of one command without a break.
typedef struct mlirage_profile_event_t {
  uint64_t start_ns;  // of the system's steady clock
  uint64_t end_ns;
  uint64_t execution;  // number of the command buffer's execution since profiling began
  uint64_t first;      // units [first, end) of |units|: workgroups of a dispatch, pieces of a fill or copy
  uint64_t end;
  uint64_t units;
  uint64_t bytes;    // that the whole command binds, or fills, copies, updates
  const char* name;  // of the entry point, "" for others; valid until profiling ends
  uint32_t kind;     // mlirage_profile_kind_t
  uint32_t command;  // position in the command buffer
  uint32_t worker;   // 0 is the thread that executes
  uint32_t workgroup_count[3];
  uint32_t constant_count;  // of the dispatch; the first MLIRAGE_PROFILE_CONSTANTS are kept
  uint32_t constants[MLIRAGE_PROFILE_CONSTANTS];
} mlirage_profile_event_t;

// Keeps events of what is executed from now on, at least |capacity| (1 or more) at a time: what
// does not fit until it is read is dropped and counted. FAILED_PRECONDITION if profiling is on.
MLIRAGE_MUST_USE mlirage_status_t mlirage_device_profiling_begin(mlirage_device_t* device, size_t capacity,
                                                                 mlirage_error_t* error);
// Moves up to |capacity| events, in the order in which they ended, to |events|. |*out_dropped| is how many were lost
// since profiling began. May be called while work runs. FAILED_PRECONDITION if profiling is off.
MLIRAGE_MUST_USE mlirage_status_t mlirage_device_profiling_read(mlirage_device_t* device, size_t capacity,
                                                                mlirage_profile_event_t* events, size_t* out_count,
                                                                uint64_t* out_dropped, mlirage_error_t* error);
// Ends it; events that were not read are lost. Nothing happens if profiling is off.
void mlirage_device_profiling_end(mlirage_device_t* device);

//===--------------------------------------------------------------------------===
// Drivers and loaders that come with the runtime
//===--------------------------------------------------------------------------===

// Stateless loaders of executables for CPU devices.
extern const mlirage_executable_loader_t mlirage_loader_embedded_elf;  // "embedded-elf-<isa>[:features]"
extern const mlirage_executable_loader_t mlirage_loader_system;        // "system-elf-<isa>…": dlopen; hosted only

// What devices are made with. Zero is a good value for all but the first two.
typedef struct mlirage_device_options_t {
  size_t struct_size;  // sizeof(mlirage_device_options_t)
  mlirage_allocator_t allocator;
  const mlirage_executable_loader_t* const* loaders;  // asked in order; borrowed forever
  size_t loader_count;
  // local-task: threads that run device code, the caller's included. 0: one for each of
  // |cores|, or of the cores that this process may use.
  uint32_t worker_count;
  // local-task: numbers of the cores that the device's threads are pinned to, in turn (copied).
  // The calling thread is the caller's affair. NULL: wherever the system puts them.
  const uint32_t* cores;
  size_t core_count;
} mlirage_device_options_t;

// Runs everything on the calling thread, in the call.
MLIRAGE_MUST_USE mlirage_status_t mlirage_local_sync_device_create(const mlirage_device_options_t* options,
                                                                   mlirage_device_t** out_device,
                                                                   mlirage_error_t* error);
// Shares workgroups between the calling thread and a pool of workers (hosted only).
MLIRAGE_MUST_USE mlirage_status_t mlirage_local_task_device_create(const mlirage_device_options_t* options,
                                                                   mlirage_device_t** out_device,
                                                                   mlirage_error_t* error);
// Accepts everything and runs no device code: copies, fills and dispatches do nothing.
// The skeleton to copy for a new driver, and a way to time the host side alone.
MLIRAGE_MUST_USE mlirage_status_t mlirage_null_device_create(const mlirage_device_options_t* options,
                                                             mlirage_device_t** out_device, mlirage_error_t* error);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_HAL_H_
