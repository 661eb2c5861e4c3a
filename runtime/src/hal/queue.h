// What drivers and fences need of a device's queue.
#ifndef MLIRAGE_HAL_QUEUE_H_
#define MLIRAGE_HAL_QUEUE_H_

#include "hal/device.h"

// Runs the operations that are ready, unless another thread does so already. Stops early,
// where the device has a thread of its own for the rest, once |until| (may be NULL) is
// signalled.
void mlirage_queue_run_ready(mlirage_device_t* device, mlirage_fence_t* until);

#endif  // MLIRAGE_HAL_QUEUE_H_
