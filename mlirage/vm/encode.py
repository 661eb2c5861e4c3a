"""The program of the vm phase as a module file.

Functions that can be reached from an export are encoded; they bring in the imports, globals, texts and constants that
they name, in the order in which they are met: what nobody refers to is not in the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from mlirage.errors import CompileError
from mlirage.hal.dialect import DISPATCHES
from mlirage.mlir import func, ir
from mlirage.module_file import Executable, Export, Global, Import, ModuleFile, Rodata
from mlirage.program import Program, is_splat
from mlirage.vm.convert_to_vm import host_functions
from mlirage.vm.dialect import kind_of
from mlirage.vm.encode_function import bits_of, encode_function

INITIALIZER_EXPORT = "__init"
# Read-only data up to this size is stored once if its bytes are equal: messages, formats, small tables.
_DEDUPLICATED_SIZE = 4096


def encode_module(program: Program) -> bytes:
    """The bytes of the module file of a program of the vm phase.

    Raises:
      CompileError: the program is not of that phase, or too large for the format.
    """
    return build_module(program).encode()


def build_module(program: Program) -> ModuleFile:
    """The contents of the module file; see `encode_module`."""
    return _ModuleEncoder(program).encode()


@dataclass
class _ModuleEncoder:
    """Gives out ordinals (`Tables` of encode_function) and collects what they stand for."""

    program: Program
    module: ModuleFile = field(default_factory=ModuleFile)
    ordinals: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    queue: list[func.FuncOp] = field(default_factory=list[func.FuncOp])
    contents: dict[tuple[bytes, int, int], int] = field(default_factory=dict[tuple[bytes, int, int], int])

    def encode(self) -> ModuleFile:
        operation = self.program.module.operation
        if "sym_name" in operation.attributes:
            self.module.name = ir.StringAttr(operation.attributes["sym_name"]).value
        self.functions = {
            ir.StringAttr(function.operation.attributes["sym_name"]).value: function
            for function in host_functions(self.program.module)
        }
        self.globals = {
            ir.StringAttr(op.attributes["sym_name"]).value: op.operation
            for op in self.program.module.body.operations
            if op.operation.name == "util.global"
        }
        for name, function in self.functions.items():
            self.add_export(name, function)
        done = 0
        while done < len(self.queue):
            self.module.functions.append(encode_function(self.queue[done], self))
            done += 1
        self.add_executables()
        if DISPATCHES in operation.attributes:
            facts = ir.DictAttr(operation.attributes[DISPATCHES])
            self.module.dispatches = {named.name: json.loads(ir.StringAttr(named.attr).value) for named in facts}
        return self.module

    def add_export(self, name: str, function: func.FuncOp) -> None:
        attributes = function.operation.attributes
        if "mlirage.initializer" in attributes:
            if any(export.name == INITIALIZER_EXPORT for export in self.module.exports):
                raise CompileError("the program has two initializers")
            self.module.exports.append(Export(INITIALIZER_EXPORT, self.function(name)))
        elif "sym_visibility" not in attributes or ir.StringAttr(attributes["sym_visibility"]).value == "public":
            has_signature = "mlirage.signature" in attributes
            text = ir.StringAttr(attributes["mlirage.signature"]).value if has_signature else ""
            self.module.exports.append(Export(name, self.function(name), text))

    def add_executables(self) -> None:
        """The table of executables, for tools: those whose bytes the program loads."""
        for op in self.program.module.body.operations:
            attributes = op.operation.attributes
            if "hal.executable.variants" not in attributes:
                continue
            for variant in ir.ArrayAttr(attributes["hal.executable.variants"]):
                entry = ir.DictAttr(variant)
                data, kind = (ir.StringAttr(entry[key]).value for key in ("data", "format"))
                if ("rodata", data) in self.ordinals:
                    name = ir.StringAttr(attributes["sym_name"]).value
                    self.module.executables.append(Executable(name, kind, self.ordinals["rodata", data]))

    # Ordinals.

    def function(self, name: str) -> int:
        key = ("function", name)
        if key not in self.ordinals:
            function = self.functions.get(name)
            if function is None or not list(function.body.blocks):
                raise CompileError(f"function @{name} is called but has no body")
            self.ordinals[key] = len(self.queue)
            self.queue.append(function)
        return self.ordinals[key]

    def import_(self, name: str, convention: str) -> int:
        key = ("import", f"{name}({convention})")
        if key not in self.ordinals:
            self.ordinals[key] = len(self.module.imports)
            self.module.imports.append(Import(name, convention))
        return self.ordinals[key]

    def global_(self, name: str) -> int:
        key = ("global", name)
        if key not in self.ordinals:
            op = self.globals[name]
            kind = kind_of(ir.TypeAttr(op.attributes["type"]).value)
            width = 64 if kind in "IF" else 32
            initial = bits_of(op.attributes["initial_value"], width) if "initial_value" in op.attributes else 0
            self.ordinals[key] = len(self.module.globals)
            self.module.globals.append(Global(name, kind, initial))
        return self.ordinals[key]

    def rodata(self, name: str) -> int:
        key = ("rodata", name)
        if key not in self.ordinals:
            self.ordinals[key] = self._add_rodata(name)
        return self.ordinals[key]

    def _add_rodata(self, name: str) -> int:
        if name not in self.program.constants:
            raise CompileError(f"the program's constants have no entry {name!r}")
        array = self.program.constants[name]
        entry = Rodata.of(name, array, is_splat(array))
        if entry.data.nbytes <= _DEDUPLICATED_SIZE:
            same = self.contents.setdefault(
                (entry.data.tobytes(), entry.pattern_length, entry.size), len(self.module.rodata)
            )
            if same < len(self.module.rodata):
                return same
        self.module.rodata.append(entry)
        return len(self.module.rodata) - 1

    def text(self, text: str) -> int:
        return self.module.strings.add(text)
