// The contract between compiled device code and the runtime: what an executable
// library exports and what an entry point is given. Written once here for C and
// mirrored by mlirage/codegen/cpu/abi.py. Nothing else may be assumed by either
// side. Everything is plain C data of the target's own pointer size.
#ifndef MLIRAGE_EXECUTABLE_H_
#define MLIRAGE_EXECUTABLE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MLIRAGE_EXECUTABLE_VERSION 1u

// Shared by all workgroups of a dispatch. Borrowed for the call.
typedef struct mlirage_dispatch_state_t {
  // |constant_count| 32-bit words: the scalar operands of the dispatch in order.
  // index, i64 and f64 take two words (low first), everything else one (integers
  // zero-extended, f16/bf16 in the low 16 bits).
  const uint32_t* constants;
  // |binding_count| base pointers and byte lengths: the tensor operands in order,
  // then the results that are not tied to an operand. Pointers are aligned to the
  // natural alignment of the element type at least, not more; NULL when the
  // length is 0.
  void* const* binding_pointers;
  const size_t* binding_lengths;
  uint32_t workgroup_count_x;
  uint32_t workgroup_count_y;
  uint32_t workgroup_count_z;
  uint16_t constant_count;
  uint16_t binding_count;
} mlirage_dispatch_state_t;

// Per workgroup. Borrowed for the call.
typedef struct mlirage_workgroup_state_t {
  uint32_t workgroup_id_x;
  uint32_t workgroup_id_y;
  uint32_t workgroup_id_z;
  uint32_t worker_id;  // 0 .. workers of the device - 1, for statistics only
  // |scratch_length| bytes (at least the entry's |scratch_size|) private to the
  // worker, aligned to 64; contents are unspecified on entry.
  void* scratch;
  size_t scratch_length;
} mlirage_workgroup_state_t;

// Runs one workgroup. Returns 0, or any other value to fail the whole dispatch.
// Entry points are stateless and reentrant, allocate nothing and call nothing
// outside their library.
typedef int32_t (*mlirage_entry_point_t)(const mlirage_dispatch_state_t* dispatch,
                                         const mlirage_workgroup_state_t* workgroup);

typedef struct mlirage_entry_attributes_t {
  const char* name;  // source-derived name, for profiles and traces
  uint32_t constant_count;
  uint32_t binding_count;
  uint32_t scratch_size;  // bytes needed per worker
  uint32_t reserved;      // 0
} mlirage_entry_attributes_t;

typedef struct mlirage_executable_library_t {
  uint32_t version;  // MLIRAGE_EXECUTABLE_VERSION
  uint32_t entry_count;
  const mlirage_entry_point_t* entries;          // |entry_count|
  const mlirage_entry_attributes_t* attributes;  // |entry_count|
} mlirage_executable_library_t;

// The only exported symbol of a library: "mlirage_executable_library_query".
// Returns NULL if the library is newer than |max_version|.
typedef const mlirage_executable_library_t* (*mlirage_executable_library_query_t)(uint32_t max_version);
#define MLIRAGE_EXECUTABLE_LIBRARY_QUERY "mlirage_executable_library_query"

#ifdef __cplusplus
}
#endif
#endif  // MLIRAGE_EXECUTABLE_H_
