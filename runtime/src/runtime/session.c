#include "base/memory.h"
#include "mlirage/hal_inline_module.h"
#include "mlirage/hal_loader_module.h"
#include "mlirage/hal_module.h"
#include "mlirage/runtime.h"
#include "platform/platform.h"
#include "vmvx_module/vmvx_module.h"

struct mlirage_session_t {
  mlirage_allocator_t allocator;
  mlirage_device_t* device;
  mlirage_module_t* module;
  // Those that the module imports.
  mlirage_hal_module_t* hal_module;
  mlirage_hal_inline_module_t* hal_inline_module;
  mlirage_hal_loader_module_t* hal_loader_module;
  mlirage_vm_context_t* context;
  mlirage_vm_invocation_t* invocation;
  mlirage_lock_t lock;  // of the invocation
};

void mlirage_session_release(mlirage_session_t* session) {
  if (session == NULL) return;
  mlirage_device_t* device = session->device;
  mlirage_vm_invocation_release(session->invocation);
  mlirage_vm_context_release(session->context);
  mlirage_hal_module_release(session->hal_module);
  mlirage_hal_inline_module_release(session->hal_inline_module);
  mlirage_hal_loader_module_release(session->hal_loader_module);
  mlirage_module_release(session->module);
  mlirage_free(session->allocator, session, sizeof(*session));
  mlirage_device_release(device);
}

// Does one of the modules import from the native module |prefix|?
static bool imports(const mlirage_module_t* const* modules, size_t count, const char* prefix) {
  for (size_t k = 0; k < count; ++k) {
    for (size_t i = 0; i < mlirage_module_import_count(modules[k]); ++i) {
      const mlirage_string_t name = mlirage_string(mlirage_module_import(modules[k], i).name);
      if (mlirage_string_starts_with(name, mlirage_string(prefix))) return true;
    }
  }
  return false;
}

static void set_parameters(mlirage_session_t* session, mlirage_parameters_t* parameters) {
  if (session->hal_module != NULL) mlirage_hal_module_set_parameters(session->hal_module, parameters);
  if (session->hal_inline_module != NULL) {
    mlirage_hal_inline_module_set_parameters(session->hal_inline_module, parameters);
  }
}

// Native modules of the runtime.
#define RUNTIME_MODULES 4u

// Creates the native modules that |modules| import, and lists them.
static mlirage_status_t create_native_modules(mlirage_session_t* session, const mlirage_module_t* const* modules,
                                              size_t module_count, mlirage_vm_native_module_t* natives,
                                              size_t* out_count) {
  size_t count = 0;
  if (imports(modules, module_count, "hal.")) {
    MLIRAGE_TRY(mlirage_hal_module_create(session->allocator, &session->device, 1, &session->hal_module));
    natives[count++] = mlirage_hal_module_functions(session->hal_module);
  }
  if (imports(modules, module_count, "hal_inline.")) {
    MLIRAGE_TRY(mlirage_hal_inline_module_create(session->allocator, session->device, &session->hal_inline_module));
    natives[count++] = mlirage_hal_inline_module_functions(session->hal_inline_module);
  }
  if (imports(modules, module_count, "hal_loader.")) {
    MLIRAGE_TRY(mlirage_hal_loader_module_create(session->allocator, session->device, &session->hal_loader_module));
    natives[count++] = mlirage_hal_loader_module_functions(session->hal_loader_module);
  }
  if (imports(modules, module_count, "vmvx.")) natives[count++] = mlirage_vmvx_module_functions();
  *out_count = count;
  return MLIRAGE_OK;
}

// Links everything and runs the initializers. |natives| and |modules| have room for all.
static mlirage_status_t create_context(mlirage_session_t* session, const mlirage_session_links_t* links,
                                       mlirage_parameters_t* parameters, mlirage_vm_native_module_t* natives,
                                       mlirage_module_t** modules, mlirage_error_t* error) {
  const size_t module_count = 1 + links->library_count;
  modules[0] = session->module;
  for (size_t i = 0; i < links->library_count; ++i) modules[1 + i] = links->libraries[i];
  size_t count = 0;
  const mlirage_status_t status =
      create_native_modules(session, (const mlirage_module_t* const*)modules, module_count, natives, &count);
  if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory for a session");
  for (size_t i = 0; i < links->native_module_count; ++i) natives[count++] = links->native_modules[i];
  set_parameters(session, parameters);
  const mlirage_status_t created = mlirage_vm_context_create(session->allocator, &links->vm, natives, count, modules,
                                                             module_count, &session->context, error);
  // Initializers have run; what they took keeps itself.
  set_parameters(session, NULL);
  MLIRAGE_TRY(created);
  return mlirage_vm_invocation_create(session->context, &session->invocation, error);
}

