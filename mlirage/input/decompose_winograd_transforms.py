"""input-decompose-winograd-transforms: linalg's transforms of Winograd's convolutions become products with matrices.

    %r = linalg.winograd_filter_transform fmr(F_4_3) ins(%w : tensor<fx3x3xcxf32>) outs(%o : tensor<6x6xcxfxf32>)
    =>
    %t = linalg.generic { sum over i of G[a, i] * %w[f, i, j, c] }
    %r = linalg.generic { sum over j of G[b, j] * %t[a, f, j, c] }

The matrices are those of upstream's own decomposition, so that a program may do one of the transforms elsewhere. What
it makes of an image with an extent of 1 (no transform along that dim) is the same with the matrix 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import Extent, collapse_dims, extents

Matrix = Sequence[Sequence[float]]

_THIRD, _SIXTH, _TWELFTH = 1 / 3, 1 / 6, 1 / 12
# By number of the attribute `fmr`: F(2, 3), F(4, 3), F(2, 5). Results per tile, and the factor of a dim of the output.
_TILES = (2, 4, 2)
_FACTORS = (1, 32, 16)
_FILTER: Sequence[Matrix] = (
    ((-1, 0, 0), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, 1 / 2), (0, 0, 1)),
    (
        (1, 0, 0), (-_THIRD, _THIRD, -_THIRD), (-_THIRD, -_THIRD, -_THIRD), (_TWELFTH, -_SIXTH, _THIRD),
        (_TWELFTH, _SIXTH, _THIRD), (0, 0, 1),
    ),
    (
        (1, 0, 0, 0, 0), (_SIXTH, -_SIXTH, _SIXTH, -_SIXTH, _SIXTH), (-_SIXTH, -_SIXTH, -_SIXTH, -_SIXTH, -_SIXTH),
        (-4 / 15, 2 / 15, -1 / 15, 1 / 30, -1 / 60), (1 / 60, 1 / 30, 1 / 15, 2 / 15, 4 / 15), (0, 0, 0, 0, 1),
    ),
)  # fmt: skip
_IMAGE: Sequence[Matrix] = (
    ((-1, 0, 1, 0), (0, -1, 1, 0), (0, 1, 1, 0), (0, -1, 0, 1)),
    (
        (1 / 4, 0, -5 / 16, 0, 1 / 16, 0), (0, 1 / 4, -1 / 4, -1 / 16, 1 / 16, 0),
        (0, -1 / 4, -1 / 4, 1 / 16, 1 / 16, 0), (0, 1 / 4, -1 / 8, -1 / 4, 1 / 8, 0),
        (0, -1 / 4, -1 / 8, 1 / 4, 1 / 8, 0), (0, 1 / 4, 0, -5 / 16, 0, 1 / 16),
    ),
    (
        (1 / 8, 3 / 16, -1 / 4, -3 / 16, 1 / 8, 0), (0, 1 / 8, 1 / 16, -5 / 16, 1 / 8, 0),
        (0, -1 / 8, -5 / 16, -1 / 16, 1 / 8, 0), (0, 1 / 4, -1 / 8, -1 / 4, 1 / 8, 0),
        (0, -1 / 8, -1 / 4, 1 / 8, 1 / 4, 0), (0, 1 / 8, 3 / 16, -1 / 4, -3 / 16, 1 / 8),
    ),
)  # fmt: skip
_OUTPUT: Sequence[Matrix] = (
    ((1, 1, 1, 0), (0, -1, 1, 1)),
    (
        (1 / 8, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 0), (0, -1 / 4, 1 / 4, -1 / 4, 1 / 4, 0),
        (0, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 0), (0, -1 / 4, 1 / 4, -1, 1, 1 / 2),
    ),
    ((1 / 2, 1, 1, 2, 1, 0), (0, -1, 1, -1, 2, 1 / 2)),
)  # fmt: skip


@module_pass("input-decompose-winograd-transforms")
def decompose_winograd_transforms(program: Program) -> None:
    """Rewrites the three transforms; of images and filters of one row or column, along the other dim alone."""
    for op in [op for op in walk(program.module.operation) if op.name in _REWRITES]:
        with op.location, ir.InsertionPoint(op):
            value = _REWRITES[op.name](op)
            kind = op.results[0].type
            op.results[0].replace_all_uses_with(value if value.type == kind else tensor.cast(kind, value))
        op.erase()


def _choice(op: ir.Operation) -> int:
    return ir.IntegerAttr(op.attributes["fmr"]).value


def _transformed(
    matrix: Matrix,
    source: ir.Value,
    shape: Sequence[Extent],
    reads: Sequence[str],
    writes: Sequence[str],
    step: int = 1,
) -> ir.Value:
    """`out[writes] = sum over k of matrix[r, k] * source[reads]`, dims by name; "tk" is read at t · step + k."""
    element = ir.RankedTensorType(source.type).element_type
    names = [*writes, "k"]
    d = {name: ir.AffineExpr.get_dim(i) for i, name in enumerate(names)}
    at = {**d, "tk": d["t"] * step + d["k"] if "t" in d else d["k"]}
    maps = [
        ir.AffineMap.get(len(names), 0, expressions)
        for expressions in ([d["r"], d["k"]], [at[name] for name in reads], [d[name] for name in writes])
    ]
    zero = arith.constant(element, 0.0)
    init = linalg.fill(zero, outs=[tensor.empty(list(shape), element)])
    return build_generic(
        [_constant(matrix, element), source],
        [init],
        maps,
        [name != "k" for name in names],
        lambda block: [arith.addf(block.arguments[2], arith.mulf(block.arguments[0], block.arguments[1]))],
        ir.Location.current,
    ).results[0]


def _constant(matrix: Matrix, element: ir.Type) -> ir.Value:
    kind = ir.RankedTensorType.get([len(matrix), len(matrix[0])], element)
    elements = [ir.FloatAttr.get(element, float(value)) for row in matrix for value in row]
    return arith.constant(kind, ir.DenseElementsAttr.get(elements, kind))


def _filter(op: ir.Operation) -> ir.Value:
    source = op.operands[0]
    f, _, w, c = extents(source)
    rows, columns = (_matrix(_FILTER, op, extent) for extent in ir.RankedTensorType(source.type).shape[1:3])
    half = _transformed(rows, source, [len(rows), f, w, c], ["f", "k", "w", "c"], ["r", "f", "w", "c"])
    shape = [len(rows), len(columns), c, f]
    return _transformed(columns, half, shape, ["a", "f", "k", "c"], ["a", "r", "c", "f"])


def _image(op: ir.Operation) -> ir.Value:
    source, out = op.operands
    n, _, w, c = extents(source)
    kind = ir.RankedTensorType(out.type)
    rows, columns = (_matrix(_IMAGE, op, extent) for extent in kind.shape[:2])
    steps = [_TILES[_choice(op)] if len(matrix) > 1 else 1 for matrix in (rows, columns)]
    down, across = extents(out)[2:4]
    half = _transformed(
        rows, source, [len(rows), down, n, w, c], ["n", "tk", "w", "c"], ["r", "t", "n", "w", "c"], steps[0]
    )
    shape = [len(rows), len(columns), down, across, n, c]
    return _transformed(columns, half, shape, ["a", "s", "n", "tk", "c"], ["a", "r", "s", "t", "n", "c"], steps[1])


def _output(op: ir.Operation) -> ir.Value:
    """The tiles side by side, times the factor, are added to what is in the out."""
    source, out = op.operands
    _, b, down, across, n, f = extents(source)
    rows, columns = (_matrix(_OUTPUT, op, extent) for extent in ir.RankedTensorType(source.type).shape[:2])
    half = _transformed(
        rows, source, [len(rows), b, down, across, n, f], ["k", "b", "s", "t", "n", "f"], ["r", "b", "s", "t", "n", "f"]
    )
    shape = [n, down, len(rows), across, len(columns), f]
    tiles = _transformed(columns, half, shape, ["p", "k", "s", "t", "n", "f"], ["n", "s", "p", "t", "r", "f"])
    whole = collapse_dims(collapse_dims(tiles, 3, 2), 1, 2)
    factor = float(_FACTORS[_choice(op)] ** sum(len(matrix) > 1 for matrix in (rows, columns)))
    element = ir.RankedTensorType(out.type).element_type

    def add(block: ir.Block) -> Sequence[ir.Value]:
        return [arith.addf(arith.mulf(arith.constant(element, factor), block.arguments[0]), block.arguments[1])]

    empty = tensor.empty(extents(out), element)
    same = [identity_map(4)] * 3
    return build_generic([whole, out], [empty], same, [True] * 4, add, ir.Location.current).results[0]


def _matrix(matrices: Sequence[Matrix], op: ir.Operation, extent: int) -> Matrix:
    """The matrix for a dim of the filter, or of points, of that extent; 1 where there is nothing to transform."""
    return ((1.0,),) if extent == 1 else matrices[_choice(op)]


_REWRITES: dict[str, Callable[[ir.Operation], ir.Value]] = {
    "linalg.winograd_filter_transform": _filter,
    "linalg.winograd_input_transform": _image,
    "linalg.winograd_output_transform": _output,
}
