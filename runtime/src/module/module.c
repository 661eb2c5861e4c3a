// Reads a module file: everything is checked here, once, and trusted afterwards.
#include "module/module_verifier.h"

#include "base/memory.h"
#include "module/format.h"

#define FAIL(...) return mlirage_fail(error, MLIRAGE_INVALID_MODULE, "module file: " __VA_ARGS__)

static void destroy_module(void* object) {
  mlirage_module_t* module = object;
  const mlirage_module_storage_t storage = module->storage;
  mlirage_free(module->allocator, module, module->block_size);
  if (storage.release != NULL) storage.release(storage.self);
}

static const mlirage_object_type_t module_type = {"module", destroy_module};

//===--------------------------------------------------------------------------===
// Header and sections
//===--------------------------------------------------------------------------===

static mlirage_status_t read_header(mlirage_module_t* module, mlirage_error_t* error) {
  const mlirage_bytes_t contents = module->storage.contents;
  if (contents.size < sizeof(mlirage_file_header_t)) FAIL("%zu bytes are too few for a module", contents.size);
  if ((uintptr_t)contents.data % MLIRAGE_MODULE_ALIGNMENT != 0) {
    return mlirage_fail(error, MLIRAGE_INVALID_ARGUMENT, "the memory of a module must be aligned to %u bytes",
                        MLIRAGE_MODULE_ALIGNMENT);
  }
  const mlirage_file_header_t* header = (const void*)contents.data;
  if (memcmp(header->magic, MLIRAGE_MODULE_MAGIC, sizeof(header->magic)) != 0) {
    FAIL("not a mlirage module: wrong magic bytes");
  }
  if (header->version == 0 || header->version > MLIRAGE_MODULE_VERSION) {
    FAIL("format version %u; this runtime reads 1 to %u: use a newer runtime or an older compiler", header->version,
         MLIRAGE_MODULE_VERSION);
  }
  if (header->file_size > contents.size) {
    FAIL("%llu bytes long, but only %zu are here: truncated", (unsigned long long)header->file_size, contents.size);
  }
  if (header->header_size < sizeof(*header) || header->header_size % 8 != 0 ||
      header->structure_size > header->file_size || header->header_size > header->structure_size) {
    FAIL("sizes in the header contradict each other");
  }
  const mlirage_bytes_t structure = {contents.data + MLIRAGE_CHECKSUM_START,
                                     (size_t)header->structure_size - MLIRAGE_CHECKSUM_START};
  if (mlirage_checksum(structure) != header->checksum) FAIL("corrupt: the checksum of the structure differs");
  module->header = header;
  return MLIRAGE_OK;
}

// Where the elements of a kind of section go, and how large one is.
typedef struct section_target_t {
  const char* name;
  const void** elements;
  uint32_t* count;
  size_t element_size;
} section_target_t;

static mlirage_status_t read_section(mlirage_module_t* module, const mlirage_file_section_t* section,
                                     section_target_t target, mlirage_error_t* error) {
  const bool is_data = section->kind == MLIRAGE_SECTION_DATA;
  const uint64_t begin = is_data ? module->header->structure_size : module->header->header_size;
  const uint64_t end = is_data ? module->header->file_size : module->header->structure_size;
  if (section->offset < begin || !mlirage_range_fits_u64(section->offset, section->size, end)) {
    FAIL("section %s lies outside of its part of the file", target.name);
  }
  if (section->offset % (is_data ? MLIRAGE_MODULE_ALIGNMENT : 8u) != 0) {
    FAIL("section %s is not aligned", target.name);
  }
  if (section->size % target.element_size != 0 || section->size / target.element_size > UINT32_MAX) {
    if (!is_data) FAIL("section %s has a wrong size", target.name);
  }
  *target.elements = module->storage.contents.data + (size_t)section->offset;
  if (!is_data) *target.count = (uint32_t)(section->size / target.element_size);
  return MLIRAGE_OK;
}

