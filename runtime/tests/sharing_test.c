// When local-task shares work: learnt from simulated machines, in which time is a number.
#include "hal/drivers/sharing.h"

#include "check.h"

// Times of an execution as multiples of 1/100 of its estimate; |rare| in every tenth one of those
// that are shared: a thread was waiting for a core.
typedef struct machine_t {
  uint64_t alone;
  uint64_t shared;
  uint64_t rare;
} machine_t;

typedef struct outcome_t {
  uint64_t time;  // in 1/100 of the estimate, of all executions
  size_t shared;  // how many
} outcome_t;

static outcome_t simulate(mlirage_sharing_t* sharing, machine_t machine, uint64_t estimated, size_t count) {
  outcome_t outcome = {0, 0};
  size_t shared_so_far = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool shared = mlirage_sharing_decide(sharing, estimated);
    uint64_t time = shared ? machine.shared : machine.alone;
    if (shared && ++shared_so_far % 10 == 0) time = machine.rare;
    mlirage_sharing_learn(sharing, estimated, shared, time * estimated / 100);
    outcome.time += time;
    outcome.shared += shared;
  }
  return outcome;
}

void test_sharing(void) {
  const machine_t idle = {100, 55, 60}, busy = {150, 200, 800}, half = {150, 80, 200};
  static const uint64_t estimates[] = {5000, 100000, 1000000, 30000000, 4000000000};
  for (size_t e = 0; e < sizeof(estimates) / sizeof(estimates[0]); ++e) {
    mlirage_sharing_t sharing;
    mlirage_sharing_initialize(&sharing);
    // Idle: nearly all of it is shared from the beginning.
    outcome_t outcome = simulate(&sharing, idle, estimates[e], 1000);
    CHECK(outcome.shared > 950 && outcome.time < 1000 * 60);
    // Others come: never much slower than one thread.
    outcome = simulate(&sharing, busy, estimates[e], 1000);
    CHECK(outcome.time < 1000 * 150 * 13 / 10);
    outcome = simulate(&sharing, busy, estimates[e], 1000);
    CHECK(outcome.time < 1000 * 150 * 11 / 10);
    // They leave, and it is noticed.
    outcome = simulate(&sharing, idle, estimates[e], 2000);
    outcome = simulate(&sharing, idle, estimates[e], 1000);
    CHECK(outcome.shared > 950);
    // Busy, yet sharing pays.
    outcome = simulate(&sharing, half, estimates[e], 1000);
    CHECK(outcome.time < 1000 * 150);
  }
  // Of long executions few are enough to notice that the others have left.
  const machine_t crowded = {100, 600, 900};
  mlirage_sharing_t sharing;
  mlirage_sharing_initialize(&sharing);
  simulate(&sharing, crowded, 30000000, 100);
  simulate(&sharing, idle, 30000000, 40);
  CHECK(simulate(&sharing, idle, 30000000, 40).shared >= 36);
}
