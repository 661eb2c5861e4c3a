// safetensors files: {u64 size of the header, header: JSON, data}. The header is
//   {"__metadata__": {"key": "text", …}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
// and spaces. That is all that is accepted: no other field, nothing nested deeper, each
// tensor as long as its shape says, all of them side by side without holes or overlaps.
#include "base/memory.h"
#include "module/format.h"
#include "parameters/parameters.h"

// As the format's own reader has it.
#define MAX_HEADER_SIZE 100000000u
#define SIZE_OF_SIZE 8u

typedef struct parser_t {
  mlirage_archive_t* archive;
  const char* text;
  size_t size;
  size_t position;
  size_t data_start;
  mlirage_string_t checksum;  // from the metadata
  bool has_metadata;
  mlirage_error_t* error;
} parser_t;

static mlirage_status_t fail_at(const parser_t* parser, const char* what) {
  return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE, "header, byte %zu: expected %s", parser->position, what);
}

static char peek(parser_t* parser) {
  while (parser->position < parser->size) {
    const char c = parser->text[parser->position];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
    ++parser->position;
  }
  return '\0';
}

static mlirage_status_t expect(parser_t* parser, char c, const char* what) {
  if (peek(parser) != c || parser->position == parser->size) return fail_at(parser, what);
  ++parser->position;
  return MLIRAGE_OK;
}

// Another element of a list or object that |end| closes?
static mlirage_status_t next(parser_t* parser, char end, size_t index, bool* out_more) {
  *out_more = false;
  if (peek(parser) == end && parser->position < parser->size) {
    ++parser->position;
    return MLIRAGE_OK;
  }
  if (index != 0) MLIRAGE_TRY(expect(parser, ',', "',' or the end of a list or object"));
  *out_more = true;
  return MLIRAGE_OK;
}

static mlirage_status_t read_hex(parser_t* parser, uint32_t* out_value) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = parser->position < parser->size ? parser->text[parser->position] : '\0';
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = (uint32_t)(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      digit = (uint32_t)((c | 0x20) - 'a' + 10);
    } else {
      return fail_at(parser, "four hexadecimal digits");
    }
    value = value * 16 + digit;
    ++parser->position;
  }
  *out_value = value;
  return MLIRAGE_OK;
}

static void put(mlirage_archive_t* archive, uint32_t byte) { archive->text[archive->text_size++] = (char)byte; }

