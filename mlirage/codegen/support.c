// What LLVM calls on processors of 32 bits instead of emitting instructions: division of
// integers, conversions between 64-bit integers and floats, and operations on memory.
// Linked into the library of entry points (link.py), so that it imports nothing.
//
// Freestanding: compiled for the target itself, with its processor's instructions.
#include <stddef.h>
#include <stdint.h>

#if defined(__arm__)
// The run-time ABI of the Arm architecture passes floats in core registers, whatever
// the rest of the program does.
#define ABI __attribute__((pcs("aapcs")))
#else
#define ABI
#endif

// ===- Division -------------------------------------------------------------------------===

#if defined(__arm__) && !defined(__ARM_FEATURE_IDIV)
// This processor divides nothing at all.
static uint32_t divide_32(uint32_t numerator, uint32_t denominator, uint32_t* out_remainder) {
  uint32_t quotient = 0;
  if (denominator != 0 && numerator >= denominator) {
    for (int shift = __builtin_clz(denominator) - __builtin_clz(numerator); shift >= 0; --shift) {
      if (numerator >= denominator << shift) {
        numerator -= denominator << shift;
        quotient |= (uint32_t)1 << shift;
      }
    }
  }
  *out_remainder = numerator;
  return quotient;
}
#else
static uint32_t divide_32(uint32_t numerator, uint32_t denominator, uint32_t* out_remainder) {
  *out_remainder = numerator % denominator;
  return numerator / denominator;
}
#endif

static uint64_t divide(uint64_t numerator, uint64_t denominator, uint64_t* out_remainder) {
  if ((numerator | denominator) >> 32 == 0) {
    uint32_t remainder = 0;
    const uint32_t quotient = divide_32((uint32_t)numerator, (uint32_t)denominator, &remainder);
    *out_remainder = remainder;
    return quotient;
  }
  uint64_t quotient = 0;
  if (denominator != 0 && numerator >= denominator) {
    for (int shift = __builtin_clzll(denominator) - __builtin_clzll(numerator); shift >= 0; --shift) {
      if (numerator >= denominator << shift) {
        numerator -= denominator << shift;
        quotient |= (uint64_t)1 << shift;
      }
    }
  }
  *out_remainder = numerator;
  return quotient;
}

static uint64_t magnitude(int64_t value) { return value < 0 ? 0 - (uint64_t)value : (uint64_t)value; }

// The quotient towards zero; the remainder has the sign of the numerator.
static int64_t divide_signed(int64_t numerator, int64_t denominator, int64_t* out_remainder) {
  uint64_t remainder = 0;
  const uint64_t quotient = divide(magnitude(numerator), magnitude(denominator), &remainder);
  *out_remainder = (int64_t)(numerator < 0 ? 0 - remainder : remainder);
  return (int64_t)((numerator < 0) != (denominator < 0) ? 0 - quotient : quotient);
}

// ===- Conversions ----------------------------------------------------------------------===

// The parts are exact, their sum is rounded once.
static double unsigned_to_double(uint64_t value) {
  return (double)(uint32_t)(value >> 32) * 4294967296.0 + (double)(uint32_t)value;
}
static double signed_to_double(int64_t value) {
  return (double)(int32_t)(value >> 32) * 4294967296.0 + (double)(uint32_t)value;
}

// Rounded once, too: bits that a double has no place for are gathered in one that it
// has, far below what a float keeps.
static float unsigned_to_float(uint64_t value) {
  if (value >> 53 != 0 && (value & 0x7ff) != 0) value = (value | 0x800) & ~(uint64_t)0x7ff;
  return (float)unsigned_to_double(value);
}
static float signed_to_float(int64_t value) {
  const float result = unsigned_to_float(magnitude(value));
  return value < 0 ? -result : result;
}

static uint64_t double_to_unsigned(double value) {
  const uint32_t high = (uint32_t)(value * (1.0 / 4294967296.0));
  const uint32_t low = (uint32_t)(value - (double)high * 4294967296.0);
  return (uint64_t)high << 32 | low;
}
static int64_t double_to_signed(double value) {
  return value < 0 ? (int64_t)(0 - double_to_unsigned(-value)) : (int64_t)double_to_unsigned(value);
}

// ===- Memory ---------------------------------------------------------------------------===

static void copy(uint8_t* target, const uint8_t* source, size_t size) {
  if (target <= source) {
    for (size_t i = 0; i < size; ++i) target[i] = source[i];
  } else {
    for (size_t i = size; i > 0; --i) target[i - 1] = source[i - 1];
  }
}

static void fill(uint8_t* target, size_t size, int value) {
  for (size_t i = 0; i < size; ++i) target[i] = (uint8_t)value;
}

void* memcpy(void* restrict target, const void* restrict source, size_t size) {
  copy(target, source, size);
  return target;
}
void* memmove(void* target, const void* source, size_t size) {
  copy(target, source, size);
  return target;
}
void* memset(void* target, int value, size_t size) {
  fill(target, size, value);
  return target;
}

