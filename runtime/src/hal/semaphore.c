// Timelines: numbers that only grow. A point of one is a fence (fence.c); a semaphore
// lists the points that it has not reached.
#include "base/object.h"
#include "hal/fence.h"

struct mlirage_semaphore_t {
  mlirage_object_t object;
  mlirage_device_t* device;  // retained
  mlirage_lock_t lock;       // of all below and the points' list fields; taken after a fence's
  mlirage_status_t status;   // a failure is for ever
  uint64_t value;
  mlirage_error_t* failure;  // NULL: none, or no memory for text
  mlirage_fence_t* points;   // not retained, except those that are held
};

static void destroy(void* object) {
  mlirage_semaphore_t* semaphore = object;
  mlirage_device_t* device = semaphore->device;
  // Points keep their semaphore: none is left.
  mlirage_pool_cell_release(&device->pool, semaphore->failure, sizeof(*semaphore->failure));
  mlirage_pool_cell_release(&device->pool, semaphore, sizeof(*semaphore));
  mlirage_device_release(device);
}

const mlirage_object_type_t mlirage_semaphore_type = {"hal.semaphore", destroy};

mlirage_status_t mlirage_semaphore_create(mlirage_device_t* device, uint64_t initial_value,
                                          mlirage_semaphore_t** out_semaphore, mlirage_error_t* error) {
  *out_semaphore = NULL;
  void* cell = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, sizeof(mlirage_semaphore_t), &cell) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a semaphore");
  }
  mlirage_semaphore_t* semaphore = cell;
  mlirage_object_initialize(&semaphore->object, &mlirage_semaphore_type);
  mlirage_device_retain(device);
  semaphore->device = device;
  semaphore->value = initial_value;
  *out_semaphore = semaphore;
  return MLIRAGE_OK;
}

// With the lock.
static mlirage_status_t report(const mlirage_semaphore_t* semaphore, mlirage_error_t* error) {
  if (semaphore->status == MLIRAGE_OK || error == NULL) return semaphore->status;
  if (semaphore->failure != NULL) {
    *error = *semaphore->failure;
    return semaphore->status;
  }
  return mlirage_fail(error, semaphore->status, "work on device '%s' failed", semaphore->device->name);
}

mlirage_status_t mlirage_semaphore_query(mlirage_semaphore_t* semaphore, uint64_t* out_value, mlirage_error_t* error) {
  mlirage_lock_acquire(&semaphore->lock);
  *out_value = semaphore->value;
  const mlirage_status_t status = report(semaphore, error);
  mlirage_lock_release(&semaphore->lock);
  return status;
}

// Takes a point that |value| reaches, or any if the semaphore has failed, out of the list. With
// the lock; the point is retained.
static mlirage_fence_t* take_point(mlirage_semaphore_t* semaphore) {
  for (mlirage_fence_t** place = &semaphore->points; *place != NULL;) {
    mlirage_fence_t* point = *place;
    if (semaphore->status == MLIRAGE_OK && point->value > semaphore->value) {
      place = &point->next_point;
      continue;
    }
    *place = point->next_point;
    point->listed = false;
    if (point->held || mlirage_object_try_retain(point)) return point;
  }
  return NULL;
}

void mlirage_semaphore_reach(mlirage_semaphore_t* semaphore, uint64_t value, mlirage_status_t status,
                             const mlirage_error_t* failure) {
  void* cell = NULL;
  if (status != MLIRAGE_OK && failure != NULL && failure->text[0] != '\0' &&
      mlirage_pool_cell_acquire(&semaphore->device->pool, sizeof(*failure), &cell) != MLIRAGE_OK) {
    cell = NULL;  // the status alone will have to do
  }
  mlirage_semaphore_retain(semaphore);  // the last point may release it
  mlirage_lock_acquire(&semaphore->lock);
  if (semaphore->status == MLIRAGE_OK) {
    if (status == MLIRAGE_OK) {
      if (value > semaphore->value) semaphore->value = value;
    } else {
      semaphore->status = status;
      semaphore->failure = cell;
      if (cell != NULL) *semaphore->failure = *failure;
      cell = NULL;
    }
  }
  for (mlirage_fence_t* point = take_point(semaphore); point != NULL; point = take_point(semaphore)) {
    const mlirage_status_t reached = point->value <= semaphore->value ? MLIRAGE_OK : semaphore->status;
    const mlirage_error_t* text = semaphore->failure;  // written once
    mlirage_lock_release(&semaphore->lock);
    mlirage_fence_resolve(point, reached, text);
    mlirage_fence_release(point);
    mlirage_lock_acquire(&semaphore->lock);
  }
  mlirage_lock_release(&semaphore->lock);
  mlirage_pool_cell_release(&semaphore->device->pool, cell, sizeof(*failure));
  mlirage_semaphore_release(semaphore);
}

