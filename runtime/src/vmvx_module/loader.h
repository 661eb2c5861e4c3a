// Internal: vmvx executables for who wants to bound their time.
#ifndef MLIRAGE_VMVX_LOADER_H_
#define MLIRAGE_VMVX_LOADER_H_

#include "hal/executable.h"

extern const mlirage_executable_loader_t mlirage_loader_vmvx;  // "vmvx-bytecode"

// |jump_limit|: calls and backward jumps of one workgroup (mlirage_vm_options_t).
MLIRAGE_MUST_USE mlirage_status_t mlirage_vmvx_load(mlirage_allocator_t allocator, uint64_t jump_limit,
                                                    mlirage_bytes_t data, mlirage_library_t* out_library,
                                                    mlirage_error_t* error);

#endif  // MLIRAGE_VMVX_LOADER_H_
