#include "hal_loader_module/dispatch.h"

#include "base/memory.h"
#include "hal_module/arguments.h"

#define ALIGNMENT ((size_t)64)

void mlirage_dispatch_memory_free(mlirage_dispatch_memory_t* memory) {
  mlirage_free(memory->allocator, memory->block, memory->size);
  memory->block = NULL;
  memory->size = 0;
}

// What an entry point is given, in one block: pointers, lengths, constants, scratch.
typedef struct layout_t {
  void** pointers;
  size_t* lengths;
  uint32_t* constants;
  void* scratch;
} layout_t;

static mlirage_status_t lay_out(const mlirage_vm_call_t* call, mlirage_dispatch_memory_t* memory,
                                const mlirage_entry_attributes_t* entry, layout_t* out_layout) {
  // Counts are 16 bits: only the scratch size can be too much.
  const size_t lengths_at = entry->binding_count * sizeof(void*);
  const size_t constants_at = lengths_at + entry->binding_count * sizeof(size_t);
  const size_t scratch_at = constants_at + entry->constant_count * sizeof(uint32_t);
  size_t needed = 0;
  if (!mlirage_checked_add(scratch_at + ALIGNMENT, entry->scratch_size, &needed)) return MLIRAGE_OUT_OF_MEMORY;
  if (needed > memory->size) {
    if (mlirage_reallocate(memory->allocator, memory->size, needed, &memory->block) != MLIRAGE_OK) {
      return mlirage_fail(call->error, MLIRAGE_OUT_OF_MEMORY, "no memory for a dispatch of '%s'", entry->name);
    }
    memory->size = needed;
  }
  uint8_t* base = memory->block;
  uint8_t* scratch = base + scratch_at;
  scratch += (0u - (uintptr_t)scratch) % ALIGNMENT;
  *out_layout = (layout_t){(void**)(void*)base, (size_t*)(void*)(base + lengths_at),
                           (uint32_t*)(void*)(base + constants_at), scratch};
  return MLIRAGE_OK;
}

static mlirage_status_t take_bindings(const mlirage_vm_call_t* call, size_t first_ref, const uint64_t* offsets,
                                      size_t count, const layout_t* layout) {
  for (size_t i = 0; i < count; ++i) {
    mlirage_bytes_t bytes = {NULL, 0};
    size_t offset = 0, length = 0;
    MLIRAGE_TRY(mlirage_vm_buffer_read(call->refs[first_ref + i], "binding", &bytes, call->error));
    MLIRAGE_TRY(mlirage_argument_size(call, offsets[i], "offset", &offset));
    MLIRAGE_TRY(mlirage_argument_size(call, offsets[count + i], "length", &length));
    if (!mlirage_range_fits(offset, length, bytes.size)) {
      return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE,
                          "binding %zu: range of %zu bytes at %zu is outside of a buffer of %zu bytes", i, length,
                          offset, bytes.size);
    }
    // Kernels write to none but their results; the interface has no other word for it.
    layout->pointers[i] = length == 0 ? NULL : (void*)((uintptr_t)bytes.data + offset);
    layout->lengths[i] = length;
  }
  return MLIRAGE_OK;
}

// Every workgroup, x fastest; stops at the first that fails.
static int32_t run(const mlirage_library_t* library, uint32_t ordinal, const mlirage_dispatch_state_t* dispatch,
                   void* scratch, size_t scratch_length) {
  const mlirage_entry_point_t entry = library->run == NULL ? library->table->entries[ordinal] : NULL;
  mlirage_workgroup_state_t workgroup = {.scratch = scratch, .scratch_length = scratch_length};
  for (uint32_t z = 0; z < dispatch->workgroup_count_z; ++z) {
    for (uint32_t y = 0; y < dispatch->workgroup_count_y; ++y) {
      for (uint32_t x = 0; x < dispatch->workgroup_count_x; ++x) {
        workgroup.workgroup_id_x = x;
        workgroup.workgroup_id_y = y;
        workgroup.workgroup_id_z = z;
        const int32_t code =
            entry != NULL ? entry(dispatch, &workgroup) : library->run(library, ordinal, dispatch, &workgroup);
        if (MLIRAGE_UNLIKELY(code != 0)) return code;
      }
    }
  }
  return 0;
}

mlirage_status_t mlirage_dispatch_inline(const mlirage_vm_call_t* call, size_t first_ref,
                                         const mlirage_library_t* library, mlirage_dispatch_memory_t* memory,
                                         uint64_t* out_workgroups) {
  const uint32_t ordinal = (uint32_t)call->scalars[0];
  if (ordinal >= library->table->entry_count) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "entry point %u of %u", ordinal,
                        library->table->entry_count);
  }
  const mlirage_entry_attributes_t* entry = &library->table->attributes[ordinal];
  const size_t constant_count = call->group_counts[0];
  const size_t binding_count = call->group_counts[1];
  MLIRAGE_TRY(mlirage_argument_groups(call, 1, "the bindings: buffers, offsets, lengths"));
  if (constant_count != entry->constant_count || binding_count != entry->binding_count) {
    return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT,
                        "'%s' takes %u constants and %u bindings, got %zu and %zu", entry->name, entry->constant_count,
                        entry->binding_count, constant_count, binding_count);
  }
  uint32_t counts[3];
  for (size_t i = 0; i < 3; ++i) {
    MLIRAGE_TRY(mlirage_argument_u32(call, call->scalars[1 + i], "workgroup count", &counts[i]));
  }
  layout_t layout = {NULL, NULL, NULL, NULL};
  MLIRAGE_TRY(lay_out(call, memory, entry, &layout));
  for (size_t i = 0; i < constant_count; ++i) layout.constants[i] = (uint32_t)call->scalars[4 + i];
  MLIRAGE_TRY(take_bindings(call, first_ref, call->scalars + 4 + constant_count, binding_count, &layout));
  const mlirage_dispatch_state_t dispatch = {
      .constants = layout.constants,
      .binding_pointers = layout.pointers,
      .binding_lengths = layout.lengths,
      .workgroup_count_x = counts[0],
      .workgroup_count_y = counts[1],
      .workgroup_count_z = counts[2],
      .constant_count = (uint16_t)constant_count,
      .binding_count = (uint16_t)binding_count,
  };
  const int32_t code = run(library, ordinal, &dispatch, layout.scratch, entry->scratch_size);
  if (code != 0) {
    return mlirage_fail(call->error, MLIRAGE_ABORTED, "dispatch '%s' failed with code %d", entry->name, code);
  }
  *out_workgroups = (uint64_t)counts[0] * counts[1] * counts[2];
  return MLIRAGE_OK;
}
