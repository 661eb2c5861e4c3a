"""global-optimization-channels-last: windows slide over tensors whose channels lie side by side.

    %y = linalg.conv_2d_nchw_fchw ins(%x, %w …)           %t = transpose %x                             // n, h, w, c
    %z = linalg.generic … ins(%y) { relu }            ->  %u = linalg.generic … ins(%t, %w) outs(n, h, w, f)
                                                          %v = linalg.generic … ins(%u) { relu }          // n, h, w, f
                                                          %z = transpose %v                             // n, f, h, w

Convolutions and poolings read and write their tensors with the channels last; elementwise ops, paddings, slices,
concatenations and reshapes between them follow, other generics read through another map. A transpose stays where the
graph needs the old order: at its edges. Constants are transposed at once. Filters keep their order, `pack-weights`
lays them out; those of depthwise convolutions have their channels last, too. An image of few channels, as cameras make
them, is read pixel by pixel and stays as it is. So do windows that gain less than the copies cost (layout_regions.py).
Of an image that only a convolution of single pixels with strides reads, the others are not copied (few_pixels.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage import structured_ops
from mlirage.global_optimization.constant_arrays import add_constant, constant_array, drop_unread_constants
from mlirage.global_optimization.few_pixels import every_few_pixels
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.global_optimization.layout_regions import multiply_planes, windows_that_stay
from mlirage.mlir import arith, identity, ir, ml_program, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program

Order = tuple[int, ...]

# Images with so many channels at most stay as they are.
_FEW_CHANNELS = 4


@module_pass("global-optimization-channels-last")
def channels_last(program: Program) -> None:
    """Gives windows and what is between them the order batch, space, channels."""
    windows = [op for op in walk(program.module.operation) if structured_ops.is_window(op) and window_orders(op)]
    blocks = dict.fromkeys(op.block for op in windows)
    stays = windows_that_stay(windows)
    for block in blocks:
        _Layout(program, block, stays).run()
    if blocks:
        drop_unread_constants(program)


def window_orders(op: ir.Operation) -> tuple[Order, Order] | None:
    """For a window op with channels first the order of the dims of its image and result that puts channels last."""
    if len(op.results) != 1 or len(structured_ops.outputs(op)) != 1 or len(structured_ops.inputs(op)) != 2:
        return None
    maps = structured_ops.indexing_maps(op)
    image, result = maps[0], maps[-1]
    if None in structured_ops.map_dims(result) or not structured_ops.parallel_loops(op):
        return None
    inside = [_loops_of(e) for e in image.results]
    spatial = [i for i, loops in enumerate(inside) if not isinstance(image.results[i], ir.AffineDimExpr) and loops]
    sliding = {loop for i in spatial for loop in inside[i]}
    written = structured_ops.map_dims(result)
    if not spatial or 0 in spatial or written[:1] != structured_ops.map_dims(image)[:1]:
        return None
    order = _channels_last(len(inside), spatial)
    out = _channels_last(len(written), [i for i, loop in enumerate(written) if loop in sliding])
    return None if order == tuple(range(len(order))) and out == tuple(range(len(out))) else (order, out)


def _filter_order(op: ir.Operation) -> Order:
    """The filter of a depthwise convolution has its channels last, too: they are the lanes. Others stay."""
    _, other, result = structured_ops.indexing_maps(op)
    dims = structured_ops.map_dims(other)
    order = tuple(range(len(dims)))
    parallel = structured_ops.parallel_loops(op)
    if structured_ops.multiply_add(op) is None or None in dims or None in structured_ops.map_dims(result):
        return order
    channels = [d for d in order if (loop := dims[d]) is not None and parallel[loop]]
    images = set().union(*(_loops_of(e) for e in structured_ops.indexing_maps(op)[0].results))
    if not all(dims[d] in images for d in channels):
        return order
    return tuple(sorted(order, key=lambda d: d in channels))


def _channels_last(rank: int, spatial: Sequence[int]) -> Order:
    return (0, *spatial, *(i for i in range(1, rank) if i not in spatial))


def _loops_of(expr: ir.AffineExpr) -> set[int]:
    if isinstance(expr, ir.AffineDimExpr):
        return {expr.position}
    return _loops_of(expr.lhs) | _loops_of(expr.rhs) if isinstance(expr, ir.AffineBinaryExpr) else set()


class _Layout:
    """One block: for each tensor that was computed in another order, that tensor and the order of its dims."""

    def __init__(self, program: Program, block: ir.Block, stays: set[int]) -> None:
        self.program = program
        self.block = block
        self.stays = stays
        self.turned: dict[ir.Value, tuple[ir.Value, Order]] = {}
        self.restored: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        """Rewrites the ops of the block in order; then removes those that nobody reads."""
        before = [op.operation for op in self.block.operations]
        for op in before:
            with ir.InsertionPoint(op), op.location:
                if not self._turn(op):
                    self._restore_operands(op)
        for op in reversed([op.operation for op in self.block.operations]):
            pure = op.name.startswith(("linalg.", "tensor.", "arith.constant", "ml_program.global_load_const"))
            if pure and op.results and not any(list(r.uses) for r in op.results):
                op.erase()

    def _turn(self, op: ir.Operation) -> bool:
        """Computes `op` in the new order, if it should be."""
        if structured_ops.is_window(op):
            if identity(op) in self.stays:
                product = multiply_planes(op)
                if product is not None:
                    op.results[0].replace_all_uses_with(product)
                return product is not None
            orders = window_orders(op)
            if orders is not None:
                self._turn_window(op, *orders)
                return True
        if not any(operand in self.turned for operand in op.operands):
            return self._take_back(op)
        if op.name == "tensor.dim":
            return self._turn_dim(op)
        if structured_ops.is_structured(op):
            return self._turn_generic(op)
        match op.name:
            case "tensor.pad":
                return self._turn_pad(op)
            case "tensor.cast":
                return self._turn_cast(op)
            case "tensor.concat":
                return self._turn_concat(op)
            case "tensor.extract_slice":
                return self._turn_slice(op)
            case "tensor.insert_slice":
                return self._turn_insert(op)
            case "tensor.expand_shape" | "tensor.collapse_shape":
                return self._turn_reshape(op)
            case _:
                return False

    def _take_back(self, op: ir.Operation) -> bool:
        """A transpose from channels last to channels first: what was before it is the tensor in the new order."""
        transpose = transposed_source(op.results[0]) if len(op.results) == 1 else None
        if transpose is None:
            return False
        source, order = transpose[0], tuple(d for d in structured_ops.map_dims(transpose[1]) if d is not None)
        if len(order) < 3 or order != (0, *range(2, len(order)), 1):
            return False
        self.turned[op.results[0]] = (source, order)
        return True

    def _set(self, old: ir.Value, new: ir.Value, order: Order) -> None:
        if order == tuple(range(len(order))):
            old.replace_all_uses_with(new)
        else:
            self.turned[old] = (new, order)

    def _turn_window(self, op: ir.Operation, order: Order, out: Order) -> None:
        maps = structured_ops.indexing_maps(op)
        image, other = structured_ops.inputs(op)
        if self._is_read_pixel_by_pixel(op, image, order):
            order = tuple(range(len(order)))
        elif image not in self.turned and (few := every_few_pixels(op, image)) is not None:
            image, maps[0] = few
        filter_order = _filter_order(op)
        maps = [reorder(m, o) for m, o in zip(maps, (order, filter_order, out), strict=True)]
        operands = [self._in_order(image, order), self._in_order(other, filter_order)]
        init = self._in_order(structured_ops.outputs(op)[0], out)
        self._set(op.results[0], _rebuild(op, operands, [init], maps).results[0], out)

    def _is_read_pixel_by_pixel(self, op: ir.Operation, image: ir.Value, order: Order) -> bool:
        """Whether a contraction reads single elements of an image of few channels (RGB): turning it gains nothing."""
        source = None if isinstance(image.owner, ir.Block) else image.owner.operation
        if source is not None and source.name == "tensor.pad":
            image = source.operands[0]
        loop = structured_ops.map_dims(structured_ops.indexing_maps(op)[0])[order[-1]]
        is_summed = loop is not None and not structured_ops.parallel_loops(op)[loop]
        few = 0 < image.type.shape[order[-1]] <= _FEW_CHANNELS
        return few and is_summed and structured_ops.multiply_add(op) is not None and image not in self.turned

    def _turn_generic(self, op: ir.Operation) -> bool:
        """Other structured ops read the new tensors; elementwise ones also write in the new order."""
        maps = structured_ops.indexing_maps(op)
        count = structured_ops.segment_sizes(op)[0]
        follow = self._loop_order(op, maps)
        ins: list[ir.Value] = []
        for number, value in enumerate(structured_ops.inputs(op)):
            if value in self.turned:
                value, order = self.turned[value]
                maps[number] = reorder(maps[number], order)
            ins.append(value)
        orders: list[Order] = []
        outs: list[ir.Value] = []
        for number, value in enumerate(structured_ops.outputs(op)):
            dims = structured_ops.map_dims(maps[count + number])
            order = tuple(range(len(dims)))
            if follow is not None:
                order = tuple(sorted(order, key=lambda i: follow.index(dims[i])))
                maps[count + number] = reorder(maps[count + number], order)
            orders.append(order)
            outs.append(self._in_order(value, order))
        if follow is not None:  # loops in the new order, so that what comes later sees plain identities
            maps = [_renumber(m, follow) for m in maps]
        new = _rebuild(op, ins, outs, maps, follow)
        for old, result, order in zip(op.results, new.results, orders, strict=True):
            self._set(old, result, order)
        return True

    def _loop_order(self, op: ir.Operation, maps: Sequence[ir.AffineMap]) -> Order | None:
        """The order of the loops of an elementwise op that follows its turned operand; None: keep the results."""
        if not structured_ops.is_elementwise(op):
            return None
        for value, indexing in zip(structured_ops.inputs(op), maps, strict=False):
            if value in self.turned and indexing.is_permutation:
                dims = structured_ops.map_dims(indexing)
                return tuple(d for i in self.turned[value][1] if (d := dims[i]) is not None)
        return None

    def _turn_dim(self, op: ir.Operation) -> bool:
        owner = op.operands[1].owner
        if isinstance(owner, ir.Block) or owner.operation.name != "arith.constant":
            return False
        new, order = self.turned[op.operands[0]]
        position = order.index(ir.IntegerAttr(owner.operation.attributes["value"]).value)
        op.results[0].replace_all_uses_with(tensor.dim(new, arith.constant(ir.IndexType.get(), position)))
        return True

    def _turn_pad(self, op: ir.Operation) -> bool:
        new, order = self.turned[op.operands[0]]
        block = op.regions[0].blocks[0]
        padding = list(block.operations)[-1].operation.operands[0]
        inside = None if isinstance(padding.owner, ir.Block) else padding.owner.operation
        if padding.owner == block or (inside is not None and inside.block == block and inside.name != "arith.constant"):
            return False
        if inside is not None and inside.block == block:
            padding = inside.clone().results[0]
        segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
        low = _mixed(op, "static_low", 1, order)
        high = _mixed(op, "static_high", 1 + segments[1], order)
        pad = ir.Operation.create(
            "tensor.pad",
            results=[_reordered_type(op.results[0], order)],
            operands=[new, *low[1], *high[1]],
            attributes={
                "static_low": ir.DenseI64ArrayAttr.get(low[0]),
                "static_high": ir.DenseI64ArrayAttr.get(high[0]),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, len(low[1]), len(high[1])]),
            },
            regions=1,
        )
        index = ir.IndexType.get()
        body = ir.Block.create_at_start(pad.regions[0], [index] * len(order), [op.location] * len(order))
        with ir.InsertionPoint(body):
            tensor.yield_(padding)
        self._set(op.results[0], pad.results[0], order)
        return True

    def _turn_cast(self, op: ir.Operation) -> bool:
        new, order = self.turned[op.operands[0]]
        self._set(op.results[0], tensor.cast(_reordered_type(op.results[0], order), new), order)
        return True

    def _turn_concat(self, op: ir.Operation) -> bool:
        order = next(self.turned[v][1] for v in op.operands if v in self.turned)
        parts = [self._in_order(v, order) for v in op.operands]
        dim = order.index(ir.IntegerAttr(op.attributes["dim"]).value)
        concat = ir.Operation.create(
            "tensor.concat",
            results=[_reordered_type(op.results[0], order)],
            operands=parts,
            attributes={"dim": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), dim)},
        )
        self._set(op.results[0], concat.results[0], order)
        return True

    def _turn_slice(self, op: ir.Operation) -> bool:
        """Slices that keep all dims."""
        if op.operands[0] not in self.turned or len(op.results[0].type.shape) != len(op.operands[0].type.shape):
            return False
        new, order = self.turned[op.operands[0]]
        segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
        names = ("static_offsets", "static_sizes", "static_strides")
        starts = (1, 1 + segments[1], 1 + segments[1] + segments[2])
        parts = [_mixed(op, name, start, order) for name, start in zip(names, starts, strict=True)]
        attributes: dict[str, ir.Attribute] = {
            name: ir.DenseI64ArrayAttr.get(p[0]) for name, p in zip(names, parts, strict=True)
        }
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, *(len(p[1]) for p in parts)])
        result = ir.Operation.create(
            "tensor.extract_slice",
            results=[_reordered_type(op.results[0], order)],
            operands=[new, *(v for p in parts for v in p[1])],
            attributes=attributes,
        )
        self._set(op.results[0], result.results[0], order)
        return True

    def _turn_insert(self, op: ir.Operation) -> bool:
        """Writes of parts that have all dims: what concatenations are made of."""
        source, target = op.operands[0], op.operands[1]
        if source.type.rank != target.type.rank:
            return False
        order = self.turned[target if target in self.turned else source][1]
        segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
        names = ("static_offsets", "static_sizes", "static_strides")
        starts = (2, 2 + segments[2], 2 + segments[2] + segments[3])
        parts = [_mixed(op, name, start, order) for name, start in zip(names, starts, strict=True)]
        attributes: dict[str, ir.Attribute] = {
            name: ir.DenseI64ArrayAttr.get(p[0]) for name, p in zip(names, parts, strict=True)
        }
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, 1, *(len(p[1]) for p in parts)])
        tensors = [self._in_order(value, order) for value in (source, target)]
        result = ir.Operation.create(
            "tensor.insert_slice",
            results=[_reordered_type(op.results[0], order)],
            operands=[*tensors, *(v for p in parts for v in p[1])],
            attributes=attributes,
        )
        self._set(op.results[0], result.results[0], order)
        return True

    def _turn_reshape(self, op: ir.Operation) -> bool:
        """Reshapes whose groups of dims lie together in the new order as well."""
        new, order = self.turned[op.operands[0]]
        grouped = ir.ArrayAttr(op.attributes["reassociation"])
        groups = [[ir.IntegerAttr(i).value for i in ir.ArrayAttr(g)] for g in grouped]
        if op.name == "tensor.expand_shape":
            out = tuple(d for source in order for d in groups[source])
            turned = _runs([groups[source] for source in order])
            sizes = _mixed(op, "static_output_shape", 1, out)
            attributes: dict[str, ir.Attribute] = {
                "reassociation": _reassociation(turned),
                "static_output_shape": ir.DenseI64ArrayAttr.get(sizes[0]),
            }
            operands = [new, *sizes[1]]
        else:
            shape = op.operands[0].type.shape
            group_of = {d: g for g, group in enumerate(groups) for d in group}
            out = tuple(dict.fromkeys(group_of[d] for d in order))
            turned = [[d for d in order if group_of[d] == g] for g in out]
            wide = [[d for d in group if shape[d] != 1] for group in turned]
            together = [d for group in turned for d in group] == list(order)
            if not together or any(group != sorted(group) for group in wide):
                return False
            attributes = {"reassociation": _reassociation(_runs(turned))}
            operands = [new]
        result = ir.Operation.create(op.name, [_reordered_type(op.results[0], out)], operands, attributes)
        self._set(op.results[0], result.results[0], out)
        return True

    def _in_order(self, value: ir.Value, order: Order) -> ir.Value:
        """`value` with its dims in `order`, at the current insertion point."""
        if order == tuple(range(len(order))):
            return self._plain(value)
        if value in self.turned:
            new, has = self.turned[value]
            return new if has == order else _transpose(new, tuple(has.index(d) for d in order))
        op = None if isinstance(value.owner, ir.Block) else value.owner.operation
        if op is not None and op.name == "tensor.empty":
            return _empty_like(value, order)
        if op is not None and op.name == "linalg.fill":
            return _fill(op, self._in_order(op.operands[1], order))
        if op is not None and op.name == "tensor.pad" and op.block == self.block:
            source = op.operands[0]
            self.turned[source] = (self._in_order(source, order), order)
            if self._turn_pad(op):
                return self.turned[value][0]
        if op is not None and op.name == "tensor.expand_shape" and op.block == self.block:
            source, before = op.operands[0], _order_before(op, order)
            if before is not None:
                self.turned[source] = (self._in_order(source, before), before)
                if self._turn_reshape(op) and self.turned[value][1] == order:
                    return self.turned[value][0]
        constant = constant_array(self.program, value)
        if constant is not None:
            name, array = constant
            symbol = add_constant(self.program, f"{name}.channels_last", _transposed(array, order), value)
            kind = _reordered_type(value, order)
            return ml_program.GlobalLoadConstOp(kind, ir.FlatSymbolRefAttr.get(symbol)).result
        return _transpose(value, order)

    def _plain(self, value: ir.Value) -> ir.Value:
        """`value` in the order that the program gave it."""
        if value not in self.turned:
            return value
        if value not in self.restored:
            new, order = self.turned[value]
            self.restored[value] = _transpose(new, tuple(order.index(d) for d in range(len(order))))
        return self.restored[value]

    def _restore_operands(self, op: ir.Operation) -> None:
        for inner in (op, *walk(op)):
            for number, operand in enumerate(inner.operands):
                if operand in self.turned:
                    inner.operands[number] = self._plain(operand)


def _order_before(op: ir.Operation, order: Order) -> Order | None:
    """The order of the source of an expand_shape that gives its result's; None if parts of a dim are apart in it."""
    groups = [[ir.IntegerAttr(i).value for i in ir.ArrayAttr(g)] for g in ir.ArrayAttr(op.attributes["reassociation"])]
    of = {d: number for number, group in enumerate(groups) for d in group}
    before = tuple(dict.fromkeys(of[d] for d in order))
    return before if [d for number in before for d in groups[number]] == list(order) else None


