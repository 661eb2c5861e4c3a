#include "hal/command_buffer.h"

#include "base/memory.h"

// Slots beyond this are a malformed program, not a large one.
#define MAX_BINDINGS 65535u

static size_t size_of(size_t binding_capacity) {
  return sizeof(mlirage_command_buffer_t) + binding_capacity * sizeof(size_t);
}

static void destroy(void* object) {
  mlirage_command_buffer_t* buffer = object;
  mlirage_device_t* device = buffer->device;
  mlirage_pool_t* pool = &device->pool;
  const mlirage_command_t* commands = mlirage_commands(buffer);
  for (size_t i = 0; i < buffer->commands.count; ++i) mlirage_executable_release(commands[i].executable);
  mlirage_pool_cell_release(pool, buffer->commands.data, buffer->commands.capacity * sizeof(mlirage_command_t));
  mlirage_pool_cell_release(pool, buffer->ranges.data, buffer->ranges.capacity * sizeof(mlirage_slot_range_t));
  mlirage_pool_cell_release(pool, buffer->lengths.data, buffer->lengths.capacity * sizeof(size_t));
  mlirage_pool_cell_release(pool, buffer->constants.data, buffer->constants.capacity * sizeof(uint32_t));
  mlirage_pool_cell_release(pool, buffer->bytes.data, buffer->bytes.capacity);
  mlirage_pool_cell_release(pool, buffer->waves.data, buffer->waves.capacity * sizeof(size_t));
  mlirage_pool_cell_release(pool, buffer, size_of(buffer->binding_capacity));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_command_buffer_type = {"hal.command_buffer", destroy};

// Room for |count| more elements of |size| bytes; |*out_place| is the first of them.
static mlirage_status_t append(mlirage_command_buffer_t* buffer, mlirage_list_t* list, size_t count, size_t size,
                               void** out_place, mlirage_error_t* error) {
  size_t needed = 0;
  size_t bytes = 0;
  mlirage_status_t status = MLIRAGE_OUT_OF_MEMORY;
  if (mlirage_checked_add(list->count, count, &needed) && mlirage_checked_mul(needed, 2 * size, &bytes)) {
    status = MLIRAGE_OK;
    if (needed > list->capacity) {
      const size_t capacity = needed < 4 ? 8 : needed * 2;
      status = mlirage_pool_cell_grow(&buffer->device->pool, list->capacity * size, capacity * size, &list->data);
      if (status == MLIRAGE_OK) list->capacity = capacity;
    }
  }
  if (status != MLIRAGE_OK) {
    buffer->state = MLIRAGE_COMMANDS_BROKEN;
    return mlirage_fail(error, status, "no memory to record a command");
  }
  *out_place = (uint8_t*)list->data + list->count * size;
  list->count = needed;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_create(mlirage_device_t* device, bool one_shot, size_t binding_capacity,
                                               mlirage_command_buffer_t** out_command_buffer, mlirage_error_t* error) {
  *out_command_buffer = NULL;
  if (binding_capacity > MAX_BINDINGS) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "binding table of %zu slots is above the limit of %u",
                        binding_capacity, MAX_BINDINGS);
  }
  void* block = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, size_of(binding_capacity), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a command buffer");
  }
  mlirage_command_buffer_t* buffer = block;
  mlirage_object_initialize(&buffer->object, &mlirage_command_buffer_type);
  mlirage_device_retain(device);
  buffer->device = device;
  buffer->one_shot = one_shot;
  buffer->state = MLIRAGE_COMMANDS_RECORDING;
  buffer->binding_capacity = binding_capacity;
  *out_command_buffer = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t check_recording(const mlirage_command_buffer_t* buffer, mlirage_error_t* error) {
  if (buffer->state == MLIRAGE_COMMANDS_RECORDING) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION,
                      buffer->state == MLIRAGE_COMMANDS_BROKEN ? "recording of the command buffer has failed before"
                                                               : "the command buffer is not recording anymore");
}

static mlirage_status_t check_range(const mlirage_command_buffer_t* buffer, mlirage_slot_range_t range,
                                    mlirage_error_t* error) {
  if (range.slot >= buffer->binding_capacity) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "slot %u is outside of a binding table of %zu", range.slot,
                        buffer->binding_capacity);
  }
  if (!mlirage_range_fits(range.offset, range.length, PTRDIFF_MAX)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "range of %zu bytes at %zu is too large", range.length,
                        range.offset);
  }
  return MLIRAGE_OK;
}

