// Loads executables in the runtime's own way on every system: a shared ELF object
// without imports, mapped by copying, relocated, and made read-only or executable.
// Nothing of the file is trusted until checked; whatever it says about memory is checked
// against the image. (Its machine code is trusted, as all machine code must be.)
//
// Data of the library is read-only once loaded: kernels have no state.
#include "base/memory.h"
#include "hal/executable.h"
#include "hal/loaders/elf_format.h"

// Larger images and more segments are not libraries of kernels.
#define MAX_IMAGE_SIZE ((size_t)1 << 30)
#define MAX_SEGMENTS 64u

typedef struct elf_image_t {
  mlirage_bytes_t file;
  const elf_segment_t* segments;  // aligned copy
  size_t segment_count;
  uint8_t* memory;  // [low_address, low_address + size) of the object's addresses
  size_t size;
  uintptr_t low_address;
  mlirage_error_t* error;
} elf_image_t;

static mlirage_status_t malformed(elf_image_t* image, const char* what) {
  return mlirage_fail(image->error, MLIRAGE_INVALID_MODULE, "malformed executable (ELF): %s", what);
}

static mlirage_status_t parse_header(elf_image_t* image, elf_segment_t* segments) {
  elf_header_t header;
  if (image->file.size < sizeof(header)) return malformed(image, "shorter than its header");
  memcpy(&header, image->file.data, sizeof(header));
  if (memcmp(header.magic,
             "\x7f"
             "ELF",
             4) != 0)
    return malformed(image, "not an ELF file");
  if (header.elf_class != ELF_CLASS || header.data != ELF_DATA_LITTLE || header.machine != ELF_MACHINE) {
    return malformed(image, "made for another machine");
  }
  if (header.type != ELF_TYPE_SHARED) return malformed(image, "not a shared object");
  if (header.segment_entry_size != sizeof(elf_segment_t) || header.segment_count == 0 ||
      header.segment_count > MAX_SEGMENTS) {
    return malformed(image, "unusual program headers");
  }
  const size_t bytes = header.segment_count * sizeof(elf_segment_t);
  if (!mlirage_range_fits(header.segment_offset, bytes, image->file.size)) {
    return malformed(image, "program headers outside of the file");
  }
  memcpy(segments, image->file.data + header.segment_offset, bytes);
  image->segments = segments;
  image->segment_count = header.segment_count;
  return MLIRAGE_OK;
}

// Checks all segments and computes the extent of the image in whole pages.
static mlirage_status_t measure(elf_image_t* image, size_t page_size) {
  uintptr_t low = UINTPTR_MAX;
  uintptr_t high = 0;
  for (size_t i = 0; i < image->segment_count; ++i) {
    const elf_segment_t* segment = &image->segments[i];
    if (segment->type == ELF_SEGMENT_INTERPRETER || segment->type == ELF_SEGMENT_TLS) {
      return malformed(image, "needs a dynamic linker");
    }
    if (segment->type != ELF_SEGMENT_LOAD) continue;
    if ((segment->flags & ELF_FLAG_WRITE) != 0 && (segment->flags & ELF_FLAG_EXECUTE) != 0) {
      return malformed(image, "a segment is writable and executable");
    }
    if (segment->file_size > segment->memory_size ||
        !mlirage_range_fits(segment->file_offset, segment->file_size, image->file.size)) {
      return malformed(image, "a segment is outside of the file");
    }
    if (segment->memory_size == 0) continue;
    uintptr_t end = 0;
    if (__builtin_add_overflow(segment->address, segment->memory_size, &end) || end > UINTPTR_MAX - page_size) {
      return malformed(image, "a segment is outside of the address space");
    }
    const uintptr_t first_page = segment->address & ~(uintptr_t)(page_size - 1);
    if (segment->address < high) {
      return malformed(image, "segments overlap or are out of order");
    }
    if (first_page < low) low = first_page;
    high = end;
  }
  if (high == 0) return malformed(image, "nothing to load");
  size_t size = 0;
  if (!mlirage_checked_align(high - low, page_size, &size) || size > MAX_IMAGE_SIZE) {
    return malformed(image, "too large");
  }
  image->low_address = low;
  image->size = size;
  return MLIRAGE_OK;
}

