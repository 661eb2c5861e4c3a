// local-task: shares workgroups between the calling thread and a few workers.
//
// An execution is a list of waves (what lies between two barriers); a wave is divided
// into claims (contiguous workgroups of one command, some microseconds each). Threads
// take claims from |cursor|; whoever completes the last claim of a wave opens the next
// one itself. So there is no barrier at which threads meet: the caller never waits for
// a worker to arrive, only for a claim that a worker holds. A worker that sleeps or was
// descheduled between claims costs nothing, and with no worker at all the caller does
// everything.
//
// |cursor| holds the number of the wave, its claims and how many are taken in one word.
// A claim taken by compare-and-swap belongs to the wave that the word names, and that
// wave cannot end before the claim is completed: what it reads stays valid without
// counting readers.
#include "base/memory.h"
#include "hal/drivers/cpu.h"
#include "hal/drivers/queue_thread.h"
#include "hal/drivers/replay.h"
#include "hal/drivers/sharing.h"

#define MAX_WORKERS 256u
#define CLAIM_BITS 16u
#define MAX_CLAIMS (((uint64_t)1 << CLAIM_BITS) - 1)

// Nanoseconds. What a claim should last at least; waves below are run by one thread.
#define CLAIM_TIME 2000u
#define WORTH_SHARING 4000u
// Waking a sleeping thread costs the waker about 5 us and takes about 50.
#define WORTH_WAKING 40000u
// How long a thread looks for work before it sleeps: while an execution runs, and after one. The latter is a part of
// how long that took, within limits: calls in a row find the threads awake, and what waiting costs is bounded.
#define SPIN_BUSY 50000u
#define SPIN_IDLE 20000u
#define MOST_SPIN_IDLE 100000u
#define SPIN_IDLE_PART 8u
// Seen no progress for this long while spinning: the core was taken away.
#define DESCHEDULED 500000u
// Time without spinning after that.
#define BACK_OFF 20000000u
// A command that was never measured counts as this much.
#define UNKNOWN_COST 100000u
// Executions in a row, each far longer than estimated, after which the estimates are corrected:
// one may be another program's doing.
#define SURPRISES 3u
// Of a piece of a fill or copy (128 KiB).
#define PIECE_COST 12000u

typedef struct task_device_t task_device_t;

typedef struct worker_t {
  task_device_t* task;
  uint32_t id;  // 0 is the caller
  mlirage_thread_t thread;
  uint64_t no_spin_until;
} worker_t;

// The running execution. Written by who opens a wave, read by holders of claims.
typedef struct execution_t {
  mlirage_replay_t* replay;
  uint32_t* claim_counts;  // of each command
  uint32_t claim_limit;    // of a command
  size_t next_wave;
  size_t first_command;  // of the wave that is open
  size_t end_command;
} execution_t;

struct task_device_t {
  mlirage_cpu_device_t cpu;
  mlirage_lock_t owner;  // one execution at a time; others run on their own thread
  execution_t execution;
  worker_t caller;
  mlirage_lock_t queue_lock;
  mlirage_queue_thread_t* queue;  // NULL until something is handed over
  uint32_t queue_core;
  mlirage_sharing_t sharing;  // of the owner, as is
  uint32_t surprises;         // executions in a row that took far longer than estimated
  uint64_t spin_idle;         // how long threads look for work after an execution
  // Words that all threads look at, on lines of their own.
  char padding0[64];
  uint64_t cursor;  // wave << 3 * CLAIM_BITS | claims << 2 * CLAIM_BITS | taken at the end << CLAIM_BITS | at the start
  char padding1[64];
  uint32_t remaining;  // claims of the wave not completed
  uint32_t failure;    // 0, or 1 + the command that failed
  int32_t failure_code;
  char padding2[64];
  uint32_t finished;  // the execution
  uint32_t wake;      // threads sleep on it; changed to wake them
  uint32_t sleeping;
  uint32_t stop;
  char padding3[64];
  worker_t workers[];  // worker_count - 1
};