// A checked range at the end of the list.
static mlirage_status_t append_range(mlirage_command_buffer_t* buffer, const mlirage_slot_range_t* range,
                                     mlirage_error_t* error) {
  void* place = NULL;
  MLIRAGE_TRY(append(buffer, &buffer->ranges, 1, sizeof(*range), &place, error));
  *(mlirage_slot_range_t*)place = *range;
  MLIRAGE_TRY(append(buffer, &buffer->lengths, 1, sizeof(size_t), &place, error));
  *(size_t*)place = range->length;
  size_t* extent = &buffer->slot_extents[range->slot];
  if (range->offset + range->length > *extent) *extent = range->offset + range->length;
  return MLIRAGE_OK;
}

// A command and its ranges. Opens a wave if it is the first of one.
static mlirage_status_t append_command(mlirage_command_buffer_t* buffer, mlirage_command_kind_t kind,
                                       size_t range_count, const mlirage_slot_range_t* ranges,
                                       mlirage_command_t** out_command, mlirage_error_t* error) {
  void* place = NULL;
  const size_t first_range = buffer->ranges.count;
  if (buffer->waves.count == 0) {
    MLIRAGE_TRY(append(buffer, &buffer->waves, 1, sizeof(size_t), &place, error));
    *(size_t*)place = 0;
  }
  for (size_t i = 0; i < range_count; ++i) MLIRAGE_TRY(append_range(buffer, &ranges[i], error));
  MLIRAGE_TRY(append(buffer, &buffer->commands, 1, sizeof(mlirage_command_t), &place, error));
  mlirage_command_t* command = place;
  memset(command, 0, sizeof(*command));
  command->kind = kind;
  command->first_range = first_range;
  command->range_count = (uint32_t)range_count;
  *out_command = command;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_barrier(mlirage_command_buffer_t* buffer, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  // Barriers with nothing before them are no barriers.
  const size_t* waves = buffer->waves.data;
  if (buffer->waves.count == 0 || waves[buffer->waves.count - 1] == buffer->commands.count) return MLIRAGE_OK;
  void* place = NULL;
  MLIRAGE_TRY(append(buffer, &buffer->waves, 1, sizeof(size_t), &place, error));
  *(size_t*)place = buffer->commands.count;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_fill(mlirage_command_buffer_t* buffer, mlirage_slot_range_t target,
                                             uint64_t pattern, size_t pattern_length, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  MLIRAGE_TRY(check_range(buffer, target, error));
  if (pattern_length != 1 && pattern_length != 2 && pattern_length != 4 && pattern_length != 8) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "fill pattern has %zu bytes, allowed are 1, 2, 4, 8",
                        pattern_length);
  }
  if (target.length % pattern_length != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "fill of %zu bytes is no multiple of its pattern's %zu",
                        target.length, pattern_length);
  }
  mlirage_command_t* command = NULL;
  MLIRAGE_TRY(append_command(buffer, MLIRAGE_COMMAND_FILL, 1, &target, &command, error));
  command->pattern = pattern;
  command->pattern_length = (uint32_t)pattern_length;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_copy(mlirage_command_buffer_t* buffer, mlirage_slot_range_t source,
                                             mlirage_slot_range_t target, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  MLIRAGE_TRY(check_range(buffer, source, error));
  MLIRAGE_TRY(check_range(buffer, target, error));
  if (source.length != target.length) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "copy of %zu bytes into %zu", source.length, target.length);
  }
  if (source.slot == target.slot && source.length != 0 && source.offset < target.offset + target.length &&
      target.offset < source.offset + source.length) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "copy between overlapping ranges of slot %u", source.slot);
  }
  const mlirage_slot_range_t ranges[2] = {source, target};
  mlirage_command_t* command = NULL;
  return append_command(buffer, MLIRAGE_COMMAND_COPY, 2, ranges, &command, error);
}

mlirage_status_t mlirage_command_buffer_update(mlirage_command_buffer_t* buffer, const void* data,
                                               mlirage_slot_range_t target, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  MLIRAGE_TRY(check_range(buffer, target, error));
  if (target.length > MLIRAGE_MAX_UPDATE) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "update of %zu bytes is above the limit of %u; copy from a buffer",
                        target.length, MLIRAGE_MAX_UPDATE);
  }
  const size_t first_byte = buffer->bytes.count;
  void* place = NULL;
  MLIRAGE_TRY(append(buffer, &buffer->bytes, target.length, 1, &place, error));
  if (target.length != 0) memcpy(place, data, target.length);
  mlirage_command_t* command = NULL;
  MLIRAGE_TRY(append_command(buffer, MLIRAGE_COMMAND_UPDATE, 1, &target, &command, error));
  command->first_byte = first_byte;
  return MLIRAGE_OK;
}

