// The opcodes of vm_opcodes.def as C sees them.
#ifndef MLIRAGE_VM_OPCODES_H_
#define MLIRAGE_VM_OPCODES_H_

#include "mlirage/base.h"

typedef enum mlirage_vm_opcode_t {
#define MLIRAGE_VM_OPCODE(number, name, operands, meaning) MLIRAGE_VM_##name = (number),
#include "vm/vm_opcodes.def"
} mlirage_vm_opcode_t;

// One more than the greatest number of an opcode.
#define MLIRAGE_VM_OPCODE_LIMIT 256

// Immediates lie on 16-bit boundaries.
static inline uint32_t mlirage_vm_read_u32(const uint16_t* units) {
  return (uint32_t)units[0] | (uint32_t)units[1] << 16;
}
static inline uint64_t mlirage_vm_read_u64(const uint16_t* units) {
  return (uint64_t)mlirage_vm_read_u32(units) | (uint64_t)mlirage_vm_read_u32(units + 2) << 32;
}

#endif  // MLIRAGE_VM_OPCODES_H_