//===--- The cursor -------------------------------------------------------------===

// Threads take claims from both ends, so that each finds the same data in its cache when a wave
// comes again, or reads what another wrote just before.
static uint64_t claim_count(uint64_t cursor) { return cursor >> (2 * CLAIM_BITS) & MAX_CLAIMS; }

static uint64_t taken_first(uint64_t cursor) { return cursor & MAX_CLAIMS; }

static uint64_t taken_last(uint64_t cursor) { return cursor >> CLAIM_BITS & MAX_CLAIMS; }

static bool claims_left(uint64_t cursor) { return taken_first(cursor) + taken_last(cursor) < claim_count(cursor); }

static bool has_claims(task_device_t* task) { return claims_left(__atomic_load_n(&task->cursor, __ATOMIC_SEQ_CST)); }

static bool is_finished(task_device_t* task) { return __atomic_load_n(&task->finished, __ATOMIC_SEQ_CST) != 0; }

static void wake_threads(task_device_t* task, uint32_t count) {
  if (count == 0 || __atomic_load_n(&task->sleeping, __ATOMIC_SEQ_CST) == 0) return;
  __atomic_fetch_add(&task->wake, 1u, __ATOMIC_SEQ_CST);
  mlirage_platform_wake(&task->wake, count);
}

//===--- Costs ------------------------------------------------------------------===

static uint64_t* cost_of(const mlirage_command_t* command) {
  return &command->executable->workgroup_costs[command->ordinal];
}

// Estimated nanoseconds of |command|; 0 if it was never measured.
static uint64_t estimate(const mlirage_command_t* command, uint64_t units) {
  if (command->kind != MLIRAGE_COMMAND_DISPATCH) return units * PIECE_COST;
  const uint64_t picoseconds = __atomic_load_n(cost_of(command), __ATOMIC_RELAXED);
  uint64_t product = 0;
  if (__builtin_mul_overflow(picoseconds, units, &product)) return UINT64_MAX / 4096;
  return product / 1000 + (picoseconds != 0);
}

// Keeps the cost of a workgroup: down fast, up slowly, for what lengthens a measurement
// is most often another program.
static void learn(const mlirage_command_t* command, uint64_t units, uint64_t nanoseconds) {
  if (command->kind != MLIRAGE_COMMAND_DISPATCH || units == 0) return;
  if (nanoseconds > UINT64_MAX / 1000) return;
  uint64_t measured = nanoseconds * 1000 / units + 1;
  const uint64_t known = __atomic_load_n(cost_of(command), __ATOMIC_RELAXED);
  if (known != 0 && measured > 2 * known) measured = 2 * known;  // descheduled, most likely
  uint64_t kept = measured;
  if (known != 0) kept = measured < known ? known - (known - measured) / 4 : known + (measured - known) / 16;
  __atomic_store_n(cost_of(command), kept, __ATOMIC_RELAXED);
}

//===--- Claims and waves -------------------------------------------------------===

