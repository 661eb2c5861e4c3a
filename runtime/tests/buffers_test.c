// Buffers, views, element types, the pool and its counters.
#include "check.h"

static int releases;
static void count_release(void* self, mlirage_mutable_bytes_t memory) {
  CHECK(self == &releases && memory.size == 16);
  ++releases;
}

static void test_ranges(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(device, 100);
  CHECK((uintptr_t)memory_of(buffer) % 64 == 0);
  mlirage_buffer_t* span = NULL;
  CHECK_OK(mlirage_buffer_subspan(buffer, 10, 50, &span, &error));
  mlirage_buffer_t* inner = NULL;
  CHECK_OK(mlirage_buffer_subspan(span, 5, 5, &inner, &error));
  CHECK(memory_of(inner) == (uint8_t*)memory_of(buffer) + 15);
  CHECK(mlirage_buffer_same_allocation(inner, buffer));
  mlirage_buffer_t* whole = NULL;
  CHECK_OK(mlirage_buffer_subspan(buffer, 0, 100, &whole, &error));
  CHECK(whole == buffer);
  mlirage_buffer_t* none = NULL;
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_buffer_subspan(span, 45, 6, &none, &error));
  CHECK(none == NULL);
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_buffer_subspan(span, SIZE_MAX, 2, &none, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE, mlirage_buffer_write(buffer, 99, "ab", 2, &error));
  CHECK_OK(mlirage_buffer_write(buffer, 15, "hello", 5, &error));
  mlirage_buffer_release(whole);
  mlirage_buffer_release(buffer);
  mlirage_buffer_release(span);
  char text[6] = {0};
  CHECK_OK(mlirage_buffer_read(inner, 0, text, 5, &error));
  CHECK(strcmp(text, "hello") == 0);
  mlirage_buffer_release(inner);

  mlirage_buffer_t* empty = allocate(device, 0);
  CHECK(mlirage_buffer_length(empty) == 0 && memory_of(empty) == NULL);
  CHECK_OK(mlirage_buffer_read(empty, 0, NULL, 0, &error));
  mlirage_buffer_release(empty);
  CHECK_FAILS(MLIRAGE_OUT_OF_MEMORY, mlirage_buffer_allocate(device, SIZE_MAX - 10, &none, &error));
}

static void test_import(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  uint32_t data[4] = {1, 2, 3, 4};
  mlirage_buffer_t* buffer = NULL;
  const mlirage_mutable_bytes_t memory = {(uint8_t*)data, sizeof(data)};
  CHECK_OK(
      mlirage_buffer_import(device, memory, (mlirage_release_callback_t){count_release, &releases}, &buffer, &error));
  CHECK(memory_of(buffer) == (void*)data);
  mlirage_buffer_t* span = NULL;
  CHECK_OK(mlirage_buffer_subspan(buffer, 4, 8, &span, &error));
  mlirage_buffer_release(buffer);
  CHECK(releases == 0);
  mlirage_buffer_release(span);
  CHECK(releases == 1);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_buffer_import(device, (mlirage_mutable_bytes_t){NULL, 4},
                                    (mlirage_release_callback_t){NULL, NULL}, &buffer, &error));
}

static void test_views(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_buffer_t* buffer = allocate(device, 64);
  mlirage_buffer_view_t* view = NULL;
  const size_t shape[2] = {3, 5};
  CHECK_OK(mlirage_buffer_view_create(buffer, 4, 60, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, &view, &error));
  CHECK(mlirage_buffer_view_rank(view) == 2 && mlirage_buffer_view_shape(view)[1] == 5);
  char text[32];
  CHECK(mlirage_buffer_view_describe(view, text, sizeof(text)) == 8 && strcmp(text, "f32[3,5]") == 0);
  const int64_t any[2] = {-1, 5};
  const int64_t wrong[2] = {3, 4};
  const mlirage_string_t name = mlirage_string("x");
  CHECK_OK(mlirage_buffer_view_assert(view, name, MLIRAGE_ELEMENT_FLOAT_32, 2, any, &error));
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_buffer_view_assert(view, name, MLIRAGE_ELEMENT_FLOAT_32, 2, wrong, &error));
  CHECK(strcmp(error.text, "x: expected f32[3,4], got f32[3,5]") == 0);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_buffer_view_assert(view, name, MLIRAGE_ELEMENT_INT_32, 2, any, &error));
  CHECK(strcmp(error.text, "x: expected i32[?,5], got f32[3,5]") == 0);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_buffer_view_assert(view, name, MLIRAGE_ELEMENT_FLOAT_32, 1, any, &error));
  mlirage_buffer_view_release(view);

  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_buffer_view_create(buffer, 0, 64, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, &view, &error));
  CHECK(view == NULL);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT,
              mlirage_buffer_view_create(buffer, 2, 60, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, &view, &error));
  CHECK_FAILS(MLIRAGE_OUT_OF_RANGE,
              mlirage_buffer_view_create(buffer, 8, 60, MLIRAGE_ELEMENT_FLOAT_32, 2, shape, &view, &error));
  size_t many[MLIRAGE_MAX_RANK + 1];
  for (size_t i = 0; i < MLIRAGE_MAX_RANK + 1; ++i) many[i] = 1;
  CHECK_OK(mlirage_buffer_view_create(buffer, 0, 4, MLIRAGE_ELEMENT_SINT_32, MLIRAGE_MAX_RANK, many, &view, &error));
  mlirage_buffer_view_release(view);
  CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_buffer_view_create(buffer, 0, 4, MLIRAGE_ELEMENT_SINT_32,
                                                                   MLIRAGE_MAX_RANK + 1, many, &view, &error));
  mlirage_buffer_release(buffer);
}