static mlirage_status_t read_sections(mlirage_module_t* module, mlirage_error_t* error) {
  const mlirage_file_header_t* header = module->header;
  const mlirage_file_section_t* sections = (const void*)(module->storage.contents.data + header->header_size);
  if (header->section_count > (header->structure_size - header->header_size) / sizeof(*sections)) {
    FAIL("the section table does not fit");
  }
  const void* strings = NULL;
  const void* data = NULL;
#define MEMBER(member) (const void**)(void*)&module->member, &module->member##_count, sizeof(*module->member)
  const section_target_t targets[MLIRAGE_SECTION_KNOWN_COUNT] = {
      [MLIRAGE_SECTION_STRINGS] = {"strings", &strings, &module->strings_size, 1},
      [MLIRAGE_SECTION_IMPORTS] = {"imports", MEMBER(imports)},
      [MLIRAGE_SECTION_EXPORTS] = {"exports", MEMBER(exports)},
      [MLIRAGE_SECTION_FUNCTIONS] = {"functions", MEMBER(functions)},
      [MLIRAGE_SECTION_GLOBALS] = {"globals", MEMBER(globals)},
      [MLIRAGE_SECTION_RODATA] = {"rodata", MEMBER(file_rodata)},
      [MLIRAGE_SECTION_EXECUTABLES] = {"executables", MEMBER(executables)},
      [MLIRAGE_SECTION_CODE] = {"code", MEMBER(code)},
      [MLIRAGE_SECTION_DEBUG] = {"debug", MEMBER(locations)},
      [MLIRAGE_SECTION_DATA] = {"data", &data, NULL, 1},
  };
#undef MEMBER
  uint32_t seen = 0;
  for (uint32_t i = 0; i < header->section_count; ++i) {
    const uint32_t kind = sections[i].kind;
    if (kind == 0 || kind >= MLIRAGE_SECTION_KNOWN_COUNT) {
      if ((kind & MLIRAGE_SECTION_OPTIONAL) != 0) continue;
      FAIL("unknown section kind %u: use a newer runtime", kind);
    }
    if ((seen & (1u << kind)) != 0) FAIL("two sections %s", targets[kind].name);
    seen |= 1u << kind;
    MLIRAGE_TRY(read_section(module, &sections[i], targets[kind], error));
    if (kind == MLIRAGE_SECTION_DATA) module->data = (mlirage_bytes_t){data, (size_t)sections[i].size};
  }
  module->strings = strings;
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// Strings
//===--------------------------------------------------------------------------===

// Length of the UTF-8 sequence that starts with |lead|, 0 if none does.
static unsigned sequence_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

static bool is_utf8(const uint8_t* text, size_t size) {
  for (size_t i = 0; i < size;) {
    const unsigned length = sequence_length(text[i]);
    if (length == 0 || length > size - i) return false;
    uint32_t point = length == 1 ? text[i] : text[i] & (0x7Fu >> length);
    for (unsigned k = 1; k < length; ++k) {
      if ((text[i + k] & 0xC0u) != 0x80u) return false;
      point = point << 6 | (text[i + k] & 0x3Fu);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
    i += length;
  }
  return true;
}

static mlirage_status_t verify_strings(const mlirage_module_t* module, mlirage_error_t* error) {
  if (module->strings_size == 0 || module->strings[0] != '\0' || module->strings[module->strings_size - 1] != '\0') {
    FAIL("the strings do not start and end with a terminator");
  }
  if (!is_utf8((const uint8_t*)module->strings, module->strings_size)) FAIL("the strings are not UTF-8");
  if (!mlirage_module_has_text(module, module->header->name)) FAIL("the module's name is no text");
  return MLIRAGE_OK;
}

//===--------------------------------------------------------------------------===
// The one block of memory that a module takes
//===--------------------------------------------------------------------------===

// Reserves |count| elements of |size| at the end of |*block_size|.
static bool reserve(size_t* block_size, size_t count, size_t size, size_t* out_offset) {
  size_t bytes = 0;
  return mlirage_checked_align(*block_size, 8, out_offset) && mlirage_checked_mul(count, size, &bytes) &&
         mlirage_checked_add(*out_offset, bytes, block_size);
}

// Reads every calling convention once for its groups. Their texts are shared, so the
// work is bounded by the size of the file and not only by their number.
static mlirage_status_t count_groups(const mlirage_module_t* module, size_t* out_groups, mlirage_error_t* error) {
  uint64_t budget = 65536u + 16u * module->header->structure_size;
  *out_groups = 0;
  const uint32_t total = module->imports_count + module->functions_count;
  for (uint32_t i = 0; i < total; ++i) {
    const bool is_import = i < module->imports_count;
    const uint32_t text =
        is_import ? module->imports[i].convention : module->functions[i - module->imports_count].convention;
    if (!mlirage_module_has_text(module, text)) FAIL("a calling convention is no text");
    const uint64_t size = mlirage_string(mlirage_module_text(module, text)).size;
    if (size > budget) FAIL("calling conventions are too long");
    budget -= size;
    mlirage_convention_t counts;
    if (mlirage_convention_read(mlirage_module_text(module, text), &counts, NULL) != MLIRAGE_OK ||
        (!is_import && counts.group_count != 0)) {
      FAIL("malformed calling convention '%s'", mlirage_module_text(module, text));
    }
    *out_groups += counts.group_count;
  }
  return MLIRAGE_OK;
}

// Moves the header parsed so far into a block that has room for what is made at load.
static mlirage_status_t allocate_module(const mlirage_module_t* parsed, mlirage_module_t** out_module,
                                        mlirage_error_t* error) {
  size_t group_count = 0;
  MLIRAGE_TRY(count_groups(parsed, &group_count, error));
  size_t block_size = sizeof(*parsed);
  size_t rodata = 0, functions = 0, imports = 0, groups = 0;
  if (!reserve(&block_size, parsed->file_rodata_count, sizeof(*parsed->rodata), &rodata) ||
      !reserve(&block_size, parsed->functions_count, sizeof(*parsed->function_shapes), &functions) ||
      !reserve(&block_size, parsed->imports_count, sizeof(*parsed->import_shapes), &imports) ||
      !reserve(&block_size, group_count, sizeof(*parsed->groups), &groups)) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "module file: too large");
  }
  void* block = NULL;
  if (mlirage_allocate(parsed->allocator, block_size, &block) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "module file: no memory for its tables");
  }
  mlirage_module_t* module = block;
  *module = *parsed;
  module->block_size = block_size;
  uint8_t* base = block;
  module->rodata = (void*)(base + rodata);
  module->function_shapes = (void*)(base + functions);
  module->import_shapes = (void*)(base + imports);
  module->groups = (void*)(base + groups);
  *out_module = module;
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_module_create(mlirage_allocator_t allocator, mlirage_module_storage_t storage,
                                       mlirage_module_flags_t flags, mlirage_module_t** out_module,
                                       mlirage_error_t* error) {
  *out_module = NULL;
  mlirage_module_t parsed = {.allocator = allocator, .storage = storage};
  MLIRAGE_TRY(read_header(&parsed, error));
  MLIRAGE_TRY(read_sections(&parsed, error));
  MLIRAGE_TRY(verify_strings(&parsed, error));
  mlirage_module_t* module = NULL;
  MLIRAGE_TRY(allocate_module(&parsed, &module, error));
  mlirage_object_initialize(&module->object, &module_type);
  const mlirage_status_t status = mlirage_module_verify(module, flags, error);
  if (status != MLIRAGE_OK) {
    mlirage_free(allocator, module, module->block_size);
    return status;
  }
  *out_module = module;
  return MLIRAGE_OK;
}

