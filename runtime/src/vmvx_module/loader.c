// Loads executables that are modules of the virtual machine: kernels for every machine
// that runs this runtime. An export is an entry point, its number the ordinal; it takes
// the bindings as buffers, then the dispatch's constants, the workgroup's id and the
// number of workgroups, all i32. Such a module keeps no state: no globals, no
// initializer. Verified like every module, and its kernels touch their bindings only.
//
// A workgroup runs on a stack in the worker's scratch memory, which holds what the
// program allocates too: dispatches allocate nothing while that suffices.
#include "vmvx_module/loader.h"

#include "base/memory.h"
#include "module/format.h"
#include "vm/context.h"
#include "vmvx_module/vmvx_module.h"

#define FORMAT "vmvx-bytecode"
#define ID_AND_COUNT 6u
// Room for the arguments of native functions and for small helpers, beyond the frames.
#define SPARE_STACK ((size_t)4096)
#define MAX_TEMPORARIES ((size_t)1 << 28)

// What a module becomes; everything else lies behind it.
typedef struct vmvx_t {
  mlirage_allocator_t allocator;
  size_t size;  // of the block
  void* copy;   // of the module file
  size_t copy_size;
  mlirage_module_t* module;
  mlirage_vm_context_t* context;
  mlirage_executable_library_t table;
  mlirage_entry_attributes_t* attributes;
  mlirage_vm_function_t* functions;
} vmvx_t;

static void destroy(vmvx_t* vmvx) {
  mlirage_vm_context_release(vmvx->context);
  mlirage_module_release(vmvx->module);
  mlirage_free(vmvx->allocator, vmvx->copy, vmvx->copy_size);
  mlirage_free(vmvx->allocator, vmvx, vmvx->size);
}

static void unload(mlirage_library_t* library) { destroy(library->memory); }

//===--------------------------------------------------------------------------===
// Memory of temporaries: a piece of scratch memory, and the host's when that is full
//===--------------------------------------------------------------------------===

typedef struct arena_t {
  uint8_t* base;
  size_t size;
  size_t used;
  size_t live;  // blocks; without any, everything is free again
  mlirage_allocator_t fallback;
} arena_t;

static bool is_inside(const arena_t* arena, const void* block) {
  const uintptr_t address = (uintptr_t)block;
  return address >= (uintptr_t)arena->base && address < (uintptr_t)arena->base + arena->size;
}

static void* arena_resize(void* self, void* block, size_t old_size, size_t new_size) {
  arena_t* arena = self;
  if (block != NULL && !is_inside(arena, block)) {
    return arena->fallback.resize(arena->fallback.self, block, old_size, new_size);
  }
  void* moved = NULL;
  if (new_size != 0) {
    size_t end = 0;
    if (mlirage_checked_add(arena->used, new_size, &end) && mlirage_checked_align(end, 64, &end) &&
        end <= arena->size) {
      moved = arena->base + arena->used;
      arena->used = end;
      ++arena->live;
    } else {
      moved = arena->fallback.resize(arena->fallback.self, NULL, 0, new_size);
    }
    if (moved == NULL) return NULL;
  }
  if (block != NULL) {
    if (moved != NULL) memcpy(moved, block, old_size < new_size ? old_size : new_size);
    if (--arena->live == 0) arena->used = 0;
  }
  return moved;
}

//===--------------------------------------------------------------------------===
// Running
//===--------------------------------------------------------------------------===

// How a worker's scratch memory is divided for an entry. Everything is aligned to 64.
typedef struct layout_t {
  size_t buffers, refs, scalars, invocation, arena, size;
} layout_t;

static bool append(size_t* at, size_t count, size_t size, size_t* out_offset) {
  size_t bytes = 0;
  *out_offset = *at;
  return mlirage_checked_mul(count, size, &bytes) && mlirage_checked_add(*at, bytes, at) &&
         mlirage_checked_align(*at, 64, at);
}

static bool lay_out(const vmvx_t* vmvx, size_t bindings, size_t constants, size_t temporaries, layout_t* out_layout) {
  size_t at = 0;
  if (!append(&at, bindings, sizeof(mlirage_vm_buffer_t), &out_layout->buffers) ||
      !append(&at, bindings, sizeof(void*), &out_layout->refs) ||
      !append(&at, constants + ID_AND_COUNT, sizeof(uint64_t), &out_layout->scalars) ||
      !append(&at, 1, mlirage_vm_invocation_size(vmvx->context), &out_layout->invocation) ||
      !append(&at, 1, temporaries, &out_layout->arena)) {
    return false;
  }
  out_layout->size = at;
  return at <= UINT32_MAX;
}