// What both kinds of dispatches have. |counts| is NULL, or where the workgroup counts lie.
static mlirage_status_t append_dispatch(mlirage_command_buffer_t* buffer, mlirage_executable_t* executable,
                                        size_t entry_ordinal, size_t constant_count, const uint32_t* constants,
                                        size_t binding_count, const mlirage_slot_range_t* bindings,
                                        const mlirage_slot_range_t* counts, mlirage_command_t** out_command,
                                        mlirage_error_t* error) {
  const size_t first_constant = buffer->constants.count;
  void* place = NULL;
  MLIRAGE_TRY(append(buffer, &buffer->constants, constant_count, sizeof(*constants), &place, error));
  if (constant_count != 0) memcpy(place, constants, constant_count * sizeof(*constants));
  mlirage_command_t* command = NULL;
  MLIRAGE_TRY(append_command(buffer, MLIRAGE_COMMAND_DISPATCH, binding_count, bindings, &command, error));
  mlirage_executable_retain(executable);
  command->executable = executable;
  command->ordinal = (uint32_t)entry_ordinal;
  command->first_constant = first_constant;
  command->constant_count = (uint32_t)constant_count;
  const size_t scratch_size = mlirage_executable_entry(executable, entry_ordinal)->scratch_size;
  if (scratch_size > buffer->scratch_size) buffer->scratch_size = scratch_size;
  *out_command = command;
  return counts != NULL ? append_range(buffer, counts, error) : MLIRAGE_OK;
}

static mlirage_status_t check_dispatch(const mlirage_command_buffer_t* buffer, const mlirage_executable_t* executable,
                                       size_t entry_ordinal, size_t constant_count, size_t binding_count,
                                       const mlirage_slot_range_t* bindings, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  const mlirage_entry_attributes_t* entry = mlirage_executable_entry(executable, entry_ordinal);
  if (entry == NULL) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "executable has %zu entry points, not number %zu",
                        executable->entry_count, entry_ordinal);
  }
  if (entry->constant_count != constant_count || entry->binding_count != binding_count) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "entry point '%s' takes %u constants and %u bindings, got %zu and %zu", entry->name,
                        entry->constant_count, entry->binding_count, constant_count, binding_count);
  }
  for (size_t i = 0; i < binding_count; ++i) MLIRAGE_TRY(check_range(buffer, bindings[i], error));
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_dispatch(mlirage_command_buffer_t* buffer, mlirage_executable_t* executable,
                                                 size_t entry_ordinal, const uint32_t workgroup_count[3],
                                                 size_t constant_count, const uint32_t* constants, size_t binding_count,
                                                 const mlirage_slot_range_t* bindings, mlirage_error_t* error) {
  MLIRAGE_TRY(check_dispatch(buffer, executable, entry_ordinal, constant_count, binding_count, bindings, error));
  uint64_t workgroups = (uint64_t)workgroup_count[0] * workgroup_count[1];
  if (__builtin_mul_overflow(workgroups, (uint64_t)workgroup_count[2], &workgroups)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "entry point '%s': too many workgroups",
                        mlirage_executable_entry(executable, entry_ordinal)->name);
  }
  if (workgroups == 0) return MLIRAGE_OK;
  mlirage_command_t* command = NULL;
  MLIRAGE_TRY(append_dispatch(buffer, executable, entry_ordinal, constant_count, constants, binding_count, bindings,
                              NULL, &command, error));
  command->workgroups = workgroups;
  for (size_t i = 0; i < 3; ++i) command->workgroup_count[i] = workgroup_count[i];
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_dispatch_indirect(mlirage_command_buffer_t* buffer,
                                                          mlirage_executable_t* executable, size_t entry_ordinal,
                                                          mlirage_slot_range_t workgroup_count, size_t constant_count,
                                                          const uint32_t* constants, size_t binding_count,
                                                          const mlirage_slot_range_t* bindings,
                                                          mlirage_error_t* error) {
  MLIRAGE_TRY(check_dispatch(buffer, executable, entry_ordinal, constant_count, binding_count, bindings, error));
  MLIRAGE_TRY(check_range(buffer, workgroup_count, error));
  if (workgroup_count.length != 3 * sizeof(uint32_t)) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "workgroup counts are 12 bytes, not %zu",
                        workgroup_count.length);
  }
  mlirage_command_t* command = NULL;
  MLIRAGE_TRY(append_dispatch(buffer, executable, entry_ordinal, constant_count, constants, binding_count, bindings,
                              &workgroup_count, &command, error));
  command->indirect = ++buffer->indirect_count;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_finalize(mlirage_command_buffer_t* buffer, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  // The end of the last wave, which is the barrier that closes it.
  MLIRAGE_TRY(mlirage_command_buffer_barrier(buffer, error));
  buffer->state = MLIRAGE_COMMANDS_FINISHED;
  return MLIRAGE_OK;
}

