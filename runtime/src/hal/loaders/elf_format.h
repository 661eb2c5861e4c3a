// The parts of ELF that the embedded loader reads, in the host's pointer size.
#ifndef MLIRAGE_HAL_LOADERS_ELF_FORMAT_H_
#define MLIRAGE_HAL_LOADERS_ELF_FORMAT_H_

#include <stdint.h>

enum {
  ELF_CLASS_32 = 1,
  ELF_CLASS_64 = 2,
  ELF_DATA_LITTLE = 1,
  ELF_TYPE_SHARED = 3,
  ELF_MACHINE_ARM = 40,
  ELF_MACHINE_X86_64 = 62,
  ELF_MACHINE_AARCH64 = 183,
  ELF_MACHINE_RISCV = 243,
  ELF_SEGMENT_LOAD = 1,
  ELF_SEGMENT_DYNAMIC = 2,
  ELF_SEGMENT_INTERPRETER = 3,
  ELF_SEGMENT_TLS = 7,
  ELF_FLAG_EXECUTE = 1,
  ELF_FLAG_WRITE = 2,
};

enum {
  ELF_DYNAMIC_END = 0,
  ELF_DYNAMIC_NEEDED = 1,
  ELF_DYNAMIC_PLT_RELOCATIONS_SIZE = 2,
  ELF_DYNAMIC_HASH = 4,
  ELF_DYNAMIC_STRINGS = 5,
  ELF_DYNAMIC_SYMBOLS = 6,
  ELF_DYNAMIC_RELA = 7,
  ELF_DYNAMIC_RELA_SIZE = 8,
  ELF_DYNAMIC_STRINGS_SIZE = 10,
  ELF_DYNAMIC_INIT = 12,
  ELF_DYNAMIC_FINI = 13,
  ELF_DYNAMIC_REL = 17,
  ELF_DYNAMIC_REL_SIZE = 18,
  ELF_DYNAMIC_TEXT_RELOCATIONS = 22,
  ELF_DYNAMIC_PLT_RELOCATIONS = 23,
  ELF_DYNAMIC_INIT_ARRAY = 25,
  ELF_DYNAMIC_FINI_ARRAY = 26,
  ELF_DYNAMIC_RELR_SIZE = 35,
  ELF_DYNAMIC_RELR = 36,
  ELF_DYNAMIC_GNU_HASH = 0x6ffffef5,
};

typedef struct elf_header_t {
  uint8_t magic[4];
  uint8_t elf_class;
  uint8_t data;
  uint8_t padding[10];
  uint16_t type;
  uint16_t machine;
  uint32_t version;
  uintptr_t entry;
  uintptr_t segment_offset;
  uintptr_t section_offset;
  uint32_t flags;
  uint16_t header_size;
  uint16_t segment_entry_size;
  uint16_t segment_count;
  uint16_t section_entry_size;
  uint16_t section_count;
  uint16_t section_names;
} elf_header_t;

#if UINTPTR_MAX > 0xffffffffu
#define ELF_CLASS ELF_CLASS_64
typedef struct elf_segment_t {
  uint32_t type;
  uint32_t flags;
  uint64_t file_offset;
  uint64_t address;
  uint64_t physical_address;
  uint64_t file_size;
  uint64_t memory_size;
  uint64_t alignment;
} elf_segment_t;
typedef struct elf_symbol_t {
  uint32_t name;
  uint8_t info;
  uint8_t other;
  uint16_t section;
  uint64_t value;
  uint64_t size;
} elf_symbol_t;
#define ELF_RELOCATION_SYMBOL(info) ((uint32_t)((info) >> 32))
#define ELF_RELOCATION_TYPE(info) ((uint32_t)((info) & 0xffffffffu))
#else
#define ELF_CLASS ELF_CLASS_32
typedef struct elf_segment_t {
  uint32_t type;
  uint32_t file_offset;
  uint32_t address;
  uint32_t physical_address;
  uint32_t file_size;
  uint32_t memory_size;
  uint32_t flags;
  uint32_t alignment;
} elf_segment_t;
typedef struct elf_symbol_t {
  uint32_t name;
  uint32_t value;
  uint32_t size;
  uint8_t info;
  uint8_t other;
  uint16_t section;
} elf_symbol_t;
#define ELF_RELOCATION_SYMBOL(info) ((uint32_t)(info) >> 8)
#define ELF_RELOCATION_TYPE(info) ((uint32_t)(info) & 0xffu)
#endif

typedef struct elf_dynamic_t {
  uintptr_t tag;
  uintptr_t value;
} elf_dynamic_t;

typedef struct elf_rela_t {
  uintptr_t offset;
  uintptr_t info;
  uintptr_t addend;
} elf_rela_t;

typedef struct elf_rel_t {
  uintptr_t offset;
  uintptr_t info;
} elf_rel_t;

// The machine of this build and its relocations: base + addend, and the address of a
// symbol (+ addend).
#if defined(__x86_64__)
enum { ELF_MACHINE = ELF_MACHINE_X86_64, ELF_RELATIVE = 8, ELF_ABSOLUTE = 1, ELF_GLOB_DAT = 6, ELF_JUMP_SLOT = 7 };
#elif defined(__aarch64__)
enum {
  ELF_MACHINE = ELF_MACHINE_AARCH64,
  ELF_RELATIVE = 1027,
  ELF_ABSOLUTE = 257,
  ELF_GLOB_DAT = 1025,
  ELF_JUMP_SLOT = 1026,
};
#elif defined(__arm__)
enum { ELF_MACHINE = ELF_MACHINE_ARM, ELF_RELATIVE = 23, ELF_ABSOLUTE = 2, ELF_GLOB_DAT = 21, ELF_JUMP_SLOT = 22 };
#elif defined(__riscv)
// RISC-V has no GLOB_DAT: the absolute relocation does its work.
enum {
  ELF_MACHINE = ELF_MACHINE_RISCV,
  ELF_RELATIVE = 3,
  ELF_ABSOLUTE = sizeof(void*) == 8 ? 2 : 1,
  ELF_GLOB_DAT = ELF_ABSOLUTE,
  ELF_JUMP_SLOT = 5,
};
#else
// A machine that no executable is made for: every file is refused by its header.
enum { ELF_MACHINE = 0xffff, ELF_RELATIVE = 1, ELF_ABSOLUTE = 2, ELF_GLOB_DAT = 2, ELF_JUMP_SLOT = 2 };
#endif

#endif  // MLIRAGE_HAL_LOADERS_ELF_FORMAT_H_
