"""Attention as frameworks spell it becomes one op, with the framework as oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage import compiler, importers
from mlirage.options import make_options

torch = pytest.importorskip("torch")


class Function(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def softmax_of_products(query: Any, key: Any, value: Any) -> Any:
    return torch.softmax(query @ key.transpose(-1, -2) / 4, -1) @ value


def heads_inside(query: Any, key: Any, value: Any) -> Any:
    weights = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", query, key), -1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, value)


def in_float32(query: Any, key: Any, value: Any) -> Any:
    scores = query @ key.transpose(-1, -2) / 4
    return torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype) @ value


def sdpa(**options: Any) -> Callable[..., Any]:
    def call(query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, **options)

    return call


PLAIN = ((2, 4, 9, 16), (2, 4, 13, 16), (2, 4, 13, 16))
CASES: dict[str, tuple[Any, tuple[tuple[int, ...], ...], str]] = {
    "sdpa": (sdpa(), PLAIN, "float32"),
    "causal": (sdpa(is_causal=True), PLAIN, "float32"),
    "mask": (sdpa(), (*PLAIN, (2, 1, 9, 13)), "float32"),
    "grouped": (sdpa(enable_gqa=True), ((2, 8, 9, 16), (2, 2, 13, 16), (2, 2, 13, 16)), "float32"),
    "matmul": (softmax_of_products, PLAIN, "float32"),
    "batch": (softmax_of_products, ((3, 9, 16), (3, 13, 16), (3, 13, 16)), "float32"),
    "matrix": (softmax_of_products, ((9, 16), (13, 16), (13, 16)), "float32"),
    "einsum": (heads_inside, ((2, 9, 4, 16), (2, 13, 4, 16), (2, 13, 4, 16)), "float32"),
    "half": (softmax_of_products, PLAIN, "float16"),
    "float32 inside": (in_float32, PLAIN, "float16"),
    "encoder": (torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(), ((2, 9, 32),), "float32"),
}


@pytest.mark.parametrize("name", CASES)
def test_pytorch(name: str) -> None:
    function, shapes, dtype = CASES[name]
    model = function if isinstance(function, torch.nn.Module) else Function(function).eval()
    random = np.random.default_rng(0)
    arguments = tuple(torch.from_numpy(random.standard_normal(s).astype(dtype)) for s in shapes)
    source = importers.Model(model, arguments, {}, None)
    program = compiler.lower(source, make_options(compile_to="global-optimization"))
    assert str(program.module).count('"linalgx.attention"') == 1
    with torch.no_grad():
        want = model(*arguments).numpy()
    got = mlirage.load(mlirage.compile(model, arguments)).main(*arguments)
    got = np.asarray(got[0] if isinstance(got, list | tuple) else got)
    np.testing.assert_allclose(got, want, atol=4e-3 if dtype == "float16" else 2e-6)
