// The native VM module `hal_inline`: host memory from a device's pool, and buffer views.
// A function per op of mlirage/hal/inline_dialect.py, in its order.
#include "mlirage/hal_inline_module.h"

#include "base/memory.h"
#include "hal/buffer.h"
#include "hal_module/arguments.h"

struct mlirage_hal_inline_module_t {
  mlirage_allocator_t allocator;
  mlirage_device_t* device;
  mlirage_parameters_t* parameters;  // NULL: none
};

//===--------------------------------------------------------------------------===
// Memory: a !util.buffer whose owner is a buffer of the device
//===--------------------------------------------------------------------------===

// Frees cells: |self| is the device, retained by each of them.
static void* release_cell(void* self, void* block, size_t old_size, size_t new_size) {
  mlirage_device_t* device = self;
  if (new_size != 0) return NULL;  // never asked for
  mlirage_pool_cell_release(&device->pool, block, old_size);
  mlirage_device_release(device);
  return NULL;
}

// The memory of |buffer| (taken over in every case) as the first result of |call|.
static mlirage_status_t return_memory(mlirage_vm_call_t* call, mlirage_buffer_t* buffer) {
  mlirage_device_t* device = mlirage_buffer_device(buffer);
  uint8_t* host = NULL;
  void* cell = NULL;
  mlirage_status_t status = mlirage_buffer_host(buffer, &host, call->error);
  if (status == MLIRAGE_OK) {
    status = mlirage_pool_cell_acquire(&device->pool, sizeof(mlirage_vm_buffer_t), &cell);
    if (status != MLIRAGE_OK) mlirage_fail(call->error, status, "no memory for a buffer object");
  }
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(buffer);
    return status;
  }
  mlirage_vm_buffer_t* memory = cell;
  mlirage_vm_buffer_borrow((mlirage_mutable_bytes_t){host, mlirage_buffer_length(buffer)}, memory);
  mlirage_device_retain(device);
  memory->owner = (mlirage_object_t*)buffer;
  memory->block_size = sizeof(*memory);
  memory->allocator = (mlirage_allocator_t){device, release_cell};
  call->ref_results[0] = memory;
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_allocate(mlirage_vm_call_t* call) {
  const mlirage_hal_inline_module_t* module = call->self;
  SIZE(size, 0);
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(module->device, size, &buffer, call->error));
  return return_memory(call, buffer);
}

static mlirage_status_t take_key(const mlirage_vm_call_t* call, size_t index, const char* name,
                                 mlirage_string_t* out_text) {
  mlirage_rodata_t* rodata = call->refs[index];
  MLIRAGE_TRY(mlirage_vm_check_ref(rodata, &mlirage_rodata_type, name, call->error));
  return mlirage_argument_string(call, rodata, name, out_text);
}

static mlirage_status_t parameter_load(mlirage_vm_call_t* call) {
  const mlirage_hal_inline_module_t* module = call->self;
  mlirage_string_t program = {NULL, 0}, scope = {NULL, 0};
  MLIRAGE_TRY(take_key(call, 0, "program", &program));
  MLIRAGE_TRY(take_key(call, 1, "scope", &scope));
  SIZE(size, 0);
  MLIRAGE_TRY(mlirage_argument_groups(call, 0, "a table of parameters: keys, offsets, lengths"));
  const size_t count = call->group_counts[0];
  const size_t places_size = count * sizeof(mlirage_parameter_place_t);  // counts are 16 bits
  void* block = NULL;
  if (count != 0 && mlirage_allocate(module->allocator, places_size, &block) != MLIRAGE_OK) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_MEMORY, "no memory for %zu names of parameters", count);
  }
  mlirage_parameter_place_t* places = block;
  mlirage_status_t status = MLIRAGE_OK;
  for (size_t i = 0; i < count && status == MLIRAGE_OK; ++i) {
    status = take_key(call, 2 + i, "key", &places[i].key);
    if (status == MLIRAGE_OK) {
      status = mlirage_argument_size(call, call->scalars[1 + i], "offset", &places[i].offset);
    }
    if (status == MLIRAGE_OK) {
      status = mlirage_argument_size(call, call->scalars[1 + count + i], "length", &places[i].length);
    }
  }
  mlirage_buffer_t* buffer = NULL;
  if (status == MLIRAGE_OK) {
    status = mlirage_parameters_load(module->parameters, module->device, program, scope, size, count, places, &buffer,
                                     call->error);
  }
  mlirage_free(module->allocator, block, places_size);
  return status == MLIRAGE_OK ? return_memory(call, buffer) : status;
}

//===--------------------------------------------------------------------------===
// Views
//===--------------------------------------------------------------------------===