// After "\u": a character, or a pair that stands for one, as UTF-8.
static mlirage_status_t read_code_point(parser_t* parser) {
  uint32_t code = 0;
  MLIRAGE_TRY(read_hex(parser, &code));
  if (code >= 0xD800 && code < 0xE000) {
    uint32_t low = 0;
    if (code >= 0xDC00 || parser->size - parser->position < 2 || parser->text[parser->position] != '\\' ||
        parser->text[parser->position + 1] != 'u') {
      return fail_at(parser, "a pair of surrogates");
    }
    parser->position += 2;
    MLIRAGE_TRY(read_hex(parser, &low));
    if (low < 0xDC00 || low >= 0xE000) return fail_at(parser, "a pair of surrogates");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  mlirage_archive_t* archive = parser->archive;
  if (code < 0x80) {
    put(archive, code);
  } else if (code < 0x800) {
    put(archive, 0xC0 | code >> 6);
    put(archive, 0x80 | (code & 0x3F));
  } else {
    if (code < 0x10000) {
      put(archive, 0xE0 | code >> 12);
    } else {
      put(archive, 0xF0 | code >> 18);
      put(archive, 0x80 | (code >> 12 & 0x3F));
    }
    put(archive, 0x80 | (code >> 6 & 0x3F));
    put(archive, 0x80 | (code & 0x3F));
  }
  return MLIRAGE_OK;
}

// A string, unescaped into the archive's text, which has room for the whole header.
static mlirage_status_t read_string(parser_t* parser, mlirage_string_t* out_string) {
  MLIRAGE_TRY(expect(parser, '"', "a string"));
  mlirage_archive_t* archive = parser->archive;
  const size_t start = archive->text_size;
  for (;;) {
    if (parser->position == parser->size) return fail_at(parser, "the end of a string");
    const char c = parser->text[parser->position++];
    if (c == '"') break;
    if ((unsigned char)c < 0x20) return fail_at(parser, "no control characters in a string");
    if (c != '\\') {
      put(archive, (unsigned char)c);
      continue;
    }
    const char escaped = parser->position < parser->size ? parser->text[parser->position++] : '\0';
    switch (escaped) {
      case '"':
      case '\\':
      case '/': put(archive, (unsigned char)escaped); break;
      case 'b': put(archive, '\b'); break;
      case 'f': put(archive, '\f'); break;
      case 'n': put(archive, '\n'); break;
      case 'r': put(archive, '\r'); break;
      case 't': put(archive, '\t'); break;
      case 'u': MLIRAGE_TRY(read_code_point(parser)); break;
      default: return fail_at(parser, "an escape of JSON");
    }
  }
  *out_string = (mlirage_string_t){archive->text + start, archive->text_size - start};
  return MLIRAGE_OK;
}

static mlirage_status_t read_size(parser_t* parser, size_t* out_value) {
  const char first = peek(parser);
  if (parser->position == parser->size || first < '0' || first > '9') return fail_at(parser, "a whole number");
  size_t value = 0;
  const size_t start = parser->position;
  while (parser->position < parser->size) {
    const char c = parser->text[parser->position];
    if (c < '0' || c > '9') break;
    if (!mlirage_checked_mul(value, 10, &value) || !mlirage_checked_add(value, (size_t)(c - '0'), &value)) {
      return fail_at(parser, "a number that fits");
    }
    ++parser->position;
  }
  if (first == '0' && parser->position - start > 1) return fail_at(parser, "a number without leading zeros");
  *out_value = value;
  return MLIRAGE_OK;
}

static bool equals(mlirage_string_t string, const char* text) {
  return mlirage_string_equal(string, mlirage_string(text));
}

// Bits of an element; 0: not known.
static size_t bits_of(mlirage_string_t dtype) {
  static const struct {
    const char name[12];
    uint8_t bits;
  } known[] = {{"BOOL", 8},        {"U8", 8},          {"I8", 8},    {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
               {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},    {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U16", 16},
               {"I16", 16},        {"F16", 16},        {"BF16", 16}, {"U32", 32},    {"I32", 32},    {"F32", 32},
               {"U64", 64},        {"I64", 64},        {"F64", 64},  {"C64", 64}};
  for (size_t i = 0; i < sizeof(known) / sizeof(*known); ++i) {
    if (equals(dtype, known[i].name)) return known[i].bits;
  }
  return 0;
}

// Multiplies the extents up; false in |*out_fits| if the product is too large.
static mlirage_status_t read_shape(parser_t* parser, size_t* out_elements, bool* out_fits) {
  MLIRAGE_TRY(expect(parser, '[', "'['"));
  size_t elements = 1;
  bool fits = true, empty = false, more = false;
  for (size_t i = 0;; ++i) {
    MLIRAGE_TRY(next(parser, ']', i, &more));
    if (!more) break;
    size_t extent = 0;
    MLIRAGE_TRY(read_size(parser, &extent));
    empty = empty || extent == 0;
    fits = fits && (extent == 0 || mlirage_checked_mul(elements, extent, &elements));
  }
  *out_elements = empty ? 0 : elements;
  *out_fits = fits;
  return MLIRAGE_OK;
}

static mlirage_status_t read_tensor(parser_t* parser, mlirage_string_t key) {
  MLIRAGE_TRY(expect(parser, '{', "'{'"));
  size_t elements = 0, bits = 0, begin = 0, end = 0;
  bool fits = false, more = false;
  unsigned seen = 0;
  for (size_t i = 0;; ++i) {
    MLIRAGE_TRY(next(parser, '}', i, &more));
    if (!more) break;
    const size_t text_size = parser->archive->text_size;
    mlirage_string_t field = {NULL, 0};
    MLIRAGE_TRY(read_string(parser, &field));
    const unsigned bit = equals(field, "dtype")          ? 1
                         : equals(field, "shape")        ? 2
                         : equals(field, "data_offsets") ? 4
                                                         : 0;
    if (bit == 0 || (seen & bit) != 0) return fail_at(parser, "dtype, shape and data_offsets, each once");
    seen |= bit;
    MLIRAGE_TRY(expect(parser, ':', "':'"));
    if (bit == 1) {
      mlirage_string_t dtype = {NULL, 0};
      MLIRAGE_TRY(read_string(parser, &dtype));
      bits = bits_of(dtype);
      if (bits == 0) return fail_at(parser, "a dtype of safetensors");
    } else if (bit == 2) {
      MLIRAGE_TRY(read_shape(parser, &elements, &fits));
    } else {
      MLIRAGE_TRY(expect(parser, '[', "'['"));
      MLIRAGE_TRY(read_size(parser, &begin));
      MLIRAGE_TRY(expect(parser, ',', "','"));
      MLIRAGE_TRY(read_size(parser, &end));
      MLIRAGE_TRY(expect(parser, ']', "']'"));
    }
    parser->archive->text_size = text_size;  // only keys are kept
  }
  if (seen != 7) return fail_at(parser, "dtype, shape and data_offsets before");
  size_t total_bits = 0;
  if (!fits || !mlirage_checked_mul(elements, bits, &total_bits) || total_bits % 8 != 0 || end < begin ||
      end - begin != total_bits / 8) {
    return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE,
                        "tensor '%.*s': data_offsets [%zu, %zu] are not what its dtype and shape need",
                        MLIRAGE_STRING_ARGS(key), begin, end);
  }
  size_t offset = 0;
  if (!mlirage_range_fits(begin, end - begin, parser->archive->memory.size - parser->data_start) ||
      !mlirage_checked_add(parser->data_start, begin, &offset)) {
    return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE,
                        "tensor '%.*s' ends at byte %zu of %zu: the file is cut or damaged", MLIRAGE_STRING_ARGS(key),
                        end, parser->archive->memory.size - parser->data_start);
  }
  return mlirage_archive_add(parser->archive, (mlirage_parameter_t){key, offset, end - begin, 0}, parser->error);
}

static mlirage_status_t read_metadata(parser_t* parser) {
  if (parser->has_metadata) return fail_at(parser, "__metadata__ once");
  parser->has_metadata = true;
  MLIRAGE_TRY(expect(parser, '{', "'{'"));
  bool more = false;
  for (size_t i = 0;; ++i) {
    MLIRAGE_TRY(next(parser, '}', i, &more));
    if (!more) return MLIRAGE_OK;
    mlirage_string_t key = {NULL, 0}, value = {NULL, 0};
    MLIRAGE_TRY(read_string(parser, &key));
    MLIRAGE_TRY(expect(parser, ':', "':'"));
    MLIRAGE_TRY(read_string(parser, &value));
    if (equals(key, "mlirage.program")) parser->archive->program = value;
    if (equals(key, "mlirage.checksum")) parser->checksum = value;
  }
}

static int compare_offsets(const mlirage_parameter_t* a, const mlirage_parameter_t* b) {
  if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
  return a->length < b->length ? -1 : a->length > b->length;  // empty ones first
}

// All bytes of the data belong to one tensor each, and keys are unique.
static mlirage_status_t check_entries(const parser_t* parser) {
  mlirage_archive_t* archive = parser->archive;
  mlirage_parameters_sort(archive->entries, archive->count, compare_offsets);
  size_t end = parser->data_start;
  for (size_t i = 0; i < archive->count; ++i) {
    const mlirage_parameter_t* entry = &archive->entries[i];
    if (entry->offset != end) {
      return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE,
                          "tensor '%.*s' starts at byte %zu of the data, the one before ends at %zu",
                          MLIRAGE_STRING_ARGS(entry->key), entry->offset - parser->data_start,
                          end - parser->data_start);
    }
    end += entry->length;
  }
  if (end != archive->memory.size) {
    return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE, "%zu bytes after the last tensor",
                        archive->memory.size - end);
  }
  return mlirage_archive_index(archive, parser->error);
}

