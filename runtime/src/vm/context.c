// Contexts: linking modules to what they import.
#include "vm/context.h"

#include "base/memory.h"

#define DEFAULT_STACK_SIZE ((size_t)64 * 1024)
#define INITIALIZER "__init"

//===--------------------------------------------------------------------------===
// Linking
//===--------------------------------------------------------------------------===

static bool text_equal(const char* a, const char* b) {
  return mlirage_string_equal(mlirage_string(a), mlirage_string(b));
}

// Splits "hal.device_get" at its first dot.
static bool split_name(const char* name, mlirage_string_t* out_module, const char** out_function) {
  const char* dot = name;
  while (*dot != '\0' && *dot != '.') ++dot;
  *out_module = (mlirage_string_t){name, (size_t)(dot - name)};
  *out_function = dot + (*dot == '.');
  return *dot == '.';
}

static const mlirage_vm_native_export_t* find_native(const mlirage_vm_native_module_t* module, const char* name) {
  for (size_t i = 0; i < module->export_count; ++i) {
    if (text_equal(module->exports[i].name, name)) return &module->exports[i];
  }
  return NULL;
}

// Position of the export |name| or the number of exports. They are sorted by name.
static size_t find_export(const mlirage_module_t* module, const char* name) {
  const size_t count = mlirage_module_export_count(module);
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const unsigned char* a = (const unsigned char*)mlirage_module_export(module, middle).name;
    const unsigned char* b = (const unsigned char*)name;
    while (*a != '\0' && *a == *b) ++a, ++b;
    if (*a == *b) return middle;
    if (*a < *b) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return count;
}

// Binds |import| if something provides it; fails if that does not fit.
static mlirage_status_t bind_import(const mlirage_vm_context_t* context, mlirage_import_t import,
                                    mlirage_vm_binding_t* binding, mlirage_error_t* error) {
  mlirage_string_t module_name;
  const char* function = NULL;
  if (!split_name(import.name, &module_name, &function)) return MLIRAGE_OK;
  const char* convention = NULL;
  for (size_t i = 0; i < context->native_module_count && convention == NULL; ++i) {
    const mlirage_vm_native_module_t* native = &context->native_modules[i];
    if (!mlirage_string_equal(mlirage_string(native->name), module_name) || native->version < import.version) continue;
    const mlirage_vm_native_export_t* export = find_native(native, function);
    if (export == NULL) continue;
    *binding = (mlirage_vm_binding_t){
        .native = export->function, .self = native->self, .export_index = (size_t)(export - native->exports)};
    convention = export->convention;
  }
  for (size_t i = 0; i < context->instance_count && convention == NULL; ++i) {
    const mlirage_module_t* module = context->instances[i].module;
    if (!mlirage_string_equal(mlirage_string(mlirage_module_name(module)), module_name)) continue;
    if (mlirage_module_version(module) < import.version) continue;
    const size_t position = find_export(module, function);
    if (position == mlirage_module_export_count(module)) continue;
    const mlirage_export_t export = mlirage_module_export(module, position);
    *binding = (mlirage_vm_binding_t){.instance = &context->instances[i], .function = export.function};
    convention = export.convention;
  }
  if (convention == NULL || text_equal(convention, import.convention)) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "import '%s' is called as '%s' but provided as '%s'", import.name,
                      import.convention, convention);
}

static bool is_bound(const mlirage_vm_binding_t* binding) {
  return binding->native != NULL || binding->instance != NULL;
}

// Lists all imports of |module| that nothing provides.
static mlirage_status_t fail_missing(const mlirage_vm_instance_t* instance, mlirage_error_t* error) {
  char names[MLIRAGE_ERROR_TEXT_SIZE];
  size_t size = 0;
  for (size_t i = 0; i < mlirage_module_import_count(instance->module); ++i) {
    const mlirage_import_t import = mlirage_module_import(instance->module, i);
    if (import.optional || is_bound(&instance->bindings[i])) continue;
    if (size >= sizeof(names)) break;
    size += mlirage_format(names + size, sizeof(names) - size, size == 0 ? "%s" : ", %s", import.name);
  }
  return mlirage_fail(error, MLIRAGE_NOT_FOUND, "module '%s' imports what nothing provides: %s",
                      mlirage_module_name(instance->module), names);
}

