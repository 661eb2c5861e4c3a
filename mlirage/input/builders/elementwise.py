"""Broadcasting elementwise functions: one `linalg.generic` each.

    add([batch, 64, 7, 7], [64, 1, 1])  ->  linalg.generic {maps (d0,d1,d2,d3), (d1), (d0,d1,d2,d3)}

Unit axes leave an operand before it is read, so maps are projected permutations; splats become constants in the body.
Extents that may be 1 at run time are broadcast then (`_stretch`), never assumed away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlirage.input.builders import dims as dim_math
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, Sym
from mlirage.input.builders.element_types import (
    BOOL,
    INT32,
    INT64,
    DType,
    bit_width,
    compute_dtype,
    integer_range,
    is_integer,
)
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import arith, ir, linalg, scf, tensor

Body = Callable[..., Scalar]


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The common shape under numpy's rules; run-time checks are made for extents that are not proven to agree.

    Raises:
      ValueError: extents differ and none is 1.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        extents = [shape[axis] for shape in shapes if len(shape) >= -axis]
        common: Dim = 1
        for extent in extents:
            common = _broadcast_dim(common, extent, shapes)
        result.append(common)
    return tuple(result)


def _broadcast_dim(left: Dim, right: Dim, shapes: Sequence[Shape]) -> Dim:
    if left == right or (isinstance(right, int) and right == 1):
        return left
    if isinstance(left, int) and left == 1:
        return right
    if isinstance(left, int) and isinstance(right, int):
        raise ValueError(f"shapes {', '.join(map(str, map(list, shapes)))} do not broadcast: {left} against {right}")
    builder = TensorBuilder.current()
    one, equal = builder.index(1), arith.CmpIPredicate.eq
    a, b = builder.index(left), builder.index(right)
    agree = arith.cmpi(equal, a, b)
    for extent, value in ((left, a), (right, b)):
        if isinstance(extent, Sym):
            agree = arith.ori(agree, arith.cmpi(equal, value, one))
    builder.require(agree, f"extents that do not broadcast: {left} against {right}")
    if isinstance(left, int):
        return left
    if isinstance(right, int):
        return right
    return dim_math.select("eq", left, 1, right, left)


def _stretch(x: Tensor, shape: Shape) -> Tensor:
    """`x` with the extents that are not proven equal to those of `shape` broadcast, at run time, if they are 1.

    Where all are equal after all (the usual case), nothing is copied.
    """
    trailing = shape[len(shape) - x.rank :]
    doubtful = [i for i, (a, b) in enumerate(zip(x.shape, trailing, strict=True)) if a != b and a != 1]
    if not doubtful:
        return x
    builder = TensorBuilder.current()
    target = tuple(b if i in doubtful else a for i, (a, b) in enumerate(zip(x.shape, trailing, strict=True)))
    kind = tensor_type(target, x.dtype)
    same: ir.Value[Any] | None = None
    for i in doubtful:
        equal = arith.cmpi(arith.CmpIPredicate.eq, builder.index(x.shape[i]), builder.index(target[i]))
        same = equal if same is None else arith.andi(same, equal)
    source = x.value
    branch = scf.IfOp(same, [kind], has_else=True)
    with builder.block(branch.then_block):
        scf.yield_([source if source.type == kind else tensor.cast(kind, source)])
    with builder.block(branch.else_block):

        def body(*position: Scalar) -> Scalar:
            place = [
                s.select(s.coerce(s.Scalar(builder.index(x.shape[i]), s.INDEX), s.INDEX).eq(1), 0, p)
                if i in doubtful
                else (0 if x.shape[i] == 1 else p)
                for i, p in enumerate(position)
            ]
            return s.read(x, place)

        scf.yield_([tabulate(target, x.dtype, body).value])
    return Tensor(target, x.dtype, value=branch.results[0])


def _without_units(x: Tensor, shape: Shape) -> tuple[Tensor, list[int]]:
    """`x` without its unit axes that broadcast, and the axes of `shape` that remain."""
    offset = len(shape) - x.rank
    kept = [i for i in range(x.rank) if not (x.shape[i] == 1 and shape[offset + i] != 1)]
    if len(kept) == x.rank:
        return x, list(range(offset, len(shape)))
    from mlirage.input.builders.movement import squeeze

    return squeeze(x, [i for i in range(x.rank) if i not in kept]), [offset + i for i in kept]


def map_(body: Body, *operands: Tensor, dtype: DType | None = None, shape: Shape | None = None) -> Tensor:
    """`body` of the operands' elements, broadcast to their common shape (or to `shape`).

    Args:
      body: scalar code.
      operands: tensors; splats are constants in the body.
      dtype: of the result; by default the first operand's.
      shape: a shape to which the operands broadcast.
    """
    dtype = dtype or operands[0].dtype
    if shape is None:
        shape = broadcast_shapes([x.shape for x in operands])
    inputs, maps, load = aligned_operands(operands, shape)
    return Tensor(
        shape, dtype, value=generic(inputs, maps, shape, dtype, lambda *values: s.store(body(*load(values)), dtype))
    )


def aligned_operands(
    operands: Sequence[Tensor], shape: Shape
) -> tuple[list[ir.Value[Any]], list[ir.AffineMap], Callable[[Sequence[ir.Value[Any]]], list[Scalar]]]:
    """Inputs and maps of a linalg op over `shape` that reads the operands, and what makes scalars of its arguments.

    Splats are no inputs; they become constants in the body.
    """
    inputs: list[ir.Value[Any]] = []
    maps: list[ir.AffineMap] = []
    splats = [x.splat() for x in operands]
    for x, splat in zip(operands, splats, strict=True):
        if splat is None:
            x, axes = _without_units(_stretch(x, shape), shape)
            inputs.append(x.value)
            maps.append(ir.AffineMap.get(len(shape), 0, [ir.AffineExpr.get_dim(i) for i in axes]))

    def load(arguments: Sequence[ir.Value[Any]]) -> list[Scalar]:
        remaining = iter(arguments)
        return [
            s.load(next(remaining), x.dtype) if splat is None else _splat_scalar(splat, x.dtype)
            for x, splat in zip(operands, splats, strict=True)
        ]

    return inputs, maps, load


def _splat_scalar(value: Any, dtype: DType) -> Scalar:
    return s.coerce(value, compute_dtype(dtype))


def generic(
    inputs: Sequence[ir.Value[Any]],
    maps: Sequence[ir.AffineMap],
    shape: Shape,
    dtype: DType,
    build: Callable[..., ir.Value[Any]],
) -> ir.Value[Any]:
    """A parallel `linalg.generic` that writes each element of a new tensor; `build` makes it of the inputs'."""
    rank = len(shape)
    if any(dim == 0 for dim in shape):
        return empty(shape, dtype)
    op = linalg.GenericOp(
        [tensor_type(shape, dtype)],
        inputs,
        [empty(shape, dtype)],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in (*maps, ir.AffineMap.get_identity(rank))]),
        ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * rank),
    )
    kinds = [ir.RankedTensorType(v.type).element_type for v in (*inputs, *op.outputs)]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * len(kinds))
    with TensorBuilder.current().block(block):
        linalg.yield_([build(*list(block.arguments)[:-1])])
    return op.results[0]


