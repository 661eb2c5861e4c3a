// Fuzz target: loads a module, runs its initializer and calls every function that it
// exports, with the native modules `hal` on the local-sync device and `vmvx`; then, if it
// can be one, runs it as a vmvx executable. Whatever the bytes are, the outcome is an
// error or an answer. With libFuzzer link this file alone; vm_fuzz_main.c drives it
// elsewhere.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/hal_module.h"
#include "vm_fuzz.h"
#include "vmvx_module/loader.h"
#include "vmvx_module/vmvx_module.h"

// Memory is limited: programs may ask for any amount.
#define MEMORY_LIMIT ((size_t)32 << 20)

static size_t memory_used;

static void* limited_resize(void* self, void* block, size_t old_size, size_t new_size) {
  (void)self;
  if (new_size == 0) {
    free(block);
    memory_used -= block == NULL ? 0 : old_size;
    return NULL;
  }
  if (new_size > MEMORY_LIMIT || memory_used - (block == NULL ? 0 : old_size) + new_size > MEMORY_LIMIT) return NULL;
  void* resized = realloc(block, new_size);
  if (resized != NULL) memory_used += new_size - (block == NULL ? 0 : old_size);
  return resized;
}

static const mlirage_allocator_t allocator = {NULL, limited_resize};

vm_fuzz_counts_t vm_fuzz_counts;

static void require(bool condition, const char* text) {
  if (condition) return;
  fprintf(stderr, "%s\n", text);
  abort();
}

// A view of f32[2,3] for reference arguments.
static mlirage_buffer_view_t* make_view(mlirage_device_t* device) {
  mlirage_buffer_t* buffer = NULL;
  mlirage_buffer_view_t* view = NULL;
  const size_t shape[2] = {2, 3};
  require(mlirage_buffer_allocate(device, 24, &buffer, NULL) == MLIRAGE_OK, "no buffer");
  require(mlirage_buffer_view_create(buffer, 0, 24, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, &view, NULL) == MLIRAGE_OK,
          "no view");
  mlirage_buffer_release(buffer);
  return view;
}

enum { MAX_VALUES = 256 };

static void call_function(mlirage_vm_invocation_t* invocation, const mlirage_vm_function_t* function,
                          mlirage_buffer_view_t* view, uint64_t seed) {
  uint64_t scalars[MAX_VALUES];
  void* refs[MAX_VALUES];
  uint64_t scalar_results[MAX_VALUES];
  void* ref_results[MAX_VALUES];
  const mlirage_convention_t c = function->convention;
  if (c.scalar_argument_count > MAX_VALUES || c.ref_argument_count > MAX_VALUES || c.scalar_result_count > MAX_VALUES ||
      c.ref_result_count > MAX_VALUES) {
    return;
  }
  for (size_t i = 0; i < MAX_VALUES; ++i) {
    scalars[i] = i % 3 == 0 ? seed % 16 : seed * (i + 1);
    refs[i] = (seed >> i % 32 & 7u) == 0 ? NULL : (void*)view;
  }
  mlirage_error_t error;
  mlirage_status_t status = mlirage_vm_begin(invocation, function, scalars, refs, &error);
  for (int i = 0; i < 4 && status == MLIRAGE_PENDING && mlirage_vm_pending(invocation) == NULL; ++i) {
    status = mlirage_vm_resume(invocation, &error);  // it yields
  }
  if (status == MLIRAGE_OK) {
    require(mlirage_vm_finish(invocation, scalar_results, ref_results) == MLIRAGE_OK, "no results");
    for (uint32_t i = 0; i < c.ref_result_count; ++i) mlirage_object_release(ref_results[i]);
    ++vm_fuzz_counts.returned;
  } else if (status == MLIRAGE_PENDING) {
    mlirage_vm_cancel(invocation);
    ++vm_fuzz_counts.suspended;
  } else {
    require(error.status == status && strlen(error.text) > 0, "a failure without a text");
    ++vm_fuzz_counts.failed;
  }
}

static void call_all(const mlirage_module_t* module, mlirage_vm_context_t* context, mlirage_device_t* device,
                     uint64_t seed) {
  mlirage_vm_invocation_t* invocation = NULL;
  mlirage_buffer_view_t* view = make_view(device);
  require(mlirage_vm_invocation_create(context, &invocation, NULL) == MLIRAGE_OK, "no invocation");
  for (size_t i = 0; i < mlirage_module_export_count(module) && i < 64; ++i) {
    mlirage_vm_function_t function;
    const char* name = mlirage_module_export(module, i).name;
    require(mlirage_vm_context_lookup(context, 0, name, &function, NULL) == MLIRAGE_OK, "export not found");
    for (uint64_t k = 0; k < 2; ++k) call_function(invocation, &function, view, seed + k);
  }
  mlirage_vm_invocation_release(invocation);
  mlirage_buffer_view_release(view);
}

