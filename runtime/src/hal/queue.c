// The queue of a device: operations that wait for fences, in the order they become ready.
#include "base/memory.h"
#include "hal/buffer.h"
#include "hal/command_buffer.h"
#include "hal/fence.h"

typedef enum operation_t { OPERATION_SIGNAL, OPERATION_DEALLOCA, OPERATION_EXECUTE } operation_t;

// An operation that is not ready yet; owns references to all it names.
struct mlirage_queued_t {
  mlirage_fence_waiter_t waiter;  // first: what the fence is given
  mlirage_queued_t* next_ready;
  mlirage_device_t* device;
  mlirage_fence_t* wait;
  mlirage_fence_t* signal;
  operation_t operation;
  mlirage_buffer_t* buffer;
  mlirage_command_buffer_t* command_buffer;
  size_t size;  // of this block
  size_t binding_count;
  mlirage_binding_t bindings[];
};

static void release_queued(mlirage_queued_t* queued) {
  mlirage_device_t* device = queued->device;
  mlirage_fence_release(queued->wait);
  mlirage_fence_release(queued->signal);
  mlirage_buffer_release(queued->buffer);
  mlirage_command_buffer_release(queued->command_buffer);
  for (size_t i = 0; i < queued->binding_count; ++i) mlirage_buffer_release(queued->bindings[i].buffer);
  mlirage_free(device->allocator, queued, queued->size);
  mlirage_device_release(device);
}

static void run_queued(mlirage_queued_t* queued) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_status_t status = mlirage_fence_query(queued->wait, &error);
  if (queued->operation == OPERATION_DEALLOCA) mlirage_buffer_surrender(queued->buffer);
  if (status == MLIRAGE_OK && queued->operation == OPERATION_EXECUTE) {
    // Work signals the fence itself; what is returned is a failure to start it.
    status = queued->device->vtable->execute(queued->device, queued->command_buffer, queued->bindings, queued->signal,
                                             &error);
    if (status != MLIRAGE_OK && queued->signal != NULL) mlirage_fence_fail(queued->signal, status, &error);
  } else if (queued->signal != NULL) {
    // Nothing to report beyond the fence: it is given.
    (void)mlirage_device_complete(queued->signal, status, &error);
  }
  release_queued(queued);
}

// A fence was signalled. Chains of operations that signal each other run one after the
// other from here, not inside each other: the stack stays small however long they are.
static void make_ready(mlirage_fence_waiter_t* waiter, mlirage_status_t status) {
  (void)status;  // asked of the fence again, with its text
  mlirage_queued_t* queued = (mlirage_queued_t*)waiter;
  mlirage_device_t* device = queued->device;
  mlirage_device_retain(device);
  mlirage_lock_acquire(&device->ready_lock);
  queued->next_ready = NULL;
  *(device->ready_first == NULL ? &device->ready_first : &device->ready_last->next_ready) = queued;
  device->ready_last = queued;
  const bool run = !device->ready_running;
  if (run) device->ready_running = true;
  while (run && device->ready_first != NULL) {
    mlirage_queued_t* next = device->ready_first;
    device->ready_first = next->next_ready;
    mlirage_lock_release(&device->ready_lock);
    run_queued(next);
    mlirage_lock_acquire(&device->ready_lock);
  }
  if (run) device->ready_running = false;
  mlirage_lock_release(&device->ready_lock);
  mlirage_device_release(device);
}

