// Internal: what the list instructions do. Positions and sizes come from programs.
#ifndef MLIRAGE_VM_LIST_H_
#define MLIRAGE_VM_LIST_H_

#include "mlirage/vm.h"

mlirage_status_t mlirage_vm_list_resize_to(mlirage_vm_list_t* list, uint64_t size, mlirage_error_t* error);
// 0 the null reference, 1 i32, 2 i64, 3 f32, 4 f64, 5 a reference.
mlirage_status_t mlirage_vm_list_kind(void* list, uint64_t index, uint32_t* out_kind, mlirage_error_t* error);
// The element at |index|, which must be of the kind of |*element|.
mlirage_status_t mlirage_vm_list_take(void* list, uint64_t index, mlirage_vm_variant_t* element,
                                      mlirage_error_t* error);
mlirage_status_t mlirage_vm_list_put(void* list, uint64_t index, mlirage_vm_variant_t element, mlirage_error_t* error);

#endif  // MLIRAGE_VM_LIST_H_
