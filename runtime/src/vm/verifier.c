#include "vm/verifier.h"

#include "base/memory.h"
#include "module/format.h"
#include "vm/opcodes.h"

// The operand letters of each opcode (vm_opcodes.def); NULL: no opcode.
static const char* const opcode_operands[MLIRAGE_VM_OPCODE_LIMIT] = {
#define MLIRAGE_VM_OPCODE(number, name, operands, meaning) [number] = (operands),
#include "vm/vm_opcodes.def"
};

// A function being verified.
typedef struct verifier_t {
  const mlirage_module_t* module;
  const mlirage_file_function_t* function;
  mlirage_convention_t shape;
  const uint16_t* code;
  uint32_t size;
  uint32_t pc;      // of the next unit to read
  uint8_t* starts;  // bit i: an instruction starts at unit i
  mlirage_error_t* error;
} verifier_t;

static mlirage_status_t fail(const verifier_t* v, const char* what) {
  return mlirage_fail(v->error, MLIRAGE_INVALID_MODULE, "module file: function '%s', unit %u: %s",
                      mlirage_module_text(v->module, v->function->name), v->pc, what);
}

// Takes |count| units; NULL if they are not there.
static const uint16_t* take(verifier_t* v, uint32_t count) {
  if (count > v->size - v->pc) return NULL;
  const uint16_t* units = v->code + v->pc;
  v->pc += count;
  return units;
}

