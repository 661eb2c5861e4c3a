"""Grouped matrix products equal eager's, whatever the groups are; a mixture of experts of transformers."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and transformers' own deprecations


class _Grouped(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        return torch._grouped_mm(x, y, ends)


def _sliced(x: torch.Tensor, y: torch.Tensor, ends: list[int]) -> torch.Tensor:
    """What the operator is defined to be, group by group, with zeros where no group is."""
    starts = [0, *ends[:-1]]
    spans = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    if (x.dim(), y.dim()) == (2, 3):
        result = torch.zeros(x.shape[0], y.shape[2])
        for g, span in enumerate(spans):
            result[span] = x[span] @ y[g]
    elif (x.dim(), y.dim()) == (3, 2):
        result = torch.zeros(x.shape[1], y.shape[1])
        for g, span in enumerate(spans):
            result[:, span] = x[g] @ y[:, span]
    else:
        result = torch.stack([x[:, span] @ y[span] for span in spans])
    return result


@pytest.mark.parametrize("ends", [[3, 3, 9, 16], [0, 0, 0, 16], [16, 16, 16, 16], [1, 2, 5, 8]])
@pytest.mark.parametrize("shapes", [((16, 8), (4, 8, 24)), ((4, 8, 8), (8, 16)), ((8, 16), (16, 8))], ids=str)
def test_grouped_products(shapes: tuple[tuple[int, ...], tuple[int, ...]], ends: list[int]) -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(shape).to(torch.bfloat16) for shape in shapes)
    given = torch.tensor(ends, dtype=torch.int32)
    run = mlirage.load(mlirage.compile(_Grouped(), (x, y, given), opt_level=1), device="local-sync")
    torch.testing.assert_close(run(x, y, given).float(), _sliced(x.float(), y.float(), ends), rtol=1e-2, atol=1e-2)


def test_groups_are_held_within_the_rows() -> None:
    """Ends beyond the rows, before them and falling ones touch nothing outside."""
    x, y = torch.ones(16, 8, dtype=torch.bfloat16), torch.ones(4, 8, 8, dtype=torch.bfloat16)
    run = mlirage.load(
        mlirage.compile(_Grouped(), (x, y, torch.tensor([4, 8, 12, 16], dtype=torch.int32)), opt_level=1),
        device="local-sync",
    )
    for ends, rows in (([10**9, 5, -7, 3], 16), ([-(2**31)] * 4, 0), ([5, 2, 3, 2**31 - 1], 16), ([0, 0, 7, 1], 7)):
        result = run(x, y, torch.tensor(ends, dtype=torch.int32))
        assert (result[:rows] == 8).all()
        assert (result[rows:] == 0).all()


class _Logits(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.model(words, use_cache=False).logits


def test_mixture_of_experts() -> None:
    """Mixtral with four experts, two of them for each word, with an open length."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=64,
    )  # fmt: skip
    model = _Logits(transformers.MixtralForCausalLM(config).eval())
    length = torch.export.Dim("length", min=2, max=64)
    words = torch.randint(0, 99, (2, 11))
    compiled = mlirage.compile(model, (words,), dynamic_shapes={"words": {1: length}}, opt_level=1)
    run = mlirage.load(compiled, device="local-sync")
    for count in (11, 2, 17):
        words = torch.randint(0, 99, (2, count))
        with torch.no_grad():
            torch.testing.assert_close(run(words), model(words), rtol=1e-4, atol=1e-5)
