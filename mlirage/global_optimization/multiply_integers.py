"""global-optimization-multiply-integers: contractions of dequantized numbers multiply the integers.

    %x = linalg.generic ins(%q : …xi8) { (extui q - 120) * 0.02 }          %q : tensor<mxkxi8>
    %w = linalg.generic ins(@v : …xi8) { (extsi v) * scale[n] }
    %r = linalg.matmul ins(%x, %w) outs(%zeros : …xf32)
      ─>
    %i = linalg.generic ins(%q, @v : …xi8) outs(%zeros : …xi32) { extui, extsi, muli, addi }
    %r = linalg.generic ins(%i) { sitofp(i - 120 * Σ v[k, n]) * (0.02 * scale[n]) }

The weights must be constants, their zero points become part of them, and their scale may differ from column to column;
the other operand has one scale and one zero point, numbers or scalars of run time. Depthwise convolutions multiply
integers from which the zero point was taken off before, so that paddings still add nothing. Products of centered
integers, as in ONNX' QLinearMatMul, are the same without scales: exact, as before. With scales the result is rounded
less often than the product of dequantized floats: once per sum, not once per term. Paddings, reshapes and transposes
between the dequantization and the contraction are done on the integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.target import CpuTarget, parse_target
from mlirage.constants import add_global
from mlirage.contractions import Contraction, match_contraction
from mlirage.global_optimization.constant_arrays import constant_array, drop_unread_constants, load_constant
from mlirage.global_optimization.dequantized_factors import Operand, match_dequantization, spread_constant
from mlirage.global_optimization.dot_product_groups import fills_groups
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.mlir import arith, ir, linalg, tensor
from mlirage.passes import module_pass
from mlirage.program import Array, Program
from mlirage.tensor_shapes import Extent, extents

_FEW_CHANNELS = 4
_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape", "tensor.cast", "tensor.extract_slice")


@module_pass("global-optimization-multiply-integers")
def multiply_integers(program: Program) -> None:
    """Rewrites every contraction of a dequantized (or centered) operand with constant quantized weights."""
    changed = False
    ops = structured_ops.tensor_ops(program.module.operation)
    for op in [op for op in ops if structured_ops.is_structured(op)]:
        contraction = match_contraction(op) or _match_depthwise(op)
        if contraction is not None and not contraction.panel:
            changed |= _rewrite(program, contraction)
    if changed:
        drop_unread_constants(program)


def _match_depthwise(op: ir.Operation) -> Contraction | None:
    """A convolution whose channels index image, filter and result, by the roles that are asked for here."""
    if structured_ops.segment_sizes(op) != [2, 1] or len(op.results) != 1 or structured_ops.multiply_add(op) is None:
        return None
    image, other, result = structured_ops.indexing_maps(op)
    written = structured_ops.map_dims(result)
    if not written or None in written or len(set(written)) != len(written) or None in structured_ops.map_dims(other):
        return None
    order = [loop for loop in written if loop is not None]
    taps = [loop for loop, is_parallel in enumerate(structured_ops.parallel_loops(op)) if not is_parallel]
    reads_taps = set(structured_ops.map_dims(other)) >= set(taps)
    if not reads_taps or not taps or not structured_ops.is_window(op) or image.n_dims != len(order) + len(taps):
        return None
    return Contraction(op, 0, 1, order[-1], (), tuple(order[:-1]), tuple(taps), 0)


@dataclass(frozen=True)
class _Weights:
    """Constant weights: integers, and a scale that fits them by broadcasting, or none."""

    numbers: Array
    scale: Array | None


@dataclass(frozen=True)
class _Activations:
    """The other operand: narrow integers in place of what was dequantized."""

    integers: ir.Value
    signed: bool
    zero: int | ir.Value
    zero_signed: bool
    scale: float | ir.Value | None


def _rewrite(program: Program, contraction: Contraction) -> bool:
    op = contraction.op
    block = structured_ops.body(op)
    matched = structured_ops.multiply_add(op)
    assert matched is not None
    if matched[1] != block.arguments[0] or matched[2] != block.arguments[1]:
        return False
    element = structured_ops.element_type(op.results[0].type)
    is_float = isinstance(element, ir.F32Type)
    if not is_float and str(element) != "i32":
        return False
    dims = structured_ops.map_dims(contraction.maps[contraction.right])
    if (
        None in dims
        or len(set(dims)) != len(dims)
        or not may_multiply_integers(op, contraction.right, is_float, parse_target(program.options.target))
    ):
        return False
    weights = _weights(program, contraction.right_value, is_float)
    if weights is None or not weights.numbers.size:
        return False
    kept = [loop for loop in dims if loop is not None and (loop == contraction.column or loop in contraction.outer)]
    depth_axes = tuple(axis for axis, loop in enumerate(dims) if loop not in kept)
    scale = weights.scale
    if scale is not None and any(scale.shape[axis] != 1 for axis in depth_axes):
        return False
    bits = _bits(weights.numbers)
    terms = int(np.prod([weights.numbers.shape[axis] for axis in depth_axes], dtype=np.int64))
    largest = max(abs(int(weights.numbers.min())), abs(int(weights.numbers.max())))
    if bits is None or (is_float and terms * 511 * largest >= 1 << 31):
        return False
    with ir.InsertionPoint(op), op.location:
        activations = _activations(contraction.left_value, is_float)
        if activations is None:
            return False
        center = 0
        if not contraction.rows and isinstance(activations.zero, int):
            # a padding with the zero point adds nothing then: windows leave it out
            center, activations = activations.zero, replace(activations, zero=0)
        total = _integer_product(program, contraction, activations, weights.numbers.astype(f"int{bits}"), bits, center)
        sums = weights.numbers.sum(axis=depth_axes, dtype=np.int64).astype(np.int32)
        scales = None if scale is None else np.broadcast_to(scale, weights.numbers.shape).max(axis=depth_axes)
        result = _finished(program, contraction, activations, total, sums, scales, kept, is_float)
    op.results[0].replace_all_uses_with(result)
    op.erase()
    return True


def _bits(numbers: Array) -> int | None:
    for bits in (8, 16):
        if int(numbers.min()) >= -(1 << (bits - 1)) and int(numbers.max()) < 1 << (bits - 1):
            return bits
    return None


def _weights(program: Program, value: ir.Value, is_float: bool) -> _Weights | None:
    """What constant weights are made of."""
    plain = None if is_float or 0 in value.type.shape else constant_array(program, value)
    if plain is not None:
        return _Weights(plain[1].astype(np.int32, copy=False), None) if _bits(plain[1]) else None
    dequantized = match_dequantization(value)
    if dequantized is not None and dequantized.is_float == is_float:
        rank = ir.RankedTensorType(value.type).rank
        numbers = spread_constant(program, dequantized.source, rank, dequantized.signed)
        if numbers is None or numbers.shape != tuple(value.type.shape):
            return None
        if isinstance(dequantized.zero, Operand):
            zero = spread_constant(program, dequantized.zero, rank, dequantized.zero_signed)
            if zero is None:
                return None
            numbers = numbers - zero
        elif dequantized.zero:
            numbers = numbers - np.int32(dequantized.zero)
        scale: Array | None = None
        if isinstance(dequantized.scale, Operand):
            scale = spread_constant(program, dequantized.scale, rank, True)
            if scale is None:
                return None
        elif dequantized.scale is not None:
            scale = np.full((1,) * rank, dequantized.scale, np.float32)
        return _Weights(numbers, scale)
    transposed = transposed_source(value)
    if transposed is not None:
        source = _weights(program, transposed[0], is_float)
        dims = structured_ops.map_dims(transposed[1])
        if source is None or None in dims:
            return None
        order = [dims.index(d) for d in range(len(dims))]
        return _Weights(
            source.numbers.transpose(order), None if source.scale is None else source.scale.transpose(order)
        )
    op = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if op is not None and op.name in ("tensor.expand_shape", "tensor.collapse_shape"):
        source = _weights(program, op.operands[0], is_float)
        if source is None:
            return None
        scale = None if source.scale is None else _reshaped_scale(source.scale, source.numbers.shape, op)
        return _Weights(source.numbers.reshape(tuple(value.type.shape)), scale)
    return None


def _reshaped_scale(scale: Array, shape: Sequence[int], op: ir.Operation) -> Array:
    """A scale that fits weights of `shape` by broadcasting, after the dims of the weights were split or joined."""
    result = tuple(op.results[0].type.shape)
    spread, to = list(scale.shape), [1] * len(result)
    for number, group in enumerate(ir.ArrayAttr(op.attributes["reassociation"])):
        dims = [ir.IntegerAttr(d).value for d in ir.ArrayAttr(group)]
        before, after = ([number], dims) if op.name == "tensor.expand_shape" else (dims, [number])
        if any(scale.shape[d] != 1 for d in before):
            for d in before:
                spread[d] = shape[d]
            for d in after:
                to[d] = result[d]
    return np.broadcast_to(scale, spread).reshape(to)


def may_multiply_integers(op: ir.Operation, right: int, is_float: bool, target: CpuTarget) -> bool:
    """Whether `op` multiplies dequantized (or centered) numbers with its operand number `right`, should that be too.

    Images of few channels stay floats where no instruction takes neighbours in a row, or single channels, in groups.
    """
    if not structured_ops.is_structured(op) or structured_ops.segment_sizes(op) != [2, 1] or right > 1:
        return False
    if structured_ops.multiply_add(op) is None or (is_float and has_few_channels(op) and not fills_groups(op, target)):
        return False
    return _may_be_narrow(op.operands[1 - right], is_float)


def has_few_channels(op: ir.Operation) -> bool:
    """Whether `op` is a convolution of an image of few channels."""
    if not structured_ops.is_window(op) or structured_ops.multiply_add(op) is None:
        return False
    parallel, extents_ = structured_ops.parallel_loops(op), structured_ops.loop_extents(op)
    read = structured_ops.map_dims(structured_ops.indexing_maps(op)[0])
    channels = [extents_[loop] for loop in read if loop is not None and not parallel[loop]]
    return bool(channels) and 0 < int(np.prod(channels)) <= _FEW_CHANNELS


def _may_be_narrow(value: ir.Value, is_float: bool) -> bool:
    """Whether a left operand is made of narrow integers, moved and padded; nothing is built."""
    padded = False
    while not isinstance(value.owner, ir.Block):
        op = value.owner.operation
        dequantized = match_dequantization(value)
        if dequantized is not None:
            narrow = structured_ops.element_type(dequantized.source.value.type)
            uniform = all(
                not isinstance(f, Operand) or not f.read.results for f in (dequantized.zero, dequantized.scale)
            )
            moved = not dequantized.source.read.is_permutation
            runtime_zero = isinstance(dequantized.zero, Operand)
            # a zero point beyond the integers' range cannot pad, nor is it known then that scaled sums stay in i32
            fits = _fits(dequantized.zero, dequantized.signed)
            return (
                dequantized.is_float == is_float and str(narrow) == "i8" and uniform and not moved
                and not (runtime_zero and padded) and (fits or not (padded or is_float))
            )  # fmt: skip
        if op.name == "tensor.pad":
            if not _pads_zeros(op):
                return False
            padded = True
        elif op.name not in _RESHAPES and transposed_source(value) is None:
            return False
        value = op.operands[0]
    return False


def _fits(zero: int | Operand | None, signed: bool) -> bool:
    if isinstance(zero, Operand):
        element = structured_ops.element_type(zero.value.type)
        return isinstance(element, ir.IntegerType) and element.width <= 8
    return zero is None or (-128 <= zero < 128 if signed else 0 <= zero < 256)


def _pads_zeros(op: ir.Operation) -> bool:
    padding = list(op.regions[0].blocks[0].operations)[-1].operation.operands[0]
    owner = None if isinstance(padding.owner, ir.Block) else padding.owner.operation
    if owner is None or owner.name != "arith.constant":
        return False
    number = owner.attributes["value"]
    return (ir.FloatAttr(number).value if isinstance(number, ir.FloatAttr) else ir.IntegerAttr(number).value) == 0


def _activations(value: ir.Value, is_float: bool) -> _Activations | None:
    """The integers that `value` was dequantized from, moved as `value` was; only if `_may_be_narrow`."""
    dequantized = match_dequantization(value)
    if dequantized is not None:
        zero, scale = dequantized.zero, dequantized.scale
        integers = dequantized.source.value
        if dequantized.source.read != structured_ops.identity_map(ir.RankedTensorType(value.type).rank):
            integers = _transposed(integers, dequantized.source.read, extents(value))
        return _Activations(
            integers,
            dequantized.signed,
            zero.value if isinstance(zero, Operand) else zero or 0,
            dequantized.zero_signed,
            scale.value if isinstance(scale, Operand) else scale,
        )
    op = value.owner.operation  # pyright: ignore[reportAttributeAccessIssue]
    source = _activations(op.operands[0], is_float)
    if source is None:
        return None
    kind = ir.RankedTensorType.get(value.type.shape, ir.IntegerType.get_signless(8))
    transposed = transposed_source(value)
    if transposed is not None:
        moved = _transposed(source.integers, transposed[1], extents(value))
    else:
        moved_op = op.clone(ip=ir.InsertionPoint.current)
        moved_op.operands[0] = source.integers
        moved = moved_op.results[0]
        moved.set_type(kind)
        if op.name == "tensor.pad":
            assert isinstance(source.zero, int), "_may_be_narrow was not asked"
            byte = source.zero - 256 if source.zero > 127 else source.zero
            with ir.InsertionPoint(moved_op):
                padding = arith.constant(kind.element_type, byte)
            list(moved_op.regions[0].blocks[0].operations)[-1].operation.operands[0] = padding
    return _Activations(moved, source.signed, source.zero, source.zero_signed, source.scale)


def _transposed(source: ir.Value, read: ir.AffineMap, shape: list[Extent]) -> ir.Value:
    """A tensor of `shape` that reads `source` through a permutation of its dims."""
    rank = len(shape)
    empty = tensor.EmptyOp(shape, structured_ops.element_type(source.type)).result
    return structured_ops.build_generic(
        [source], [empty], [read, structured_ops.identity_map(rank)], [True] * rank,
        lambda block: [block.arguments[0]], ir.Location.current,
    ).results[0]  # fmt: skip


def _integer_product(
    program: Program, contraction: Contraction, activations: _Activations, numbers: Array, bits: int, center: int
) -> ir.Value:
    """The sums of products of the integers as they are, zero points not yet taken off but for `center`."""
    op = contraction.op
    i32 = ir.IntegerType.get_signless(32)
    right_element = ir.IntegerType.get_signless(bits)
    with contraction.right_value.location:
        kind = ir.RankedTensorType.get(numbers.shape, right_element)
        right = load_constant(program, add_global(program, kind, np.ascontiguousarray(numbers), "integers"))
    shape = extents(structured_ops.outputs(op)[0])
    zeros = linalg.fill(arith.constant(i32, 0), outs=[tensor.EmptyOp(shape, i32).result])
    inputs = [right, right]
    inputs[contraction.left] = activations.integers

    def fill_body(block: ir.Block) -> list[ir.Value]:
        x, w = block.arguments[contraction.left], block.arguments[contraction.right]
        x = arith.extsi(i32, x) if activations.signed else arith.extui(i32, x)
        if center:
            x = arith.subi(x, arith.constant(i32, center))
        return [arith.addi(block.arguments[2], arith.muli(x, arith.extsi(i32, w)))]

    return structured_ops.build_generic(
        inputs, [zeros], contraction.maps, structured_ops.parallel_loops(op), fill_body, op.location
    ).results[0]


def _finished(
    program: Program,
    contraction: Contraction,
    activations: _Activations,
    total: ir.Value,
    sums: Array,
    scales: Array | None,
    kept: list[int],
    is_float: bool,
) -> ir.Value:
    """Takes zero points off the sums and multiplies them by the scales; adds what the contraction started from."""
    op = contraction.op
    init = structured_ops.outputs(op)[0]
    written = structured_ops.map_dims(contraction.maps[2])
    rank = len(written)
    identity = structured_ops.identity_map(rank)
    columns = ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(written.index(loop)) for loop in kept])
    scalar = ir.AffineMap.get(rank, 0, [])
    i32, f32 = ir.IntegerType.get_signless(32), ir.F32Type.get()
    inputs: list[ir.Value] = [total]
    maps = [identity]

    def read(value: ir.Value, indexing: ir.AffineMap) -> int:
        inputs.append(value)
        maps.append(indexing)
        return len(inputs) - 1

    def constant(array: Array, element: ir.Type) -> int | ir.Attribute:
        if bool((array == array.reshape(-1)[0]).all()):
            first = array.reshape(-1)[0]
            return ir.IntegerAttr.get(i32, int(first)) if element == i32 else ir.FloatAttr.get(f32, float(first))
        kind = ir.RankedTensorType.get(array.shape, element)
        name = add_global(program, kind, np.ascontiguousarray(array), "column_factors")
        return read(load_constant(program, name), columns)

    zero, scale = activations.zero, activations.scale
    if isinstance(zero, int):
        taken_off = constant((sums.astype(np.int64) * zero).astype(np.int32), i32) if zero else None
        runtime_zero = None
    else:
        taken_off, runtime_zero = constant(sums, i32), read(zero, scalar)
    factor: int | ir.Attribute | None = None
    if is_float:
        known = np.float32(scale) if isinstance(scale, float) else np.float32(1)
        factors = np.full((1,) * len(kept), known, np.float32) if scales is None else scales * known
        factor = constant(np.broadcast_to(factors, sums.shape), f32)
    runtime_scale = read(scale, scalar) if isinstance(scale, ir.Value) else None
    starts_from = None if is_zero_fill(init) else read(init, identity)

    def fill_body(block: ir.Block) -> list[ir.Value]:
        def of(source: int | ir.Attribute) -> ir.Value:
            if isinstance(source, int):
                return block.arguments[source]
            return arith.constant(source.type, source)  # pyright: ignore[reportAttributeAccessIssue]

        value = block.arguments[0]
        if taken_off is not None:
            amount = of(taken_off)
            if runtime_zero is not None:
                wide = block.arguments[runtime_zero]
                if wide.type != i32:
                    wide = arith.extsi(i32, wide) if activations.zero_signed else arith.extui(i32, wide)
                amount = arith.muli(amount, wide)
            value = arith.subi(value, amount)
        if factor is not None:
            by = of(factor)
            if runtime_scale is not None:
                by = arith.mulf(block.arguments[runtime_scale], by)
            value = arith.mulf(arith.sitofp(f32, value), by)
        if starts_from is not None:
            add = arith.addf if is_float else arith.addi
            value = add(block.arguments[starts_from], value)
        return [value]

    shape = extents(init)
    out = tensor.EmptyOp(shape, f32 if is_float else i32).result
    return structured_ops.build_generic(
        inputs, [out], [*maps, identity], [True] * rank, fill_body, op.location
    ).results[0]


def is_zero_fill(init: ir.Value) -> bool:
    """Whether a contraction starts from zeros."""
    owner = None if isinstance(init.owner, ir.Block) else init.owner.operation
    if owner is None or owner.name != "linalg.fill":
        return False
    source = owner.operands[0].owner
    if isinstance(source, ir.Block) or source.operation.name != "arith.constant":
        return False
    number = source.operation.attributes["value"]
    return (ir.FloatAttr(number).value if isinstance(number, ir.FloatAttr) else ir.IntegerAttr(number).value) == 0
