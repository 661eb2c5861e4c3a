// Waiting for one or all of several fences.
#include "hal/fence.h"

// Fences that need no memory to be waited for.
#define INLINE_FENCES 16u

// One for each fence, on the list of its waiters until it calls or is cancelled.
typedef struct any_waiter_t {
  mlirage_fence_waiter_t waiter;
  uint32_t* signalled;  // atomic: how many have called
} any_waiter_t;

static void any_signalled(mlirage_fence_waiter_t* waiter, mlirage_status_t status) {
  (void)status;  // asked of the fence by who wakes up
  uint32_t* signalled = ((any_waiter_t*)waiter)->signalled;
  __atomic_fetch_add(signalled, 1u, __ATOMIC_SEQ_CST);
  // The one who waits may be gone by now, and the word with it: a wake-up too many at worst.
  mlirage_platform_wake(signalled, 1);
}

static bool find_signalled(size_t count, mlirage_fence_t* const* fences, size_t* out_index) {
  for (size_t i = 0; i < count; ++i) {
    if (!mlirage_fence_is_signalled(fences[i])) continue;
    *out_index = i;
    return true;
  }
  return false;
}

// Nanoseconds that are left of |timeout_ns| since |start|.
static uint64_t time_left(uint64_t start, uint64_t timeout_ns) {
  if (timeout_ns == MLIRAGE_WAIT_FOREVER) return MLIRAGE_WAIT_FOREVER;
  const uint64_t passed = mlirage_platform_now_ns() - start;
  return passed < timeout_ns ? timeout_ns - passed : 0;
}

static mlirage_status_t wait_any(size_t count, mlirage_fence_t* const* fences, any_waiter_t* waiters,
                                 uint64_t timeout_ns, size_t* out_index, mlirage_error_t* error) {
  const uint64_t start = mlirage_platform_now_ns();
  uint32_t signalled = 0;
  for (size_t i = 0; i < count; ++i) {
    waiters[i] = (any_waiter_t){{NULL, any_signalled}, &signalled};
    mlirage_fence_notify(fences[i], &waiters[i].waiter);
  }
  mlirage_status_t status = MLIRAGE_OK;
  while (!find_signalled(count, fences, out_index)) {
    const uint64_t left = time_left(start, timeout_ns);
    if (left == 0) {
      status = mlirage_fail(error, MLIRAGE_DEADLINE_EXCEEDED, "none of %zu fences was signalled within %llu ns", count,
                            (unsigned long long)timeout_ns);
      break;
    }
    const uint32_t seen = __atomic_load_n(&signalled, __ATOMIC_SEQ_CST);
    if (seen != 0) continue;  // found in the next round
    if (!mlirage_platform_wait(&signalled, 0, left)) {
      status = mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "nothing on this system could signal the fences");
      break;
    }
  }
  // Those that cannot be cancelled are being called, or have been.
  uint32_t expected = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!mlirage_fence_cancel(fences[i], &waiters[i].waiter)) ++expected;
  }
  for (uint32_t seen = __atomic_load_n(&signalled, __ATOMIC_SEQ_CST); seen != expected;
       seen = __atomic_load_n(&signalled, __ATOMIC_SEQ_CST)) {
    mlirage_platform_wait(&signalled, seen, UINT64_MAX);
  }
  return status;
}

mlirage_status_t mlirage_fence_wait_any(size_t count, mlirage_fence_t* const* fences, uint64_t timeout_ns,
                                        size_t* out_index, mlirage_error_t* error) {
  *out_index = count;
  if (count == 0) return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "waiting for any of no fences would never end");
  if (find_signalled(count, fences, out_index)) return mlirage_fence_query(fences[*out_index], error);
  if (timeout_ns == 0) {
    return mlirage_fail(error, MLIRAGE_DEADLINE_EXCEEDED, "none of %zu fences is signalled yet", count);
  }
  any_waiter_t inline_waiters[INLINE_FENCES];
  any_waiter_t* waiters = inline_waiters;
  mlirage_device_t* device = fences[0]->device;  // not NULL: that would count as signalled
  size_t size = 0;
  if (count > INLINE_FENCES) {
    void* cell = NULL;
    if (!mlirage_checked_mul(count, sizeof(*waiters), &size) ||
        mlirage_pool_cell_acquire(&device->pool, size, &cell) != MLIRAGE_OK) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory to wait for %zu fences", count);
    }
    waiters = cell;
  }
  mlirage_device_retain(device);
  const mlirage_status_t status = wait_any(count, fences, waiters, timeout_ns, out_index, error);
  if (waiters != inline_waiters) mlirage_pool_cell_release(&device->pool, waiters, size);
  mlirage_device_release(device);
  return status == MLIRAGE_OK ? mlirage_fence_query(fences[*out_index], error) : status;
}

mlirage_status_t mlirage_fence_wait_all(size_t count, mlirage_fence_t* const* fences, uint64_t timeout_ns,
                                        mlirage_error_t* error) {
  const uint64_t start = timeout_ns == MLIRAGE_WAIT_FOREVER ? 0 : mlirage_platform_now_ns();
  for (size_t i = 0; i < count; ++i) {
    MLIRAGE_TRY(mlirage_fence_wait(fences[i], time_left(start, timeout_ns), error));
  }
  return MLIRAGE_OK;
}
