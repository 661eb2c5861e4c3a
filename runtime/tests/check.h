// What the tests of the C runtime share: checks that say where they failed, and the
// kernels of kernels.c.
#ifndef MLIRAGE_TESTS_CHECK_H_
#define MLIRAGE_TESTS_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/hal.h"

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

#define CHECK_OK(expr) check_status((expr), MLIRAGE_OK, &error, __FILE__, __LINE__, #expr)
#define CHECK_FAILS(expected, expr) check_status((expr), (expected), &error, __FILE__, __LINE__, #expr)

static inline void check_status(mlirage_status_t got, mlirage_status_t expected, const mlirage_error_t* error,
                                const char* file, int line, const char* text) {
  if (got == expected) return;
  fprintf(stderr, "%s:%d: %s gave %s (%s), expected %s\n", file, line, text, mlirage_status_name(got), error->text,
          mlirage_status_name(expected));
  exit(1);
}

// Entry points of kernels.c.
enum {
  KERNEL_ADD = 0,      // out[i] = a[i] + b[i], 64 floats per workgroup
  KERNEL_COUNT = 1,    // ++out[linear workgroup id]
  KERNEL_FAIL = 2,     // returns 7 in workgroup constants[0]
  KERNEL_AFFINE = 3,   // data[i] = data[i] * constants[0] + constants[1], one u32 per workgroup
  KERNEL_SCRATCH = 4,  // writes and checks its scratch memory
  KERNEL_IDS = 5,      // writes ids and counts
  KERNEL_SLOW = 6,     // spins constants[0] times, then ++out[linear workgroup id]
  KERNEL_GATE = 7,     // waits until data[0] is not 0, then data[1] += data[0]
  KERNEL_COUNT_OF_ENTRIES = 8,
};
#define SCRATCH_SIZE 4096u

// What the command line gave.
typedef struct options_t {
  const char* elf_path;   // kernels.c as a shared object
  unsigned long seconds;  // bound of the loops over random input
} options_t;
extern options_t options;

// The file |options.elf_path|; freed by the caller.
uint8_t* read_kernels(size_t* out_size);
// A device by driver name with all loaders.
mlirage_device_t* create_device(const char* driver, mlirage_allocator_t allocator, uint32_t workers);
mlirage_executable_t* load_kernels(mlirage_device_t* device);
mlirage_buffer_t* allocate(mlirage_device_t* device, size_t length);
// The memory of a whole buffer.
void* memory_of(mlirage_buffer_t* buffer);
mlirage_command_buffer_t* record(mlirage_device_t* device, size_t slots);
void dispatch(mlirage_command_buffer_t* commands, mlirage_executable_t* executable, size_t entry, uint32_t workgroups,
              size_t constant_count, const uint32_t* constants, size_t binding_count,
              const mlirage_slot_range_t* bindings);
mlirage_fence_t* create_fence(mlirage_device_t* device);
mlirage_status_t execute(mlirage_device_t* device, mlirage_command_buffer_t* commands, size_t count,
                         mlirage_buffer_t* const* buffers, mlirage_error_t* error);

// An allocator that counts, and fails from the |fail_at|th allocation on (0: never).
typedef struct counting_t {
  long fail_at;
  long allocations;  // atomic
  long live;         // atomic: blocks
} counting_t;
mlirage_allocator_t counting_allocator(counting_t* counting);

// One per file.
void test_base(void);
void test_buffers(void);
void test_fences(void);
void test_semaphores(void);
void test_async(void);
void test_conformance(void);
void test_commands(void);
void test_files(void);
void test_sharing(void);
void test_elf(void);
void test_memory_exhaustion(void);
void test_task(void);
void test_profile(void);

#endif  // MLIRAGE_TESTS_CHECK_H_
