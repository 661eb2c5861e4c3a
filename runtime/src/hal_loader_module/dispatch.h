// Dispatches in the call. Internal to hal_loader_module/.
#ifndef MLIRAGE_HAL_LOADER_MODULE_DISPATCH_H_
#define MLIRAGE_HAL_LOADER_MODULE_DISPATCH_H_

#include "hal/executable.h"
#include "mlirage/vm.h"

// Memory that one call after the other uses, grown as needed: a context runs one call at
// a time.
typedef struct mlirage_dispatch_memory_t {
  mlirage_allocator_t allocator;
  void* block;
  size_t size;
} mlirage_dispatch_memory_t;

void mlirage_dispatch_memory_free(mlirage_dispatch_memory_t* memory);

// Runs every workgroup of a call with the convention "…iIII[i][r][I][I]_": ordinal,
// workgroups, constants, buffers, offsets, lengths. The buffers are the references from
// |first_ref| on. |*out_workgroups| is how many there were.
MLIRAGE_MUST_USE mlirage_status_t mlirage_dispatch_inline(const mlirage_vm_call_t* call, size_t first_ref,
                                                          const mlirage_library_t* library,
                                                          mlirage_dispatch_memory_t* memory, uint64_t* out_workgroups);

#endif  // MLIRAGE_HAL_LOADER_MODULE_DISPATCH_H_
