// The queue of a device: operations that wait for fences, in the order they become ready.
#include "hal/queue.h"
#include "base/memory.h"
#include "hal/buffer.h"
#include "hal/command_buffer.h"
#include "hal/fence.h"
#include "hal/file.h"

typedef enum operation_t {
  OPERATION_SIGNAL,
  OPERATION_DEALLOCA,
  OPERATION_EXECUTE,
  OPERATION_READ,
  OPERATION_WRITE,
} operation_t;

// An operation that is not ready yet. The fence that it waits for owns it: what nobody can
// signal anymore is not kept either.
struct mlirage_queued_t {
  mlirage_fence_waiter_t waiter;  // first: what the fence is given
  mlirage_queued_t* next_ready;
  mlirage_device_t* device;  // retained, as is what follows but |wait|
  mlirage_fence_t* wait;     // retained once ready, if it has failed
  mlirage_fence_t* signal;
  mlirage_buffer_t* buffer;
  mlirage_command_buffer_t* command_buffer;
  mlirage_file_t* file;
  uint64_t file_offset;
  operation_t operation;
  mlirage_status_t status;  // of |wait|
  size_t size;              // of this cell
  size_t binding_count;
  mlirage_binding_t bindings[];
};

// Reports the end of an operation to |signal|, or as the result if that is NULL.
static mlirage_status_t complete(mlirage_fence_t* signal, mlirage_status_t status, const mlirage_error_t* error) {
  if (signal == NULL) return status;
  if (status == MLIRAGE_OK) {
    mlirage_fence_signal(signal);
  } else {
    mlirage_fence_fail(signal, status, error);
  }
  return MLIRAGE_OK;
}

static void release_queued(mlirage_queued_t* queued) {
  mlirage_device_t* device = queued->device;
  if (queued->status != MLIRAGE_OK) mlirage_fence_release(queued->wait);
  mlirage_fence_release(queued->signal);
  mlirage_buffer_release(queued->buffer);
  mlirage_command_buffer_release(queued->command_buffer);
  mlirage_file_release(queued->file);
  for (size_t i = 0; i < queued->binding_count; ++i) mlirage_buffer_release(queued->bindings[i].buffer);
  mlirage_pool_cell_release(&device->pool, queued, queued->size);
  mlirage_device_release(device);
}

// Moves bytes between a file and the range |memory|, on this thread.
static mlirage_status_t transfer(operation_t operation, mlirage_file_t* file, uint64_t file_offset,
                                 const mlirage_binding_t* memory, mlirage_error_t* error) {
  uint8_t* host = NULL;
  MLIRAGE_TRY(mlirage_buffer_host(memory->buffer, &host, error));
  if (memory->length == 0) return MLIRAGE_OK;
  if (operation == OPERATION_READ) {
    return mlirage_file_read(file, file_offset, host + memory->offset, memory->length, error);
  }
  return mlirage_file_write(file, file_offset, host + memory->offset, memory->length, error);
}

static void run_queued(mlirage_queued_t* queued) {
  mlirage_error_t error;
  error.text[0] = '\0';
  mlirage_status_t status = queued->status;
  if (status != MLIRAGE_OK) status = mlirage_fence_query(queued->wait, &error);
  if (queued->operation == OPERATION_DEALLOCA) mlirage_buffer_surrender(queued->buffer);
  if (status == MLIRAGE_OK && queued->operation == OPERATION_EXECUTE) {
    status = queued->device->vtable->execute(queued->device, queued->command_buffer, queued->bindings, queued->signal,
                                             &error);
  }
  if (status == MLIRAGE_OK && queued->file != NULL) {
    status = transfer(queued->operation, queued->file, queued->file_offset, queued->bindings, &error);
  }
  // All but the fence is let go before it is signalled: who waits for it finds memory free.
  mlirage_fence_t* signal = queued->signal;
  queued->signal = NULL;
  release_queued(queued);
  // Failures of work that nobody asks about are lost here: executions must have a fence.
  if (status != MLIRAGE_PENDING) (void)complete(signal, status, &error);
  mlirage_fence_release(signal);
}

// Does the device run what is ready on a thread of its own?
static bool queue_started(const mlirage_device_t* device) {
  return __atomic_load_n(&device->queue_started, __ATOMIC_ACQUIRE) != 0;
}

void mlirage_queue_run_ready(mlirage_device_t* device, mlirage_fence_t* until) {
  mlirage_lock_acquire(&device->ready_lock);
  if (device->ready_running || device->ready_first == NULL) {
    mlirage_lock_release(&device->ready_lock);
    return;
  }
  mlirage_device_retain(device);  // alive: the operations keep it
  device->ready_running = true;
  bool stop = false;
  while (device->ready_first != NULL && !stop) {
    mlirage_queued_t* next = device->ready_first;
    device->ready_first = next->next_ready;
    mlirage_lock_release(&device->ready_lock);
    run_queued(next);
    stop = until != NULL && queue_started(device) && mlirage_fence_is_signalled(until);
    mlirage_lock_acquire(&device->ready_lock);
  }
  device->ready_running = false;
  const bool rest = device->ready_first != NULL;
  mlirage_lock_release(&device->ready_lock);
  if (rest) device->vtable->wake_queue(device);
  mlirage_device_release(device);
}

