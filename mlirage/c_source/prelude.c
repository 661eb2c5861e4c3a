// What programs printed as C stand on. Each part between two lines of dashes goes into the
// output if something of it is used (mlirage/c_source/prelude.py); `model_` and `MODEL_`
// become the program's own name.

//--- always
#if defined(__BYTE_ORDER__) && defined(__ORDER_BIG_ENDIAN__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the program's data is little-endian"
#endif

#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2 || __FLT_EVAL_METHOD__ == -1)
#error "floats must be computed as floats: on x86 compile with -msse2 -mfpmath=sse"
#endif

// A product and a sum are two roundings: the same numbers everywhere.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

typedef model_ref_t ref_t;

// A block of the program's memory, with its bytes behind it. The arena is a row of them.
struct model_block_t {
  size_t size;           // with this header: the next one is that far away
  model_block_t* owner;  // what the bytes refer to, kept alive; or NULL
  uint32_t count;        // references; 0: free
};

#define ALIGNMENT 16u
#define HEADER_SIZE ((sizeof(model_block_t) + ALIGNMENT - 1u) / ALIGNMENT * ALIGNMENT)

#define TRY(call)                      \
  do {                                 \
    status = (call);                   \
    if (status != MODEL_OK) goto done; \
  } while (0)
#define CHECK(condition, code, message)       \
  do {                                        \
    if (!(condition)) {                       \
      status = fail(self, (code), (message)); \
      goto done;                              \
    }                                         \
  } while (0)
#define CHECK_RANGE(length, offset, size) \
  CHECK(in_range((offset), (size), (length)), MODEL_OUT_OF_RANGE, "a place outside of its buffer")

//--- fail
static int fail(model_t* self, int status, const char* message) {
  self->message = message;
  return status;
}

//--- release_block
static void release_block(model_block_t* block) {
  while (block != NULL && --block->count == 0) {
    model_block_t* owner = block->owner;
    block->owner = NULL;
    block = owner;
  }
}

//--- retain
static void retain(ref_t ref) {
  if (ref.owner != NULL) ++ref.owner->count;
}

//--- take
// Puts |value|, whose reference is given up, in the place of what |target| refers to.
static void take(ref_t* target, ref_t value) {
  model_block_t* before = target->owner;
  *target = value;
  release_block(before);
}

//--- assign
static void assign(ref_t* target, ref_t value) {
  retain(value);
  take(target, value);
}

//--- null_reference
static const ref_t null_reference = {NULL, 0, 0, NULL, NULL};

//--- discard
static void discard(ref_t* target) { take(target, null_reference); }

//--- in_range
// Is [offset, offset + size) inside of |length| bytes?
static int in_range(uint64_t offset, uint64_t size, size_t length) {
  return offset <= length && size <= length - offset;
}

//--- copy_bytes
static void copy_bytes(uint8_t* target, const uint8_t* source, size_t size) {
  if ((uintptr_t)target <= (uintptr_t)source) {
    for (size_t i = 0; i < size; ++i) target[i] = source[i];
  } else {
    for (size_t i = size; i > 0; --i) target[i - 1] = source[i - 1];
  }
}

//--- argument
static ref_t argument(const model_array_t* array) {
  const ref_t ref = {(uint8_t*)array->data, array->size, 0, NULL, array};
  return ref;
}

//--- give
// Hands a result to the caller: its memory, or a copy where there is room for one.
static int give(model_t* self, ref_t ref, model_array_t* result) {
  if (ref.view == NULL) return fail(self, MODEL_INVALID_ARGUMENT, "a result is missing");
  if (result->data == NULL) {
    *result = *ref.view;
    result->owner = ref.owner;
    retain(ref);
    return MODEL_OK;
  }
  if (result->size < ref.length) return fail(self, MODEL_OUT_OF_RANGE, "the memory for a result is too small");
  copy_bytes((uint8_t*)result->data, ref.data, ref.length);
  result->size = ref.length;
  result->element_type = ref.view->element_type;
  result->rank = ref.view->rank;
  for (uint32_t i = 0; i < ref.view->rank; ++i) result->shape[i] = ref.view->shape[i];
  return MODEL_OK;
}

