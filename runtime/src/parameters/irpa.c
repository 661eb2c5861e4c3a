// .irpa files, IREE's parameter archives, version 0: headers that link to each other, each
// with a table of entries, a segment of names and a segment of data. All is little-endian;
// offsets are relative to the header, or to a segment of it.
//
//   header: magic "IRPA", u16 major, u16 minor, u64 size, u64 offset of the next header (0: none),
//           u64 flags, u64 entry count, then (u64 offset, u64 length) of entries, names and data
//   entry:  u64 size, u32 type, u64 flags, (u64, u64) name, (u64, u64) metadata, u64 alignment, then
//           splat: u64 length, 16 bytes of pattern, u8 length of the pattern
//           data:  (u64, u64) in the data segment
//
// Source: iree/schemas/parameter_archive.h of IREE.
#include "parameters/parameters.h"

#define MAGIC "IRPA"
#define PREFIX_SIZE 32u
#define HEADER_SIZE 88u
#define HEADER_ALIGNMENT 16u
#define ENTRY_SIZE 60u
#define SPLAT_SIZE 85u
#define DATA_SIZE 76u
#define ENTRY_ALIGNMENT 16u

typedef enum entry_type_t { ENTRY_SKIP = 0, ENTRY_SPLAT = 1, ENTRY_DATA = 2, ENTRY_EXTERNAL = 3 } entry_type_t;

typedef struct span_t {
  size_t offset;  // in the file
  size_t length;
} span_t;

bool mlirage_irpa_is(mlirage_bytes_t file) {
  return file.size >= PREFIX_SIZE &&
         mlirage_string_equal((mlirage_string_t){(const char*)file.data, sizeof(MAGIC) - 1}, mlirage_string(MAGIC));
}

static uint64_t read_u64(mlirage_mutable_bytes_t memory, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= (uint64_t)memory.data[offset + i] << (8 * i);
  return value;
}

// The range that the (offset, length) at |at| means within |parent|; false if it lies outside.
static bool read_span(mlirage_mutable_bytes_t memory, size_t at, span_t parent, span_t* out_span) {
  const uint64_t offset = read_u64(memory, at), length = read_u64(memory, at + 8);
  if (offset > parent.length || length > parent.length - offset) return false;
  *out_span = (span_t){parent.offset + (size_t)offset, (size_t)length};
  return true;
}

static mlirage_status_t read_entry(mlirage_archive_t* archive, size_t at, size_t size, span_t names, span_t data,
                                   mlirage_error_t* error) {
  const mlirage_mutable_bytes_t memory = archive->memory;
  const uint64_t type = read_u64(memory, at + 8) & UINT32_MAX;
  if (type == ENTRY_SKIP) return MLIRAGE_OK;
  span_t name = {0, 0};
  if (!read_span(memory, at + 20, names, &name) || name.length > MLIRAGE_PARAMETERS_MAX_KEY_SIZE) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "the entry at byte %zu has a name outside of the file", at);
  }
  mlirage_parameter_t entry = {{(const char*)memory.data + name.offset, name.length}, 0, 0, 0};
  span_t range = {0, 0};
  if (type == ENTRY_SPLAT && size >= SPLAT_SIZE) {
    const size_t pattern = at + ENTRY_SIZE + 8;
    const uint64_t length = read_u64(memory, at + ENTRY_SIZE);
    const size_t pattern_length = memory.data[pattern + 16];
    if (pattern_length == 0 || pattern_length > 16 || (pattern_length & (pattern_length - 1)) != 0 ||
        length % pattern_length != 0 || length > SIZE_MAX) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "parameter '%.*s' repeats a pattern of %zu bytes",
                          MLIRAGE_STRING_ARGS(entry.key), pattern_length);
    }
    entry.offset = pattern;
    entry.length = (size_t)length;
    entry.pattern_length = pattern_length;
  } else if (type == ENTRY_DATA && size >= DATA_SIZE) {
    if (!read_span(memory, at + ENTRY_SIZE, data, &range)) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE,
                          "parameter '%.*s' lies outside of the file: it is cut or damaged",
                          MLIRAGE_STRING_ARGS(entry.key));
    }
    entry.offset = range.offset;
    entry.length = range.length;
  } else if (type == ENTRY_EXTERNAL) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED,
                        "parameter '%.*s' lies in another file; copy it in with iree-convert-parameters",
                        MLIRAGE_STRING_ARGS(entry.key));
  } else {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "the entry at byte %zu has type %u and %zu bytes", at,
                        (unsigned)type, size);
  }
  if (mlirage_string_equal(entry.key, mlirage_string(MLIRAGE_PARAMETERS_PROGRAM_KEY)) && entry.pattern_length == 0) {
    archive->program = (mlirage_string_t){(const char*)memory.data + entry.offset, entry.length};
    return MLIRAGE_OK;
  }
  return mlirage_archive_add(archive, entry, error);
}

// The archive whose header is at |base|.
static mlirage_status_t read_archive(mlirage_archive_t* archive, size_t base, mlirage_error_t* error) {
  const mlirage_mutable_bytes_t memory = archive->memory;
  const span_t all = {base, memory.size - base};
  span_t entries = {0, 0}, names = {0, 0}, data = {0, 0};
  if (all.length < HEADER_SIZE || read_u64(memory, base + 8) != HEADER_SIZE ||
      !read_span(memory, base + 40, all, &entries) || !read_span(memory, base + 56, all, &names) ||
      !read_span(memory, base + 72, all, &data)) {
    return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "the header at byte %zu is cut or damaged", base);
  }
  const uint64_t count = read_u64(memory, base + 32);
  size_t at = 0;  // in |entries|
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t size =
        at <= entries.length && entries.length - at >= ENTRY_SIZE ? read_u64(memory, entries.offset + at) : 0;
    if (size < ENTRY_SIZE || size > entries.length - at) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "entry %zu of %zu is cut or damaged", (size_t)i,
                          (size_t)count);
    }
    MLIRAGE_TRY(read_entry(archive, entries.offset + at, (size_t)size, names, data, error));
    at += (size_t)size;  // at most the segment's length: the sum with the padding cannot wrap
    at += (ENTRY_ALIGNMENT - at % ENTRY_ALIGNMENT) % ENTRY_ALIGNMENT;
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_irpa_parse(mlirage_archive_t* archive, mlirage_error_t* error) {
  const mlirage_mutable_bytes_t memory = archive->memory;
  for (size_t base = 0;;) {
    const mlirage_bytes_t rest = {memory.data + base, memory.size - base};
    if (!mlirage_irpa_is(rest)) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "no header of an archive at byte %zu", base);
    }
    const unsigned major = memory.data[base + 4] | (unsigned)memory.data[base + 5] << 8;
    const unsigned minor = memory.data[base + 6] | (unsigned)memory.data[base + 7] << 8;
    if (major != 0 || minor != 0) {
      return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "version %u.%u of .irpa is not known; 0.0 is", major, minor);
    }
    MLIRAGE_TRY(read_archive(archive, base, error));
    const uint64_t next = read_u64(memory, base + 16);
    if (next == 0) return mlirage_archive_index(archive, error);
    if (next % HEADER_ALIGNMENT != 0 || next > rest.size) {
      return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "the header at byte %zu links outside of the file", base);
    }
    base += (size_t)next;  // onwards only: this ends
  }
}