static void copy_segments(elf_image_t* image) {
  for (size_t i = 0; i < image->segment_count; ++i) {
    const elf_segment_t* segment = &image->segments[i];
    if (segment->type != ELF_SEGMENT_LOAD || segment->file_size == 0) continue;
    memcpy(image->memory + (segment->address - image->low_address), image->file.data + segment->file_offset,
           segment->file_size);
  }
}

// |length| bytes of the loaded image at the object's |address|, or NULL.
static uint8_t* at(const elf_image_t* image, uintptr_t address, size_t length) {
  if (address < image->low_address) return NULL;
  const size_t offset = address - image->low_address;
  return mlirage_range_fits(offset, length, image->size) ? image->memory + offset : NULL;
}

// What the dynamic section says, still unchecked.
typedef struct elf_tables_t {
  uintptr_t strings, strings_size, symbols, hash, gnu_hash;
  uintptr_t rela, rela_size, rel, rel_size, relr, relr_size, plt, plt_size;
  size_t symbol_count;
} elf_tables_t;

static mlirage_status_t read_dynamic(elf_image_t* image, elf_tables_t* tables) {
  const elf_segment_t* segment = NULL;
  for (size_t i = 0; i < image->segment_count; ++i) {
    if (image->segments[i].type == ELF_SEGMENT_DYNAMIC) segment = &image->segments[i];
  }
  if (segment == NULL) return malformed(image, "no dynamic section");
  const uint8_t* entries = at(image, segment->address, segment->memory_size);
  if (entries == NULL) return malformed(image, "dynamic section outside of the image");
  for (size_t i = 0; i < segment->memory_size / sizeof(elf_dynamic_t); ++i) {
    elf_dynamic_t entry;
    memcpy(&entry, entries + i * sizeof(entry), sizeof(entry));
    switch (entry.tag) {
      case ELF_DYNAMIC_END: return MLIRAGE_OK;
      case ELF_DYNAMIC_STRINGS: tables->strings = entry.value; break;
      case ELF_DYNAMIC_STRINGS_SIZE: tables->strings_size = entry.value; break;
      case ELF_DYNAMIC_SYMBOLS: tables->symbols = entry.value; break;
      case ELF_DYNAMIC_HASH: tables->hash = entry.value; break;
      case ELF_DYNAMIC_GNU_HASH: tables->gnu_hash = entry.value; break;
      case ELF_DYNAMIC_RELA: tables->rela = entry.value; break;
      case ELF_DYNAMIC_RELA_SIZE: tables->rela_size = entry.value; break;
      case ELF_DYNAMIC_REL: tables->rel = entry.value; break;
      case ELF_DYNAMIC_REL_SIZE: tables->rel_size = entry.value; break;
      case ELF_DYNAMIC_RELR: tables->relr = entry.value; break;
      case ELF_DYNAMIC_RELR_SIZE: tables->relr_size = entry.value; break;
      case ELF_DYNAMIC_PLT_RELOCATIONS: tables->plt = entry.value; break;
      case ELF_DYNAMIC_PLT_RELOCATIONS_SIZE: tables->plt_size = entry.value; break;
      case ELF_DYNAMIC_NEEDED: return malformed(image, "needs other libraries");
      case ELF_DYNAMIC_TEXT_RELOCATIONS: return malformed(image, "relocations in its code");
      case ELF_DYNAMIC_INIT:
      case ELF_DYNAMIC_FINI:
      case ELF_DYNAMIC_INIT_ARRAY:
      case ELF_DYNAMIC_FINI_ARRAY: return malformed(image, "has initializers, which nobody would run");
      default: break;  // flags, sizes of entries, hints
    }
  }
  return malformed(image, "dynamic section without end");
}

