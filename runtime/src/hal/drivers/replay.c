#include "hal/drivers/replay.h"

#include "base/memory.h"
#include "hal/buffer.h"

// Bytes of a fill or copy that are one unit of work.
#define PIECE_SIZE ((size_t)128 << 10)

mlirage_status_t mlirage_replay_begin(mlirage_replay_t* replay, mlirage_device_t* device,
                                      const mlirage_command_buffer_t* command_buffer, const mlirage_binding_t* bindings,
                                      uint32_t worker_count, mlirage_error_t* error) {
  const size_t range_count = command_buffer->ranges.count;
  replay->device = device;
  replay->command_buffer = command_buffer;
  replay->pointers = replay->inline_pointers;
  replay->scratch = NULL;
  replay->indirect = NULL;
  replay->block = NULL;
  replay->profile = NULL;
  // Sizes fit: ranges are in memory already, scratch sizes are 32 bits.
  size_t pointer_bytes = range_count <= MLIRAGE_REPLAY_INLINE_POINTERS ? 0 : range_count * sizeof(void*);
  pointer_bytes = (pointer_bytes + 63) & ~(size_t)63;
  if (!mlirage_checked_align(command_buffer->scratch_size, 64, &replay->scratch_stride)) return MLIRAGE_OUT_OF_MEMORY;
  const size_t indirect_bytes = command_buffer->indirect_count * sizeof(mlirage_workgroups_t);
  size_t needed = 0;
  if (!mlirage_checked_mul(replay->scratch_stride, worker_count, &needed) ||
      !mlirage_checked_add(needed, pointer_bytes, &needed) || !mlirage_checked_add(needed, indirect_bytes, &needed)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "scratch memory of %u workers does not fit", worker_count);
  }
  // Offsets of slots come from the caller: resolved before anything is acquired.
  if (needed != 0) {
    if (mlirage_pool_acquire(&device->pool, needed, &replay->block) != MLIRAGE_OK) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for %zu bytes of scratch", needed);
    }
    uint8_t* data = mlirage_block_data(replay->block);
    if (pointer_bytes != 0) replay->pointers = (void**)(void*)data;
    replay->scratch = data + pointer_bytes;
    if (indirect_bytes != 0) {
      replay->indirect = (void*)(data + needed - indirect_bytes);
      memset(replay->indirect, 0, indirect_bytes);
    }
  }
  const mlirage_slot_range_t* ranges = command_buffer->ranges.data;
  for (size_t i = 0; i < range_count; ++i) {
    const mlirage_slot_range_t* range = &ranges[i];
    replay->pointers[i] = NULL;
    if (range->length == 0) continue;
    const mlirage_binding_t* binding = &bindings[range->slot];
    uint8_t* host = NULL;
    const mlirage_status_t status = mlirage_buffer_host(binding->buffer, &host, error);
    if (status != MLIRAGE_OK) {
      mlirage_replay_end(replay);
      return status;
    }
    replay->pointers[i] = host + binding->offset + range->offset;
  }
  if (MLIRAGE_UNLIKELY(__atomic_load_n(&device->profile, __ATOMIC_RELAXED) != NULL)) {
    replay->profile = mlirage_profile_acquire(device, command_buffer, &replay->execution);
    replay->start_ns = mlirage_platform_now_ns();
  }
  return MLIRAGE_OK;
}

// The whole execution as an event.
static void end_profile(mlirage_replay_t* replay) {
  const mlirage_profile_event_t event = {
      .start_ns = replay->start_ns,
      .end_ns = mlirage_platform_now_ns(),
      .execution = replay->execution,
      .units = replay->command_buffer->commands.count,
      .end = replay->command_buffer->commands.count,
      .name = "",
      .kind = MLIRAGE_PROFILE_EXECUTE,
  };
  mlirage_profile_record(replay->profile, &event);
  mlirage_profile_release(replay->profile);
  replay->profile = NULL;
}

void mlirage_replay_end(mlirage_replay_t* replay) {
  if (MLIRAGE_UNLIKELY(replay->profile != NULL)) end_profile(replay);
  if (replay->block != NULL) mlirage_pool_release(&replay->device->pool, replay->block);
  replay->block = NULL;
}

static size_t range_length(const mlirage_replay_t* replay, size_t index) {
  return ((const size_t*)replay->command_buffer->lengths.data)[index];
}

