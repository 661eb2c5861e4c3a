// What the fuzz target has seen.
#ifndef MLIRAGE_TESTS_VM_FUZZ_H_
#define MLIRAGE_TESTS_VM_FUZZ_H_

#include <stddef.h>
#include <stdint.h>

typedef struct vm_fuzz_counts_t {
  uint64_t inputs;
  uint64_t loaded;  // modules that passed verification
  uint64_t linked;  // and whose imports and initializer were fine
  uint64_t returned;
  uint64_t failed;
  uint64_t suspended;
  uint64_t libraries;            // modules that are vmvx executables
  uint64_t workgroups_returned;  // of their entry points
  uint64_t workgroups_failed;
} vm_fuzz_counts_t;

extern vm_fuzz_counts_t vm_fuzz_counts;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

#endif  // MLIRAGE_TESTS_VM_FUZZ_H_
