"""Elementwise ops that read along one loop and write along another: square blocks turned around in registers.

    for blocks (i, j) of n x n                        n: lanes of a vector
      %v = vector.transfer_read  n rows of the input
      %t = vector.transpose %v                        shuffles
      vector.transfer_write %t   n rows of the result
    the ragged rest: plain loops

Every cache line is then used whole at once, whatever the strides.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.transforms import OP, apply_transforms, match
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir, run_pipeline

_BLOCK = "transpose_block"


def block_tiles(root: ir.Operation, target: CpuTarget) -> tuple[int, ...]:
    """The blocks of an op worth turning in registers: one tile per loop; empty if it is not one."""
    maps = structured_ops.indexing_maps(root)
    inputs = structured_ops.segment_sizes(root)[0]
    if structured_ops.has_index(root) or len(maps) != inputs + 1:
        return ()
    if not all(structured_ops.parallel_loops(root)) or not all(m.is_projected_permutation for m in maps):
        return ()
    if not all(_is_word(operand.type) for operand in root.operands) or target.vector_bytes < 32:
        return ()
    lanes = target.vector_bytes // 4
    written = _last(maps[inputs])
    read = {_last(m) for m in maps[:inputs]} - {written, None}
    extents = structured_ops.loop_extents(root)
    if written is None or len(read) != 1:
        return ()
    (reading,) = read
    assert reading is not None
    tiles = [1] * len(extents)
    for loop in (written, reading):
        if extents[loop] != structured_ops.DYNAMIC and extents[loop] < lanes:
            return ()
        tiles[loop] = lanes
    return tuple(tiles)


def _is_word(kind: ir.Type) -> bool:
    return isinstance(kind, ir.RankedTensorType) and str(kind.element_type) in ("f32", "i32")


def _last(indexing_map: ir.AffineMap) -> int | None:
    dims = structured_ops.map_dims(indexing_map)
    return dims[-1] if dims else None


def vectorize_blocks(entry: Entry, root_tag: str, tiles: tuple[int, ...]) -> None:
    """Tiles the tagged op by `tiles` and makes vectors of the whole blocks."""
    count = len(tiles)
    handles = ", ".join([OP] * (count + 1))
    apply_transforms(
        entry,
        f"""{match("root", root_tag)}
        %tiled, %loops:{count} = transform.structured.tile_using_for %root tile_sizes [{", ".join(map(str, tiles))}]
          : ({OP}) -> ({handles})
        %fn = transform.structured.match ops{{["func.func"]}} in %f : ({OP}) -> {OP}
        transform.apply_patterns to %fn {{
          transform.apply_patterns.canonicalization
          transform.apply_patterns.linalg.tiling_canonicalization
        }} : {OP}""",
    )
    # whole blocks first, the ragged rest in loops of its own
    run_pipeline(entry.operation.parent, "func.func(scf-for-loop-peeling),canonicalize,cse")
    blocks = 0
    for op in entry.structured_ops():
        if root_tag in op.attributes and structured_ops.loop_extents(op) == list(tiles):
            op.attributes[_BLOCK] = ir.UnitAttr.get()
            blocks += 1
    if not blocks:
        return
    apply_transforms(
        entry,
        f"""{match("blocks", _BLOCK)}
        transform.structured.vectorize %blocks : {OP}
        %fn = transform.structured.match ops{{["func.func"]}} in %f : ({OP}) -> {OP}
        transform.apply_patterns to %fn {{
          transform.apply_patterns.vector.transfer_permutation_patterns
        }} : {OP}
        transform.apply_patterns to %fn {{
          transform.apply_patterns.vector.cast_away_vector_leading_one_dim
          transform.apply_patterns.vector.drop_unit_dims_with_shape_cast
          transform.apply_patterns.canonicalization
        }} : {OP}
        transform.apply_patterns to %fn {{
          transform.apply_patterns.vector.lower_transpose lowering_strategy = "shuffle_16x16"
        }} : {OP}""",
    )
