// Kernels that run in the call, one workgroup after the other: the native VM module
// `hal_loader` for those in the module file (execution model inline-dynamic), and a module
// for those linked into the host program (inline-static).
#ifndef MLIRAGE_HAL_LOADER_MODULE_H_
#define MLIRAGE_HAL_LOADER_MODULE_H_

#include "mlirage/base.h"
#include "mlirage/executable.h"
#include "mlirage/hal.h"
#include "mlirage/vm.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlirage_hal_loader_module_t mlirage_hal_loader_module_t;

// |device| (retained) has the loaders, and counts what is run; it runs nothing itself.
MLIRAGE_MUST_USE mlirage_status_t mlirage_hal_loader_module_create(mlirage_allocator_t allocator,
                                                                   mlirage_device_t* device,
                                                                   mlirage_hal_loader_module_t** out_module);
// After the contexts that use it. NULL is ignored.
void mlirage_hal_loader_module_release(mlirage_hal_loader_module_t* module);
// What mlirage_vm_context_create takes.
mlirage_vm_native_module_t mlirage_hal_loader_module_functions(mlirage_hal_loader_module_t* module);

typedef struct mlirage_static_library_module_t mlirage_static_library_module_t;

// The kernels of the library behind |query| as a module called |name| (borrowed), which is
// "<name of the program's module>_executables".
MLIRAGE_MUST_USE mlirage_status_t mlirage_static_library_module_create(mlirage_allocator_t allocator, const char* name,
                                                                       mlirage_executable_library_query_t query,
                                                                       mlirage_static_library_module_t** out_module,
                                                                       mlirage_error_t* error);
// After the contexts that use it. NULL is ignored.
void mlirage_static_library_module_release(mlirage_static_library_module_t* module);
mlirage_vm_native_module_t mlirage_static_library_module_functions(mlirage_static_library_module_t* module);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_HAL_LOADER_MODULE_H_
