// Weak references, for lists whose entries take themselves out when they are destroyed.
#ifndef MLIRAGE_BASE_OBJECT_H_
#define MLIRAGE_BASE_OBJECT_H_

#include "mlirage/base.h"

// Adds a reference unless the last one is gone and |object| is on its way to be destroyed.
// The caller holds the lock that |destroy| must take before it frees anything.
bool mlirage_object_try_retain(void* object);

#endif  // MLIRAGE_BASE_OBJECT_H_
