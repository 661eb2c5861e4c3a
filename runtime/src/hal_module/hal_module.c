// The native VM module `hal`: checks what programs pass and calls the hardware
// abstraction. A function per op of mlirage/hal/dialect.py, in its order; operands
// and results are documented there.
#include "mlirage/hal_module.h"

#include "base/memory.h"
#include "hal_module/arguments.h"

struct mlirage_hal_module_t {
  mlirage_allocator_t allocator;
  // Room for one call's bindings or constants, grown as needed: a context runs one
  // call at a time.
  void* scratch;
  size_t scratch_size;
  mlirage_parameters_t* parameters;  // NULL: none
  size_t device_count;
  mlirage_device_t* devices[];
};

//===--------------------------------------------------------------------------===
// Arguments
//===--------------------------------------------------------------------------===

// Number of bytes of a scalar access: 1, 2, 4 or 8.
static mlirage_status_t to_access_length(const mlirage_vm_call_t* call, uint64_t value, size_t* out_length) {
  const uint32_t length = (uint32_t)value;
  *out_length = length;
  if (length == 1 || length == 2 || length == 4 || length == 8) return MLIRAGE_OK;
  return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "length of %u is not 1, 2, 4 or 8", length);
}

// Work that waits for itself would never start, and keep everything that it uses.
static mlirage_status_t check_fences(const mlirage_vm_call_t* call, const mlirage_fence_t* wait,
                                     const mlirage_fence_t* signal) {
  if (wait == NULL || wait != signal) return MLIRAGE_OK;
  return mlirage_fail(call->error, MLIRAGE_INVALID_ARGUMENT, "wait and signal are the same fence");
}

// Scratch memory of |count| elements of |size|.
static mlirage_status_t take_scratch(const mlirage_vm_call_t* call, size_t count, size_t size, void** out_memory) {
  mlirage_hal_module_t* module = call->self;
  const size_t needed = count * size;  // counts are 16 bits
  if (needed > module->scratch_size) {
    if (mlirage_reallocate(module->allocator, module->scratch_size, needed, &module->scratch) != MLIRAGE_OK) {
      return mlirage_fail(call->error, MLIRAGE_OUT_OF_MEMORY, "no memory for the arguments of a call");
    }
    module->scratch_size = needed;
  }
  *out_memory = module->scratch;
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Devices and executables
//===--------------------------------------------------------------------------===

static mlirage_status_t device_get(mlirage_vm_call_t* call) {
  const mlirage_hal_module_t* module = call->self;
  const uint64_t ordinal = call->scalars[0];
  if (ordinal >= module->device_count) {
    return mlirage_fail(call->error, MLIRAGE_NOT_FOUND, "device %lld is needed, but there are %zu", (long long)ordinal,
                        module->device_count);
  }
  mlirage_device_retain(module->devices[ordinal]);
  call->ref_results[0] = module->devices[ordinal];
  return MLIRAGE_OK;
}

static mlirage_status_t device_supports(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  REF(rodata, format, 1);
  mlirage_string_t text = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, format, "format", &text));
  call->scalar_results[0] = mlirage_device_supports(device, text);
  return MLIRAGE_OK;
}

static mlirage_status_t executable_create(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  REF(rodata, format, 1);
  REF(rodata, data, 2);
  mlirage_string_t text = {NULL, 0};
  mlirage_bytes_t bytes = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, format, "format", &text));
  MLIRAGE_TRY(mlirage_argument_bytes(call, data, "data", &bytes));
  mlirage_executable_t* executable = NULL;
  MLIRAGE_TRY(mlirage_executable_create(device, text, bytes, &executable, call->error));
  call->ref_results[0] = executable;
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Memory
//===--------------------------------------------------------------------------===

static void release_owner(void* owner, mlirage_mutable_bytes_t memory) {
  (void)memory;
  mlirage_object_release(owner);
}