static bool read_u32(const elf_image_t* image, uintptr_t address, uint32_t* out_value) {
  const uint8_t* bytes = at(image, address, sizeof(*out_value));
  if (bytes != NULL) memcpy(out_value, bytes, sizeof(*out_value));
  return bytes != NULL;
}

// ELF does not say how many symbols there are; the hash tables do.
static mlirage_status_t count_symbols(elf_image_t* image, elf_tables_t* tables) {
  uint32_t count = 0;
  if (tables->hash != 0) {
    if (!read_u32(image, tables->hash + 4, &count)) return malformed(image, "hash table outside of the image");
  } else if (tables->gnu_hash != 0) {
    // Header: buckets, first symbol in the table, words of the bloom filter, shift.
    uint32_t header[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < 4; ++i) {
      if (!read_u32(image, tables->gnu_hash + 4 * i, &header[i])) {
        return malformed(image, "hash table outside of the image");
      }
    }
    const uintptr_t buckets = tables->gnu_hash + 16 + (uintptr_t)header[2] * sizeof(uintptr_t);
    if (header[2] > image->size || header[0] > image->size) return malformed(image, "hash table too large");
    uint32_t last = 0;
    for (uint32_t i = 0; i < header[0]; ++i) {
      uint32_t first_of_bucket = 0;
      if (!read_u32(image, buckets + (uintptr_t)i * 4, &first_of_bucket)) {
        return malformed(image, "hash table outside of the image");
      }
      if (first_of_bucket > last) last = first_of_bucket;
    }
    count = header[1];
    if (last != 0) {
      if (last < header[1]) return malformed(image, "hash table with symbols before its first");
      const uintptr_t chains = buckets + (uintptr_t)header[0] * 4;
      uint32_t hash = 0;
      do {  // chains end with an odd value; reading outside of the image ends the loop
        if (last == UINT32_MAX || !read_u32(image, chains + (uintptr_t)(last - header[1]) * 4, &hash)) {
          return malformed(image, "hash table outside of the image");
        }
        ++last;
      } while ((hash & 1u) == 0);
      count = last;
    }
  }
  size_t bytes = 0;
  if (!mlirage_checked_mul(count, sizeof(elf_symbol_t), &bytes) || at(image, tables->symbols, bytes) == NULL) {
    return malformed(image, "symbols outside of the image");
  }
  tables->symbol_count = count;
  if (at(image, tables->strings, tables->strings_size) == NULL) {
    return malformed(image, "symbol names outside of the image");
  }
  return MLIRAGE_OK;
}

static elf_symbol_t symbol_at(const elf_image_t* image, const elf_tables_t* tables, size_t index) {
  elf_symbol_t symbol;
  memcpy(&symbol, at(image, tables->symbols + index * sizeof(symbol), sizeof(symbol)), sizeof(symbol));
  return symbol;
}

// The name of |symbol|; empty if it does not end inside of the string table.
static mlirage_string_t symbol_name(const elf_image_t* image, const elf_tables_t* tables, elf_symbol_t symbol) {
  mlirage_string_t name = {"", 0};
  if (symbol.name >= tables->strings_size) return name;
  const char* text = (const char*)at(image, tables->strings, tables->strings_size) + symbol.name;
  const size_t limit = tables->strings_size - symbol.name;
  size_t size = 0;
  while (size < limit && text[size] != '\0') ++size;
  if (size < limit) name = (mlirage_string_t){text, size};
  return name;
}

// Is [address, address + length) inside of one segment to load that has all of |flags|?
static bool in_segment(const elf_image_t* image, uintptr_t address, size_t length, uint32_t flags) {
  for (size_t i = 0; i < image->segment_count; ++i) {
    const elf_segment_t* segment = &image->segments[i];
    if (segment->type == ELF_SEGMENT_LOAD && (segment->flags & flags) == flags && address >= segment->address &&
        mlirage_range_fits(address - segment->address, length, segment->memory_size)) {
      return true;
    }
  }
  return false;
}

