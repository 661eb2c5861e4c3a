#include "hal/pool.h"

#include "base/memory.h"

// Blocks that are kept at most; the search for one that fits is linear.
#define MAX_POOLED_BLOCKS 64u
// What is kept may exceed the program's own largest demand by this much, so that small
// programs whose sizes vary from call to call do not go to the system each time.
#define POOL_SLACK ((uint64_t)4 << 20)

_Static_assert(sizeof(mlirage_block_t) <= MLIRAGE_BLOCK_ALIGNMENT, "the header precedes aligned data");

void mlirage_pool_initialize(mlirage_pool_t* pool, mlirage_allocator_t allocator) {
  memset(pool, 0, sizeof(*pool));
  pool->allocator = allocator;
}

static size_t class_size(size_t class) { return (size_t)64 << class; }

// The smallest class that holds |size|; MLIRAGE_CELL_CLASSES if none does.
static size_t class_of(size_t size) {
  size_t class = 0;
  while (class < MLIRAGE_CELL_CLASSES && class_size(class) < size) ++class;
  return class;
}

static void unlink_block(mlirage_pool_t* pool, mlirage_block_t* block) {
  *(block->newer != NULL ? &block->newer->older : &pool->newest) = block->older;
  *(block->older != NULL ? &block->older->newer : &pool->oldest) = block->newer;
  --pool->block_count;
  pool->statistics.pooled_bytes -= block->capacity;
}

static void evict_oldest(mlirage_pool_t* pool) {
  mlirage_block_t* block = pool->oldest;
  unlink_block(pool, block);
  ++pool->statistics.frees;
  pool->statistics.freed_bytes += block->capacity;
  mlirage_free(pool->allocator, block->base, block->base_size);
}

void mlirage_pool_trim(mlirage_pool_t* pool) {
  mlirage_lock_acquire(&pool->lock);
  while (pool->oldest != NULL) evict_oldest(pool);
  for (size_t class = 0; class < MLIRAGE_CELL_CLASSES; ++class) {
    while (pool->cells[class] != NULL) {
      mlirage_cell_t* cell = pool->cells[class];
      pool->cells[class] = cell->next;
      mlirage_free(pool->allocator, cell, class_size(class));
    }
  }
  mlirage_lock_release(&pool->lock);
}

// The smallest kept block that holds |length| and wastes at most a quarter.
static mlirage_block_t* find_block(mlirage_pool_t* pool, size_t length) {
  const size_t limit = length > SIZE_MAX / 2 ? SIZE_MAX : length + length / 4 + 1024;
  mlirage_block_t* best = NULL;
  for (mlirage_block_t* block = pool->newest; block != NULL; block = block->older) {
    if (block->capacity < length || block->capacity > limit) continue;
    if (best == NULL || block->capacity < best->capacity) best = block;
    if (best->capacity - length < MLIRAGE_BLOCK_ALIGNMENT) break;
  }
  return best;
}

