// Damaged parameter files: parameters_fuzz COUNT SEED FILE… Each input is one of the files,
// cut, with bytes or numbers of the header changed, or with pieces of the header replaced by
// others. What is accepted is loaded, in place and gathered.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlirage/runtime.h"
#include "parameters/parameters.h"

#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: REQUIRE(%s)\n", __FILE__, __LINE__, #condition); \
      abort();                                                                 \
    }                                                                          \
  } while (0)

static uint64_t state;
static uint64_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static size_t below(size_t limit) { return limit == 0 ? 0 : (size_t)(random_bits() % limit); }

static uint8_t* read_file(const char* path, size_t* out_size) {
  FILE* file = fopen(path, "rb");
  REQUIRE(file != NULL);
  fseek(file, 0, SEEK_END);
  *out_size = (size_t)ftell(file);
  rewind(file);
  uint8_t* bytes = malloc(*out_size);
  REQUIRE(bytes != NULL && fread(bytes, 1, *out_size, file) == *out_size);
  fclose(file);
  return bytes;
}

static const char* const pieces[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     "\"",
                                     ",",
                                     ":",
                                     " ",
                                     "0",
                                     "64",
                                     "-1",
                                     "1e9",
                                     "\\u0041",
                                     "\\ud800",
                                     "\\x",
                                     "null",
                                     "\"F4\"",
                                     "[[[[",
                                     "18446744073709551616",
                                     "18446744073709551615",
                                     "9223372036854775808",
                                     "\n",
                                     "00"};

static void damage(uint8_t* bytes, size_t* size) {
  const size_t header = *size > 8 && below(8) != 0 ? (size_t)bytes[0] + ((size_t)bytes[1] << 8) : *size;
  const size_t front = *size < 1024 ? *size : 1024;  // where the numbers of binary headers are
  switch (below(6)) {
    case 0: *size = below(*size + 1); break;
    case 5:
      if (front >= 12) {
        const size_t at = below(front - 8) & ~(size_t)3;
        uint64_t value = 0;
        memcpy(&value, bytes + at, sizeof(value));
        value = below(3) ? value + below(33) - 16 : random_bits() >> below(64);
        memcpy(bytes + at, &value, sizeof(value));
      }
      break;
    case 1:
      if (*size >= 8) {
        const uint64_t value = below(2) ? random_bits() >> below(64) : (uint64_t)header + below(9) - 4;
        memcpy(bytes, &value, sizeof(value));
      }
      break;
    case 2:
      for (size_t i = 0, count = 1 + below(4); i < count && *size != 0; ++i) {
        bytes[below(header < *size ? header + 8 : *size) % *size] ^= (uint8_t)(1u << below(8));
      }
      break;
    case 3: {  // a digit: lengths and offsets that do not agree
      for (size_t i = 0; i < 200 && *size > 8; ++i) {
        uint8_t* byte = &bytes[8 + below(header) % (*size - 8)];
        if (*byte >= '0' && *byte <= '9') {
          *byte = (uint8_t)('0' + below(10));
          break;
        }
      }
      break;
    }
    default: {
      const char* piece = pieces[below(sizeof(pieces) / sizeof(*pieces))];
      const size_t length = strlen(piece);
      const size_t at = 8 + below(header);
      if (at + length <= *size) memcpy(bytes + at, piece, length);
    }
  }
}

#define MAX_TOTAL ((size_t)1 << 20)  // bytes that an input's parameters are loaded up to

static size_t released;
static void release(void* self, mlirage_mutable_bytes_t memory) {
  (void)self;
  (void)memory;
  ++released;
}