static void run_module(mlirage_module_t* module, uint64_t seed) {
  const mlirage_device_options_t device_options = {
      .struct_size = sizeof(device_options), .allocator = allocator, .worker_count = 1};
  const mlirage_vm_options_t options = {.stack_size = 1u << 14, .jump_limit = 2000};
  mlirage_device_t* device = NULL;
  mlirage_hal_module_t* hal = NULL;
  mlirage_vm_context_t* context = NULL;
  mlirage_error_t error;
  require(mlirage_local_sync_device_create(&device_options, &device, &error) == MLIRAGE_OK, "no device");
  require(mlirage_hal_module_create(allocator, &device, 1, &hal) == MLIRAGE_OK, "no hal module");
  const mlirage_vm_native_module_t natives[2] = {mlirage_hal_module_functions(hal), mlirage_vmvx_module_functions()};
  if (mlirage_vm_context_create(allocator, &options, natives, 2, &module, 1, &context, &error) == MLIRAGE_OK) {
    ++vm_fuzz_counts.linked;
    call_all(module, context, device, seed);
    if (seed % 4 == 0 && mlirage_vm_context_reset(context, &error) == MLIRAGE_OK) {
      call_all(module, context, device, seed + 1);
    }
  } else {
    require(strlen(error.text) > 0, "a failure without a text");
  }
  mlirage_vm_context_release(context);
  mlirage_hal_module_release(hal);
  mlirage_device_release(device);
}

// Runs a workgroup on bindings of their own blocks of memory, and scratch memory as small
// as allowed.
static void run_workgroup(const mlirage_library_t* library, uint32_t ordinal, uint64_t seed) {
  const mlirage_entry_attributes_t* entry = &library->table->attributes[ordinal];
  if (entry->binding_count > MAX_VALUES || entry->constant_count > MAX_VALUES || entry->scratch_size > MEMORY_LIMIT) {
    return;
  }
  void* pointers[MAX_VALUES];
  size_t lengths[MAX_VALUES];
  uint32_t constants[MAX_VALUES];
  for (uint32_t i = 0; i < entry->binding_count; ++i) {
    lengths[i] = seed >> i % 16 & 1 ? 240 : (size_t)(seed * (i + 3) % 64 * 4);
    pointers[i] = malloc(lengths[i]);
    require(pointers[i] != NULL || lengths[i] == 0, "no memory");
    if (lengths[i] != 0) memset(pointers[i], (int)(i + 1), lengths[i]);
  }
  // Mostly what an index is made of: a small number, then 0.
  for (uint32_t i = 0; i < entry->constant_count; ++i) {
    constants[i] = seed % 5 == 0 ? (uint32_t)(seed * (i + 1)) : i % 2 == 0 ? (uint32_t)(seed % 7) : 0;
  }
  const size_t scratch_length = ((size_t)entry->scratch_size + 63) / 64 * 64;
  void* scratch = aligned_alloc(64, scratch_length == 0 ? 64 : scratch_length);
  require(scratch != NULL, "no scratch memory");
  memset(scratch, 0xCD, scratch_length);
  const mlirage_dispatch_state_t dispatch = {
      .constants = constants,
      .binding_pointers = pointers,
      .binding_lengths = lengths,
      .workgroup_count_x = 2,
      .workgroup_count_y = 1,
      .workgroup_count_z = 1,
      .constant_count = (uint16_t)entry->constant_count,
      .binding_count = (uint16_t)entry->binding_count,
  };
  const mlirage_workgroup_state_t workgroup = {
      .workgroup_id_x = seed % 2, .scratch = scratch, .scratch_length = scratch_length};
  if (library->run(library, ordinal, &dispatch, &workgroup) == MLIRAGE_OK) {
    ++vm_fuzz_counts.workgroups_returned;
  } else {
    ++vm_fuzz_counts.workgroups_failed;
  }
  free(scratch);
  for (uint32_t i = 0; i < entry->binding_count; ++i) free(pointers[i]);
}

static void run_library(mlirage_bytes_t data, uint64_t seed) {
  mlirage_library_t library = {.table = NULL};
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  if (mlirage_vmvx_load(allocator, 2000, data, &library, &error) != MLIRAGE_OK) {
    require(strlen(error.text) > 0, "a failure without a text");
    return;
  }
  ++vm_fuzz_counts.libraries;
  for (uint32_t i = 0; i < library.table->entry_count && i < 64; ++i) {
    for (uint64_t k = 0; k < 3; ++k) run_workgroup(&library, i, seed + k);
  }
  library.unload(&library);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint8_t* memory = aligned_alloc(MLIRAGE_MODULE_ALIGNMENT, (size / 64 + 1) * 64);
  require(memory != NULL, "no memory");
  if (size > 0) memcpy(memory, data, size);
  uint64_t seed = size;
  for (size_t i = 0; i < size && i < 64; ++i) seed = seed * 31 + data[i];
  const mlirage_module_storage_t storage = {{memory, size}, NULL, NULL};
  mlirage_module_t* module = NULL;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  ++vm_fuzz_counts.inputs;
  if (mlirage_module_create(allocator, storage, MLIRAGE_MODULE_DEFAULT, &module, &error) == MLIRAGE_OK) {
    ++vm_fuzz_counts.loaded;
    run_module(module, seed);
    mlirage_module_release(module);
    run_library(storage.contents, seed);
  } else {
    require(strlen(error.text) > 0, "a failure without a text");
  }
  free(memory);
  require(memory_used == 0, "memory leaked");
  return 0;
}
