// What the queue needs of files.
#ifndef MLIRAGE_HAL_FILE_H_
#define MLIRAGE_HAL_FILE_H_

#include "mlirage/hal.h"

// Moves |length| bytes between |memory| and |offset| of the file. The range was checked.
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_read(mlirage_file_t* file, uint64_t offset, void* memory, size_t length,
                                                    mlirage_error_t* error);
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_write(mlirage_file_t* file, uint64_t offset, const void* memory,
                                                     size_t length, mlirage_error_t* error);
// Fails unless the range may be read or written.
MLIRAGE_MUST_USE mlirage_status_t mlirage_file_check(const mlirage_file_t* file, bool write, uint64_t offset,
                                                     size_t length, mlirage_error_t* error);

#endif  // MLIRAGE_HAL_FILE_H_
