// Drives the fuzz target where there is no libFuzzer: vm_fuzz COUNT SEED FILE…
// Each input is one of the files, damaged: cut, bits flipped, or, with the checksum of
// the structure made right again so that the damage gets deep, fields of tables and
// units of code replaced.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/format.h"
#include "vm_fuzz.h"

static uint64_t state;

static uint64_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
static size_t below(size_t limit) { return limit == 0 ? 0 : (size_t)(random_bits() % limit); }

typedef struct input_t {
  uint8_t* bytes;
  size_t size;
} input_t;

static input_t read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) abort();
  fseek(file, 0, SEEK_END);
  input_t input = {NULL, (size_t)ftell(file)};
  rewind(file);
  input.bytes = malloc(input.size);
  if (input.bytes == NULL || fread(input.bytes, 1, input.size, file) != input.size) abort();
  fclose(file);
  return input;
}

static void repair_checksum(input_t input) {
  mlirage_file_header_t header;
  if (input.size < sizeof(header)) return;
  memcpy(&header, input.bytes, sizeof(header));
  if (header.structure_size < MLIRAGE_CHECKSUM_START || header.structure_size > input.size) return;
  const mlirage_bytes_t structure = {input.bytes + MLIRAGE_CHECKSUM_START,
                                     (size_t)header.structure_size - MLIRAGE_CHECKSUM_START};
  header.checksum = mlirage_checksum(structure);
  memcpy(input.bytes, &header, sizeof(header));
}

// Values at which arithmetic goes wrong, small ones, and any.
static uint64_t interesting(void) {
  static const uint64_t values[] = {0,          1,      2,         7,          8,          63,         64,
                                    255,        0x7FFF, 0xFFFF,    0x7FFFFFFF, 0xFFFFFFFF, 1ull << 32, (1ull << 63) - 1,
                                    1ull << 63, ~0ull,  ~0ull - 63};
  switch (below(3)) {
    case 0: return values[below(sizeof(values) / sizeof(*values))];
    case 1: return below(40);
    default: return random_bits();
  }
}

// Replaces an aligned field of 2, 4 or 8 bytes in [begin, end).
static void replace_field(input_t input, size_t begin, size_t end) {
  const size_t width = (size_t)2 << below(3);
  if (end > input.size || end - begin < width || end < begin) return;
  const size_t at = (begin + below(end - begin - width + 1)) & ~(width - 1);
  const uint64_t value = interesting();
  if (at >= begin) memcpy(input.bytes + at, &value, width);
}

// Replaces a field of a section or of the tables before the sections.
static void replace_in_section(input_t input) {
  mlirage_file_header_t header;
  memcpy(&header, input.bytes, sizeof(header));
  const size_t chosen = below(header.section_count + 2u);
  const size_t table_end = sizeof(header) + header.section_count * sizeof(mlirage_file_section_t);
  if (chosen >= header.section_count) {
    replace_field(input, MLIRAGE_CHECKSUM_START, table_end);
    return;
  }
  mlirage_file_section_t section;
  const size_t entry = sizeof(header) + chosen * sizeof(section);
  if (entry + sizeof(section) > input.size) return;
  memcpy(&section, input.bytes + entry, sizeof(section));
  replace_field(input, (size_t)section.offset, (size_t)(section.offset + section.size));
}

// Code is where most damage can be done: a unit becomes another, or moves.
static void replace_in_code(input_t input) {
  mlirage_file_header_t header;
  memcpy(&header, input.bytes, sizeof(header));
  for (uint32_t i = 0; i < header.section_count; ++i) {
    mlirage_file_section_t section;
    memcpy(&section, input.bytes + sizeof(header) + i * sizeof(section), sizeof(section));
    if (section.kind != MLIRAGE_SECTION_CODE || section.size < 4) continue;
    uint8_t* code = input.bytes + section.offset;
    const size_t units = (size_t)section.size / 2;
    const size_t at = below(units), from = below(units);
    uint16_t unit = 0;
    memcpy(&unit, code + 2 * at, sizeof(unit));
    switch (below(6)) {
      case 0: memmove(code + 2 * at, code + 2 * from, 2 * (units - (at > from ? at : from))); continue;
      case 1: unit = (uint16_t)below(240); break;
      case 2: memcpy(&unit, code + 2 * from, sizeof(unit)); break;
      case 3: unit = (uint16_t)(unit + 1); break;
      case 4: unit = (uint16_t)(unit - 1); break;
      default: unit = (uint16_t)below(6); break;
    }
    memcpy(code + 2 * at, &unit, sizeof(unit));
  }
}

static void damage(input_t* input) {
  const size_t kind = below(12);
  const size_t times = kind > 4 ? 1 + below(2) : 1 + below(4);
  if (kind == 0) {
    input->size = below(input->size + 1);
    if (below(2) == 0) repair_checksum(*input);
    return;
  }
  for (size_t i = 0; i < times; ++i) {
    if (kind <= 2) {
      input->bytes[below(input->size)] ^= (uint8_t)(1u << below(8));
    } else if (kind <= 4) {
      replace_in_section(*input);
    } else {
      replace_in_code(*input);
    }
  }
  if (kind != 1) repair_checksum(*input);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const unsigned long count = strtoul(argv[1], NULL, 10);
  state = strtoul(argv[2], NULL, 10) * 2 + 1;
  const size_t file_count = (size_t)argc - 3;
  input_t* files = calloc(file_count, sizeof(*files));
  if (files == NULL) return 1;
  for (size_t i = 0; i < file_count; ++i) {
    files[i] = read_file(argv[3 + i]);
    LLVMFuzzerTestOneInput(files[i].bytes, files[i].size);
    if (vm_fuzz_counts.linked != i + 1) return 1;  // undamaged files are fine
  }
  for (unsigned long i = 0; i < count; ++i) {
    const input_t* file = &files[below(file_count)];
    input_t input = {malloc(file->size), file->size};
    if (input.bytes == NULL) return 1;
    memcpy(input.bytes, file->bytes, file->size);
    damage(&input);
    LLVMFuzzerTestOneInput(input.bytes, input.size);
    free(input.bytes);
  }
  for (size_t i = 0; i < file_count; ++i) free(files[i].bytes);
  free(files);
  const vm_fuzz_counts_t* c = &vm_fuzz_counts;
  printf(
      "modules: %llu, verified: %llu, linked: %llu; calls: %llu returned, %llu failed, %llu suspended; "
      "vmvx executables: %llu; workgroups: %llu returned, %llu failed\n",
      (unsigned long long)c->inputs, (unsigned long long)c->loaded, (unsigned long long)c->linked,
      (unsigned long long)c->returned, (unsigned long long)c->failed, (unsigned long long)c->suspended,
      (unsigned long long)c->libraries, (unsigned long long)c->workgroups_returned,
      (unsigned long long)c->workgroups_failed);
  return 0;
}
