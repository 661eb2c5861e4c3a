// Calling conventions: text to counts.
#include "module/format.h"

// Repeated groups of a convention; more is no convention.
#define MAX_GROUPS 16u

static bool is_scalar(char kind) { return kind == 'i' || kind == 'I' || kind == 'f' || kind == 'F'; }

// Adds |kind| to the right counter; false if it is none or the counter is full.
static bool count_kind(char kind, uint16_t* scalars, uint16_t* refs) {
  uint16_t* counter = is_scalar(kind) ? scalars : kind == 'r' ? refs : NULL;
  if (counter == NULL || *counter == UINT16_MAX) return false;
  ++*counter;
  return true;
}

mlirage_status_t mlirage_convention_read(const char* text, mlirage_convention_t* out_convention,
                                         mlirage_group_t* groups) {
  mlirage_convention_t counts = {0};
  const char* at = text;
  for (; *at != '_'; ++at) {
    if (*at != '[') {
      if (!count_kind(*at, &counts.scalar_argument_count, &counts.ref_argument_count)) return MLIRAGE_INVALID_ARGUMENT;
      continue;
    }
    mlirage_group_t group = {0};
    for (++at; *at != ']'; ++at) {
      if (!count_kind(*at, &group.scalars, &group.refs)) return MLIRAGE_INVALID_ARGUMENT;
    }
    if (counts.group_count == MAX_GROUPS) return MLIRAGE_INVALID_ARGUMENT;
    if (groups != NULL) groups[counts.group_count] = group;
    ++counts.group_count;
  }
  for (++at; *at != '\0'; ++at) {
    if (!count_kind(*at, &counts.scalar_result_count, &counts.ref_result_count)) return MLIRAGE_INVALID_ARGUMENT;
  }
  *out_convention = counts;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_convention_parse(const char* text, mlirage_convention_t* out_convention) {
  return mlirage_convention_read(text, out_convention, NULL);
}
