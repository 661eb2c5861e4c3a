"""torch.compile(backend="mlirage"): inference, other shapes, changed weights, training, unsupported operators."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

    from mlirage.torch_backend import mlirage_backend

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations
OPTIONS: Any = {"device": "local-sync", "jobs": 1, "opt_level": 1}


def _net() -> nn.Module:
    torch._dynamo.reset()
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Linear(16, 4))


def test_inference_with_several_shapes_and_changed_weights() -> None:
    net = _net().eval()
    compiled = torch.compile(net, backend=mlirage_backend, options=OPTIONS)
    with torch.no_grad():
        for rows in (3, 5, 7, 1):
            x = torch.randn(rows, 8)
            torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-5)
        net[0].weight.mul_(2)
        torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-5)


def test_training_step() -> None:
    net, twin = _net(), _net()
    compiled = torch.compile(net, backend=mlirage_backend, options=OPTIONS)
    x = torch.randn(6, 8)
    for model in (compiled, twin):
        model(x).pow(2).sum().backward()
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net[1].running_mean, twin[1].running_mean)


def test_unsupported_operators_are_errors() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(torch.linalg.ldl_factor_ex, backend=mlirage_backend, options=OPTIONS)
    with pytest.raises(Exception, match="ldl_factor"):
        compiled(torch.eye(3))