//--- allocate
// The first free block that is large enough; free neighbours are joined on the way.
static int allocate(model_t* self, uint64_t size, ref_t* out_ref) {
  uint8_t* at = (uint8_t*)self->memory;
  uint8_t* const end = at + self->memory_size;
  if (size > self->memory_size) return fail(self, MODEL_OUT_OF_MEMORY, "the memory given to the program is used up");
  const size_t needed = HEADER_SIZE + ((size_t)size + ALIGNMENT - 1u) / ALIGNMENT * ALIGNMENT;
  while (at != end) {
    model_block_t* block = (model_block_t*)(void*)at;
    if (block->count == 0) {
      while (at + block->size != end && ((model_block_t*)(void*)(at + block->size))->count == 0) {
        block->size += ((model_block_t*)(void*)(at + block->size))->size;
      }
      if (block->size >= needed) {
        if (block->size - needed >= HEADER_SIZE) {
          model_block_t* rest = (model_block_t*)(void*)(at + needed);
          rest->size = block->size - needed;
          rest->owner = NULL;
          rest->count = 0;
          block->size = needed;
        }
        block->count = 1;
        out_ref->data = at + HEADER_SIZE;
        out_ref->length = (size_t)size;
        out_ref->writable = (size_t)size;
        out_ref->owner = block;
        out_ref->view = NULL;
        return MODEL_OK;
      }
    }
    at += block->size;
  }
  return fail(self, MODEL_OUT_OF_MEMORY, "the memory given to the program is used up");
}

//--- constant
// Read-only data: never written to, for it is not writable.
static ref_t constant(const void* data, size_t length) {
  const ref_t ref = {(uint8_t*)(uintptr_t)data, length, 0, NULL, NULL};
  return ref;
}

//--- load_16
static uint32_t load_16(const uint8_t* data) {
#if defined(__GNUC__)
  uint16_t value = 0;
  __builtin_memcpy(&value, data, sizeof(value));
  return value;
#else
  return (uint32_t)data[0] | (uint32_t)data[1] << 8;
#endif
}

//--- load_32
static uint32_t load_32(const uint8_t* data) {
#if defined(__GNUC__)
  uint32_t value = 0;
  __builtin_memcpy(&value, data, sizeof(value));
  return value;
#else
  return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
#endif
}

//--- load_64
static uint64_t load_64(const uint8_t* data) {
#if defined(__GNUC__)
  uint64_t value = 0;
  __builtin_memcpy(&value, data, sizeof(value));
  return value;
#else
  uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= (uint64_t)data[i] << 8 * i;
  return value;
#endif
}

//--- store_16
static void store_16(uint8_t* data, uint32_t value) {
#if defined(__GNUC__)
  const uint16_t bits = (uint16_t)value;
  __builtin_memcpy(data, &bits, sizeof(bits));
#else
  data[0] = (uint8_t)value;
  data[1] = (uint8_t)(value >> 8);
#endif
}

//--- store_32
static void store_32(uint8_t* data, uint32_t value) {
#if defined(__GNUC__)
  const uint32_t bits = value;
  __builtin_memcpy(data, &bits, sizeof(bits));
#else
  data[0] = (uint8_t)value;
  data[1] = (uint8_t)(value >> 8);
  data[2] = (uint8_t)(value >> 16);
  data[3] = (uint8_t)(value >> 24);
#endif
}

//--- store_64
static void store_64(uint8_t* data, uint64_t value) {
#if defined(__GNUC__)
  const uint64_t bits = value;
  __builtin_memcpy(data, &bits, sizeof(bits));
#else
  for (unsigned i = 0; i < 8; ++i) data[i] = (uint8_t)(value >> 8 * i);
#endif
}