static mlirage_status_t link_instance(mlirage_vm_context_t* context, mlirage_vm_instance_t* instance,
                                      mlirage_error_t* error) {
  bool is_complete = true;
  for (size_t i = 0; i < mlirage_module_import_count(instance->module); ++i) {
    const mlirage_import_t import = mlirage_module_import(instance->module, i);
    MLIRAGE_TRY(bind_import(context, import, &instance->bindings[i], error));
    if (!import.optional && !is_bound(&instance->bindings[i])) is_complete = false;
  }
  return is_complete ? MLIRAGE_OK : fail_missing(instance, error);
}

//===--------------------------------------------------------------------------===
// Contexts
//===--------------------------------------------------------------------------===

// An array of |count| zeroed elements.
static mlirage_status_t allocate_array(mlirage_allocator_t allocator, size_t count, size_t size, void** out_array) {
  size_t bytes = 0;
  *out_array = NULL;
  if (!mlirage_checked_mul(count, size, &bytes)) return MLIRAGE_OUT_OF_MEMORY;
  return mlirage_allocate(allocator, bytes, out_array);
}

static mlirage_status_t create_instance(mlirage_vm_context_t* context, mlirage_module_t* module,
                                        mlirage_vm_instance_t* instance) {
  void* bindings = NULL;
  void* globals = NULL;
  MLIRAGE_TRY(allocate_array(context->allocator, module->imports_count, sizeof(*instance->bindings), &bindings));
  instance->bindings = bindings;
  MLIRAGE_TRY(allocate_array(context->allocator, module->globals_count, sizeof(*instance->globals), &globals));
  instance->globals = globals;
  return MLIRAGE_OK;
}

// Globals of all modules go first: they may hold objects of other modules.
static void release_globals(const mlirage_vm_context_t* context) {
  for (size_t i = 0; i < context->instance_count; ++i) {
    const mlirage_vm_instance_t* instance = &context->instances[i];
    if (instance->globals == NULL) continue;
    for (uint32_t k = 0; k < instance->module->globals_count; ++k) {
      if (instance->module->globals[k].kind == 'r') mlirage_vm_set_ref(&instance->globals[k].ref, NULL);
    }
  }
}

// Calls need room for two of the largest frames at least.
static size_t choose_stack_size(const mlirage_vm_context_t* context, size_t asked) {
  if (asked != 0) return asked;
  size_t size = DEFAULT_STACK_SIZE;
  for (size_t i = 0; i < context->instance_count; ++i) {
    const mlirage_module_t* module = context->instances[i].module;
    size += 2 * ((size_t)module->largest_frame_scalars * sizeof(uint64_t) +
                 (size_t)module->largest_frame_refs * sizeof(void*));
  }
  return size;
}

static mlirage_status_t initialize_instance(const mlirage_vm_context_t* context, size_t index,
                                            mlirage_vm_invocation_t* invocation, mlirage_error_t* error) {
  const mlirage_module_t* module = context->instances[index].module;
  const size_t position = find_export(module, INITIALIZER);
  if (position == mlirage_module_export_count(module)) return MLIRAGE_OK;
  const mlirage_export_t export = mlirage_module_export(module, position);
  if (!text_equal(export.convention, "_")) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "module '%s': " INITIALIZER " takes or gives values",
                        mlirage_module_name(module));
  }
  const mlirage_vm_function_t function = {.module = (uint32_t)index, .function = export.function};
  return mlirage_vm_invoke(invocation, &function, NULL, NULL, NULL, NULL, error);
}