def reorder(indexing: ir.AffineMap, order: Order) -> ir.AffineMap:
    """The map of an operand whose dims were put in `order`."""
    return ir.AffineMap.get(indexing.n_dims, 0, [indexing.results[d] for d in order])


def _renumber(indexing: ir.AffineMap, loops: Order) -> ir.AffineMap:
    """The map after loop `loops[i]` became loop i."""
    dims = [ir.AffineExpr.get_dim(loops.index(loop)) for loop in range(len(loops))]
    return structured_ops.compose(indexing, ir.AffineMap.get(len(loops), 0, dims))


def _rebuild(
    op: ir.Operation,
    ins: Sequence[ir.Value],
    outs: Sequence[ir.Value],
    maps: Sequence[ir.AffineMap],
    loops: Order | None = None,
) -> ir.Operation:
    parallel = structured_ops.parallel_loops(op)

    def fill_body(block: ir.Block) -> Sequence[ir.Value]:
        values = structured_ops.clone_body(structured_ops.body(op), list(block.arguments))
        for inner in block.operations:
            if loops is not None and inner.operation.name == "linalg.index":
                dim = ir.IntegerAttr(inner.operation.attributes["dim"]).value
                inner.operation.attributes["dim"] = ir.IntegerAttr.get(
                    ir.IntegerType.get_signless(64), loops.index(dim)
                )
        return values

    return structured_ops.build_generic(ins, outs, maps, parallel, fill_body, op.location)