void mlirage_command_begin(const mlirage_replay_t* replay, const mlirage_command_t* command) {
  if (command->indirect == 0) return;
  mlirage_workgroups_t* workgroups = &replay->indirect[command->indirect - 1];
  // Anywhere in memory, aligned or not.
  memcpy(workgroups->count, replay->pointers[command->first_range + command->range_count], sizeof(workgroups->count));
  const uint64_t rows = (uint64_t)workgroups->count[0] * workgroups->count[1];
  workgroups->too_many = __builtin_mul_overflow(rows, (uint64_t)workgroups->count[2], &workgroups->total);
}

uint64_t mlirage_command_units(const mlirage_replay_t* replay, const mlirage_command_t* command) {
  if (command->kind == MLIRAGE_COMMAND_DISPATCH) {
    if (command->indirect == 0) return command->workgroups;
    const mlirage_workgroups_t* workgroups = &replay->indirect[command->indirect - 1];
    return workgroups->too_many ? 1 : workgroups->total;  // one to fail in
  }
  const size_t length = range_length(replay, command->first_range);
  return length / PIECE_SIZE + (length % PIECE_SIZE != 0);
}

static int32_t run_dispatch(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first,
                            uint64_t end, uint32_t worker_id) {
  const mlirage_command_buffer_t* buffer = replay->command_buffer;
  const uint32_t* counts = command->workgroup_count;
  if (command->indirect != 0) {
    const mlirage_workgroups_t* workgroups = &replay->indirect[command->indirect - 1];
    if (workgroups->too_many) return -1;
    if (workgroups->total == 0) return 0;
    counts = workgroups->count;
  }
  const mlirage_dispatch_state_t dispatch = {
      .constants = (const uint32_t*)buffer->constants.data + command->first_constant,
      .binding_pointers = replay->pointers + command->first_range,
      .binding_lengths = (const size_t*)buffer->lengths.data + command->first_range,
      .workgroup_count_x = counts[0],
      .workgroup_count_y = counts[1],
      .workgroup_count_z = counts[2],
      .constant_count = (uint16_t)command->constant_count,
      .binding_count = (uint16_t)command->range_count,
  };
  mlirage_workgroup_state_t workgroup = {
      .workgroup_id_x = (uint32_t)(first % counts[0]),
      .workgroup_id_y = (uint32_t)(first / counts[0] % counts[1]),
      .workgroup_id_z = (uint32_t)(first / counts[0] / counts[1]),
      .worker_id = worker_id,
      .scratch = replay->scratch == NULL ? NULL : replay->scratch + replay->scratch_stride * worker_id,
      .scratch_length = replay->scratch_stride,
  };
  const mlirage_library_t* library = &command->executable->library;
  const mlirage_entry_point_t entry = library->run == NULL ? command->executable->entries[command->ordinal] : NULL;
  for (uint64_t i = first; i < end; ++i) {
    const int32_t code =
        entry != NULL ? entry(&dispatch, &workgroup) : library->run(library, command->ordinal, &dispatch, &workgroup);
    if (MLIRAGE_UNLIKELY(code != 0)) return code;
    if (++workgroup.workgroup_id_x == counts[0]) {
      workgroup.workgroup_id_x = 0;
      if (++workgroup.workgroup_id_y == counts[1]) {
        workgroup.workgroup_id_y = 0;
        ++workgroup.workgroup_id_z;
      }
    }
  }
  return 0;
}

static void fill(uint8_t* target, size_t length, uint64_t pattern, size_t pattern_length) {
  uint8_t bytes[8];
  for (size_t i = 0; i < 8; ++i) bytes[i] = (uint8_t)(pattern >> (8 * (i % pattern_length)));
  bool same = true;
  for (size_t i = 1; i < pattern_length; ++i) same = same && bytes[i] == bytes[0];
  if (same) {
    memset(target, bytes[0], length);
    return;
  }
  size_t done = length < 8 ? length : 8;
  memcpy(target, bytes, done);
  while (done < length) {  // doubling: what is done is the pattern repeated
    const size_t next = done < length - done ? done : length - done;
    memcpy(target + done, target, next);
    done += next;
  }
}

static int32_t run(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first, uint64_t end,
                   uint32_t worker_id) {
  if (command->kind == MLIRAGE_COMMAND_DISPATCH) return run_dispatch(replay, command, first, end, worker_id);
  const size_t length = range_length(replay, command->first_range);
  const size_t from = (size_t)first * PIECE_SIZE;
  const size_t to = end > length / PIECE_SIZE ? length : (size_t)end * PIECE_SIZE;
  if (from >= to) return 0;
  void* const* pointers = replay->pointers + command->first_range;
  if (command->kind == MLIRAGE_COMMAND_FILL) {
    fill((uint8_t*)pointers[0] + from, to - from, command->pattern, command->pattern_length);
  } else if (command->kind == MLIRAGE_COMMAND_UPDATE) {
    const uint8_t* bytes = replay->command_buffer->bytes.data;
    memcpy((uint8_t*)pointers[0] + from, bytes + command->first_byte + from, to - from);
  } else {
    // Distinct slots may still be bound to overlapping memory.
    memmove((uint8_t*)pointers[1] + from, (const uint8_t*)pointers[0] + from, to - from);
  }
  return 0;
}

