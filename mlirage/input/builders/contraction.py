"""Contractions: matrix products in every broadcast form, and einsum.

Products with plain batches become `linalg.matmul` and `linalg.batch_matmul`; the rest one `linalg.generic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import Dim, product
from mlirage.input.builders.element_types import BOOL, DType, compute_dtype, is_float, is_unsigned
from mlirage.input.builders.elementwise import broadcast_shapes, cast
from mlirage.input.builders.movement import broadcast_to, reshape, squeeze, transpose, unsqueeze
from mlirage.input.builders.reduction import iterators
from mlirage.input.builders.scalar import Scalar
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import ir, linalg


def zeros(shape: Sequence[Dim], dtype: DType) -> ir.Value[Any]:
    """A destination filled with zero."""
    zero = TensorBuilder.current().scalar_constant(0, dtype)
    return linalg.fill(zero, outs=[empty(shape, dtype)])


def _accumulator(dtype: DType) -> DType:
    """16-bit floats accumulate in f32; narrower ones are widened before they are multiplied."""
    return compute_dtype(dtype)


def _widened(x: Tensor) -> Tensor:
    return cast(x, compute_dtype(x.dtype)) if is_float(x.dtype) and x.dtype.itemsize < 2 else x


def matmul(left: Tensor, right: Tensor, dtype: DType | None = None) -> Tensor:
    """numpy's matmul: vectors, matrices, and batches that broadcast.

    Args:
      left: […, m, k] or [k].
      right: […, k, n] or [k].
      dtype: of the result and, for integers, of the sums; by default the operands'.

    Raises:
      ValueError: the shapes do not fit.
    """
    dtype = dtype or left.dtype
    if left.rank == 0 or right.rank == 0:
        raise ValueError("matmul of a scalar")
    if left.rank == 1:
        return squeeze(matmul(unsqueeze(left, [0]), right, dtype), [-2 if right.rank > 1 else 0])
    if right.rank == 1:
        return squeeze(matmul(left, unsqueeze(right, [1]), dtype), [-1])
    TensorBuilder.current().require_equal(
        left.shape[-1], right.shape[-2], f"matmul of {list(left.shape)} and {list(right.shape)}: inner extents differ"
    )
    left, right = _widened(left), _widened(right)
    same_sign = is_unsigned(left.dtype) == is_unsigned(right.dtype)
    if not same_sign or (left.dtype != right.dtype) or (is_unsigned(left.dtype) and left.dtype != dtype):
        left, right = cast(left, dtype), cast(right, dtype)
    batch_left, batch_right = left.shape[:-2], right.shape[:-2]
    if all(dim == 1 for dim in batch_right):
        rows = reshape(left, [product(left.shape[:-1]), left.shape[-1]])
        shape = (*([1] * (len(batch_right) - len(batch_left))), *left.shape[:-1], right.shape[-1])
        return reshape(_matmul_2d(rows, reshape(right, right.shape[-2:]), dtype), shape)
    batch = broadcast_shapes([batch_left, batch_right])
    count = product(batch)
    left = _batched(left, batch)
    right = _batched(right, batch)
    shape = (*batch, left.shape[-2], right.shape[-1])
    left = reshape(left, [count, *left.shape[-2:]])
    right = reshape(right, [count, *right.shape[-2:]])
    accumulator = _accumulator(dtype)
    out_shape = (count, left.shape[1], right.shape[2])
    value = linalg.batch_matmul(left.value, right.value, outs=[zeros(out_shape, accumulator)])
    return reshape(cast(Tensor(out_shape, accumulator, value=value), dtype), shape)


def _batched(x: Tensor, batch: Shape) -> Tensor:
    return broadcast_to(x, (*batch, *x.shape[-2:])) if x.shape[:-2] != batch else x


def _matmul_2d(left: Tensor, right: Tensor, dtype: DType) -> Tensor:
    accumulator = _accumulator(dtype)
    shape = (left.shape[0], right.shape[1])
    value = linalg.matmul(left.value, right.value, outs=[zeros(shape, accumulator)])
    return cast(Tensor(shape, accumulator, value=value), dtype)


def einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """numpy's einsum, ellipsis and implicit output included; pairs of operands are contracted from the left.

    Raises:
      ValueError: the equation does not fit the operands.
    """
    inputs, output = _parse(equation.replace(" ", ""), operands)
    terms = [_diagonal(term, x) for term, x in zip(inputs, operands, strict=True)]
    while len(terms) > 1:
        (left, x), (right, y), *rest = terms
        needed = set(output).union(*(term for term, _ in rest))
        kept = [c for c in dict.fromkeys(left + right) if c in needed]
        terms = [(("".join(kept)), _contract([(left, x), (right, y)], "".join(kept))), *rest]
    term, x = terms[0]
    if set(term) == set(output):
        return transpose(x, [term.index(c) for c in output])
    return _contract([(term, x)], output)


def _parse(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum {equation!r} names {len(inputs)} operands, not {len(operands)}")
    unused = [chr(c) for c in range(ord("A"), ord("z") + 1) if chr(c).isalpha() and chr(c) not in equation]
    longest = 0
    expanded: list[str] = []
    for term, x in zip(inputs, operands, strict=True):
        if "..." in term:
            count = x.rank - (len(term) - 3)
            longest = max(longest, count)
            term = term.replace("...", "".join(unused[-count:]) if count else "")
        if len(term) != x.rank:
            raise ValueError(f"einsum {equation!r}: {term!r} for a tensor with {x.rank} axes")
        expanded.append(term)
    dots = "".join(unused[-longest:]) if longest else ""
    if not arrow:
        letters = "".join(inputs).replace(".", "")
        output = "..." * bool(dots) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    output = output.replace("...", dots)
    unknown = set(output) - set("".join(expanded))
    if unknown or len(set(output)) != len(output):
        raise ValueError(f"einsum {equation!r}: wrong output subscripts")
    return expanded, output


def _diagonal(term: str, x: Tensor) -> tuple[str, Tensor]:
    """Subscripts that repeat in one operand take its diagonal."""
    from mlirage.input.builders.movement import remap

    letters = "".join(dict.fromkeys(term))
    if letters == term:
        return term, x
    shape = [x.shape[term.index(c)] for c in letters]
    return letters, remap(x, shape, lambda position: [position[letters.index(c)] for c in term])


def _contract(terms: list[tuple[str, Tensor]], output: str) -> Tensor:
    if len(terms) == 2:
        product_form = _as_matmul(terms, output)
        if product_form is not None:
            return product_form
    letters = list(dict.fromkeys(output + "".join(term for term, _ in terms)))
    extents: dict[str, Dim] = {}
    for c in letters:
        dims = [(x.shape[term.index(c)],) for term, x in terms if c in term]
        extents[c] = broadcast_shapes(dims)[0]
    dtype = terms[0][1].dtype
    accumulator = _accumulator(dtype)
    values: list[ir.Value[Any]] = []
    maps: list[ir.AffineMap] = []
    rank = len(letters)
    for term, x in terms:
        kept = [c for c in term if x.shape[term.index(c)] == extents[c] or x.shape[term.index(c)] != 1]
        x = squeeze(x, [i for i, c in enumerate(term) if c not in kept])
        values.append(broadcast_to(x, [extents[c] for c in kept]).value)
        maps.append(ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(letters.index(c)) for c in kept]))
    shape = [extents[c] for c in output]
    init = zeros(shape, accumulator)
    maps.append(ir.AffineMap.get(rank, 0, [ir.AffineExpr.get_dim(letters.index(c)) for c in output]))
    op = linalg.GenericOp(
        [tensor_type(shape, accumulator)],
        values,
        [init],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
        iterators(["parallel" if c in output else "reduction" for c in letters]),
    )
    kinds = [ir.RankedTensorType(v.type).element_type for v in (*values, init)]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * len(kinds))
    with TensorBuilder.current().block(block):
        total = Scalar(block.arguments[len(values)], accumulator)
        factor = s.load(block.arguments[0], terms[0][1].dtype)
        for argument, (_, x) in zip(list(block.arguments)[1:-1], terms[1:], strict=True):
            factor = factor * s.load(argument, x.dtype)
        linalg.yield_([(total + factor).value])
    return cast(Tensor(shape, accumulator, value=op.results[0]), dtype)


def _as_matmul(terms: list[tuple[str, Tensor]], output: str) -> Tensor | None:
    """A contraction of two operands as transposes around a (batch) matmul, where its subscripts allow that."""
    (left, x), (right, y) = terms
    if x.dtype == BOOL:
        return None
    shared = [c for c in left if c in right]
    for c in shared:
        if x.shape[left.index(c)] != y.shape[right.index(c)]:
            return None
    batch = [c for c in shared if c in output]
    inner = [c for c in shared if c not in output]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    if not inner or not rows or not columns or not set(rows) | set(columns) <= set(output):
        return None
    extents = dict(zip(left, x.shape, strict=True)) | dict(zip(right, y.shape, strict=True))

    def grouped(term: str, tensor: Tensor, *groups: list[str]) -> Tensor:
        moved = transpose(tensor, [term.index(c) for group in groups for c in group])
        return reshape(moved, [product(extents[c] for c in group) for group in groups if group or group is not batch])

    if batch:
        result = matmul(grouped(left, x, batch, rows, inner), grouped(right, y, batch, inner, columns))
    else:
        result = matmul(grouped(left, x, rows, inner), grouped(right, y, inner, columns))
    order = batch + rows + columns
    return transpose(reshape(result, [extents[c] for c in order]), [order.index(c) for c in output])
