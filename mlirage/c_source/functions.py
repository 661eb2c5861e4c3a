"""A function of the vm phase as a C function.

    ^bb1(%i: index):                                  L1:
      %1 = "vm.add_i64"(%i, %c) …                ->     v3 = v2 + UINT64_C(1);
      cf.cond_br %c, ^bb1(%1), ^bb2(%i)                 if (v4 != 0) {
                                                          v2 = v3;
                                                          goto L1;
                                                        }
                                                        goto L2;

A scalar is a local variable of its own. References live in the registers that the virtual machine would give them, and
are discarded where it would (mlirage/vm/allocate_registers.py): memory is given back as early. Functions return a
status; results are written through pointers.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from typing import Protocol

from mlirage.c_source.expressions import EXPRESSIONS, LOADS, MAKES_REFERENCE, STORES
from mlirage.c_source.imports import emit_import
from mlirage.errors import CompileError
from mlirage.mlir import describe_location, func, ir
from mlirage.vm.allocate_registers import allocate_registers, is_ref
from mlirage.vm.dialect import kind_of
from mlirage.vm.encode_function import bits_of, edges_of, switch_cases

C_TYPES = {"i": "uint32_t", "I": "uint64_t", "f": "float", "F": "double", "r": "ref_t"}
_DISCARD = re.compile(r"^\s*discard\(&(r\d+)\);$")
_DIVISIONS = ("div_", "rem_")


class Tables(Protocol):
    """C names of what functions refer to; asking for one adds it to the output."""

    def function(self, name: str) -> str: ...
    def global_(self, name: str) -> str: ...
    def rodata(self, name: str) -> tuple[str, int]: ...
    def text(self, name: str) -> str: ...
    def kernel(self, ordinal: int) -> None: ...
    def rank(self, rank: int) -> None: ...
    def microkernel(self, name: str) -> str: ...


def prototype(name: str, type_: ir.FunctionType) -> str:
    """The first line of the C function `name`."""
    arguments = [f"{C_TYPES[kind_of(t)]} a{i}" for i, t in enumerate(type_.inputs)]
    results = [f"{C_TYPES[kind_of(t)]}* o{i}" for i, t in enumerate(type_.results)]
    return f"static int {name}({', '.join(['model_t* self', *arguments, *results])})"


class FunctionPrinter:
    """Prints one function."""

    def __init__(self, function: func.FuncOp, name: str, tables: Tables) -> None:
        self.function = function
        self.name = name
        self.tables = tables
        self.blocks = list(function.body.blocks)
        numbers = {block: number for number, block in enumerate(self.blocks)}
        self.edges = [edges_of(block, numbers) for block in self.blocks]
        self.targets = {target for edges in self.edges for target, _ in edges}
        self.allocation = allocate_registers(self.blocks, self.edges)
        self.names: dict[ir.Value, str] = {}
        self.locals: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.uses_done = False

    def text(self) -> str:
        """The whole function.

        Raises:
          CompileError: an op has no C form; the text names it and where it comes from.
        """
        for number, block in enumerate(self.blocks):
            for i, argument in enumerate(block.arguments):
                if number == 0:
                    self.names[argument] = f"a{i}"  # the caller keeps what references refer to
                else:
                    self.name_value(argument)
        for i, argument in enumerate(self.blocks[0].arguments):
            if not any(True for _ in argument.uses):
                self.add(f"(void)a{i};")
        for number, block in enumerate(self.blocks):
            if number in self.targets:
                self.lines.append(f"L{number}:;")
            if len(list(block.operations)) > 1:
                self.discard(self.allocation.dead_at_entry.get(number, []))
            ops = [op.operation for op in block.operations]
            for position, op in enumerate(ops):
                try:
                    self.print_op(op, number)
                except NotImplementedError as error:
                    where = describe_location(op.location)
                    raise CompileError(f"{where}: {op.name} has no form in C: {error}") from error
                if ops[-1].name != "func.return" or position < len(ops) - 2:
                    self.discard(self.allocation.dead_after.get((number, position), []))
        reached = set(re.findall(r"\bgoto (L\d+);", "\n".join(self.lines)))
        self.lines = [line for line in self.lines if not line.startswith("L") or line.rstrip(":;") in reached]
        registers = self.drop_unused_registers()
        body = self.lines
        header = [f"{prototype(self.name, self.function.type)} {{"]
        header += [f"  {kind} {name};" for kind, name in self.locals]
        header += [f"  ref_t {name} = null_reference;" for name in registers]
        header += ["  int status = MODEL_OK;"]
        if not any("self" in line for line in body):
            header.append("  (void)self;")
        tail = ["done:"] if self.uses_done or "goto done" in "".join(body) else []
        tail += [f"  discard(&{name});" for name in registers]
        return "\n".join([*header, *body, *tail, "  return status;", "}"]) + "\n"

    def drop_unused_registers(self) -> list[str]:
        """The registers that hold something at some time; the others need not be discarded."""
        registers = [f"r{i}" for i in range(self.allocation.counts[1])]
        used = set(re.findall(r"\b(?:take|assign)\(&(r\d+),", "\n".join(self.lines)))
        self.lines = [line for line in self.lines if (match := _DISCARD.search(line)) is None or match[1] in used]
        return [register for register in registers if register in used]

    # Names and lines.

    def add(self, line: str) -> None:
        """A statement."""
        self.uses_done = self.uses_done or line.lstrip().startswith(("TRY(", "CHECK"))
        self.lines.append(f"  {line}")

    def name_value(self, value: ir.Value, name: str | None = None) -> str:
        """Gives a value its C name: a register, or a new local variable."""
        if is_ref(value):
            name = f"r{self.allocation.registers[value]}"
        elif name is None:
            name = f"v{len(self.locals)}"
            self.locals.append((C_TYPES[kind_of(value.type)], name))
        self.names[value] = name
        return name

    def discard(self, registers: Sequence[int]) -> None:
        for register in registers:
            self.add(f"discard(&r{register});")

    # Ops.

    def print_op(self, op: ir.Operation, block: int) -> None:
        name = op.name.removeprefix("vm.")
        if op.name.startswith(("cf.", "func.")):
            self.print_control(op, block)
        elif name in ("const_32", "const_64"):
            self.names[op.result] = _literal(op)
        elif name == "call_import":
            emit_import(self, op)
        elif name in EXPRESSIONS:
            self.print_expression(op, name)
        elif name in LOADS:
            self.print_load(op, name)
        elif name in STORES:
            size, form = STORES[name]
            target, offset, value = (self.names[v] for v in op.operands)
            if size >= 4 and kind_of(op.operands[2].type) in "fF":
                value = f"bits_of_f{8 * size}({value})"
            self.add(f"CHECK_RANGE({target}.writable, {offset}, {size}u);")
            self.add(form.format(p=f"{target}.data + {offset}", v=value) + ";")
        else:
            self.print_special(op, name)

    def print_expression(self, op: ir.Operation, name: str) -> None:
        operands = [self.names[v] for v in op.operands]
        if name.startswith(_DIVISIONS) and name.endswith(("i32", "i64")):
            self.add(f'CHECK({operands[1]} != 0, MODEL_DIVISION_BY_ZERO, "integer division by zero");')
        if name == "move" and is_ref(op.result):
            raise NotImplementedError("a reference that is moved")
        text = EXPRESSIONS[name].format(**dict(zip("abc", operands, strict=False)))
        self.add(f"{self.name_value(op.result)} = {text};")

    def print_load(self, op: ir.Operation, name: str) -> None:
        size, form = LOADS[name]
        source, offset = (self.names[v] for v in op.operands)
        self.add(f"CHECK_RANGE({source}.length, {offset}, {size}u);")
        text = form.format(p=f"{source}.data + {offset}")
        if kind_of(op.result.type) in "fF":
            text = f"f{8 * size}_of_bits({text})"
        self.add(f"{self.name_value(op.result)} = {text};")

    def print_special(self, op: ir.Operation, name: str) -> None:
        operands = [self.names[v] for v in op.operands]
        match name:
            case "assert":
                status = bits_of(op.attributes["status"], 32)
                message = string(ir.StringAttr(op.attributes["message"]).value)
                self.add(f"CHECK({operands[0]} != 0, {status}, {message});")
            case "rodata":
                register = self.name_value(op.result)
                if all(is_message(use.owner, use.operand_number) for use in op.result.uses):
                    return
                data, size = self.tables.rodata(ir.StringAttr(op.attributes["name"]).value)
                self.add(f"take(&{register}, constant({data}, {size}));")
            case "null_ref":
                self.add(f"assign(&{self.name_value(op.result)}, null_reference);")
            case "select_ref":
                a, b, c = operands
                self.add(f"assign(&{self.name_value(op.result)}, {a} != 0 ? {b} : {c});")
            case "global_load":
                self.add(f"{self.name_value(op.result)} = self->{self.global_(op)};")
            case "global_store":
                self.add(f"self->{self.global_(op)} = {operands[0]};")
            case "global_load_ref":
                self.add(f"assign(&{self.name_value(op.result)}, self->{self.global_(op)});")
            case "global_store_ref":
                self.add(f"TRY(store_reference(self, &self->{self.global_(op)}, {operands[0]}));")
            case "buffer_fill":
                width = bits_of(op.attributes["value"], 32)
                self.add(f"TRY(buffer_fill(self, {', '.join(operands)}, {width}u));")
            case "buffer_copy":
                self.add(f"TRY(buffer_copy(self, {', '.join(operands)}));")
            case "buffer_compare":
                self.add(f"TRY(buffer_compare(self, {', '.join(operands)}, &{self.name_value(op.result)}));")
            case _ if name in MAKES_REFERENCE:
                self.make_reference(op.result, MAKES_REFERENCE[name], operands)
            case _:
                raise NotImplementedError("it needs the virtual machine")

    def make_reference(self, result: ir.Value, function: str, arguments: Sequence[str]) -> None:
        """Calls a function that makes a new reference."""
        self.add("{")
        self.add("  ref_t fresh = null_reference;")
        self.add(f"  TRY({function}({', '.join(['self', *arguments, '&fresh'])}));")
        self.add(f"  take(&{self.name_value(result)}, fresh);")
        self.add("}")

    def global_(self, op: ir.Operation) -> str:
        return self.tables.global_(ir.FlatSymbolRefAttr(op.attributes["symbol"]).value)

    # Control flow.

    def print_control(self, op: ir.Operation, block: int) -> None:
        match op.name:
            case "func.return":
                for i, value in enumerate(op.operands):
                    if is_ref(value):
                        self.add(f"retain({self.names[value]});")
                    self.add(f"*o{i} = {self.names[value]};")
                if block != len(self.blocks) - 1:
                    self.add("goto done;")
            case "func.call":
                self.print_call(op)
            case "cf.br":
                self.print_edge(block, 0, "")
            case "cf.cond_br":
                # What follows in the text comes last.
                first = 1 if self.edges[block][0][0] == block + 1 else 0
                self.add(f"if ({self.names[op.operands[0]]} {'==' if first else '!='} 0) {{")
                self.print_edge(block, first, "  ", always=True)
                self.add("}")
                self.print_edge(block, 1 - first, "")
            case "cf.switch":
                self.add(f"switch ({self.names[op.operands[0]]}) {{")
                for number, case in enumerate(switch_cases(op), 1):
                    self.add(f"  case {case}:")
                    self.print_edge(block, number, "    ", always=True)
                self.add("  default:")
                self.print_edge(block, 0, "    ", always=True)
                self.add("}")
            case _:
                raise NotImplementedError("unknown control flow")

    def print_call(self, op: ir.Operation) -> None:
        callee = self.tables.function(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
        arguments = ["self", *(self.names[v] for v in op.operands)]
        references = [v for v in op.results if is_ref(v)]
        fresh = {value: f"fresh{i}" for i, value in enumerate(references)}
        arguments += [f"&{fresh[v] if v in fresh else self.name_value(v)}" for v in op.results]
        call = f"TRY({callee}({', '.join(arguments)}));"
        if not fresh:
            self.add(call)
            return
        self.add("{")
        for name in fresh.values():
            self.add(f"  ref_t {name} = null_reference;")
        self.add(f"  {call}")
        for value, name in fresh.items():
            self.add(f"  take(&{self.name_value(value)}, {name});")
        self.add("}")

    def print_edge(self, block: int, edge: int, indent: str, always: bool = False) -> None:
        """Moves the operands to the target's arguments, all at once in effect, and goes there."""
        target, operands = self.edges[block][edge]
        pairs = [
            (argument, self.names[argument], self.names[operand])
            for argument, operand in zip(self.blocks[target].arguments, operands, strict=True)
            if self.names[argument] != self.names[operand]
        ]
        written = {name for _, name, _ in pairs}
        if len(pairs) > 1 and any(source in written for _, _, source in pairs):
            self.add(f"{indent}{{")
            for i, (argument, _, source) in enumerate(pairs):
                self.add(f"{indent}  const {C_TYPES[kind_of(argument.type)]} t{i} = {source};")
                if is_ref(argument):
                    self.add(f"{indent}  retain(t{i});")
            for i, (argument, name, _) in enumerate(pairs):
                self.add(f"{indent}  take(&{name}, t{i});" if is_ref(argument) else f"{indent}  {name} = t{i};")
            self.add(f"{indent}}}")
        else:
            for argument, name, source in pairs:
                self.add(f"{indent}assign(&{name}, {source});" if is_ref(argument) else f"{indent}{name} = {source};")
        if always or target != block + 1:
            self.add(f"{indent}goto L{target};")