// An operation may run. Chains of operations that signal each other run one after the other
// from a list, not inside each other: the stack stays small however long they are.
static void make_ready(mlirage_queued_t* queued) {
  mlirage_device_t* device = queued->device;
  mlirage_device_retain(device);
  mlirage_lock_acquire(&device->ready_lock);
  queued->next_ready = NULL;
  *(device->ready_first == NULL ? &device->ready_first : &device->ready_last->next_ready) = queued;
  device->ready_last = queued;
  const bool running = device->ready_running;
  mlirage_lock_release(&device->ready_lock);
  if (!queue_started(device)) {
    mlirage_queue_run_ready(device, NULL);
  } else if (!running) {
    device->vtable->wake_queue(device);
  }
  mlirage_device_release(device);
}

static void wait_signalled(mlirage_fence_waiter_t* waiter, mlirage_status_t status) {
  mlirage_queued_t* queued = (mlirage_queued_t*)waiter;
  queued->status = status;
  if (status != MLIRAGE_OK) mlirage_fence_retain(queued->wait);  // it has the text
  make_ready(queued);
}

mlirage_fence_t* mlirage_queued_target(const mlirage_fence_waiter_t* waiter) {
  return waiter->call == wait_signalled ? ((const mlirage_queued_t*)waiter)->signal : NULL;
}

// What all operations share: |buffer|, |command_buffer| and |bindings| where they have them.
typedef struct request_t {
  operation_t operation;
  mlirage_buffer_t* buffer;
  mlirage_command_buffer_t* command_buffer;
  mlirage_file_t* file;
  uint64_t file_offset;
  size_t binding_count;
  const mlirage_binding_t* bindings;
} request_t;

static mlirage_status_t enqueue(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                const request_t* request, mlirage_error_t* error) {
  const size_t size = sizeof(mlirage_queued_t) + request->binding_count * sizeof(*request->bindings);
  void* cell = NULL;
  if (mlirage_pool_cell_acquire(&device->pool, size, &cell) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "no memory to queue an operation");
  }
  mlirage_queued_t* queued = cell;
  *queued = (mlirage_queued_t){
      .waiter = {NULL, wait_signalled},
      .device = device,
      .wait = wait,
      .signal = signal,
      .buffer = request->buffer,
      .command_buffer = request->command_buffer,
      .file = request->file,
      .file_offset = request->file_offset,
      .operation = request->operation,
      .size = size,
      .binding_count = request->binding_count,
  };
  mlirage_device_retain(device);
  mlirage_fence_retain(signal);
  mlirage_buffer_retain(request->buffer);
  mlirage_command_buffer_retain(request->command_buffer);
  mlirage_file_retain(request->file);
  for (size_t i = 0; i < request->binding_count; ++i) {
    queued->bindings[i] = request->bindings[i];
    mlirage_buffer_retain(request->bindings[i].buffer);
  }
  if (mlirage_fence_is_signalled(wait)) {
    make_ready(queued);
    return MLIRAGE_OK;
  }
  // Asked after the operation is on the list, so that of two halves of a ring one is refused.
  mlirage_fence_notify(wait, &queued->waiter);
  bool leads = false;
  mlirage_status_t status = MLIRAGE_OK;
  if (signal != NULL && mlirage_fence_has_waiters(signal)) status = mlirage_fence_leads_to(signal, wait, &leads);
  if ((status == MLIRAGE_OK && !leads) || !mlirage_fence_cancel(wait, &queued->waiter)) return MLIRAGE_OK;
  queued->status = MLIRAGE_OK;
  release_queued(queued);
  if (status != MLIRAGE_OK) return mlirage_fail(error, status, "no memory to queue an operation");
  return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                      "the operation would wait for itself: what it waits for waits "
                      "for what it signals");
}

// Checks common to all operations. If |wait| has failed, so does the operation: |*out_done|, with
// its result as the function's.
static mlirage_status_t check_fences(mlirage_fence_t* wait, mlirage_fence_t* signal, bool* out_done,
                                     mlirage_error_t* error) {
  *out_done = false;
  if (wait == NULL) return MLIRAGE_OK;
  if (wait == signal) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "wait and signal are the same fence");
  }
  if (!mlirage_fence_is_signalled(wait) || wait->status == MLIRAGE_OK) return MLIRAGE_OK;
  *out_done = true;
  mlirage_error_t failure;
  failure.text[0] = '\0';
  const mlirage_status_t status = mlirage_fence_query(wait, signal == NULL ? error : &failure);
  return complete(signal, status, &failure);
}

