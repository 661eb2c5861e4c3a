#include <stdlib.h>

#include "mlirage/base.h"

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  (void)self;
  (void)old_size;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new_size);
}

mlirage_allocator_t mlirage_allocator_system(void) { return (mlirage_allocator_t){NULL, resize}; }
