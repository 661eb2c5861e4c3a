// Internal: the checks that let the interpreter trust code.
#ifndef MLIRAGE_VM_VERIFIER_H_
#define MLIRAGE_VM_VERIFIER_H_

#include "mlirage/module.h"

// Checks every instruction of |module|, whose tables have been verified: opcodes,
// registers, branch targets, ordinals, texts, and that calls fit the callees'
// calling conventions.
mlirage_status_t mlirage_vm_verify_code(const mlirage_module_t* module, mlirage_error_t* error);

#endif  // MLIRAGE_VM_VERIFIER_H_