def is_message(op: ir.Operation | ir.OpView, operand: int) -> bool:
    """Whether this operand is the text of an import that checks something: it becomes a string."""
    operation = op.operation
    return (
        operation.name == "vm.call_import"
        and operand == 1
        and ir.StringAttr(operation.attributes["function"]).value == "hal_inline.buffer_view_assert"
    )


def string(text: str) -> str:
    """A C string literal."""
    plain = json.dumps(text, ensure_ascii=True)
    # JSON's \u00e9 are UTF-8 bytes in octal here; ?? would start a trigraph.
    escaped = re.sub(r"(?:\\u[0-9a-f]{4})+", lambda m: _octal(m.group()), plain)
    return escaped.replace("??", '?""?')


def _octal(text: str) -> str:
    decoded: str = json.loads(f'"{text}"')
    return "".join(f"\\{byte:03o}" for byte in decoded.encode("utf-8", "surrogatepass"))


def _literal(op: ir.Operation) -> str:
    """A constant in C."""
    kind = kind_of(op.result.type)
    bits = bits_of(op.attributes["value"], 64 if kind in "IF" else 32)
    if kind == "i":
        return f"{bits}u"
    if kind == "I":
        return f"UINT64_C({bits})"
    layout, suffix = (("<I", "<f"), "f") if kind == "f" else (("<Q", "<d"), "")
    (value,) = struct.unpack(layout[1], struct.pack(layout[0], bits))
    if not math.isfinite(value):
        return f"f32_of_bits({bits}u)" if kind == "f" else f"f64_of_bits(UINT64_C({bits}))"
    text = f"{value.hex()}{suffix}"
    return f"({text})" if text.startswith("-") else text