// A splat is expanded here, in memory of the device, and nowhere else.
static mlirage_status_t import_splat(const mlirage_vm_call_t* call, mlirage_device_t* device,
                                     const mlirage_rodata_t* source, size_t offset, size_t length,
                                     mlirage_buffer_t** out_buffer) {
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(device, length, &buffer, call->error));
  mlirage_mutable_bytes_t memory = {NULL, 0};
  mlirage_status_t status = mlirage_buffer_map(buffer, MLIRAGE_MAP_DISCARD, 0, length, &memory, call->error);
  if (status == MLIRAGE_OK) {
    mlirage_rodata_read(source, offset, length, memory.data);
    status = mlirage_buffer_unmap(buffer, memory, call->error);
  }
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(buffer);
    return status;
  }
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t allocator_import(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  REF(rodata, source, 1);
  SIZE(offset, 0);
  SIZE(length, 1);
  if (!mlirage_range_fits(offset, length, source->length)) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "range [%zu, +%zu) of %zu bytes of read-only data", offset,
                        length, source->length);
  }
  mlirage_buffer_t* buffer = NULL;
  if (source->pattern_length != 0) {
    MLIRAGE_TRY(import_splat(call, device, source, offset, length, &buffer));
  } else {
    // Programs do not write to constants; the interface has no other word for it.
    uint8_t* data = (uint8_t*)(uintptr_t)(source->data + offset);
    const mlirage_release_callback_t release = {release_owner, source->owner};
    mlirage_object_retain(source->owner);
    const mlirage_status_t status =
        mlirage_buffer_import(device, (mlirage_mutable_bytes_t){data, length}, release, &buffer, call->error);
    if (status != MLIRAGE_OK) {
      mlirage_object_release(source->owner);
      return status;
    }
  }
  call->ref_results[0] = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t parameter_load(mlirage_vm_call_t* call) {
  const mlirage_hal_module_t* module = call->self;
  REF(device, device, 0);
  REF(rodata, program, 1);
  REF(rodata, scope, 2);
  mlirage_string_t program_text = {NULL, 0}, scope_text = {NULL, 0};
  MLIRAGE_TRY(mlirage_argument_string(call, program, "program", &program_text));
  MLIRAGE_TRY(mlirage_argument_string(call, scope, "scope", &scope_text));
  SIZE(size, 0);
  MLIRAGE_TRY(mlirage_argument_groups(call, 0, "a table of parameters: keys, offsets, lengths"));
  const size_t count = call->group_counts[0];
  void* memory = NULL;
  MLIRAGE_TRY(take_scratch(call, count, sizeof(mlirage_parameter_place_t), &memory));
  mlirage_parameter_place_t* places = memory;
  for (size_t i = 0; i < count; ++i) {
    REF(rodata, key, 3 + i);
    SIZE(offset, 1 + i);
    SIZE(length, 1 + count + i);
    mlirage_string_t key_text = {NULL, 0};
    MLIRAGE_TRY(mlirage_argument_string(call, key, "key", &key_text));
    places[i] = (mlirage_parameter_place_t){key_text, offset, length};
  }
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_parameters_load(module->parameters, device, program_text, scope_text, size, count, places,
                                      &buffer, call->error));
  call->ref_results[0] = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t allocator_allocate(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  SIZE(size, 0);
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(device, size, &buffer, call->error));
  call->ref_results[0] = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t device_queue_alloca(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  OPTIONAL_REF(fence, wait, 1);
  OPTIONAL_REF(fence, signal, 2);
  MLIRAGE_TRY(check_fences(call, wait, signal));
  SIZE(size, 0);
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_queue_alloca(device, wait, signal, size, &buffer, call->error));
  call->ref_results[0] = buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t device_queue_dealloca(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  OPTIONAL_REF(fence, wait, 1);
  OPTIONAL_REF(fence, signal, 2);
  MLIRAGE_TRY(check_fences(call, wait, signal));
  REF(buffer, buffer, 3);
  return mlirage_queue_dealloca(device, wait, signal, buffer, call->error);
}

static mlirage_status_t queue_commands(mlirage_vm_call_t* call, mlirage_queue_flags_t flags) {
  REF(device, device, 0);
  OPTIONAL_REF(fence, wait, 1);
  OPTIONAL_REF(fence, signal, 2);
  MLIRAGE_TRY(check_fences(call, wait, signal));
  REF(command_buffer, command_buffer, 3);
  MLIRAGE_TRY(mlirage_argument_groups(call, 0, "a binding table: buffers, offsets, lengths"));
  const size_t count = call->group_counts[0];
  void* memory = NULL;
  MLIRAGE_TRY(take_scratch(call, count, sizeof(mlirage_binding_t), &memory));
  mlirage_binding_t* bindings = memory;
  for (size_t i = 0; i < count; ++i) {
    OPTIONAL_REF(buffer, buffer, 4 + i);
    SIZE(offset, i);
    SIZE(length, count + i);
    bindings[i] = (mlirage_binding_t){buffer, offset, length};
  }
  return mlirage_queue_execute(device, wait, signal, command_buffer, count, bindings, flags, call->error);
}

