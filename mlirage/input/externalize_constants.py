"""input-externalize-constants: large constants leave the IR for `Program.constants`.

    %0 = arith.constant dense<"0x…"> : tensor<64x64xf32>
    =>
    ml_program.global private @const_0(#ml_program.extern : tensor<64x64xf32>) : tensor<64x64xf32>
    %0 = ml_program.global_load_const @const_0 : tensor<64x64xf32>

Splats and constants of at most 16 elements stay: patterns match on them. Globals that are initialized with a large
constant keep their name. Equal constants share one global.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import numpy as np

from mlirage.errors import CompileError
from mlirage.input.element_types import dtype_of, signless
from mlirage.mlir import describe_location, ir, ml_program, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program

MAX_INLINE_ELEMENTS = 16
CONSTANT_OPS = ("arith.constant", "stablehlo.constant", "tosa.const", "torch.vtensor.literal")


@module_pass("input-externalize-constants")
def externalize_constants(program: Program) -> None:
    """Moves large dense constants of `arith.constant` and globals into `Program.constants`."""
    shared: dict[tuple[str, bytes], str] = {}
    for op in walk(program.module.operation):
        if op.name == "arith.constant" and _is_large_dense(op, op.results[0].type):
            replace_constant(program, op, read_dense(op, "value"), shared)
        elif op.name == "ml_program.global" and "value" in op.attributes:
            value_type = ir.TypeAttr(op.attributes["type"]).value
            if _is_large_dense(op, value_type):
                program.constants[ir.StringAttr(op.attributes["sym_name"]).value] = read_dense(op, "value")
                op.attributes["value"] = extern(value_type)


def replace_constant(
    program: Program, op: ir.Operation, array: Array, shared: dict[tuple[str, bytes], str] | None = None, name: str = ""
) -> None:
    """Replaces a constant op by a load of a global that holds `array`; equal arrays in `shared` use one global."""
    key = (str(op.results[0].type), _digest(array)) if shared is not None else None
    symbol = shared.get(key) if shared is not None and key else None
    value_type = signless(op.results[0].type)
    with op.location:
        if symbol is None:
            symbol = add_global(program, value_type, array, name or "const")
            if shared is not None and key:
                shared[key] = symbol
        with ir.InsertionPoint(op):
            value = ml_program.global_load_const(value_type, ir.FlatSymbolRefAttr.get(symbol))
            if value_type != op.results[0].type:
                # `builtin` has no builder for it; the signedness comes back until the dialect's own lowering strips it.
                value = ir.Operation.create(
                    "builtin.unrealized_conversion_cast", results=[op.results[0].type], operands=[value]
                ).results[0]
    op.results[0].replace_all_uses_with(value)
    op.erase()


def _digest(array: Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()


def add_global(program: Program, value_type: ir.Type, array: Array, name: str) -> str:
    """Adds a private constant global for `array` at the top of the module and returns its symbol."""
    taken = {str(ir.StringAttr(op.attributes["sym_name"]).value)
             for op in program.module.body.operations if "sym_name" in op.attributes}  # fmt: skip
    symbol = name
    number = 0
    while symbol in taken or symbol in program.constants:
        symbol, number = f"{name}_{number}", number + 1
    with ir.InsertionPoint.at_block_begin(program.module.body):
        ml_program.GlobalOp(symbol, ir.TypeAttr.get(value_type), value=extern(value_type), sym_visibility="private")
    program.constants[symbol] = array
    return symbol


def extern(value_type: ir.Type) -> ir.Attribute:
    """The attribute that says that a global's value is in `Program.constants`."""
    return ir.Attribute.parse(f"#ml_program.extern : {value_type}")


def read_dense(op: ir.Operation, attribute: str) -> Array:
    """The array of a `dense<…>` attribute.

    Raises:
      CompileError: its element type has no numpy counterpart.
    """
    value_type = op.results[0].type if op.results else ir.TypeAttr(op.attributes["type"]).value
    shaped = ir.RankedTensorType(value_type)
    try:
        dtype = dtype_of(shaped.element_type)
    except KeyError:
        raise CompileError(f"{describe_location(op.location)}: constants of type {shaped.element_type} are not supported") from None
    shape = tuple(shaped.shape)
    if dtype.kind != "c":  # the bindings cannot even hand out a complex attribute
        try:
            return np.array(memoryview(op.attributes[attribute]), dtype).reshape(shape)  # pyright: ignore
        except BufferError:
            pass  # bfloat16, float8, int4: numpy's buffers know them not
    text = op.get_asm()
    hexadecimal = re.search(r'dense<"0x([0-9A-Fa-f]*)"', text)
    if hexadecimal:
        return np.frombuffer(bytes.fromhex(hexadecimal[1]), dtype).reshape(shape)
    literal = re.search(r"dense<(.*)> : tensor", text, re.DOTALL)
    assert literal, text
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        pairs = re.findall(r"\(([^,()]+),([^,()]+)\)", literal[1])
        return np.array([complex(_number(a, part), _number(b, part)) for a, b in pairs], dtype).reshape(shape)
    return np.array([_number(word, dtype) for word in re.findall(r"[^\s,\[\]]+", literal[1])], dtype).reshape(shape)


def _number(word: str, dtype: np.dtype[Any]) -> Any:
    """The value of a literal; floats that decimals cannot say (NaN, infinities) are their bits in hexadecimal."""
    word = word.strip()
    if word in ("true", "false"):
        return word == "true"
    if word.startswith("0x"):
        return np.frombuffer(int(word, 16).to_bytes(dtype.itemsize, "little"), dtype)[0]
    return int(word) if re.fullmatch(r"[-+]?\d+", word) else float(word)


def _is_large_dense(op: ir.Operation, value_type: ir.Type) -> bool:
    """Whether the attribute `value` is a dense attribute of more than 16 elements that are not all equal."""
    if not isinstance(value_type, ir.RankedTensorType) or not value_type.has_static_shape:
        return False
    if math.prod(value_type.shape) <= MAX_INLINE_ELEMENTS:
        return False
    if isinstance(value_type.element_type, ir.ComplexType):  # the bindings cannot hand out a complex attribute
        return "dense_resource<__elided__>" in op.get_asm(large_elements_limit=MAX_INLINE_ELEMENTS)
    value = op.attributes["value"]
    return isinstance(value, ir.DenseElementsAttr) and not value.is_splat
