// Running command buffers on the CPU, for every driver that does. A command is a number
// of units (workgroups of a dispatch, pieces of a fill or copy) that may run in any
// order on any thread.
#ifndef MLIRAGE_HAL_DRIVERS_REPLAY_H_
#define MLIRAGE_HAL_DRIVERS_REPLAY_H_

#include "hal/command_buffer.h"
#include "hal/profile.h"

// Of an indirect dispatch, read when its wave begins.
typedef struct mlirage_workgroups_t {
  uint64_t total;  // x * y * z
  uint32_t count[3];
  bool too_many;  // for 64 bits
} mlirage_workgroups_t;

// What one execution needs besides the command buffer. On the stack of who executes.
#define MLIRAGE_REPLAY_INLINE_POINTERS 48u
typedef struct mlirage_replay_t {
  mlirage_device_t* device;
  const mlirage_command_buffer_t* command_buffer;
  void** pointers;   // of each of the command buffer's ranges
  uint8_t* scratch;  // |scratch_stride| bytes per worker
  size_t scratch_stride;
  mlirage_workgroups_t* indirect;  // of each indirect dispatch
  mlirage_block_t* block;          // behind the three above, if they are not inline
  mlirage_profile_t* profile;      // NULL unless the device is profiled
  uint64_t execution;              // its number in the profile
  uint64_t start_ns;
  void* inline_pointers[MLIRAGE_REPLAY_INLINE_POINTERS];
} mlirage_replay_t;

MLIRAGE_MUST_USE mlirage_status_t mlirage_replay_begin(mlirage_replay_t* replay, mlirage_device_t* device,
                                                       const mlirage_command_buffer_t* command_buffer,
                                                       const mlirage_binding_t* bindings, uint32_t worker_count,
                                                       mlirage_error_t* error);
void mlirage_replay_end(mlirage_replay_t* replay);

// Reads what |command| needs of memory that commands before it wrote. Once, when its wave begins.
void mlirage_command_begin(const mlirage_replay_t* replay, const mlirage_command_t* command);
// Of an indirect dispatch: after it has begun.
uint64_t mlirage_command_units(const mlirage_replay_t* replay, const mlirage_command_t* command);
// Runs units [first, end) of |command|. Returns 0 or what device code returned.
int32_t mlirage_command_run(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first,
                            uint64_t end, uint32_t worker_id);
// The failure of |command| with |code| as status and text.
mlirage_status_t mlirage_command_fail(const mlirage_replay_t* replay, const mlirage_command_t* command, int32_t code,
                                      mlirage_error_t* error);
// Everything on this thread.
MLIRAGE_MUST_USE mlirage_status_t mlirage_replay_run(mlirage_replay_t* replay, mlirage_error_t* error);

#endif  // MLIRAGE_HAL_DRIVERS_REPLAY_H_
