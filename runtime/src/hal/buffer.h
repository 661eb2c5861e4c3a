// The inside of buffers, for the files of hal/.
#ifndef MLIRAGE_HAL_BUFFER_H_
#define MLIRAGE_HAL_BUFFER_H_

#include "hal/device.h"

struct mlirage_buffer_t {
  mlirage_object_t object;
  mlirage_device_t* device;  // retained
  mlirage_buffer_t* root;    // retained; of a subspan, else NULL
  // Root only: the memory; NULL once given back by queue_dealloca (or of length 0).
  uint8_t* host;
  mlirage_block_t* block;              // if the pool's
  mlirage_release_callback_t release;  // if imported
  bool imported;
  size_t offset;  // within the root
  size_t length;
};

// The memory behind |buffer|; NULL if the length is 0. Fails after queue_dealloca.
MLIRAGE_MUST_USE mlirage_status_t mlirage_buffer_host(const mlirage_buffer_t* buffer, uint8_t** out_host,
                                                      mlirage_error_t* error);
// Gives the memory of a root back to the pool; the buffer object stays, without memory.
void mlirage_buffer_surrender(mlirage_buffer_t* buffer);

#endif  // MLIRAGE_HAL_BUFFER_H_
