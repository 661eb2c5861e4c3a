// An allocator over one block of memory. Free chunks are a list in the order of addresses,
// searched from its beginning and merged with their neighbours. Small and predictable rather
// than fast: in steady state nothing is allocated.
#include "base/memory.h"
#include "platform/platform.h"

#define ALIGNMENT 16u

// In front of every chunk. Chunks in use have their size alone.
typedef struct chunk_t {
  size_t size;           // with this header, a multiple of ALIGNMENT
  struct chunk_t* next;  // of those that are free
} chunk_t;
_Static_assert(sizeof(chunk_t) <= ALIGNMENT, "memory behind a header is aligned");

typedef struct arena_t {
  mlirage_lock_t lock;
  chunk_t* free;
  mlirage_arena_statistics_t statistics;
} arena_t;

// |size| bytes and a header; 0 if that is no size.
static size_t chunk_size(size_t size) {
  size_t rounded = 0;
  if (!mlirage_checked_add(size, ALIGNMENT, &rounded) || !mlirage_checked_align(rounded, ALIGNMENT, &rounded)) return 0;
  return rounded;
}

static chunk_t* behind(chunk_t* chunk) { return (chunk_t*)(void*)((uint8_t*)chunk + chunk->size); }

static void* take(arena_t* arena, size_t size) {
  const size_t needed = chunk_size(size);
  for (chunk_t** place = &arena->free; needed != 0 && *place != NULL; place = &(*place)->next) {
    chunk_t* chunk = *place;
    if (chunk->size < needed) continue;
    if (chunk->size - needed >= 2 * ALIGNMENT) {
      chunk_t* rest = (chunk_t*)(void*)((uint8_t*)chunk + needed);
      *rest = (chunk_t){chunk->size - needed, chunk->next};
      chunk->size = needed;
      *place = rest;
    } else {
      *place = chunk->next;
    }
    arena->statistics.used += chunk->size;
    if (arena->statistics.used > arena->statistics.peak) arena->statistics.peak = arena->statistics.used;
    ++arena->statistics.allocations;
    return (uint8_t*)chunk + ALIGNMENT;
  }
  return NULL;
}

static void give(arena_t* arena, void* block) {
  chunk_t* chunk = (chunk_t*)(void*)((uint8_t*)block - ALIGNMENT);
  arena->statistics.used -= chunk->size;
  chunk_t* before = NULL;
  chunk_t* after = arena->free;
  while (after != NULL && after < chunk) {
    before = after;
    after = after->next;
  }
  chunk->next = after;
  if (after != NULL && behind(chunk) == after) {
    chunk->size += after->size;
    chunk->next = after->next;
  }
  if (before == NULL) {
    arena->free = chunk;
  } else if (behind(before) == chunk) {
    before->size += chunk->size;
    before->next = chunk->next;
  } else {
    before->next = chunk;
  }
}

static void* resize(void* self, void* block, size_t old_size, size_t new_size) {
  arena_t* arena = self;
  mlirage_lock_acquire(&arena->lock);
  void* result = new_size == 0 ? NULL : take(arena, new_size);
  if (result != NULL && block != NULL) memcpy(result, block, old_size < new_size ? old_size : new_size);
  if (block != NULL && (result != NULL || new_size == 0)) give(arena, block);
  mlirage_lock_release(&arena->lock);
  return result;
}

mlirage_status_t mlirage_arena_initialize(mlirage_mutable_bytes_t memory, mlirage_allocator_t* out_allocator,
                                          mlirage_error_t* error) {
  *out_allocator = (mlirage_allocator_t){NULL, NULL};
  const size_t skipped = (ALIGNMENT - (uintptr_t)memory.data % ALIGNMENT) % ALIGNMENT;
  const size_t header = (sizeof(arena_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  if (memory.size < skipped + header + 2 * ALIGNMENT) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "an arena of %zu bytes is too small for its own header",
                        memory.size);
  }
  arena_t* arena = (arena_t*)(void*)(memory.data + skipped);
  memset(arena, 0, sizeof(*arena));
  arena->free = (chunk_t*)(void*)((uint8_t*)arena + header);
  *arena->free = (chunk_t){(memory.size - skipped - header) / ALIGNMENT * ALIGNMENT, NULL};
  arena->statistics.size = arena->free->size;
  *out_allocator = (mlirage_allocator_t){arena, resize};
  return MLIRAGE_OK;
}

mlirage_arena_statistics_t mlirage_arena_statistics(mlirage_allocator_t arena) {
  arena_t* self = arena.self;
  mlirage_lock_acquire(&self->lock);
  const mlirage_arena_statistics_t statistics = self->statistics;
  mlirage_lock_release(&self->lock);
  return statistics;
}
