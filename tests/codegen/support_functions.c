// Prints what 64-bit integers make of one another, and of floats: the same on every
// machine. On those of 32 bits the compiler calls mlirage/codegen/support.c for it.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// Numbers of every length, and those around powers of two.
static uint64_t number(void) {
  const uint64_t value = next() >> next() % 64;
  const uint64_t power = (uint64_t)1 << next() % 64;
  switch (next() % 4) {
    case 0: return power + next() % 3 - 1;
    case 1: return 0 - value;
    default: return value;
  }
}

static uint64_t bits(double value) {
  uint64_t result = 0;
  memcpy(&result, &value, sizeof(result));
  return result;
}

static void print(uint64_t value) {
  printf("%08lx%08lx ", (unsigned long)(value >> 32), (unsigned long)(uint32_t)value);
}

int main(void) {
  for (int i = 0; i < 3000; ++i) {
    volatile uint64_t a = number();
    volatile uint64_t b = number();
    if (b == 0) b = 1;
    print(a / b);
    print(a % b);
    if (!(a == (uint64_t)1 << 63 && b == UINT64_MAX)) {
      print((uint64_t)((int64_t)a / (int64_t)b));
      print((uint64_t)((int64_t)a % (int64_t)b));
    }
    volatile uint32_t c = (uint32_t)a;
    volatile uint32_t d = (uint32_t)b != 0 ? (uint32_t)b : 1;
    print(c / d);
    print(c % d);
    if (!(c == 0x80000000u && d == UINT32_MAX)) {
      print((uint64_t)((int32_t)c / (int32_t)d));
      print((uint64_t)((int32_t)c % (int32_t)d));
    }
    volatile double e = (double)a;
    volatile double f = (double)(int64_t)a;
    volatile float g = (float)a;
    volatile float h = (float)(int64_t)a;
    print(bits(e));
    print(bits(f));
    print(bits((double)g));
    print(bits((double)h));
    volatile double x = (double)(a >> 1) / 1024.0;
    volatile float y = (float)x;
    print((uint64_t)x);
    print((uint64_t)(int64_t)-x);
    print((uint64_t)y);
    print((uint64_t)(int64_t)-y);
    printf("\n");
  }
  return 0;
}
