// What everything else in the runtime stands on: status codes, error text, one
// allocator function, spans, checked size arithmetic and reference counting.
// Freestanding: needs nothing of a C library but mem{cpy,move,set,cmp}.
//
// Ownership in four words: |create| and |out_x| give the caller a reference that
// it must |release|; |retain| adds one; every other pointer is borrowed for the
// duration of the call. Whatever is kept longer says "retains".
#ifndef MLIRAGE_BASE_H_
#define MLIRAGE_BASE_H_

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Shared libraries export what these headers declare, and nothing else.
#ifdef MLIRAGE_SHARED
#define MLIRAGE_API_BEGIN _Pragma("GCC visibility push(default)")
#define MLIRAGE_API_END _Pragma("GCC visibility pop")
#else
#define MLIRAGE_API_BEGIN
#define MLIRAGE_API_END
#endif

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

#define MLIRAGE_MUST_USE __attribute__((warn_unused_result))
#define MLIRAGE_FORMAT(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define MLIRAGE_LIKELY(x) __builtin_expect(!!(x), 1)
#define MLIRAGE_UNLIKELY(x) __builtin_expect(!!(x), 0)

//===--------------------------------------------------------------------------===
// Versions
//===--------------------------------------------------------------------------===

// Counts changes of this interface that break programs compiled before; additions do not.
// Structs that callers fill and that may grow begin with |struct_size|, which says what the
// caller was compiled with: set it to sizeof.
#define MLIRAGE_ABI_VERSION 1u

// That of the library, to be compared with the header's where it is linked dynamically.
uint32_t mlirage_abi_version(void);
// "0.1.0"
const char* mlirage_version(void);

//===--------------------------------------------------------------------------===
// Status and error text
//===--------------------------------------------------------------------------===

// The result of every fallible call. Values are part of the stable interface.
typedef enum mlirage_status_t {
  MLIRAGE_OK = 0,
  MLIRAGE_INVALID_ARGUMENT = 1,     // the caller broke a rule of the function
  MLIRAGE_OUT_OF_MEMORY = 2,        // host or device memory
  MLIRAGE_INVALID_MODULE = 3,       // a module, executable or parameter file is malformed
  MLIRAGE_NOT_FOUND = 4,            // no function, file, key of that name
  MLIRAGE_OUT_OF_RANGE = 5,         // offset, length, index outside of its object
  MLIRAGE_FAILED_PRECONDITION = 6,  // right call at the wrong time
  MLIRAGE_UNSUPPORTED = 7,          // understood, but not by this build or device
  MLIRAGE_ABORTED = 8,              // the program itself failed: an assertion, device code
  MLIRAGE_DEADLINE_EXCEEDED = 9,    // the time given for waiting ran out
  MLIRAGE_PENDING = 10,             // not finished yet: no failure, ask or resume later
  MLIRAGE_IO = 11,                  // the operating system refused
  MLIRAGE_DIVISION_BY_ZERO = 12,    // integer division of the program
  MLIRAGE_CANCELLED = 13,           // the host gave the call up
  MLIRAGE_INTERNAL = 15,            // a bug in mlirage
} mlirage_status_t;

// "OUT_OF_MEMORY" for MLIRAGE_OUT_OF_MEMORY.
const char* mlirage_status_name(mlirage_status_t status);

// Returns from the enclosing function if |expr| fails.
#define MLIRAGE_TRY(expr)                              \
  do {                                                 \
    const mlirage_status_t try_status_ = (expr);       \
    if (MLIRAGE_UNLIKELY(try_status_ != MLIRAGE_OK)) { \
      return try_status_;                              \
    }                                                  \
  } while (0)

// Bytes kept of an error text, terminator included. Define as 1 for bare metal.
#ifndef MLIRAGE_ERROR_TEXT_SIZE
#define MLIRAGE_ERROR_TEXT_SIZE 512
#endif

// The text of a failure. Owned by whoever calls (a context, a stack frame), never
// allocated; functions that have more to say than a status take one as their last
// parameter, and NULL where nobody reads it. Touched only on failure.
typedef struct mlirage_error_t {
  mlirage_status_t status;
  char text[MLIRAGE_ERROR_TEXT_SIZE];
} mlirage_error_t;

// Stores |status| and the formatted text in |error| (may be NULL) and returns
// |status|: `return mlirage_fail(error, MLIRAGE_NOT_FOUND, "no function '%s'", name);`
// Conversions: %s %.*s %c %d %i %u %x %% with the lengths l, ll, z. Too long text is cut.
// All parameters are read before |error| is written: they may point into it.
mlirage_status_t mlirage_fail(mlirage_error_t* error, mlirage_status_t status, const char* format, ...)
    MLIRAGE_FORMAT(3, 4);
mlirage_status_t mlirage_fail_list(mlirage_error_t* error, mlirage_status_t status, const char* format,
                                   va_list arguments) MLIRAGE_FORMAT(3, 0);

// Puts formatted text before the text of |error| and returns |status|: adds the
// "where" to a failure on its way up.
mlirage_status_t mlirage_fail_in(mlirage_error_t* error, mlirage_status_t status, const char* format, ...)
    MLIRAGE_FORMAT(3, 4);

// Formats into |buffer| of |capacity| bytes (terminated unless 0) and returns the
// number of characters the whole text has. Same conversions as mlirage_fail.
size_t mlirage_format(char* buffer, size_t capacity, const char* format, ...) MLIRAGE_FORMAT(3, 4);
size_t mlirage_format_list(char* buffer, size_t capacity, const char* format, va_list arguments) MLIRAGE_FORMAT(3, 0);

