// The inside of fences, for the files of hal/.
#ifndef MLIRAGE_HAL_FENCE_H_
#define MLIRAGE_HAL_FENCE_H_

#include "hal/device.h"

struct mlirage_fence_t {
  mlirage_object_t object;
  mlirage_device_t* device;  // retained
  mlirage_lock_t lock;       // of waiters
  uint32_t state;            // atomic; threads sleep on it
  uint32_t sleeper_count;    // atomic
  mlirage_status_t status;   // valid once signalled, as is |failure|
  mlirage_error_t* failure;  // NULL if the work succeeded or there was no memory for text
  mlirage_fence_waiter_t* waiters;
  // Of a point on a timeline, under the semaphore's lock but |semaphore| and |value|.
  mlirage_semaphore_t* semaphore;  // retained; NULL: no point
  uint64_t value;
  mlirage_fence_t* next_point;
  bool listed;  // among the semaphore's points
  bool held;    // retained by the semaphore: somebody waits for the point
};

// True once signalled, with success or not; NULL is.
bool mlirage_fence_is_signalled(mlirage_fence_t* fence);
bool mlirage_fence_has_waiters(mlirage_fence_t* fence);
// The first signal of |fence|, without a word to its semaphore. Text is copied from |failure|.
void mlirage_fence_resolve(mlirage_fence_t* fence, mlirage_status_t status, const mlirage_error_t* failure);

// Of semaphores, for points: somebody waits; nobody does anymore (true: release the point); the
// point was signalled; the point is gone.
void mlirage_semaphore_hold(mlirage_fence_t* point);
bool mlirage_semaphore_let_go(mlirage_fence_t* point);
void mlirage_semaphore_reach(mlirage_semaphore_t* semaphore, uint64_t value, mlirage_status_t status,
                             const mlirage_error_t* failure);
void mlirage_semaphore_forget(mlirage_fence_t* point);

// The fence that |waiter| will signal; NULL if it is no operation or join, but a callback.
mlirage_fence_t* mlirage_join_target(const mlirage_fence_waiter_t* waiter);
mlirage_fence_t* mlirage_queued_target(const mlirage_fence_waiter_t* waiter);
// Does signalling |from| lead, by operations and joins that wait now, to signalling |to|?
MLIRAGE_MUST_USE mlirage_status_t mlirage_fence_leads_to(mlirage_fence_t* from, const mlirage_fence_t* to,
                                                         bool* out_leads);

#endif  // MLIRAGE_HAL_FENCE_H_
