"""input-convert-stablehlo-windows: paddings and windows over extents that are known at run time alone.

    %r = stablehlo.dynamic_pad %x, %v, %low, %high, %interior
    =>
    %r = linalg.generic … {inside ? tensor.extract %x[(i - low) / (interior + 1)] : %v}

    %r = stablehlo.reduce_window(%x, %init) {window, strides, padding} : (tensor<?x?xf32>, …) -> tensor<?x?xf32>
    =>
    %p = linalg.generic … the padded, dilated operand;  %r = linalg.generic … {window loops are reductions} ins(%p)

Convolutions go the same way; groups are a dim of their own. What has static shapes is left to
stablehlo-legalize-to-linalg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.element_types import signless
from mlirage.input.convert_stablehlo_to_linalgx import move_scalar_region, restore_sign
from mlirage.mlir import arith, complex_, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import Extent, collapse_dims, expand_dim, extents

_I = arith.CmpIPredicate


@module_pass("input-convert-stablehlo-windows")
def convert_stablehlo_windows(program: Program) -> None:
    """Replaces pad, reduce_window and convolution, where shapes are dynamic."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        values = [*op.operands, *op.results]
        if op.name not in ("stablehlo.dynamic_pad", "stablehlo.dynamic_conv") and all(
            ir.RankedTensorType(value.type).has_static_shape for value in values
        ):
            continue
        with op.location, ir.InsertionPoint(op):
            for old, value in zip(op.results, _CONVERSIONS[op.name](op), strict=True):
                wanted = signless(old.type)
                cast = value if value.type == wanted else tensor.cast(wanted, value)
                old.replace_all_uses_with(restore_sign(cast, old.type))
        op.erase()


@dataclass(frozen=True)
class _Padding:
    """Of one dim: elements before, after and between."""

    low: ir.Value
    high: ir.Value
    interior: ir.Value


def _index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)


def _value(extent: Extent) -> ir.Value:
    return _index(extent) if isinstance(extent, int) else extent


def _plain(value: ir.Value) -> ir.Value:
    return restore_sign(value, signless(value.type))


def _integers(op: ir.Operation, name: str, default: Sequence[int] = ()) -> list[int]:
    return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else list(default)


def _elements(vector: ir.Value) -> list[ir.Value]:
    """The elements of a run-time list as indices."""
    kind = ir.RankedTensorType(vector.type)
    loaded = [tensor.extract(_plain(vector), [_index(i)]) for i in range(kind.get_dim_size(0))]
    return [v if isinstance(v.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), v) for v in loaded]


def _pad(op: ir.Operation) -> list[ir.Value]:
    if op.name == "stablehlo.dynamic_pad":
        low, high, interior = (_elements(vector) for vector in list(op.operands)[2:])
    else:
        names = ("edge_padding_low", "edge_padding_high", "interior_padding")
        low, high, interior = ([_index(v) for v in _integers(op, name)] for name in names)
    paddings = [_Padding(*three) for three in zip(low, high, interior, strict=True)]
    return [_padded(_plain(op.operands[0]), tensor.extract(_plain(op.operands[1]), []), paddings)]


def _padded(source: ir.Value, filler: ir.Value, paddings: Sequence[_Padding]) -> ir.Value:
    """`source` with elements put around and between; negative paddings take away."""
    one, zero = _index(1), _index(0)
    sizes = [_value(extent) for extent in extents(source)]
    shape: list[ir.Value] = []
    for size, padding in zip(sizes, paddings, strict=True):
        between = arith.muli(arith.maxsi(arith.subi(size, one), zero), padding.interior)
        total = arith.addi(arith.addi(arith.addi(size, between), padding.low), padding.high)
        shape.append(arith.maxsi(total, zero))
    rank = len(shape)
    out = tensor.empty(shape, ir.RankedTensorType(source.type).element_type)

    def body(block: ir.Block) -> Sequence[ir.Value]:
        del block
        inside = arith.constant(ir.IntegerType.get_signless(1), 1)
        where: list[ir.Value] = []
        for i, (size, padding) in enumerate(zip(sizes, paddings, strict=True)):
            distance = arith.subi(linalg.IndexOp(i).result, padding.low)
            step = arith.addi(padding.interior, one)
            place = arith.divsi(distance, step)
            hits = arith.cmpi(_I.eq, arith.muli(place, step), distance)
            # Taken as unsigned, places before the first are beyond the last.
            inside = arith.andi(inside, arith.andi(hits, arith.cmpi(_I.ult, place, size)))
            where.append(place)
        # What is outside reads nothing: there may be no element at all.
        choice = ir.Operation.create("scf.if", results=[filler.type], operands=[inside], regions=2)
        for region, inner in zip(choice.regions, (True, False), strict=True):
            with ir.InsertionPoint(ir.Block.create_at_start(region, [])):
                ir.Operation.create("scf.yield", operands=[tensor.extract(source, where) if inner else filler])
        return [choice.results[0]]

    return build_generic([], [out], [identity_map(rank)], [True] * rank, body, ir.Location.current).results[0]