static mlirage_status_t relocate(elf_image_t* image, const elf_tables_t* tables, uintptr_t offset, uintptr_t info,
                                 uintptr_t addend, bool addend_in_place) {
  const uint32_t type = ELF_RELOCATION_TYPE(info);
  uint8_t* target = at(image, offset, sizeof(uintptr_t));
  if (target == NULL || !in_segment(image, offset, sizeof(uintptr_t), ELF_FLAG_WRITE)) {
    return malformed(image, "a relocation outside of its data");
  }
  if (type == 0) return MLIRAGE_OK;
  // What lies in a slot of the linkage table before is no addend.
  if (addend_in_place && type != ELF_GLOB_DAT && type != ELF_JUMP_SLOT) memcpy(&addend, target, sizeof(addend));
  uintptr_t value = (uintptr_t)image->memory - image->low_address + addend;
  if (type != ELF_RELATIVE) {
    if (type != ELF_ABSOLUTE && type != ELF_GLOB_DAT && type != ELF_JUMP_SLOT) {
      return mlirage_fail(image->error, MLIRAGE_INVALID_MODULE,
                          "malformed executable (ELF): relocation of unknown type %u", type);
    }
    const uint32_t index = ELF_RELOCATION_SYMBOL(info);
    if (index >= tables->symbol_count) return malformed(image, "a relocation to no symbol");
    const elf_symbol_t symbol = symbol_at(image, tables, index);
    if (symbol.section == 0) {
      return mlirage_fail(image->error, MLIRAGE_INVALID_MODULE,
                          "executable needs the symbol '%.*s'; kernels may not "
                          "import anything",
                          MLIRAGE_STRING_ARGS(symbol_name(image, tables, symbol)));
    }
    value += symbol.value;
  }
  memcpy(target, &value, sizeof(value));
  return MLIRAGE_OK;
}

static mlirage_status_t relocate_rela(elf_image_t* image, const elf_tables_t* tables, uintptr_t address, size_t size) {
  if (size == 0) return MLIRAGE_OK;
  const uint8_t* entries = at(image, address, size);
  if (entries == NULL) return malformed(image, "relocations outside of the image");
  for (size_t i = 0; i < size / sizeof(elf_rela_t); ++i) {
    elf_rela_t entry;
    memcpy(&entry, entries + i * sizeof(entry), sizeof(entry));
    MLIRAGE_TRY(relocate(image, tables, entry.offset, entry.info, entry.addend, false));
  }
  return MLIRAGE_OK;
}

static mlirage_status_t relocate_rel(elf_image_t* image, const elf_tables_t* tables, uintptr_t address, size_t size) {
  if (size == 0) return MLIRAGE_OK;
  const uint8_t* entries = at(image, address, size);
  if (entries == NULL) return malformed(image, "relocations outside of the image");
  for (size_t i = 0; i < size / sizeof(elf_rel_t); ++i) {
    elf_rel_t entry;
    memcpy(&entry, entries + i * sizeof(entry), sizeof(entry));
    MLIRAGE_TRY(relocate(image, tables, entry.offset, entry.info, 0, true));
  }
  return MLIRAGE_OK;
}

