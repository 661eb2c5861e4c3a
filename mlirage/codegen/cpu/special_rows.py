"""Sorts, top-k and scans of many rows: a workgroup takes some of the rows.

    "linalgx.sort"(%x, %out, %working)
      ─>
    scf.forall (%i) = 0 to %rows step 8 { "linalgx.sort"(%x[%i .. %i+8], %out[…], %working[…]) }

The op on the slices then becomes loops as it would alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlirage.codegen.configuration import Configuration, Entry, loop_extents
from mlirage.codegen.cpu.index_math import Index, smaller, sub, value
from mlirage.mlir import bufferization, ir, linalg, scf, tensor

# About 20 µs of elements: (at least, of one row or more).
_ELEMENTS = {"linalgx.sort": 512, "linalgx.topk": 8192, "linalgx.scan": 16384}
# Rows that lie side by side in memory are not taken apart further.
_NEIGHBOURS = 16
# What a dynamic extent is taken for.
_GUESS = 128
_PREPARATIONS = ("bufferization.to_tensor", "tensor.empty", "tensor.dim", "linalg.fill", "func.return")


def rows_configuration(entry: Entry, kind: str) -> tuple[ir.Operation, Configuration] | None:
    """The op whose rows are distributed, and how many a workgroup takes; None if there is none, or too few.

    The op gets indexing maps: rows are its loops.
    """
    ops = [op.operation for op in entry.function.entry_block.operations]
    found = [op for op in ops if op.name in _ELEMENTS]
    if len(found) != 1 or not all(_is_slice_of_result(v) for v in found[0].opview.outs):
        return None
    op = found[0]
    if any(0 in ir.RankedTensorType(operand.type).shape for operand in op.operands):
        return None  # the best 0, say: nothing is left of the loops
    for other in ops:
        known = other.name in _PREPARATIONS or other.name.startswith(("arith.constant", "hal.", "memref.", "arith."))
        if not known and other != op and other.name != "bufferization.materialize_in_destination":
            return None
    if any(not _is_argument(v) for v in op.opview.inputs) or any(_destination(r) is None for r in op.results):
        return None
    dimension = ir.IntegerAttr(op.attributes["dimension"]).value
    rank = ir.RankedTensorType(op.operands[0].type).rank
    op.attributes["indexing_maps"] = _maps(op, dimension, rank)
    extents = [e if e is None or e >= 0 else None for e in loop_extents(op)]
    tiles = _tiles(op.name, extents, dimension)
    if not any(tiles):
        del op.attributes["indexing_maps"]
        return None
    return op, Configuration(kind, tuple(tiles))


def _is_slice_of_result(out: ir.Value) -> bool:
    """Whether an out has no contents but what one number fills it with."""
    if isinstance(out.owner, ir.Block):
        return False
    op = out.owner.operation
    return op.name == "tensor.empty" or (op.name == "linalg.fill" and _is_slice_of_result(op.operands[1]))


def _is_argument(operand: ir.Value) -> bool:
    return not isinstance(operand.owner, ir.Block) and operand.owner.operation.name == "bufferization.to_tensor"


def _destination(result: ir.Value) -> ir.Operation | None:
    """The op that writes a result to memory, if nothing else reads it."""
    uses = [use.owner.operation for use in result.uses]
    if len(uses) != 1 or uses[0].name != "bufferization.materialize_in_destination":
        return None
    return uses[0]


def _maps(op: ir.Operation, dimension: int, rank: int) -> ir.ArrayAttr:
    """A map per operand over the input's dims; in outs the dim that rows run along does not vary."""
    dims = [ir.AffineExpr.get_dim(i) for i in range(rank)]
    rows = [d for i, d in enumerate(dims) if i != dimension]
    fixed = [ir.AffineExpr.get_constant(0) if i == dimension else d for i, d in enumerate(dims)]
    maps: list[ir.Attribute] = []
    for number, operand in enumerate(op.operands):
        if number < len(op.operands) - len(op.results):
            results = dims
        else:
            results = fixed if ir.RankedTensorType(operand.type).rank == rank else rows
        maps.append(ir.AffineMapAttr.get(ir.AffineMap.get(rank, 0, list(results))))
    return ir.ArrayAttr.get(maps)


