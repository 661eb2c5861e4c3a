// Parameters: weights that are kept outside of modules, found by scope and key.
//
//   mlirage_parameters_t* parameters;  mlirage_parameters_create(allocator, &parameters);
//   mlirage_parameters_add_file(parameters, "model", "weights.safetensors", …);   // runtime.h
//   mlirage_session_load_file(device, "model.mlirage", parameters, …);
//   mlirage_parameters_release(parameters);  // sessions keep the memory that they use
//
// Filled by one thread, then read by any number. Memory is never copied here; what a
// session uses of it stays until the session and its buffers are gone.
#ifndef MLIRAGE_PARAMETERS_H_
#define MLIRAGE_PARAMETERS_H_

#include "mlirage/base.h"
#include "mlirage/hal.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlirage_parameters_t mlirage_parameters_t;

// The scope of a compiled model's weights.
#define MLIRAGE_PARAMETERS_SCOPE "model"

MLIRAGE_MUST_USE mlirage_status_t mlirage_parameters_create(mlirage_allocator_t allocator,
                                                            mlirage_parameters_t** out_parameters);
void mlirage_parameters_retain(mlirage_parameters_t* parameters);
void mlirage_parameters_release(mlirage_parameters_t* parameters);  // NULL is ignored

// Adds one parameter, |memory|; |scope| and |key| are copied. |memory| stays valid and
// unchanged until |release| is called; on failure |release| is not called.
MLIRAGE_MUST_USE mlirage_status_t mlirage_parameters_add(mlirage_parameters_t* parameters, mlirage_string_t scope,
                                                         mlirage_string_t key, mlirage_mutable_bytes_t memory,
                                                         mlirage_release_callback_t release, mlirage_error_t* error);

typedef enum mlirage_parameters_flags_t {
  MLIRAGE_PARAMETERS_DEFAULT = 0,
  // Also compares the checksum of all data, where the file has one: reads it once.
  MLIRAGE_PARAMETERS_CHECK_DATA = 1,
  // Reads a file into memory at once instead of mapping it: no page is read later.
  MLIRAGE_PARAMETERS_PRELOAD = 2,
  // What a program loads is copied to memory of the device; the file's is not kept.
  MLIRAGE_PARAMETERS_COPY = 4,
} mlirage_parameters_flags_t;

// Adds every tensor of the file |memory|: safetensors, .irpa or GGUF, told apart by their
// first bytes. |name| (copied) is what errors call it. Everything but the values is
// verified: INVALID_MODULE says what is wrong where, UNSUPPORTED which version or type
// is not known. Parameters are shared with the device, and not copied, if |memory| is
// aligned to 64 bytes and the file was written by the compiler. Ownership as above.
MLIRAGE_MUST_USE mlirage_status_t mlirage_parameters_add_archive(
    mlirage_parameters_t* parameters, mlirage_string_t scope, mlirage_string_t name, mlirage_mutable_bytes_t memory,
    mlirage_release_callback_t release, mlirage_parameters_flags_t flags, mlirage_error_t* error);

//===--------------------------------------------------------------------------===
// What programs do with them
//===--------------------------------------------------------------------------===

// Where a parameter lies in the buffer that a program wants: |length| bytes at |offset|.
typedef struct mlirage_parameter_place_t {
  mlirage_string_t key;
  size_t offset;
  size_t length;
} mlirage_parameter_place_t;

// A buffer of |size| bytes with the parameters at their places: the memory itself if
// it lies like that already, else a copy. |program| is compared with the one that a
// file was written for, if it tells. |parameters| may be NULL: there are none.
MLIRAGE_MUST_USE mlirage_status_t mlirage_parameters_load(const mlirage_parameters_t* parameters,
                                                          mlirage_device_t* device, mlirage_string_t program,
                                                          mlirage_string_t scope, size_t size, size_t place_count,
                                                          const mlirage_parameter_place_t* places,
                                                          mlirage_buffer_t** out_buffer, mlirage_error_t* error);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_PARAMETERS_H_
