"""PyTorch models equal eager execution; a decoder keeps its cache for a thousand steps; batches and lengths vary."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

    from tests.end_to_end import pytorch_models as models

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and transformers' own deprecations
Maker = Callable[[], tuple[nn.Module, tuple[Any, ...]]]


def _load(model: nn.Module, inputs: tuple[Any, ...], dynamic_shapes: Any = None) -> Any:
    return mlirage.load(mlirage.compile(model, inputs, None, dynamic_shapes, opt_level=1), device="local-sync")


def _equal(have: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(have, want.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make", [models.bert, models.gpt2, models.llama, models.vit, models.whisper, models.resnet, models.mobilenet]
)
def test_model(make: Maker) -> None:
    torch.manual_seed(0)
    model, inputs = make()
    _equal(_load(model, inputs)(*inputs), model(*inputs))


def test_unet() -> None:
    torch.manual_seed(0)
    model, x = models.UNet().eval(), torch.randn(1, 3, 16, 24)
    _equal(_load(model, (x,))(x), model(x))


@pytest.mark.parametrize(("layer", "both"), [(nn.LSTM, True), (nn.GRU, False)])
def test_tagger(layer: Any, both: bool) -> None:
    torch.manual_seed(0)
    model, words = models.Tagger(layer, both).eval(), torch.randint(0, 50, (3, 9))
    _equal(_load(model, (words,))(words), model(words))


def test_decoder_keeps_its_cache_for_a_thousand_steps() -> None:
    torch.manual_seed(0)
    model = models.Decoder().eval()
    run = _load(model, (torch.zeros(1, 1, 16),))
    x = y = torch.randn(1, 1, 16)
    with torch.no_grad():
        for step in range(1000):
            x, y = run(x), model(y)
            x, y = x / x.norm() * 4, y / y.norm() * 4
            if step % 100 == 99:
                _equal(x, y)
                y = x.clone()


def test_batch_and_length_vary() -> None:
    torch.manual_seed(0)
    model, inputs = models.bert()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=128)
    axes = {0: batch, 1: length}
    run = _load(model, inputs, ((axes, axes),))
    for rows, words in ((2, 16), (1, 1), (3, 2), (1, 3), (2, 7), (1, 17), (1, 64), (1, 127)):
        given = torch.randint(3, 90, (rows, words)), torch.ones(rows, words, dtype=torch.long)
        _equal(run(*given), model(*given))