//===--------------------------------------------------------------------------===
// Memory
//===--------------------------------------------------------------------------===

// One function does it all: |new_size| 0 frees, NULL |block| allocates, otherwise
// resizes. Returns NULL when out of memory (the old block stays valid) or when
// freeing. Blocks are aligned as max_align_t. Must be thread-safe where objects are
// used from several threads. Passed by value; outlives every object created with it.
typedef struct mlirage_allocator_t {
  void* self;
  void* (*resize)(void* self, void* block, size_t old_size, size_t new_size);
} mlirage_allocator_t;

// The C library's realloc/free (platform/allocator_libc.c, not in freestanding builds).
mlirage_allocator_t mlirage_allocator_system(void);

// Allocates |size| zeroed bytes. For size 0 |*out_block| is NULL.
MLIRAGE_MUST_USE mlirage_status_t mlirage_allocate(mlirage_allocator_t allocator, size_t size, void** out_block);
// Grows or shrinks; on failure |*block| is untouched. New bytes are unspecified.
MLIRAGE_MUST_USE mlirage_status_t mlirage_reallocate(mlirage_allocator_t allocator, size_t old_size, size_t new_size,
                                                     void** block);
// |block| may be NULL. |size| is what was asked for.
void mlirage_free(mlirage_allocator_t allocator, void* block, size_t size);

//===--------------------------------------------------------------------------===
// Spans: borrowed ranges
//===--------------------------------------------------------------------------===

typedef struct mlirage_bytes_t {
  const uint8_t* data;
  size_t size;
} mlirage_bytes_t;

typedef struct mlirage_mutable_bytes_t {
  uint8_t* data;
  size_t size;
} mlirage_mutable_bytes_t;

// Text of |size| characters, not terminated. Print with "%.*s", MLIRAGE_STRING_ARGS(s).
typedef struct mlirage_string_t {
  const char* data;
  size_t size;
} mlirage_string_t;
#define MLIRAGE_STRING_ARGS(string) (int)(string).size, (string).data

mlirage_string_t mlirage_string(const char* text);  // of a terminated text; NULL is empty
bool mlirage_string_equal(mlirage_string_t a, mlirage_string_t b);
bool mlirage_string_starts_with(mlirage_string_t text, mlirage_string_t prefix);

//===--------------------------------------------------------------------------===
// Memory without malloc
//===--------------------------------------------------------------------------===

// An allocator over |memory|, which is the caller's and outlives all that is made with it: for
// programs that must not use malloc, and for tests that must not use more than they say. May be
// used from several threads. All that it keeps lies in |memory|.
MLIRAGE_MUST_USE mlirage_status_t mlirage_arena_initialize(mlirage_mutable_bytes_t memory,
                                                           mlirage_allocator_t* out_allocator, mlirage_error_t* error);

typedef struct mlirage_arena_statistics_t {
  size_t size;         // bytes to allocate from
  size_t used;         // now, with the arena's own of each allocation
  size_t peak;         // largest |used|
  size_t allocations;  // ever
} mlirage_arena_statistics_t;
// |arena| is what mlirage_arena_initialize gave.
mlirage_arena_statistics_t mlirage_arena_statistics(mlirage_allocator_t arena);

//===--------------------------------------------------------------------------===
// Checked arithmetic: true if the result is right
//===--------------------------------------------------------------------------===

static inline bool mlirage_checked_add(size_t a, size_t b, size_t* out_sum) {
  return !__builtin_add_overflow(a, b, out_sum);
}
static inline bool mlirage_checked_mul(size_t a, size_t b, size_t* out_product) {
  return !__builtin_mul_overflow(a, b, out_product);
}
// |alignment| is a power of two.
static inline bool mlirage_checked_align(size_t value, size_t alignment, size_t* out_aligned) {
  size_t sum = 0;
  if (__builtin_add_overflow(value, alignment - 1u, &sum)) return false;
  *out_aligned = sum & ~(alignment - 1u);
  return true;
}
// Is [offset, offset + length) inside of [0, size)?
static inline bool mlirage_range_fits(size_t offset, size_t length, size_t size) {
  return offset <= size && length <= size - offset;
}
static inline bool mlirage_range_fits_u64(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}
// A 64-bit size of a file or program as size_t.
static inline bool mlirage_checked_size(uint64_t value, size_t* out_size) {
  *out_size = (size_t)value;
  return (uint64_t)*out_size == value;
}

//===--------------------------------------------------------------------------===
// Reference-counted objects
//===--------------------------------------------------------------------------===

// What kind of object a reference is. Compared by address.
typedef struct mlirage_object_type_t {
  const char* name;               // as in the IR: "hal.buffer"
  void (*destroy)(void* object);  // called when the last reference is gone
} mlirage_object_type_t;

// First member of every shared object, so that a pointer to the object is a pointer
// to this. References may be retained and released on any thread.
typedef struct mlirage_object_t {
  const mlirage_object_type_t* type;
  size_t reference_count;  // atomic; only the functions below touch it
} mlirage_object_t;

void mlirage_object_initialize(mlirage_object_t* object, const mlirage_object_type_t* type);  // one reference
void mlirage_object_retain(void* object);                                                     // NULL is ignored
void mlirage_object_release(void* object);                                                    // NULL is ignored

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_BASE_H_
