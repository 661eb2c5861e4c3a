#ifndef MLIRAGE_TESTS_FIRMWARE_H_
#define MLIRAGE_TESTS_FIRMWARE_H_

#include <stddef.h>
#include <stdint.h>

// Runs main(|argument|) of the module (aligned to 64 bytes); returns a mlirage_status_t.
int firmware_main(const uint8_t* module, size_t size, int64_t argument, int64_t* out_result);

#endif  // MLIRAGE_TESTS_FIRMWARE_H_
