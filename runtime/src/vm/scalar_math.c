#include "vm/scalar_math.h"

#include "base/memory.h"

#define SIGN_F64 (UINT64_C(1) << 63)
#define MANTISSA_BITS 52
#define MANTISSA_MASK ((UINT64_C(1) << MANTISSA_BITS) - 1)
#define EXPONENT_MAX 0x7FF

static uint64_t bits_of_f64(double value) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
static double f64_of_bits(uint64_t bits) {
  double value = 0;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
static uint32_t bits_of_f32(float value) {
  uint32_t bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
static float f32_of_bits(uint32_t bits) {
  float value = 0;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
static int exponent_of(uint64_t bits) { return (int)(bits >> MANTISSA_BITS & EXPONENT_MAX); }

//===--------------------------------------------------------------------------===
// Conversions to integers
//===--------------------------------------------------------------------------===

// Comparisons are false for NaN, which ends at the last line of each.
int32_t mlirage_f64_to_i32(double value) {
  if (value >= 2147483648.0) return INT32_MAX;
  if (value <= -2147483649.0) return INT32_MIN;
  return value == value ? (int32_t)value : 0;
}
uint32_t mlirage_f64_to_u32(double value) {
  if (value >= 4294967296.0) return UINT32_MAX;
  return value > 0.0 ? (uint32_t)value : 0;
}
int64_t mlirage_f64_to_i64(double value) {
  if (value >= 9223372036854775808.0) return INT64_MAX;
  if (value < -9223372036854775808.0) return INT64_MIN;
  return value == value ? (int64_t)value : 0;
}
uint64_t mlirage_f64_to_u64(double value) {
  if (value >= 18446744073709551616.0) return UINT64_MAX;
  return value > 0.0 ? (uint64_t)value : 0;
}

//===--------------------------------------------------------------------------===
// Rounding
//===--------------------------------------------------------------------------===

double mlirage_f64_trunc(double value) {
  const uint64_t bits = bits_of_f64(value);
  const int exponent = exponent_of(bits) - 1023;
  if (exponent < 0) return f64_of_bits(bits & SIGN_F64);
  if (exponent >= MANTISSA_BITS) return value;  // whole, infinite or NaN
  return f64_of_bits(bits & ~(MANTISSA_MASK >> exponent));
}
double mlirage_f64_floor(double value) {
  const double whole = mlirage_f64_trunc(value);
  return value < whole ? whole - 1.0 : whole;
}
double mlirage_f64_ceil(double value) {
  const double whole = mlirage_f64_trunc(value);
  if (!(value > whole)) return whole;
  return whole + 1.0;
}
double mlirage_f64_round_even(double value) {
  const double whole = mlirage_f64_trunc(value);
  const double part = value - whole;  // exact, with the sign of |value|
  const double magnitude = part < 0 ? -part : part;
  if (magnitude < 0.5 || !(magnitude == magnitude)) return whole;
  const bool is_odd = mlirage_f64_trunc(whole * 0.5) * 2.0 != whole;
  if (magnitude == 0.5 && !is_odd) return whole;
  return part < 0 ? whole - 1.0 : whole + 1.0;
}

double mlirage_f64_minimum(double a, double b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f64_of_bits(bits_of_f64(a) | bits_of_f64(b));  // of two zeros the negative one
  return a < b ? a : b;
}
double mlirage_f64_maximum(double a, double b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f64_of_bits(bits_of_f64(a) & bits_of_f64(b));
  return a > b ? a : b;
}

//===--------------------------------------------------------------------------===
// Remainder and square root, bit by bit
//===--------------------------------------------------------------------------===

// Magnitude as mantissa * 2^exponent, the mantissa with its top bit at MANTISSA_BITS.
// |bits| is finite and not zero.
static uint64_t normalize(uint64_t bits, int* out_exponent) {
  uint64_t mantissa = bits & MANTISSA_MASK;
  int exponent = exponent_of(bits);
  if (exponent != 0) {
    mantissa |= UINT64_C(1) << MANTISSA_BITS;
  } else {
    exponent = 1;
    for (; mantissa >> MANTISSA_BITS == 0; --exponent) mantissa <<= 1;
  }
  *out_exponent = exponent;
  return mantissa;
}

double mlirage_f64_remainder(double dividend, double divisor) {
  const uint64_t sign = bits_of_f64(dividend) & SIGN_F64;
  const uint64_t a = bits_of_f64(dividend) & ~SIGN_F64;
  const uint64_t b = bits_of_f64(divisor) & ~SIGN_F64;
  const uint64_t infinity = (uint64_t)EXPONENT_MAX << MANTISSA_BITS;
  if (a >= infinity || b > infinity || b == 0) return (dividend * divisor) / (dividend * divisor);  // NaN
  if (a < b) return dividend;
  if (a == b) return f64_of_bits(sign);
  int exponent = 0, exponent_b = 0;
  uint64_t rest = normalize(a, &exponent);
  const uint64_t step = normalize(b, &exponent_b);
  for (; exponent > exponent_b; --exponent) {
    if (rest >= step) rest -= step;
    rest <<= 1;
  }
  if (rest >= step) rest -= step;
  if (rest == 0) return f64_of_bits(sign);
  for (; rest >> MANTISSA_BITS == 0; --exponent) rest <<= 1;
  if (exponent > 0) return f64_of_bits(sign | (rest & MANTISSA_MASK) | (uint64_t)exponent << MANTISSA_BITS);
  return f64_of_bits(sign | rest >> (1 - exponent));  // denormal: exact, as the divisor has no finer bits
}

double mlirage_f64_sqrt(double value) {
  const uint64_t bits = bits_of_f64(value);
  if ((bits & ~SIGN_F64) == 0) return value;
  if (!(value == value)) return value + value;
  if ((bits & SIGN_F64) != 0) return (value - value) / (value - value == 0 ? 0.0 * value : value - value);
  if (exponent_of(bits) == EXPONENT_MAX) return value;
  int exponent = 0;
  uint64_t mantissa = normalize(bits, &exponent);
  exponent -= 1023;
  if (exponent % 2 != 0) {
    mantissa <<= 1;
    exponent -= 1;
  }
  // 54 bits of the root of mantissa * 2^(2k): the 53 of the result and one to round.
  uint64_t root = 0, rest = 0;
  for (int i = 0; i < 54; ++i) {
    // The next two bits: mantissa has 54 (two before the point), then zeros come.
    const unsigned shift = (unsigned)(MANTISSA_BITS - 2 * i);
    const uint64_t pair = i <= 26 ? mantissa >> shift & 3u : 0;
    rest = rest << 2 | pair;
    const uint64_t trial = root << 2 | 1u;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1;
    }
  }
  // Never a tie: the root of a 53-bit number has no exact 54th bit.
  const uint64_t rounded = (root >> 1) + (root & 1u);
  return f64_of_bits(((uint64_t)(exponent / 2 + 1022) << MANTISSA_BITS) + rounded);
}

//===--------------------------------------------------------------------------===
// Half precision
//===--------------------------------------------------------------------------===

float mlirage_f16_to_f32(uint16_t bits) {
  const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 0x1Fu;
  uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0x1F) return f32_of_bits(sign | 0x7F800000u | mantissa << 13 | (mantissa != 0 ? 0x400000u : 0));
  if (exponent != 0) return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = (float)mantissa * 0x1p-24f;  // zero or denormal: exact
  return f32_of_bits(sign | bits_of_f32(magnitude));
}

uint16_t mlirage_f32_to_f16(float value) {
  const uint32_t bits = bits_of_f32(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));
  if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);  // rounds to 65536 or more
  if (magnitude < 0x38800000u) {
    // Denormal: 2^-24 is the unit; adding 0.5 leaves the rounded count in the low bits.
    const float sum = f32_of_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (bits_of_f32(sum) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
  return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

float mlirage_bf16_to_f32(uint16_t bits) { return f32_of_bits((uint32_t)bits << 16); }

uint16_t mlirage_f32_to_bf16(float value) {
  const uint32_t bits = bits_of_f32(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 0x40u);
  return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}