static mlirage_status_t check_data(const parser_t* parser) {
  const mlirage_mutable_bytes_t memory = parser->archive->memory;
  const uint64_t sum =
      mlirage_checksum((mlirage_bytes_t){memory.data + parser->data_start, memory.size - parser->data_start});
  char text[16];
  for (size_t i = 0; i < sizeof(text); ++i) text[i] = "0123456789abcdef"[sum >> (60 - 4 * i) & 15];
  if (parser->checksum.size == 0 || mlirage_string_equal(parser->checksum, (mlirage_string_t){text, sizeof(text)})) {
    return MLIRAGE_OK;
  }
  return mlirage_fail(parser->error, MLIRAGE_INVALID_MODULE, "the data is damaged: its checksum is %.*s, not %.*s",
                      (int)sizeof(text), text, MLIRAGE_STRING_ARGS(parser->checksum));
}

size_t mlirage_safetensors_header_size(mlirage_bytes_t file) {
  if (file.size < SIZE_OF_SIZE) return 0;
  uint64_t size = 0;
  for (size_t i = 0; i < SIZE_OF_SIZE; ++i) size |= (uint64_t)file.data[i] << (8 * i);
  return size <= MAX_HEADER_SIZE && size <= file.size - SIZE_OF_SIZE ? (size_t)size : 0;
}

mlirage_status_t mlirage_safetensors_parse(mlirage_archive_t* archive, mlirage_parameters_flags_t flags,
                                           mlirage_error_t* error) {
  const mlirage_mutable_bytes_t memory = archive->memory;
  const size_t header_size = mlirage_safetensors_header_size((mlirage_bytes_t){memory.data, memory.size});
  if (header_size == 0 || memory.data[SIZE_OF_SIZE] != '{') {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "no .safetensors, .irpa or .gguf file, or a cut one (%zu bytes)",
                        memory.size);
  }
  parser_t parser = {
      .archive = archive,
      .text = (const char*)memory.data + SIZE_OF_SIZE,
      .size = header_size,
      .data_start = SIZE_OF_SIZE + header_size,
      .error = error,
  };
  MLIRAGE_TRY(expect(&parser, '{', "'{'"));
  bool more = false;
  for (size_t i = 0;; ++i) {
    MLIRAGE_TRY(next(&parser, '}', i, &more));
    if (!more) break;
    mlirage_string_t key = {NULL, 0};
    MLIRAGE_TRY(read_string(&parser, &key));
    MLIRAGE_TRY(expect(&parser, ':', "':'"));
    if (equals(key, "__metadata__")) {
      MLIRAGE_TRY(read_metadata(&parser));
    } else {
      MLIRAGE_TRY(read_tensor(&parser, key));
    }
  }
  if (peek(&parser) != '\0' || parser.position != parser.size) return fail_at(&parser, "nothing more");
  MLIRAGE_TRY(check_entries(&parser));
  return (flags & MLIRAGE_PARAMETERS_CHECK_DATA) != 0 ? check_data(&parser) : MLIRAGE_OK;
}
