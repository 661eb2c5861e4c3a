"""Linear algebra, on the matrix algorithms of `linalgx.factorize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlirage.importers.pytorch_ops.complex_math import conjugate, sign
from mlirage.importers.pytorch_ops.contraction import product
from mlirage.importers.pytorch_ops.registry import Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input import linalgx
from mlirage.input.builders import Dim, DType, Scalar, Tensor, dims, loops
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith

_Out = tuple[Sequence[Dim], DType]


def factorize(kind: str, inputs: Sequence[Tensor], outs: Sequence[_Out], flags: Sequence[str] = ()) -> list[Tensor]:
    """The results of a matrix algorithm, for every matrix of the batch."""
    batch = inputs[0].rank - 2
    values = linalgx.factorize(
        kind, [x.value for x in inputs], [b.empty(shape, dtype) for shape, dtype in outs], batch, flags
    )
    return [Tensor(tuple(shape), dtype, value=v) for v, (shape, dtype) in zip(values, outs, strict=True)]


def _real(dtype: DType) -> DType:
    return np.dtype(np.float64 if dtype.itemsize == 16 else np.float32) if b.is_complex(dtype) else dtype


def _adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    turned = b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])
    return b.map_(conjugate, turned) if b.is_complex(x.dtype) else turned


def _masked(x: Tensor, keep: Any) -> Tensor:
    """Elements where `keep(row, column)` holds, 0 elsewhere."""

    def body(a: Scalar) -> Scalar:
        inside = keep(s.index_of(x.rank - 2), s.index_of(x.rank - 1))
        zero = s.coerce(0, a.dtype)
        return Scalar(arith.select(inside.value, a.value, zero.value), a.dtype)

    return b.map_(body, x)


def _eye(rows: Dim, columns: Dim, dtype: DType) -> Tensor:
    def body(i: Scalar, j: Scalar) -> Scalar:
        return Scalar(arith.select(i.eq(j).value, s.coerce(1, dtype).value, s.coerce(0, dtype).value), dtype)

    return b.tabulate([rows, columns], dtype, body)


def _cholesky(x: Tensor, upper: bool) -> tuple[Tensor, Tensor]:
    factor, info = factorize("cholesky", [x], [(x.shape, x.dtype), (x.shape[:-2], b.INT32)], ["upper"] * upper)
    return _masked(factor, (lambda i, j: i <= j) if upper else (lambda i, j: i >= j)), info


@aten("linalg_cholesky_ex")
def cholesky_ex(op: Op, x: Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    return _cholesky(x, upper)


@aten("cholesky")
def cholesky(op: Op, x: Tensor, upper: bool = False) -> Tensor:
    return _cholesky(x, upper)[0]


def solve_triangular(
    a: Tensor, right: Tensor, upper: bool, left: bool = True, unit: bool = False, conjugated: bool = False
) -> Tensor:
    """The x of a·x = right (or x·a = right); of aᴴ instead of a by `conjugated`."""
    batch = b.broadcast_shapes([a.shape[:-2], right.shape[:-2]])
    a, right = (b.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, right))
    flags = ["lower"] * (not upper) + ["unit"] * unit + ["right"] * (not left)
    flags += ["transpose", "conjugate"] * conjugated
    if any(d == 0 for d in right.shape):
        return b.fill(right.shape, 0, right.dtype)
    return factorize("triangular_solve", [a, right], [(right.shape, right.dtype)], flags)[0]


@aten("linalg_solve_triangular")
def linalg_solve_triangular(
    op: Op, a: Tensor, right: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    return solve_triangular(a, right, upper, left, unitriangular)


@aten("triangular_solve")
def triangular_solve(
    op: Op, right: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unit: bool = False
) -> tuple[Tensor, Tensor]:
    batch = b.broadcast_shapes([a.shape[:-2], right.shape[:-2]])
    matrix = b.broadcast_to(a, (*batch, *a.shape[-2:]))
    if transpose:
        turned = b.transpose(a, [*range(a.rank - 2), a.rank - 1, a.rank - 2])
        return solve_triangular(turned, right, not upper, True, unit), matrix
    return solve_triangular(a, right, upper, True, unit), matrix


@aten("cholesky_solve")
def cholesky_solve(op: Op, right: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    return _cholesky_solve(right, factor, upper)


def _cholesky_solve(right: Tensor, factor: Tensor, upper: bool) -> Tensor:
    first = solve_triangular(factor, right, upper, conjugated=upper)
    return solve_triangular(factor, first, upper, conjugated=not upper)


@aten("cholesky_inverse")
def cholesky_inverse(op: Op, factor: Tensor, upper: bool = False) -> Tensor:
    n = factor.shape[-1]
    identity = b.broadcast_to(_eye(n, n, factor.dtype), factor.shape)
    return _cholesky_solve(identity, factor, upper)


def _lu(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pivots = (*x.shape[:-2], dims.minimum(x.shape[-2], x.shape[-1]))
    outs = [(x.shape, x.dtype), (pivots, b.INT32), (x.shape[:-2], b.INT32)]
    factors, exchanged, info = factorize("lu", [x], outs)
    return factors, exchanged, info


@aten("linalg_lu_factor_ex")
def lu_factor_ex(op: Op, x: Tensor, *, pivot: bool = True, check_errors: bool = False) -> tuple[Tensor, ...]:
    if not pivot:
        raise NotImplementedError("LU factors without exchanges of rows")
    return _lu(x)


def _permutation(pivots: Tensor, rows: Dim) -> Tensor:
    """Row i of P·x is row p[i] of x: the exchanges, one after the other."""
    batch = pivots.shape[:-1]
    start = b.tabulate([*batch, rows], b.INT64, lambda *p: s.cast(p[-1], b.INT64))

    def step(k: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        (order,) = carried
        here = b.dim_scalar

        def body(*p: Scalar) -> Scalar:
            outer, i = list(p[:-1]), p[-1]
            other = s.cast(s.read(pivots, [*outer, here(k)]), b.INDEX) - 1
            other = s.clamp(other, 0, here(rows) - 1)
            source = s.select(i.eq(here(k)), other, s.select(i.eq(other), here(k), i))
            return s.read(order, [*outer, source])

        return None, [b.tabulate(order.shape, b.INT64, body)], []

    return loops.loop(pivots.shape[-1], None, [start], step)[0][0]


def _triangles(factors: Tensor) -> tuple[Tensor, Tensor]:
    m, n = factors.shape[-2:]
    k = dims.minimum(m, n)
    left = b.slice_axis(factors, factors.rank - 1, 0, k)
    right = b.slice_axis(factors, factors.rank - 2, 0, k)
    lower = _masked(left, lambda i, j: i > j)
    lower = b.add(lower, b.broadcast_to(_eye(m, k, factors.dtype), lower.shape))
    return lower, _masked(right, lambda i, j: i <= j)


def _permutation_matrix(order: Tensor, dtype: DType) -> Tensor:
    """P of A = P·L·U: column i is the unit vector of row p[i]."""
    rows = order.shape[-1]
    last = order.rank

    def body(p: Scalar) -> Scalar:
        hit = s.cast(s.index_of(last - 1), b.INT64).eq(p)
        return Scalar(arith.select(hit.value, s.coerce(1, dtype).value, s.coerce(0, dtype).value), dtype)

    return b.map_(body, b.unsqueeze(order, [-2]), dtype=dtype, shape=(*order.shape[:-1], rows, rows))


@aten("linalg_lu")
def lu(op: Op, x: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    if not pivot:
        raise NotImplementedError("LU factors without exchanges of rows")
    factors, pivots, _ = _lu(x)
    return _permutation_matrix(_permutation(pivots, x.shape[-2]), x.dtype), *_triangles(factors)


@aten("lu_unpack")
def lu_unpack(
    op: Op, factors: Tensor, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, ...]:
    nothing = b.fill([0], 0, factors.dtype)
    order = nothing
    if unpack_pivots:
        order = _permutation_matrix(_permutation(pivots, factors.shape[-2]), factors.dtype)
    return (order, *_triangles(factors)) if unpack_data else (order, nothing, nothing)


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """The rows of `x` in another order, for every matrix."""
    batch = b.broadcast_shapes([x.shape[:-2], order.shape[:-1]])
    x = b.broadcast_to(x, (*batch, *x.shape[-2:]))
    order = b.broadcast_to(order, (*batch, order.shape[-1]))
    spread = b.broadcast_to(b.unsqueeze(order, [-1]), x.shape)
    return b.gather_elements(x, spread, x.rank - 2)


def _lu_solve(factors: Tensor, pivots: Tensor, right: Tensor) -> Tensor:
    if any(d == 0 for d in right.shape):
        batch = b.broadcast_shapes([factors.shape[:-2], right.shape[:-2]])
        return b.fill((*batch, *right.shape[-2:]), 0, right.dtype)
    ordered = _rows(right, _permutation(pivots, factors.shape[-2]))
    return solve_triangular(factors, solve_triangular(factors, ordered, False, unit=True), True)


@aten("linalg_lu_solve")
def lu_solve(
    op: Op, factors: Tensor, pivots: Tensor, right: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    if not left:
        # x·A = right is Aᴴ·xᴴ = rightᴴ.
        return _adjoint(_lu_solve_adjoint(factors, pivots, _adjoint(right), not adjoint))
    return _lu_solve_adjoint(factors, pivots, right, adjoint)


def _lu_solve_adjoint(factors: Tensor, pivots: Tensor, right: Tensor, conjugated: bool) -> Tensor:
    if not conjugated:
        return _lu_solve(factors, pivots, right)
    # Aᴴ = Uᴴ·Lᴴ·P: rows are put back at the end.
    upper = solve_triangular(factors, right, True, conjugated=True)
    lower = solve_triangular(factors, upper, False, unit=True, conjugated=True)
    order = _permutation(pivots, factors.shape[-2])
    _, inverse = b.ordering.sort_with_positions(order, -1)
    return _rows(lower, inverse)


@aten("_linalg_solve_ex")
def solve_ex(op: Op, a: Tensor, right: Tensor, *, left: bool = True, check_errors: bool = False) -> tuple[Tensor, ...]:
    factors, pivots, info = _lu(a)
    vector = right.rank == 1 or (right.rank == a.rank - 1 and right.shape == a.shape[:-1])
    matrix = b.unsqueeze(right, [-1]) if vector else right
    if left:
        result = _lu_solve(factors, pivots, matrix)
    else:
        result = _adjoint(_lu_solve_adjoint(factors, pivots, _adjoint(matrix), True))
    return b.squeeze(result, [-1]) if vector else result, factors, pivots, info


@aten("linalg_inv_ex")
def inv_ex(op: Op, a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    factors, pivots, info = _lu(a)
    n = a.shape[-1]
    return _lu_solve(factors, pivots, b.broadcast_to(_eye(n, n, a.dtype), a.shape)), info


@aten("_linalg_check_errors")
def check_errors(op: Op, info: Tensor, name: str, *, is_matrix: bool) -> None:
    bad = b.amax(b.map_(lambda i: i.ne(0), info, dtype=b.BOOL))
    good = b.map_(lambda a: ~a, bad)
    message = f"{name}: the matrix is singular, or not positive definite"
    b.TensorBuilder.current().require(loops.scalar_condition(good), message)


def _diagonal(x: Tensor) -> Tensor:
    n = dims.minimum(x.shape[-2], x.shape[-1])
    return b.remap(x, [*x.shape[:-2], n], lambda p: [*p, p[-1]])


def _sign_of_exchanges(pivots: Tensor, dtype: DType) -> Tensor:
    axis = pivots.rank - 1
    moved = b.map_(lambda p: s.cast(s.cast(p, b.INDEX).ne(s.index_of(axis) + 1), b.INT64), pivots, dtype=b.INT64)
    count = b.sum_(moved, [axis])
    kind = _real(dtype)
    sign = b.map_(lambda c: s.select((c & 1).eq(0), s.coerce(1.0, kind), s.coerce(-1.0, kind)), count, dtype=kind)
    return b.cast(sign, dtype)


@aten("_linalg_det")
def det(op: Op, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    factors, pivots, _ = _lu(x)
    if x.shape[-1] == 0:
        return b.fill(x.shape[:-2], 1, x.dtype), factors, pivots
    value = b.prod(_diagonal(factors), [-1])
    return b.multiply(value, _sign_of_exchanges(pivots, x.dtype)), factors, pivots


@aten("_linalg_slogdet")
def slogdet(op: Op, x: Tensor) -> tuple[Tensor, ...]:
    factors, pivots, _ = _lu(x)
    if x.shape[-1] == 0:
        return b.fill(x.shape[:-2], 1, x.dtype), b.fill(x.shape[:-2], 0, _real(x.dtype)), factors, pivots
    diagonal = _diagonal(factors)
    logarithm = b.sum_(b.map_(lambda a: s.log(s.absolute(a)), diagonal, dtype=_real(x.dtype)), [-1])
    signs = b.prod(b.map_(sign, diagonal), [-1])
    return b.multiply(signs, _sign_of_exchanges(pivots, x.dtype)), logarithm, factors, pivots


def _qr(x: Tensor) -> tuple[Tensor, Tensor]:
    taus = (*x.shape[:-2], dims.minimum(x.shape[-2], x.shape[-1]))
    packed, factors = factorize("qr", [x], [(x.shape, x.dtype), (taus, x.dtype)])
    return packed, factors


def _reflections(packed: Tensor, taus: Tensor) -> Tensor:
    return factorize("householder_product", [packed, taus], [(packed.shape, packed.dtype)])[0]


@aten("geqrf")
def geqrf(op: Op, x: Tensor) -> tuple[Tensor, Tensor]:
    return _qr(x)


@aten("linalg_householder_product")
def householder_product(op: Op, packed: Tensor, taus: Tensor) -> Tensor:
    return _reflections(packed, taus)


def _square(packed: Tensor, taus: Tensor) -> Tensor:
    """All columns of the product of reflections."""
    m, n = packed.shape[-2:]
    if isinstance(m, int) and isinstance(n, int) and n >= m:
        return _reflections(b.slice_axis(packed, packed.rank - 1, 0, m), taus)
    high: list[Dim] = [0] * packed.rank
    high[-1] = m - n
    return _reflections(b.pad(packed, [0] * packed.rank, high, 0), taus)


@aten("ormqr")
def ormqr(op: Op, packed: Tensor, taus: Tensor, other: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    q = _square(packed, taus)
    q = _adjoint(q) if transpose else q
    return product(q, other) if left else product(other, q)


@aten("linalg_qr")
def qr(op: Op, x: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    m, n = x.shape[-2:]
    packed, taus = _qr(x)
    k = dims.minimum(m, n)
    rows = m if mode == "complete" else k
    upper = b.slice_axis(packed, x.rank - 2, 0, rows)
    r = _masked(upper, lambda i, j: i <= j)
    if mode == "r":
        return b.fill([0], 0, x.dtype), r
    if mode == "complete":
        return _square(packed, taus), r
    return _reflections(b.slice_axis(packed, x.rank - 1, 0, k), taus), r


@aten("_linalg_eigh")
def eigh(op: Op, x: Tensor, half: str = "L", vectors: bool = True) -> tuple[Tensor, Tensor]:
    real = _real(x.dtype)
    outs: list[_Out] = [(x.shape, x.dtype), (x.shape[:-1], real), (x.shape[:-2], b.INT32), (x.shape, x.dtype)]
    found, numbers, _, _ = factorize("eigh", [x], outs, ["lower"] * (half.upper() == "L"))
    return numbers, found if vectors else b.fill([0], 0, x.dtype)


def _eig(x: Tensor, vectors: bool) -> tuple[Tensor, Tensor]:
    """In c128, whatever x is: the form that vectors are taken from may be badly conditioned."""
    wide = np.dtype(np.complex128)
    x = as_tensor(x, wide)
    outs: list[_Out] = [
        (x.shape, wide), (x.shape[:-1], wide), (x.shape[:-2], b.INT32), (x.shape, wide), (x.shape, wide)
    ]  # fmt: skip
    found, numbers, info, *_ = factorize("eig", [x], outs, [] if vectors else ["values"])
    converged = b.amin(b.map_(lambda i: s.cast(i.eq(0), b.INT64), info, dtype=b.INT64))
    holds = loops.scalar_condition(b.map_(lambda i: i.ne(0), converged, dtype=b.BOOL))
    b.TensorBuilder.current().require(holds, "linalg.eig: the eigenvalues of a matrix did not converge")
    return numbers, found


@aten("linalg_eig")
def eig(op: Op, x: Tensor) -> tuple[Tensor, Tensor]:
    if any(d == 0 for d in x.shape):
        return b.fill(x.shape[:-1], 0, op.dtype), b.fill(x.shape, 0, op.dtype)
    numbers, vectors = _eig(x, True)
    return as_tensor(numbers, op.dtype), as_tensor(vectors, op.dtype)


@aten("linalg_eigvals", "_linalg_eigvals")
def eigvals(op: Op, x: Tensor) -> Tensor:
    if any(d == 0 for d in x.shape):
        return b.fill(x.shape[:-1], 0, op.dtype)
    return as_tensor(_eig(x, False)[0], op.dtype)


@aten("_linalg_svd")
def svd(op: Op, x: Tensor, full: bool = False, vectors: bool = True, *, driver: Any = None) -> tuple[Tensor, ...]:
    u, values, vt = _svd(x, full, vectors)
    nothing = b.fill([0], 0, x.dtype)
    return (u, values, vt) if vectors else (nothing, values, nothing)


def _svd(x: Tensor, full: bool, vectors: bool) -> tuple[Tensor, Tensor, Tensor]:
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    if not isinstance(m, int) or not isinstance(n, int):
        raise NotImplementedError("singular values of matrices whose extents only a run knows")
    k, long = min(m, n), max(m, n)
    real = _real(x.dtype)
    rows, columns = ((m, m), (n, n)) if full else ((m, k), (k, n))
    if k == 0:
        eyes = [b.broadcast_to(_eye(*shape, x.dtype), (*batch, *shape)) for shape in (rows, columns)]
        return eyes[0], b.fill((*batch, 0), 0, real), eyes[1]
    outs: list[_Out] = [
        (x.shape, x.dtype), ((*batch, k), real), ((*batch, *rows), x.dtype), ((*batch, *columns), x.dtype),
        (batch, b.INT32), ((*batch, long, k), x.dtype), ((*batch, k, k), x.dtype),
    ]  # fmt: skip
    flags = ["wide"] * (n > m) + ["values"] * (not vectors)
    _, values, u, vt, *_ = factorize("svd", [x], outs, flags)
    return u, values, vt


@aten("linalg_pinv.atol_rtol_tensor")
def pinv(
    op: Op, x: Tensor, *, atol: Tensor | None = None, rtol: Tensor | None = None, hermitian: bool = False
) -> Tensor:
    if hermitian:  # the lower triangle says all, of its diagonal the real part
        below = _masked(x, lambda i, j: i > j)
        diagonal = _masked(x, lambda i, j: i.eq(j))
        if b.is_complex(x.dtype):
            diagonal = b.map_(lambda a: s.make_complex(s.real(a), s.coerce(0.0, s.real(a).dtype)), diagonal)
        x = b.add(b.add(below, diagonal), _adjoint(below))
    u, values, vt = _svd(x, False, True)
    m, n = x.shape[-2:]
    if any(d == 0 for d in x.shape):
        return b.fill((*x.shape[:-2], n, m), 0, x.dtype)
    real = values.dtype
    largest = b.slice_axis(values, values.rank - 1, 0, 1)
    eps = float(np.finfo(real).eps) * max(m, n)  # pyright: ignore
    absolute = _column(atol, real) if atol is not None else Tensor.of(0.0, real)
    relative = _column(rtol, real) if rtol is not None else Tensor.of(eps, real)
    if rtol is None and atol is not None:
        relative = b.map_(lambda a: s.select(a > 0.0, s.coerce(0.0, real), s.coerce(eps, real)), absolute)
    limit = b.map_(lambda a, r, t: s.maximum(a, r * t), absolute, relative, largest)
    inverse = b.map_(lambda v, t: s.select(v > t, s.coerce(1.0, real) / v, s.coerce(0.0, real)), values, limit)
    scaled = b.multiply(_adjoint(vt), b.cast(b.unsqueeze(inverse, [-2]), x.dtype))
    return product(scaled, _adjoint(u))


def _column(x: Tensor, dtype: DType) -> Tensor:
    return as_tensor(b.unsqueeze(x, [-1]) if x.rank else x, dtype)


@aten("linalg_matrix_exp")
def matrix_exp(op: Op, x: Tensor) -> Tensor:
    """Taylor's series of x / 2ˢ, squared s times; s makes the largest row sum of a batch at most 1/2.

    In f64, for every squaring doubles the error.
    """
    n = x.shape[-1]
    if any(d == 0 for d in x.shape):
        return x
    x = as_tensor(x, np.dtype(np.complex128) if b.is_complex(x.dtype) else b.FLOAT64)
    real = b.FLOAT64
    sums = b.sum_(b.map_(s.absolute, x, dtype=real), [-1])
    norm = b.amax(b.reshape(sums, [b.product(sums.shape)]), [0])
    halvings = b.map_(
        lambda a: s.cast(s.clamp(s.ceil(s.log2(s.maximum(a, 0.5))) + 1.0, 0.0, 64.0), b.INT64), norm, dtype=b.INT64
    )
    factor = b.map_(lambda h: s.exp2(-s.cast(h, real)), halvings, dtype=real)
    scaled = b.multiply(x, b.cast(factor, x.dtype))
    identity = b.broadcast_to(_eye(n, n, x.dtype), x.shape)
    total = identity
    for k in range(14, 0, -1):  # Horner's rule
        total = b.add(identity, b.map_(lambda a, k=k: a * (1.0 / k), product(scaled, total)))

    def step(_: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        return None, [product(carried[0], carried[0])], []

    return as_tensor(loops.loop(halvings.dims()[0], None, [total], step)[0][0], op.dtype)