def _static_paddings(pairs: Sequence[tuple[int, int]], dilations: Sequence[int]) -> list[_Padding]:
    return [
        _Padding(_index(low), _index(high), _index(dilation - 1))
        for (low, high), dilation in zip(pairs, dilations, strict=True)
    ]


def _window_count(size: ir.Value, window: Extent, dilation: int, stride: int) -> ir.Value:
    """How many windows fit."""
    one, zero = _index(1), _index(0)
    wide = arith.addi(arith.muli(arith.subi(_value(window), one), _index(dilation)), one)
    room = arith.subi(size, wide)
    fits = arith.cmpi(_I.sge, room, zero)
    return arith.select(fits, arith.addi(arith.divsi(arith.maxsi(room, zero), _index(stride)), one), zero)


def _pairs(op: ir.Operation, rank: int) -> list[tuple[int, int]]:
    if "padding" not in op.attributes:
        return [(0, 0)] * rank
    flat = [int(v) for v in ir.DenseIntElementsAttr(op.attributes["padding"])]
    flat = flat if len(flat) == 2 * rank else [flat[0]] * (2 * rank)
    return list(zip(flat[::2], flat[1::2], strict=True))


def _reduce_window(op: ir.Operation) -> list[ir.Value]:
    count = len(op.results)
    operands, starts = list(op.operands)[:count], list(op.operands)[count:]
    rank = ir.RankedTensorType(operands[0].type).rank
    ones = [1] * rank
    window = _integers(op, "window_dimensions")
    stride, base, dilation = (
        _integers(op, name, ones) for name in ("window_strides", "base_dilations", "window_dilations")
    )
    scalars = [tensor.extract(_plain(start), []) for start in starts]
    paddings = _static_paddings(_pairs(op, rank), base)
    padded = [_padded(_plain(x), scalar, paddings) for x, scalar in zip(operands, scalars, strict=True)]
    sizes = [
        _window_count(_value(extent), window[i], dilation[i], stride[i]) for i, extent in enumerate(extents(padded[0]))
    ]
    outs = [linalg.fill(scalar, outs=[tensor.empty(sizes, scalar.type)]) for scalar in scalars]
    d = [ir.AffineExpr.get_dim(i) for i in range(2 * rank)]
    reads = ir.AffineMap.get(2 * rank, 0, [d[i] * stride[i] + d[rank + i] * dilation[i] for i in range(rank)])
    extent_map = ir.AffineMap.get(2 * rank, 0, d[rank:])
    writes = ir.AffineMap.get(2 * rank, 0, d[:rank])
    shape = tensor.empty(window, scalars[0].type)  # tells the extents of the loops over a window

    def body(block: ir.Block) -> Sequence[ir.Value]:
        arguments = list(block.arguments)
        return move_scalar_region(op, 0, [*arguments[count + 1 :], *arguments[:count]])

    parallel = [True] * rank + [False] * rank
    maps = [*[reads] * count, extent_map, *[writes] * count]
    return list(build_generic([*padded, shape], outs, maps, parallel, body, ir.Location.current).results)


def _convolution(op: ir.Operation) -> list[ir.Value]:
    left, right = op.operands[0], op.operands[1]
    lhs, rhs, out = _layouts(str(op.attributes["dimension_numbers"]))
    spatial = len(lhs) - 2
    ones = [1] * spatial
    stride, spread, dilation = (
        _integers(op, name, ones) for name in ("window_strides", "lhs_dilation", "rhs_dilation")
    )
    if op.name == "stablehlo.dynamic_conv":
        flat = _padding_elements(op.operands[2], spatial)
    else:
        flat = [(_index(low), _index(high)) for low, high in _pairs(op, spatial)]
    none = _Padding(_index(0), _index(0), _index(0))
    paddings = [
        none if c in "bf" else _Padding(*flat[int(c)], _index(spread[int(c)] - 1))
        for c in lhs
    ]  # fmt: skip
    source, kernel = _plain(left), _reversed(op, _plain(right), rhs)
    element = ir.RankedTensorType(source.type).element_type
    padded = _padded(source, _zero(element), paddings)
    # A group is a dim "g" before the features of the operand, or before its batch, and before the kernel's outputs.
    groups = {
        c: ir.IntegerAttr(op.attributes[f"{name}_group_count"]).value for c, name in (("f", "feature"), ("b", "batch"))
    }
    if groups["f"] != 1 or groups["b"] != 1:
        split = "f" if groups["f"] != 1 else "b"
        count = groups[split]
        padded, lhs = _grouped(padded, lhs, split, count)
        kernel, rhs = _grouped(kernel, rhs, "o", count)
        place_of_group = out.index("f")
        out = [*out[:place_of_group], "g", *out[place_of_group:]]
    sizes, window = extents(padded), extents(kernel)
    loops = ["b", *map(str, range(spatial)), "g", "o", *(f"k{i}" for i in range(spatial)), "i"]
    loops = [name for name in loops if name != "g" or "g" in out]
    d = {name: ir.AffineExpr.get_dim(i) for i, name in enumerate(loops)}
    shape: list[Extent] = []
    for c in out:
        if c in "bg":
            shape.append(sizes[lhs.index(c)])
        elif c == "f":
            shape.append(window[rhs.index("o")])
        else:
            i = int(c)
            shape.append(_window_count(_value(sizes[lhs.index(c)]), window[rhs.index(c)], dilation[i], stride[i]))
    total = ir.RankedTensorType(signless(op.results[0].type)).element_type
    signs = [ir.RankedTensorType(v.type).element_type for v in (left, right)]

    def place(c: str) -> ir.AffineExpr:
        return d["i"] if c == "f" else d[c] if c in "bg" else d[c] * stride[int(c)] + d[f"k{c}"] * dilation[int(c)]

    maps = [
        [place(c) for c in lhs],
        [d[c] if c in "gio" else d[f"k{c}"] for c in rhs],
        [d["o"] if c == "f" else d[c] for c in out],
    ]

    def body(block: ir.Block) -> Sequence[ir.Value]:
        a, b, acc = block.arguments
        a, b = (_extended(v, total, sign) for v, sign in zip((a, b), signs, strict=True))
        if isinstance(total, ir.ComplexType):
            return [complex_.add(acc, complex_.mul(a, b))]
        if isinstance(total, ir.FloatType):
            return [arith.addf(acc, arith.mulf(a, b))]
        return [arith.addi(acc, arith.muli(a, b))]

    init = linalg.fill(_zero(total), outs=[tensor.empty(shape, total)])
    affine = [ir.AffineMap.get(len(loops), 0, expressions) for expressions in maps]
    parallel = [name[0] not in "ki" for name in loops]
    result = build_generic([padded, kernel], [init], affine, parallel, body, ir.Location.current).results[0]
    return [collapse_dims(result, out.index("g"), 2) if "g" in out else result]


