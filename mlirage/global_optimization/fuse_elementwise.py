"""Merges elementwise ops into the generic that reads them: one loop nest, no tensors in between.

    %0 = linalg.generic … ins(%x) { exp }
    %1 = linalg.generic … ins(%0, %y) { addf }      ->      %1 = linalg.generic … ins(%x, %y) { exp, addf }

An op joins the cluster of its reader if all its readers are in that one cluster and need the same elements at the same
time, and if it is not computed more often than before, unless it is cheap. The reader may be a reduction. A whole
cluster is built at once, so long chains cost linear time. Operands that are splats become scalars; contents of inits
that nobody reads are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlirage import structured_ops
from mlirage.mlir import arith, ir, linalg, walk
from mlirage.passes import module_pass
from mlirage.program import Program

# Operands of one cluster: each becomes a binding of a dispatch.
_MAX_OPERANDS = 16
_MAX_BODY = 256
_CHEAP_OPS = 4
_EXPENSIVE = ("math.", "arith.div", "arith.rem", "arith.floordiv", "arith.ceildiv", "tensor.", "linalg.index", "scf.")


@dataclass(eq=False)
class _Cluster:
    """Ops that become one generic. They are known by their first results: an op's own hash changes with its operands.

    Attributes:
      root: the last of them.
      maps: for each op the map from the root's loops to the op's loops.
    """

    root: ir.Operation
    maps: dict[ir.Value, ir.AffineMap] = field(default_factory=dict[ir.Value, ir.AffineMap])
    operands: int = 0
    size: int = 0


@module_pass("global-optimization-fuse-elementwise")
def fuse_elementwise(program: Program) -> None:
    """Fuses elementwise generics into their readers, in every block of the program."""
    blocks: dict[ir.Block, None] = {}
    for op in structured_ops.tensor_ops(program.module.operation):
        if op.name == "linalg.generic" and op.results:
            blocks[op.block] = None
    for block in blocks:
        fuse_block(block)


def fuse_block(block: ir.Block) -> None:
    """Fuses the elementwise generics of one block."""
    clusters: dict[ir.Value, _Cluster] = {}
    ops = [op.operation for op in block.operations]
    for op in reversed(ops):
        if op.name != "linalg.generic" or not op.results:
            continue
        if not _join(op, clusters) and _may_be_root(op):
            cluster = _Cluster(op)
            rank = len(structured_ops.parallel_loops(op))
            _add(op, cluster, structured_ops.identity_map(rank))
            clusters[op.results[0]] = cluster
    for cluster in reversed(dict.fromkeys(clusters.values())):
        if len(cluster.maps) > 1 or any(_splat(operand) for operand in structured_ops.inputs(cluster.root)):
            fused = _build(cluster)
        else:
            fused = cluster.root
        if _is_fill(fused):
            _replace_by_fill(fused)


def _may_be_root(op: ir.Operation) -> bool:
    return not structured_ops.is_contraction(op) and not structured_ops.is_window(op)


def _add(op: ir.Operation, cluster: _Cluster, loops: ir.AffineMap) -> None:
    cluster.maps[op.results[0]] = loops
    cluster.operands += len(structured_ops.inputs(op))
    cluster.size += len(structured_ops.body(op).operations)


def _join(op: ir.Operation, clusters: dict[ir.Value, _Cluster]) -> bool:
    """Adds `op` to the cluster of its readers; False if it has to stand alone."""
    if len(op.results) != 1 or not structured_ops.is_elementwise(op):
        return False
    if list(structured_ops.body(op).arguments[len(structured_ops.inputs(op))].uses):
        return False  # updates what its init holds
    uses = list(op.results[0].uses)
    cluster = _cluster_of(uses[0].owner.operation, clusters) if uses else None
    if cluster is None:
        return False
    loops: ir.AffineMap | None = None
    written = structured_ops.indexing_maps(op)[-1]
    for use in uses:
        reader = use.owner.operation
        if (
            _cluster_of(reader, clusters) is not cluster
            or use.operand_number >= structured_ops.segment_sizes(reader)[0]
        ):
            return False
        read = structured_ops.compose(
            structured_ops.indexing_maps(reader)[use.operand_number], cluster.maps[reader.results[0]]
        )
        mine = structured_ops.compose(structured_ops.inverse_permutation(written), read)
        if loops is not None and loops != mine:
            return False
        loops = mine
    assert loops is not None
    if not loops.is_permutation and not _is_cheap(op):
        return False
    if cluster.operands + len(structured_ops.inputs(op)) > _MAX_OPERANDS or cluster.size > _MAX_BODY:
        return False
    if structured_ops.has_index(op) and not loops.is_permutation:
        return False
    if not _covers(cluster, op, loops):
        return False
    _add(op, cluster, loops)
    clusters[op.results[0]] = cluster
    return True


def _covers(cluster: _Cluster, op: ir.Operation, loops: ir.AffineMap) -> bool:
    """Whether every loop of the root still has an operand that tells its extent once the result of `op` is gone."""
    root_maps = structured_ops.indexing_maps(cluster.root)
    known = {d for m in root_maps[structured_ops.segment_sizes(cluster.root)[0] :] for d in structured_ops.map_dims(m)}
    missing = set(range(root_maps[0].n_dims)) - known
    if not missing:
        return True
    for result, member_loops in [*cluster.maps.items(), (op.results[0], loops)]:
        member = ir.OpResult(result).owner.operation
        for operand, indexing_map in zip(
            structured_ops.inputs(member), structured_ops.indexing_maps(member), strict=False
        ):
            gone = operand in cluster.maps or operand == op.results[0]
            if not gone and not _splat(operand):
                missing -= set(structured_ops.map_dims(structured_ops.compose(indexing_map, member_loops)))
    return not missing


def _cluster_of(op: ir.Operation, clusters: dict[ir.Value, _Cluster]) -> _Cluster | None:
    return clusters.get(op.results[0]) if op.results else None


def _is_cheap(op: ir.Operation) -> bool:
    ops = [inner.operation.name for inner in structured_ops.body(op).operations]
    return len(ops) <= _CHEAP_OPS and not any(name.startswith(_EXPENSIVE) for name in ops)


def _splat(value: ir.Value) -> bool:
    """Whether all elements of a tensor are one scalar that is known without reading it."""
    if isinstance(value.owner, ir.Block) or not isinstance(value.type, ir.RankedTensorType):
        return False
    op = value.owner.operation
    if op.name == "arith.constant":
        attribute = op.attributes["value"]
        return isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat
    return op.name in ("linalg.fill", "tensor.splat")


def _splat_scalar(value: ir.Value) -> ir.Value:
    op = ir.OpResult(value).owner.operation
    if op.name == "arith.constant":
        with ir.InsertionPoint(op):
            attribute = ir.DenseElementsAttr(op.attributes["value"])
            return arith.ConstantOp(value.type.element_type, attribute.get_splat_value(), loc=op.location).result  # pyright: ignore[reportArgumentType]
    return op.operands[0]


class _Operands:
    """The tensor operands of the fused op: each pair of value and map once."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[ir.Value, ir.AffineMap], int] = {}

    def number(self, value: ir.Value, indexing_map: ir.AffineMap) -> int:
        return self.numbers.setdefault((value, indexing_map), len(self.numbers))


