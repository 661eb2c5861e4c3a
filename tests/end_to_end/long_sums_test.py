"""Sums over a hundred thousand elements and more are as near to f64 as PyTorch's."""

from __future__ import annotations

import copy
import warnings

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


class _Statistics(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.mean((0, 2, 3)), x.var((0, 2, 3))])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        # Channels are neighbours behind a convolution: a group is in pieces.
        (nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(2, 16)), (1, 3, 192, 192)),
        (nn.Sequential(nn.Conv2d(3, 19, 1), _Statistics()), (5, 3, 151, 149)),
        (_Statistics(), (7, 5, 127, 131)),
    ],
)
def test_long_sums(model: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape) + 1
    result = mlirage.load(mlirage.compile(model.eval(), (x,), opt_level=1), device="local-sync")(x)
    right = copy.deepcopy(model).double()(x.double())
    assert float((result - right).abs().max() / right.abs().max()) < 1e-6
