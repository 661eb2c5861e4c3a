"""input-convert-stablehlo-random: stablehlo.rng draws from a stream that goes on from call to call.

    %r = stablehlo.rng %a, %b, %shape, distribution = UNIFORM
    =>
    ml_program.global private mutable @rng.state(dense<0> : tensor<i64>)
    %s = ml_program.global_load @rng.state                           and %s + 2 · elements is stored
    %r = linalg.generic … { a + (b - a) · bits(%s + place) }

The bits are builders/random.py's. Uniform floats are below `b`, integers too; a normal number takes two draws (Box and
Muller). `rng_bit_generator` of floats makes integers of their width, which are their bits; with Philox and a state of
three words it is lowered here, since upstream leaves out the counter's upper half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlirage.element_types import signless
from mlirage.errors import CompileError
from mlirage.input.builders import FLOAT64, Scalar, Tensor, random
from mlirage.input.builders import scalar as s
from mlirage.input.builders.philox import philox_bits
from mlirage.input.builders.tensor import TensorBuilder
from mlirage.input.convert_stablehlo_to_linalgx import restore_sign
from mlirage.mlir import arith, describe_location, ir, linalg, ml_program, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import Extent

_STATE = "rng.state"
_SEED = random.seed_of("stablehlo.rng")
_UINT64 = np.dtype(np.uint64)


@module_pass("input-convert-stablehlo-random")
def convert_stablehlo_random(program: Program) -> None:
    """Replaces `stablehlo.rng`, and gives `stablehlo.rng_bit_generator` integer results."""
    found = [op for op in walk(program.module.operation) if op.name == "stablehlo.rng"]
    for op in walk(program.module.operation):
        if op.name == "stablehlo.rng_bit_generator":
            _make_integers(op)
    for op in [op for op in walk(program.module.operation) if _has_wide_counter(op)]:
        builder = TensorBuilder(program.module, op.block, program.constants)
        with builder.active(), op.location, ir.InsertionPoint(op):
            _generate(op)
        op.erase()
    if not found:
        return
    state = ir.RankedTensorType.get([], ir.IntegerType.get_signless(64))
    with ir.InsertionPoint.at_block_begin(program.module.body):
        zero = ir.DenseElementsAttr.get_splat(state, ir.IntegerAttr.get(state.element_type, 0))
        visibility = ir.StringAttr.get("private")
        ml_program.GlobalOp(_STATE, state, is_mutable=True, value=zero, sym_visibility=visibility)
    with TensorBuilder(program.module, program.module.body, program.constants).active():
        for op in found:
            with op.location, ir.InsertionPoint(op):
                op.results[0].replace_all_uses_with(_draw(op, state))
            op.erase()


def _has_wide_counter(op: ir.Operation) -> bool:
    if op.name != "stablehlo.rng_bit_generator" or "PHILOX" not in str(op.attributes["rng_algorithm"]):
        return False
    return list(ir.RankedTensorType(op.operands[0].type).shape) == [3]


def _generate(op: ir.Operation) -> None:
    kind = ir.RankedTensorType(op.results[1].type)
    state = restore_sign(op.operands[0], signless(op.operands[0].type))
    width = ir.IntegerType(kind.element_type).width
    made = philox_bits(Tensor.from_value(state, _UINT64), tuple(kind.shape), np.dtype(f"u{width // 8}"))
    for result, value in zip(op.results, made, strict=True):
        result.replace_all_uses_with(restore_sign(value.value, result.type))


def _make_integers(op: ir.Operation) -> None:
    bits = op.results[1]
    kind = ir.RankedTensorType(bits.type)
    if not isinstance(kind.element_type, ir.FloatType):
        return
    integers = ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_unsigned(kind.element_type.width), kind.encoding)
    bits.set_type(integers)
    with op.location, ir.InsertionPoint.after(op):
        floats = ir.Operation.create("stablehlo.bitcast_convert", results=[kind], operands=[bits])
    bits.replace_all_uses_except(floats.results[0], floats)


def _draw(op: ir.Operation, state: ir.RankedTensorType) -> ir.Value:
    low, high, shape = op.operands
    kind = ir.RankedTensorType(op.results[0].type)
    plain = signless(kind.element_type)
    sizes = _sizes(shape, kind)
    total = arith.constant(ir.IndexType.get(), 1)
    values = [arith.constant(ir.IndexType.get(), n) if isinstance(n, int) else n for n in sizes]
    for value in values:
        total = arith.muli(total, value)
    i64 = ir.IntegerType.get_signless(64)
    name = ir.FlatSymbolRefAttr.get(_STATE)
    loaded = ir.Operation.create("ml_program.global_load", results=[state], attributes={"global": name}).results[0]
    first = tensor.extract(loaded, [])
    drawn = arith.muli(arith.index_cast(i64, total), arith.constant(i64, 2))
    after = tensor.from_elements(state, [arith.addi(first, drawn)])
    ir.Operation.create("ml_program.global_store", operands=[after], attributes={"global": name})
    a, b = (tensor.extract(restore_sign(v, signless(v.type)), []) for v in (low, high))
    distribution = str(op.attributes["rng_distribution"])

    def body(block: ir.Block) -> Sequence[ir.Value]:
        del block
        place = arith.constant(ir.IndexType.get(), 0)
        for dim, size in enumerate(values):
            place = arith.addi(arith.muli(place, size), linalg.IndexOp(dim).result)
        number = Scalar(arith.addi(first, arith.muli(arith.index_cast(i64, place), arith.constant(i64, 2))), _UINT64)
        draws = [random.bits(_SEED, number + k) for k in (0, 1)]
        if isinstance(plain, ir.IntegerType):
            return [_integer(op, draws[0], a, b, kind.element_type)]
        if not isinstance(plain, ir.FloatType):
            raise CompileError(f"{describe_location(op.location)}: stablehlo.rng makes no numbers of type {plain}")
        return [_float(draws, a, b, "NORMAL" in distribution, plain)]

    out = tensor.empty(sizes, plain)
    rank = len(sizes)
    value = build_generic([], [out], [identity_map(rank)], [True] * rank, body, ir.Location.current).results[0]
    wanted = signless(kind)
    return restore_sign(value if value.type == wanted else tensor.cast(wanted, value), kind)


def _sizes(shape: ir.Value, kind: ir.RankedTensorType) -> list[Extent]:
    sizes: list[Extent] = []
    for dim, extent in enumerate(kind.shape):
        if not kind.is_dynamic_dim(dim):
            sizes.append(extent)
            continue
        element = tensor.extract(shape, [arith.constant(ir.IndexType.get(), dim)])
        sizes.append(
            element if isinstance(element.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), element)
        )
    return sizes


def _unit(bits: Scalar) -> Scalar:
    """A number of [0, 1), a multiple of 2^-53."""
    upper = Scalar(arith.shrui(bits.value, s.coerce(11, _UINT64).value), _UINT64)
    return s.cast(upper, FLOAT64) * 2.0**-53


def _float(draws: Sequence[Scalar], a: ir.Value, b: ir.Value, normal: bool, plain: ir.Type) -> ir.Value:
    wide = ir.F64Type.get()
    low, high = (Scalar(v if v.type == wide else arith.extf(wide, v), FLOAT64) for v in (a, b))
    if normal:
        radius = s.sqrt(s.log(s.coerce(1.0, FLOAT64) - _unit(draws[0])) * -2.0)
        number = low + high * radius * s.cos(_unit(draws[1]) * (2 * math.pi))
        return number.value if plain == wide else arith.truncf(plain, number.value)
    number = low + (high - low) * _unit(draws[0])
    rounded = number.value if plain == wide else arith.truncf(plain, number.value)
    # Rounding may reach the bound, which is not of the interval.
    reached = arith.cmpf(arith.CmpFPredicate.OGE, rounded, b)
    return arith.select(reached, a, rounded)


def _integer(op: ir.Operation, bits: Scalar, a: ir.Value, b: ir.Value, element: ir.Type) -> ir.Value:
    """a + bits mod (b - a); `a` where the interval is empty."""
    if "NORMAL" in str(op.attributes["rng_distribution"]):
        raise CompileError(f"{describe_location(op.location)}: stablehlo.rng of integers is UNIFORM")
    i64 = ir.IntegerType.get_signless(64)
    kind = ir.IntegerType(a.type)
    unsigned = ir.IntegerType(element).is_unsigned or kind.width == 1
    extend = arith.extui if unsigned else arith.extsi
    low, high = (v if kind.width == 64 else extend(i64, v) for v in (a, b))
    span = arith.subi(high, low)
    one, zero = (arith.constant(i64, n) for n in (1, 0))
    empty = arith.cmpi(arith.CmpIPredicate.eq, span, zero)
    inside = arith.remui(bits.value, arith.select(empty, one, span))
    number = arith.addi(low, arith.select(empty, zero, inside))
    return number if kind.width == 64 else arith.trunci(kind, number)
