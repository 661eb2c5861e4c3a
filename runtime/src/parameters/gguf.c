// GGUF files, versions 2 and 3, little-endian:
//
//   magic "GGUF", u32 version, u64 tensor count, u64 metadata count
//   metadata: string key, u32 type, value; a string is u64 length and bytes, an array u32 type, u64 count, values
//   tensor:   string name, u32 rank, u64 extents (innermost first), u32 type, u64 offset in the data
//   data:     after padding to the metadata general.alignment (32 if not told)
//
// Quantized tensors are parameters of as many bytes as their blocks have.
// Source: docs/gguf.md of ggml.
#include "parameters/parameters.h"

#define MAGIC "GGUF"
#define DEFAULT_ALIGNMENT 32u
#define MAX_RANK 8u
#define MAX_DEPTH 4u  // of arrays in arrays

typedef struct reader_t {
  mlirage_mutable_bytes_t memory;
  size_t position;
  mlirage_error_t* error;
} reader_t;

// Elements and bytes of a block of each tensor type; 0 for numbers that are not in use.
static const struct {
  uint16_t elements;
  uint16_t bytes;
} blocks[] = {
    [0] = {1, 4},      [1] = {1, 2},      [2] = {32, 18},   [3] = {32, 20},    [6] = {32, 22},    [7] = {32, 24},
    [8] = {32, 34},    [9] = {32, 40},    [10] = {256, 84}, [11] = {256, 110}, [12] = {256, 144}, [13] = {256, 176},
    [14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66}, [17] = {256, 74},  [18] = {256, 98},  [19] = {256, 50},
    [20] = {32, 18},   [21] = {256, 110}, [22] = {256, 82}, [23] = {256, 136}, [24] = {1, 1},     [25] = {1, 2},
    [26] = {1, 4},     [27] = {1, 8},     [28] = {1, 8},    [29] = {256, 56},  [30] = {1, 2},     [34] = {256, 54},
    [35] = {256, 66},  [39] = {32, 17},   [40] = {64, 36},  [41] = {128, 18},
};

// Bytes of a metadata value by type; 0: a string (8) or an array (9).
static const uint8_t value_sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
enum { TYPE_U32 = 4, TYPE_STRING = 8, TYPE_ARRAY = 9 };

bool mlirage_gguf_is(mlirage_bytes_t file) {
  return file.size >= sizeof(MAGIC) - 1 &&
         mlirage_string_equal((mlirage_string_t){(const char*)file.data, sizeof(MAGIC) - 1}, mlirage_string(MAGIC));
}

static mlirage_status_t cut(const reader_t* reader) {
  return mlirage_fail(reader->error, MLIRAGE_INVALID_MODULE, "the header is cut or damaged at byte %zu",
                      reader->position);
}

static mlirage_status_t read_number(reader_t* reader, size_t bytes, uint64_t* out_value) {
  *out_value = 0;
  if (reader->memory.size - reader->position < bytes) return cut(reader);
  for (size_t i = 0; i < bytes; ++i) {
    *out_value |= (uint64_t)reader->memory.data[reader->position + i] << (8 * i);
  }
  reader->position += bytes;
  return MLIRAGE_OK;
}

static mlirage_status_t skip(reader_t* reader, uint64_t count, size_t size) {
  if (count > (reader->memory.size - reader->position) / size) return cut(reader);
  reader->position += (size_t)count * size;
  return MLIRAGE_OK;
}

static mlirage_status_t read_string(reader_t* reader, mlirage_string_t* out_string) {
  uint64_t size = 0;
  MLIRAGE_TRY(read_number(reader, 8, &size));
  const size_t start = reader->position;
  MLIRAGE_TRY(skip(reader, size, 1));
  *out_string = (mlirage_string_t){(const char*)reader->memory.data + start, (size_t)size};
  return MLIRAGE_OK;
}

static mlirage_status_t skip_value(reader_t* reader, uint64_t type, unsigned depth) {
  if (type >= sizeof(value_sizes) || depth > MAX_DEPTH) return cut(reader);
  if (value_sizes[type] != 0) return skip(reader, 1, value_sizes[type]);
  mlirage_string_t string = {NULL, 0};
  if (type == TYPE_STRING) return read_string(reader, &string);
  uint64_t element = 0, count = 0;
  MLIRAGE_TRY(read_number(reader, 4, &element));
  MLIRAGE_TRY(read_number(reader, 8, &count));
  if (element < sizeof(value_sizes) && value_sizes[element] != 0) return skip(reader, count, value_sizes[element]);
  // Each element has bytes in the file, so this ends.
  for (uint64_t i = 0; i < count; ++i) MLIRAGE_TRY(skip_value(reader, element, depth + 1));
  return MLIRAGE_OK;
}