def tabulate(shape: Sequence[Dim], dtype: DType, body: Body) -> Tensor:
    """The tensor whose element at (i, j, …) is `body(i, j, …)`; the body reads other tensors with `scalar.read`.

    The body must stay within the bounds of what it reads.
    """
    shape = tuple(shape)
    value = generic([], [], shape, dtype, lambda: s.store(body(*(s.index_of(i) for i in range(len(shape)))), dtype))
    return Tensor(shape, dtype, value=value)


def fill(shape: Sequence[Dim], value: Any, dtype: DType) -> Tensor:
    """A tensor of equal elements; a compile-time splat if its extents are known."""
    shape = tuple(shape)
    if all(isinstance(dim, int) for dim in shape):
        return Tensor.of(np.broadcast_to(np.asarray(value, dtype), shape))  # pyright: ignore
    return Tensor(shape, dtype, filled=np.asarray(value).astype(dtype)[()])


def _fold(operation: Callable[..., Any], operands: Sequence[Tensor], dtype: DType) -> Tensor | None:
    """The result calculated now, for shape arithmetic; None where an element's result is not known."""
    if not all(x.is_foldable for x in operands):
        return None
    arrays = np.broadcast_arrays(*(np.asarray(x.known, dtype=object) for x in operands))
    results = np.empty(arrays[0].shape, dtype=object)
    for position in np.ndindex(arrays[0].shape):
        element = operation(*(_dim(array[position]) for array in arrays))
        if element is None:
            return None
        results[position] = element
    if any(isinstance(x, Sym) for x in results.reshape(-1).tolist()):
        return Tensor(results.shape, dtype, known=results) if dtype in (INT64, INT32) else None
    return Tensor.of(_wrap(results, dtype))