//===--- Nested -----------------------------------------------------------------===

// Records |command| of |nested| again, with its slots replaced.
static mlirage_status_t append_nested(mlirage_command_buffer_t* buffer, const mlirage_command_buffer_t* nested,
                                      const mlirage_command_t* command, const mlirage_slot_range_t* slots,
                                      mlirage_error_t* error) {
  const size_t range_count = command->range_count + (command->indirect != 0 ? 1u : 0u);
  const size_t first_byte = buffer->bytes.count;
  const size_t first_constant = buffer->constants.count;
  const size_t length =
      command->kind == MLIRAGE_COMMAND_UPDATE ? ((const size_t*)nested->lengths.data)[command->first_range] : 0;
  void* place = NULL;
  MLIRAGE_TRY(append(buffer, &buffer->bytes, length, 1, &place, error));
  if (length != 0) memcpy(place, (const uint8_t*)nested->bytes.data + command->first_byte, length);
  MLIRAGE_TRY(append(buffer, &buffer->constants, command->constant_count, sizeof(uint32_t), &place, error));
  if (command->constant_count != 0) {
    memcpy(place, (const uint32_t*)nested->constants.data + command->first_constant,
           command->constant_count * sizeof(uint32_t));
  }
  mlirage_command_t* copy = NULL;
  MLIRAGE_TRY(append_command(buffer, command->kind, 0, NULL, &copy, error));
  const size_t first_range = copy->first_range;
  *copy = *command;
  copy->first_range = first_range;
  copy->first_constant = first_constant;
  copy->first_byte = first_byte;
  if (command->indirect != 0) copy->indirect = ++buffer->indirect_count;
  mlirage_executable_retain(copy->executable);
  for (size_t i = 0; i < range_count; ++i) {
    mlirage_slot_range_t range = ((const mlirage_slot_range_t*)nested->ranges.data)[command->first_range + i];
    range.offset += slots[range.slot].offset;  // fits: the slot's extent does
    range.slot = slots[range.slot].slot;
    MLIRAGE_TRY(append_range(buffer, &range, error));
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_command_buffer_execute(mlirage_command_buffer_t* buffer,
                                                const mlirage_command_buffer_t* nested, size_t slot_count,
                                                const mlirage_slot_range_t* slots, mlirage_error_t* error) {
  MLIRAGE_TRY(check_recording(buffer, error));
  if (nested->device != buffer->device || nested->one_shot ||
      __atomic_load_n(&nested->state, __ATOMIC_ACQUIRE) != MLIRAGE_COMMANDS_FINISHED) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "a nested command buffer must be of the same device, finalized and not one-shot");
  }
  if (slot_count != nested->binding_capacity) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "the nested command buffer takes %zu bindings, got %zu",
                        nested->binding_capacity, slot_count);
  }
  for (size_t i = 0; i < slot_count; ++i) {
    MLIRAGE_TRY(check_range(buffer, slots[i], error));
    if (nested->slot_extents[i] > slots[i].length) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "binding %zu: nested commands use %zu bytes, the range has %zu",
                          i, nested->slot_extents[i], slots[i].length);
    }
  }
  const size_t* waves = nested->waves.data;
  for (size_t w = 0; w + 1 < nested->waves.count; ++w) {
    if (w != 0) MLIRAGE_TRY(mlirage_command_buffer_barrier(buffer, error));
    for (size_t i = waves[w]; i < waves[w + 1]; ++i) {
      MLIRAGE_TRY(append_nested(buffer, nested, &mlirage_commands(nested)[i], slots, error));
    }
  }
  if (nested->scratch_size > buffer->scratch_size) buffer->scratch_size = nested->scratch_size;
  return MLIRAGE_OK;
}
