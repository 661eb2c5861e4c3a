// Scalar arithmetic that C leaves undefined or to a math library: conversions that
// saturate, rounding, remainder, square root, half precision. Exact on every host.
#ifndef MLIRAGE_VM_SCALAR_MATH_H_
#define MLIRAGE_VM_SCALAR_MATH_H_

#include "mlirage/base.h"

// Float to integer: towards zero, saturated, 0 for NaN.
int32_t mlirage_f64_to_i32(double value);
uint32_t mlirage_f64_to_u32(double value);
int64_t mlirage_f64_to_i64(double value);
uint64_t mlirage_f64_to_u64(double value);

double mlirage_f64_trunc(double value);
double mlirage_f64_floor(double value);
double mlirage_f64_ceil(double value);
double mlirage_f64_round_even(double value);
double mlirage_f64_remainder(double dividend, double divisor);  // C's fmod
double mlirage_f64_sqrt(double value);
// IEEE 754-2019 minimum and maximum: NaN if one is, -0 below +0.
double mlirage_f64_minimum(double a, double b);
double mlirage_f64_maximum(double a, double b);

float mlirage_f16_to_f32(uint16_t bits);
uint16_t mlirage_f32_to_f16(float value);  // nearest, ties to even
float mlirage_bf16_to_f32(uint16_t bits);
uint16_t mlirage_f32_to_bf16(float value);  // nearest, ties to even

#endif  // MLIRAGE_VM_SCALAR_MATH_H_