mlirage_status_t mlirage_session_create_linked(mlirage_device_t* device, mlirage_module_t* module,
                                               const mlirage_session_links_t* links, mlirage_parameters_t* parameters,
                                               mlirage_session_t** out_session, mlirage_error_t* error) {
  *out_session = NULL;
  static const mlirage_session_links_t nothing = {.library_count = 0};
  if (links == NULL) links = &nothing;
  const mlirage_allocator_t allocator = mlirage_device_host_allocator(device);
  void* block = NULL;
  void* lists = NULL;
  const size_t natives_size = (RUNTIME_MODULES + links->native_module_count) * sizeof(mlirage_vm_native_module_t);
  const size_t lists_size = natives_size + (1 + links->library_count) * sizeof(mlirage_module_t*);
  mlirage_status_t status = mlirage_allocate(allocator, sizeof(mlirage_session_t), &block);
  if (status == MLIRAGE_OK) status = mlirage_allocate(allocator, lists_size, &lists);
  if (status != MLIRAGE_OK) {
    mlirage_free(allocator, block, sizeof(mlirage_session_t));
    return mlirage_fail(error, status, "no memory for a session");
  }
  mlirage_session_t* session = block;
  session->allocator = allocator;
  session->device = device;
  session->module = module;
  mlirage_device_retain(device);
  mlirage_module_retain(module);
  mlirage_module_t** modules = (void*)((uint8_t*)lists + natives_size);
  status = create_context(session, links, parameters, lists, modules, error);
  mlirage_free(allocator, lists, lists_size);
  if (status != MLIRAGE_OK) {
    mlirage_session_release(session);
    return status;
  }
  *out_session = session;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_session_create(mlirage_device_t* device, mlirage_module_t* module,
                                        mlirage_parameters_t* parameters, mlirage_session_t** out_session,
                                        mlirage_error_t* error) {
  return mlirage_session_create_linked(device, module, NULL, parameters, out_session, error);
}

void mlirage_session_cancel(mlirage_session_t* session) { mlirage_vm_context_cancel(session->context); }

mlirage_status_t mlirage_session_reset(mlirage_session_t* session, mlirage_parameters_t* parameters,
                                       mlirage_error_t* error) {
  mlirage_lock_acquire(&session->lock);
  set_parameters(session, parameters);
  const mlirage_status_t status = mlirage_vm_context_reset(session->context, error);
  set_parameters(session, NULL);
  mlirage_lock_release(&session->lock);
  return status;
}

// Takes the storage over in every case.
static mlirage_status_t load(mlirage_device_t* device, mlirage_module_storage_t storage,
                             mlirage_parameters_t* parameters, mlirage_session_t** out_session,
                             mlirage_error_t* error) {
  mlirage_module_t* module = NULL;
  mlirage_status_t status =
      mlirage_module_create(mlirage_device_host_allocator(device), storage, MLIRAGE_MODULE_DEFAULT, &module, error);
  if (status != MLIRAGE_OK) {
    if (storage.release != NULL) storage.release(storage.self);
    return status;
  }
  status = mlirage_session_create(device, module, parameters, out_session, error);
  mlirage_module_release(module);
  return status;
}

// Memory of a module that is released as a whole: a mapped file, a copy, or the caller's.
typedef struct contents_t {
  mlirage_allocator_t allocator;
  mlirage_bytes_t file;  // mapped, or
  void* copy;            // |copy_size| bytes of the allocator, or
  size_t copy_size;
  mlirage_mutable_bytes_t memory;  // the caller's
  mlirage_release_callback_t release;
} contents_t;

static void release_contents(void* self) {
  contents_t* contents = self;
  if (contents->file.data != NULL) mlirage_platform_file_unmap(contents->file);
  mlirage_free(contents->allocator, contents->copy, contents->copy_size);
  if (contents->release.call != NULL) contents->release.call(contents->release.self, contents->memory);
  mlirage_free(contents->allocator, contents, sizeof(*contents));
}

mlirage_status_t mlirage_session_load_file(mlirage_device_t* device, const char* path, mlirage_parameters_t* parameters,
                                           mlirage_session_t** out_session, mlirage_error_t* error) {
  *out_session = NULL;
  const mlirage_allocator_t allocator = mlirage_device_host_allocator(device);
  void* block = NULL;
  mlirage_status_t status = mlirage_allocate(allocator, sizeof(contents_t), &block);
  if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory for '%s'", path);
  contents_t* contents = block;
  contents->allocator = allocator;
  status = mlirage_platform_file_map(path, &contents->file, error);
  if (status != MLIRAGE_OK) {
    release_contents(contents);
    return status;
  }
  status = load(device, (mlirage_module_storage_t){contents->file, contents, release_contents}, parameters, out_session,
                error);
  return status == MLIRAGE_OK ? status : mlirage_fail_in(error, status, "'%s': ", path);
}

mlirage_status_t mlirage_session_load_memory(mlirage_device_t* device, mlirage_mutable_bytes_t memory,
                                             mlirage_release_callback_t release, mlirage_parameters_t* parameters,
                                             mlirage_session_t** out_session, mlirage_error_t* error) {
  *out_session = NULL;
  const mlirage_allocator_t allocator = mlirage_device_host_allocator(device);
  mlirage_bytes_t bytes = {memory.data, memory.size};
  void* block = NULL;
  mlirage_status_t status = mlirage_allocate(allocator, sizeof(contents_t), &block);
  contents_t* contents = block;
  if (status == MLIRAGE_OK) contents->allocator = allocator;
  if (status == MLIRAGE_OK && (uintptr_t)memory.data % MLIRAGE_MODULE_ALIGNMENT != 0) {
    const size_t copy_size = memory.size + MLIRAGE_MODULE_ALIGNMENT;  // fits: the memory exists
    status = mlirage_allocate(allocator, copy_size, &contents->copy);
    contents->copy_size = copy_size;
    if (status == MLIRAGE_OK) {
      const size_t misaligned = (uintptr_t)contents->copy % MLIRAGE_MODULE_ALIGNMENT;
      uint8_t* aligned = (uint8_t*)contents->copy + (misaligned == 0 ? 0 : MLIRAGE_MODULE_ALIGNMENT - misaligned);
      memcpy(aligned, memory.data, memory.size);
      bytes.data = aligned;
      if (release.call != NULL) release.call(release.self, memory);
      release.call = NULL;
    }
  }
  if (status != MLIRAGE_OK) {
    mlirage_free(allocator, contents, sizeof(*contents));
    if (release.call != NULL) release.call(release.self, memory);
    return mlirage_fail(error, status, "no memory for a module of %zu bytes", memory.size);
  }
  contents->memory = memory;
  contents->release = release;
  return load(device, (mlirage_module_storage_t){bytes, contents, release_contents}, parameters, out_session, error);
}

mlirage_device_t* mlirage_session_device(const mlirage_session_t* session) { return session->device; }

mlirage_module_t* mlirage_session_module(const mlirage_session_t* session) { return session->module; }

//===----------------------------------------------------------------------===
// Functions
//===----------------------------------------------------------------------===

static bool is_internal(mlirage_export_t exported) {
  return mlirage_string_starts_with(mlirage_string(exported.name), mlirage_string("__"));
}

size_t mlirage_session_function_count(const mlirage_session_t* session) {
  size_t count = 0;
  for (size_t i = 0; i < mlirage_module_export_count(session->module); ++i) {
    if (!is_internal(mlirage_module_export(session->module, i))) ++count;
  }
  return count;
}

static bool contains(const char* text, const char* part) {
  for (; *text != '\0'; ++text) {
    size_t i = 0;
    while (part[i] != '\0' && text[i] == part[i]) ++i;
    if (part[i] == '\0') return true;
  }
  return false;
}

static mlirage_status_t describe(const mlirage_session_t* session, mlirage_export_t exported,
                                 mlirage_function_t* out_function, mlirage_error_t* error) {
  out_function->name = exported.name;
  out_function->convention = exported.convention;
  out_function->signature = exported.signature;
  // Quotes inside of names are escaped: this text is nothing else.
  out_function->has_fences = contains(exported.signature, "\"abi\": \"coarse-fences\"");
  return mlirage_vm_context_lookup(session->context, 0, exported.name, &out_function->handle, error);
}

mlirage_status_t mlirage_session_function(const mlirage_session_t* session, size_t index,
                                          mlirage_function_t* out_function, mlirage_error_t* error) {
  memset(out_function, 0, sizeof(*out_function));
  size_t left = index;
  for (size_t i = 0; i < mlirage_module_export_count(session->module); ++i) {
    const mlirage_export_t exported = mlirage_module_export(session->module, i);
    if (is_internal(exported)) continue;
    if (left-- == 0) return describe(session, exported, out_function, error);
  }
  return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "the module has %zu functions, not number %zu",
                      mlirage_session_function_count(session), index);
}