// Packed relative relocations: an even word is an address, an odd one a bitmap of the
// words after the last address.
static mlirage_status_t relocate_relr(elf_image_t* image, const elf_tables_t* tables) {
  if (tables->relr_size == 0) return MLIRAGE_OK;
  const uint8_t* entries = at(image, tables->relr, tables->relr_size);
  if (entries == NULL) return malformed(image, "relocations outside of the image");
  uintptr_t next = 0;
  for (size_t i = 0; i < tables->relr_size / sizeof(uintptr_t); ++i) {
    uintptr_t word = 0;
    memcpy(&word, entries + i * sizeof(word), sizeof(word));
    if ((word & 1u) == 0) {
      MLIRAGE_TRY(relocate(image, tables, word, ELF_RELATIVE, 0, true));
      next = word + sizeof(word);
      continue;
    }
    for (size_t bit = 1; bit < 8 * sizeof(word); ++bit) {
      if ((word >> bit & 1u) == 0) continue;
      MLIRAGE_TRY(relocate(image, tables, next + (bit - 1) * sizeof(word), ELF_RELATIVE, 0, true));
    }
    next += (8 * sizeof(word) - 1) * sizeof(word);
  }
  return MLIRAGE_OK;
}

static mlirage_status_t relocate_all(elf_image_t* image, const elf_tables_t* tables) {
  MLIRAGE_TRY(relocate_rela(image, tables, tables->rela, tables->rela_size));
  MLIRAGE_TRY(relocate_rel(image, tables, tables->rel, tables->rel_size));
  MLIRAGE_TRY(relocate_relr(image, tables));
  // Entries of the procedure linkage table have the format that the machine uses.
  return sizeof(void*) == 8 || (int)ELF_MACHINE == (int)ELF_MACHINE_RISCV
             ? relocate_rela(image, tables, tables->plt, tables->plt_size)
             : relocate_rel(image, tables, tables->plt, tables->plt_size);
}

// Pages of executable segments become executable, all others read-only. A page that
// both share is executable; none stays writable.
static mlirage_status_t protect(elf_image_t* image, size_t page_size) {
  if (mlirage_platform_pages_protect(image->memory, image->size, MLIRAGE_PAGE_READ) != MLIRAGE_OK) {
    return mlirage_fail(image->error, MLIRAGE_IO, "cannot make an executable read-only");
  }
  for (size_t i = 0; i < image->segment_count; ++i) {
    const elf_segment_t* segment = &image->segments[i];
    if (segment->type != ELF_SEGMENT_LOAD || (segment->flags & ELF_FLAG_EXECUTE) == 0 || segment->memory_size == 0) {
      continue;
    }
    const size_t offset = segment->address - image->low_address;
    const size_t first = offset & ~(page_size - 1);
    const size_t end = (offset + segment->memory_size + page_size - 1) & ~(page_size - 1);
    if (mlirage_platform_pages_protect(image->memory + first, end - first, MLIRAGE_PAGE_EXECUTE) != MLIRAGE_OK) {
      return mlirage_fail(image->error, MLIRAGE_IO, "the system forbids to run code loaded from memory");
    }
  }
  return MLIRAGE_OK;
}

static mlirage_status_t find_query(elf_image_t* image, const elf_tables_t* tables,
                                   mlirage_executable_library_query_t* out_query) {
  const mlirage_string_t wanted = mlirage_string(MLIRAGE_EXECUTABLE_LIBRARY_QUERY);
  for (size_t i = 0; i < tables->symbol_count; ++i) {
    const elf_symbol_t symbol = symbol_at(image, tables, i);
    if (symbol.section == 0 || !mlirage_string_equal(symbol_name(image, tables, symbol), wanted)) continue;
    if (in_segment(image, symbol.value, 1, ELF_FLAG_EXECUTE)) {
      const uintptr_t address = (uintptr_t)image->memory - image->low_address + symbol.value;
      memcpy(out_query, &address, sizeof(address));
      return MLIRAGE_OK;
    }
    return malformed(image, "'" MLIRAGE_EXECUTABLE_LIBRARY_QUERY "' is not code");
  }
  return malformed(image, "does not export '" MLIRAGE_EXECUTABLE_LIBRARY_QUERY "'");
}