// ===- The names that LLVM calls them by --------------------------------------------------===

#if defined(__arm__)
// Quotient and remainder come back together in r0 to r3: as a vector that the base
// procedure call standard returns there.
typedef uint32_t pair_32 __attribute__((vector_size(8)));
typedef uint64_t pair_64 __attribute__((vector_size(16)));

ABI uint32_t __aeabi_uidiv(uint32_t numerator, uint32_t denominator) {
  uint32_t remainder = 0;
  return divide_32(numerator, denominator, &remainder);
}
ABI int32_t __aeabi_idiv(int32_t numerator, int32_t denominator) {
  uint32_t remainder = 0;
  const uint32_t quotient = divide_32((uint32_t)magnitude(numerator), (uint32_t)magnitude(denominator), &remainder);
  return (int32_t)((numerator < 0) != (denominator < 0) ? 0 - quotient : quotient);
}
ABI pair_32 __aeabi_uidivmod(uint32_t numerator, uint32_t denominator) {
  uint32_t remainder = 0;
  const uint32_t quotient = divide_32(numerator, denominator, &remainder);
  return (pair_32){quotient, remainder};
}
ABI pair_32 __aeabi_idivmod(int32_t numerator, int32_t denominator) {
  const int32_t quotient = __aeabi_idiv(numerator, denominator);
  return (pair_32){(uint32_t)quotient, (uint32_t)numerator - (uint32_t)quotient * (uint32_t)denominator};
}
ABI pair_64 __aeabi_uldivmod(uint64_t numerator, uint64_t denominator) {
  uint64_t remainder = 0;
  const uint64_t quotient = divide(numerator, denominator, &remainder);
  return (pair_64){quotient, remainder};
}
ABI pair_64 __aeabi_ldivmod(int64_t numerator, int64_t denominator) {
  int64_t remainder = 0;
  const int64_t quotient = divide_signed(numerator, denominator, &remainder);
  return (pair_64){(uint64_t)quotient, (uint64_t)remainder};
}
ABI double __aeabi_ul2d(uint64_t value) { return unsigned_to_double(value); }
ABI double __aeabi_l2d(int64_t value) { return signed_to_double(value); }
ABI float __aeabi_ul2f(uint64_t value) { return unsigned_to_float(value); }
ABI float __aeabi_l2f(int64_t value) { return signed_to_float(value); }
ABI uint64_t __aeabi_d2ulz(double value) { return double_to_unsigned(value); }
ABI int64_t __aeabi_d2lz(double value) { return double_to_signed(value); }
ABI uint64_t __aeabi_f2ulz(float value) { return double_to_unsigned((double)value); }
ABI int64_t __aeabi_f2lz(float value) { return double_to_signed((double)value); }

ABI void __aeabi_memcpy(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memcpy4(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memcpy8(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memmove(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memmove4(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memmove8(void* target, const void* source, size_t size) { copy(target, source, size); }
ABI void __aeabi_memset(void* target, size_t size, int value) { fill(target, size, value); }
ABI void __aeabi_memset4(void* target, size_t size, int value) { fill(target, size, value); }
ABI void __aeabi_memset8(void* target, size_t size, int value) { fill(target, size, value); }
ABI void __aeabi_memclr(void* target, size_t size) { fill(target, size, 0); }
ABI void __aeabi_memclr4(void* target, size_t size) { fill(target, size, 0); }
ABI void __aeabi_memclr8(void* target, size_t size) { fill(target, size, 0); }
#else
uint64_t __udivdi3(uint64_t numerator, uint64_t denominator) {
  uint64_t remainder = 0;
  return divide(numerator, denominator, &remainder);
}
uint64_t __umoddi3(uint64_t numerator, uint64_t denominator) {
  uint64_t remainder = 0;
  (void)divide(numerator, denominator, &remainder);
  return remainder;
}
int64_t __divdi3(int64_t numerator, int64_t denominator) {
  int64_t remainder = 0;
  return divide_signed(numerator, denominator, &remainder);
}
int64_t __moddi3(int64_t numerator, int64_t denominator) {
  int64_t remainder = 0;
  (void)divide_signed(numerator, denominator, &remainder);
  return remainder;
}
double __floatundidf(uint64_t value) { return unsigned_to_double(value); }
double __floatdidf(int64_t value) { return signed_to_double(value); }
float __floatundisf(uint64_t value) { return unsigned_to_float(value); }
float __floatdisf(int64_t value) { return signed_to_float(value); }
uint64_t __fixunsdfdi(double value) { return double_to_unsigned(value); }
int64_t __fixdfdi(double value) { return double_to_signed(value); }
uint64_t __fixunssfdi(float value) { return double_to_unsigned((double)value); }
int64_t __fixsfdi(float value) { return double_to_signed((double)value); }
#endif
