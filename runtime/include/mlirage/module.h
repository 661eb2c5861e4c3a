// The module file (docs/module-format.md): parsed and verified once, then trusted.
// A module is immutable, knows nothing of devices and may be shared by contexts on
// any threads. Nothing of the file is copied: names, code and read-only data are
// used where they lie.
#ifndef MLIRAGE_MODULE_H_
#define MLIRAGE_MODULE_H_

#include "mlirage/base.h"

MLIRAGE_API_BEGIN
#ifdef __cplusplus
extern "C" {
#endif

// The newest format that this runtime reads; all older ones are read too.
#define MLIRAGE_MODULE_VERSION 1u

// What the memory of a module must be aligned to: read-only data is used in place.
#define MLIRAGE_MODULE_ALIGNMENT 64u

typedef struct mlirage_module_t mlirage_module_t;

// The bytes of a module. They stay unchanged and alive until |release| is called
// (by the last reference to the module); |release| may be NULL.
typedef struct mlirage_module_storage_t {
  mlirage_bytes_t contents;
  void* self;
  void (*release)(void* self);
} mlirage_module_storage_t;

typedef enum mlirage_module_flags_t {
  MLIRAGE_MODULE_DEFAULT = 0,
  // Also compares the checksums of read-only data that is not code: reads the whole
  // file once (about 0.1 s a GB when it is in memory). Structure and executables are
  // always compared.
  MLIRAGE_MODULE_CHECK_DATA = 1,
} mlirage_module_flags_t;

// Parses and verifies |storage.contents|, which must be aligned to
// MLIRAGE_MODULE_ALIGNMENT. On success the module owns the storage; on failure the
// caller keeps it. Fails with INVALID_MODULE and says what is wrong where.
MLIRAGE_MUST_USE mlirage_status_t mlirage_module_create(mlirage_allocator_t allocator, mlirage_module_storage_t storage,
                                                        mlirage_module_flags_t flags, mlirage_module_t** out_module,
                                                        mlirage_error_t* error);
void mlirage_module_retain(mlirage_module_t* module);
void mlirage_module_release(mlirage_module_t* module);  // NULL is ignored

// The name under which other modules of a context import from this one.
const char* mlirage_module_name(const mlirage_module_t* module);
uint32_t mlirage_module_version(const mlirage_module_t* module);

//===--------------------------------------------------------------------------===
// Calling conventions
//===--------------------------------------------------------------------------===

// A calling convention is text: argument kinds, '_', result kinds. Kinds: i (i32),
// I (i64), f (f32), F (f64), r (reference); "[…]" encloses kinds that repeat a
// number of times fixed at each call (arguments of native functions only).
// "rI[iI]_r": a reference, an i64, any number of (i32, i64) pairs; gives a reference.
typedef struct mlirage_convention_t {
  uint16_t scalar_argument_count;  // outside of groups
  uint16_t ref_argument_count;     // outside of groups
  uint16_t scalar_result_count;
  uint16_t ref_result_count;
  uint16_t group_count;
} mlirage_convention_t;

// Counts the kinds of |text|. INVALID_ARGUMENT if it is not a calling convention.
MLIRAGE_MUST_USE mlirage_status_t mlirage_convention_parse(const char* text, mlirage_convention_t* out_convention);

//===--------------------------------------------------------------------------===
// What is in a module. Everything given is borrowed from the module.
//===--------------------------------------------------------------------------===

typedef struct mlirage_export_t {
  const char* name;
  const char* convention;
  const char* signature;  // JSON text of docs/architecture.md, "" if there is none
  uint32_t function;      // ordinal for mlirage_vm_function
} mlirage_export_t;

typedef struct mlirage_import_t {
  const char* name;  // "hal.device_get": module, '.', function
  const char* convention;
  uint32_t version;  // the least version of the module that has it
  bool optional;
} mlirage_import_t;

typedef struct mlirage_module_executable_t {
  const char* name;
  const char* format;  // "embedded-elf-x86_64:+avx2,+fma"
  uint32_t rodata;     // ordinal of its bytes
} mlirage_module_executable_t;

size_t mlirage_module_export_count(const mlirage_module_t* module);
size_t mlirage_module_import_count(const mlirage_module_t* module);
size_t mlirage_module_executable_count(const mlirage_module_t* module);
size_t mlirage_module_rodata_count(const mlirage_module_t* module);
// |index| is less than the count.
mlirage_export_t mlirage_module_export(const mlirage_module_t* module, size_t index);
mlirage_import_t mlirage_module_import(const mlirage_module_t* module, size_t index);
mlirage_module_executable_t mlirage_module_executable(const mlirage_module_t* module, size_t index);

//===--------------------------------------------------------------------------===
// Read-only data
//===--------------------------------------------------------------------------===

// A reference to bytes of host memory: !util.buffer. Plain bytes, or a splat:
// |pattern_length| bytes at |data| that stand for |length| bytes of repetitions.
// Lives as long as its |owner|: who keeps it or its memory retains the owner.
typedef struct mlirage_rodata_t {
  mlirage_object_t object;
  const char* name;  // for tools; may be ""
  const uint8_t* data;
  size_t length;            // of the meaning: of a splat, once expanded
  uint32_t pattern_length;  // 0: plain bytes
  mlirage_object_t* owner;  // the module
} mlirage_rodata_t;

extern const mlirage_object_type_t mlirage_rodata_type;

// Borrowed; |index| is less than the count.
mlirage_rodata_t* mlirage_module_rodata(const mlirage_module_t* module, size_t index);

// Writes bytes [offset, offset + length) of |rodata|, expanding a splat. The range
// must be inside of [0, rodata->length).
void mlirage_rodata_read(const mlirage_rodata_t* rodata, size_t offset, size_t length, void* out_bytes);

#ifdef __cplusplus
}
#endif
MLIRAGE_API_END
#endif  // MLIRAGE_MODULE_H_