static mlirage_status_t verify_registers(verifier_t* v, uint32_t count, uint32_t limit) {
  const uint16_t* registers = take(v, count);
  if (registers == NULL) return fail(v, "registers missing");
  for (uint32_t i = 0; i < count; ++i) {
    if (registers[i] >= limit) return fail(v, "register out of range");
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_scalars(verifier_t* v, uint32_t count) {
  return verify_registers(v, count, v->function->scalar_registers);
}
static mlirage_status_t verify_refs(verifier_t* v, uint32_t count) {
  return verify_registers(v, count, v->function->ref_registers);
}

static mlirage_status_t verify_ordinal(verifier_t* v, uint32_t limit, uint16_t* out_ordinal) {
  const uint16_t* unit = take(v, 1);
  if (unit == NULL || *unit >= limit) return fail(v, "ordinal out of range");
  *out_ordinal = *unit;
  return MLIRAGE_OK;
}

static mlirage_status_t verify_global(verifier_t* v, bool is_ref) {
  uint16_t ordinal = 0;
  MLIRAGE_TRY(verify_ordinal(v, v->module->globals_count, &ordinal));
  if ((v->module->globals[ordinal].kind == 'r') != is_ref) return fail(v, "global of another kind");
  return MLIRAGE_OK;
}

// Targets may lie ahead: whether an instruction starts there is looked at last.
static mlirage_status_t verify_targets(verifier_t* v, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const uint16_t* units = take(v, 2);
    if (units == NULL || mlirage_vm_read_u32(units) >= v->size) return fail(v, "branch target out of range");
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_call(verifier_t* v, const mlirage_convention_t* shape) {
  MLIRAGE_TRY(verify_scalars(v, shape->scalar_argument_count));
  MLIRAGE_TRY(verify_refs(v, shape->ref_argument_count));
  MLIRAGE_TRY(verify_scalars(v, shape->scalar_result_count));
  return verify_refs(v, shape->ref_result_count);
}

static mlirage_status_t verify_import_call(verifier_t* v, const mlirage_import_shape_t* shape) {
  const uint16_t* counts = take(v, 2u + shape->counts.group_count);
  if (counts == NULL) return fail(v, "call cut short");
  const mlirage_group_t* groups = v->module->groups + shape->first_group;
  uint64_t scalars = shape->counts.scalar_argument_count;
  uint64_t refs = shape->counts.ref_argument_count;
  for (uint32_t i = 0; i < shape->counts.group_count; ++i) {
    scalars += (uint64_t)counts[2 + i] * groups[i].scalars;
    refs += (uint64_t)counts[2 + i] * groups[i].refs;
  }
  if (counts[0] != scalars || counts[1] != refs) return fail(v, "arguments do not fit the calling convention");
  MLIRAGE_TRY(verify_scalars(v, counts[0]));
  MLIRAGE_TRY(verify_refs(v, counts[1]));
  MLIRAGE_TRY(verify_scalars(v, shape->counts.scalar_result_count));
  return verify_refs(v, shape->counts.ref_result_count);
}

// The callee or import of a call is the unit before its registers.
static mlirage_status_t verify_call_operands(verifier_t* v, char callee_letter) {
  const uint16_t ordinal = v->code[v->pc - 1];
  return callee_letter == 'c' ? verify_call(v, &v->module->function_shapes[ordinal])
                              : verify_import_call(v, &v->module->import_shapes[ordinal]);
}

static mlirage_status_t verify_text(verifier_t* v) {
  const uint16_t* units = take(v, 2);
  if (units == NULL || !mlirage_module_has_text(v->module, mlirage_vm_read_u32(units))) return fail(v, "no text");
  return MLIRAGE_OK;
}

static mlirage_status_t verify_return(verifier_t* v) {
  MLIRAGE_TRY(verify_scalars(v, v->shape.scalar_result_count));
  return verify_refs(v, v->shape.ref_result_count);
}

static mlirage_status_t verify_operand(verifier_t* v, const char* operands, size_t index) {
  const uint16_t* count = NULL;
  uint16_t ordinal = 0;
  switch (operands[index]) {
    case 'i':
    case 'I':
    case 'f':
    case 'F':
    case 'x': return verify_scalars(v, 1);
    case 'r': return verify_refs(v, 1);
    case 'w': return take(v, 2) == NULL ? fail(v, "immediate missing") : MLIRAGE_OK;
    case 'l': return take(v, 4) == NULL ? fail(v, "immediate missing") : MLIRAGE_OK;
    case 't': return verify_text(v);
    case 'g': return verify_global(v, false);
    case 'G': return verify_global(v, true);
    case 'o': return verify_ordinal(v, v->module->file_rodata_count, &ordinal);
    case 'c': return verify_ordinal(v, v->module->functions_count, &ordinal);
    case 'm': return verify_ordinal(v, v->module->imports_count, &ordinal);
    case 'b': return verify_targets(v, 1);
    case 'B':
      count = take(v, 1);
      if (count == NULL || *count == 0) return fail(v, "no targets");
      return verify_targets(v, *count);
    case 'D':
      count = take(v, 1);
      if (count == NULL) return fail(v, "registers missing");
      return verify_refs(v, *count);
    case 'A': return verify_call_operands(v, operands[index - 1]);
    case 'R': return verify_return(v);
    default: return MLIRAGE_OK;  // '_' and '.'
  }
}

// Verifies the instruction at |v->pc| and steps over it.
static mlirage_status_t verify_instruction(verifier_t* v, bool* out_goes_on) {
  v->starts[v->pc / 8] |= (uint8_t)(1u << v->pc % 8);
  const uint16_t opcode = *take(v, 1);
  const char* operands = opcode < MLIRAGE_VM_OPCODE_LIMIT ? opcode_operands[opcode] : NULL;
  if (operands == NULL) return fail(v, "unknown opcode: use a newer runtime");
  *out_goes_on = true;
  for (size_t i = 0; operands[i] != '\0'; ++i) {
    MLIRAGE_TRY(verify_operand(v, operands, i));
    if (operands[i] == '.') *out_goes_on = false;
  }
  return MLIRAGE_OK;
}

static bool starts_at(const verifier_t* v, uint32_t pc) { return ((unsigned)v->starts[pc / 8] & 1u << pc % 8) != 0; }

// Does an instruction start at each branch target? Only branches have targets, and
// these are the last operands of theirs.
static mlirage_status_t verify_target_starts(verifier_t* v, uint32_t begin, uint32_t end) {
  uint32_t first = end;
  switch (v->code[begin]) {
    case MLIRAGE_VM_BRANCH: first = begin + 1; break;
    case MLIRAGE_VM_BRANCH_IF: first = begin + 2; break;
    case MLIRAGE_VM_SWITCH: first = begin + 3; break;
    default: break;
  }
  for (uint32_t at = first; at < end; at += 2) {
    if (!starts_at(v, mlirage_vm_read_u32(v->code + at))) return fail(v, "branch into the middle of an instruction");
  }
  return MLIRAGE_OK;
}

static mlirage_status_t verify_function(verifier_t* v) {
  bool goes_on = true;
  if (v->size == 0) return fail(v, "no code");
  while (v->pc < v->size) MLIRAGE_TRY(verify_instruction(v, &goes_on));
  if (goes_on) return fail(v, "control runs off the end");
  for (uint32_t begin = 0; begin < v->size;) {
    uint32_t end = begin + 1;
    while (end < v->size && !starts_at(v, end)) ++end;
    v->pc = begin;
    MLIRAGE_TRY(verify_target_starts(v, begin, end));
    begin = end;
  }
  return MLIRAGE_OK;
}

// The code of functions must not overlap, or their number and not the size of the
// file would bound the work.
static mlirage_status_t verify_functions(const mlirage_module_t* module, uint8_t* starts, mlirage_error_t* error) {
  uint64_t end = 0;
  for (uint32_t i = 0; i < module->functions_count; ++i) {
    const mlirage_file_function_t* function = &module->functions[i];
    verifier_t verifier = {
        .module = module,
        .function = function,
        .shape = module->function_shapes[i],
        .code = module->code + function->code_offset,
        .size = function->code_size,
        .starts = starts,
        .error = error,
    };
    if (function->code_offset < end) return fail(&verifier, "code overlaps that of the function before");
    end = (uint64_t)function->code_offset + function->code_size;
    memset(starts, 0, (size_t)function->code_size / 8 + 1);
    MLIRAGE_TRY(verify_function(&verifier));
  }
  return MLIRAGE_OK;
}

mlirage_status_t mlirage_vm_verify_code(const mlirage_module_t* module, mlirage_error_t* error) {
  uint32_t largest = 0;
  for (uint32_t i = 0; i < module->functions_count; ++i) {
    if (module->functions[i].code_size > largest) largest = module->functions[i].code_size;
  }
  const size_t starts_size = (size_t)largest / 8 + 1;
  void* starts = NULL;
  if (mlirage_allocate(module->allocator, starts_size, &starts) != MLIRAGE_OK) {
    return mlirage_fail(error, MLIRAGE_OUT_OF_MEMORY, "module file: no memory to verify its code");
  }
  const mlirage_status_t status = verify_functions(module, starts, error);
  mlirage_free(module->allocator, starts, starts_size);
  return status;
}
