// Finds operations that would wait for themselves: they would never start, and keep all
// that they use. Who waits for what is a graph of fences; its edges are the operations and
// joins on the fences' lists of waiters. Asked only where a new operation signals a fence
// that others wait for already, which is rare.
#include "hal/fence.h"

// Fences to look at, each once; a growing array of references.
typedef struct reached_t {
  mlirage_pool_t* pool;
  mlirage_fence_t** fences;
  size_t count;
  size_t capacity;
} reached_t;

static mlirage_status_t add(reached_t* reached, mlirage_fence_t* fence) {
  for (size_t i = 0; i < reached->count; ++i) {
    if (reached->fences[i] == fence) return MLIRAGE_OK;
  }
  if (reached->count == reached->capacity) {
    const size_t capacity = reached->capacity == 0 ? 16 : 2 * reached->capacity;
    void* cell = reached->fences;
    MLIRAGE_TRY(mlirage_pool_cell_grow(reached->pool, reached->capacity * sizeof(*reached->fences),
                                       capacity * sizeof(*reached->fences), &cell));
    reached->fences = cell;
    reached->capacity = capacity;
  }
  mlirage_fence_retain(fence);
  reached->fences[reached->count++] = fence;
  return MLIRAGE_OK;
}

static mlirage_status_t add_successors(reached_t* reached, mlirage_fence_t* fence) {
  mlirage_status_t status = MLIRAGE_OK;
  mlirage_lock_acquire(&fence->lock);
  for (mlirage_fence_waiter_t* waiter = fence->waiters; waiter != NULL && status == MLIRAGE_OK; waiter = waiter->next) {
    mlirage_fence_t* target = mlirage_queued_target(waiter);
    if (target == NULL) target = mlirage_join_target(waiter);
    if (target != NULL) status = add(reached, target);
  }
  mlirage_lock_release(&fence->lock);
  return status;
}

mlirage_status_t mlirage_fence_leads_to(mlirage_fence_t* from, const mlirage_fence_t* to, bool* out_leads) {
  *out_leads = from == to;
  reached_t reached = {.pool = &from->device->pool};
  mlirage_status_t status = add(&reached, from);
  for (size_t i = 0; i < reached.count && status == MLIRAGE_OK && !*out_leads; ++i) {
    status = add_successors(&reached, reached.fences[i]);
    *out_leads = reached.fences[i] == to;
  }
  for (size_t i = 0; i < reached.count; ++i) mlirage_fence_release(reached.fences[i]);
  mlirage_pool_cell_release(reached.pool, reached.fences, reached.capacity * sizeof(*reached.fences));
  return status;
}
