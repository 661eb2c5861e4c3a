// Internal: what the buffer instructions do. Offsets and lengths come from programs.
#ifndef MLIRAGE_VM_BUFFER_H_
#define MLIRAGE_VM_BUFFER_H_

#include "mlirage/vm.h"

// Does |buffer| (any reference, or NULL) lend |size| bytes at |offset| directly?
static inline bool mlirage_vm_buffer_has(const mlirage_vm_buffer_t* buffer, uint64_t offset, size_t size) {
  return buffer != NULL && buffer->object.type == &mlirage_vm_buffer_type &&
         mlirage_range_fits_u64(offset, size, buffer->length);
}

mlirage_status_t mlirage_vm_buffer_alloc(mlirage_allocator_t allocator, uint64_t length, void** out_buffer,
                                         mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_clone(mlirage_allocator_t allocator, void* source, uint64_t offset, uint64_t length,
                                         void** out_buffer, mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_slice(mlirage_allocator_t allocator, void* source, uint64_t offset, uint64_t length,
                                         void** out_buffer, mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_length(void* buffer, uint64_t* out_length, mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_compare(void* a, uint64_t a_offset, void* b, uint64_t b_offset, uint64_t length,
                                           uint32_t* out_is_equal, mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_fill(void* target, uint64_t offset, uint64_t length, uint64_t value,
                                        uint32_t value_size, mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_copy(void* source, uint64_t source_offset, void* target, uint64_t target_offset,
                                        uint64_t length, mlirage_error_t* error);
// Accesses of |size| bytes that mlirage_vm_buffer_has() has refused.
mlirage_status_t mlirage_vm_buffer_load(void* source, uint64_t offset, size_t size, void* out_value,
                                        mlirage_error_t* error);
mlirage_status_t mlirage_vm_buffer_store(void* target, uint64_t offset, size_t size, const void* value,
                                         mlirage_error_t* error);

#endif  // MLIRAGE_VM_BUFFER_H_