def _transpose(value: ir.Value, order: Order) -> ir.Value:
    maps = [ir.AffineMap.get_identity(len(order)), ir.AffineMap.get_identity(len(order))]
    maps[0] = ir.AffineMap.get(len(order), 0, [ir.AffineExpr.get_dim(order.index(d)) for d in range(len(order))])
    generic = structured_ops.build_generic(
        [value], [_empty_like(value, order)], maps, [True] * len(order), lambda b: [b.arguments[0]], value.location
    )
    return generic.results[0]


def _empty_like(value: ir.Value, order: Order) -> ir.Value:
    kind = ir.RankedTensorType(value.type)
    sizes: list[ir.Value | int] = []
    for d in order:
        dynamic = kind.is_dynamic_dim(d)
        sizes.append(tensor.dim(value, arith.constant(ir.IndexType.get(), d)) if dynamic else kind.get_dim_size(d))
    return tensor.EmptyOp(sizes, kind.element_type).result


def _fill(op: ir.Operation, out: ir.Value) -> ir.Value:
    fill = ir.Operation.create(
        "linalg.fill",
        results=[out.type],
        operands=[op.operands[0], out],
        attributes={"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1])},
        regions=1,
    )
    scalar, element = op.operands[0].type, ir.RankedTensorType(out.type).element_type
    block = ir.Block.create_at_start(fill.regions[0], [scalar, element], [op.location] * 2)
    with ir.InsertionPoint(block):
        values = structured_ops.clone_body(structured_ops.body(op), list(block.arguments))
        ir.Operation.create("linalg.yield", operands=values)
    return fill.results[0]


def _reordered_type(value: ir.Value, order: Order) -> ir.RankedTensorType:
    kind = ir.RankedTensorType(value.type)
    return ir.RankedTensorType.get([kind.shape[d] for d in order], kind.element_type)


def _mixed(op: ir.Operation, name: str, start: int, order: Order) -> tuple[list[int], list[ir.Value]]:
    """A list of static and dynamic numbers of `op` in another order: the static part, the dynamic operands."""
    static = list(ir.DenseI64ArrayAttr(op.attributes[name]))
    operands = list(op.operands)
    dynamic = {d: start + sum(s == structured_ops.DYNAMIC for s in static[:d]) for d in range(len(static))}
    return (
        [static[d] for d in order],
        [operands[dynamic[d]] for d in order if static[d] == structured_ops.DYNAMIC],
    )


def _runs(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups of the same lengths that count up."""
    start = 0
    runs: list[list[int]] = []
    for group in groups:
        runs.append(list(range(start, start + len(group))))
        start += len(group)
    return runs


def _reassociation(groups: Sequence[Sequence[int]]) -> ir.ArrayAttr:
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(i64, d) for d in g]) for g in groups])


def _transposed(array: Array, order: Order) -> Array:
    turned = array.transpose(order)
    return turned if not any(array.strides) else np.ascontiguousarray(turned)
