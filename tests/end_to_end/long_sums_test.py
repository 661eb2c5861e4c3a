"""Sums over a hundred thousand elements and more are as near to f64 as PyTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
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


PRODUCT = """
func.func @main(%a: tensor<{0}x{1}xf32>, %b: tensor<{1}x{2}xf32>) -> tensor<{0}x{2}xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<{0}x{2}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<{0}x{2}xf32>) -> tensor<{0}x{2}xf32>
  %c = linalg.matmul ins(%a, %b : tensor<{0}x{1}xf32>, tensor<{1}x{2}xf32>)
      outs(%init : tensor<{0}x{2}xf32>) -> tensor<{0}x{2}xf32>
  return %c : tensor<{0}x{2}xf32>
}}
"""


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(17, 100352, 33), (1, 22501, 16), (3, 8192, 1), (2, 0, 3)])
def test_long_products(rows: int, depth: int, columns: int, known: bool) -> None:
    """Weight gradients sum over all pixels of a batch."""
    random = np.random.default_rng(0)
    a, b = (random.normal(1, 1, shape).astype(np.float32) for shape in ((rows, depth), (depth, columns)))
    run = mlirage.load(mlirage.compile(PRODUCT.format(rows, depth if known else "?", columns)), device="local-sync")
    (result,) = run(a, b)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.max(np.abs(result - expected), initial=0) <= 2e-6 * np.max(np.abs(expected), initial=0)


def test_long_convolution() -> None:
    torch.manual_seed(0)
    right, model = nn.Conv2d(1021, 5, 3, padding=1), nn.Conv2d(1021, 5, 3, padding=1)
    model.load_state_dict(right.state_dict())
    x = torch.randn(1, 1021, 9, 7) + 1
    result = mlirage.load(mlirage.compile(model.eval(), (x,), winograd="off"), device="local-sync")(x)
    expected = right.double()(x.double()).detach()
    assert float((result - expected).abs().max() / expected.abs().max()) < 1e-6