mlirage_status_t mlirage_session_lookup(const mlirage_session_t* session, const char* name,
                                        mlirage_function_t* out_function, mlirage_error_t* error) {
  memset(out_function, 0, sizeof(*out_function));
  char known[256] = "";
  size_t size = 0;
  for (size_t i = 0; i < mlirage_module_export_count(session->module); ++i) {
    const mlirage_export_t exported = mlirage_module_export(session->module, i);
    if (is_internal(exported)) continue;
    if (mlirage_string_equal(mlirage_string(exported.name), mlirage_string(name))) {
      return describe(session, exported, out_function, error);
    }
    if (size < sizeof(known)) {
      size += mlirage_format(known + size, sizeof(known) - size, "%s%s", size == 0 ? "" : ", ", exported.name);
    }
  }
  return mlirage_fail(error, MLIRAGE_NOT_FOUND, "no function '%s'; the module has: %s", name, known);
}

//===----------------------------------------------------------------------===
// Calls
//===----------------------------------------------------------------------===

// Values of a call up to this many need no allocation.
#define INLINE_VALUES 32u

// Slots of one call: arguments and results, scalars and references apart.
typedef struct slots_t {
  uint64_t* scalars;
  void** refs;
  uint64_t* scalar_results;
  void** ref_results;
} slots_t;

