#include "mlirage/hal.h"

const char* mlirage_element_type_name(mlirage_element_type_t type) {
  switch (type) {
    case MLIRAGE_ELEMENT_OPAQUE_8: return "opaque8";
    case MLIRAGE_ELEMENT_BOOL_8: return "bool";
    case MLIRAGE_ELEMENT_INT_4: return "i4";
    case MLIRAGE_ELEMENT_INT_8: return "i8";
    case MLIRAGE_ELEMENT_INT_16: return "i16";
    case MLIRAGE_ELEMENT_INT_32: return "i32";
    case MLIRAGE_ELEMENT_INT_64: return "i64";
    case MLIRAGE_ELEMENT_SINT_4: return "si4";
    case MLIRAGE_ELEMENT_SINT_8: return "si8";
    case MLIRAGE_ELEMENT_SINT_16: return "si16";
    case MLIRAGE_ELEMENT_SINT_32: return "si32";
    case MLIRAGE_ELEMENT_SINT_64: return "si64";
    case MLIRAGE_ELEMENT_UINT_4: return "ui4";
    case MLIRAGE_ELEMENT_UINT_8: return "ui8";
    case MLIRAGE_ELEMENT_UINT_16: return "ui16";
    case MLIRAGE_ELEMENT_UINT_32: return "ui32";
    case MLIRAGE_ELEMENT_UINT_64: return "ui64";
    case MLIRAGE_ELEMENT_FLOAT_16: return "f16";
    case MLIRAGE_ELEMENT_FLOAT_32: return "f32";
    case MLIRAGE_ELEMENT_FLOAT_64: return "f64";
    case MLIRAGE_ELEMENT_BFLOAT_16: return "bf16";
    case MLIRAGE_ELEMENT_FLOAT_8_E4M3FN: return "f8E4M3FN";
    case MLIRAGE_ELEMENT_FLOAT_8_E5M2: return "f8E5M2";
    case MLIRAGE_ELEMENT_FLOAT_8_E4M3FNUZ: return "f8E4M3FNUZ";
    case MLIRAGE_ELEMENT_FLOAT_8_E5M2FNUZ: return "f8E5M2FNUZ";
    case MLIRAGE_ELEMENT_FLOAT_8_E8M0FNU: return "f8E8M0FNU";
    case MLIRAGE_ELEMENT_FLOAT_8_E4M3: return "f8E4M3";
    case MLIRAGE_ELEMENT_FLOAT_8_E3M4: return "f8E3M4";
    case MLIRAGE_ELEMENT_FLOAT_8_E4M3B11FNUZ: return "f8E4M3B11FNUZ";
    case MLIRAGE_ELEMENT_COMPLEX_64: return "complex<f32>";
    case MLIRAGE_ELEMENT_COMPLEX_128: return "complex<f64>";
    default: return "?";
  }
}

enum { KIND_OPAQUE = 0, KIND_BOOL = 1, KIND_INT = 2, KIND_SINT = 3, KIND_UINT = 4 };

bool mlirage_element_type_matches(mlirage_element_type_t expected, mlirage_element_type_t given) {
  if (expected == given) return true;
  const uint32_t a = expected >> 24;
  const uint32_t b = given >> 24;
  if (a == KIND_OPAQUE) return true;
  if (mlirage_element_bits(expected) != mlirage_element_bits(given)) return false;
  if (a == KIND_BOOL || b == KIND_BOOL) return a <= KIND_UINT && b <= KIND_UINT && b != KIND_OPAQUE;
  if (a < KIND_INT || a > KIND_UINT || b < KIND_INT || b > KIND_UINT) return false;
  return a == KIND_INT || b == KIND_INT;
}

bool mlirage_dense_byte_length(mlirage_element_type_t element_type, size_t rank, const size_t* shape,
                               size_t* out_length) {
  *out_length = 0;
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] == 0) return true;  // nothing, whatever the other extents would multiply to
  }
  size_t bits = mlirage_element_bits(element_type);
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    if (!mlirage_checked_mul(count, shape[i], &count)) return false;
  }
  if (bits % 8 == 0) return mlirage_checked_mul(count, bits / 8, out_length);
  if (!mlirage_checked_mul(count, bits, &bits)) return false;
  *out_length = bits / 8 + (bits % 8 != 0);
  return true;
}
