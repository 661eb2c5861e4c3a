#include "base/memory.h"
#include "mlirage/base.h"

mlirage_string_t mlirage_string(const char* text) {
  size_t size = 0;
  while (text != NULL && text[size] != '\0') ++size;
  return (mlirage_string_t){text, size};
}

bool mlirage_string_equal(mlirage_string_t a, mlirage_string_t b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool mlirage_string_starts_with(mlirage_string_t text, mlirage_string_t prefix) {
  return text.size >= prefix.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}
