"""Programs as C: one freestanding .c and .h for host program and kernels, without the runtime.

    program of the vm phase (execution model inline-static) ──> model.c, model.h

Kernels are functions of the program (target backend vmvx-inline), or native code to link with (llvm-cpu;
mlirage/static_library.py). The output needs a C11 compiler, <stddef.h> and <stdint.h>. Public names begin with the
program's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlirage.c_source import interface, microkernels
from mlirage.c_source.functions import FunctionPrinter, prototype, string
from mlirage.c_source.memory import memory_bound
from mlirage.c_source.prelude import prelude_for, rename
from mlirage.errors import CompileError, UsageError
from mlirage.mlir import func, ir
from mlirage.program import Program
from mlirage.vm.convert_to_vm import host_functions
from mlirage.vm.dialect import kind_of
from mlirage.vm.encode_function import bits_of

INITIALIZER = "mlirage.initializer"
_STATE_TYPES = {"i": "uint32_t", "I": "uint64_t", "f": "float", "F": "double", "r": "model_ref_t"}


@dataclass(frozen=True)
class CSource:
    """A program in C.

    Attributes:
      name: what public names begin with; the header is called `name`.h.
      uses_kernels: whether it must be linked with native kernels that `name`_kernels returns.
    """

    name: str
    header: str
    source: str
    uses_kernels: bool


def emit_c_source(program: Program, name: str) -> CSource:
    """Prints a program of the vm phase as C.

    Raises:
      UsageError: `name` is no name in C.
      CompileError: the program holds what has no form in C.
    """
    if name != interface.identifier(name) or name.isupper():
        raise UsageError(f"{name!r} cannot begin names in C; try {interface.identifier(name).lower()!r}")
    return _Emitter(program, name).emit()


@dataclass
class _Emitter:
    """Gives out C names (`Tables` of functions.py) and collects what they stand for."""

    program: Program
    name: str
    queue: list[func.FuncOp] = field(default_factory=list[func.FuncOp])
    function_names: dict[str, str] = field(default_factory=dict[str, str])
    global_names: dict[str, str] = field(default_factory=dict[str, str])
    data: dict[str, tuple[str, int, str]] = field(default_factory=dict[str, tuple[str, int, str]])
    microkernels: dict[str, str] = field(default_factory=dict[str, str])
    taken: set[str] = field(default_factory=set[str])
    uses_kernels: bool = False
    max_rank: int = 1

    def emit(self) -> CSource:
        self.functions = {f.name.value: f for f in host_functions(self.program.module)}
        self.globals = {
            ir.StringAttr(op.attributes["sym_name"]).value: op.operation
            for op in self.program.module.body.operations
            if op.operation.name == "util.global"
        }
        entries: list[interface.EntryPrinter] = []
        exported: set[str] = {"init", "release", "t", "array_t", "ref_t", "block_t", "kernels"}
        start = ""
        for name, function in self.functions.items():
            attributes = function.operation.attributes
            if INITIALIZER in attributes:
                start = self.function(name)
            elif "sym_visibility" not in attributes or ir.StringAttr(attributes["sym_visibility"]).value == "public":
                c_name = interface.identifier(name, exported, has_prefix=True)
                entries.append(interface.EntryPrinter(interface.entry_of(function, c_name, self.function(name))))
        bodies: list[str] = []
        declarations: list[str] = []
        done = 0
        while done < len(self.queue):
            function = self.queue[done]
            c_name = self.function_names[function.name.value]
            bodies.append(FunctionPrinter(function, c_name, self).text())
            declarations.append(f"{prototype(c_name, function.type)};")
            done += 1
        wrappers = [entry.definitions() for entry in entries]
        rest = "\n".join([*self.microkernels.values(), *bodies, *wrappers, self._init(start)])
        source = "\n".join(
            [
                f"// Made by the mlirage compiler: the program '{self.name}'. See {self.name}.h.",
                f'#include "{self.name}.h"\n',
                # Native kernels want their scratch memory aligned as the runtime does it.
                prelude_for(rest).replace("ALIGNMENT 16u", "ALIGNMENT 64u" if self.uses_kernels else "ALIGNMENT 16u"),
                *(text for _, _, text in self.data.values()),
                "\n".join(declarations) + "\n",
                rest,
            ]
        )
        return CSource(self.name, self._header(entries), rename(source, self.name), self.uses_kernels)

    def _header(self, entries: list[interface.EntryPrinter]) -> str:
        ranks = [self.max_rank]
        ranks += [len(v.shape or ()) for e in entries for v in (*e.entry.arguments, *e.entry.results)]
        bound = memory_bound(self.functions)
        fields = [
            f"  {_STATE_TYPES[kind_of(ir.TypeAttr(self.globals[name].attributes['type']).value)]} {c_name};\n"
            for name, c_name in self.global_names.items()
        ]
        memory = (
            "// Memory that is enough for every call, if results are written to the caller's.\n"
            f"#define MODEL_MEMORY ({bound})\n"
            if bound
            else "// How much memory the program needs depends on the shapes of its arguments.\n"
        )
        parts = {
            "TITLE": f"The program '{self.name}', compiled by mlirage.",
            "MEMORY_EXAMPLE": "MODEL_MEMORY" if bound else "1 << 20",
            "EXAMPLE": entries[0].entry.name if entries else "…",
            "MAX_RANK": str(max(ranks)),
            "MEMORY": memory,
            "GLOBALS": "".join(fields),
            "ENTRIES": "\n".join(e.declarations() for e in entries),
        }
        text = Path(__file__).with_name("header.h").read_text()
        for key, value in parts.items():
            text = text.replace("{" + key + "}", value)
        return rename(text, self.name)

    def _init(self, start: str) -> str:
        lines = [
            "int model_init(model_t* self, void* memory, size_t memory_size) {",
            "  // The arena is one free block to begin with.",
            "  const size_t skipped = (size_t)(0 - (uintptr_t)memory) % ALIGNMENT;",
            "  const size_t size = memory_size < skipped ? 0 : (memory_size - skipped) / ALIGNMENT * ALIGNMENT;",
            "  self->message = NULL;",
            "  self->memory = memory == NULL || size < HEADER_SIZE ? NULL : (uint8_t*)memory + skipped;",
            "  self->memory_size = self->memory == NULL ? 0 : size;",
            "  if (self->memory != NULL) {",
            "    model_block_t* block = (model_block_t*)self->memory;",
            "    block->size = size;",
            "    block->owner = NULL;",
            "    block->count = 0;",
            "  }",
        ]
        for name, c_name in self.global_names.items():
            op = self.globals[name]
            kind = kind_of(ir.TypeAttr(op.attributes["type"]).value)
            bits = 0
            if "initial_value" in op.attributes:
                bits = bits_of(op.attributes["initial_value"], 64 if kind in "IF" else 32)
            match kind:
                case "r":
                    lines.append(f"  self->{c_name} = null_reference;")
                case "f":
                    lines.append(f"  self->{c_name} = f32_of_bits({bits}u);")
                case "F":
                    lines.append(f"  self->{c_name} = f64_of_bits(UINT64_C({bits}));")
                case _:
                    lines.append(f"  self->{c_name} = {'UINT64_C' if kind == 'I' else 'UINT32_C'}({bits});")
        lines += [
            f"  return {f'{start}(self)' if start else 'MODEL_OK'};",
            "}\n",
            "void model_release(model_t* self, model_array_t* array) {",
            "  (void)self;",
            "  release_block(array->owner);",
            "  array->owner = NULL;",
            "  array->data = NULL;",
            "}\n",
        ]
        return "\n".join(lines)

    # Names.

    def function(self, name: str) -> str:
        if name not in self.function_names:
            function = self.functions.get(name)
            if function is None or not list(function.body.blocks):
                raise CompileError(f"function @{name} is called but has no body")
            self.function_names[name] = interface.identifier(f"f_{name}", self.taken)
            self.queue.append(function)
        return self.function_names[name]

    def global_(self, name: str) -> str:
        if name not in self.global_names:
            self.global_names[name] = interface.identifier(f"g_{name}", self.taken)
        return self.global_names[name]

    def rodata(self, name: str) -> tuple[str, int]:
        if name not in self.data:
            array = np.ascontiguousarray(self._constant(name)).reshape(-1).view(np.uint8)
            c_name = interface.identifier(f"data_{name}", self.taken)
            self.data[name] = (c_name, array.size, _data_text(c_name, array))
        return self.data[name][:2]

    def text(self, name: str) -> str:
        return string(self._constant(name).tobytes().decode("utf-8", "replace"))

    def _constant(self, name: str) -> np.ndarray:
        if name not in self.program.constants:
            raise CompileError(f"the program's constants have no entry {name!r}")
        return self.program.constants[name]

    def kernel(self, ordinal: int) -> None:
        del ordinal
        self.uses_kernels = True

    def rank(self, rank: int) -> None:
        self.max_rank = max(self.max_rank, rank)

    def microkernel(self, name: str) -> str:
        types = name.removeprefix("vmvx.contract_")
        self.microkernels.setdefault(types, microkernels.contraction(types))
        return f"contract_{types}"


def _data_text(name: str, data: np.ndarray) -> str:
    """Bytes as an aligned array of 32-bit words."""
    padded = np.concatenate([data, np.zeros(-data.size % 4, np.uint8)]) if data.size % 4 or not data.size else data
    words = padded.view("<u4") if padded.size else np.zeros(1, "<u4")
    lines = [
        "  " + ", ".join(f"0x{word:08x}" if word > 9 else str(word) for word in words[i : i + 10].tolist()) + ","
        for i in range(0, words.size, 10)
    ]
    if not words.any():
        lines = ["  0"]
    return f"static const _Alignas(16) uint32_t {name}[{words.size}] = {{\n" + "\n".join(lines) + "\n};\n"