// Has everything that |instance| imports from been initialized?
static bool is_ready(const mlirage_vm_instance_t* instance) {
  for (size_t i = 0; i < mlirage_module_import_count(instance->module); ++i) {
    const mlirage_vm_instance_t* provider = instance->bindings[i].instance;
    if (provider != NULL && provider != instance && !provider->is_initialized) return false;
  }
  return true;
}

// Position of the first module that is ready to be initialized; the number of modules if
// there is none.
static size_t find_waiting(const mlirage_vm_context_t* context) {
  size_t i = 0;
  while (i < context->instance_count && (context->instances[i].is_initialized || !is_ready(&context->instances[i]))) {
    ++i;
  }
  return i;
}

// Every one of the waiting modules imports from another one: lists them.
static mlirage_status_t fail_circle(const mlirage_vm_context_t* context, mlirage_error_t* error) {
  char names[MLIRAGE_ERROR_TEXT_SIZE];
  size_t size = 0;
  for (size_t i = 0; i < context->instance_count && size < sizeof(names); ++i) {
    if (context->instances[i].is_initialized) continue;
    const char* name = mlirage_module_name(context->instances[i].module);
    size += mlirage_format(names + size, sizeof(names) - size, size == 0 ? "%s" : ", %s", name);
  }
  return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "modules import from each other in a circle: %s", names);
}

// Initializes modules after those that they import from.
static mlirage_status_t run_initializers(mlirage_vm_context_t* context, mlirage_error_t* error) {
  for (size_t i = 0; i < context->instance_count; ++i) {
    mlirage_vm_instance_t* instance = &context->instances[i];
    instance->is_initialized = false;
    for (uint32_t k = 0; k < instance->module->globals_count; ++k) {
      const mlirage_file_global_t* global = &instance->module->globals[k];
      if (global->kind != 'r') instance->globals[k].scalar = global->initial_value;
    }
  }
  mlirage_vm_invocation_t* invocation = NULL;
  mlirage_status_t status = MLIRAGE_OK;
  for (size_t done = 0; done < context->instance_count && status == MLIRAGE_OK; ++done) {
    const size_t next = find_waiting(context);
    if (next == context->instance_count) {
      status = fail_circle(context, error);
      break;
    }
    const mlirage_module_t* module = context->instances[next].module;
    if (invocation == NULL && find_export(module, INITIALIZER) != mlirage_module_export_count(module)) {
      status = mlirage_vm_invocation_create(context, &invocation, error);
    }
    if (status == MLIRAGE_OK) status = initialize_instance(context, next, invocation, error);
    context->instances[next].is_initialized = true;
  }
  mlirage_vm_invocation_release(invocation);
  return status;
}

static mlirage_status_t initialize_context(mlirage_vm_context_t* context, const mlirage_vm_options_t* options,
                                           mlirage_module_t* const* modules, mlirage_error_t* error) {
  for (size_t i = 0; i < context->instance_count; ++i) {
    context->instances[i].module = modules[i];
    mlirage_module_retain(modules[i]);
  }
  for (size_t i = 0; i < context->instance_count; ++i) {
    if (create_instance(context, modules[i], &context->instances[i]) != MLIRAGE_OK) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for the state of module '%s'",
                          mlirage_module_name(modules[i]));
    }
  }
  for (size_t i = 0; i < context->instance_count; ++i) {
    MLIRAGE_TRY(link_instance(context, &context->instances[i], error));
  }
  context->stack_size = choose_stack_size(context, options == NULL ? 0 : options->stack_size);
  context->jump_limit = options == NULL || options->jump_limit == 0 ? UINT64_MAX : options->jump_limit;
  if (options != NULL) {
    context->poll = options->poll;
    context->poll_self = options->poll_self;
    context->trace = options->trace;
    context->trace_self = options->trace_self;
  }
  return run_initializers(context, error);
}

