// Internal: checks of a module file beyond its sections.
#ifndef MLIRAGE_MODULE_MODULE_VERIFIER_H_
#define MLIRAGE_MODULE_MODULE_VERIFIER_H_

#include "mlirage/module.h"

// Checks every table, every instruction and the checksums that |flags| ask for, and
// fills in what is made at load.
mlirage_status_t mlirage_module_verify(mlirage_module_t* module, mlirage_module_flags_t flags, mlirage_error_t* error);

#endif  // MLIRAGE_MODULE_MODULE_VERIFIER_H_
