// The lock of "Futexes Are Tricky" (Drepper): two atomics when nobody else wants it.
#include "platform/platform.h"

static uint32_t exchange(mlirage_lock_t* lock, uint32_t state) {
  return __atomic_exchange_n(&lock->state, state, __ATOMIC_ACQUIRE);
}

bool mlirage_lock_try_acquire(mlirage_lock_t* lock) {
  uint32_t expected = 0;
  return __atomic_compare_exchange_n(&lock->state, &expected, 1u, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void mlirage_lock_acquire(mlirage_lock_t* lock) {
  if (mlirage_lock_try_acquire(lock)) return;
  while (exchange(lock, 2) != 0) mlirage_platform_wait(&lock->state, 2, UINT64_MAX);
}

void mlirage_lock_release(mlirage_lock_t* lock) {
  if (__atomic_exchange_n(&lock->state, 0u, __ATOMIC_RELEASE) == 2) mlirage_platform_wake(&lock->state, 1);
}
