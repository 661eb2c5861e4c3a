// Memory of a device: blocks for buffers and cells for the small objects that every
// call makes. Both are kept when freed, so that steady state asks nothing of the system.
#ifndef MLIRAGE_HAL_POOL_H_
#define MLIRAGE_HAL_POOL_H_

#include "mlirage/hal.h"
#include "platform/platform.h"

#define MLIRAGE_BLOCK_ALIGNMENT 64u
// Cells come in sizes of 64 << class bytes; larger ones are not kept.
#define MLIRAGE_CELL_CLASSES 9u

// In front of the bytes of a block; data starts right after, aligned to 64.
typedef struct mlirage_block_t {
  struct mlirage_block_t* newer;
  struct mlirage_block_t* older;
  void* base;  // what the allocator gave
  size_t base_size;
  size_t capacity;  // bytes of data
} mlirage_block_t;

typedef struct mlirage_cell_t {
  struct mlirage_cell_t* next;
} mlirage_cell_t;

typedef struct mlirage_pool_t {
  mlirage_lock_t lock;
  mlirage_allocator_t allocator;
  mlirage_block_t* newest;
  mlirage_block_t* oldest;
  size_t block_count;
  mlirage_cell_t* cells[MLIRAGE_CELL_CLASSES];
  mlirage_device_statistics_t statistics;
} mlirage_pool_t;

void mlirage_pool_initialize(mlirage_pool_t* pool, mlirage_allocator_t allocator);
void mlirage_pool_trim(mlirage_pool_t* pool);

// A block of at least |length| > 0 bytes of unspecified contents.
MLIRAGE_MUST_USE mlirage_status_t mlirage_pool_acquire(mlirage_pool_t* pool, size_t length,
                                                       mlirage_block_t** out_block);
void mlirage_pool_release(mlirage_pool_t* pool, mlirage_block_t* block);
static inline uint8_t* mlirage_block_data(mlirage_block_t* block) { return (uint8_t*)block + MLIRAGE_BLOCK_ALIGNMENT; }

// |size| > 0 zeroed bytes for an object or a list of the host's.
MLIRAGE_MUST_USE mlirage_status_t mlirage_pool_cell_acquire(mlirage_pool_t* pool, size_t size, void** out_cell);
// |cell| may be NULL; |size| is what was asked for.
void mlirage_pool_cell_release(mlirage_pool_t* pool, void* cell, size_t size);
// Grows a cell; new bytes are unspecified, and on failure |*cell| is untouched.
MLIRAGE_MUST_USE mlirage_status_t mlirage_pool_cell_grow(mlirage_pool_t* pool, size_t old_size, size_t new_size,
                                                         void** cell);

#endif  // MLIRAGE_HAL_POOL_H_
