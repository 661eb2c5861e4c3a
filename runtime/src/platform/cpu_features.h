// What the processor (and its operating system) can do, by LLVM's names.
#ifndef MLIRAGE_PLATFORM_CPU_FEATURES_H_
#define MLIRAGE_PLATFORM_CPU_FEATURES_H_

#include "mlirage/base.h"

// As in executable formats: "x86_64", "aarch64", "armv7", "riscv64", "riscv32".
mlirage_string_t mlirage_cpu_isa(void);
// Is the feature there ("avx512vnni")? False for names it does not know.
bool mlirage_cpu_has(mlirage_string_t feature);

#endif  // MLIRAGE_PLATFORM_CPU_FEATURES_H_
