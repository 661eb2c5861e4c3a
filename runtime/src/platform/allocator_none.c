// Builds without malloc: memory is what the program supplies (mlirage_arena_initialize).
#include "mlirage/base.h"

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  (void)self, (void)block, (void)old_size, (void)new_size;
  return NULL;
}

mlirage_allocator_t mlirage_allocator_system(void) { return (mlirage_allocator_t){NULL, resize}; }