mlirage_status_t mlirage_vm_context_create(mlirage_allocator_t allocator, const mlirage_vm_options_t* options,
                                           const mlirage_vm_native_module_t* native_modules, size_t native_module_count,
                                           mlirage_module_t* const* modules, size_t module_count,
                                           mlirage_vm_context_t** out_context, mlirage_error_t* error) {
  *out_context = NULL;
  void* block = NULL;
  void* natives = NULL;
  void* instances = NULL;
  if (mlirage_allocate(allocator, sizeof(mlirage_vm_context_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a context");
  }
  mlirage_vm_context_t* context = block;
  context->allocator = allocator;
  mlirage_status_t status = allocate_array(allocator, native_module_count, sizeof(*native_modules), &natives);
  if (status == MLIRAGE_OK) status = allocate_array(allocator, module_count, sizeof(*context->instances), &instances);
  context->native_modules = natives;
  context->instances = instances;
  context->native_module_count = natives == NULL ? 0 : native_module_count;
  context->instance_count = instances == NULL ? 0 : module_count;
  if (status != MLIRAGE_OK) {
    status = mlirage_fail(error, status, "no memory for a context");
  } else {
    if (natives != NULL) memcpy(natives, native_modules, native_module_count * sizeof(*native_modules));
    status = initialize_context(context, options, modules, error);
  }
  if (status != MLIRAGE_OK) {
    mlirage_vm_context_release(context);
    return status;
  }
  *out_context = context;
  return MLIRAGE_OK;
}

void mlirage_vm_context_cancel(mlirage_vm_context_t* context) {
  __atomic_fetch_add(&context->cancelled, 1u, __ATOMIC_RELEASE);
}

mlirage_status_t mlirage_vm_context_reset(mlirage_vm_context_t* context, mlirage_error_t* error) {
  release_globals(context);
  return run_initializers(context, error);
}

void mlirage_vm_context_release(mlirage_vm_context_t* context) {
  if (context == NULL) return;
  release_globals(context);
  const mlirage_allocator_t allocator = context->allocator;
  for (size_t i = 0; i < context->instance_count; ++i) {
    mlirage_vm_instance_t* instance = &context->instances[i];
    mlirage_free(allocator, instance->bindings, instance->module->imports_count * sizeof(*instance->bindings));
    mlirage_free(allocator, instance->globals, instance->module->globals_count * sizeof(*instance->globals));
    mlirage_module_release(instance->module);
  }
  mlirage_free(allocator, context->instances, context->instance_count * sizeof(*context->instances));
  mlirage_free(allocator, context->native_modules, context->native_module_count * sizeof(*context->native_modules));
  mlirage_free(allocator, context, sizeof(*context));
}

mlirage_status_t mlirage_vm_context_lookup(const mlirage_vm_context_t* context, size_t module, const char* name,
                                           mlirage_vm_function_t* out_function, mlirage_error_t* error) {
  *out_function = (mlirage_vm_function_t){0};
  if (module >= context->instance_count) return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "no module %zu", module);
  const mlirage_module_t* contents = context->instances[module].module;
  const size_t position = find_export(contents, name);
  if (position == mlirage_module_export_count(contents)) {
    return mlirage_fail(error, MLIRAGE_NOT_FOUND, "module '%s' has no function '%s'", mlirage_module_name(contents),
                        name);
  }
  out_function->module = (uint32_t)module;
  out_function->function = mlirage_module_export(contents, position).function;
  out_function->convention = contents->function_shapes[out_function->function];
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_check_ref(void* ref, const mlirage_object_type_t* type, const char* argument,
                                      mlirage_error_t* error) {
  if (ref == NULL) return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%s is null", argument);
  const mlirage_object_type_t* given = ((const mlirage_object_t*)ref)->type;
  if (given == type) return MLIRAGE_OK;
  return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%s is a %s where a %s is needed", argument, given->name,
                      type->name);
}
