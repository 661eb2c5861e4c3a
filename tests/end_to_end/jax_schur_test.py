"""Schur forms of real matrices, against what defines them and against LAPACK's where that is the only answer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import mlirage

jax = pytest.importorskip("jax", reason="needs the extra [jax]")

Array = np.ndarray[Any, Any]

INEXACT = ("jordan", "hidden jordan", "nilpotent", "rank one", "ones", "checkers", "graded", "tiny", "huge", "denormal")
"""Matrices with values that the last bits move far, or that numpy cannot take."""


@cache
def compiled(rows: int, dtype: str) -> mlirage.LoadedModule:
    """Schur's form and vectors of any number of matrices."""
    with jax.enable_x64(True):
        (batch,) = jax.export.symbolic_shape("batch")
        argument = jax.ShapeDtypeStruct((batch, rows, rows), dtype)
        exported = jax.export.export(jax.jit(jax.scipy.linalg.schur))(argument)
    return mlirage.load(mlirage.compile(exported, jobs=1), device="local-sync")


def check(matrices: Array) -> Array:
    """The forms, which have all that makes them forms of `matrices`."""
    n = matrices.shape[-1]
    form, vectors = map(np.asarray, compiled(n, matrices.dtype.name)(matrices))
    assert form.dtype == vectors.dtype == matrices.dtype
    limit = 30 * n * np.finfo(matrices.dtype).eps
    size = np.abs(matrices).max((1, 2), keepdims=True, initial=0) + np.finfo(matrices.dtype).tiny
    forms, wide = form.astype(np.float64), vectors.astype(np.float64)
    assert np.all(np.abs(wide @ (forms / size) @ wide.mT - matrices / size) <= limit)
    assert np.all(np.abs(wide.mT @ wide - np.eye(n)) <= limit)
    assert np.all(np.tril(form, -2) == 0)
    for matrix in form:
        low = np.flatnonzero(np.diag(matrix, -1))
        assert np.all(np.diff(low) > 1)  # no block of three rows
        for k in low:  # LAPACK's standard form: a pair of complex values, and says so by signs
            assert matrix[k, k] == matrix[k + 1, k + 1]
            assert matrix[k, k + 1] * np.sign(matrix[k + 1, k]) < 0
    return form


def values(form: Array) -> Array:
    """The eigenvalues that a form's blocks tell."""
    found = np.diag(form).astype(np.complex128)
    for k in np.flatnonzero(np.diag(form, -1)):
        root = np.sqrt(np.abs(form[k, k + 1])) * np.sqrt(np.abs(form[k + 1, k]))
        found[k : k + 2] += [1j * root, -1j * root]
    return found


def distance(found: Array, expected: Array) -> float:
    """How far any value of one set is from the other set."""
    apart = np.abs(found[:, None] - expected[None])
    return max(apart.min(0).max(), apart.min(1).max())


@pytest.mark.parametrize(("rows", "dtype"), [(2, "float64"), (7, "float64"), (40, "float32")])
def test_random_matrices(rows: int, dtype: str) -> None:
    matrices = np.random.default_rng(rows).standard_normal((6, rows, rows)).astype(dtype)
    forms = check(matrices)
    with jax.enable_x64(True):
        lapack = np.asarray(jax.scipy.linalg.schur(matrices)[0])
    # Columns of the vectors may have either sign, and a block of two rows two forms: its diagonal is the same. In large
    # matrices rounding decides which values are found first.
    limit = 300 * rows * np.finfo(dtype).eps
    for ours, theirs in zip(forms, lapack, strict=True):
        if rows < 10:
            np.testing.assert_allclose(np.diag(ours), np.diag(theirs), rtol=0, atol=limit)
        assert distance(values(ours), values(theirs)) < limit


def test_matrices_of_every_kind() -> None:
    n = 7
    rng = np.random.default_rng(1)
    x, ring = rng.standard_normal((n, n)), np.roll(np.eye(n), 1, 0)
    jordan = 2 * np.eye(n) + np.eye(n, k=1)
    q = np.linalg.qr(x)[0]
    turn = np.kron(np.eye(n)[:3, :3], [[0, 1], [-1, 0]])
    pairs = np.zeros((n, n))
    pairs[:6, :6] = turn
    kinds = {
        "zeros": np.zeros((n, n)), "identity": np.eye(n), "upper": np.triu(x), "lower": np.tril(x), "ring": ring,
        "jordan": jordan, "hidden jordan": q @ jordan @ q.T, "nilpotent": np.eye(n, k=-1), "symmetric": x + x.T,
        "skew": x - x.T, "orthogonal": q, "rank one": x[:, :1] @ x[:1], "pairs": q @ pairs @ q.T,
        "ones": np.ones((n, n)), "companion": np.vstack([rng.standard_normal(n), np.eye(n)[:-1]]),
        "graded": x * 10.0 ** -np.arange(n), "tiny": x * 1e-290, "huge": x * 1e290, "denormal": x * 1e-310,
        "swapped ring": ring.T[::-1], "integers": np.round(3 * x), "checkers": np.indices((n, n)).sum(0) % 2.0,
    }  # fmt: skip
    matrices = np.stack(list(kinds.values()))
    with np.errstate(over="ignore"):
        forms = check(matrices)
    for name, form, matrix in zip(kinds, forms, matrices, strict=True):
        if name in INEXACT:
            continue
        assert distance(values(form), np.linalg.eigvals(matrix)) < 1e-6, name


def test_what_is_not_finite_is_nan() -> None:
    matrices = np.random.default_rng(2).standard_normal((3, 7, 7))
    matrices[0, 1, 1], matrices[1, 0, 2] = np.nan, np.inf
    form, vectors = compiled(7, "float64")(matrices)
    assert np.isnan(np.asarray(form)[:2]).any((1, 2)).all()
    assert np.isfinite(np.asarray(form)[2]).all()
    assert np.isfinite(np.asarray(vectors)[2]).all()
