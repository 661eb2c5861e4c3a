// A thread that runs the ready operations of a device whose callers do not want to wait.
// Started by the first operation that is handed over.
#ifndef MLIRAGE_HAL_DRIVERS_QUEUE_THREAD_H_
#define MLIRAGE_HAL_DRIVERS_QUEUE_THREAD_H_

#include "hal/device.h"

typedef struct mlirage_queue_thread_t mlirage_queue_thread_t;

MLIRAGE_MUST_USE mlirage_status_t mlirage_queue_thread_create(mlirage_device_t* device, uint32_t core,
                                                              mlirage_queue_thread_t** out_thread,
                                                              mlirage_error_t* error);
// Is the thread one of this process, and not of the one that it was forked from?
bool mlirage_queue_thread_is_here(const mlirage_queue_thread_t* thread);
void mlirage_queue_thread_wake(mlirage_queue_thread_t* thread);
// Returns once the thread has nothing to do and holds no reference to the device. At once on
// the thread itself.
void mlirage_queue_thread_wait(mlirage_queue_thread_t* thread);
// Ends the thread; before the device is gone. NULL is ignored.
void mlirage_queue_thread_release(mlirage_queue_thread_t* thread);

#endif  // MLIRAGE_HAL_DRIVERS_QUEUE_THREAD_H_