static mlirage_status_t pack_argument(const mlirage_function_t* function, size_t index, char kind,
                                      const mlirage_value_t* value, uint64_t** scalar, void*** ref,
                                      mlirage_error_t* error) {
  if (kind != value->kind) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "'%s': argument %zu is of kind '%c', expected '%c' of '%s'",
                        function->name, index, value->kind != 0 ? value->kind : '?', kind, function->convention);
  }
  switch (kind) {
    case 'i': *(*scalar)++ = mlirage_vm_from_i32(value->as.i32); break;
    case 'I': *(*scalar)++ = mlirage_vm_from_i64(value->as.i64); break;
    case 'f': *(*scalar)++ = mlirage_vm_from_f32(value->as.f32); break;
    case 'F': *(*scalar)++ = mlirage_vm_from_f64(value->as.f64); break;
    default:
      if (value->as.view == NULL) {
        return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "'%s': argument %zu is NULL", function->name, index);
      }
      *(*ref)++ = value->as.view;
      break;
  }
  return MLIRAGE_OK;
}

static void drop_results(size_t count, mlirage_value_t* results) {
  for (size_t i = 0; i < count; ++i) {
    if (results[i].kind == 'r') mlirage_object_release(results[i].as.view);
    results[i] = (mlirage_value_t){.kind = 'r'};
  }
}

static mlirage_value_t unpack_result(char kind, const uint64_t** scalar, void*** ref) {
  mlirage_value_t value = {.kind = kind};
  switch (kind) {
    case 'i': value.as.i32 = mlirage_vm_i32(*(*scalar)++); break;
    case 'I': value.as.i64 = mlirage_vm_i64(*(*scalar)++); break;
    case 'f': value.as.f32 = mlirage_vm_f32(*(*scalar)++); break;
    case 'F': value.as.f64 = mlirage_vm_f64(*(*scalar)++); break;
    default: value.as.view = *(*ref)++; break;
  }
  return value;
}

// The fences of a call of a function that has them.
typedef struct fences_t {
  mlirage_fence_t* wait;
  mlirage_fence_t* signal;
} fences_t;

#define FENCE_COUNT 2u

static mlirage_status_t invoke(mlirage_session_t* session, const mlirage_function_t* function, size_t argument_count,
                               const mlirage_value_t* arguments, const fences_t* fences, size_t result_count,
                               mlirage_value_t* results, const slots_t* slots, mlirage_error_t* error) {
  uint64_t* scalar = slots->scalars;
  void** ref = slots->refs;
  for (size_t i = 0; i < argument_count; ++i) {
    MLIRAGE_TRY(pack_argument(function, i, function->convention[i], &arguments[i], &scalar, &ref, error));
  }
  if (fences != NULL) {
    *ref++ = fences->wait;
    *ref++ = fences->signal;
  }
  mlirage_lock_acquire(&session->lock);
  const mlirage_status_t status = mlirage_vm_invoke(session->invocation, &function->handle, slots->scalars, slots->refs,
                                                    slots->scalar_results, slots->ref_results, error);
  mlirage_lock_release(&session->lock);
  MLIRAGE_TRY(status);
  const char* kinds = function->convention + argument_count + (fences != NULL ? FENCE_COUNT : 0) + 1;
  const uint64_t* scalar_result = slots->scalar_results;
  void** ref_result = slots->ref_results;
  bool only_views = true;
  for (size_t i = 0; i < result_count; ++i) {
    results[i] = unpack_result(kinds[i], &scalar_result, &ref_result);
    const mlirage_object_t* object = kinds[i] == 'r' ? (const mlirage_object_t*)results[i].as.view : NULL;
    if (kinds[i] == 'r') only_views = only_views && object != NULL && object->type == &mlirage_buffer_view_type;
  }
  if (only_views) return MLIRAGE_OK;
  drop_results(result_count, results);
  return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "'%s': a result is not an array", function->name);
}