// Runs and keeps an event of it.
static int32_t run_profiled(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first,
                            uint64_t end, uint32_t worker_id) {
  const uint64_t start = mlirage_platform_now_ns();
  const int32_t code = run(replay, command, first, end, worker_id);
  mlirage_profile_event_t event = {
      .start_ns = start,
      .end_ns = mlirage_platform_now_ns(),
      .execution = replay->execution,
      .first = first,
      .end = end,
      .units = mlirage_command_units(replay, command),
      .name = "",
      .kind = (uint32_t)command->kind,  // the kinds of events begin with those of commands
      .command = (uint32_t)(command - mlirage_commands(replay->command_buffer)),
      .worker = worker_id,
  };
  if (command->kind == MLIRAGE_COMMAND_DISPATCH) {
    const uint32_t* counts =
        command->indirect != 0 ? replay->indirect[command->indirect - 1].count : command->workgroup_count;
    memcpy(event.workgroup_count, counts, sizeof(event.workgroup_count));
    event.name = mlirage_executable_entry(command->executable, command->ordinal)->name;
    event.constant_count = command->constant_count;
    const uint32_t kept =
        event.constant_count < MLIRAGE_PROFILE_CONSTANTS ? event.constant_count : MLIRAGE_PROFILE_CONSTANTS;
    const uint32_t* constants = (const uint32_t*)replay->command_buffer->constants.data + command->first_constant;
    if (kept != 0) memcpy(event.constants, constants, kept * sizeof(constants[0]));
    for (uint32_t i = 0; i < command->range_count; ++i) event.bytes += range_length(replay, command->first_range + i);
  } else {
    event.bytes = range_length(replay, command->first_range);
  }
  mlirage_profile_record(replay->profile, &event);
  return code;
}

int32_t mlirage_command_run(const mlirage_replay_t* replay, const mlirage_command_t* command, uint64_t first,
                            uint64_t end, uint32_t worker_id) {
  if (MLIRAGE_UNLIKELY(replay->profile != NULL)) return run_profiled(replay, command, first, end, worker_id);
  return run(replay, command, first, end, worker_id);
}

mlirage_status_t mlirage_command_fail(const mlirage_replay_t* replay, const mlirage_command_t* command, int32_t code,
                                      mlirage_error_t* error) {
  if (command->indirect != 0 && replay->indirect[command->indirect - 1].too_many) {
    const uint32_t* counts = replay->indirect[command->indirect - 1].count;
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "dispatch '%s': too many workgroups, %u x %u x %u",
                        mlirage_executable_entry(command->executable, command->ordinal)->name, counts[0], counts[1],
                        counts[2]);
  }
  return mlirage_fail(error, MLIRAGE_ABORTED, "dispatch '%s' failed with code %d",
                      mlirage_executable_entry(command->executable, command->ordinal)->name, code);
}

mlirage_status_t mlirage_replay_run(mlirage_replay_t* replay, mlirage_error_t* error) {
  const mlirage_command_buffer_t* buffer = replay->command_buffer;
  const mlirage_command_t* commands = mlirage_commands(buffer);
  size_t dispatches = 0;
  size_t workgroups = 0;
  mlirage_status_t status = MLIRAGE_OK;
  for (size_t i = 0; i < buffer->commands.count && status == MLIRAGE_OK; ++i) {
    const mlirage_command_t* command = &commands[i];
    mlirage_command_begin(replay, command);
    const uint64_t units = mlirage_command_units(replay, command);
    const int32_t code = mlirage_command_run(replay, command, 0, units, 0);
    if (code != 0) status = mlirage_command_fail(replay, command, code, error);
    if (command->kind == MLIRAGE_COMMAND_DISPATCH) {
      ++dispatches;
      workgroups += (size_t)units;
    }
  }
  __atomic_fetch_add(&replay->device->dispatches, dispatches, __ATOMIC_RELAXED);
  __atomic_fetch_add(&replay->device->workgroups, workgroups, __ATOMIC_RELAXED);
  return status;
}