//--- buffer_alloc
static int buffer_alloc(model_t* self, uint64_t size, ref_t* out_ref) {
  const int status = allocate(self, size, out_ref);
  if (status != MODEL_OK) return status;
  for (size_t i = 0; i < out_ref->length; ++i) out_ref->data[i] = 0;
  return MODEL_OK;
}

//--- buffer_clone
static int buffer_clone(model_t* self, ref_t source, uint64_t offset, uint64_t size, ref_t* out_ref) {
  if (!in_range(offset, size, source.length)) return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer");
  const int status = allocate(self, size, out_ref);
  if (status == MODEL_OK) copy_bytes(out_ref->data, source.data + offset, (size_t)size);
  return status;
}

//--- buffer_slice
static int buffer_slice(model_t* self, ref_t source, uint64_t offset, uint64_t size, ref_t* out_ref) {
  if (!in_range(offset, size, source.length)) return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer");
  retain(source);
  *out_ref = source;
  out_ref->data += offset;
  out_ref->length = (size_t)size;
  out_ref->writable = source.writable != 0 ? (size_t)size : 0;
  return MODEL_OK;
}

//--- buffer_compare
static int buffer_compare(model_t* self, ref_t a, uint64_t a_offset, ref_t b, uint64_t b_offset, uint64_t size,
                          uint32_t* out_is_equal) {
  if (!in_range(a_offset, size, a.length) || !in_range(b_offset, size, b.length)) {
    return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer");
  }
  *out_is_equal = 1;
  for (size_t i = 0; i < (size_t)size; ++i) {
    if (a.data[a_offset + i] != b.data[b_offset + i]) *out_is_equal = 0;
  }
  return MODEL_OK;
}

//--- buffer_fill
static int buffer_fill(model_t* self, ref_t target, uint64_t offset, uint64_t size, uint64_t value, uint32_t width) {
  if (!in_range(offset, size, target.writable) || size % width != 0) {
    return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer, or of read-only data");
  }
  uint8_t* const data = target.data + offset;
  for (size_t i = 0; i < (size_t)size; ++i) data[i] = (uint8_t)(value >> i % width * 8);
  return MODEL_OK;
}

//--- buffer_copy
static int buffer_copy(model_t* self, ref_t source, uint64_t source_offset, ref_t target, uint64_t target_offset,
                       uint64_t size) {
  if (!in_range(source_offset, size, source.length) || !in_range(target_offset, size, target.writable)) {
    return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer, or of read-only data");
  }
  copy_bytes(target.data + target_offset, source.data + source_offset, (size_t)size);
  return MODEL_OK;
}

//--- store_reference
// Sets a variable. The caller's memory is copied: it may be gone after the call.
static int store_reference(model_t* self, ref_t* variable, ref_t value) {
  if (value.owner == NULL && value.view != NULL) {
    ref_t kept = null_reference;
    const int status = buffer_clone(self, value, 0, value.length, &kept);
    if (status == MODEL_OK) take(variable, kept);
    return status;
  }
  assign(variable, value);
  return MODEL_OK;
}

//--- view_assert
static int view_assert(model_t* self, ref_t view, const char* message, uint32_t element_type, size_t rank,
                       const int64_t* shape) {
  if (view.view == NULL) return fail(self, MODEL_INVALID_ARGUMENT, message);
  // Kinds: 0 anything, 1 bool, 2 integer, 3 signed, 4 unsigned; what is integer or bool is so of any sign.
  const uint32_t given_type = view.view->element_type, wanted = element_type >> 24, given = given_type >> 24;
  const int is_integer = wanted <= 4 && given >= 1 && given <= 4 && (wanted <= 2 || given <= 2);
  int matches = view.view->rank == rank && (element_type == given_type || wanted == 0 ||
                                            (is_integer && (element_type & 0xffffffu) == (given_type & 0xffffffu)));
  for (size_t i = 0; matches && i < rank; ++i) matches = shape[i] < 0 || (uint64_t)shape[i] == view.view->shape[i];
  return matches ? MODEL_OK : fail(self, MODEL_INVALID_ARGUMENT, message);
}