mlirage_status_t mlirage_queue_alloca(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                      size_t length, mlirage_buffer_t** out_buffer, mlirage_error_t* error) {
  *out_buffer = NULL;
  // Host memory is there at once; only the promise to |signal| waits.
  mlirage_buffer_t* buffer = NULL;
  MLIRAGE_TRY(mlirage_buffer_allocate(device, length, &buffer, error));
  bool done = false;
  mlirage_status_t status = check_fences(wait, signal, &done, error);
  if (status == MLIRAGE_OK && !done) {
    if (mlirage_fence_is_signalled(wait)) {
      status = complete(signal, MLIRAGE_OK, NULL);
    } else if (signal != NULL) {
      status = enqueue(device, wait, signal, &(request_t){.operation = OPERATION_SIGNAL}, error);
    }
  }
  if (status != MLIRAGE_OK) {
    mlirage_buffer_release(buffer);
    return status;
  }
  *out_buffer = buffer;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_queue_dealloca(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                        mlirage_buffer_t* buffer, mlirage_error_t* error) {
  if (buffer->root != NULL || (buffer->block == NULL && buffer->length != 0)) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT,
                        "dealloca of a buffer of %zu bytes that is not a transient buffer, or not anymore",
                        buffer->length);
  }
  if (!mlirage_fence_is_signalled(wait)) {
    if (wait == signal) return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "wait and signal are the same fence");
    const request_t request = {.operation = OPERATION_DEALLOCA, .buffer = buffer};
    return enqueue(device, wait, signal, &request, error);
  }
  mlirage_buffer_surrender(buffer);
  bool done = false;
  const mlirage_status_t status = check_fences(wait, signal, &done, error);
  return status != MLIRAGE_OK || done ? status : complete(signal, MLIRAGE_OK, NULL);
}

// Executes or transfers on this thread.
static mlirage_status_t run_here(mlirage_device_t* device, mlirage_fence_t* signal, const request_t* request,
                                 mlirage_error_t* error) {
  mlirage_error_t failure;
  failure.text[0] = '\0';
  mlirage_error_t* report = signal == NULL ? error : &failure;
  mlirage_status_t status;
  if (request->operation == OPERATION_EXECUTE) {
    status = device->vtable->execute(device, request->command_buffer, request->bindings, signal, report);
  } else {
    status = transfer(request->operation, request->file, request->file_offset, request->bindings, report);
  }
  return status == MLIRAGE_PENDING ? MLIRAGE_OK : complete(signal, status, report);
}

// Runs |request| here if it may, else queues it or hands it over.
static mlirage_status_t submit(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                               const request_t* request, mlirage_queue_flags_t flags, mlirage_error_t* error) {
  bool done = false;
  const mlirage_status_t status = check_fences(wait, signal, &done, error);
  if (status != MLIRAGE_OK || done) return status;
  const bool hand_over = (flags & MLIRAGE_QUEUE_ASYNC) != 0 && device->vtable->start_queue != NULL;
  if (!hand_over && mlirage_fence_is_signalled(wait)) return run_here(device, signal, request, error);
  if (signal == NULL) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "work that the call does not wait for needs a fence");
  }
  if (hand_over) MLIRAGE_TRY(device->vtable->start_queue(device, error));
  return enqueue(device, wait, signal, request, error);
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
                                       const mlirage_binding_t* bindings, mlirage_queue_flags_t flags,
                                       mlirage_error_t* error) {
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
  const request_t request = {
      .operation = OPERATION_EXECUTE,
      .command_buffer = command_buffer,
      .binding_count = binding_count,
      .bindings = bindings,
  };
  return submit(device, wait, signal, &request, flags, error);
}

static mlirage_status_t queue_transfer(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                       operation_t operation, mlirage_file_t* file, uint64_t file_offset,
                                       const mlirage_binding_t* memory, mlirage_queue_flags_t flags,
                                       mlirage_error_t* error) {
  const size_t available = memory->buffer->length;
  if (!mlirage_range_fits(memory->offset, memory->length, available)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_RANGE, "range of %zu bytes at %zu is outside of a buffer of %zu bytes",
                        memory->length, memory->offset, available);
  }
  MLIRAGE_TRY(mlirage_file_check(file, operation == OPERATION_WRITE, file_offset, memory->length, error));
  const request_t request = {
      .operation = operation, .file = file, .file_offset = file_offset, .binding_count = 1, .bindings = memory};
  return submit(device, wait, signal, &request, flags, error);
}

mlirage_status_t mlirage_queue_read(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                    mlirage_file_t* file, uint64_t file_offset, mlirage_buffer_t* buffer, size_t offset,
                                    size_t length, mlirage_queue_flags_t flags, mlirage_error_t* error) {
  const mlirage_binding_t memory = {buffer, offset, length};
  return queue_transfer(device, wait, signal, OPERATION_READ, file, file_offset, &memory, flags, error);
}

mlirage_status_t mlirage_queue_write(mlirage_device_t* device, mlirage_fence_t* wait, mlirage_fence_t* signal,
                                     mlirage_buffer_t* buffer, size_t offset, mlirage_file_t* file,
                                     uint64_t file_offset, size_t length, mlirage_queue_flags_t flags,
                                     mlirage_error_t* error) {
  const mlirage_binding_t memory = {buffer, offset, length};
  return queue_transfer(device, wait, signal, OPERATION_WRITE, file, file_offset, &memory, flags, error);
}