mlirage_status_t mlirage_semaphore_signal(mlirage_semaphore_t* semaphore, uint64_t value, mlirage_error_t* error) {
  uint64_t reached = 0;
  MLIRAGE_TRY(mlirage_semaphore_query(semaphore, &reached, error));
  if (value <= reached) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "signal of %llu at a semaphore that is at %llu",
                        (unsigned long long)value, (unsigned long long)reached);
  }
  mlirage_semaphore_reach(semaphore, value, MLIRAGE_OK, NULL);
  return MLIRAGE_OK;
}

void mlirage_semaphore_fail(mlirage_semaphore_t* semaphore, mlirage_status_t status, const mlirage_error_t* error) {
  mlirage_semaphore_reach(semaphore, 0, status, error);
}

mlirage_status_t mlirage_semaphore_wait(mlirage_semaphore_t* semaphore, uint64_t value, uint64_t timeout_ns,
                                        mlirage_error_t* error) {
  mlirage_fence_t* point = NULL;
  MLIRAGE_TRY(mlirage_semaphore_point(semaphore, value, &point, error));
  const mlirage_status_t status = mlirage_fence_wait(point, timeout_ns, error);
  mlirage_fence_release(point);
  return status;
}

//===--- Points -----------------------------------------------------------------===

mlirage_status_t mlirage_semaphore_point(mlirage_semaphore_t* semaphore, uint64_t value, mlirage_fence_t** out_fence,
                                         mlirage_error_t* error) {
  *out_fence = NULL;
  mlirage_fence_t* point = NULL;
  MLIRAGE_TRY(mlirage_fence_create(semaphore->device, &point, error));
  mlirage_semaphore_retain(semaphore);
  point->semaphore = semaphore;
  point->value = value;
  mlirage_lock_acquire(&semaphore->lock);
  const bool reached = value <= semaphore->value;
  const bool pending = !reached && semaphore->status == MLIRAGE_OK;
  if (pending) {
    point->next_point = semaphore->points;
    semaphore->points = point;
    point->listed = true;
  }
  const mlirage_status_t status = reached ? MLIRAGE_OK : semaphore->status;
  const mlirage_error_t* failure = semaphore->failure;  // written once
  mlirage_lock_release(&semaphore->lock);
  if (!pending) mlirage_fence_resolve(point, status, failure);
  *out_fence = point;
  return MLIRAGE_OK;
}

void mlirage_semaphore_hold(mlirage_fence_t* point) {
  mlirage_lock_acquire(&point->semaphore->lock);
  if (point->listed && !point->held) {
    point->held = true;
    mlirage_fence_retain(point);
  }
  mlirage_lock_release(&point->semaphore->lock);
}

bool mlirage_semaphore_let_go(mlirage_fence_t* point) {
  mlirage_lock_acquire(&point->semaphore->lock);
  const bool held = point->listed && point->held;
  if (held) point->held = false;
  mlirage_lock_release(&point->semaphore->lock);
  return held;
}

void mlirage_semaphore_forget(mlirage_fence_t* point) {
  mlirage_semaphore_t* semaphore = point->semaphore;
  mlirage_lock_acquire(&semaphore->lock);
  if (point->listed) {
    mlirage_fence_t** place = &semaphore->points;
    while (*place != point) place = &(*place)->next_point;
    *place = point->next_point;
    point->listed = false;
  }
  mlirage_lock_release(&semaphore->lock);
}