def _tiles(name: str, extents: Sequence[int | None], dimension: int) -> list[int]:
    tiles = [0] * len(extents)
    known = extents[dimension]
    elements = _GUESS if known is None else max(known, 1)
    for loop in reversed(range(len(extents))):
        if loop == dimension:
            continue
        extent = extents[loop]
        wanted = max(_ELEMENTS[name] // elements, _NEIGHBOURS if loop > dimension else 1, 1)
        if extent is None or extent > wanted:
            tiles[loop] = wanted
        elements *= tiles[loop] or extent or 1
    return tiles


def distribute_rows(op: ir.Operation, tiles: Sequence[int]) -> None:
    """Replaces the op by a forall over blocks of its rows."""
    loops = [loop for loop, tile in enumerate(tiles) if tile]
    maps = [ir.AffineMapAttr(m).value for m in ir.ArrayAttr(op.attributes["indexing_maps"])]
    del op.attributes["indexing_maps"]
    writes = [_destination(result) for result in op.results]
    with ir.InsertionPoint(op), op.location:
        extents = {loop: _extent(op.operands[0], loop) for loop in loops}
        forall = scf.ForallOp([0] * len(loops), [extents[loop] for loop in loops], [tiles[loop] for loop in loops])
        with ir.InsertionPoint(forall.body):
            starts = dict(zip(loops, forall.induction_variables, strict=True))
            sizes: dict[int, Index] = {}
            for loop in loops:
                extent, tile = extents[loop], tiles[loop]
                even = tile == 1 or (isinstance(extent, int) and extent % tile == 0)
                sizes[loop] = tile if even else smaller(tile, sub(extent, starts[loop]))
            inputs = len(op.operands) - len(op.results)
            slices = [_Slice(operand, m, starts, sizes) for operand, m in zip(op.operands, maps, strict=True)]
            operands: list[ir.Value] = [s.read(s.source) for s in slices[:inputs]]
            wholes: list[ir.Value] = []
            for operand, write, part in zip(list(op.operands)[inputs:], writes, slices[inputs:], strict=True):
                assert write is not None
                whole = bufferization.to_tensor(operand.type, write.operands[1], restrict=True, writable=True)
                wholes.append(whole)
                operands.append(_filled(operand, part.read(whole)))
            clone = ir.Operation.create(
                op.name,
                results=[v.type for v in operands[inputs:]],
                operands=operands,
                attributes={named.name: named.attr for named in _attributes(op) if "configuration" not in named.name},
                regions=len(op.regions),
            )
            for source, target in zip(op.regions, clone.regions, strict=True):
                source.blocks[0].append_to(target)
            for result, write, whole, part in zip(clone.results, writes, wholes, slices[inputs:], strict=True):
                assert write is not None
                bufferization.materialize_in_destination(
                    None, part.write(result, whole), write.operands[1], restrict=True, writable=True
                )
            scf.InParallelOp()
    for write in writes:
        assert write is not None
        write.erase()
    op.erase()


def _attributes(op: ir.Operation) -> list[ir.NamedAttribute]:
    return [op.attributes[i] for i in range(len(op.attributes))]


def _extent(operand: ir.Value, dim: int) -> Index:
    kind = ir.RankedTensorType(operand.type)
    return tensor.dim(operand, value(dim)) if kind.is_dynamic_dim(dim) else kind.get_dim_size(dim)


def _filled(out: ir.Value, part: ir.Value) -> ir.Value:
    """A slice of an out with the contents of the out."""
    op = ir.OpResult(out).owner.operation
    return linalg.fill(op.operands[0], outs=[part]) if op.name == "linalg.fill" else part


class _Slice:
    """The part of an operand that a workgroup has."""

    def __init__(
        self, source: ir.Value, indexing: ir.AffineMap, starts: Mapping[int, ir.Value], sizes: Mapping[int, Index]
    ) -> None:
        self.source = source
        kind = ir.RankedTensorType(source.type)
        dynamic = ir.ShapedType.get_dynamic_size()
        self.static: tuple[list[int], list[int], list[int]] = ([], [], [1] * kind.rank)
        self.dynamic: tuple[list[ir.Value], list[ir.Value]] = ([], [])
        for dim, expr in enumerate(indexing.results):
            loop = expr.position if isinstance(expr, ir.AffineDimExpr) else -1
            places: tuple[Index, Index] = (starts[loop], sizes[loop]) if loop in starts else (0, _extent(source, dim))
            for which, place in enumerate(places):
                self.static[which].append(place if isinstance(place, int) else dynamic)
                if not isinstance(place, int):
                    self.dynamic[which].append(place)
        self.kind = ir.RankedTensorType.get(self.static[1], kind.element_type)

    def read(self, whole: ir.Value) -> ir.Value:
        """The part of a tensor like the operand."""
        return tensor.ExtractSliceOp(self.kind, whole, *self.dynamic, [], *self.static).result

    def write(self, part: ir.Value, whole: ir.Value) -> ir.Value:
        """A tensor like the operand with the part in it."""
        return tensor.InsertSliceOp(part, whole, *self.dynamic, [], *self.static).result
