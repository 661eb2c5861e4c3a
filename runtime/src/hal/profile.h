// Profiling: a bounded queue of events that any thread fills and one reader empties.
//
// A replay asks for its device's profile once; while there is none, running a command costs
// one branch more.
#ifndef MLIRAGE_HAL_PROFILE_H_
#define MLIRAGE_HAL_PROFILE_H_

#include "hal/command_buffer.h"

typedef struct mlirage_profile_t mlirage_profile_t;

// The profile of |device|, retained, for an execution of |command_buffer|; its entry points' names stay
// valid as long as the profile. NULL if profiling is off (or has no memory for them: counted as a drop).
// |*out_execution| is the number of the execution.
mlirage_profile_t* mlirage_profile_acquire(mlirage_device_t* device, const mlirage_command_buffer_t* command_buffer,
                                           uint64_t* out_execution);
void mlirage_profile_release(mlirage_profile_t* profile);
// From any thread. Drops |event| if there is no room.
void mlirage_profile_record(mlirage_profile_t* profile, const mlirage_profile_event_t* event);

#endif  // MLIRAGE_HAL_PROFILE_H_
