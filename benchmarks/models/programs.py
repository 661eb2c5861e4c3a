"""Programs of JAX, as the files that `jax.export` writes; weights are constants, as in a program that is deployed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export, lax

from benchmarks.models.built import BuiltProgram


def _normal(*shape: int, scale: float = 1.0) -> Any:
    seed = int(np.prod(shape)) + len(shape)
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * np.float32(scale))


def _exported(function: Callable[..., Any], *arguments: Any) -> BuiltProgram:
    program = export.export(jax.jit(function))(*arguments)
    return bytes(program.serialize()), {f"args[{i}]": np.asarray(a) for i, a in enumerate(arguments)}


def _dense(inner: int, outer: int) -> Any:
    return _normal(inner, outer, scale=inner**-0.5)


def _mlp() -> BuiltProgram:
    """[32, 784] through 1024, 1024 to 10."""
    w = [_dense(784, 1024), _dense(1024, 1024), _dense(1024, 10)]
    return _exported(lambda x: jax.nn.relu(jax.nn.relu(x @ w[0]) @ w[1]) @ w[2], _normal(32, 784))


def _norm(x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def _encoder(length: int = 128, width: int = 768, heads: int = 12, layers: int = 4) -> BuiltProgram:
    """Pre-norm encoder layers as they are written in jax.numpy."""
    weights = [
        {name: _dense(*shape) + i * 1e-3
         for name, shape in (("qkv", (width, 3 * width)), ("out", (width, width)), ("up", (width, 4 * width)),
                             ("down", (4 * width, width)))}
        for i in range(layers)
    ]  # fmt: skip

    def forward(x: Any) -> Any:
        for w in weights:
            q, k, v = jnp.split((_norm(x) @ w["qkv"]).reshape(length, 3 * heads, width // heads), 3, axis=1)
            scores = jax.nn.softmax(jnp.einsum("qhd,khd->hqk", q, k) / np.sqrt(width // heads), axis=-1)
            x = x + jnp.einsum("hqk,khd->qhd", scores, v).reshape(length, width) @ w["out"]
            x = x + jax.nn.gelu(_norm(x) @ w["up"]) @ w["down"]
        return x

    return _exported(forward, _normal(length, width))


def _resnet50() -> BuiltProgram:
    """ResNet-50 in NHWC; batch norms folded into the weights, as after training."""

    def convolve(x: Any, filters: int, window: int, stride: int = 1) -> Any:
        inner = x.shape[-1]
        kernel = _normal(window, window, inner, filters, scale=(inner * window * window) ** -0.5)
        return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def forward(x: Any) -> Any:
        x = jax.nn.relu(convolve(x, 64, 7, 2))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for block in range(count):
                step = stride if block == 0 else 1
                shortcut = convolve(x, 4 * width, 1, step) if block == 0 else x
                inner = jax.nn.relu(convolve(x, width, 1, step))
                inner = convolve(jax.nn.relu(convolve(inner, width, 3)), 4 * width, 1)
                x = jax.nn.relu(inner * 0.3 + shortcut)
        return x.mean((1, 2)) @ _dense(2048, 1000)

    return _exported(forward, _normal(1, 224, 224, 3))


def _decoder_step(width: int = 768, heads: int = 12, layers: int = 6, cached: int = 256) -> BuiltProgram:
    """One token through decoder layers with caches of keys and values of 512, half full."""
    weights = [
        {name: _dense(*shape) + i * 1e-3
         for name, shape in (("qkv", (width, 3 * width)), ("out", (width, width)), ("gate", (width, 4 * width)),
                             ("up", (width, 4 * width)), ("down", (4 * width, width)))}
        for i in range(layers)
    ]  # fmt: skip

    def forward(x: Any, caches: Any, position: Any) -> Any:
        written: list[Any] = []
        for layer, w in enumerate(weights):
            q, k, v = jnp.split(_norm(x) @ w["qkv"], 3)
            pair = jnp.stack([k, v]).reshape(2, 1, heads, width // heads)
            cache = lax.dynamic_update_slice(caches[layer], pair, (0, position, 0, 0))
            written.append(cache)
            scores = jnp.einsum("hd,khd->hk", q.reshape(heads, -1), cache[0]) / np.sqrt(width // heads)
            scores = jnp.where(jnp.arange(cache.shape[1])[None] <= position, scores, -jnp.inf)
            x = x + jnp.einsum("hk,khd->hd", jax.nn.softmax(scores), cache[1]).reshape(width) @ w["out"]
            x = x + (jax.nn.silu(_norm(x) @ w["gate"]) * (_norm(x) @ w["up"])) @ w["down"]
        return x, jnp.stack(written)

    caches = _normal(layers, 2, 512, heads, width // heads)
    return _exported(forward, _normal(width), caches, jnp.int32(cached))


def _train_step() -> BuiltProgram:
    """A step of gradient descent of an MLP at batch 64: loss and new weights out of weights and a batch."""

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for w in weights[:-1]:
            x = jax.nn.relu(x @ w)
        return -(jax.nn.log_softmax(x @ weights[-1]) * y).sum(-1).mean()

    def step(w0: Any, w1: Any, w2: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)([w0, w1, w2], x, y)
        return value, *(w - 0.01 * g for w, g in zip([w0, w1, w2], gradients, strict=True))

    labels = jnp.eye(10, dtype=jnp.float32)[np.arange(64) % 10]
    return _exported(step, _dense(784, 512), _dense(512, 512), _dense(512, 10), _normal(64, 784), labels)


def _scatter_add(x: Any, indices: Any) -> Any:
    return jnp.zeros((1000, 128), jnp.float32).at[indices].add(x)


PROGRAMS: dict[str, Callable[[], BuiltProgram]] = {
    "jax_mlp": _mlp,
    "jax_encoder": _encoder,
    "jax_resnet50": _resnet50,
    "jax_decoder_step": _decoder_step,
    "jax_train_step": _train_step,
    "jax_sort": lambda: _exported(jnp.sort, _normal(1 << 17)),
    "jax_cumsum": lambda: _exported(jnp.cumsum, _normal(1 << 20)),
    "jax_fft": lambda: _exported(lambda x: jnp.abs(jnp.fft.fft(x)), _normal(64, 1024)),
    "jax_scatter_add": lambda: _exported(
        _scatter_add, _normal(4096, 128), jnp.asarray(np.random.default_rng(0).integers(0, 1000, 4096).astype(np.int32))
    ),
    "jax_logsumexp": lambda: _exported(lambda x: jax.nn.logsumexp(x, axis=-1), _normal(512, 8192)),
}
