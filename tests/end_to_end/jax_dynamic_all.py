"""Models with symbolic batches and lengths through jax.export, from extent 1 to 127, against JAX on the same arrays.

JAX's symbols are at least 1, which the exported program itself asserts: 0 is its error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage.errors import DeviceError

jax = pytest.importorskip("jax", reason="needs the extra [jax]")
jnp = jax.numpy

EXTENTS = (0, 1, 2, 3, 7, 16, 17, 64, 127)
_RNG = np.random.default_rng(5)
_WIDTH, _HEADS, _WORDS, _CONTEXT = 32, 4, 50, 130


def _weights(*shape: int) -> Any:
    return (_RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


_MLP = [(_weights(12, 40), _weights(40)), (_weights(40, 5), _weights(5))]
_KERNELS = [_weights(3, 3, 3, 8), _weights(3, 3, 8, 16), _weights(16, 6)]
_BLOCK = {name: _weights(_WIDTH, _WIDTH) for name in "qkvo"} | {
    "up": _weights(_WIDTH, 64),
    "down": _weights(64, _WIDTH),
}
_TABLE, _PLACES = _weights(_WORDS, _WIDTH), _weights(_CONTEXT, _WIDTH)


def _mlp(x: Any) -> Any:
    (w1, b1), (w2, b2) = _MLP
    return jax.nn.softmax(jnp.tanh(x @ w1 + b1) @ w2 + b2)


def _cnn(x: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    x = jax.nn.relu(jax.lax.conv_general_dilated(x, _KERNELS[0], (2, 2), "SAME", dimension_numbers=numbers))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(jax.lax.conv_general_dilated(x, _KERNELS[1], (1, 1), "SAME", dimension_numbers=numbers))
    return x.mean((1, 2)) @ _KERNELS[2]


def _norm(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _attend(q: Any, k: Any, v: Any, mask: Any) -> Any:
    def heads(t: Any) -> Any:
        return t.reshape(*t.shape[:2], _HEADS, _WIDTH // _HEADS)

    scores = jnp.einsum("bqhd,bkhd->bhqk", heads(q), heads(k)) / np.sqrt(_WIDTH // _HEADS)
    weights = jax.nn.softmax(jnp.where(mask, scores, -1e9))
    return jnp.einsum("bhqk,bkhd->bqhd", weights, heads(v)).reshape(q.shape)


def _block(x: Any, mask: Any) -> Any:
    y = _norm(x)
    x = x + _attend(y @ _BLOCK["q"], y @ _BLOCK["k"], y @ _BLOCK["v"], mask) @ _BLOCK["o"]
    return x + jax.nn.gelu(_norm(x) @ _BLOCK["up"]) @ _BLOCK["down"]


def _bert(words: Any, valid: Any) -> Any:
    x = jnp.take(jnp.asarray(_TABLE), words, axis=0) + jnp.take(
        jnp.asarray(_PLACES), jnp.arange(words.shape[1]), axis=0
    )
    return _block(x, valid[:, None, None, :]) @ _TABLE.T


def _decoder_step(word: Any, keys: Any, values: Any) -> Any:
    """A step of one word on caches of the words before it."""
    x = jnp.take(jnp.asarray(_TABLE), word, axis=0)[:, None]
    y = _norm(x)
    keys, values = (jnp.concatenate([cache, y @ _BLOCK[name]], 1) for cache, name in ((keys, "k"), (values, "v")))
    x = x + _attend(y @ _BLOCK["q"], keys, values, True) @ _BLOCK["o"]
    x = x + jax.nn.gelu(_norm(x) @ _BLOCK["up"]) @ _BLOCK["down"]
    return x[:, 0] @ _TABLE.T, keys, values


def _valid(batch: int, length: int) -> Any:
    """Which words of each sentence are read: the first ones, one at least."""
    return np.arange(length)[None] < _RNG.integers(1, max(length, 1) + 1, (batch, 1))


Case = tuple[Callable[..., Any], tuple[tuple[str, str], ...], Callable[[int, int], tuple[Any, ...]]]
CASES: dict[str, Case] = {
    "mlp": (_mlp, (("b, 12", "float32"),), lambda b, s: (_RNG.standard_normal((b, 12), np.float32),)),
    "cnn": (_cnn, (("b, 15, 18, 3", "float32"),), lambda b, s: (_RNG.standard_normal((b, 15, 18, 3), np.float32),)),
    "bert": (
        _bert,
        (("b, s", "int32"), ("b, s", "bool")),
        lambda b, s: (_RNG.integers(0, _WORDS, (b, s)).astype(np.int32), _valid(b, s)),
    ),
    "decoder step": (
        _decoder_step,
        (("b", "int32"), (f"b, s, {_WIDTH}", "float32"), (f"b, s, {_WIDTH}", "float32")),
        lambda b, s: (
            _RNG.integers(0, _WORDS, b).astype(np.int32),
            *(_RNG.standard_normal((b, s, _WIDTH), np.float32) for _ in range(2)),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_extent(name: str) -> None:
    function, shapes, make = CASES[name]
    scope = jax.export.SymbolicScope()
    specs = [jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape, scope=scope), dtype) for shape, dtype in shapes]
    jitted = jax.jit(function)
    run = mlirage.load(mlirage.compile(jax.export.export(jitted)(*specs)))
    lengths = EXTENTS if any(", s" in shape for shape, _ in shapes) else (1,)
    pairs = {(b, s) for b in EXTENTS for s in lengths if b in (1, 3) or s in (1, 7)}
    for batch, length in sorted(pairs):
        arrays = make(batch, length)
        if 0 in (batch, length):
            with pytest.raises(DeviceError, match="Expected value >= 1 for dimension variable"):
                run(*arrays)
            continue
        wanted = jax.tree.leaves(jitted(*arrays))
        found = jax.tree.leaves(run(*arrays))
        for want, have in zip(wanted, found, strict=True):
            np.testing.assert_allclose(have, want, rtol=2e-4, atol=2e-5, err_msg=f"{name} of {batch} x {length}")