static void run_units(task_device_t* task, const mlirage_command_t* command, uint64_t first, uint64_t end,
                      uint32_t worker_id, bool measure) {
  if (__atomic_load_n(&task->failure, __ATOMIC_RELAXED) != 0) return;
  const uint64_t start = measure ? mlirage_platform_now_ns() : 0;
  const int32_t code = mlirage_command_run(task->execution.replay, command, first, end, worker_id);
  if (measure) learn(command, end - first, mlirage_platform_now_ns() - start);
  if (MLIRAGE_UNLIKELY(code != 0)) {
    const mlirage_command_t* commands = mlirage_commands(task->execution.replay->command_buffer);
    uint32_t none = 0;
    const uint32_t number = (uint32_t)(command - commands) + 1;
    if (__atomic_compare_exchange_n(&task->failure, &none, number, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      task->failure_code = code;
    }
  }
}

static void run_claim(task_device_t* task, uint64_t claim, uint32_t worker_id) {
  const execution_t* execution = &task->execution;
  const mlirage_command_t* commands = mlirage_commands(execution->replay->command_buffer);
  size_t index = execution->first_command;
  while (claim >= execution->claim_counts[index]) claim -= execution->claim_counts[index++];
  const mlirage_command_t* command = &commands[index];
  const uint64_t units = mlirage_command_units(execution->replay, command);
  const uint64_t count = execution->claim_counts[index];
  const uint64_t share = units / count;
  const uint64_t larger = units % count;  // the first claims have one unit more
  const uint64_t first = claim * share + (claim < larger ? claim : larger);
  // Clocks are slow on some machines: once known, one claim of a command is enough.
  const bool measure = claim == 0 || estimate(command, units) == 0;
  run_units(task, command, first, first + share + (claim < larger), worker_id, measure);
}

// How many claims |units| that cost |estimated| (0: not known) are divided into.
static uint32_t divide(uint64_t units, uint64_t estimated, uint32_t most) {
  uint64_t claims = estimated == 0 ? most : estimated / CLAIM_TIME;
  if (claims > most) claims = most;
  if (claims > units) claims = units;
  return claims == 0 && units != 0 ? 1 : (uint32_t)claims;
}

// The claims of the commands from |first| on that can be open at the same time.
static uint64_t count_claims(const execution_t* execution, size_t first, size_t wave_end, size_t* out_end,
                             uint64_t* out_cost) {
  const mlirage_command_t* commands = mlirage_commands(execution->replay->command_buffer);
  uint64_t claims = 0;
  uint64_t cost = 0;
  size_t index = first;
  for (; index < wave_end; ++index) {
    const mlirage_command_t* command = &commands[index];
    mlirage_command_begin(execution->replay, command);
    const uint64_t units = mlirage_command_units(execution->replay, command);
    const uint64_t estimated = estimate(command, units);
    if (command->indirect != 0) execution->claim_counts[index] = divide(units, estimated, execution->claim_limit);
    if (claims + execution->claim_counts[index] > MAX_CLAIMS) break;
    claims += execution->claim_counts[index];
    cost += estimated == 0 ? UNKNOWN_COST : estimated;
  }
  *out_end = index;
  *out_cost = cost;
  return claims;
}

// Opens the next wave that is worth sharing; runs those before it right here. Called by
// the one thread that knows the previous wave to be complete.
static void advance(task_device_t* task, uint32_t worker_id) {
  execution_t* execution = &task->execution;
  const mlirage_command_buffer_t* buffer = execution->replay->command_buffer;
  const mlirage_command_t* commands = mlirage_commands(buffer);
  const size_t* waves = buffer->waves.data;
  const size_t wave_count = buffer->waves.count == 0 ? 0 : buffer->waves.count - 1;
  size_t first = execution->end_command;
  while (__atomic_load_n(&task->failure, __ATOMIC_RELAXED) == 0) {
    if (execution->next_wave == 0 || first == waves[execution->next_wave]) {
      if (execution->next_wave == wave_count) break;
      first = waves[execution->next_wave++];
    }
    size_t end = 0;
    uint64_t cost = 0;
    const uint64_t claims = count_claims(execution, first, waves[execution->next_wave], &end, &cost);
    execution->first_command = first;
    execution->end_command = end;
    if (claims > 1 && cost >= WORTH_SHARING) {
      __atomic_store_n(&task->remaining, (uint32_t)claims, __ATOMIC_RELAXED);
      const uint64_t wave = (__atomic_load_n(&task->cursor, __ATOMIC_RELAXED) >> (3 * CLAIM_BITS)) + 1;
      __atomic_store_n(&task->cursor, wave << (3 * CLAIM_BITS) | claims << (2 * CLAIM_BITS), __ATOMIC_SEQ_CST);
      if (cost >= WORTH_WAKING) {
        const uint64_t useful = claims - 1;
        wake_threads(task, useful < MAX_WORKERS ? (uint32_t)useful : MAX_WORKERS);
      }
      return;
    }
    for (size_t i = first; i < end; ++i) {
      const uint64_t units = mlirage_command_units(execution->replay, &commands[i]);
      run_units(task, &commands[i], 0, units, worker_id, cost >= CLAIM_TIME);
    }
    first = end;
  }
  __atomic_store_n(&task->finished, 1u, __ATOMIC_SEQ_CST);
  if (worker_id != 0) wake_threads(task, UINT32_MAX);  // the caller is among the sleepers, if it sleeps
}

// Takes claims until there are none.
static void work(task_device_t* task, uint32_t worker_id) {
  const bool from_start = worker_id % 2 == 0;
  const uint64_t one = from_start ? 1 : (uint64_t)1 << CLAIM_BITS;
  uint64_t cursor = __atomic_load_n(&task->cursor, __ATOMIC_ACQUIRE);
  while (claims_left(cursor)) {
    if (!__atomic_compare_exchange_n(&task->cursor, &cursor, cursor + one, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      continue;
    }
    run_claim(task, from_start ? taken_first(cursor) : claim_count(cursor) - 1 - taken_last(cursor), worker_id);
    if (__atomic_sub_fetch(&task->remaining, 1u, __ATOMIC_ACQ_REL) == 0) advance(task, worker_id);
    cursor = __atomic_load_n(&task->cursor, __ATOMIC_ACQUIRE);
  }
}

//===--- Waiting ----------------------------------------------------------------===

static bool has_reason(task_device_t* task, bool is_caller) {
  if (has_claims(task)) return true;
  return is_caller ? is_finished(task) : __atomic_load_n(&task->stop, __ATOMIC_SEQ_CST) != 0;
}

// Returns when there may be something to do: looks for a while, then sleeps.
static void wait_for_work(task_device_t* task, worker_t* worker) {
  const bool is_caller = worker->id == 0;
  const uint64_t start = mlirage_platform_now_ns();
  uint64_t last = start;
  while (last >= worker->no_spin_until) {
    for (int i = 0; i < 16; ++i) {
      if (has_reason(task, is_caller)) return;
      mlirage_platform_pause();
    }
    const uint64_t now = mlirage_platform_now_ns();
    // Somebody else needs this core more than a thread that waits.
    if (now - last > DESCHEDULED) worker->no_spin_until = now + BACK_OFF;
    last = now;
    if (now - start > (is_finished(task) ? __atomic_load_n(&task->spin_idle, __ATOMIC_RELAXED) : SPIN_BUSY)) break;
  }
  const uint32_t ticket = __atomic_load_n(&task->wake, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&task->sleeping, 1u, __ATOMIC_SEQ_CST);
  if (!has_reason(task, is_caller)) mlirage_platform_wait(&task->wake, ticket, UINT64_MAX);
  __atomic_fetch_sub(&task->sleeping, 1u, __ATOMIC_SEQ_CST);
}

static void worker_main(void* argument) {
  worker_t* worker = argument;
  task_device_t* task = worker->task;
  while (__atomic_load_n(&task->stop, __ATOMIC_ACQUIRE) == 0) {
    work(task, worker->id);
    wait_for_work(task, worker);
  }
}

//===--- Execution --------------------------------------------------------------===

// Estimated time of an execution.
typedef struct plan_t {
  uint64_t shared;  // of what several threads can do
  uint64_t total;
  bool known;  // everything was measured before
} plan_t;

static uint32_t most_claims(const task_device_t* task) { return task->cpu.device.worker_count * 8; }

// Fills |claim_counts| too.
static plan_t make_plan(task_device_t* task, const mlirage_replay_t* replay, uint32_t* claim_counts) {
  const mlirage_command_buffer_t* buffer = replay->command_buffer;
  const mlirage_command_t* commands = mlirage_commands(buffer);
  const size_t* waves = buffer->waves.data;
  const uint32_t most = most_claims(task);
  plan_t plan = {0, 0, true};
  for (size_t w = 0; w + 1 < buffer->waves.count; ++w) {
    for (size_t i = waves[w]; i < waves[w + 1]; ++i) {
      // How much an indirect dispatch is, nobody knows before its wave begins.
      const bool indirect = commands[i].indirect != 0;
      const uint64_t units = indirect ? most : mlirage_command_units(replay, &commands[i]);
      uint64_t cost = indirect ? 0 : estimate(&commands[i], units);
      claim_counts[i] = divide(units, cost, most);
      if (cost == 0 && units != 0) {
        plan.known = false;
        cost = UNKNOWN_COST;
      }
      plan.total += cost;
      if (claim_counts[i] > 1 || waves[w + 1] - waves[w] > 1) plan.shared += cost;
    }
  }
  return plan;
}

// Corrects costs that were far too low, as they are when sizes have changed since they were
// measured: the execution took |took| nanoseconds, not |estimated|.
static void correct(const mlirage_command_buffer_t* buffer, uint64_t took, uint64_t estimated) {
  const uint64_t factor = took / estimated;
  for (size_t i = 0; i < buffer->commands.count; ++i) {
    const mlirage_command_t* command = &mlirage_commands(buffer)[i];
    if (command->kind != MLIRAGE_COMMAND_DISPATCH) continue;
    uint64_t cost = 0;
    if (__builtin_mul_overflow(__atomic_load_n(cost_of(command), __ATOMIC_RELAXED), factor, &cost)) continue;
    __atomic_store_n(cost_of(command), cost, __ATOMIC_RELAXED);
  }
}

static mlirage_status_t run_shared(task_device_t* task, mlirage_replay_t* replay, uint32_t* claim_counts,
                                   const plan_t* plan, mlirage_error_t* error) {
  task->execution = (execution_t){.replay = replay, .claim_counts = claim_counts, .claim_limit = most_claims(task)};
  __atomic_store_n(&task->failure, 0u, __ATOMIC_RELAXED);
  __atomic_store_n(&task->finished, 0u, __ATOMIC_SEQ_CST);
  // Many short waves in a row are worth waking for where one is not.
  if (plan->shared >= 2 * WORTH_WAKING) wake_threads(task, MAX_WORKERS);
  advance(task, 0);
  while (!is_finished(task)) {
    work(task, 0);
    if (is_finished(task)) break;
    wait_for_work(task, &task->caller);
  }
  const uint32_t failure = __atomic_load_n(&task->failure, __ATOMIC_RELAXED);
  if (failure == 0) return MLIRAGE_OK;
  const mlirage_command_t* commands = mlirage_commands(replay->command_buffer);
  return mlirage_command_fail(replay, &commands[failure - 1], task->failure_code, error);
}

static uint64_t spin_after(uint64_t took) {
  const uint64_t part = took / SPIN_IDLE_PART;
  return part < SPIN_IDLE ? SPIN_IDLE : part < MOST_SPIN_IDLE ? part : MOST_SPIN_IDLE;
}

// Shares the execution if that is likely to be faster. The owner's lock is held.
static mlirage_status_t run_owned(task_device_t* task, mlirage_replay_t* replay, uint32_t* claim_counts,
                                  mlirage_error_t* error) {
  const plan_t plan = make_plan(task, replay, claim_counts);
  const bool small = plan.shared < WORTH_SHARING;
  // What was never measured is: shared, for it is likely to be large.
  const bool share = !small && (!plan.known || mlirage_sharing_decide(&task->sharing, plan.total));
  const uint64_t start = mlirage_platform_now_ns();
  const mlirage_status_t status =
      share ? run_shared(task, replay, claim_counts, &plan, error) : mlirage_replay_run(replay, error);
  const uint64_t took = mlirage_platform_now_ns() - start;
  __atomic_store_n(&task->spin_idle, spin_after(took), __ATOMIC_RELAXED);
  if (plan.known && !small) mlirage_sharing_learn(&task->sharing, plan.total, share, took);
  if (!share) {
    const bool surprise = plan.total != 0 && took > 4 * plan.total + 4 * WORTH_SHARING;
    task->surprises = surprise ? task->surprises + 1 : 0;
    if (task->surprises == SURPRISES) {
      correct(replay->command_buffer, took, plan.total);
      task->surprises = 0;
    }
    return status;
  }
  const mlirage_command_buffer_t* buffer = replay->command_buffer;
  size_t dispatches = 0;
  size_t workgroups = 0;
  for (size_t i = 0; i < buffer->commands.count; ++i) {
    const mlirage_command_t* command = &mlirage_commands(buffer)[i];
    if (command->kind != MLIRAGE_COMMAND_DISPATCH) continue;
    ++dispatches;
    workgroups += (size_t)mlirage_command_units(replay, command);
  }
  __atomic_fetch_add(&task->cpu.device.dispatches, dispatches, __ATOMIC_RELAXED);
  __atomic_fetch_add(&task->cpu.device.workgroups, workgroups, __ATOMIC_RELAXED);
  return status;
}

#define INLINE_COMMANDS 64u

static mlirage_status_t execute(mlirage_device_t* device, mlirage_command_buffer_t* command_buffer,
                                const mlirage_binding_t* bindings, mlirage_fence_t* signal, mlirage_error_t* error) {
  (void)signal;  // done on return
  task_device_t* task = (task_device_t*)device;
  const bool owner = device->worker_count > 1 && mlirage_lock_try_acquire(&task->owner);
  mlirage_replay_t replay;
  uint32_t inline_counts[INLINE_COMMANDS];
  uint32_t* claim_counts = inline_counts;
  mlirage_block_t* block = NULL;
  mlirage_status_t status =
      mlirage_replay_begin(&replay, device, command_buffer, bindings, owner ? device->worker_count : 1, error);
  const size_t command_count = command_buffer->commands.count;
  if (status == MLIRAGE_OK && owner && command_count > INLINE_COMMANDS) {
    status = mlirage_pool_acquire(&device->pool, command_count * sizeof(uint32_t), &block);
    if (status == MLIRAGE_OK) {
      claim_counts = (uint32_t*)(void*)mlirage_block_data(block);
    } else {
      mlirage_replay_end(&replay);
      mlirage_fail(error, status, "no memory to plan %zu commands", command_count);
    }
  }
  if (status != MLIRAGE_OK) {
    if (owner) mlirage_lock_release(&task->owner);
    return status;
  }
  status = owner ? run_owned(task, &replay, claim_counts, error) : mlirage_replay_run(&replay, error);
  if (block != NULL) mlirage_pool_release(&device->pool, block);
  mlirage_replay_end(&replay);
  if (owner) mlirage_lock_release(&task->owner);
  return status;
}

//===--- Handing over -----------------------------------------------------------===

static mlirage_status_t start_queue(mlirage_device_t* device, mlirage_error_t* error) {
  task_device_t* task = (task_device_t*)device;
  mlirage_status_t status = MLIRAGE_OK;
  mlirage_lock_acquire(&task->queue_lock);
  if (task->queue == NULL || !mlirage_queue_thread_is_here(task->queue)) {
    // That of the process before a fork stays as it is: nobody joins it here.
    status = mlirage_queue_thread_create(device, task->queue_core, &task->queue, error);
    __atomic_store_n(&device->queue_started, status == MLIRAGE_OK ? 1u : 0u, __ATOMIC_RELEASE);
  }
  mlirage_lock_release(&task->queue_lock);
  return status;
}

static void wake_queue(mlirage_device_t* device) { mlirage_queue_thread_wake(((task_device_t*)device)->queue); }

static void wait_queue(mlirage_device_t* device) {
  task_device_t* task = (task_device_t*)device;
  mlirage_lock_acquire(&task->queue_lock);
  mlirage_queue_thread_t* queue = task->queue;
  mlirage_lock_release(&task->queue_lock);
  if (queue != NULL) mlirage_queue_thread_wait(queue);
}

//===--- The device -------------------------------------------------------------===

static size_t device_size(uint32_t worker_count) { return sizeof(task_device_t) + worker_count * sizeof(worker_t); }

// Ends and joins the first |count| workers.
static void stop_workers(task_device_t* task, uint32_t count) {
  __atomic_store_n(&task->stop, 1u, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&task->wake, 1u, __ATOMIC_SEQ_CST);
  mlirage_platform_wake(&task->wake, UINT32_MAX);
  for (uint32_t i = 0; i < count; ++i) mlirage_platform_thread_join(&task->workers[i].thread);
}

static void destroy(mlirage_device_t* device) {
  task_device_t* task = (task_device_t*)device;
  const mlirage_allocator_t allocator = device->allocator;
  const uint32_t worker_count = device->worker_count;
  mlirage_queue_thread_release(task->queue);
  stop_workers(task, worker_count - 1);
  mlirage_device_deinitialize(device);
  mlirage_free(allocator, task, device_size(worker_count));
}

static const mlirage_device_vtable_t vtable = {
    .destroy = destroy,
    .supports = mlirage_cpu_supports,
    .executable_create = mlirage_cpu_executable_create,
    .execute = execute,
    .start_queue = start_queue,
    .wake_queue = wake_queue,
    .wait_queue = wait_queue,
};

// Threads of the device: what is asked for, or one for each core that may be used.
static mlirage_status_t count_workers(const mlirage_device_options_t* options, uint32_t* out_count,
                                      mlirage_error_t* error) {
  *out_count = options->worker_count;
  if (options->cores != NULL && options->core_count == 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "cores to pin threads to, but none in the list");
  }
  if (options->worker_count > MAX_WORKERS) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "%u threads are above the limit of %u", options->worker_count,
                        MAX_WORKERS);
  }
  if (options->worker_count == 0) {
    const size_t cores = options->cores != NULL ? options->core_count : mlirage_platform_core_count();
    *out_count = cores > MAX_WORKERS ? MAX_WORKERS : (uint32_t)cores;
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_local_task_device_create(const mlirage_device_options_t* given, mlirage_device_t** out_device,
                                                  mlirage_error_t* error) {
  *out_device = NULL;
  mlirage_device_options_t options;
  MLIRAGE_TRY(mlirage_device_options_read(given, &options, error));
  uint32_t worker_count = 0;
  MLIRAGE_TRY(count_workers(&options, &worker_count, error));
  void* block = NULL;
  if (mlirage_allocate(options.allocator, device_size(worker_count), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a device");
  }
  task_device_t* task = block;
  mlirage_device_initialize(&task->cpu.device, &vtable, "local-task", options.allocator, worker_count);
  task->cpu.loaders = options.loaders;
  task->cpu.loader_count = options.loader_count;
  task->caller = (worker_t){.task = task};
  task->finished = 1;
  task->spin_idle = SPIN_IDLE;
  mlirage_sharing_initialize(&task->sharing);
  task->queue_core = options.cores != NULL ? options.cores[0] : MLIRAGE_ANY_CORE;
  mlirage_status_t status = MLIRAGE_OK;
  uint32_t started = 0;
  for (; started + 1 < worker_count && status == MLIRAGE_OK; ++started) {
    worker_t* worker = &task->workers[started];
    worker->task = task;
    worker->id = started + 1;
    const uint32_t core = options.cores != NULL ? options.cores[worker->id % options.core_count] : MLIRAGE_ANY_CORE;
    status = mlirage_platform_thread_create(worker_main, worker, "mlirage-worker", core, &worker->thread);
    if (status == MLIRAGE_NOT_FOUND) {
      mlirage_fail(error, status, "cannot pin worker %u to core %u, which this process may not use", worker->id, core);
    } else if (status != MLIRAGE_OK) {
      mlirage_fail(error, status, "cannot start worker %u of %u", worker->id, worker_count - 1);
    }
  }
  if (status != MLIRAGE_OK) {
    stop_workers(task, started - 1);
    mlirage_device_deinitialize(&task->cpu.device);
    mlirage_free(options.allocator, task, device_size(worker_count));
    return status;
  }
  *out_device = &task->cpu.device;
  return MLIRAGE_OK;
}