def _is_fill(op: ir.Operation) -> bool:
    """Whether all elements of the one result of `op` are the same scalar."""
    tensors = any(isinstance(value.type, ir.RankedTensorType) for value in structured_ops.inputs(op))
    if tensors or len(op.results) != 1 or not structured_ops.is_elementwise(op):
        return False
    if any(inner.name.startswith(("linalg.index", "tensor.")) for inner in walk(op)):
        return False
    return not list(structured_ops.body(op).arguments[-1].uses)


def _replace_by_fill(op: ir.Operation) -> None:
    with ir.InsertionPoint(op), op.location:
        unread = structured_ops.body(op).arguments[-1]
        (scalar,) = structured_ops.clone_body(structured_ops.body(op), [*structured_ops.inputs(op), unread])
        fill = linalg.fill(scalar, outs=[structured_ops.outputs(op)[0]])
    op.results[0].replace_all_uses_with(fill)
    op.erase()


def _build(cluster: _Cluster) -> ir.Operation:
    root = cluster.root
    members = [ir.OpResult(result).owner.operation for result in reversed(cluster.maps)]  # in program order
    operands = _Operands()
    # For each member and input: the scalar or member's result, or the number of a tensor operand.
    sources: list[list[ir.Value | int]] = []
    covered = _covered_without(cluster)
    for member in members:
        sources.append([])
        arguments = structured_ops.body(member).arguments
        for value, indexing_map, argument in zip(
            structured_ops.inputs(member), structured_ops.indexing_maps(member), arguments, strict=False
        ):
            loops = structured_ops.compose(indexing_map, cluster.maps[member.results[0]])
            if value in cluster.maps or not isinstance(value.type, ir.RankedTensorType):
                sources[-1].append(value)
            elif _splat(value) and covered:
                sources[-1].append(_converted_splat(value, argument))
            else:
                sources[-1].append(operands.number(value, loops))

    outs = structured_ops.outputs(root)
    count = len(operands.numbers)

    def fill_body(block: ir.Block) -> list[ir.Value]:
        computed: dict[ir.Value, ir.Value] = {}
        yielded: list[ir.Value] = []
        for member, inputs in zip(members, sources, strict=True):
            arguments = [
                block.arguments[source] if isinstance(source, int) else computed.get(source, source)
                for source in inputs
            ]
            own = list(structured_ops.body(member).arguments)[len(arguments) :]
            arguments += list(block.arguments)[count:] if member == root else own
            yielded = _clone_body(member, arguments, cluster.maps[member.results[0]])
            computed[member.results[0]] = yielded[0]
        return yielded

    maps = [*(m for _, m in operands.numbers), *structured_ops.indexing_maps(root)[-len(outs) :]]
    with ir.InsertionPoint(root):
        fused = structured_ops.build_generic(
            [value for value, _ in operands.numbers],
            outs,
            maps,
            structured_ops.parallel_loops(root),
            fill_body,
            ir.Location.fused([member.location for member in members]),
        )
    for old, new in zip(root.results, fused.results, strict=True):
        old.replace_all_uses_with(new)
    for member in reversed(members):
        member.erase()
    return fused


def _converted_splat(value: ir.Value, argument: ir.Value) -> ir.Value:
    scalar = _splat_scalar(value)
    assert scalar.type == argument.type, "a fill converts nothing"
    return scalar


def _covered_without(cluster: _Cluster) -> bool:
    """Whether every loop of the root has an operand that tells its extent if splats are replaced by scalars."""
    return _covers(cluster, cluster.root, cluster.maps[cluster.root.results[0]])


def _clone_body(op: ir.Operation, arguments: list[ir.Value], loops: ir.AffineMap) -> list[ir.Value]:
    """Clones the body of `op`, whose loops are `loops` of those of the op under construction."""
    point = ir.InsertionPoint.current
    before = len(point.block.operations)
    yielded = structured_ops.clone_body(structured_ops.body(op), arguments)
    if structured_ops.has_index(op) and loops != structured_ops.identity_map(loops.n_dims):
        dims = structured_ops.map_dims(loops)
        for clone in list(point.block.operations)[before:]:
            for inner in (clone.operation, *walk(clone.operation)):
                if inner.name == "linalg.index":
                    dim = dims[ir.IntegerAttr(inner.attributes["dim"]).value]
                    inner.attributes["dim"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), dim)
    return yielded