void mlirage_module_retain(mlirage_module_t* module) { mlirage_object_retain(module); }
void mlirage_module_release(mlirage_module_t* module) { mlirage_object_release(module); }

//===--------------------------------------------------------------------------===
// What is in a module
//===--------------------------------------------------------------------------===

const char* mlirage_module_name(const mlirage_module_t* module) {
  return mlirage_module_text(module, module->header->name);
}
uint32_t mlirage_module_version(const mlirage_module_t* module) { return module->header->module_version; }
size_t mlirage_module_export_count(const mlirage_module_t* module) { return module->exports_count; }
size_t mlirage_module_import_count(const mlirage_module_t* module) { return module->imports_count; }
size_t mlirage_module_executable_count(const mlirage_module_t* module) { return module->executables_count; }
size_t mlirage_module_rodata_count(const mlirage_module_t* module) { return module->file_rodata_count; }

mlirage_export_t mlirage_module_export(const mlirage_module_t* module, size_t index) {
  const mlirage_file_export_t* entry = &module->exports[index];
  return (mlirage_export_t){
      .name = mlirage_module_text(module, entry->name),
      .convention = mlirage_module_text(module, module->functions[entry->function].convention),
      .signature = mlirage_module_text(module, entry->signature),
      .function = entry->function,
  };
}

mlirage_import_t mlirage_module_import(const mlirage_module_t* module, size_t index) {
  const mlirage_file_import_t* entry = &module->imports[index];
  return (mlirage_import_t){
      .name = mlirage_module_text(module, entry->name),
      .convention = mlirage_module_text(module, entry->convention),
      .version = entry->version,
      .optional = (entry->flags & MLIRAGE_IMPORT_OPTIONAL) != 0,
  };
}

mlirage_module_executable_t mlirage_module_executable(const mlirage_module_t* module, size_t index) {
  const mlirage_file_executable_t* entry = &module->executables[index];
  return (mlirage_module_executable_t){
      .name = mlirage_module_text(module, entry->name),
      .format = mlirage_module_text(module, entry->format),
      .rodata = entry->rodata,
  };
}

mlirage_rodata_t* mlirage_module_rodata(const mlirage_module_t* module, size_t index) { return &module->rodata[index]; }

const char* mlirage_module_location(const mlirage_module_t* module, uint32_t function, uint32_t pc) {
  // The last entry of |function| that starts at |pc| or before.
  uint32_t low = 0, high = module->locations_count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const mlirage_file_location_t* entry = &module->locations[middle];
    if (entry->function < function || (entry->function == function && entry->pc <= pc)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0 || module->locations[low - 1].function != function) return "";
  return mlirage_module_text(module, module->locations[low - 1].location);
}
