"""torch.compile(backend="mlirage"): inference, other shapes, changed weights, training, unsupported operators."""

from __future__ import annotations

import copy
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


def test_training_step_of_convolutions() -> None:
    """Gradients of strided, dilated, grouped and transposed convolutions, pooling and resizing."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 6, (3, 2), dilation=2, groups=3),
        nn.AvgPool2d(2, 2, 1), nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2, output_padding=1), nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReplicationPad2d(1), nn.AdaptiveAvgPool2d(3),
    )  # fmt: skip
    twin = copy.deepcopy(net)
    compiled = torch.compile(net, backend=mlirage_backend, options=OPTIONS)
    x = torch.randn(2, 4, 17, 18)
    for model in (compiled, twin):
        model(x).pow(2).sum().backward()
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_unsupported_operators_are_errors() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(torch.linalg.ldl_factor_ex, backend=mlirage_backend, options=OPTIONS)
    with pytest.raises(Exception, match="ldl_factor"):
        compiled(torch.eye(3))
