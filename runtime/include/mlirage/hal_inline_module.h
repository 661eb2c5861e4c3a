// The native VM module `hal_inline`: what programs compiled with execution models
// inline-static and inline-dynamic call for memory and for what crosses the boundary of
// their functions. A function per op of mlirage/hal/inline_dialect.py.
#ifndef MLIRAGE_HAL_INLINE_MODULE_H_
#define MLIRAGE_HAL_INLINE_MODULE_H_

#include "mlirage/base.h"
#include "mlirage/hal.h"
#include "mlirage/parameters.h"
#include "mlirage/vm.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlirage_hal_inline_module_t mlirage_hal_inline_module_t;

// |device| (retained) is the pool that memory comes from and what views belong to; it
// runs nothing. A context of its own for every thread that calls at the same time.
MLIRAGE_MUST_USE mlirage_status_t mlirage_hal_inline_module_create(mlirage_allocator_t allocator,
                                                                   mlirage_device_t* device,
                                                                   mlirage_hal_inline_module_t** out_module);
// What hal_inline.parameter_load finds (retained); NULL, as in the beginning: none.
void mlirage_hal_inline_module_set_parameters(mlirage_hal_inline_module_t* module, mlirage_parameters_t* parameters);
// After the contexts that use it. NULL is ignored.
void mlirage_hal_inline_module_release(mlirage_hal_inline_module_t* module);
// What mlirage_vm_context_create takes.
mlirage_vm_native_module_t mlirage_hal_inline_module_functions(mlirage_hal_inline_module_t* module);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_HAL_INLINE_MODULE_H_
