#include "hal/drivers/sharing.h"

// Of the time spent, this part may be lost by trying the way that seems to be the worse one.
#define TRIED_PART 32u
// Several threads this much faster than the estimate leave nothing to be found by trying one.
#define GOOD_COST 704u
// What was found out about the way that is not taken is forgotten by this part at each execution,
// and twice as fast where executions are long: machines change meanwhile.
#define FORGOTTEN_PART 64u
#define LONG_EXECUTION 1000000u
// Kept at most: this many times the estimate, so that the memory of good times does not pay for
// bad ones for long.
#define MOST_SAVINGS 8u
// A single execution counts as this multiple of its estimate at most.
#define MOST_COST (64u * 1024u)
// Of the way that is taken, it counts as this multiple of what was usual: one that was interrupted says little, and the
// third in a row is believed.
#define MOST_SURPRISE 2u

// Magnitude of |estimated|: below 16 us, below 64 us, …
static size_t magnitude_of(uint64_t estimated) {
  size_t magnitude = 0;
  for (uint64_t limit = 16000; magnitude + 1 < MLIRAGE_SHARING_MAGNITUDES && estimated >= limit; limit *= 4) {
    ++magnitude;
  }
  return magnitude;
}

void mlirage_sharing_initialize(mlirage_sharing_t* sharing) {
  for (size_t i = 0; i < MLIRAGE_SHARING_MAGNITUDES; ++i) {
    sharing->magnitudes[i].cost[false] = 1024;
    sharing->magnitudes[i].cost[true] = 640;
    sharing->magnitudes[i].savings = 0;
    sharing->magnitudes[i].again = false;
  }
}

bool mlirage_sharing_decide(mlirage_sharing_t* sharing, uint64_t estimated) {
  const size_t i = magnitude_of(estimated);
  const uint32_t* cost = sharing->magnitudes[i].cost;
  const bool better = cost[true] <= cost[false];
  if (sharing->magnitudes[i].again) return !better;
  if (estimated > UINT64_MAX / MOST_COST || (better && cost[true] < GOOD_COST)) return better;
  uint64_t loss = (cost[!better] - cost[better]) * estimated / 1024;
  if (loss < estimated / 4) loss = estimated / 4;  // or else it would be tried all the time
  if (loss >= sharing->magnitudes[i].savings) return better;
  sharing->magnitudes[i].savings -= loss;
  return !better;
}

void mlirage_sharing_learn(mlirage_sharing_t* sharing, uint64_t estimated, bool shared, uint64_t took) {
  const size_t i = magnitude_of(estimated);
  uint32_t* cost = sharing->magnitudes[i].cost;
  const bool was_better = cost[shared] <= cost[!shared];
  uint64_t measured = MOST_COST;
  if (took < estimated * (MOST_COST / 1024)) measured = took * 1024 / (estimated == 0 ? 1 : estimated);
  if (was_better && measured > MOST_SURPRISE * cost[shared]) measured = MOST_SURPRISE * (uint64_t)cost[shared];
  // A mean over the last few.
  cost[shared] = (uint32_t)((3 * (uint64_t)cost[shared] + measured) / 4);
  if (was_better && cost[!shared] > cost[shared]) {
    const uint32_t part = took < LONG_EXECUTION ? FORGOTTEN_PART : FORGOTTEN_PART / 2;
    cost[!shared] -= (cost[!shared] - cost[shared]) / part;
  }
  sharing->magnitudes[i].again = !was_better && measured < cost[!shared] && cost[shared] > cost[!shared];
  sharing->magnitudes[i].savings += took / TRIED_PART;
  uint64_t most = UINT64_MAX;
  if (__builtin_mul_overflow(estimated, (uint64_t)MOST_SAVINGS, &most)) most = UINT64_MAX;
  if (sharing->magnitudes[i].savings > most) sharing->magnitudes[i].savings = most;
}
