// Whether to share work between threads, from what that has cost lately.
//
// On an idle machine two threads halve the time. On one whose cores are busy with other
// programs a wave waits for the slowest of its threads, which may be waiting for a core:
// then one thread is faster. Which it is, only trying tells. Kept for each magnitude of
// work: the mean time of either way, as a multiple of the estimate for one thread on an
// idle core. The better way is taken, and the other tried now and then, as often as a small
// part of the time spent so far pays for.
#ifndef MLIRAGE_HAL_DRIVERS_SHARING_H_
#define MLIRAGE_HAL_DRIVERS_SHARING_H_

#include "mlirage/base.h"

#define MLIRAGE_SHARING_MAGNITUDES 8u

typedef struct mlirage_sharing_t {
  struct {
    uint32_t cost[2];  // of one thread and of several; 1024 is the estimate
    uint64_t savings;  // nanoseconds that trying the other way may lose
    bool again;        // the other way was better when it was tried
  } magnitudes[MLIRAGE_SHARING_MAGNITUDES];
} mlirage_sharing_t;

void mlirage_sharing_initialize(mlirage_sharing_t* sharing);
// Should work that one thread is estimated to need |estimated| nanoseconds for be shared?
bool mlirage_sharing_decide(mlirage_sharing_t* sharing, uint64_t estimated);
// It took |took| nanoseconds that way.
void mlirage_sharing_learn(mlirage_sharing_t* sharing, uint64_t estimated, bool shared, uint64_t took);

#endif  // MLIRAGE_HAL_DRIVERS_SHARING_H_
