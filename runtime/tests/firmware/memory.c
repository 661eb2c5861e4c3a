// The four functions that the runtime needs of a C library, as a small program has them.
#include <stddef.h>
#include <stdint.h>

void* memcpy(void* restrict target, const void* restrict source, size_t size);
void* memmove(void* target, const void* source, size_t size);
void* memset(void* target, int value, size_t size);
int memcmp(const void* a, const void* b, size_t size);

// Volatile, lest the compiler makes calls of the loops again.
void* memcpy(void* restrict target, const void* restrict source, size_t size) {
  volatile uint8_t* to = target;
  const uint8_t* from = source;
  for (size_t i = 0; i < size; ++i) to[i] = from[i];
  return target;
}

void* memmove(void* target, const void* source, size_t size) {
  volatile uint8_t* to = target;
  const volatile uint8_t* from = source;
  if ((uintptr_t)target <= (uintptr_t)source) {
    for (size_t i = 0; i < size; ++i) to[i] = from[i];
  } else {
    for (size_t i = size; i > 0; --i) to[i - 1] = from[i - 1];
  }
  return target;
}

void* memset(void* target, int value, size_t size) {
  volatile uint8_t* to = target;
  for (size_t i = 0; i < size; ++i) to[i] = (uint8_t)value;
  return target;
}

int memcmp(const void* a, const void* b, size_t size) {
  const uint8_t* x = a;
  const uint8_t* y = b;
  for (size_t i = 0; i < size; ++i) {
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  }
  return 0;
}
