"""Matrices: LU factors and what follows from them, singular values, eigenvalues, bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlirage.importers.tensorflow_ops.registry import Call, tf_op
from mlirage.input import builders as b
from mlirage.input import linalgx
from mlirage.input.builders import Dim, DType, Scalar, Tensor, dims, loops
from mlirage.input.builders import scalar as s
from mlirage.mlir import arith


def _factorize(
    kind: str, inputs: Sequence[Tensor], outs: Sequence[tuple[Sequence[Dim], DType]], flags: Sequence[str] = ()
) -> list[Tensor]:
    empties = [b.empty(shape, dtype) for shape, dtype in outs]
    values = linalgx.factorize(kind, [x.value for x in inputs], empties, inputs[0].rank - 2, flags)
    return [Tensor(tuple(shape), dtype, value=v) for v, (shape, dtype) in zip(values, outs, strict=True)]


def _real(dtype: DType) -> DType:
    return np.dtype(np.float64 if dtype.itemsize == 16 else np.float32) if b.is_complex(dtype) else dtype


def _choose(condition: Scalar, a: Scalar, c: Scalar) -> Scalar:
    return Scalar(arith.select(condition.value, a.value, c.value), a.dtype)


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    turned = b.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])
    if not b.is_complex(x.dtype):
        return turned
    return b.map_(lambda a: s.make_complex(s.real(a), -s.imaginary(a)), turned)


def _eye(n: Dim, dtype: DType) -> Tensor:
    one, zero = (Tensor.of(np.asarray(k, dtype)) for k in (1, 0))
    return b.tabulate([n, n], dtype, lambda i, j: _choose(i.eq(j), s.read(one, []), s.read(zero, [])))


def _lu(x: Tensor) -> tuple[Tensor, Tensor]:
    """Both triangles in one matrix, and the rows that were exchanged, counted from 1."""
    count = dims.minimum(x.shape[-2], x.shape[-1])
    outs = [(x.shape, x.dtype), ((*x.shape[:-2], count), b.INT32), (x.shape[:-2], b.INT32)]
    factors, exchanged, _ = _factorize("lu", [x], outs)
    return factors, exchanged


def _order(exchanged: Tensor, rows: Dim) -> Tensor:
    """Which row of the matrix each row of the factors is."""
    start = b.tabulate([*exchanged.shape[:-1], rows], b.INT64, lambda *p: s.cast(p[-1], b.INT64))

    def step(k: Dim, carried: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        (order,) = carried

        def body(*p: Scalar) -> Scalar:
            outer, i, here = list(p[:-1]), p[-1], b.dim_scalar(k)
            other = s.clamp(s.cast(s.read(exchanged, [*outer, here]), b.INDEX) - 1, 0, b.dim_scalar(rows) - 1)
            return s.read(order, [*outer, s.select(i.eq(here), other, s.select(i.eq(other), here, i))])

        return None, [b.tabulate(order.shape, b.INT64, body)], []

    return loops.loop(exchanged.shape[-1], None, [start], step)[0][0]


@tf_op("Lu")
def lu(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    factors, exchanged = _lu(x)
    return factors, b.cast(_order(exchanged, x.shape[-2]), call.results[1])


def _diagonal(factors: Tensor, exchanged: Tensor) -> tuple[Tensor, Tensor]:
    """Diagonal of the upper factor, and whether an odd number of rows was exchanged."""
    n = factors.shape[-1]
    shape = (*factors.shape[:-2], n)
    diagonal = b.tabulate(shape, factors.dtype, lambda *p: s.read(factors, [*p, p[-1]]))

    def moved(pivot: Scalar) -> Scalar:
        here = s.cast(s.index_of(exchanged.rank - 1), b.INT32) + 1
        return s.cast(pivot.ne(here), b.INT32)

    total = b.sum_(b.map_(moved, exchanged), [exchanged.rank - 1])
    return diagonal, b.map_(lambda t: (t & 1).eq(1), total, dtype=b.BOOL)


def _square(x: Tensor) -> None:
    b.TensorBuilder.current().require_equal(x.shape[-2], x.shape[-1], "a matrix that is not square")


@tf_op("MatrixDeterminant")
def determinant(call: Call, x: Tensor) -> Tensor:
    _square(x)
    diagonal, odd = _diagonal(*_lu(x))
    total = b.prod(diagonal, [diagonal.rank - 1])
    return b.map_(lambda a, o: _choose(o, -a, a), total, odd)


@tf_op("LogMatrixDeterminant")
def log_determinant(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    """The sign (or direction), and the logarithm of the size, in the type of the matrix."""
    _square(x)
    diagonal, odd = _diagonal(*_lu(x))
    axis = [diagonal.rank - 1]
    sizes = b.map_(s.absolute, diagonal, dtype=_real(x.dtype))
    size = b.sum_(b.map_(s.log, sizes), axis)

    def direction(a: Scalar, k: Scalar) -> Scalar:
        if b.is_complex(a.dtype):
            return s.make_complex(s.real(a) / k, s.imaginary(a) / k)
        return s.select(a > 0.0, s.coerce(1.0, a.dtype), s.select(a < 0.0, -1.0, a * 0.0))

    signs = b.prod(b.map_(direction, diagonal, sizes, dtype=x.dtype), axis)
    return b.map_(lambda a, o: _choose(o, -a, a), signs, odd), b.cast(size, x.dtype)


def _triangular(a: Tensor, right: Tensor, *flags: str) -> Tensor:
    return _factorize("triangular_solve", [a, right], [(right.shape, right.dtype)], flags)[0]


def solve_square(a: Tensor, right: Tensor) -> Tensor:
    """The x of a·x = right."""
    _square(a)
    factors, exchanged = _lu(a)
    order = _order(exchanged, a.shape[-2])
    spread = b.broadcast_to(b.unsqueeze(order, [-1]), right.shape)
    rows = b.gather_elements(right, spread, right.rank - 2)
    return _triangular(factors, _triangular(factors, rows, "lower", "unit"))


@tf_op("MatrixSolve")
def matrix_solve(call: Call, a: Tensor, right: Tensor) -> Tensor:
    return solve_square(adjoint(a) if call.flag("adjoint") else a, right)


@tf_op("MatrixInverse")
def matrix_inverse(call: Call, a: Tensor) -> Tensor:
    source = adjoint(a) if call.flag("adjoint") else a
    return solve_square(source, b.broadcast_to(_eye(a.shape[-1], a.dtype), a.shape))


@tf_op("Svd")
def svd(call: Call, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values, left and right vectors (empty where they are not asked for)."""
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    if not isinstance(m, int) or not isinstance(n, int):
        raise NotImplementedError("singular values of matrices whose extents only a run knows")
    full, vectors = call.flag("full_matrices"), call.flag("compute_uv", True)
    k, real = min(m, n), _real(x.dtype)
    rows, columns = ((m, m), (n, n)) if full else ((m, k), (k, n))
    outs: list[tuple[Sequence[Dim], DType]] = [
        (x.shape, x.dtype), ((*batch, k), real), ((*batch, *rows), x.dtype), ((*batch, *columns), x.dtype),
        (batch, b.INT32), ((*batch, max(m, n), k), x.dtype), ((*batch, k, k), x.dtype),
    ]  # fmt: skip
    _, values, u, vt, *_ = _factorize("svd", [x], outs, ["wide"] * (n > m) + ["values"] * (not vectors))
    if not vectors:
        nothing = b.fill([0], 0, x.dtype)
        return b.cast(values, call.results[0]), nothing, nothing
    return b.cast(values, call.results[0]), u, adjoint(vt)