def _dim(element: Any) -> Dim:
    return element if isinstance(element, Sym) else int(element)


def _wrap(results: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    if dtype == BOOL:
        return results.astype(np.bool_)
    low, _ = integer_range(dtype)
    return np.vectorize(lambda x: (x - low) % 2 ** bit_width(dtype) + low, otypes=[object])(results).astype(dtype)


def folding(body: Body, operation: Callable[..., Any], *operands: Tensor, dtype: DType | None = None) -> Tensor:
    """`map_`, but calculated at import where the operands are known integers: `operation` is `body` on dims."""
    result_dtype = dtype or operands[0].dtype
    if is_integer(result_dtype) or result_dtype == BOOL:
        folded = _fold(operation, operands, result_dtype)
        if folded is not None:
            return folded
    return map_(body, *operands, dtype=result_dtype)


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y; of booleans, or."""
    if x.dtype == BOOL:
        return map_(lambda a, b: a | b, x, y)
    return folding(lambda a, b: a + b, lambda a, b: a + b, x, y)


def subtract(x: Tensor, y: Tensor) -> Tensor:
    """x - y."""
    return folding(lambda a, b: a - b, lambda a, b: a - b, x, y)


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """x · y; of booleans, and."""
    if x.dtype == BOOL:
        return map_(lambda a, b: a & b, x, y)
    return folding(lambda a, b: a * b, lambda a, b: a * b, x, y)


def divide(x: Tensor, y: Tensor) -> Tensor:
    """x / y; of integers, rounded towards zero."""
    return folding(
        lambda a, b: a / b,
        lambda a, b: None if isinstance(b, int) and b == 0 else dim_math.truncated_quotient(a, b),
        x,
        y,
    )


def minimum(x: Tensor, y: Tensor) -> Tensor:
    """The smaller; NaN wins."""
    return folding(s.minimum, dim_math.minimum, x, y)


def maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger; NaN wins."""
    return folding(s.maximum, dim_math.maximum, x, y)


def _compare(holds: Callable[[int], bool]) -> Callable[[Dim, Dim], bool | None]:
    def operation(a: Dim, b: Dim) -> bool | None:
        difference = dim_math.known_difference(a, b)
        return None if difference is None else holds(difference)

    return operation


def equal(x: Tensor, y: Tensor) -> Tensor:
    """x = y."""
    return folding(lambda a, b: a.eq(b), _compare(lambda d: d == 0), x, y, dtype=BOOL)


def less(x: Tensor, y: Tensor) -> Tensor:
    """x < y."""
    return folding(lambda a, b: a < b, _compare(lambda d: d < 0), x, y, dtype=BOOL)


def less_equal(x: Tensor, y: Tensor) -> Tensor:
    """x ≤ y."""
    return folding(lambda a, b: a <= b, _compare(lambda d: d <= 0), x, y, dtype=BOOL)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where the condition holds, else y."""

    def operation(c: Dim, a: Dim, b: Dim) -> Dim | None:
        return (a if c else b) if isinstance(c, int) else None

    if is_integer(x.dtype):
        folded = _fold(operation, (condition, x, y), x.dtype)
        if folded is not None:
            return folded
    return map_(s.select, condition, x, y, dtype=x.dtype)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x converted element by element as `scalar.cast` does."""
    if x.dtype == dtype:
        return x
    if x.known is not None and x.known.dtype == object:
        if dtype in (INT64, INT32):
            return Tensor(x.shape, dtype, known=x.known)
    elif (splat := x.splat()) is not None and _casts_alike(x.dtype, dtype):
        return fill(x.shape, np.asarray(splat).astype(dtype), dtype)
    elif x.is_foldable and _casts_alike(x.dtype, dtype):
        assert x.known is not None
        return Tensor.of(x.known.astype(dtype), name=x.name)
    return map_(lambda a: s.cast(a, dtype), x, dtype=dtype)


def _casts_alike(source: DType, target: DType) -> bool:
    """Whether numpy's conversion is ours: no float to integer, no narrow float to narrow float."""
    plain = "?biuf"
    return (source.kind in "biu" and target.kind in plain) or (source.kind == "f" and target.kind == "f")
