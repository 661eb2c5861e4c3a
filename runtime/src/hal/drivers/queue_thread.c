#include "hal/drivers/queue_thread.h"

#include "hal/queue.h"

// How long the thread looks for more before it sleeps: chains of short calls need no wake-up each.
#define SPIN_TIME 20000u
// Seen no progress for this long while spinning: the core is needed by others.
#define DESCHEDULED 500000u

enum { RUNNING = 0, STOPPED = 1, DETACHED = 2 };

struct mlirage_queue_thread_t {
  mlirage_allocator_t allocator;
  mlirage_device_t* device;  // not retained: it owns this
  mlirage_thread_t thread;
  uint32_t tickets;  // atomic; counts wake-ups, the thread sleeps on it
  uint32_t seen;     // atomic; tickets that were served, waiters sleep on it
  uint32_t asleep;   // atomic
  uint32_t waiting;  // atomic; how many sleep on |seen|
  uint32_t end;      // atomic
};

// New tickets, after a short look.
static bool has_tickets(mlirage_queue_thread_t* thread, uint32_t seen) {
  const uint64_t start = mlirage_platform_now_ns();
  for (uint64_t now = start; now - start < SPIN_TIME;) {
    for (int i = 0; i < 16; ++i) {
      if (__atomic_load_n(&thread->tickets, __ATOMIC_SEQ_CST) != seen) return true;
      mlirage_platform_pause();
    }
    const uint64_t last = now;
    now = mlirage_platform_now_ns();
    if (now - last > DESCHEDULED) break;
  }
  return __atomic_load_n(&thread->tickets, __ATOMIC_SEQ_CST) != seen;
}

static void thread_main(void* argument) {
  mlirage_queue_thread_t* thread = argument;
  uint32_t seen = 0;
  while (__atomic_load_n(&thread->end, __ATOMIC_ACQUIRE) == RUNNING) {
    if (!has_tickets(thread, seen)) {
      __atomic_store_n(&thread->asleep, 1u, __ATOMIC_SEQ_CST);
      if (__atomic_load_n(&thread->tickets, __ATOMIC_SEQ_CST) == seen) {
        mlirage_platform_wait(&thread->tickets, seen, UINT64_MAX);
      }
      __atomic_store_n(&thread->asleep, 0u, __ATOMIC_SEQ_CST);
      continue;
    }
    seen = __atomic_load_n(&thread->tickets, __ATOMIC_SEQ_CST);
    // May release the last reference to the device, which then detaches this thread.
    if (__atomic_load_n(&thread->end, __ATOMIC_ACQUIRE) == RUNNING) mlirage_queue_run_ready(thread->device, NULL);
    __atomic_store_n(&thread->seen, seen, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&thread->waiting, __ATOMIC_SEQ_CST) != 0) mlirage_platform_wake(&thread->seen, UINT32_MAX);
  }
  if (__atomic_load_n(&thread->end, __ATOMIC_ACQUIRE) == DETACHED) {
    mlirage_platform_thread_detach(&thread->thread);
    mlirage_free(thread->allocator, thread, sizeof(*thread));
  }
}

mlirage_status_t mlirage_queue_thread_create(mlirage_device_t* device, uint32_t core,
                                             mlirage_queue_thread_t** out_thread, mlirage_error_t* error) {
  *out_thread = NULL;
  void* block = NULL;
  if (mlirage_allocate(device->allocator, sizeof(mlirage_queue_thread_t), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for the queue of device '%s'", device->name);
  }
  mlirage_queue_thread_t* thread = block;
  thread->allocator = device->allocator;
  thread->device = device;
  const mlirage_status_t status =
      mlirage_platform_thread_create(thread_main, thread, "mlirage-queue", core, &thread->thread);
  if (status != MLIRAGE_OK) {
    mlirage_free(thread->allocator, thread, sizeof(*thread));
    return mlirage_fail(error, status, "cannot start a thread for the queue of device '%s'", device->name);
  }
  *out_thread = thread;
  return MLIRAGE_OK;
}

bool mlirage_queue_thread_is_here(const mlirage_queue_thread_t* thread) {
  return mlirage_platform_thread_is_here(&thread->thread);
}

void mlirage_queue_thread_wake(mlirage_queue_thread_t* thread) {
  __atomic_fetch_add(&thread->tickets, 1u, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&thread->asleep, __ATOMIC_SEQ_CST) != 0) mlirage_platform_wake(&thread->tickets, 1);
}

void mlirage_queue_thread_wait(mlirage_queue_thread_t* thread) {
  if (mlirage_platform_thread_is_current(&thread->thread) || !mlirage_queue_thread_is_here(thread)) return;
  __atomic_fetch_add(&thread->waiting, 1u, __ATOMIC_SEQ_CST);
  for (;;) {
    const uint32_t seen = __atomic_load_n(&thread->seen, __ATOMIC_SEQ_CST);
    if (seen == __atomic_load_n(&thread->tickets, __ATOMIC_SEQ_CST)) break;
    mlirage_platform_wait(&thread->seen, seen, UINT64_MAX);
  }
  __atomic_fetch_sub(&thread->waiting, 1u, __ATOMIC_SEQ_CST);
}

void mlirage_queue_thread_release(mlirage_queue_thread_t* thread) {
  if (thread == NULL) return;
  if (mlirage_platform_thread_is_current(&thread->thread)) {
    __atomic_store_n(&thread->end, (uint32_t)DETACHED, __ATOMIC_RELEASE);
    return;
  }
  __atomic_store_n(&thread->end, (uint32_t)STOPPED, __ATOMIC_RELEASE);
  mlirage_queue_thread_wake(thread);
  mlirage_platform_thread_join(&thread->thread);
  mlirage_free(thread->allocator, thread, sizeof(*thread));
}
