"""StableHLO programs as JAX exports them, compiled and run, with JAX as oracle: static and symbolic shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlirage

jax = pytest.importorskip("jax", reason="needs the extra [jax]")
jnp, lax, export = jax.numpy, jax.lax, pytest.importorskip("jax.export")
jax.config.update("jax_use_shardy_partitioner", False)


def spec(*shape: Any, dtype: Any = np.float32) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def random(kind: Any, extent: int = 1) -> np.ndarray[Any, Any]:
    """Values for a spec, `extent` for every symbolic dim."""
    rng = np.random.default_rng(0)
    shape = tuple(d if isinstance(d, int) else extent for d in kind.shape)
    dtype = np.dtype(kind.dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) > 0.5)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0, 5, shape)).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def check(function: Callable[..., Any], specs: tuple[Any, ...], extents: tuple[int, ...] = (1,)) -> None:
    run = mlirage.load(mlirage.compile(export.export(jax.jit(function))(*specs).mlir_module_serialized), threads=1)
    for extent in extents:
        arguments = [random(kind, extent) for kind in specs]
        expected = jax.tree.leaves(jax.jit(function)(*arguments))
        found = jax.tree.leaves(run(*arguments))
        assert len(found) == len(expected)
        for result, wanted in zip(found, map(np.asarray, expected), strict=True):
            assert (result.shape, result.dtype) == (wanted.shape, wanted.dtype)
            if wanted.dtype.kind in "biu":
                np.testing.assert_array_equal(result, wanted)
            else:
                wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
                np.testing.assert_allclose(result.astype(wide), wanted.astype(wide), rtol=1e-4, atol=1e-4)


def layer_norm(x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)


def attention(x: Any, w: Any) -> Any:
    q, k, v = jnp.split(layer_norm(x) @ w, 3, -1)
    return x + jax.nn.softmax(jnp.einsum("bsd,btd->bst", q, k) / 2.0) @ v


def train_step(w: Any, x: Any, y: Any) -> Any:
    def loss(w: Any) -> Any:
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(jnp.tanh(x @ w)) * jax.nn.one_hot(y, 3), -1))

    value, gradient = jax.value_and_grad(loss)(w)
    return value, w - 0.1 * gradient


U32, I32, C64 = np.uint32, np.int32, np.complex64
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "train_step": (train_step, (spec(5, 3), spec(7, 5), spec(7, dtype=I32))),
    "attention": (attention, (spec(2, 5, 4), spec(4, 12))),
    "while": (lambda x: lax.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 1, c[1] * 2), (0, x))[1], (spec(4),)),
    "scan": (lambda x: lax.scan(lambda c, a: (c + a, c * a), jnp.zeros(3), x), (spec(5, 3),)),
    "cond": (lambda p, x: lax.cond(p, lambda x: x + 1, lambda x: x - 1, x), (spec(dtype=np.bool_), spec(4))),
    "switch": (
        lambda i, x: lax.switch(i, [lambda x: x + 1, lambda x: -x, lambda x: x * 2], x),
        (spec(dtype=I32), spec(4)),
    ),
    "threefry": (lambda k: jax.random.normal(k, (8,)), (spec(2, dtype=U32),)),
    "philox": (
        lambda k: lax.rng_bit_generator(k, (8,), algorithm=lax.RandomAlgorithm.RNG_PHILOX),
        (spec(4, dtype=U32),),
    ),
    "sort": (lambda x: (jnp.sort(x), jnp.argsort(x, axis=0)), (spec(9, 5),)),
    "top_k": (lambda x: lax.top_k(x, 3), (spec(4, 9),)),
    "scatter": (lambda x, i, u: x.at[i].add(u), (spec(10, 5), spec(3, dtype=I32), spec(3, 5))),
    "scatter_elements": (lambda x, i: x.at[i, i].set(1.0), (spec(5, 5), spec(3, dtype=I32))),
    "gather": (lambda x, i, j: x[i, j], (spec(10, 5), spec(3, dtype=I32), spec(3, dtype=I32))),
    "conv": (lambda x, w: lax.conv_general_dilated(x, w, (2, 2), "SAME"), (spec(1, 3, 9, 8), spec(4, 3, 3, 3))),
    "grouped_conv": (
        lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=2),
        (spec(1, 4, 5, 6), spec(4, 2, 3, 3)),
    ),
    "pool_gradient": (
        jax.grad(lambda x: (lax.reduce_window(x, -jnp.inf, lax.max, (3, 3), (2, 2), "SAME") ** 2).sum()),
        (spec(8, 7),),
    ),
    "cumsum": (lambda x: jnp.cumsum(x, 1), (spec(4, 5),)),
    "argmax": (lambda x: jnp.argmax(x, 1), (spec(4, 5),)),
    "fft": (lambda x: (jnp.fft.fft(x), jnp.fft.ifft(x)), (spec(2, 30, dtype=C64),)),
    "fft_prime": (lambda x: jnp.fft.fft(x), (spec(17, dtype=C64),)),
    "rfft2": (lambda x: jnp.fft.rfft2(x), (spec(3, 6, 8),)),
    "irfft_odd": (lambda x: jnp.fft.irfft(x, n=15), (spec(3, 8, dtype=C64),)),
    "unsigned": (lambda x, y: (x // (y + 1), x > y, x.astype(np.float32)), (spec(4, dtype=np.uint8),) * 2),
    "bits": (lambda x: lax.population_count(x) + lax.clz(x) + (x >> 1), (spec(4, dtype=U32),)),
    "special": (lambda x: jax.scipy.special.erfinv(x / 9) + jax.scipy.special.gammaln(x), (spec(4),)),
    "bf16": (lambda x, y: x @ y, (spec(4, 5, dtype=jnp.bfloat16), spec(5, 3, dtype=jnp.bfloat16))),
}

(BATCH,) = export.symbolic_shape("b", constraints=["b>=1"])
SYMBOLIC: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "mlp": (lambda x, w: jax.nn.softmax(jax.nn.relu(x @ w)), (spec(BATCH, 8), spec(8, 5))),
    "attention": (attention, (spec(BATCH, 5, 4), spec(4, 12))),
    "iota": (lambda x: x + jnp.arange(x.shape[0])[:, None], (spec(BATCH, 3),)),
    "reshape": (lambda x: (x.reshape(-1), x.reshape(-1, 4)), (spec(BATCH, 8),)),
    "reverse": (lambda x: jnp.concatenate([x, x[::-1]]), (spec(BATCH, 3),)),
    "slice": (lambda x: x[1:], (spec(BATCH, 3),)),
    "sort": (lambda x: jnp.sort(x, 0), (spec(BATCH, 3),)),
    "scatter": (lambda x, i: x.at[i].add(1.0), (spec(10, 4), spec(BATCH, dtype=I32))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_static(name: str) -> None:
    check(*PROGRAMS[name])


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_batch(name: str) -> None:
    check(*SYMBOLIC[name], extents=(1, 2, 3, 7, 16))
