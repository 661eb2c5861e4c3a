// The native VM module `hal`: what compiled programs call to reach devices. One
// function per op of mlirage/hal/dialect.py, over hal.h.
#ifndef MLIRAGE_HAL_MODULE_H_
#define MLIRAGE_HAL_MODULE_H_

#include "mlirage/base.h"
#include "mlirage/hal.h"
#include "mlirage/parameters.h"
#include "mlirage/vm.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlirage_hal_module_t mlirage_hal_module_t;

// Creates the state behind the functions: |devices| (retained), numbered in order
// for hal.device_get.
MLIRAGE_MUST_USE mlirage_status_t mlirage_hal_module_create(mlirage_allocator_t allocator,
                                                            mlirage_device_t* const* devices, size_t device_count,
                                                            mlirage_hal_module_t** out_module);
// What hal.parameter_load finds (retained); NULL, as in the beginning: none.
void mlirage_hal_module_set_parameters(mlirage_hal_module_t* module, mlirage_parameters_t* parameters);
// After the contexts that use it. NULL is ignored.
void mlirage_hal_module_release(mlirage_hal_module_t* module);
// What mlirage_vm_context_create takes.
mlirage_vm_native_module_t mlirage_hal_module_functions(mlirage_hal_module_t* module);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_HAL_MODULE_H_
