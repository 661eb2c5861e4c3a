#include "mlirage/base.h"

uint32_t mlirage_abi_version(void) { return MLIRAGE_ABI_VERSION; }

const char* mlirage_version(void) { return "0.1.0"; }
