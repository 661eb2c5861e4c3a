"""The public side of a program in C: the header, and functions with plain arguments around those of the program.

    main(image: float32[batch, 1, 28, 28]) -> (scores: float32[batch, 10])
      ─>
    int digits_main(digits_t* self, const float* image, size_t batch, float* scores);
    int digits_main_arrays(digits_t* self, const digits_array_t* arguments, digits_array_t* results);

The typed form takes an extent for each name in the signature (`batch`), or for each that has none (`image_dim0`).
Results whose extents are among these are written to the caller's memory; of others the caller gives the size of the
memory, and gets the shape. The second form takes arrays as descriptors and can give memory of the program back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlirage.c_source.functions import C_TYPES
from mlirage.mlir import func, ir
from mlirage.runtime.arrays import ELEMENT_TYPES
from mlirage.vm.dialect import kind_of

_ELEMENTS = {
    "bool": "uint8_t", "float32": "float", "float64": "double", "complex64": "float", "complex128": "double",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
_KEYWORDS = frozenset(
    "alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double "
    "else enum export extern false float for friend goto if inline int long main mutable namespace new not operator or "
    "private protected public register restrict return self short signed sizeof static struct switch template this "
    "throw true try typedef typename union unsigned using virtual void volatile while xor".split()
)
_OWN_NAMES = re.compile(r"[arotv]\d+|L\d+|u?int\d+_t|size_t|NULL|status|[A-Z_]+")
_SCALAR_TYPES = {
    "i": ("int32_t", "int32"),
    "I": ("int64_t", "int64"),
    "f": ("float", "float32"),
    "F": ("double", "float64"),
}


def identifier(text: str, taken: set[str] | None = None, has_prefix: bool = False) -> str:
    """`text` as a C name that is not yet taken; `has_prefix`: something comes before it."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_") or "x"
    if not has_prefix and (name[0].isdigit() or name in _KEYWORDS or _OWN_NAMES.fullmatch(name)):
        name = f"x{name}"
    unique, number = name, 1
    while taken is not None and unique in taken:
        number += 1
        unique = f"{name}_{number}"
    if taken is not None:
        taken.add(unique)
    return unique


@dataclass(frozen=True)
class Value:
    """An argument or result: an array of the signature, or a scalar (no shape)."""

    name: str
    dtype: str
    kind: str
    shape: tuple[int | str | None, ...] | None

    @property
    def element(self) -> str:
        """Its C type."""
        if self.kind != "r":
            return _SCALAR_TYPES[self.kind][0]
        return _ELEMENTS.get(self.dtype, "uint16_t" if self.element_type & 0xFF == 16 else "uint8_t")

    @property
    def element_type(self) -> int:
        return ELEMENT_TYPES[self.dtype]

    @property
    def element_bytes(self) -> int:
        return (self.element_type & 0xFFFFFF) // 8


@dataclass(frozen=True)
class Entry:
    """A public function."""

    name: str
    function: str
    arguments: tuple[Value, ...]
    results: tuple[Value, ...]
    has_shapes: bool


def entry_of(function: func.FuncOp, name: str, c_name: str) -> Entry:
    """Reads the signature; without one the arrays have no known types."""
    attributes = function.operation.attributes
    text = ir.StringAttr(attributes["mlirage.signature"]).value if "mlirage.signature" in attributes else ""
    signature: dict[str, Any] = json.loads(text) if text else {}
    taken = {"self", "arguments", "results"}
    sides: list[tuple[Value, ...]] = []
    for side, types in (("arguments", function.type.inputs), ("results", function.type.results)):
        rows: list[dict[str, Any]] = signature.get(side, [{}] * len(types))
        values: list[Value] = []
        for number, (row, type_) in enumerate(zip(rows, types, strict=True)):
            kind = kind_of(type_)
            default = f"{'arg' if side == 'arguments' else 'result'}{number}"
            shape = tuple(row["shape"]) if kind == "r" and "shape" in row else None
            dtype = row.get("dtype", "uint8") if kind == "r" else _SCALAR_TYPES[kind][1]
            values.append(Value(identifier(row.get("name") or default, taken), dtype, kind, shape))
        sides.append(tuple(values))
    return Entry(name, c_name, sides[0], sides[1], bool(text))