static mlirage_status_t enqueue(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                operation_t operation, mlirage_buffer_t* buffer,
                                mlirage_command_buffer_t* command_buffer, size_t binding_count,
                                const mlirage_binding_t* bindings, mlirage_error_t* error) {
  const size_t size = sizeof(mlirage_queued_t) + binding_count * sizeof(*bindings);
  void* block = NULL;
  if (mlirage_allocate(device->allocator, size, &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory to queue an operation");
  }
  mlirage_queued_t* queued = block;
  queued->waiter.call = make_ready;
  queued->device = device;
  queued->wait = wait;
  queued->signal = signal;
  queued->operation = operation;
  queued->buffer = buffer;
  queued->command_buffer = command_buffer;
  queued->size = size;
  queued->binding_count = binding_count;
  mlirage_device_retain(device);
  mlirage_fence_retain(wait);
  mlirage_fence_retain(signal);
  mlirage_buffer_retain(buffer);
  mlirage_command_buffer_retain(command_buffer);
  for (size_t i = 0; i < binding_count; ++i) {
    queued->bindings[i] = bindings[i];
    mlirage_buffer_retain(bindings[i].buffer);
  }
  mlirage_fence_notify(wait, &queued->waiter);
  return MLIRAGE_OK;
}

// If |wait| has failed, so does the operation: true, with its result in |*out_status|.
static bool failed_already(mlirage_fence_t* wait, mlirage_fence_t* signal, mlirage_error_t* error,
                           mlirage_status_t* out_status) {
  if (wait == NULL) return false;
  mlirage_error_t failure = {MLIRAGE_OK, {0}};
  *out_status = mlirage_fence_query(wait, &failure);
  if (*out_status == MLIRAGE_OK || *out_status == MLIRAGE_PENDING) return false;
  if (error != NULL && signal == NULL) *error = failure;
  *out_status = mlirage_device_complete(signal, *out_status, &failure);
  return true;
}

mlirage_status_t mlirage_queue_alloca(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                      size_t length, mlirage_buffer_t** out_buffer, mlirage_error_t* error) {
  // Host memory is there at once; only the promise to |signal| waits.
  MLIRAGE_TRY(mlirage_buffer_allocate(device, length, out_buffer, error));
  mlirage_status_t status = MLIRAGE_OK;
  if (!failed_already(wait, signal, error, &status)) {
    if (mlirage_fence_is_signalled(wait)) {
      status = mlirage_device_complete(signal, MLIRAGE_OK, NULL);
    } else if (signal != NULL) {
      status = enqueue(device, wait, signal, OPERATION_SIGNAL, NULL, NULL, 0, NULL, error);
    }
  }
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(*out_buffer);
    *out_buffer = NULL;
  }
  return status;
}

mlirage_status_t mlirage_queue_dealloca(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                        mlirage_buffer_t* buffer, mlirage_error_t* error) {
  if (buffer->root != NULL || (buffer->block == NULL && buffer->length != 0)) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "dealloca of a buffer of %zu bytes that is not a transient buffer, or not anymore",
                        buffer->length);
  }
  if (!mlirage_fence_is_signalled(wait)) {
    return enqueue(device, wait, signal, OPERATION_DEALLOCA, buffer, NULL, 0, NULL, error);
  }
  mlirage_buffer_surrender(buffer);
  mlirage_status_t status = MLIRAGE_OK;
  if (failed_already(wait, signal, error, &status)) return status;
  return mlirage_device_complete(signal, MLIRAGE_OK, NULL);
}

static mlirage_status_t check_bindings(const mlirage_command_buffer_t* command_buffer, size_t binding_count,
                                       const mlirage_binding_t* bindings, mlirage_error_t* error) {
  if (binding_count != command_buffer->binding_capacity) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "command buffer takes %zu bindings, got %zu",
                        command_buffer->binding_capacity, binding_count);
  }
  for (size_t i = 0; i < binding_count; ++i) {
    const mlirage_binding_t* binding = &bindings[i];
    const size_t available = binding->buffer != NULL ? binding->buffer->length : 0;
    if (!mlirage_range_fits(binding->offset, binding->length, available)) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE,
                          "binding %zu: range of %zu bytes at %zu is outside of a buffer of %zu bytes", i,
                          binding->length, binding->offset, available);
    }
    if (command_buffer->slot_extents[i] > binding->length) {
      return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "binding %zu: commands use %zu bytes, the binding has %zu", i,
                          command_buffer->slot_extents[i], binding->length);
    }
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_queue_execute(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                       mlirage_command_buffer_t* command_buffer, size_t binding_count,
                                       const mlirage_binding_t* bindings, mlirage_error_t* error) {
  if (command_buffer->device != device) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "command buffer was recorded for another device");
  }
  uint32_t expected = MLIRAGE_COMMANDS_FINISHED;
  const uint32_t next = command_buffer->one_shot ? MLIRAGE_COMMANDS_SPENT : MLIRAGE_COMMANDS_FINISHED;
  MLIRAGE_TRY(check_bindings(command_buffer, binding_count, bindings, error));
  if (!__atomic_compare_exchange_n(&command_buffer->state, &expected, next, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_ACQUIRE)) {
    return mlirage_fail(error, MLIRAGE_FAILED_PRECONDITION,
                        expected == MLIRAGE_COMMANDS_SPENT ? "a one-shot command buffer is executed twice"
                                                           : "the command buffer is not finalized");
  }
  mlirage_status_t status = MLIRAGE_OK;
  if (failed_already(wait, signal, error, &status)) return status;
  if (mlirage_fence_is_signalled(wait)) {
    return device->vtable->execute(device, command_buffer, bindings, signal, error);
  }
  if (signal == NULL) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "execution that waits needs a fence to report to");
  }
  return enqueue(device, wait, signal, OPERATION_EXECUTE, NULL, command_buffer, binding_count, bindings, error);
}
