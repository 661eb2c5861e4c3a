// The module file as C sees it (docs/module-format.md; written by
// mlirage/module_file.py): structures that lie in the file, little-endian, and the
// parsed module that points at them.
#ifndef MLIRAGE_MODULE_FORMAT_H_
#define MLIRAGE_MODULE_FORMAT_H_

#include "mlirage/module.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "module files are used in place: the runtime needs a little-endian host"
#endif

#define MLIRAGE_MODULE_MAGIC "\x8fmlirage"

typedef struct mlirage_file_header_t {
  char magic[8];
  uint32_t version;
  uint32_t header_size;  // of this structure; later versions may append to it
  uint64_t file_size;
  uint64_t checksum;        // of bytes [32, structure_size)
  uint64_t structure_size;  // everything before the bytes of the read-only data
  uint32_t section_count;   // entries that follow the header
  uint32_t name;            // of the module
  uint32_t module_version;
  uint32_t reserved[3];
} mlirage_file_header_t;
_Static_assert(sizeof(mlirage_file_header_t) == 64, "layout of the file");

#define MLIRAGE_CHECKSUM_START 32u

enum {
  MLIRAGE_SECTION_STRINGS = 1,      // terminated UTF-8 texts; offset 0 is the empty one
  MLIRAGE_SECTION_IMPORTS = 2,      // mlirage_file_import_t
  MLIRAGE_SECTION_EXPORTS = 3,      // mlirage_file_export_t, sorted by name
  MLIRAGE_SECTION_FUNCTIONS = 4,    // mlirage_file_function_t
  MLIRAGE_SECTION_GLOBALS = 5,      // mlirage_file_global_t
  MLIRAGE_SECTION_RODATA = 6,       // mlirage_file_rodata_t
  MLIRAGE_SECTION_EXECUTABLES = 7,  // mlirage_file_executable_t
  MLIRAGE_SECTION_CODE = 8,         // 16-bit units
  MLIRAGE_SECTION_DEBUG = 9,        // mlirage_file_location_t, by function and pc
  MLIRAGE_SECTION_DATA = 10,        // bytes of the read-only data, aligned to 64
  MLIRAGE_SECTION_KNOWN_COUNT = 11,
  MLIRAGE_SECTION_OPTIONAL = 1 << 15,  // set in kinds that a reader may skip
};

typedef struct mlirage_file_section_t {
  uint32_t kind;
  uint32_t reserved;
  uint64_t offset;  // in the file; aligned to 8
  uint64_t size;
} mlirage_file_section_t;
_Static_assert(sizeof(mlirage_file_section_t) == 24, "layout of the file");

typedef struct mlirage_file_import_t {
  uint32_t name;
  uint32_t convention;
  uint32_t version;
  uint32_t flags;
} mlirage_file_import_t;
_Static_assert(sizeof(mlirage_file_import_t) == 16, "layout of the file");
#define MLIRAGE_IMPORT_OPTIONAL 1u

typedef struct mlirage_file_export_t {
  uint32_t name;
  uint32_t function;
  uint32_t signature;
  uint32_t reserved;
} mlirage_file_export_t;
_Static_assert(sizeof(mlirage_file_export_t) == 16, "layout of the file");

typedef struct mlirage_file_function_t {
  uint32_t name;
  uint32_t convention;
  uint32_t code_offset;  // units
  uint32_t code_size;    // units
  uint16_t scalar_registers;
  uint16_t ref_registers;
  uint32_t reserved;
} mlirage_file_function_t;
_Static_assert(sizeof(mlirage_file_function_t) == 24, "layout of the file");

typedef struct mlirage_file_global_t {
  uint32_t name;
  uint32_t kind;  // 'i' 'I' 'f' 'F' 'r'
  uint64_t initial_value;
} mlirage_file_global_t;
_Static_assert(sizeof(mlirage_file_global_t) == 16, "layout of the file");