class EntryPrinter:
    """Prints the two forms of an entry."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.extents: dict[str, str] = {}  # C expression of named extents
        taken = {"self", *(v.name for v in (*entry.arguments, *entry.results))}
        self.parameters: list[str] = []
        self.shapes: dict[str, list[str]] = {}
        for value in entry.arguments:
            self._add_argument(value, taken)
        self.unknown: set[str] = set()
        for value in entry.results:
            self._add_result(value, taken)

    def _add_argument(self, value: Value, taken: set[str]) -> None:
        if value.shape is None:
            self.parameters.append(f"{value.element} {value.name}")
            return
        self.parameters.append(f"const {value.element}* {value.name}")
        self.shapes[value.name] = []
        for axis, extent in enumerate(value.shape):
            if isinstance(extent, int):
                self.shapes[value.name].append(str(extent))
            elif extent is not None and extent in self.extents:
                self.shapes[value.name].append(self.extents[extent])
            else:
                name = identifier(extent or f"{value.name}_dim{axis}", taken)
                if extent:
                    self.extents[extent] = name
                self.parameters.append(f"size_t {name}")
                self.shapes[value.name].append(name)

    def _add_result(self, value: Value, taken: set[str]) -> None:
        self.parameters.append(f"{value.element}* {value.name}")
        if value.shape is None:
            return
        known = [self.extents.get(e) if isinstance(e, str) else None if e is None else str(e) for e in value.shape]
        if None in known:
            self.unknown.add(value.name)
            size, shape = (identifier(f"{value.name}_{part}", taken) for part in ("size", "shape"))
            self.parameters += [f"size_t {size}", f"size_t* {shape}"]
            self.shapes[value.name] = [size, shape]
        else:
            self.shapes[value.name] = [extent for extent in known if extent is not None]

    @property
    def typed_prototype(self) -> str:
        return f"int model_{self.entry.name}({', '.join(['model_t* self', *self.parameters])})"

    @property
    def arrays_prototype(self) -> str:
        return (
            f"int model_{self.entry.name}_arrays(model_t* self, const model_array_t* arguments, model_array_t* results)"
        )

    def declarations(self) -> str:
        """For the header."""
        lines = [f"// {_describe(self.entry)}"]
        if self.entry.has_shapes:
            lines += [
                f"// Sizes are in bytes; the shape of {name} is written to {self.shapes[name][1]}."
                for name in sorted(self.unknown)
            ]
            lines.append(f"{self.typed_prototype};")
        return "\n".join([*lines, f"{self.arrays_prototype};"]) + "\n"

    def definitions(self) -> str:
        """For the source."""
        return self._arrays_form() + ("\n" + self._typed_form() if self.entry.has_shapes else "")

    def _arrays_form(self) -> str:
        entry = self.entry
        lines = [f"{self.arrays_prototype} {{"]
        call = ["self"]
        for i, value in enumerate(entry.arguments):
            call.append(f"argument(&arguments[{i}])" if value.kind == "r" else f"s{i}")
            if value.kind != "r":
                kind = C_TYPES[value.kind]
                lines.append(f"  const {kind} s{i} = ({kind})*(const {value.element}*)arguments[{i}].data;")
        for i, value in enumerate(entry.results):
            null = " = null_reference" if value.kind == "r" else " = 0"
            lines.append(f"  {C_TYPES[value.kind]} o{i}{null};")
            call.append(f"&o{i}")
        if not entry.arguments:
            lines.append("  (void)arguments;")
        if not entry.results:
            lines.append("  (void)results;")
        lines += ["  self->message = NULL;", f"  int status = {entry.function}({', '.join(call)});"]
        for i, value in enumerate(entry.results):
            if value.kind == "r":
                lines += [
                    f"  if (status == MODEL_OK) status = give(self, o{i}, &results[{i}]);",
                    f"  discard(&o{i});",
                ]
            else:
                lines.append(f"  if (status == MODEL_OK) *({value.element}*)results[{i}].data = ({value.element})o{i};")
        return "\n".join([*lines, "  return status;", "}"]) + "\n"

    def _typed_form(self) -> str:
        entry = self.entry
        rows = [
            self._descriptor(v, f"(void*)(uintptr_t){v.name}" if v.kind == "r" else f"&{v.name}")
            for v in entry.arguments
        ]
        results = [self._descriptor(v, v.name) for v in entry.results]
        lines = [f"{self.typed_prototype} {{"]
        for name, items, qualifier in (("arguments", rows, "const "), ("results", results, "")):
            body = ",\n      ".join(items) or "{NULL, 0, 0, 0, {0}, NULL}"
            lines.append(f"  {qualifier}model_array_t {name}[{max(1, len(items))}] = {{\n      {body},\n  }};")
        call = f"model_{entry.name}_arrays(self, arguments, results)"
        if not self.unknown:
            return "\n".join([*lines, f"  return {call};", "}"]) + "\n"
        lines.append(f"  const int status = {call};")
        for i, value in enumerate(entry.results):
            if value.name in self.unknown:
                shape = self.shapes[value.name][1]
                lines += [f"  {shape}[{axis}] = results[{i}].shape[{axis}];" for axis in range(len(value.shape or ()))]
        return "\n".join([*lines, "  return status;", "}"]) + "\n"

    def _descriptor(self, value: Value, data: str) -> str:
        if value.shape is None:
            return f"{{{data}, sizeof({value.element}), {value.element_type}u, 0, {{0}}, NULL}}"
        rank = len(value.shape)
        if value.name in self.unknown:
            return f"{{{data}, {self.shapes[value.name][0]}, {value.element_type}u, {rank}, {{0}}, NULL}}"
        extents = self.shapes[value.name]
        size = " * ".join([f"(size_t){value.element_bytes}", *extents])
        shape = ", ".join(extents) or "0"
        return f"{{{data}, {size}, {value.element_type}u, {rank}, {{{shape}}}, NULL}}"


def _describe(entry: Entry) -> str:
    def one(value: Value) -> str:
        extents = ", ".join("?" if extent is None else str(extent) for extent in value.shape or ())
        return f"{value.name}: {value.dtype}" + ("" if value.shape is None else f"[{extents}]")

    def side(values: Sequence[Value]) -> str:
        return ", ".join(one(value) for value in values)

    return f"{entry.name}({side(entry.arguments)}) -> ({side(entry.results)})".replace("\n", " ")