static mlirage_status_t device_queue_execute(mlirage_vm_call_t* call) {
  return queue_commands(call, MLIRAGE_QUEUE_DEFAULT);
}

static mlirage_status_t device_queue_submit(mlirage_vm_call_t* call) {
  return queue_commands(call, MLIRAGE_QUEUE_ASYNC);
}

static mlirage_status_t device_queue_barrier(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  OPTIONAL_REF(fence, wait, 1);
  OPTIONAL_REF(fence, signal, 2);
  if (signal == NULL) return MLIRAGE_OK;
  MLIRAGE_TRY(check_fences(call, wait, signal));
  // The promise of an allocation of nothing.
  mlirage_buffer_t* nothing = NULL;
  MLIRAGE_TRY(mlirage_queue_alloca(device, wait, signal, 0, &nothing, call->error));
  mlirage_buffer_release(nothing);
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Fences
//===--------------------------------------------------------------------------===

static mlirage_status_t fence_create(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  mlirage_fence_t* fence = NULL;
  MLIRAGE_TRY(mlirage_fence_create(device, &fence, call->error));
  call->ref_results[0] = fence;
  return MLIRAGE_OK;
}

static mlirage_status_t fence_join(mlirage_vm_call_t* call) {
  const size_t count = call->group_counts[0];
  void* memory = NULL;
  MLIRAGE_TRY(take_scratch(call, count, sizeof(mlirage_fence_t*), &memory));
  mlirage_fence_t** fences = memory;
  for (size_t i = 0; i < count; ++i) {
    OPTIONAL_REF(fence, fence, i);
    fences[i] = fence;
  }
  mlirage_fence_t* joined = NULL;
  MLIRAGE_TRY(mlirage_fence_join(count, fences, &joined, call->error));
  call->ref_results[0] = joined;
  return MLIRAGE_OK;
}

static mlirage_status_t fence_await(mlirage_vm_call_t* call) {
  OPTIONAL_REF(fence, fence, 0);
  if (!call->can_suspend) return mlirage_fence_wait(fence, MLIRAGE_WAIT_FOREVER, call->error);
  const mlirage_status_t status = mlirage_fence_query(fence, call->error);
  if (status == MLIRAGE_PENDING) {
    mlirage_fence_retain(fence);
    call->pending = fence;
  }
  return status;
}

//===--------------------------------------------------------------------------===
// Command buffers
//===--------------------------------------------------------------------------===

static mlirage_status_t command_buffer_create(mlirage_vm_call_t* call) {
  REF(device, device, 0);
  const bool one_shot = (uint32_t)call->scalars[0] != 0;
  const size_t binding_capacity = (uint32_t)call->scalars[1];
  if (binding_capacity > UINT16_MAX) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "binding_capacity of %zu is too large", binding_capacity);
  }
  mlirage_command_buffer_t* command_buffer = NULL;
  MLIRAGE_TRY(mlirage_command_buffer_create(device, one_shot, binding_capacity, &command_buffer, call->error));
  call->ref_results[0] = command_buffer;
  return MLIRAGE_OK;
}

static mlirage_status_t command_buffer_finalize(mlirage_vm_call_t* call) {
  REF(command_buffer, command_buffer, 0);
  return mlirage_command_buffer_finalize(command_buffer, call->error);
}

static mlirage_status_t command_buffer_execution_barrier(mlirage_vm_call_t* call) {
  REF(command_buffer, command_buffer, 0);
  return mlirage_command_buffer_barrier(command_buffer, call->error);
}

static mlirage_status_t command_buffer_fill_buffer(mlirage_vm_call_t* call) {
  REF(command_buffer, command_buffer, 0);
  SIZE(target_offset, 1);
  SIZE(length, 2);
  size_t pattern_length = 0;
  MLIRAGE_TRY(to_access_length(call, call->scalars[4], &pattern_length));
  const mlirage_slot_range_t target = {(uint32_t)call->scalars[0], target_offset, length};
  return mlirage_command_buffer_fill(command_buffer, target, call->scalars[3], pattern_length, call->error);
}

