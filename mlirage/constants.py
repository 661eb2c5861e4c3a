"""Constants between the IR and `Program.constants`: reading dense attributes, and globals that name arrays.

%0 = arith.constant dense<…> : tensor<64xf32>
=>
ml_program.global private @const(#ml_program.extern : tensor<64xf32>) : tensor<64xf32>
%0 = ml_program.global_load_const @const : tensor<64xf32>
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from mlirage.element_types import dtype_of, signless
from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, ml_program
from mlirage.program import Array, Program


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
    """The array of a `dense<…>` attribute; `op` is a constant or a global of tensors or memrefs.

    Raises:
      CompileError: its element type has no numpy counterpart.
    """
    value_type = op.results[0].type if op.results else ir.TypeAttr(op.attributes["type"]).value
    shaped = ir.ShapedType(value_type)
    try:
        dtype = dtype_of(shaped.element_type)
    except KeyError:
        raise CompileError(
            f"{describe_location(op.location)}: constants of type {shaped.element_type} are not supported"
        ) from None
    shape = tuple(shaped.shape)
    if dtype.kind != "c":  # the bindings cannot even hand out a complex attribute
        try:
            return np.array(memoryview(op.attributes[attribute]), dtype).reshape(shape)  # pyright: ignore
        except BufferError:
            pass  # bfloat16, float8, int4: numpy's buffers know them not
    text = op.get_asm(print_generic_op_form=True)
    hexadecimal = re.search(r'dense<"0x([0-9A-Fa-f]*)"', text)
    if hexadecimal:
        return np.frombuffer(bytes.fromhex(hexadecimal[1]), dtype).reshape(shape)
    literal = re.search(r"dense<(.*)> : tensor", text, re.DOTALL)
    assert literal, text
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        pairs = re.findall(r"\(([^,()]+),([^,()]+)\)", literal[1])
        values = np.array([complex(_number(a, part), _number(b, part)) for a, b in pairs], dtype)
    else:
        values = np.array([_number(word, dtype) for word in re.findall(r"[^\s,\[\]]+", literal[1])], dtype)
    return np.broadcast_to(values[0], shape) if values.size == 1 else values.reshape(shape)


def _number(word: str, dtype: np.dtype[Any]) -> Any:
    """The value of a literal; floats that decimals cannot say (NaN, infinities) are their bits in hexadecimal."""
    word = word.strip()
    if word in ("true", "false"):
        return word == "true"
    if word.startswith("0x"):
        return np.frombuffer(int(word, 16).to_bytes(dtype.itemsize, "little"), dtype)[0]
    return int(word) if re.fullmatch(r"[-+]?\d+", word) else float(word)