//--- view_buffer
// Memory of the caller keeps its view: that tells it from what the program keeps.
static int view_buffer(model_t* self, ref_t view, ref_t* out_ref) {
  if (view.view == NULL) return fail(self, MODEL_INVALID_ARGUMENT, "an array is missing");
  retain(view);
  *out_ref = view;
  if (view.owner != NULL) out_ref->view = NULL;
  return MODEL_OK;
}

//--- view_create
static int view_create(model_t* self, ref_t buffer, uint64_t offset, uint64_t length, uint32_t element_type,
                       uint32_t rank, const uint64_t* shape, ref_t* out_ref) {
  if (!in_range(offset, length, buffer.length)) return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer");
  const int status = allocate(self, sizeof(model_array_t), out_ref);
  if (status != MODEL_OK) return status;
  model_array_t* view = (model_array_t*)(void*)out_ref->data;
  view->data = buffer.data + offset;
  view->size = (size_t)length;
  view->element_type = element_type;
  view->rank = rank;
  for (uint32_t i = 0; i < rank; ++i) view->shape[i] = (size_t)shape[i];
  view->owner = NULL;
  retain(buffer);
  out_ref->owner->owner = buffer.owner;
  out_ref->data = buffer.data + offset;
  out_ref->length = (size_t)length;
  out_ref->writable = buffer.writable != 0 ? (size_t)length : 0;
  out_ref->view = view;
  return MODEL_OK;
}

//--- div_s_i32
static uint32_t div_s_i32(uint32_t a, uint32_t b) {
  return b == UINT32_MAX ? 0u - a : (uint32_t)((int32_t)a / (int32_t)b);
}

//--- rem_s_i32
static uint32_t rem_s_i32(uint32_t a, uint32_t b) { return b == UINT32_MAX ? 0 : (uint32_t)((int32_t)a % (int32_t)b); }

//--- div_s_i64
static uint64_t div_s_i64(uint64_t a, uint64_t b) {
  return b == UINT64_MAX ? 0u - a : (uint64_t)((int64_t)a / (int64_t)b);
}

//--- rem_s_i64
static uint64_t rem_s_i64(uint64_t a, uint64_t b) { return b == UINT64_MAX ? 0 : (uint64_t)((int64_t)a % (int64_t)b); }

//--- shr_s_i32
static uint32_t shr_s_i32(uint32_t a, uint32_t b) {
  const uint32_t sign = a >> 31 != 0 ? UINT32_MAX : 0;
  return b >= 32 ? sign : a >> b | (b == 0 ? 0 : sign << (32 - b));
}

//--- shr_s_i64
static uint64_t shr_s_i64(uint64_t a, uint64_t b) {
  const uint64_t sign = a >> 63 != 0 ? UINT64_MAX : 0;
  return b >= 64 ? sign : a >> b | (b == 0 ? 0 : sign << (64 - b));
}

//--- clz_i64
static uint64_t clz_i64(uint64_t value) {
  uint64_t count = 64;
  for (; value != 0; value >>= 1) --count;
  return count;
}

//--- clz_i32
static uint32_t clz_i32(uint32_t value) {
  uint32_t count = 32;
  for (; value != 0; value >>= 1) --count;
  return count;
}

//--- ctz_i64
static uint64_t ctz_i64(uint64_t value) {
  uint64_t count = 0;
  for (; count < 64 && (value & 1u) == 0; value >>= 1) ++count;
  return count;
}

//--- ctz_i32
static uint32_t ctz_i32(uint32_t value) {
  uint32_t count = 0;
  for (; count < 32 && (value & 1u) == 0; value >>= 1) ++count;
  return count;
}