static mlirage_status_t command_buffer_copy_buffer(mlirage_vm_call_t* call) {
  REF(command_buffer, command_buffer, 0);
  SIZE(source_offset, 1);
  SIZE(target_offset, 3);
  SIZE(length, 4);
  const mlirage_slot_range_t source = {(uint32_t)call->scalars[0], source_offset, length};
  const mlirage_slot_range_t target = {(uint32_t)call->scalars[2], target_offset, length};
  return mlirage_command_buffer_copy(command_buffer, source, target, call->error);
}

static mlirage_status_t command_buffer_dispatch(mlirage_vm_call_t* call) {
  REF(command_buffer, command_buffer, 0);
  REF(executable, executable, 1);
  const size_t entry_ordinal = (uint32_t)call->scalars[0];
  uint32_t workgroups[3];
  for (size_t i = 0; i < 3; ++i) {
    MLIRAGE_TRY(mlirage_argument_u32(call, call->scalars[1 + i], "workgroup count", &workgroups[i]));
  }
  MLIRAGE_TRY(mlirage_argument_groups(call, 1, "the bindings: slots, offsets, lengths"));
  const size_t constant_count = call->group_counts[0];
  const size_t binding_count = call->group_counts[1];
  void* memory = NULL;
  MLIRAGE_TRY(
      take_scratch(call, 1, binding_count * sizeof(mlirage_slot_range_t) + constant_count * sizeof(uint32_t), &memory));
  mlirage_slot_range_t* bindings = memory;
  uint32_t* constants = (void*)(bindings + binding_count);
  const uint64_t* values = call->scalars + 4;
  for (size_t i = 0; i < constant_count; ++i) constants[i] = (uint32_t)values[i];
  const size_t slots = 4 + constant_count;
  for (size_t i = 0; i < binding_count; ++i) {
    SIZE(offset, slots + binding_count + i);
    SIZE(length, slots + 2 * binding_count + i);
    bindings[i] = (mlirage_slot_range_t){(uint32_t)call->scalars[slots + i], offset, length};
  }
  return mlirage_command_buffer_dispatch(command_buffer, executable, entry_ordinal, workgroups, constant_count,
                                         constants, binding_count, bindings, call->error);
}

//===--------------------------------------------------------------------------===
// Buffers and views
//===--------------------------------------------------------------------------===

