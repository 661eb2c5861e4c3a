"""Elementwise ops that read along one loop and write along another: square blocks turned around in registers.

    for blocks (i, j) of n x n                        n: lanes of a vector
      %v = vector.transfer_read  n rows of the input
      %t = vector.transpose %v                        shuffles
      vector.transfer_write %t   n rows of the result
    the ragged rest: plain loops

Every cache line is then used whole at once, whatever the strides. Elements of 32 bits may be computed with on the way;
those of 8, 16 and 64 bits are moved. Blocks are turned by log2(n) rounds of interleaving:

    a b c d      a e i m  after   rows i and i + n/2 interleaved, twice
    e f g h  ->  b f j n
    i j k l      c g k o
    m n o p      d h l p
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.transforms import OP, apply_transforms, match
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, run_pipeline, vector

_BLOCK = "transpose_block"
# Rows of blocks of narrow elements: half a vector of AVX2 or all of it.
_NARROW = {"i8": 16, "i16": 16, "f16": 16, "bf16": 16}


def block_tiles(root: ir.Operation, target: CpuTarget) -> tuple[int, ...]:
    """The blocks of an op worth turning in registers: one tile per loop; empty if it is not one."""
    maps = structured_ops.indexing_maps(root)
    inputs = structured_ops.segment_sizes(root)[0]
    if structured_ops.has_index(root) or len(maps) != inputs + 1:
        return ()
    if not all(structured_ops.parallel_loops(root)) or not all(m.is_projected_permutation for m in maps):
        return ()
    lanes = _lanes(root, target)
    if not lanes:
        return ()
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


def _lanes(root: ir.Operation, target: CpuTarget) -> int:
    """How many rows and columns a block has; 0: the op is not for blocks."""
    elements = {str(structured_ops.element_type(operand.type)) for operand in root.operands}
    if not all(isinstance(operand.type, ir.RankedTensorType) for operand in root.operands) or target.vector_bytes < 32:
        return 0
    if elements <= {"f32", "i32"}:
        return target.vector_bytes // 4
    moves = len(list(structured_ops.body(root).operations)) == 1
    if not moves or len(elements) != 1:
        return 0
    (element,) = elements
    return target.vector_bytes // 8 if element in ("f64", "i64") else _NARROW.get(element, 0)


def _last(indexing_map: ir.AffineMap) -> int | None:
    dims = structured_ops.map_dims(indexing_map)
    return dims[-1] if dims else None


def vectorize_blocks(entry: Entry, root_tag: str, tiles: tuple[int, ...]) -> None:
    """Tiles the tagged op by `tiles` and makes vectors of the whole blocks."""
    count, lanes = len(tiles), max(tiles)
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
        """,
    )
    for op in [op for op in entry.walk() if op.name == "vector.transpose"]:
        if list(ir.VectorType(op.operands[0].type).shape) == [lanes, lanes]:
            _turn(op)


def _turn(op: ir.Operation) -> None:
    """A square block turned by interleaving its rows."""
    block = op.operands[0]
    count = ir.VectorType(block.type).get_dim_size(0)
    with ir.InsertionPoint(op), op.location:
        rows: list[ir.Value] = [vector.extract(block, [], [i]) for i in range(count)]
        for _ in range(count.bit_length() - 1):
            pairs = [(rows[i], rows[i + count // 2]) for i in range(count // 2)]
            rows = [vector.shuffle(a, b, mask) for a, b in pairs for mask in _interleavings(count)]
        turned = arith.constant(
            block.type, ir.DenseElementsAttr.get_splat(block.type, _zero(ir.VectorType(block.type).element_type))
        )
        for i, row in enumerate(rows):
            turned = vector.insert(row, turned, [], [i])
    op.results[0].replace_all_uses_with(turned)
    op.erase()


def _interleavings(count: int) -> tuple[list[int], list[int]]:
    """Of two vectors: their first halves' elements in turn, and their second halves'."""
    lanes = [lane for i in range(count) for lane in (i, count + i)]
    return lanes[:count], lanes[count:]


def _zero(element: ir.Type) -> ir.Attribute:
    return ir.Attribute.parse(f"{0 if isinstance(element, ir.IntegerType) else 0.0} : {element}")
