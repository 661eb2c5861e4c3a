// Running command buffers on the CPU, for every driver that does. A command is a number
// of units (workgroups of a dispatch, pieces of a fill or copy) that may run in any
// order on any thread.
#ifndef MLIRAGE_HAL_DRIVERS_REPLAY_H_
#define MLIRAGE_HAL_DRIVERS_REPLAY_H_

#include "hal/command_buffer.h"

// What one execution needs besides the command buffer. On the stack of who executes.
#define MLIRAGE_REPLAY_INLINE_POINTERS 48u
typedef struct mlirage_replay_t {
  mlirage_device_t* device;
  const mlirage_command_buffer_t* command_buffer;
  void** pointers;   // of each of the command buffer's ranges
  uint8_t* scratch;  // |scratch_stride| bytes per worker
  size_t scratch_stride;
  mlirage_block_t* block;  // behind the two above, if they are not inline
  void* inline_pointers[MLIRAGE_REPLAY_INLINE_POINTERS];
} mlirage_replay_t;

MLIRAGE_MUST_USE mlirage_status_t mlirage_replay_begin(mlirage_replay_t* replay, mlirage_device_t* device,
                                                       const mlirage_command_buffer_t* command_buffer,
                                                       const mlirage_binding_t* bindings, uint32_t worker_count,
                                                       mlirage_error_t* error);
void mlirage_replay_end(mlirage_replay_t* replay);

uint64_t mlirage_command_units(const mlirage_replay_t* replay, const mlirage_command_t* command);
// Runs units [first, end) of |command|. Returns 0 or what device code returned.
int32_t mlirage_command_run(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first,
                            uint64_t end, uint32_t worker_id);
// The failure of |command| with |code| as status and text.
mlirage_status_t mlirage_command_fail(const mlirage_command_t* command, int32_t code, mlirage_error_t* error);
// Everything on this thread.
MLIRAGE_MUST_USE mlirage_status_t mlirage_replay_run(mlirage_replay_t* replay, mlirage_error_t* error);

#endif  // MLIRAGE_HAL_DRIVERS_REPLAY_H_
