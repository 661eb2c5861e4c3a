"""Architectures of `transformers`, exported by PyTorch, equal eager (`make test-all`)."""

from __future__ import annotations

import warnings

import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

    pytest.importorskip("transformers", reason="the architectures are those of transformers")
    from tests.end_to_end.transformers_models import IMAGES, SEQUENCES, SOUNDS, TEXT, architecture, tensors

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and transformers' own deprecations


@pytest.mark.parametrize("name", [*TEXT, *SEQUENCES, *IMAGES, *SOUNDS])
def test_architecture(name: str) -> None:
    """Every tensor of the output to 1e-4 of its largest element."""
    model, inputs = architecture(name)
    with torch.no_grad():
        wanted = tensors(model(*inputs))
        program = torch.export.export(model, inputs)
    run = mlirage.load(mlirage.compile(program, opt_level=1), device="local-sync")
    for got, want in zip(tensors(run(*inputs)), wanted, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        scale = float(want.abs().max().clamp(min=1e-6)) if want.numel() else 1.0
        torch.testing.assert_close(got / scale, want / scale, rtol=0, atol=1e-4, equal_nan=True)