static mlirage_status_t create_block(mlirage_pool_t* pool, size_t length, mlirage_block_t** out_block) {
  size_t capacity = 0;
  size_t base_size = 0;
  if (!mlirage_checked_align(length, MLIRAGE_BLOCK_ALIGNMENT, &capacity) ||
      !mlirage_checked_add(capacity, 2 * MLIRAGE_BLOCK_ALIGNMENT, &base_size)) {
    return MLIRAGE_OUT_OF_MEMORY;
  }
  const uint64_t live = pool->statistics.live_bytes;
  while (pool->oldest != NULL &&
         live + pool->statistics.pooled_bytes + capacity > pool->statistics.peak_live_bytes + POOL_SLACK) {
    evict_oldest(pool);
  }
  void* base = pool->allocator.resize(pool->allocator.self, NULL, 0, base_size);
  if (base == NULL) return MLIRAGE_OUT_OF_MEMORY;
  const uintptr_t aligned = ((uintptr_t)base + MLIRAGE_BLOCK_ALIGNMENT - 1) & ~(uintptr_t)(MLIRAGE_BLOCK_ALIGNMENT - 1);
  mlirage_block_t* block = (mlirage_block_t*)((uint8_t*)base + (aligned - (uintptr_t)base));
  *block = (mlirage_block_t){.base = base, .base_size = base_size, .capacity = capacity};
  ++pool->statistics.allocations;
  pool->statistics.allocated_bytes += capacity;
  *out_block = block;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_pool_acquire(mlirage_pool_t* pool, size_t length, mlirage_block_t** out_block) {
  *out_block = NULL;
  mlirage_status_t status = MLIRAGE_OK;
  mlirage_lock_acquire(&pool->lock);
  mlirage_block_t* block = find_block(pool, length);
  if (block != NULL) {
    unlink_block(pool, block);
    ++pool->statistics.pool_hits;
  } else {
    status = create_block(pool, length, &block);
  }
  if (status == MLIRAGE_OK) {
    mlirage_device_statistics_t* statistics = &pool->statistics;
    statistics->live_bytes += block->capacity;
    if (statistics->live_bytes > statistics->peak_live_bytes) statistics->peak_live_bytes = statistics->live_bytes;
    const uint64_t held = statistics->live_bytes + statistics->pooled_bytes;
    if (held > statistics->peak_bytes) statistics->peak_bytes = held;
    *out_block = block;
  }
  mlirage_lock_release(&pool->lock);
  return status;
}

void mlirage_pool_release(mlirage_pool_t* pool, mlirage_block_t* block) {
  mlirage_lock_acquire(&pool->lock);
  pool->statistics.live_bytes -= block->capacity;
  pool->statistics.pooled_bytes += block->capacity;
  block->newer = NULL;
  block->older = pool->newest;
  *(pool->newest != NULL ? &pool->newest->newer : &pool->oldest) = block;
  pool->newest = block;
  if (++pool->block_count > MAX_POOLED_BLOCKS) evict_oldest(pool);
  mlirage_lock_release(&pool->lock);
}

mlirage_status_t mlirage_pool_cell_acquire(mlirage_pool_t* pool, size_t size, void** out_cell) {
  const size_t class = class_of(size);
  if (class == MLIRAGE_CELL_CLASSES) return mlirage_allocate(pool->allocator, size, out_cell);
  mlirage_lock_acquire(&pool->lock);
  mlirage_cell_t* cell = pool->cells[class];
  if (cell != NULL) pool->cells[class] = cell->next;
  mlirage_lock_release(&pool->lock);
  if (cell == NULL) return mlirage_allocate(pool->allocator, class_size(class), out_cell);
  memset(cell, 0, size);
  *out_cell = cell;
  return MLIRAGE_OK;
}

void mlirage_pool_cell_release(mlirage_pool_t* pool, void* cell, size_t size) {
  if (cell == NULL) return;
  const size_t class = class_of(size);
  if (class == MLIRAGE_CELL_CLASSES) {
    mlirage_free(pool->allocator, cell, size);
    return;
  }
  mlirage_cell_t* freed = cell;
  mlirage_lock_acquire(&pool->lock);
  freed->next = pool->cells[class];
  pool->cells[class] = freed;
  mlirage_lock_release(&pool->lock);
}

mlirage_status_t mlirage_pool_cell_grow(mlirage_pool_t* pool, size_t old_size, size_t new_size, void** cell) {
  if (*cell != NULL && class_of(old_size) == class_of(new_size) && class_of(new_size) != MLIRAGE_CELL_CLASSES) {
    return MLIRAGE_OK;
  }
  void* grown = NULL;
  MLIRAGE_TRY(mlirage_pool_cell_acquire(pool, new_size, &grown));
  if (old_size != 0) memcpy(grown, *cell, old_size);
  mlirage_pool_cell_release(pool, *cell, old_size);
  *cell = grown;
  return MLIRAGE_OK;
}
