// What the queue needs of fences beyond hal.h.
#ifndef MLIRAGE_HAL_FENCE_H_
#define MLIRAGE_HAL_FENCE_H_

#include "hal/device.h"

// True once signalled, with success or not; NULL is.
bool mlirage_fence_is_signalled(mlirage_fence_t* fence);

#endif  // MLIRAGE_HAL_FENCE_H_
