"""Train steps and forward passes of JAX models: the table behind jax_models_test.py, jax_models_all.py and docs/jax.md.

A model is a step `(state, batch) -> (state, loss)`, its first state and batches. `compare` runs it with JAX and with
`mlirage.jit`, donating the state, and says how far the losses are apart.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx
from jax import lax

from benchmarks.memory import PeakMemory

State = Any
Step = Callable[[State, Any], tuple[State, Any]]
MODELS: dict[str, Callable[[], tuple[Step, State, list[Any]]]] = {}
STEPS = 12


def model(make: Callable[[], tuple[Step, State, list[Any]]]) -> Callable[[], tuple[Step, State, list[Any]]]:
    MODELS[make.__name__] = make
    return make


def cross_entropy(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def images(count: int, size: int, channels: int, classes: int) -> list[Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (STEPS, count))
    pictures = rng.normal(size=(STEPS, count, size, size, channels)) + labels[..., None, None, None]
    return [(pictures[i].astype(np.float32), labels[i].astype(np.int32)) for i in range(STEPS)]


def tokens(batch: int, length: int, words: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, words, (batch, length)).astype(np.int32) for _ in range(STEPS)]


@model
def digits_mlp() -> tuple[Step, State, list[Any]]:
    """Two layers with weight decay and momentum, on images of digits."""

    def loss_of(weights: Any, batch: Any) -> Any:
        x, y = batch
        h = jax.nn.relu(x.reshape(x.shape[0], -1) @ weights["w1"] + weights["b1"])
        return cross_entropy(h @ weights["w2"] + weights["b2"], y)

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9, nesterov=True))
    keys = jax.random.split(jax.random.key(0), 2)
    weights = {
        "w1": jax.random.normal(keys[0], (64, 32)) * 0.1, "b1": jnp.zeros(32),
        "w2": jax.random.normal(keys[1], (32, 10)) * 0.1, "b2": jnp.zeros(10),
    }  # fmt: skip

    def step(state: Any, batch: Any) -> Any:
        weights, inner = state
        loss, gradient = jax.value_and_grad(loss_of)(weights, batch)
        updates, inner = optimizer.update(gradient, inner, weights)
        return (optax.apply_updates(weights, updates), inner), loss

    return step, (weights, optimizer.init(weights)), images(32, 8, 1, 10)


class Cnn(linen.Module):
    """Convolutions with batch norm, max and average pooling, dropout."""

    @linen.compact
    def __call__(self, x: Any, train: bool) -> Any:
        x = linen.Conv(8, (3, 3), use_bias=False)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.Conv(16, (3, 3), strides=(2, 2), feature_group_count=2)(x)
        x = linen.avg_pool(linen.gelu(x), (2, 2), (1, 1), "SAME")
        x = linen.Dropout(0.25, deterministic=not train)(x.reshape(x.shape[0], -1))
        return linen.Dense(10)(x)


@model
def linen_cnn() -> tuple[Step, State, list[Any]]:
    """flax.linen: gradients of convolutions and of both poolings, running statistics, dropout from a key, Adam."""
    network, optimizer = Cnn(), optax.adam(3e-3)
    batches = images(8, 12, 3, 10)
    variables = network.init(jax.random.key(0), batches[0][0], train=False)

    def step(state: Any, batch: Any) -> Any:
        weights, statistics, inner, key = state
        key, dropout = jax.random.split(key)

        def loss_of(weights: Any) -> Any:
            logits, changed = network.apply(
                {"params": weights, "batch_stats": statistics}, batch[0], train=True, mutable=["batch_stats"],
                rngs={"dropout": dropout},
            )  # fmt: skip
            return cross_entropy(logits, batch[1]), changed["batch_stats"]

        (loss, statistics), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        updates, inner = optimizer.update(gradient, inner)
        return (optax.apply_updates(weights, updates), statistics, inner, key), loss

    weights = variables["params"]
    return step, (weights, variables["batch_stats"], optimizer.init(weights), jax.random.PRNGKey(7)), batches


class Decoder(eqx.Module):
    """A block of a causal decoder between embeddings."""

    words: eqx.nn.Embedding
    places: Any
    attention: eqx.nn.MultiheadAttention
    norms: list[eqx.nn.LayerNorm]
    mlp: eqx.nn.MLP
    head: eqx.nn.Linear

    def __init__(self, words: int, length: int, width: int, key: Any) -> None:
        keys = jax.random.split(key, 5)
        self.words = eqx.nn.Embedding(words, width, key=keys[0])
        self.places = jax.random.normal(keys[1], (length, width)) * 0.02
        self.attention = eqx.nn.MultiheadAttention(4, width, key=keys[2])
        self.norms = [eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)]
        self.mlp = eqx.nn.MLP(width, width, 2 * width, 1, activation=jax.nn.gelu, key=keys[3])
        self.head = eqx.nn.Linear(width, words, key=keys[4])

    def __call__(self, ids: Any) -> Any:
        x = jax.vmap(self.words)(ids) + self.places[: ids.shape[0]]
        mask = jnp.tril(jnp.ones((ids.shape[0],) * 2, bool))
        h = jax.vmap(self.norms[0])(x)
        x = x + self.attention(h, h, h, mask)
        x = x + jax.vmap(lambda row: self.mlp(self.norms[1](row)))(x)
        return jax.vmap(self.head)(x)


@model
def equinox_decoder() -> tuple[Step, State, list[Any]]:
    """equinox: embeddings (gather and scatter), attention, layer norms; rematerialized; AdamW with a schedule."""
    network = Decoder(40, 9, 32, jax.random.key(1))
    weights, static = eqx.partition(network, eqx.is_inexact_array)
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, 50), weight_decay=0.01)

    def loss_of(weights: Any, ids: Any) -> Any:
        network = eqx.combine(weights, static)
        logits = jax.vmap(jax.checkpoint(lambda row: network(row)))(ids[:, :-1])  # pyright: ignore
        return cross_entropy(logits, ids[:, 1:])

    def step(state: Any, ids: Any) -> Any:
        weights, inner = state
        loss, gradient = jax.value_and_grad(loss_of)(weights, ids)
        updates, inner = optimizer.update(gradient, inner, weights)
        return (optax.apply_updates(weights, updates), inner), loss

    return step, (weights, optimizer.init(weights)), tokens(4, 10, 40)


@dataclasses.dataclass
class LstmState:
    """A dataclass as a pytree."""

    weights: Any
    inner: Any
    steps: Any


jax.tree_util.register_dataclass(LstmState, ["weights", "inner", "steps"], [])


@model
def scanned_lstm() -> tuple[Step, State, list[Any]]:
    """An LSTM by lax.scan: gradients through the loop."""
    width, words = 24, 30
    keys = jax.random.split(jax.random.key(2), 4)
    weights = {
        "embedding": jax.random.normal(keys[0], (words, width)) * 0.3,
        "input": jax.random.normal(keys[1], (width, 4 * width)) * 0.2,
        "hidden": jax.random.normal(keys[2], (width, 4 * width)) * 0.2,
        "head": jax.random.normal(keys[3], (width, words)) * 0.2,
    }
    optimizer = optax.rmsprop(1e-2)

    def loss_of(weights: Any, ids: Any) -> Any:
        def cell(carry: Any, x: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(x @ weights["input"] + h @ weights["hidden"], 4, -1)
            c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((ids.shape[0], width))
        _, hidden = lax.scan(cell, (zero, zero), jnp.swapaxes(weights["embedding"][ids[:, :-1]], 0, 1))
        return cross_entropy(jnp.swapaxes(hidden, 0, 1) @ weights["head"], ids[:, 1:])

    def step(state: LstmState, ids: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(state.weights, ids)
        updates, inner = optimizer.update(gradient, state.inner)
        return LstmState(optax.apply_updates(state.weights, updates), inner, state.steps + 1), loss

    return step, LstmState(weights, optimizer.init(weights), jnp.int32(0)), tokens(4, 12, words)


@model
def nnx_autoencoder() -> tuple[Step, State, list[Any]]:
    """flax.nnx: strided and transposed convolutions, group norm, in bfloat16 with f32 weights."""

    class Network(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.down = nnx.Conv(1, 8, (3, 3), strides=(2, 2), dtype=jnp.bfloat16, rngs=rngs)
            self.norm = nnx.GroupNorm(8, num_groups=2, rngs=rngs)
            self.up = nnx.ConvTranspose(8, 1, (3, 3), strides=(2, 2), dtype=jnp.bfloat16, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.up(nnx.silu(self.norm(self.down(x)))).astype(jnp.float32)

    definition, weights = nnx.split(Network(nnx.Rngs(3)))
    optimizer = optax.lion(1e-3)

    def step(state: Any, batch: Any) -> Any:
        weights, inner = state

        def loss_of(weights: Any) -> Any:
            return ((nnx.merge(definition, weights)(batch[0]) - batch[0]) ** 2).mean()

        loss, gradient = jax.value_and_grad(loss_of)(weights)
        updates, inner = optimizer.update(gradient, inner, weights)
        return (optax.apply_updates(weights, updates), inner), loss

    return step, (weights, optimizer.init(weights)), images(4, 8, 1, 5)


@dataclasses.dataclass(frozen=True)
class Report:
    """How a model compares.

    Attributes:
      difference: the largest of the losses', relative.
      state: the largest of any element of the last state, in proportion to the largest of its array.
      seconds: that the first step took, which compiles.
      peak_bytes: of memory that it took.
    """

    difference: float
    state: float
    seconds: float
    peak_bytes: int
    losses: tuple[float, float]


def compare(name: str) -> Report:
    """Trains with both for `STEPS` steps."""
    import mlirage

    step, start, batches = MODELS[name]()
    compiled = mlirage.jit(step, donate_argnums=0)
    oracle = jax.jit(step)
    ours, theirs = jax.tree.map(jnp.copy, start), start
    pairs: list[tuple[float, float]] = []
    with PeakMemory() as peak:
        began = time.perf_counter()
        compiled(jax.tree.map(jnp.copy, start), batches[0])
        seconds = time.perf_counter() - began
    for batch in batches:
        ours, loss = compiled(ours, batch)
        theirs, wanted = oracle(theirs, batch)
        pairs.append((float(loss), float(wanted)))
    difference = max(abs(a - b) / abs(b) for a, b in pairs)
    states = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    arrays = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in states]
    worst = max(float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-6)) for a, b in arrays)
    return Report(difference, worst, seconds, peak.bytes, (pairs[0][1], pairs[-1][1]))
