// Formats of executables: "<kind>-<isa>[:+feature,+feature…]".
#include "hal/executable.h"
#include "platform/cpu_features.h"

static bool skip(mlirage_string_t* text, mlirage_string_t prefix) {
  if (!mlirage_string_starts_with(*text, prefix)) return false;
  text->data += prefix.size;
  text->size -= prefix.size;
  return true;
}

// Takes the text before the next comma.
static mlirage_string_t take_item(mlirage_string_t* list) {
  size_t size = 0;
  while (size < list->size && list->data[size] != ',') ++size;
  const mlirage_string_t item = {list->data, size};
  const size_t skipped = size < list->size ? size + 1 : size;
  list->data += skipped;
  list->size -= skipped;
  return item;
}

bool mlirage_format_matches(mlirage_string_t format, mlirage_string_t kind) {
  if (!skip(&format, kind) || !skip(&format, mlirage_string("-")) || !skip(&format, mlirage_cpu_isa())) return false;
  if (format.size == 0) return true;
  if (!skip(&format, mlirage_string(":"))) return false;
  while (format.size != 0) {
    mlirage_string_t feature = take_item(&format);
    // "-feature" says only that the code does without it.
    if (feature.size == 0 || feature.data[0] == '-') continue;
    if (!skip(&feature, mlirage_string("+")) || !mlirage_cpu_has(feature)) return false;
  }
  return true;
}