@tf_op("Eig")
def eig(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and, where asked for, vectors of any square matrix."""
    _square(x)
    wide = call.results[0]
    x = b.cast(x, wide)
    vectors = call.flag("compute_v", True)
    whole = (x.shape, wide)
    outs = [whole, (x.shape[:-1], wide), (x.shape[:-2], b.INT32), whole, whole]
    found, numbers, *_ = _factorize("eig", [x], outs, [] if vectors else ["values"])
    return numbers, found if vectors else b.fill([0], 0, wide)


@tf_op("SelfAdjointEigV2")
def hermitian_eig(call: Call, x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, in the type of the matrix, and vectors of what its lower triangle says."""
    _square(x)
    n, batch = x.shape[-1], x.shape[:-2]
    outs = [(x.shape, x.dtype), ((*batch, n), _real(x.dtype)), (batch, b.INT32), (x.shape, x.dtype)]
    found, numbers, *_ = _factorize("eigh", [x], outs, ["lower"])
    vectors = found if call.flag("compute_v", True) else b.fill([0], 0, x.dtype)
    return b.cast(numbers, call.results[0]), vectors


def _band(x: Tensor) -> Tensor:
    """The matrix of a superdiagonal, diagonal and subdiagonal, each [.., n] (and one unused element)."""
    n = x.shape[-1]
    zero = Tensor.of(np.asarray(0, x.dtype))

    def body(*p: Scalar) -> Scalar:
        outer, i, j = list(p[:-2]), p[-2], p[-1]
        upper, same, lower = (s.read(x, [*outer, k, i]) for k in range(3))
        nothing = s.read(zero, [])
        rest = _choose(j.eq(i + 1), upper, _choose((j + 1).eq(i), lower, nothing))
        return _choose(i.eq(j), same, rest)

    return b.tabulate([*x.shape[:-2], n, n], x.dtype, body)


@tf_op("TridiagonalSolve")
def tridiagonal_solve(call: Call, diagonals: Tensor, right: Tensor) -> Tensor:
    return solve_square(_band(diagonals), right)


@tf_op("TridiagonalMatMul")
def tridiagonal_product(call: Call, upper: Tensor, same: Tensor, lower: Tensor, right: Tensor) -> Tensor:
    """Each diagonal is [.., 1, n], by rows."""
    return b.matmul(_band(b.concatenate([upper, same, lower], upper.rank - 2)), right)


@tf_op("BandedTriangularSolve")
def banded_solve(call: Call, bands: Tensor, right: Tensor) -> Tensor:
    """Row k of the bands of a lower matrix holds its k-th subdiagonal, of an upper one its k-th from the top."""
    below, width, n = call.flag("lower", True), bands.shape[-2], bands.shape[-1]
    zero = Tensor.of(np.asarray(0, bands.dtype))

    def body(*p: Scalar) -> Scalar:
        outer, i, j = list(p[:-2]), p[-2], p[-1]
        k, count = (i - j if below else j - i), b.dim_scalar(width)
        row = s.clamp(k if below else count - 1 - k, 0, count - 1)
        return _choose((k >= 0) & (k < count), s.read(bands, [*outer, row, i]), s.read(zero, []))

    matrix = b.tabulate([*bands.shape[:-2], n, n], bands.dtype, body)
    batch = b.broadcast_shapes([matrix.shape[:-2], right.shape[:-2]])
    matrix, right = (b.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (matrix, right))
    turned = ["transpose", "conjugate"] if call.flag("adjoint") else []
    return _triangular(matrix, right, *(["lower"] if below else []), *turned)


@tf_op("Einsum")
def einsum(call: Call, *operands: Tensor) -> Tensor:
    return b.einsum(call.text("equation"), operands)
