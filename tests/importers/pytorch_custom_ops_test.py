"""Operators that a user defines: an error that names them, or their decomposition."""

from __future__ import annotations

import warnings

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch._decomp import register_decomposition

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


@torch.library.custom_op("mlirage_test::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@torch.library.custom_op("mlirage_test::thrice", mutates_args=())
def thrice(x: torch.Tensor) -> torch.Tensor:
    return x * 3


@twice.register_fake
@thrice.register_fake
def _like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@register_decomposition(torch.ops.mlirage_test.thrice.default)
def _thrice(x: torch.Tensor) -> torch.Tensor:
    return x + x + x


def both(x: torch.Tensor) -> torch.Tensor:
    return twice(x) + torch.special.airy_ai(thrice(x))


def one(x: torch.Tensor) -> torch.Tensor:
    return thrice(x).relu()


def test_custom_operators() -> None:
    x = torch.randn(3, 4)
    with pytest.raises(mlirage.ImportFailure) as caught:
        mlirage.compile(both, (x,))
    text = str(caught.value)
    assert "mlirage_test.twice" in text
    assert "thrice" not in text
    assert "pytorch_custom_ops_test.py" in text  # the line
    run = mlirage.load(mlirage.compile(one, (x,), opt_level=1), device="local-sync")
    torch.testing.assert_close(run(x), one(x))
