#include "hal/profile.h"

#include "base/memory.h"

// A place of the queue. Place i is free for event number n (n % capacity == i) while
// |sequence| is n, holds it when that is n + 1, and is free for the next round after it
// was read: writers claim numbers by compare-and-swap and never wait for each other.
typedef struct slot_t {
  size_t sequence;  // atomic
  mlirage_profile_event_t event;
} slot_t;

struct mlirage_profile_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  size_t capacity;  // a power of two
  size_t head;      // atomic; number of the next event
  size_t dropped;   // atomic
  mlirage_lock_t lock;
  // Guarded by the lock:
  size_t tail;  // number of the next event that is read
  uint64_t executions;
  mlirage_executable_t** executables;  // retained, so that names live
  size_t executable_count;
  size_t executable_capacity;
  slot_t slots[];
};

static size_t size_of(size_t capacity) { return sizeof(mlirage_profile_t) + capacity * sizeof(slot_t); }

static void destroy(void* object) {
  mlirage_profile_t* profile = object;
  for (size_t i = 0; i < profile->executable_count; ++i) mlirage_executable_release(profile->executables[i]);
  mlirage_free(profile->allocator, profile->executables,
               profile->executable_capacity * sizeof(profile->executables[0]));
  mlirage_free(profile->allocator, profile, size_of(profile->capacity));
}

static const mlirage_object_type_t profile_type = {"hal.profile", destroy};

void mlirage_profile_release(mlirage_profile_t* profile) { mlirage_object_release(profile); }

//===--- Writing ----------------------------------------------------------------===

static bool retain_executable(mlirage_profile_t* profile, mlirage_executable_t* executable) {
  for (size_t i = profile->executable_count; i-- > 0;) {
    if (profile->executables[i] == executable) return true;
  }
  if (profile->executable_count == profile->executable_capacity) {
    const size_t capacity = 2 * profile->executable_capacity + 4;
    void* block = profile->executables;
    const size_t size = sizeof(profile->executables[0]);
    if (mlirage_reallocate(profile->allocator, profile->executable_capacity * size, capacity * size, &block) !=
        MLIRAGE_OK) {
      return false;
    }
    profile->executables = block;
    profile->executable_capacity = capacity;
  }
  mlirage_executable_retain(executable);
  profile->executables[profile->executable_count++] = executable;
  return true;
}

static bool retain_executables(mlirage_profile_t* profile, const mlirage_command_buffer_t* command_buffer) {
  const mlirage_command_t* commands = mlirage_commands(command_buffer);
  const mlirage_executable_t* last = NULL;
  for (size_t i = 0; i < command_buffer->commands.count; ++i) {
    mlirage_executable_t* executable = commands[i].executable;
    if (executable == NULL || executable == last) continue;
    if (!retain_executable(profile, executable)) return false;
    last = executable;
  }
  return true;
}

mlirage_profile_t* mlirage_profile_acquire(mlirage_device_t* device, const mlirage_command_buffer_t* command_buffer,
                                           uint64_t* out_execution) {
  mlirage_lock_acquire(&device->profile_lock);
  mlirage_profile_t* profile = device->profile;
  if (profile != NULL) mlirage_object_retain(profile);
  mlirage_lock_release(&device->profile_lock);
  if (profile == NULL) return NULL;
  mlirage_lock_acquire(&profile->lock);
  const bool kept = retain_executables(profile, command_buffer);
  *out_execution = profile->executions++;
  mlirage_lock_release(&profile->lock);
  if (kept) return profile;
  __atomic_fetch_add(&profile->dropped, 1u, __ATOMIC_RELAXED);
  mlirage_profile_release(profile);
  return NULL;
}

void mlirage_profile_record(mlirage_profile_t* profile, const mlirage_profile_event_t* event) {
  size_t number = __atomic_load_n(&profile->head, __ATOMIC_RELAXED);
  slot_t* slot = NULL;
  for (;;) {
    slot = &profile->slots[number & (profile->capacity - 1)];
    const size_t sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
    if (sequence == number) {
      if (__atomic_compare_exchange_n(&profile->head, &number, number + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        break;
      }
    } else if ((ptrdiff_t)(sequence - number) < 0) {  // not read since the round before
      __atomic_fetch_add(&profile->dropped, 1u, __ATOMIC_RELAXED);
      return;
    } else {
      number = __atomic_load_n(&profile->head, __ATOMIC_RELAXED);
    }
  }
  slot->event = *event;
  __atomic_store_n(&slot->sequence, number + 1, __ATOMIC_RELEASE);
}

//===--- Of a device ------------------------------------------------------------===

mlirage_status_t mlirage_device_profiling_begin(mlirage_device_t* device, size_t capacity, mlirage_error_t* error) {
  if (capacity == 0 || capacity > PTRDIFF_MAX / (4 * sizeof(slot_t))) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "a profile of %zu events", capacity);
  }
  size_t places = 1;
  while (places < capacity) places *= 2;
  void* block = NULL;
  if (mlirage_allocate(device->allocator, size_of(places), &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory for a profile of %zu events", capacity);
  }
  mlirage_profile_t* profile = block;
  mlirage_object_initialize(&profile->object, &profile_type);
  profile->allocator = device->allocator;
  profile->capacity = places;
  for (size_t i = 0; i < places; ++i) profile->slots[i].sequence = i;
  mlirage_lock_acquire(&device->profile_lock);
  const bool is_on = device->profile != NULL;
  if (!is_on) __atomic_store_n(&device->profile, profile, __ATOMIC_RELAXED);
  mlirage_lock_release(&device->profile_lock);
  if (!is_on) return MLIRAGE_OK;
  mlirage_profile_release(profile);
  return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "device '%s' is being profiled already", device->name);
}

mlirage_status_t mlirage_device_profiling_read(mlirage_device_t* device, size_t capacity,
                                               mlirage_profile_event_t* events, size_t* out_count,
                                               uint64_t* out_dropped, mlirage_error_t* error) {
  *out_count = 0;
  *out_dropped = 0;
  mlirage_lock_acquire(&device->profile_lock);
  mlirage_profile_t* profile = device->profile;
  if (profile != NULL) mlirage_object_retain(profile);
  mlirage_lock_release(&device->profile_lock);
  if (profile == NULL) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION, "device '%s' is not being profiled", device->name);
  }
  mlirage_lock_acquire(&profile->lock);
  size_t count = 0;
  for (; count < capacity; ++count, ++profile->tail) {
    slot_t* slot = &profile->slots[profile->tail & (profile->capacity - 1)];
    if (__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != profile->tail + 1) break;
    events[count] = slot->event;
    __atomic_store_n(&slot->sequence, profile->tail + profile->capacity, __ATOMIC_RELEASE);
  }
  mlirage_lock_release(&profile->lock);
  *out_count = count;
  *out_dropped = __atomic_load_n(&profile->dropped, __ATOMIC_RELAXED);
  mlirage_profile_release(profile);
  return MLIRAGE_OK;
}

void mlirage_device_profiling_end(mlirage_device_t* device) {
  mlirage_lock_acquire(&device->profile_lock);
  mlirage_profile_t* profile = device->profile;
  __atomic_store_n(&device->profile, NULL, __ATOMIC_RELAXED);
  mlirage_lock_release(&device->profile_lock);
  if (profile != NULL) mlirage_profile_release(profile);
}