//--- popcnt_i64
static uint64_t popcnt_i64(uint64_t value) {
  uint64_t count = 0;
  for (; value != 0; value &= value - 1) ++count;
  return count;
}

//--- popcnt_i32
static uint32_t popcnt_i32(uint32_t value) {
  uint32_t count = 0;
  for (; value != 0; value &= value - 1) ++count;
  return count;
}

//--- f32_of_bits
static float f32_of_bits(uint32_t bits) {
  const union {
    uint32_t bits;
    float value;
  } same = {bits};
  return same.value;
}

//--- bits_of_f32
static uint32_t bits_of_f32(float value) {
  union {
    float value;
    uint32_t bits;
  } same;
  same.value = value;
  return same.bits;
}

//--- f64_of_bits
static double f64_of_bits(uint64_t bits) {
  const union {
    uint64_t bits;
    double value;
  } same = {bits};
  return same.value;
}

//--- bits_of_f64
static uint64_t bits_of_f64(double value) {
  union {
    double value;
    uint64_t bits;
  } same;
  same.value = value;
  return same.bits;
}

//--- f64_to_i32
// Towards zero, saturated, 0 for NaN: comparisons are false for it.
static uint32_t f64_to_i32(double value) {
  if (value >= 2147483648.0) return 0x7fffffffu;
  if (value <= -2147483649.0) return 0x80000000u;
  return value == value ? (uint32_t)(int32_t)value : 0;
}

//--- f64_to_u32
static uint32_t f64_to_u32(double value) {
  if (value >= 4294967296.0) return UINT32_MAX;
  return value > 0.0 ? (uint32_t)value : 0;
}

//--- f64_to_i64
static uint64_t f64_to_i64(double value) {
  if (value >= 9223372036854775808.0) return UINT64_MAX >> 1;
  if (value < -9223372036854775808.0) return (uint64_t)1 << 63;
  return value == value ? (uint64_t)(int64_t)value : 0;
}

//--- f64_to_u64
static uint64_t f64_to_u64(double value) {
  if (value >= 18446744073709551616.0) return UINT64_MAX;
  return value > 0.0 ? (uint64_t)value : 0;
}

//--- f64_trunc
static double f64_trunc(double value) {
  const uint64_t bits = bits_of_f64(value);
  const int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
  if (exponent < 0) return f64_of_bits(bits & (uint64_t)1 << 63);
  if (exponent >= 52) return value;  // whole, infinite or NaN
  return f64_of_bits(bits & ~((((uint64_t)1 << 52) - 1) >> exponent));
}

//--- f64_floor
static double f64_floor(double value) {
  const double whole = f64_trunc(value);
  return value < whole ? whole - 1.0 : whole;
}

//--- f64_ceil
static double f64_ceil(double value) {
  const double whole = f64_trunc(value);
  return value > whole ? whole + 1.0 : whole;
}

//--- f64_round_even
static double f64_round_even(double value) {
  const double whole = f64_trunc(value);
  const double part = value - whole;  // exact, with the sign of |value|
  const double magnitude = part < 0 ? -part : part;
  if (magnitude < 0.5 || !(magnitude == magnitude)) return whole;
  const int is_odd = f64_trunc(whole * 0.5) * 2.0 != whole;
  if (magnitude == 0.5 && !is_odd) return whole;
  return part < 0 ? whole - 1.0 : whole + 1.0;
}

//--- f64_min
static double f64_min(double a, double b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f64_of_bits(bits_of_f64(a) | bits_of_f64(b));  // of two zeros the negative one
  return a < b ? a : b;
}

//--- f64_max
static double f64_max(double a, double b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f64_of_bits(bits_of_f64(a) & bits_of_f64(b));
  return a > b ? a : b;
}

//--- f32_min
static float f32_min(float a, float b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f32_of_bits(bits_of_f32(a) | bits_of_f32(b));
  return a < b ? a : b;
}