// The device's buffer behind |memory|, or a new one with a copy of it: memory of the
// virtual machine's own, and read-only data. |*offset| is moved to where |memory| starts.
static mlirage_status_t to_buffer(const mlirage_vm_call_t* call, void* memory, size_t* offset, size_t length,
                                  mlirage_buffer_t** out_buffer) {
  const mlirage_hal_inline_module_t* module = call->self;
  mlirage_bytes_t bytes = {NULL, 0};
  MLIRAGE_TRY(mlirage_vm_buffer_read(memory, "buffer", &bytes, call->error));
  const mlirage_object_t* object = memory;
  const mlirage_vm_buffer_t* buffer = object->type == &mlirage_vm_buffer_type ? memory : NULL;
  if (buffer != NULL && buffer->owner != NULL && buffer->owner->type == &mlirage_buffer_type) {
    mlirage_buffer_t* owner = (mlirage_buffer_t*)(void*)buffer->owner;
    uint8_t* host = NULL;
    MLIRAGE_TRY(mlirage_buffer_host(owner, &host, call->error));
    if (bytes.size != 0 && !mlirage_checked_add(*offset, (size_t)(bytes.data - host), offset)) {
      return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "offset of %zu is no size", *offset);
    }
    mlirage_buffer_retain(owner);
    *out_buffer = owner;
    return MLIRAGE_OK;
  }
  if (!mlirage_range_fits(*offset, length, bytes.size)) {
    return mlirage_fail(call->error, MLIRAGE_OUT_OF_RANGE, "range of %zu bytes at %zu is outside of %zu bytes", length,
                        *offset, bytes.size);
  }
  mlirage_buffer_t* copy = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(module->device, length, &copy, call->error));
  const mlirage_status_t status =
      length == 0 ? MLIRAGE_OK : mlirage_buffer_write(copy, 0, bytes.data + *offset, length, call->error);
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(copy);
    return status;
  }
  *offset = 0;
  *out_buffer = copy;
  return MLIRAGE_OK;
}

static mlirage_status_t buffer_view_create(mlirage_vm_call_t* call) {
  SIZE(offset, 0);
  SIZE(length, 1);
  int64_t extents[MLIRAGE_MAX_RANK];
  size_t shape[MLIRAGE_MAX_RANK];
  const size_t rank = call->group_counts[0];
  MLIRAGE_TRY(mlirage_argument_shape(call, call->scalars + 3, rank, extents));
  for (size_t i = 0; i < rank; ++i) {
    MLIRAGE_TRY(mlirage_argument_size(call, (uint64_t)extents[i], "extent", &shape[i]));
  }
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(to_buffer(call, call->refs[0], &offset, length, &buffer));
  mlirage_buffer_view_t* view = NULL;
  const mlirage_status_t status =
      mlirage_buffer_view_create(buffer, offset, length, (uint32_t)call->scalars[2], rank, shape, &view, call->error);
  mlirage_buffer_release(buffer);
  call->ref_results[0] = view;
  return status;
}

static mlirage_status_t buffer_view_buffer(mlirage_vm_call_t* call) {
  REF(buffer_view, view, 0);
  mlirage_buffer_t* buffer = mlirage_buffer_view_buffer(view);
  mlirage_buffer_retain(buffer);
  return return_memory(call, buffer);
}

//===--------------------------------------------------------------------------===
// The module
//===--------------------------------------------------------------------------===

// Conventions are made from the ops by mlirage/vm/convert_hal.py; a test compares.
static const mlirage_vm_native_export_t exports[] = {
    {"buffer_allocate", "I_r", buffer_allocate},
    {"parameter_load", "rrI[r][I][I]_r", parameter_load},
    {"buffer_view_create", "rIIi[I]_r", buffer_view_create},
    {"buffer_view_assert", "rri[I]_", mlirage_module_buffer_view_assert},
    {"buffer_view_assert_distinct", "rr[r]_", mlirage_module_buffer_view_assert_distinct},
    {"buffer_view_buffer", "r_r", buffer_view_buffer},
    {"buffer_view_dim", "ri_I", mlirage_module_buffer_view_dim},
};

mlirage_status_t mlirage_hal_inline_module_create(mlirage_allocator_t allocator, mlirage_device_t* device,
                                                  mlirage_hal_inline_module_t** out_module) {
  *out_module = NULL;
  void* block = NULL;
  MLIRAGE_TRY(mlirage_allocate(allocator, sizeof(mlirage_hal_inline_module_t), &block));
  mlirage_hal_inline_module_t* module = block;
  module->allocator = allocator;
  mlirage_device_retain(device);
  module->device = device;
  *out_module = module;
  return MLIRAGE_OK;
}

void mlirage_hal_inline_module_set_parameters(mlirage_hal_inline_module_t* module, mlirage_parameters_t* parameters) {
  mlirage_parameters_retain(parameters);
  mlirage_parameters_release(module->parameters);
  module->parameters = parameters;
}

void mlirage_hal_inline_module_release(mlirage_hal_inline_module_t* module) {
  if (module == NULL) return;
  mlirage_parameters_release(module->parameters);
  mlirage_device_release(module->device);
  mlirage_free(module->allocator, module, sizeof(*module));
}

mlirage_vm_native_module_t mlirage_hal_inline_module_functions(mlirage_hal_inline_module_t* module) {
  return (mlirage_vm_native_module_t){
      .name = "hal_inline",
      .version = 1,
      .export_count = sizeof(exports) / sizeof(*exports),
      .exports = exports,
      .self = module,
  };
}
