// Tracing: a line for every instruction, before it runs.
//
//   main+12 add_i64 s1=5 s2=-3 -> s4    ; model.onnx:/add
//
// Reads values as the table of opcodes says what they are; a reference is the name of
// its type.
#include "vm/context.h"
#include "vm/opcodes.h"

typedef struct description_t {
  const char* name;
  const char* operands;
} description_t;

static const description_t descriptions[MLIRAGE_VM_OPCODE_LIMIT] = {
#define MLIRAGE_VM_OPCODE(number, name, operands, meaning) [number] = {#name, (operands)},
#include "vm/vm_opcodes.def"
};

#define LINE_SIZE 512

typedef struct line_t {
  char text[LINE_SIZE];
  size_t size;
} line_t;

static void append(line_t* line, const char* format, ...) MLIRAGE_FORMAT(2, 3);
static void append(line_t* line, const char* format, ...) {
  if (line->size >= LINE_SIZE) return;
  va_list arguments;
  va_start(arguments, format);
  line->size += mlirage_format_list(line->text + line->size, LINE_SIZE - line->size, format, arguments);
  va_end(arguments);
}

// The freestanding formatter has no floats: their bits say it exactly.
static void append_scalar(line_t* line, const mlirage_vm_frame_t* frame, uint16_t index, char kind) {
  const uint64_t value = frame->scalars[index];
  switch (kind) {
    case 'i': append(line, " s%u=%d", (unsigned)index, (int)(int32_t)(uint32_t)value); break;
    case 'I': append(line, " s%u=%lld", (unsigned)index, (long long)(int64_t)value); break;
    default: append(line, " s%u=0x%llx", (unsigned)index, (unsigned long long)value); break;
  }
}

static void append_ref(line_t* line, const mlirage_vm_frame_t* frame, uint16_t index) {
  const mlirage_object_t* object = frame->refs[index];
  append(line, " r%u=%s", (unsigned)index, object == NULL ? "null" : object->type->name);
}

// The registers of a call: "A" and "R" of the table, arguments with their values.
static void append_call(line_t* line, const mlirage_vm_frame_t* frame, const uint16_t* registers, uint32_t scalars,
                        uint32_t refs) {
  for (uint32_t i = 0; i < scalars; ++i) append_scalar(line, frame, *registers++, 'x');
  for (uint32_t i = 0; i < refs; ++i) append_ref(line, frame, *registers++);
}

static void append_operands(line_t* line, const mlirage_vm_frame_t* frame, const uint16_t* pc, const char* operands) {
  const mlirage_module_t* module = frame->instance->module;
  const mlirage_convention_t* own = &module->function_shapes[frame->ordinal];
  bool is_written = false;
  const uint16_t* unit = pc + 1;
  for (; *operands != '\0'; ++operands) {
    switch (*operands) {
      case '_':
        is_written = true;
        append(line, " ->");
        break;
      case '.': break;
      case 'i':
      case 'I':
      case 'f':
      case 'F':
      case 'x':
        if (is_written) {
          append(line, " s%u", (unsigned)*unit);
        } else {
          append_scalar(line, frame, *unit, *operands);
        }
        ++unit;
        break;
      case 'r':
        if (is_written) {
          append(line, " r%u", (unsigned)*unit);
        } else {
          append_ref(line, frame, *unit);
        }
        ++unit;
        break;
      case 'w':
        append(line, " %d", (int)(int32_t)mlirage_vm_read_u32(unit));
        unit += 2;
        break;
      case 'l':
        append(line, " %lld", (long long)mlirage_vm_read_u64(unit));
        unit += 4;
        break;
      case 't':
        append(line, " \"%s\"", mlirage_module_text(module, mlirage_vm_read_u32(unit)));
        unit += 2;
        break;
      case 'b':
        append(line, " L%u", (unsigned)mlirage_vm_read_u32(unit));
        unit += 2;
        break;
      case 'g':
      case 'G': append(line, " @%s", mlirage_module_text(module, module->globals[*unit++].name)); break;
      case 'o': append(line, " #%u", (unsigned)*unit++); break;
      case 'c': {
        const mlirage_convention_t* shape = &module->function_shapes[*unit];
        append(line, " %s", mlirage_module_text(module, module->functions[*unit].name));
        append_call(line, frame, unit + 1, shape->scalar_argument_count, shape->ref_argument_count);
        return;
      }
      case 'm': {
        append(line, " %s", mlirage_module_import(module, *unit).name);
        if (operands[1] != 'A') {
          ++unit;
          break;
        }
        const uint32_t groups = module->import_shapes[*unit].counts.group_count;
        append_call(line, frame, unit + 3 + groups, unit[1], unit[2]);
        return;
      }
      case 'R': append_call(line, frame, unit, own->scalar_result_count, own->ref_result_count); return;
      default: return;  // B and D: lists of targets and of registers to release
    }
  }
}

void mlirage_vm_trace(const mlirage_vm_invocation_t* invocation, const uint16_t* pc) {
  const mlirage_vm_frame_t* frame = invocation->frame;
  const mlirage_module_t* module = frame->instance->module;
  const uint32_t at = (uint32_t)(pc - (module->code + frame->function->code_offset));
  const description_t* what = &descriptions[*pc];
  line_t line = {.size = 0};
  append(&line, "%s+%u ", mlirage_module_text(module, frame->function->name), (unsigned)at);
  for (const char* c = what->name; *c != '\0'; ++c) append(&line, "%c", *c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
  append_operands(&line, frame, pc, what->operands);
  const char* location = mlirage_module_location(module, frame->ordinal, at);
  if (location[0] != '\0') append(&line, "  ; %s", location);
  invocation->context->trace(invocation->context->trace_self, line.text);
}