//--- f32_max
static float f32_max(float a, float b) {
  if (!(a == a) || !(b == b)) return a + b;
  if (a == b) return f32_of_bits(bits_of_f32(a) & bits_of_f32(b));
  return a > b ? a : b;
}

//--- f64_normalize
// The magnitude as mantissa * 2^exponent, the mantissa with its top bit at 52; |bits| is
// finite and not zero.
static uint64_t f64_normalize(uint64_t bits, int* out_exponent) {
  uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
  int exponent = (int)(bits >> 52 & 0x7ff);
  if (exponent != 0) {
    mantissa |= (uint64_t)1 << 52;
  } else {
    for (exponent = 1; mantissa >> 52 == 0; --exponent) mantissa <<= 1;
  }
  *out_exponent = exponent;
  return mantissa;
}

//--- f64_remainder
static double f64_remainder(double dividend, double divisor) {
  const uint64_t top = (uint64_t)1 << 63, infinity = (uint64_t)0x7ff << 52;
  const uint64_t sign = bits_of_f64(dividend) & top;
  const uint64_t a = bits_of_f64(dividend) & ~top, b = bits_of_f64(divisor) & ~top;
  if (a >= infinity || b > infinity || b == 0) return (dividend * divisor) / (dividend * divisor);  // NaN
  if (a < b) return dividend;
  if (a == b) return f64_of_bits(sign);
  int exponent = 0, last = 0;
  uint64_t rest = f64_normalize(a, &exponent);
  const uint64_t step = f64_normalize(b, &last);
  for (; exponent > last; --exponent) {
    if (rest >= step) rest -= step;
    rest <<= 1;
  }
  if (rest >= step) rest -= step;
  if (rest == 0) return f64_of_bits(sign);
  for (; rest >> 52 == 0; --exponent) rest <<= 1;
  const uint64_t mantissa = rest & (((uint64_t)1 << 52) - 1);
  if (exponent > 0) return f64_of_bits(sign | mantissa | (uint64_t)exponent << 52);
  return f64_of_bits(sign | rest >> (1 - exponent));  // denormal: exact
}

//--- f64_sqrt
static double f64_sqrt(double value) {
  const uint64_t bits = bits_of_f64(value);
  if (value == 0 || !(value == value)) return value + value * 0.0;
  if (bits >> 63 != 0) return (value - value) / 0.0 * 0.0;
  if (bits >> 52 == 0x7ff) return value;
  int exponent = 0;
  uint64_t mantissa = f64_normalize(bits, &exponent);
  exponent -= 1023;
  if (exponent % 2 != 0) {
    mantissa <<= 1;
    exponent -= 1;
  }
  // 54 bits of the root: the 53 of the result and one to round.
  uint64_t root = 0, rest = 0;
  for (int i = 0; i < 54; ++i) {
    rest = rest << 2 | (i <= 26 ? mantissa >> (52 - 2 * i) & 3u : 0);
    const uint64_t trial = root << 2 | 1u;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1;
    }
  }
  // Never a tie: the root of a 53-bit number has no exact 54th bit.
  return f64_of_bits(((uint64_t)(exponent / 2 + 1022) << 52) + (root >> 1) + (root & 1u));
}

//--- f16_to_f32
static float f16_to_f32(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return f32_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa != 0 ? 0x400000u : 0));
  if (exponent != 0) return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
  return f32_of_bits(sign | bits_of_f32((float)mantissa * 0x1p-24f));  // zero or denormal: exact
}