// Is |pointer| to |count| objects in the image?
static bool points_into(const elf_image_t* image, const void* pointer, size_t size, size_t count, size_t alignment) {
  size_t length = 0;
  const uintptr_t address = (uintptr_t)pointer - (uintptr_t)image->memory + image->low_address;
  return (uintptr_t)pointer % alignment == 0 && mlirage_checked_mul(size, count, &length) &&
         in_segment(image, address, length, 0) && at(image, address, length) != NULL;
}

// What the query function returned is computed from the file: all of it must be inside.
static mlirage_status_t check_table(elf_image_t* image, const mlirage_executable_library_t* table) {
  if (table == NULL) return MLIRAGE_OK;  // newer than this runtime: the caller's to say
  bool inside = points_into(image, table, sizeof(*table), 1, sizeof(void*)) &&
                points_into(image, table->entries, sizeof(*table->entries), table->entry_count, sizeof(void*)) &&
                points_into(image, table->attributes, sizeof(*table->attributes), table->entry_count, sizeof(void*));
  for (size_t i = 0; inside && i < table->entry_count; ++i) {
    uintptr_t entry = 0;
    memcpy(&entry, &table->entries[i], sizeof(entry));
    entry = entry - (uintptr_t)image->memory + image->low_address;
    const char* name = table->attributes[i].name;
    inside = in_segment(image, entry, 1, ELF_FLAG_EXECUTE) && points_into(image, name, 1, 1, 1);
    while (inside && *name != '\0') inside = points_into(image, ++name, 1, 1, 1);
  }
  return inside ? MLIRAGE_OK : malformed(image, "its table of entry points is outside of the image");
}

static void unload(mlirage_library_t* library) { mlirage_platform_pages_free(library->memory, library->memory_size); }

static mlirage_status_t link_image(elf_image_t* image, size_t page_size,
                                   mlirage_executable_library_query_t* out_query) {
  elf_tables_t tables;
  memset(&tables, 0, sizeof(tables));
  copy_segments(image);
  MLIRAGE_TRY(read_dynamic(image, &tables));
  MLIRAGE_TRY(count_symbols(image, &tables));
  MLIRAGE_TRY(relocate_all(image, &tables));
  MLIRAGE_TRY(protect(image, page_size));
  return find_query(image, &tables, out_query);
}

static mlirage_status_t load(const mlirage_executable_loader_t* loader, mlirage_allocator_t allocator,
                             mlirage_bytes_t data, mlirage_library_t* out_library, mlirage_error_t* error) {
  (void)loader, (void)allocator;
  elf_segment_t segments[MAX_SEGMENTS];
  elf_image_t image = {.file = data, .error = error};
  const size_t page_size = mlirage_platform_page_size();
  MLIRAGE_TRY(parse_header(&image, segments));
  MLIRAGE_TRY(measure(&image, page_size));
  void* pages = NULL;
  const mlirage_status_t allocated = mlirage_platform_pages_allocate(image.size, &pages);
  if (allocated != MLIRAGE_OK) return mlirage_fail(error, allocated, "no memory for an executable");
  image.memory = pages;
  mlirage_executable_library_query_t query = NULL;
  mlirage_status_t status = link_image(&image, page_size, &query);
  const mlirage_executable_library_t* table = status == MLIRAGE_OK ? query(MLIRAGE_EXECUTABLE_VERSION) : NULL;
  if (status == MLIRAGE_OK) status = check_table(&image, table);
  if (status != MLIRAGE_OK) {
    mlirage_platform_pages_free(pages, image.size);
    return status;
  }
  *out_library = (mlirage_library_t){
      .table = table,
      .unload = unload,
      .memory = pages,
      .memory_size = image.size,
  };
  return MLIRAGE_OK;
}

static bool supports(const mlirage_executable_loader_t* loader, mlirage_string_t format) {
  (void)loader;
  return mlirage_format_matches(format, mlirage_string("embedded-elf"));
}

const mlirage_executable_loader_t mlirage_loader_embedded_elf = {supports, load};
