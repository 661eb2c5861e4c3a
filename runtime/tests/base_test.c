// Status, text, checked arithmetic, allocator, references.
#include <limits.h>

#include "check.h"

static void test_format(void) {
  char text[64];
  CHECK(mlirage_format(text, sizeof(text), "%d %i %u %x %c%%", -5, 7, 8u, 255u, 'z') == 12);
  CHECK(strcmp(text, "-5 7 8 ff z%") == 0);
  mlirage_format(text, sizeof(text), "%lld %llu %ld %lu %zu %llx", LLONG_MIN, ULLONG_MAX, -1L, 1UL, SIZE_MAX,
                 1ULL << 40);
  CHECK(strncmp(text, "-9223372036854775808 18446744073709551615 -1 1 1844674407370955", 63) == 0);
  mlirage_format(text, sizeof(text), "[%.*s][%s]", 3, "abcdef", "xy");
  CHECK(strcmp(text, "[abc][xy]") == 0);
  // Cut, terminated, and the length of the whole is told.
  CHECK(mlirage_format(text, 4, "%s", "abcdef") == 6 && strcmp(text, "abc") == 0);
  CHECK(mlirage_format(NULL, 0, "%s", "abcdef") == 6);
  CHECK(mlirage_format(text, 1, "%s", "abcdef") == 6 && text[0] == '\0');
}

static void test_errors(void) {
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  CHECK(mlirage_fail(&error, MLIRAGE_NOT_FOUND, "no '%s'", "x") == MLIRAGE_NOT_FOUND);
  CHECK(error.status == MLIRAGE_NOT_FOUND && strcmp(error.text, "no 'x'") == 0);
  CHECK(mlirage_fail_in(&error, MLIRAGE_NOT_FOUND, "in %d: ", 3) == MLIRAGE_NOT_FOUND);
  CHECK(strcmp(error.text, "in 3: no 'x'") == 0);
  CHECK(mlirage_fail(&error, MLIRAGE_IO, "again: %s", error.text) == MLIRAGE_IO);
  CHECK(strcmp(error.text, "again: in 3: no 'x'") == 0);
  CHECK(mlirage_fail(NULL, MLIRAGE_IO, "nobody reads this") == MLIRAGE_IO);
  char large[2 * MLIRAGE_ERROR_TEXT_SIZE];
  memset(large, 'a', sizeof(large));
  large[sizeof(large) - 1] = '\0';
  CHECK(mlirage_fail(&error, MLIRAGE_IO, "%s", large) == MLIRAGE_IO);
  CHECK(strlen(error.text) == MLIRAGE_ERROR_TEXT_SIZE - 1);
  CHECK(mlirage_fail_in(&error, MLIRAGE_IO, "%s", large) == MLIRAGE_IO);
  CHECK(strlen(error.text) == MLIRAGE_ERROR_TEXT_SIZE - 1);
  for (int i = 0; i < 16; ++i) CHECK(strlen(mlirage_status_name((mlirage_status_t)i)) > 1);
}

static void test_arithmetic(void) {
  size_t out = 0;
  CHECK(mlirage_checked_add(1, 2, &out) && out == 3);
  CHECK(!mlirage_checked_add(SIZE_MAX, 1, &out));
  CHECK(mlirage_checked_mul(3, 4, &out) && out == 12);
  CHECK(!mlirage_checked_mul(SIZE_MAX / 2, 3, &out));
  CHECK(mlirage_checked_align(65, 64, &out) && out == 128);
  CHECK(mlirage_checked_align(0, 64, &out) && out == 0);
  CHECK(!mlirage_checked_align(SIZE_MAX - 3, 64, &out));
  CHECK(mlirage_range_fits(0, 0, 0) && mlirage_range_fits(3, 0, 3) && mlirage_range_fits(1, 2, 3));
  CHECK(!mlirage_range_fits(4, 0, 3) && !mlirage_range_fits(1, SIZE_MAX, 3) && !mlirage_range_fits(SIZE_MAX, 2, 3));
}

static void test_strings(void) {
  CHECK(mlirage_string(NULL).size == 0 && mlirage_string("abc").size == 3);
  CHECK(mlirage_string_equal(mlirage_string("ab"), mlirage_string("ab")));
  CHECK(!mlirage_string_equal(mlirage_string("ab"), mlirage_string("abc")));
  CHECK(mlirage_string_starts_with(mlirage_string("abc"), mlirage_string("ab")));
  CHECK(!mlirage_string_starts_with(mlirage_string("a"), mlirage_string("ab")));
}

static void test_allocation(void) {
  counting_t counting = {0, 0, 0};
  const mlirage_allocator_t allocator = counting_allocator(&counting);
  void* block = NULL;
  CHECK(mlirage_allocate(allocator, 0, &block) == MLIRAGE_OK && block == NULL);
  CHECK(mlirage_allocate(allocator, 100, &block) == MLIRAGE_OK && block != NULL);
  for (size_t i = 0; i < 100; ++i) CHECK(((uint8_t*)block)[i] == 0);
  CHECK(mlirage_reallocate(allocator, 100, 300, &block) == MLIRAGE_OK);
  CHECK(mlirage_reallocate(allocator, 300, 0, &block) == MLIRAGE_OK && block == NULL);
  mlirage_free(allocator, NULL, 0);
  CHECK(counting.live == 0);
}

static int destroyed;
static void destroy_object(void* object) {
  (void)object;
  ++destroyed;
}

static void test_references(void) {
  static const mlirage_object_type_t type = {"test", destroy_object};
  mlirage_object_t object;
  mlirage_object_initialize(&object, &type);
  mlirage_object_retain(&object);
  mlirage_object_release(&object);
  CHECK(destroyed == 0);
  mlirage_object_release(&object);
  CHECK(destroyed == 1);
  mlirage_object_retain(NULL);
  mlirage_object_release(NULL);
}

void test_base(void) {
  test_format();
  test_errors();
  test_arithmetic();
  test_strings();
  test_allocation();
  test_references();
}
