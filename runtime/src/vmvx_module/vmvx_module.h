// The native module `vmvx`: what kernels written for the virtual machine call instead of
// interpreting one element after the other. Every range is checked against its buffer:
// a hostile program reads and writes nothing else.
#ifndef MLIRAGE_VMVX_MODULE_H_
#define MLIRAGE_VMVX_MODULE_H_

#include "mlirage/vm.h"

// Stateless: the same functions for every context, on any thread.
mlirage_vm_native_module_t mlirage_vmvx_module_functions(void);

#endif  // MLIRAGE_VMVX_MODULE_H_