typedef struct mlirage_file_rodata_t {
  uint32_t name;
  uint32_t pattern_length;  // 0: |size| bytes are stored; else that many, repeated
  uint64_t offset;          // in the data section; aligned to 64
  uint64_t size;
  uint64_t checksum;  // of the stored bytes
} mlirage_file_rodata_t;
_Static_assert(sizeof(mlirage_file_rodata_t) == 32, "layout of the file");

typedef struct mlirage_file_executable_t {
  uint32_t name;
  uint32_t format;
  uint32_t rodata;
  uint32_t reserved;
} mlirage_file_executable_t;
_Static_assert(sizeof(mlirage_file_executable_t) == 16, "layout of the file");

// From |pc| of |function| on, code was made for |location|.
typedef struct mlirage_file_location_t {
  uint32_t function;
  uint32_t pc;
  uint32_t location;
  uint32_t reserved;
} mlirage_file_location_t;
_Static_assert(sizeof(mlirage_file_location_t) == 16, "layout of the file");

// What the calling convention of a function or an import comes to.
typedef struct mlirage_import_shape_t {
  mlirage_convention_t counts;
  uint32_t first_group;  // in mlirage_module_t.groups
} mlirage_import_shape_t;

// Kinds of one repetition of a group.
typedef struct mlirage_group_t {
  uint16_t scalars;
  uint16_t refs;
} mlirage_group_t;

#define MLIRAGE_MODULE_FIELDS_(member, type) \
  const type* member;                        \
  uint32_t member##_count

struct mlirage_module_t {
  mlirage_object_t object;
  mlirage_allocator_t allocator;
  size_t block_size;  // of the one block that this is the start of
  mlirage_module_storage_t storage;
  const mlirage_file_header_t* header;
  const char* strings;
  uint32_t strings_size;
  MLIRAGE_MODULE_FIELDS_(imports, mlirage_file_import_t);
  MLIRAGE_MODULE_FIELDS_(exports, mlirage_file_export_t);
  MLIRAGE_MODULE_FIELDS_(functions, mlirage_file_function_t);
  MLIRAGE_MODULE_FIELDS_(globals, mlirage_file_global_t);
  MLIRAGE_MODULE_FIELDS_(file_rodata, mlirage_file_rodata_t);
  MLIRAGE_MODULE_FIELDS_(executables, mlirage_file_executable_t);
  MLIRAGE_MODULE_FIELDS_(code, uint16_t);
  MLIRAGE_MODULE_FIELDS_(locations, mlirage_file_location_t);
  mlirage_bytes_t data;
  // Made at load, behind this structure in the same block.
  mlirage_rodata_t* rodata;               // one per file_rodata
  mlirage_convention_t* function_shapes;  // one per function
  mlirage_import_shape_t* import_shapes;  // one per import
  mlirage_group_t* groups;                // of all imports
  uint32_t largest_frame_scalars;
  uint32_t largest_frame_refs;
};
#undef MLIRAGE_MODULE_FIELDS_

// The text at |offset|, which has been verified.
static inline const char* mlirage_module_text(const mlirage_module_t* module, uint32_t offset) {
  return module->strings + offset;
}
// Does a text start at |offset|?
static inline bool mlirage_module_has_text(const mlirage_module_t* module, uint32_t offset) {
  return offset < module->strings_size && (offset == 0 || module->strings[offset - 1] == '\0');
}

// Reads |text| and, where |groups| is not NULL, the kinds of its groups (as many as
// a first call with NULL counted).
mlirage_status_t mlirage_convention_read(const char* text, mlirage_convention_t* out_convention,
                                         mlirage_group_t* groups);

// Sum of the 64-bit words of |bytes| (zeros appended) weighted with 1, 3, 5, …
uint64_t mlirage_checksum(mlirage_bytes_t bytes);

// Where the code at unit |pc| of |function| comes from, "" if that is not known.
const char* mlirage_module_location(const mlirage_module_t* module, uint32_t function, uint32_t pc);

#endif  // MLIRAGE_MODULE_FORMAT_H_
