"""Sums over a hundred thousand elements and more are as near to f64 as PyTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


class _Statistics(nn.Module):
    """Mean and variance of every channel."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mean(self.axes), x.var(self.axes)])


class _Distances(nn.Module):
    """Sums of how far rows are from where they stand."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - torch.arange(x.shape[0], dtype=x.dtype)[:, None]).abs().sum(0)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        # Channels are neighbours behind a convolution: a group is in pieces.
        (lambda: nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(2, 16)), (1, 3, 192, 192)),
        (lambda: nn.Sequential(nn.Conv2d(3, 19, 1), _Statistics(0, 2, 3)), (5, 3, 151, 149)),
        (lambda: _Statistics(0, 2, 3), (7, 5, 127, 131)),
        (lambda: _Statistics(0, 2, 3), (64, 19, 15, 14)),
        (lambda: _Statistics(0, 1, 2), (5, 151, 149, 19)),
        (lambda: _Statistics(0), (22499, 3)),
        (lambda: _Statistics(0, 1), (2, 8192, 65)),
        (lambda: _Statistics(1), (3, 16384, 2)),
        (_Distances, (22499, 17)),
    ],
)
def test_long_sums(model: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    right, module = model(), model()
    module.load_state_dict(right.state_dict())
    x = torch.randn(shape) + 1
    result = mlirage.load(mlirage.compile(module.eval(), (x,), opt_level=1), device="local-sync")(x)
    expected = right.double().eval()(x.double())
    assert float((result - expected).abs().max() / expected.abs().max()) < 7e-7


def test_extremes_of_a_batch() -> None:
    """Of channels over a batch, with NaNs and signed zeros among them."""

    class Extremes(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.amax((0, 2, 3)), x.amin((0, 2, 3))

    x = torch.randn(6, 9, 17, 23)
    x[3, 1, 5, 7] = torch.nan
    x[2, 2, 3, 4] = -torch.inf
    results = mlirage.load(mlirage.compile(Extremes().eval(), (x,), opt_level=1), device="local-sync")(x)
    for result, expected in zip(results, Extremes()(x), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True)
