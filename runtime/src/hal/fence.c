#include "hal/fence.h"

#include "hal/queue.h"

enum { STATE_PENDING = 0, STATE_SIGNALLED = 1 };

static void signal(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* failure);

static void destroy(void* object) {
  mlirage_fence_t* fence = object;
  mlirage_device_t* device = fence->device;
  if (fence->waiters != NULL) {
    // Nobody is left who could signal it. What waits learns that, and whom it holds is let go.
    static const mlirage_error_t abandoned = {MLIRAGE_ABORTED, "a fence was released before it was signalled"};
    mlirage_object_initialize(&fence->object, &mlirage_fence_type);
    signal(fence, MLIRAGE_ABORTED, &abandoned);
    mlirage_fence_release(fence);
    return;
  }
  if (fence->semaphore != NULL) mlirage_semaphore_forget(fence);
  mlirage_semaphore_release(fence->semaphore);
  mlirage_pool_cell_release(&device->pool, fence->failure, sizeof(*fence->failure));
  mlirage_pool_cell_release(&device->pool, fence, sizeof(*fence));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_fence_type = {"hal.fence", destroy};

mlirage_status_t mlirage_fence_create(mlirage_device_t* device, mlirage_fence_t** out_fence, mlirage_error_t* error) {
  *out_fence = NULL;
  void* cell = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, sizeof(mlirage_fence_t), &cell) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a fence");
  }
  mlirage_fence_t* fence = cell;
  mlirage_object_initialize(&fence->object, &mlirage_fence_type);
  mlirage_device_retain(device);
  fence->device = device;
  *out_fence = fence;
  return MLIRAGE_OK;
}

bool mlirage_fence_is_signalled(mlirage_fence_t* fence) {
  return fence == NULL || __atomic_load_n(&fence->state, __ATOMIC_ACQUIRE) == STATE_SIGNALLED;
}

bool mlirage_fence_has_waiters(mlirage_fence_t* fence) {
  mlirage_lock_acquire(&fence->lock);
  const bool has = fence->waiters != NULL;
  mlirage_lock_release(&fence->lock);
  return has;
}

// True if this was the first signal.
static bool resolve(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* failure) {
  mlirage_pool_t* pool = &fence->device->pool;
  mlirage_error_t* kept = NULL;
  if (failure != NULL && status != MLIRAGE_OK && failure->text[0] != '\0') {
    void* cell = NULL;
    if (mlirage_pool_cell_acquire(pool, sizeof(*kept), &cell) == MLIRAGE_OK) {
      kept = cell;
      *kept = *failure;
    }
  }
  mlirage_lock_acquire(&fence->lock);
  const bool first = fence->state == STATE_PENDING;
  mlirage_fence_waiter_t* waiters = NULL;
  if (first) {
    fence->status = status;
    fence->failure = kept;
    waiters = fence->waiters;
    fence->waiters = NULL;
    __atomic_store_n(&fence->state, (uint32_t)STATE_SIGNALLED, __ATOMIC_SEQ_CST);
  }
  mlirage_lock_release(&fence->lock);
  if (!first) {
    mlirage_pool_cell_release(pool, kept, sizeof(*kept));
  } else if (__atomic_load_n(&fence->sleeper_count, __ATOMIC_SEQ_CST) != 0) {
    mlirage_platform_wake(&fence->state, UINT32_MAX);
  }
  while (waiters != NULL) {
    mlirage_fence_waiter_t* waiter = waiters;
    waiters = waiter->next;
    waiter->call(waiter, status);
  }
  return first;
}

void mlirage_fence_resolve(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* failure) {
  (void)resolve(fence, status, failure);
}

static void signal(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* failure) {
  mlirage_fence_retain(fence);  // a waiter may release the last reference
  if (resolve(fence, status, failure) && fence->semaphore != NULL) {
    mlirage_semaphore_reach(fence->semaphore, fence->value, status, failure);
  }
  mlirage_fence_release(fence);
}

void mlirage_fence_signal(mlirage_fence_t* fence) { signal(fence, MLIRAGE_OK, NULL); }

void mlirage_fence_fail(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* error) {
  signal(fence, status, error);
}

mlirage_status_t mlirage_fence_query(mlirage_fence_t* fence, mlirage_error_t* error) {
  if (fence == NULL) return MLIRAGE_OK;
  if (!mlirage_fence_is_signalled(fence)) return MLIRAGE_PENDING;
  if (fence->status != MLIRAGE_OK && error != NULL) {
    if (fence->failure != NULL) {
      *error = *fence->failure;
    } else {
      mlirage_fail(error, fence->status, "work on device '%s' failed", fence->device->name);
    }
  }
  return fence->status;
}