static mlirage_status_t buffer_length(mlirage_vm_call_t* call) {
  REF(buffer, buffer, 0);
  call->scalar_results[0] = mlirage_buffer_length(buffer);
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_subspan(mlirage_vm_call_t* call) {
  REF(buffer, buffer, 0);
  SIZE(offset, 0);
  SIZE(length, 1);
  mlirage_buffer_t* range = NULL;
  MLIRAGE_TRY(mlirage_buffer_subspan(buffer, offset, length, &range, call->error));
  call->ref_results[0] = range;
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_load(mlirage_vm_call_t* call) {
  REF(buffer, buffer, 0);
  SIZE(offset, 0);
  size_t length = 0;
  MLIRAGE_TRY(to_access_length(call, call->scalars[1], &length));
  uint64_t value = 0;
  MLIRAGE_TRY(mlirage_buffer_read(buffer, offset, &value, length, call->error));
  call->scalar_results[0] = value;
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_store(mlirage_vm_call_t* call) {
  REF(buffer, buffer, 0);
  SIZE(offset, 1);
  size_t length = 0;
  MLIRAGE_TRY(to_access_length(call, call->scalars[2], &length));
  return mlirage_buffer_write(buffer, offset, &call->scalars[0], length, call->error);
}

static mlirage_status_t buffer_view_create(mlirage_vm_call_t* call) {
  REF(buffer, buffer, 0);
  SIZE(offset, 0);
  SIZE(length, 1);
  int64_t extents[MLIRAGE_MAX_RANK];
  size_t shape[MLIRAGE_MAX_RANK];
  const size_t rank = call->group_counts[0];
  MLIRAGE_TRY(mlirage_argument_shape(call, call->scalars + 3, rank, extents));
  for (size_t i = 0; i < rank; ++i) MLIRAGE_TRY(mlirage_argument_size(call, (uint64_t)extents[i], "extent", &shape[i]));
  mlirage_buffer_view_t* view = NULL;
  MLIRAGE_TRY(
      mlirage_buffer_view_create(buffer, offset, length, (uint32_t)call->scalars[2], rank, shape, &view, call->error));
  call->ref_results[0] = view;
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_view_buffer(mlirage_vm_call_t* call) {
  REF(buffer_view, view, 0);
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  mlirage_buffer_retain(buffer);
  call->ref_results[0] = buffer;
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// The module
//===--------------------------------------------------------------------------===

// Conventions are made from the ops by mlirage/vm/convert_hal.py; a test compares.
static const mlirage_vm_native_export_t exports[] = {
    {"device_get", "I_r", device_get},
    {"device_supports", "rr_i", device_supports},
    {"executable_create", "rrr_r", executable_create},
    {"allocator_import", "rrII_r", allocator_import},
    {"parameter_load", "rrrI[r][I][I]_r", parameter_load},
    {"allocator_allocate", "rI_r", allocator_allocate},
    {"device_queue_alloca", "rrrI_r", device_queue_alloca},
    {"device_queue_dealloca", "rrrr_", device_queue_dealloca},
    {"device_queue_execute", "rrrr[r][I][I]_", device_queue_execute},
    {"device_queue_submit", "rrrr[r][I][I]_", device_queue_submit},
    {"device_queue_barrier", "rrr_", device_queue_barrier},
    {"fence_create", "r_r", fence_create},
    {"fence_join", "[r]_r", fence_join},
    {"fence_await", "r_", fence_await},
    {"command_buffer_create", "rii_r", command_buffer_create},
    {"command_buffer_finalize", "r_", command_buffer_finalize},
    {"command_buffer_execution_barrier", "r_", command_buffer_execution_barrier},
    {"command_buffer_fill_buffer", "riIIIi_", command_buffer_fill_buffer},
    {"command_buffer_copy_buffer", "riIiII_", command_buffer_copy_buffer},
    {"command_buffer_dispatch", "rriIII[i][i][I][I]_", command_buffer_dispatch},
    {"buffer_length", "r_I", buffer_length},
    {"buffer_subspan", "rII_r", buffer_subspan},
    {"buffer_load", "rIi_I", buffer_load},
    {"buffer_store", "IrIi_", buffer_store},
    {"buffer_view_create", "rIIi[I]_r", buffer_view_create},
    {"buffer_view_assert", "rri[I]_", mlirage_module_buffer_view_assert},
    {"buffer_view_assert_distinct", "rr[r]_", mlirage_module_buffer_view_assert_distinct},
    {"buffer_view_buffer", "r_r", buffer_view_buffer},
    {"buffer_view_dim", "ri_I", mlirage_module_buffer_view_dim},
};

mlirage_status_t mlirage_hal_module_create(mlirage_allocator_t allocator, mlirage_device_t* const* devices,
                                           size_t device_count, mlirage_hal_module_t** out_module) {
  *out_module = NULL;
  size_t devices_size = 0, size = 0;
  if (!mlirage_checked_mul(device_count, sizeof(*devices), &devices_size) ||
      !mlirage_checked_add(sizeof(mlirage_hal_module_t), devices_size, &size)) {
    return MLIRAGE_OUT_OF_MEMORY;
  }
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(allocator, size, &block));
  mlirage_hal_module_t* module = block;
  module->allocator = allocator;
  module->device_count = device_count;
  for (size_t i = 0; i < device_count; ++i) {
    mlirage_device_retain(devices[i]);
    module->devices[i] = devices[i];
  }
  *out_module = module;
  return MLIRAGE_OK;
}

void mlirage_hal_module_set_parameters(mlirage_hal_module_t* module, mlirage_parameters_t* parameters) {
  mlirage_parameters_retain(parameters);
  mlirage_parameters_release(module->parameters);
  module->parameters = parameters;
}

void mlirage_hal_module_release(mlirage_hal_module_t* module) {
  if (module == NULL) return;
  for (size_t i = 0; i < module->device_count; ++i) mlirage_device_release(module->devices[i]);
  mlirage_parameters_release(module->parameters);
  mlirage_free(module->allocator, module->scratch, module->scratch_size);
  mlirage_free(module->allocator, module, sizeof(*module) + module->device_count * sizeof(*module->devices));
}

mlirage_vm_native_module_t mlirage_hal_module_functions(mlirage_hal_module_t* module) {
  return (mlirage_vm_native_module_t){
      .name = "hal",
      .version = 1,
      .export_count = sizeof(exports) / sizeof(*exports),
      .exports = exports,
      .self = module,
  };
}
