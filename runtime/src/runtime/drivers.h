// The drivers of this build: drivers_threads.c, or drivers_none.c.
#ifndef MLIRAGE_RUNTIME_DRIVERS_H_
#define MLIRAGE_RUNTIME_DRIVERS_H_

#include "mlirage/hal.h"

typedef mlirage_status_t (*mlirage_device_creator_t)(const mlirage_device_options_t* options,
                                                     mlirage_device_t** out_device, mlirage_error_t* error);
// Best first; names end with NULL.
extern const char* const mlirage_drivers_names[];
extern const mlirage_device_creator_t mlirage_drivers_creators[];

#endif  // MLIRAGE_RUNTIME_DRIVERS_H_