static mlirage_status_t call(mlirage_session_t* session, const mlirage_function_t* function, size_t argument_count,
                             const mlirage_value_t* arguments, const fences_t* fences, size_t result_count,
                             mlirage_value_t* results, mlirage_error_t* error) {
  const mlirage_convention_t* convention = &function->handle.convention;
  const size_t all_arguments = (size_t)convention->scalar_argument_count + convention->ref_argument_count;
  const size_t wanted_arguments = all_arguments - (fences != NULL ? FENCE_COUNT : 0);
  const size_t wanted_results = (size_t)convention->scalar_result_count + convention->ref_result_count;
  if (convention->group_count != 0 || wanted_arguments != argument_count || wanted_results != result_count) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "'%s' takes %zu arguments and gives %zu results, got %zu and %zu", function->name,
                        wanted_arguments, wanted_results, argument_count, result_count);
  }
  const size_t count = all_arguments + result_count;
  uint64_t inline_scalars[INLINE_VALUES];
  void* inline_refs[INLINE_VALUES];
  slots_t slots = {.scalars = inline_scalars, .refs = inline_refs};
  void* block = NULL;
  const size_t block_size = count * (sizeof(uint64_t) + sizeof(void*));
  if (count > INLINE_VALUES) {
    const mlirage_status_t status = mlirage_allocate(session->allocator, block_size, &block);
    if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory for a call");
    slots.scalars = block;
    slots.refs = (void**)(void*)(slots.scalars + count);
  }
  slots.scalar_results = slots.scalars + all_arguments;
  slots.ref_results = slots.refs + all_arguments;
  const mlirage_status_t status =
      invoke(session, function, argument_count, arguments, fences, result_count, results, &slots, error);
  mlirage_free(session->allocator, block, block_size);
  return status;
}

mlirage_status_t mlirage_session_call(mlirage_session_t* session, const mlirage_function_t* function,
                                      size_t argument_count, const mlirage_value_t* arguments, size_t result_count,
                                      mlirage_value_t* results, mlirage_error_t* error) {
  for (size_t i = 0; i < result_count; ++i) results[i] = (mlirage_value_t){.kind = 'r'};
  if (!function->has_fences) {
    return call(session, function, argument_count, arguments, NULL, result_count, results, error);
  }
  fences_t fences = {NULL, NULL};
  MLIRAGE_TRY(mlirage_fence_create(session->device, &fences.signal, error));
  mlirage_status_t status = call(session, function, argument_count, arguments, &fences, result_count, results, error);
  if (status == MLIRAGE_OK) {
    status = mlirage_fence_wait(fences.signal, MLIRAGE_WAIT_FOREVER, error);
    if (status != MLIRAGE_OK) drop_results(result_count, results);
  }
  mlirage_fence_release(fences.signal);
  return status;
}

mlirage_status_t mlirage_session_call_async(mlirage_session_t* session, const mlirage_function_t* function,
                                            size_t argument_count, const mlirage_value_t* arguments,
                                            mlirage_fence_t* wait, mlirage_fence_t* signal, size_t result_count,
                                            mlirage_value_t* results, mlirage_error_t* error) {
  for (size_t i = 0; i < result_count; ++i) results[i] = (mlirage_value_t){.kind = 'r'};
  if (signal == NULL) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "'%s': a call without a fence to signal", function->name);
  }
  mlirage_status_t status = MLIRAGE_FAILED_PRECONDITION;
  if (function->has_fences) {
    const fences_t fences = {wait, signal};
    status = call(session, function, argument_count, arguments, &fences, result_count, results, error);
  } else {
    mlirage_fail(error, status, "'%s' waits for its own work: compile it with execution_model=async-external",
                 function->name);
  }
  if (status != MLIRAGE_OK) mlirage_fence_fail(signal, status, error);
  return status;
}