static void test_element_types(void) {
  size_t length = 0;
  const size_t odd[2] = {3, 5};
  CHECK(mlirage_dense_byte_length(MLIRAGE_ELEMENT_INT_4, 2, odd, &length) && length == 8);
  CHECK(mlirage_dense_byte_length(MLIRAGE_ELEMENT_COMPLEX_128, 2, odd, &length) && length == 240);
  CHECK(mlirage_dense_byte_length(MLIRAGE_ELEMENT_FLOAT_32, 0, NULL, &length) && length == 4);
  const size_t empty[3] = {SIZE_MAX, 0, SIZE_MAX};
  CHECK(mlirage_dense_byte_length(MLIRAGE_ELEMENT_FLOAT_32, 3, empty, &length) && length == 0);
  const size_t huge[2] = {SIZE_MAX / 2, 3};
  CHECK(!mlirage_dense_byte_length(MLIRAGE_ELEMENT_FLOAT_32, 2, huge, &length));
  CHECK(mlirage_element_type_matches(MLIRAGE_ELEMENT_INT_8, MLIRAGE_ELEMENT_UINT_8));
  CHECK(mlirage_element_type_matches(MLIRAGE_ELEMENT_BOOL_8, MLIRAGE_ELEMENT_INT_8));
  CHECK(!mlirage_element_type_matches(MLIRAGE_ELEMENT_SINT_8, MLIRAGE_ELEMENT_UINT_8));
  CHECK(!mlirage_element_type_matches(MLIRAGE_ELEMENT_INT_32, MLIRAGE_ELEMENT_FLOAT_32));
  CHECK(!mlirage_element_type_matches(MLIRAGE_ELEMENT_FLOAT_16, MLIRAGE_ELEMENT_BFLOAT_16));
  CHECK(mlirage_element_type_matches(MLIRAGE_ELEMENT_OPAQUE_8, MLIRAGE_ELEMENT_FLOAT_64));
}

static void test_pool(mlirage_device_t* device) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_statistics_t before = {.struct_size = sizeof(before)};
  mlirage_device_statistics_t after = {.struct_size = sizeof(after)};
  // The first round fills the pool; later ones take nothing from the system.
  for (int round = 0; round < 10; ++round) {
    if (round == 1) mlirage_device_statistics(device, &before);
    mlirage_buffer_t* large = NULL;
    CHECK_OK(mlirage_queue_alloca(device, NULL, NULL, 100000, &large, &error));
    mlirage_buffer_t* small = allocate(device, 1000);
    CHECK_OK(mlirage_queue_dealloca(device, NULL, NULL, large, &error));
    mlirage_mutable_bytes_t memory;
    CHECK_FAILS(MLIRAGE_FAILED_PRECONDITION, mlirage_buffer_map(large, MLIRAGE_MAP_READ, 0, 1, &memory, &error));
    CHECK_FAILS(MLIRAGE_INVALID_ARGUMENT, mlirage_queue_dealloca(device, NULL, NULL, large, &error));
    mlirage_buffer_release(large);
    mlirage_buffer_release(small);
  }
  mlirage_device_statistics(device, &after);
  CHECK(after.allocations == before.allocations && after.pool_hits == before.pool_hits + 18);
  CHECK(after.live_bytes == 0 && after.pooled_bytes >= 101000 && after.peak_bytes >= 101000);
  // What is kept never makes the program larger than its own demand (and a slack).
  for (size_t size = 1; size < 200; ++size) mlirage_buffer_release(allocate(device, size << 16));
  mlirage_device_statistics(device, &after);
  CHECK(after.peak_bytes <= ((uint64_t)199 << 16) + ((uint64_t)4 << 20));
  mlirage_device_trim(device);
  mlirage_device_statistics(device, &after);
  CHECK(after.pooled_bytes == 0);
}

void test_buffers(void) {
  counting_t counting = {0, 0, 0};
  mlirage_device_t* device = create_device("local-sync", counting_allocator(&counting), 1);
  test_element_types();
  test_pool(device);
  test_ranges(device);
  test_import(device);
  test_views(device);
  // Objects keep their device.
  mlirage_buffer_t* last = allocate(device, 10);
  mlirage_device_release(device);
  mlirage_buffer_release(last);
  CHECK(counting.live == 0);
}