// Loads what the archive has, as it lies and with holes.
static void load_all(const mlirage_parameters_t* parameters, mlirage_device_t* device, mlirage_mutable_bytes_t memory) {
  mlirage_archive_t* archive = NULL;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  const mlirage_string_t none = mlirage_string("");
  const size_t text_size = mlirage_archive_text_size((mlirage_bytes_t){memory.data, memory.size});
  REQUIRE(mlirage_archive_create(mlirage_allocator_system(), none, none, text_size, memory, &archive, &error) ==
          MLIRAGE_OK);
  REQUIRE(mlirage_archive_parse(archive, MLIRAGE_PARAMETERS_DEFAULT, &error) == MLIRAGE_OK);
  size_t count = 0;
  bool repeats = false;  // patterns that overlap other data cannot both be there as it lies
  for (size_t total = 0; count < archive->count && count < 64; ++count) {
    if (archive->entries[count].length > MAX_TOTAL - total) break;  // a pattern repeated through half the memory
    total += archive->entries[count].length;
    repeats = repeats || archive->entries[count].pattern_length != 0;
  }
  for (size_t stride = 0; stride < 2; ++stride) {
    mlirage_parameter_place_t places[64];
    size_t size = 0;
    for (size_t i = 0; i < count; ++i) {
      const mlirage_parameter_t entry = archive->entries[i];
      places[i] = (mlirage_parameter_place_t){entry.key, stride ? size : entry.offset, entry.length};
      const size_t end = places[i].offset + entry.length + stride;
      if (end > size) size = end;
    }
    mlirage_buffer_t* buffer = NULL;
    const mlirage_status_t status = mlirage_parameters_load(
        parameters, device, archive->program, mlirage_string("model"), size, count, places, &buffer, &error);
    REQUIRE(status == MLIRAGE_OK);
    for (size_t i = 0; i < count; ++i) {
      mlirage_mutable_bytes_t bytes = {NULL, 0};
      REQUIRE(mlirage_buffer_map(buffer, MLIRAGE_MAP_READ, places[i].offset, places[i].length, &bytes, &error) ==
              MLIRAGE_OK);
      const mlirage_parameter_t entry = archive->entries[i];
      const size_t period = entry.pattern_length != 0 ? entry.pattern_length : entry.length;
      for (size_t k = 0; (stride != 0 || !repeats) && k < entry.length; ++k) {
        REQUIRE(bytes.data[k] == memory.data[entry.offset + k % period]);
      }
      REQUIRE(mlirage_buffer_unmap(buffer, bytes, &error) == MLIRAGE_OK);
    }
    mlirage_buffer_release(buffer);
  }
  mlirage_object_release(archive);
}

int main(int argc, char** argv) {
  REQUIRE(argc > 3);
  const size_t count = strtoul(argv[1], NULL, 10);
  state = strtoull(argv[2], NULL, 10) * 2 + 1;
  size_t accepted = 0, refused = 0;
  mlirage_error_t error = {MLIRAGE_OK, {0}};
  mlirage_device_t* device = NULL;
  REQUIRE(mlirage_device_create("local-sync", NULL, &device, &error) == MLIRAGE_OK);
  const size_t file_count = (size_t)argc - 3;
  uint8_t** files = calloc(file_count, sizeof(*files));
  size_t* sizes = calloc(file_count, sizeof(*sizes));
  REQUIRE(files != NULL && sizes != NULL);
  for (size_t i = 0; i < file_count; ++i) files[i] = read_file(argv[3 + i], &sizes[i]);
  for (size_t n = 0; n < count; ++n) {
    size_t size = 0;
    const size_t which = n % file_count;
    uint8_t* work = malloc(sizes[which]);
    REQUIRE(work != NULL);
    memcpy(work, files[which], size = sizes[which]);
    for (size_t i = 0, times = n < file_count ? 0 : 1 + below(3); i < times; ++i) damage(work, &size);
    uint8_t* exact = malloc(size == 0 ? 1 : size);  // so that every byte behind it is seen to be one
    REQUIRE(exact != NULL);
    memcpy(exact, work, size);
    free(work);
    mlirage_parameters_t* parameters = NULL;
    REQUIRE(mlirage_parameters_create(mlirage_allocator_system(), &parameters) == MLIRAGE_OK);
    const mlirage_mutable_bytes_t memory = {exact, size};
    released = 0;
    error.text[0] = '\0';
    const mlirage_parameters_flags_t flags = n % 2 ? MLIRAGE_PARAMETERS_CHECK_DATA : MLIRAGE_PARAMETERS_DEFAULT;
    const mlirage_status_t status =
        mlirage_parameters_add_archive(parameters, mlirage_string("model"), mlirage_string("fuzz"), memory,
                                       (mlirage_release_callback_t){release, NULL}, flags, &error);
    REQUIRE(n >= file_count || status == MLIRAGE_OK);
    if (status == MLIRAGE_OK) {
      ++accepted;
      load_all(parameters, device, memory);
    } else {
      ++refused;
      REQUIRE((status == MLIRAGE_INVALID_MODULE || status == MLIRAGE_UNSUPPORTED) && error.text[0] != '\0');
    }
    mlirage_parameters_release(parameters);
    REQUIRE(released == (status == MLIRAGE_OK ? 1u : 0u));
    free(exact);
  }
  for (size_t i = 0; i < file_count; ++i) free(files[i]);
  free(files);
  free(sizes);
  mlirage_device_release(device);
  printf("%zu inputs: %zu accepted, %zu refused\n", count, accepted, refused);
  return 0;
}