static mlirage_status_t read_metadata(reader_t* reader, uint64_t count, uint64_t* out_alignment) {
  for (uint64_t i = 0; i < count; ++i) {
    mlirage_string_t key = {NULL, 0};
    uint64_t type = 0;
    MLIRAGE_TRY(read_string(reader, &key));
    MLIRAGE_TRY(read_number(reader, 4, &type));
    if (type == TYPE_U32 && mlirage_string_equal(key, mlirage_string("general.alignment"))) {
      MLIRAGE_TRY(read_number(reader, 4, out_alignment));
      if (*out_alignment == 0 || (*out_alignment & (*out_alignment - 1)) != 0) return cut(reader);
    } else {
      MLIRAGE_TRY(skip_value(reader, type, 0));
    }
  }
  return MLIRAGE_OK;
}

// A tensor's entry, with the offset in the data.
static mlirage_status_t read_tensor(mlirage_archive_t* archive, reader_t* reader) {
  mlirage_string_t key = {NULL, 0};
  uint64_t rank = 0, type = 0, offset = 0;
  MLIRAGE_TRY(read_string(reader, &key));
  MLIRAGE_TRY(read_number(reader, 4, &rank));
  if (rank > MAX_RANK || key.size > MLIRAGE_PARAMETERS_MAX_KEY_SIZE) return cut(reader);
  size_t elements = 1;
  uint64_t innermost = 1;
  bool fits = true, empty = false;
  for (uint64_t i = 0; i < rank; ++i) {
    uint64_t extent = 0;
    MLIRAGE_TRY(read_number(reader, 8, &extent));
    if (i == 0) innermost = extent;
    empty = empty || extent == 0;
    fits = fits && extent <= SIZE_MAX && (extent == 0 || mlirage_checked_mul(elements, (size_t)extent, &elements));
  }
  MLIRAGE_TRY(read_number(reader, 4, &type));
  MLIRAGE_TRY(read_number(reader, 8, &offset));
  if (type >= sizeof(blocks) / sizeof(*blocks) || blocks[type].elements == 0) {
    return mlirage_fail(reader->error, MLIRAGE_UNSUPPORTED, "tensor '%.*s' has type %u, which is not known",
                        MLIRAGE_STRING_ARGS(key), (unsigned)type);
  }
  size_t length = 0;
  if (!fits || offset > SIZE_MAX || innermost % blocks[type].elements != 0 ||
      !mlirage_checked_mul(elements / blocks[type].elements, blocks[type].bytes, &length)) {
    return mlirage_fail(reader->error, MLIRAGE_INVALID_MODULE, "tensor '%.*s' has extents that make no sense",
                        MLIRAGE_STRING_ARGS(key));
  }
  return mlirage_archive_add(archive, (mlirage_parameter_t){key, (size_t)offset, empty ? 0 : length, 0}, reader->error);
}

mlirage_status_t mlirage_gguf_parse(mlirage_archive_t* archive, mlirage_error_t* error) {
  reader_t reader = {archive->memory, sizeof(MAGIC) - 1, error};
  uint64_t version = 0, tensor_count = 0, metadata_count = 0, alignment = DEFAULT_ALIGNMENT;
  MLIRAGE_TRY(read_number(&reader, 4, &version));
  if (version != 2 && version != 3) {
    return mlirage_fail(error, MLIRAGE_UNSUPPORTED, "version %u of GGUF is not known; 2 and 3 are", (unsigned)version);
  }
  MLIRAGE_TRY(read_number(&reader, 8, &tensor_count));
  MLIRAGE_TRY(read_number(&reader, 8, &metadata_count));
  MLIRAGE_TRY(read_metadata(&reader, metadata_count, &alignment));
  for (uint64_t i = 0; i < tensor_count; ++i) MLIRAGE_TRY(read_tensor(archive, &reader));
  size_t start = 0;  // of the data
  if (!mlirage_checked_add(reader.position, (size_t)alignment - 1, &start)) return cut(&reader);
  start -= start % (size_t)alignment;
  for (size_t i = 0; i < archive->count; ++i) {
    mlirage_parameter_t* entry = &archive->entries[i];
    if (start > archive->memory.size ||
        !mlirage_range_fits(entry->offset, entry->length, archive->memory.size - start)) {
      if (entry->length != 0) {
        return mlirage_fail(error, MLIRAGE_INVALID_MODULE,
                            "tensor '%.*s' lies outside of the file: it is cut or damaged",
                            MLIRAGE_STRING_ARGS(entry->key));
      }
      entry->offset = 0;
    } else {
      entry->offset += start;
    }
  }
  return mlirage_archive_index(archive, error);
}