static int32_t run(const mlirage_library_t* library, uint32_t ordinal, const mlirage_dispatch_state_t* dispatch,
                   const mlirage_workgroup_state_t* workgroup) {
  const vmvx_t* vmvx = library->memory;
  const mlirage_entry_attributes_t* entry = &vmvx->attributes[ordinal];
  layout_t layout;
  if (dispatch->binding_count != entry->binding_count || dispatch->constant_count != entry->constant_count ||
      workgroup->scratch_length < entry->scratch_size ||
      !lay_out(vmvx, entry->binding_count, entry->constant_count, 0, &layout)) {
    return MLIRAGE_INVALID_ARGUMENT;
  }
  uint8_t* scratch = workgroup->scratch;
  mlirage_vm_buffer_t* buffers = (void*)(scratch + layout.buffers);
  void** refs = (void*)(scratch + layout.refs);
  uint64_t* scalars = (void*)(scratch + layout.scalars);
  for (size_t i = 0; i < entry->binding_count; ++i) {
    const mlirage_mutable_bytes_t bytes = {dispatch->binding_pointers[i], dispatch->binding_lengths[i]};
    mlirage_vm_buffer_borrow(bytes, &buffers[i]);
    refs[i] = &buffers[i];
  }
  for (size_t i = 0; i < entry->constant_count; ++i) scalars[i] = dispatch->constants[i];
  const uint32_t place[ID_AND_COUNT] = {workgroup->workgroup_id_x,   workgroup->workgroup_id_y,
                                        workgroup->workgroup_id_z,   dispatch->workgroup_count_x,
                                        dispatch->workgroup_count_y, dispatch->workgroup_count_z};
  for (size_t i = 0; i < ID_AND_COUNT; ++i) scalars[entry->constant_count + i] = place[i];
  arena_t arena = {
      .base = scratch + layout.arena, .size = entry->scratch_size - layout.arena, .fallback = vmvx->allocator};
  const mlirage_allocator_t allocator = {&arena, arena_resize};
  mlirage_vm_invocation_t* invocation =
      mlirage_vm_invocation_place(vmvx->context, allocator, scratch + layout.invocation);
  return mlirage_vm_invoke(invocation, &vmvx->functions[ordinal], scalars, refs, NULL, NULL, NULL);
}

//===--------------------------------------------------------------------------===
// Loading
//===--------------------------------------------------------------------------===

// Bytes of temporaries: decimal digits, where exports have their signature.
static bool read_size(const char* text, size_t* out_size) {
  *out_size = 0;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9' || *out_size > MAX_TEMPORARIES) return false;
    *out_size = *out_size * 10 + (size_t)(*text - '0');
  }
  return *out_size <= MAX_TEMPORARIES;
}

// "rr…ii…_": references, then i32s, no results.
static bool is_entry_convention(const char* text) {
  while (*text == 'r') ++text;
  while (*text == 'i') ++text;
  return text[0] == '_' && text[1] == '\0';
}

static mlirage_status_t read_entry(vmvx_t* vmvx, size_t ordinal, mlirage_error_t* error) {
  const mlirage_export_t exported = mlirage_module_export(vmvx->module, ordinal);
  mlirage_vm_function_t* function = &vmvx->functions[ordinal];
  MLIRAGE_TRY(mlirage_vm_context_lookup(vmvx->context, 0, exported.name, function, error));
  const mlirage_convention_t shape = function->convention;
  size_t temporaries = 0;
  layout_t layout;
  if (!is_entry_convention(exported.convention) || shape.scalar_argument_count < ID_AND_COUNT ||
      !read_size(exported.signature, &temporaries) ||
      !lay_out(vmvx, shape.ref_argument_count, shape.scalar_argument_count - ID_AND_COUNT, temporaries, &layout)) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "vmvx executable: entry point %zu is malformed", ordinal);
  }
  vmvx->attributes[ordinal] = (mlirage_entry_attributes_t){
      .name = mlirage_module_text(vmvx->module, vmvx->module->functions[function->function].name),
      .constant_count = shape.scalar_argument_count - ID_AND_COUNT,
      .binding_count = shape.ref_argument_count,
      .scratch_size = (uint32_t)layout.size,
  };
  return MLIRAGE_OK;
}