//--- f32_to_f16
static uint32_t f32_to_f16(float value) {
  const uint32_t bits = bits_of_f32(value);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u | (magnitude >> 13 & 0x3ffu);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or more
  // Denormal: 2^-24 is the unit; adding 0.5 leaves the rounded count in the low bits.
  if (magnitude < 0x38800000u) return sign | (bits_of_f32(f32_of_bits(magnitude) + 0.5f) - 0x3f000000u);
  return sign | (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
}

//--- f32_to_bf16
static uint32_t f32_to_bf16(float value) {
  const uint32_t bits = bits_of_f32(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

//--- kernel_library_t
// The executable ABI: runtime/include/mlirage/executable.h.
typedef struct kernel_dispatch_t {
  const uint32_t* constants;
  void* const* pointers;
  const size_t* lengths;
  uint32_t count_x, count_y, count_z;
  uint16_t constant_count, binding_count;
} kernel_dispatch_t;
typedef struct kernel_workgroup_t {
  uint32_t id_x, id_y, id_z, worker;
  void* scratch;
  size_t scratch_length;
} kernel_workgroup_t;
typedef struct kernel_attributes_t {
  const char* name;
  uint32_t constant_count, binding_count, scratch_size, reserved;
} kernel_attributes_t;
typedef struct kernel_library_t {
  uint32_t version, entry_count;
  int32_t (*const* entries)(const kernel_dispatch_t* dispatch, const kernel_workgroup_t* workgroup);
  const kernel_attributes_t* attributes;
} kernel_library_t;
extern const kernel_library_t* model_kernels(uint32_t max_version);

//--- run_kernel
// A native entry point over all workgroups, one after the other.
static int run_kernel(model_t* self, uint32_t ordinal, const uint64_t* counts, uint32_t constant_count,
                      const uint32_t* constants, uint32_t binding_count, const ref_t* buffers, const uint64_t* offsets,
                      const uint64_t* lengths, void** pointers, size_t* sizes) {
  const kernel_library_t* library = model_kernels(1);
  for (uint32_t i = 0; i < binding_count; ++i) {
    if (!in_range(offsets[i], lengths[i], buffers[i].length)) {
      return fail(self, MODEL_OUT_OF_RANGE, "a range outside of its buffer");
    }
    pointers[i] = lengths[i] != 0 ? buffers[i].data + offsets[i] : NULL;
    sizes[i] = (size_t)lengths[i];
  }
  ref_t scratch = {NULL, 0, 0, NULL, NULL};
  if (library->attributes[ordinal].scratch_size != 0) {
    const int status = allocate(self, library->attributes[ordinal].scratch_size, &scratch);
    if (status != MODEL_OK) return status;
  }
  const kernel_dispatch_t dispatch = {constants,
                                      pointers,
                                      sizes,
                                      (uint32_t)counts[0],
                                      (uint32_t)counts[1],
                                      (uint32_t)counts[2],
                                      (uint16_t)constant_count,
                                      (uint16_t)binding_count};
  kernel_workgroup_t workgroup = {0, 0, 0, 0, scratch.data, scratch.length};
  int32_t result = 0;
  for (uint32_t z = 0; z < dispatch.count_z; ++z) {
    for (uint32_t y = 0; y < dispatch.count_y; ++y) {
      for (uint32_t x = 0; x < dispatch.count_x && result == 0; ++x) {
        workgroup.id_x = x;
        workgroup.id_y = y;
        workgroup.id_z = z;
        result = library->entries[ordinal](&dispatch, &workgroup);
      }
    }
  }
  discard(&scratch);
  return result == 0 ? MODEL_OK : fail(self, MODEL_ABORTED, library->attributes[ordinal].name);
}

//--- loops_fit
// Do loops over |count| times (extent, stride of each of 3 operands) stay inside of
// |length| elements for operand number |operand|?
static int loops_fit(uint32_t count, const int64_t* loops, uint32_t operand, int64_t offset, size_t length) {
  int64_t lowest = offset, highest = offset;
  for (uint32_t i = 0; i < count; ++i) {
    const int64_t reach = (loops[4 * i] - 1) * loops[4 * i + 1 + operand];
    if (reach < 0) {
      lowest += reach;
    } else {
      highest += reach;
    }
  }
  return lowest >= 0 && (uint64_t)highest < length;
}
