// The four functions that a compiler may call on its own: from the C library, or from
// the embedder in a freestanding program. Internal: freestanding has no <string.h>.
#ifndef MLIRAGE_BASE_MEMORY_H_
#define MLIRAGE_BASE_MEMORY_H_

#include <stddef.h>

void* memcpy(void* restrict target, const void* restrict source, size_t size);
void* memmove(void* target, const void* source, size_t size);
void* memset(void* target, int value, size_t size);
int memcmp(const void* a, const void* b, size_t size);

#endif  // MLIRAGE_BASE_MEMORY_H_
