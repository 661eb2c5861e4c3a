"""Taggers over sentences of different lengths: packed sequences with an open batch and an open length equal eager's."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn
    from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


class Tagger(nn.Module):
    """Packs, runs layers, changes what is packed, and unpacks."""

    def __init__(self, layers: nn.Module, width: int, batch_first: bool, is_sorted: bool, whole: bool) -> None:
        super().__init__()
        self.layers, self.head = layers, nn.Linear(width, 3)
        self.batch_first, self.is_sorted, self.whole = batch_first, is_sorted, whole

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(x, lengths, self.batch_first, self.is_sorted)
        packed, last = self.layers(packed)
        tags = PackedSequence(
            self.head(packed.data), packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )
        total = x.shape[1 if self.batch_first else 0] if self.whole else None
        padded, counts = pad_packed_sequence(tags, self.batch_first, -7.0, total)
        return padded, counts, packed.data.sum(), last


MODELS = {
    "lstm-projected": lambda: Tagger(
        nn.LSTM(4, 6, 2, bidirectional=True, proj_size=2, batch_first=True), 4, True, False, True
    ),
    "gru": lambda: Tagger(nn.GRU(4, 5, bidirectional=True), 10, False, False, False),
    "rnn-sorted": lambda: Tagger(nn.RNN(4, 5, 2, bias=False), 5, False, True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_tagger(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    time = 1 if model.batch_first else 0

    def inputs(batch: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.randint(1, steps + 1, (batch,))
        lengths = lengths.sort(descending=True).values if model.is_sorted else lengths
        return torch.randn(*((batch, steps) if time else (steps, batch)), 4), lengths

    batch, steps = torch.export.Dim("batch", max=64), torch.export.Dim("steps", max=64)
    shapes = ({1 - time: batch, time: steps}, {0: batch})
    example = inputs(3, 7)
    run = mlirage.load(mlirage.compile(model, example, dynamic_shapes=shapes, opt_level=1), device="local-sync")
    for size in ((3, 7), (1, 1), (5, 11), (2, 17), (16, 3)):
        given = inputs(*size)
        wanted, got = model(*given), run(*given)
        for have, want in zip(
            torch.utils._pytree.tree_leaves(got), torch.utils._pytree.tree_leaves(wanted), strict=True
        ):
            torch.testing.assert_close(have, want.detach(), rtol=1e-4, atol=1e-5)
    if model.is_sorted:
        with pytest.raises(mlirage.DeviceError, match="sorted"):
            run(torch.randn(4, 2, 4), torch.tensor([2, 3]))
    with pytest.raises(mlirage.DeviceError, match=r"at most|at least 1"):
        run(*inputs(2, 5)[:1], torch.tensor([6, 2]))
