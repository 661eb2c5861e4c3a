// Kernels that are linked into the host program, as a native VM module.
#include "base/memory.h"
#include "hal_loader_module/dispatch.h"
#include "mlirage/hal_loader_module.h"

struct mlirage_static_library_module_t {
  mlirage_allocator_t allocator;
  const char* name;
  mlirage_library_t library;
  mlirage_dispatch_memory_t memory;
};

static mlirage_status_t dispatch(mlirage_vm_call_t* call) {
  mlirage_static_library_module_t* module = call->self;
  uint64_t workgroups = 0;
  return mlirage_dispatch_inline(call, 0, &module->library, &module->memory, &workgroups);
}

static const mlirage_vm_native_export_t exports[] = {{"dispatch", "iIII[i][r][I][I]_", dispatch}};

mlirage_status_t mlirage_static_library_module_create(mlirage_allocator_t allocator, const char* name,
                                                      mlirage_executable_library_query_t query,
                                                      mlirage_static_library_module_t** out_module,
                                                      mlirage_error_t* error) {
  *out_module = NULL;
  const mlirage_executable_library_t* library = query(MLIRAGE_EXECUTABLE_VERSION);
  if (library == NULL || library->version != MLIRAGE_EXECUTABLE_VERSION) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "kernels of '%s' are not of version %u, which this runtime runs",
                        name, MLIRAGE_EXECUTABLE_VERSION);
  }
  void* block = NULL;
  if (mlirage_allocate(allocator, sizeof(mlirage_static_library_module_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for the kernels of '%s'", name);
  }
  mlirage_static_library_module_t* module = block;
  module->allocator = allocator;
  module->name = name;
  module->library.table = library;
  module->memory.allocator = allocator;
  *out_module = module;
  return MLIRAGE_OK;
}

void mlirage_static_library_module_release(mlirage_static_library_module_t* module) {
  if (module == NULL) return;
  mlirage_dispatch_memory_free(&module->memory);
  mlirage_free(module->allocator, module, sizeof(*module));
}

mlirage_vm_native_module_t mlirage_static_library_module_functions(mlirage_static_library_module_t* module) {
  return (mlirage_vm_native_module_t){
      .name = module->name,
      .version = 1,
      .export_count = sizeof(exports) / sizeof(*exports),
      .exports = exports,
      .self = module,
  };
}
