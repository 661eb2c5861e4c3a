"""Open batches and lengths: one compiled module takes every size from 0 on, as eager does."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import torch.nn.functional as F
    from torch import nn

    from tests.end_to_end import pytorch_models as models

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and transformers' own deprecations
SIZES = (0, 1, 2, 3, 7, 16, 17, 64, 127)


def _load(model: nn.Module, inputs: tuple[Any, ...], shapes: Any) -> Any:
    compiled = mlirage.compile(model, inputs, dynamic_shapes=shapes, opt_level=1)
    return mlirage.load(compiled, device="local-sync")


def _dims(*names: str) -> list[Any]:
    return [torch.export.Dim(name, max=512) for name in names]


def _equal(have: Any, want: Any) -> None:
    leaves = torch.utils._pytree.tree_leaves
    for mine, theirs in zip(leaves(have), leaves(want), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-4, atol=1e-4)


def test_mlp() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(7, 33), nn.GELU(), nn.LayerNorm(33), nn.Linear(33, 5), nn.Softmax(-1)).eval()
    batch, length = _dims("batch", "length")
    run = _load(net, (torch.randn(3, 4, 7),), ({0: batch, 1: length},))
    for size in SIZES:
        for other in (0, 1, 3, 17):
            for shape in ((size, other, 7), (other, size, 7)):
                x = torch.randn(shape)
                _equal(run(x), net(x))


def test_cnn() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 5, 2, 2, groups=8), nn.Hardswish(), nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 4),
    ).eval()  # fmt: skip
    (batch,) = _dims("batch")
    # Below 6, an extent inside is 1, which torch.export takes for a case of its own.
    height, width = (torch.export.Dim(name, min=6, max=512) for name in ("height", "width"))
    run = _load(net, (torch.randn(3, 3, 16, 18),), ({0: batch, 2: height, 3: width},))
    for size in SIZES:
        x = torch.randn(size, 3, 11, 9)
        _equal(run(x), net(x))
    for height, width in ((6, 6), (7, 16), (17, 64), (127, 8)):
        x = torch.randn(2, 3, height, width)
        _equal(run(x), net(x))


def test_bert() -> None:
    torch.manual_seed(0)
    model, inputs = models.bert()
    axes = dict(enumerate(_dims("batch", "length")))
    run = _load(model, inputs, ((axes, axes),))
    none = run(torch.zeros(0, 5, dtype=torch.long), torch.ones(0, 5, dtype=torch.long))
    assert none.shape == (0, 5, 32)  # eager, which reshapes to [0, 5, -1, 8], refuses
    for rows, words in [(size, 5) for size in SIZES[1:]] + [(2, size) for size in SIZES[1:]] + [(17, 16)]:
        mask = (torch.arange(words)[None] < torch.randint(1, words + 1, (rows, 1))).long()
        given = torch.randint(3, 90, (rows, words)), mask
        _equal(run(*given), model(*given))


class Step(nn.Module):
    """A decoder layer on keys and values of the words before, which come in and go out longer."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm, self.parts, self.out = nn.RMSNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Any:
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.parts(self.norm(x)).chunk(3, -1))
        keys, values = torch.cat([keys, k], 2), torch.cat([values, v], 2)
        at = torch.arange(x.shape[1])[:, None] + (keys.shape[2] - x.shape[1])
        seen = torch.arange(keys.shape[2])[None] <= at
        y = F.scaled_dot_product_attention(q, keys, values, seen).transpose(1, 2).flatten(2)
        return x + self.out(y), keys, values


def test_decoder_step() -> None:
    torch.manual_seed(0)
    net = Step().eval()
    batch, new, old = _dims("batch", "new", "old")
    example = torch.randn(2, 3, 16), torch.randn(2, 2, 4, 8), torch.randn(2, 2, 4, 8)
    run = _load(net, example, ({0: batch, 1: new}, {0: batch, 2: old}, {0: batch, 2: old}))
    sizes = [(2, 1, size) for size in SIZES] + [(2, size, 3) for size in SIZES] + [(size, 1, 7) for size in SIZES]
    for rows, words, before in sizes:
        past = [torch.randn(rows, 2, before, 8) for _ in range(2)]
        given = torch.randn(rows, words, 16), *past
        _equal(run(*given), net(*given))


def test_recurrent_tagger() -> None:
    torch.manual_seed(0)
    net = models.Tagger(nn.LSTM, True).eval()
    batch, length = _dims("batch", "length")
    run = _load(net, (torch.randint(0, 50, (3, 9)),), ({0: batch, 1: length},))
    for size in SIZES[1:]:
        for shape in ((size, 3), (2, size)):
            words = torch.randint(0, 50, shape)
            _equal(run(words), net(words))
