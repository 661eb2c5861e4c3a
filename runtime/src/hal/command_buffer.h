// The inside of command buffers, for drivers that replay them.
#ifndef MLIRAGE_HAL_COMMAND_BUFFER_H_
#define MLIRAGE_HAL_COMMAND_BUFFER_H_

#include "hal/executable.h"

typedef enum mlirage_command_kind_t {
  MLIRAGE_COMMAND_DISPATCH,
  MLIRAGE_COMMAND_FILL,
  MLIRAGE_COMMAND_COPY,
  MLIRAGE_COMMAND_UPDATE,
} mlirage_command_kind_t;

// Ranges are elements of |ranges|: those of a dispatch, then that of its workgroup counts if
// they lie in memory; the target of a fill or an update; the source and then the target of a
// copy.
typedef struct mlirage_command_t {
  mlirage_command_kind_t kind;
  uint32_t range_count;
  size_t first_range;
  uint64_t workgroups;               // x * y * z; unless indirect
  mlirage_executable_t* executable;  // retained
  uint32_t ordinal;
  uint32_t workgroup_count[3];
  uint32_t indirect;  // 1 + the number among those whose workgroup counts lie in memory; or 0
  uint32_t constant_count;
  uint32_t pattern_length;
  size_t first_constant;
  uint64_t pattern;
  size_t first_byte;  // of an update, in |bytes|
} mlirage_command_t;

// A growing array.
typedef struct mlirage_list_t {
  void* data;
  size_t count;
  size_t capacity;
} mlirage_list_t;

typedef enum mlirage_command_buffer_state_t {
  MLIRAGE_COMMANDS_RECORDING,
  MLIRAGE_COMMANDS_BROKEN,  // recording failed midway
  MLIRAGE_COMMANDS_FINISHED,
  MLIRAGE_COMMANDS_SPENT,  // one-shot and submitted
} mlirage_command_buffer_state_t;

struct mlirage_command_buffer_t {
  mlirage_object_t object;
  mlirage_device_t* device;  // retained
  bool one_shot;
  uint32_t state;  // atomic once finished
  size_t binding_capacity;
  mlirage_list_t commands;   // mlirage_command_t
  mlirage_list_t ranges;     // mlirage_slot_range_t
  mlirage_list_t lengths;    // size_t: lengths of |ranges| as entry points take them
  mlirage_list_t constants;  // uint32_t
  // Commands [waves[i], waves[i + 1]) may run together; the last element is the end.
  mlirage_list_t waves;  // size_t
  mlirage_list_t bytes;  // of updates
  uint32_t indirect_count;
  size_t scratch_size;    // largest of all entry points
  size_t slot_extents[];  // |binding_capacity|: bytes each slot must have
};

static inline const mlirage_command_t* mlirage_commands(const mlirage_command_buffer_t* command_buffer) {
  return (const mlirage_command_t*)command_buffer->commands.data;
}

#endif  // MLIRAGE_HAL_COMMAND_BUFFER_H_
