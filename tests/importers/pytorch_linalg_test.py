"""Eigenvalues of matrices of all kinds, and least squares, which have no one right answer to compare."""

from __future__ import annotations

import warnings

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


def test_eigenvalues() -> None:
    def eig(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.linalg.eig(x))  # pyright: ignore[reportReturnType]

    torch.manual_seed(0)
    n = 7
    circle = torch.diag(torch.ones(n - 1), 1) + torch.diag(torch.ones(1), 1 - n)
    block = torch.diag(torch.ones(n - 1), 1) + 2 * torch.eye(n)  # one vector for seven values
    matrices = torch.stack([torch.randn(n, n), circle, block, torch.zeros(n, n), torch.eye(n) * 1e-200]).double()
    run = mlirage.load(mlirage.compile(eig, (matrices,), opt_level=1), device="local-sync")
    values, vectors = run(matrices)
    wide = matrices.to(torch.complex128)
    error = (wide @ vectors - vectors * values.unsqueeze(-2)).abs().amax((1, 2))
    assert error.max() < 1e-13
    torch.testing.assert_close(vectors.norm(dim=-2), torch.ones(5, n, dtype=torch.float64))
    for have, want in zip(values[:2], torch.linalg.eigvals(matrices[:2]), strict=True):
        distance = (have[:, None] - want[None]).abs()
        assert distance.amin(0).max() < 1e-13
        assert distance.amin(1).max() < 1e-13
    with pytest.raises(mlirage.DeviceError, match="converge"):
        run(torch.full_like(matrices, torch.nan))


def test_least_squares() -> None:
    def solve(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.linalg.lstsq(a, b).solution

    torch.manual_seed(0)
    for rows, columns in ((5, 3), (3, 5)):
        a, b = torch.randn(2, rows, columns), torch.randn(2, rows, 2)
        run = mlirage.load(mlirage.compile(solve, (a, b), opt_level=1), device="local-sync")
        torch.testing.assert_close(run(a, b), solve(a, b), rtol=1e-4, atol=1e-4)
