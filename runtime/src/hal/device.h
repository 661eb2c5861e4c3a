// What a driver implements and what it is given for it. Internal to hal/.
//
// Devices here share the host's memory: a buffer is a range of bytes. The generic part
// (device.c, buffer.c, pool.c, fence.c, queue.c) does waiting, pooling, counting and
// checking, so that a driver only loads executables and runs command buffers.
#ifndef MLIRAGE_HAL_DEVICE_H_
#define MLIRAGE_HAL_DEVICE_H_

#include "hal/pool.h"
#include "mlirage/hal.h"
#include "platform/platform.h"

typedef struct mlirage_queued_t mlirage_queued_t;

typedef struct mlirage_device_vtable_t {
  void (*destroy)(mlirage_device_t* device);
  bool (*supports)(const mlirage_device_t* device, mlirage_string_t format);
  mlirage_status_t (*executable_create)(mlirage_device_t* device, mlirage_string_t format, mlirage_bytes_t data,
                                        mlirage_executable_t** out_executable, mlirage_error_t* error);
  // Runs a finished |command_buffer|; every slot is valid and long enough. Returns when the
  // work is done, with its failure if it has one. Or, if |signal| is not NULL: retains what
  // it needs, starts the work, returns MLIRAGE_PENDING and signals |signal| later.
  mlirage_status_t (*execute)(mlirage_device_t* device, mlirage_command_buffer_t* command_buffer,
                              const mlirage_binding_t* bindings, mlirage_fence_t* signal, mlirage_error_t* error);
  // For devices with a thread of their own that runs what is ready, while the caller goes on;
  // NULL for others. start_queue is called before anything is handed over; wake_queue makes
  // the thread call mlirage_queue_run_ready() soon; wait_queue waits until it has
  // nothing to do and holds no references.
  mlirage_status_t (*start_queue)(mlirage_device_t* device, mlirage_error_t* error);
  void (*wake_queue)(mlirage_device_t* device);
  void (*wait_queue)(mlirage_device_t* device);
} mlirage_device_vtable_t;

struct mlirage_device_t {
  mlirage_object_t object;
  const mlirage_device_vtable_t* vtable;
  const char* name;
  mlirage_allocator_t allocator;
  uint32_t worker_count;
  mlirage_pool_t pool;
  // Counters: atomic, relaxed; as wide as small machines count atomically.
  size_t imported_buffers;
  size_t imported_bytes;
  size_t dispatches;
  size_t workgroups;
  // Operations whose fence was signalled, in order; one thread at a time runs them.
  mlirage_lock_t ready_lock;
  mlirage_queued_t* ready_first;
  mlirage_queued_t* ready_last;
  bool ready_running;
  uint32_t queue_started;  // atomic; a thread of the device's own runs them
  mlirage_lock_t profile_lock;
  struct mlirage_profile_t* profile;  // atomic; NULL unless the device is profiled; changed under the lock
};

// For drivers: reads what the caller knows of |given|; what it does not know is zero.
MLIRAGE_MUST_USE mlirage_status_t mlirage_device_options_read(const mlirage_device_options_t* given,
                                                              mlirage_device_options_t* out_options,
                                                              mlirage_error_t* error);
// For drivers: sets the generic part up and takes it down.
void mlirage_device_initialize(mlirage_device_t* device, const mlirage_device_vtable_t* vtable, const char* name,
                               mlirage_allocator_t allocator, uint32_t worker_count);
void mlirage_device_deinitialize(mlirage_device_t* device);

#endif  // MLIRAGE_HAL_DEVICE_H_
