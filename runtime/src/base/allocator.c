#include "base/memory.h"
#include "mlirage/base.h"

mlirage_status_t mlirage_allocate(mlirage_allocator_t allocator, size_t size, void** out_block) {
  *out_block = NULL;
  if (size == 0) return MLIRAGE_OK;
  void* block = allocator.resize(allocator.self, NULL, 0, size);
  if (block == NULL) return MLIRAGE_OUT_OF_MEMORY;
  memset(block, 0, size);
  *out_block = block;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_reallocate(mlirage_allocator_t allocator, size_t old_size, size_t new_size, void** block) {
  if (old_size == new_size) return MLIRAGE_OK;
  if (new_size == 0) {
    mlirage_free(allocator, *block, old_size);
    *block = NULL;
    return MLIRAGE_OK;
  }
  void* resized = allocator.resize(allocator.self, *block, old_size, new_size);
  if (resized == NULL) return MLIRAGE_OUT_OF_MEMORY;
  *block = resized;
  return MLIRAGE_OK;
}

void mlirage_free(mlirage_allocator_t allocator, void* block, size_t size) {
  if (block != NULL) allocator.resize(allocator.self, block, size, 0);
}
