// The inside of executables and what loaders implement.
#ifndef MLIRAGE_HAL_EXECUTABLE_H_
#define MLIRAGE_HAL_EXECUTABLE_H_

#include "hal/device.h"

// A library in memory, as a loader hands it over.
typedef struct mlirage_library_t {
  const mlirage_executable_library_t* table;
  void (*unload)(struct mlirage_library_t* library);  // may be NULL
  // Runs one workgroup of entry |ordinal|, as its function would, where entry points are
  // no functions: the table's |entries| is NULL then. NULL where they are.
  int32_t (*run)(const struct mlirage_library_t* library, uint32_t ordinal, const mlirage_dispatch_state_t* dispatch,
                 const mlirage_workgroup_state_t* workgroup);
  void* memory;
  size_t memory_size;
} mlirage_library_t;

struct mlirage_executable_loader_t {
  // Can executables of |format| be loaded and run on this machine?
  bool (*supports)(const mlirage_executable_loader_t* loader, mlirage_string_t format);
  // |data| is borrowed for the call; what is kept is allocated with |allocator|.
  mlirage_status_t (*load)(const mlirage_executable_loader_t* loader, mlirage_allocator_t allocator,
                           mlirage_bytes_t data, mlirage_library_t* out_library, mlirage_error_t* error);
};

struct mlirage_executable_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  mlirage_library_t library;
  size_t entry_count;
  const mlirage_entry_point_t* entries;
  const mlirage_entry_attributes_t* attributes;
  // Measured time of a workgroup in picoseconds, 0 if not yet; atomic, relaxed. A hint.
  uint64_t workgroup_costs[];
};

// For drivers that run on the CPU: asks |loaders| in order.
bool mlirage_loaders_support(const mlirage_executable_loader_t* const* loaders, size_t loader_count,
                             mlirage_string_t format);
MLIRAGE_MUST_USE mlirage_status_t mlirage_loaders_load(const mlirage_executable_loader_t* const* loaders,
                                                       size_t loader_count, mlirage_allocator_t allocator,
                                                       mlirage_string_t format, mlirage_bytes_t data,
                                                       mlirage_executable_t** out_executable, mlirage_error_t* error);

// "<kind>-<isa>[:features]" against this machine (cpu_features_*.c).
bool mlirage_format_matches(mlirage_string_t format, mlirage_string_t kind);

#endif  // MLIRAGE_HAL_EXECUTABLE_H_