def _grouped(value: ir.Value, layout: list[str], dim: str, count: int) -> tuple[ir.Value, list[str]]:
    """`value` with `dim` split into groups and what is in one, and its layout."""
    number = layout.index(dim)
    extent = extents(value)[number]
    part = extent // count if isinstance(extent, int) else arith.divui(extent, _index(count))
    return expand_dim(value, number, [count, part]), [*layout[:number], "g", *layout[number:]]


def _reversed(op: ir.Operation, kernel: ir.Value, layout: list[str]) -> ir.Value:
    """The kernel with the spatial dims of `window_reversal` turned around."""
    if "window_reversal" not in op.attributes:
        return kernel
    turned = list(ir.DenseBoolArrayAttr(op.attributes["window_reversal"]))
    if not any(turned):
        return kernel
    sizes = extents(kernel)
    out = tensor.empty(sizes, ir.RankedTensorType(kernel.type).element_type)

    def body(block: ir.Block) -> Sequence[ir.Value]:
        del block
        where: list[ir.Value] = []
        for i, c in enumerate(layout):
            place = linalg.IndexOp(i).result
            if c.isdigit() and turned[int(c)]:
                place = arith.subi(arith.subi(_value(sizes[i]), _index(1)), place)
            where.append(place)
        return [tensor.extract(kernel, where)]

    rank = len(sizes)
    return build_generic([], [out], [identity_map(rank)], [True] * rank, body, ir.Location.current).results[0]


def _layouts(text: str) -> tuple[list[str], list[str], list[str]]:
    """`#stablehlo.conv<[b, 0, f]x[0, i, o]->[b, 0, f]>` as three lists."""
    lists = [part.split("]")[0].replace(" ", "").split(",") for part in text.split("[")[1:]]
    return lists[0], lists[1], lists[2]


def _padding_elements(matrix: ir.Value, spatial: int) -> list[tuple[ir.Value, ir.Value]]:
    index = ir.IndexType.get()

    def load(i: int, j: int) -> ir.Value:
        value = tensor.extract(_plain(matrix), [_index(i), _index(j)])
        return value if isinstance(value.type, ir.IndexType) else arith.index_cast(index, value)

    return [(load(i, 0), load(i, 1)) for i in range(spatial)]


def _zero(element: ir.Type) -> ir.Value:
    if isinstance(element, ir.ComplexType):
        part = element.element_type
        return complex_.create_(element, arith.constant(part, 0.0), arith.constant(part, 0.0))
    return arith.constant(element, 0.0 if isinstance(element, ir.FloatType) else 0)


def _extended(value: ir.Value, wanted: ir.Type, source: ir.Type) -> ir.Value:
    if value.type == wanted or isinstance(wanted, ir.ComplexType):
        return value
    if isinstance(wanted, ir.FloatType):
        return arith.extf(wanted, value)
    unsigned = isinstance(source, ir.IntegerType) and (source.is_unsigned or source.width == 1)
    return arith.extui(wanted, value) if unsigned else arith.extsi(wanted, value)


_CONVERSIONS = {
    "stablehlo.pad": _pad,
    "stablehlo.dynamic_pad": _pad,
    "stablehlo.reduce_window": _reduce_window,
    "stablehlo.convolution": _convolution,
    "stablehlo.dynamic_conv": _convolution,
}