mlirage_status_t mlirage_fence_wait(mlirage_fence_t* fence, uint64_t timeout_ns, mlirage_error_t* error) {
  mlirage_status_t status = mlirage_fence_query(fence, error);
  if (status != MLIRAGE_PENDING || timeout_ns == 0) {
    return status == MLIRAGE_PENDING ? mlirage_fail(error, MLIRAGE_DEADLINE_EXCEEDED, "the fence is not signalled yet")
                                     : status;
  }
  if (timeout_ns == MLIRAGE_WAIT_FOREVER) {
    // What is ready but not begun may as well run here; there is no telling how long it takes.
    mlirage_queue_run_ready(fence->device, fence);
    status = mlirage_fence_query(fence, error);
    if (status != MLIRAGE_PENDING) return status;
  }
  const uint64_t start = timeout_ns == MLIRAGE_WAIT_FOREVER ? 0 : mlirage_platform_now_ns();
  __atomic_fetch_add(&fence->sleeper_count, 1u, __ATOMIC_SEQ_CST);
  do {
    uint64_t left = timeout_ns;
    if (timeout_ns != MLIRAGE_WAIT_FOREVER) {
      const uint64_t passed = mlirage_platform_now_ns() - start;
      if (passed >= timeout_ns) {
        status = mlirage_fail(error, MLIRAGE_DEADLINE_EXCEEDED, "the fence was not signalled within %llu ns",
                              (unsigned long long)timeout_ns);
        break;
      }
      left = timeout_ns - passed;
    }
    if (!mlirage_platform_wait(&fence->state, STATE_PENDING, left)) {
      status = mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "nothing on this system could signal the fence");
      break;
    }
    status = mlirage_fence_query(fence, error);
  } while (status == MLIRAGE_PENDING);
  __atomic_fetch_sub(&fence->sleeper_count, 1u, __ATOMIC_SEQ_CST);
  return status;
}

void mlirage_fence_notify(mlirage_fence_t* fence, mlirage_fence_waiter_t* waiter) {
  mlirage_status_t status = MLIRAGE_OK;
  if (fence != NULL) {
    mlirage_lock_acquire(&fence->lock);
    const bool pending = fence->state == STATE_PENDING;
    if (pending) {
      // Whoever waits for a point needs nobody but the timeline to reach it.
      if (fence->semaphore != NULL) mlirage_semaphore_hold(fence);
      waiter->next = fence->waiters;
      fence->waiters = waiter;
    } else {
      status = fence->status;
    }
    mlirage_lock_release(&fence->lock);
    if (pending) return;
  }
  waiter->call(waiter, status);
}

bool mlirage_fence_cancel(mlirage_fence_t* fence, mlirage_fence_waiter_t* waiter) {
  if (fence == NULL) return false;
  mlirage_lock_acquire(&fence->lock);
  mlirage_fence_waiter_t** place = &fence->waiters;
  while (*place != NULL && *place != waiter) place = &(*place)->next;
  const bool found = *place != NULL;
  if (found) *place = waiter->next;
  const bool let_go = found && fence->waiters == NULL && fence->semaphore != NULL && mlirage_semaphore_let_go(fence);
  mlirage_lock_release(&fence->lock);
  if (let_go) mlirage_fence_release(fence);
  return found;
}

//===----------------------------------------------------------------------===
// Joining
//===----------------------------------------------------------------------===

typedef struct joined_t {
  mlirage_fence_waiter_t waiter;
  mlirage_fence_t* source;  // calls, so it is there when it does
  struct join_t* join;
} joined_t;

typedef struct join_t {
  mlirage_fence_t* target;  // retained
  size_t size;              // of this cell
  uint32_t remaining;       // atomic
  joined_t fences[];
} join_t;

static void end_join(join_t* join, uint32_t count) {
  if (__atomic_sub_fetch(&join->remaining, count, __ATOMIC_ACQ_REL) != 0) return;
  mlirage_fence_t* target = join->target;
  mlirage_pool_cell_release(&target->device->pool, join, join->size);
  mlirage_fence_signal(target);  // ignored if a failure was first
  mlirage_fence_release(target);
}

static void joined_signalled(mlirage_fence_waiter_t* waiter, mlirage_status_t status) {
  joined_t* joined = (joined_t*)waiter;
  join_t* join = joined->join;
  if (status != MLIRAGE_OK) mlirage_fence_fail(join->target, status, joined->source->failure);
  end_join(join, 1);
}

mlirage_fence_t* mlirage_join_target(const mlirage_fence_waiter_t* waiter) {
  return waiter->call == joined_signalled ? ((const joined_t*)waiter)->join->target : NULL;
}

mlirage_status_t mlirage_fence_join(size_t count, mlirage_fence_t* const* fences, mlirage_fence_t** out_fence,
                                    mlirage_error_t* error) {
  *out_fence = NULL;
  mlirage_fence_t* only = NULL;
  uint32_t pending = 0;
  for (size_t i = 0; i < count; ++i) {
    mlirage_fence_t* fence = fences[i];
    if (fence == NULL || fence == only || mlirage_fence_query(fence, NULL) == MLIRAGE_OK) continue;
    if (mlirage_fence_is_signalled(fence)) {  // failed: so has the whole
      mlirage_fence_retain(fence);
      *out_fence = fence;
      return MLIRAGE_OK;
    }
    only = fence;
    ++pending;
  }
  if (pending <= 1) {
    mlirage_fence_retain(only);
    *out_fence = only;
    return MLIRAGE_OK;
  }
  mlirage_fence_t* target = NULL;
  MLIRAGE_TRY(mlirage_fence_create(only->device, &target, error));
  const size_t size = sizeof(join_t) + count * sizeof(joined_t);
  void* block = NULL;
  if (mlirage_pool_cell_acquire(&only->device->pool, size, &block) != MLIRAGE_OK) {
    mlirage_fence_release(target);
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory to join %zu fences", count);
  }
  join_t* join = block;
  mlirage_fence_retain(target);
  join->target = target;
  join->size = size;
  join->remaining = (uint32_t)count + 1;  // one for this function: the loop must end first
  for (size_t i = 0; i < count; ++i) {
    joined_t* joined = &join->fences[i];
    *joined = (joined_t){.waiter = {NULL, joined_signalled}, .source = fences[i], .join = join};
    mlirage_fence_notify(joined->source, &joined->waiter);
  }
  end_join(join, 1);
  *out_fence = target;
  return MLIRAGE_OK;
}