static mlirage_status_t link(vmvx_t* vmvx, uint64_t jump_limit, mlirage_error_t* error) {
  const mlirage_module_t* module = vmvx->module;
  const size_t count = mlirage_module_export_count(module);
  if (module->globals_count != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "vmvx executable: it has state");
  }
  for (size_t i = 0; i < count; ++i) {
    const char* name = mlirage_module_export(module, i).name;
    if (name[0] < '0' || name[0] > '9') {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "vmvx executable: export '%s' is no entry point", name);
    }
  }
  const size_t frame = sizeof(mlirage_vm_frame_t) + (size_t)module->largest_frame_scalars * sizeof(uint64_t) +
                       (size_t)module->largest_frame_refs * sizeof(void*);
  const mlirage_vm_options_t options = {.stack_size = 2 * frame + SPARE_STACK, .jump_limit = jump_limit};
  const mlirage_vm_native_module_t natives = mlirage_vmvx_module_functions();
  MLIRAGE_TRY(
      mlirage_vm_context_create(vmvx->allocator, &options, &natives, 1, &vmvx->module, 1, &vmvx->context, error));
  for (size_t i = 0; i < count; ++i) MLIRAGE_TRY(read_entry(vmvx, i, error));
  vmvx->table = (mlirage_executable_library_t){
      .version = MLIRAGE_EXECUTABLE_VERSION,
      .entry_count = (uint32_t)count,
      .attributes = vmvx->attributes,
  };
  return MLIRAGE_OK;
}

// The module file in memory of its own: |data| is borrowed.
static mlirage_status_t read_module(mlirage_allocator_t allocator, mlirage_bytes_t data, void** out_copy,
                                    size_t* out_size, mlirage_module_t** out_module, mlirage_error_t* error) {
  if (!mlirage_checked_add(data.size, MLIRAGE_MODULE_ALIGNMENT, out_size) ||
      mlirage_allocate(allocator, *out_size, out_copy) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for an executable of %zu bytes", data.size);
  }
  uint8_t* start = *out_copy;
  start += (0u - (uintptr_t)start) % MLIRAGE_MODULE_ALIGNMENT;
  if (data.size != 0) memcpy(start, data.data, data.size);
  const mlirage_module_storage_t storage = {{start, data.size}, NULL, NULL};
  return mlirage_module_create(allocator, storage, MLIRAGE_MODULE_DEFAULT, out_module, error);
}

mlirage_status_t mlirage_vmvx_load(mlirage_allocator_t allocator, uint64_t jump_limit, mlirage_bytes_t data,
                                   mlirage_library_t* out_library, mlirage_error_t* error) {
  void* copy = NULL;
  size_t copy_size = 0;
  mlirage_module_t* module = NULL;
  mlirage_status_t status = read_module(allocator, data, &copy, &copy_size, &module, error);
  const size_t count = module == NULL ? 0 : mlirage_module_export_count(module);
  const size_t size = sizeof(vmvx_t) + count * (sizeof(mlirage_vm_function_t) + sizeof(mlirage_entry_attributes_t));
  void* block = NULL;
  if (status == MLIRAGE_OK && mlirage_allocate(allocator, size, &block) != MLIRAGE_OK) {
    status = mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for an executable");
  }
  if (status != MLIRAGE_OK) {
    mlirage_module_release(module);
    mlirage_free(allocator, copy, copy_size);
    return status;
  }
  vmvx_t* vmvx = block;
  vmvx->allocator = allocator;
  vmvx->size = size;
  vmvx->copy = copy;
  vmvx->copy_size = copy_size;
  vmvx->module = module;
  vmvx->attributes = (void*)(vmvx + 1);
  vmvx->functions = (void*)(vmvx->attributes + count);
  status = link(vmvx, jump_limit, error);
  if (status != MLIRAGE_OK) {
    destroy(vmvx);
    return status;
  }
  *out_library =
      (mlirage_library_t){.table = &vmvx->table, .unload = unload, .run = run, .memory = vmvx, .memory_size = size};
  return MLIRAGE_OK;
}

static bool supports(const mlirage_executable_loader_t* loader, mlirage_string_t format) {
  (void)loader;
  return mlirage_string_equal(format, mlirage_string(FORMAT));
}

static mlirage_status_t load(const mlirage_executable_loader_t* loader, mlirage_allocator_t allocator,
                             mlirage_bytes_t data, mlirage_library_t* out_library, mlirage_error_t* error) {
  (void)loader;
  return mlirage_vmvx_load(allocator, 0, data, out_library, error);
}

const mlirage_executable_loader_t mlirage_loader_vmvx = {supports, load};
