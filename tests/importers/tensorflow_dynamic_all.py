"""Batches and lengths from 0 to 127 of TensorFlow's networks with open extents, through SavedModel and TFLite files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow models need tensorflow")

import mlirage  # noqa: E402  (after TensorFlow's absence is known)

EXTENTS = (0, 1, 2, 3, 7, 16, 17, 64, 127)
F = np.float32


class Networks(tf.Module):
    """An MLP, a CNN, and a small encoder of sentences."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)

        def weight(*shape: int) -> Any:
            return tf.Variable(rng.normal(size=shape, scale=shape[-2] ** -0.5 if len(shape) > 1 else 0.1).astype(F))

        self.dense = [(weight(24, 33), weight(33)), (weight(33, 17), weight(17)), (weight(17, 5), weight(5))]
        self.filters = [weight(3, 3, 3, 8), weight(3, 3, 8, 1), weight(1, 1, 8, 12)]
        self.table, self.places = weight(50, 32), weight(128, 32)
        self.layers = [[weight(32, 96), weight(32, 32), weight(32, 64), weight(64, 32)] for _ in range(2)]
        self.head = weight(32, 4)

    @tf.function(input_signature=[tf.TensorSpec((None, 24), tf.float32)])
    def mlp(self, x: Any) -> Any:
        """Three layers."""
        for weight, bias in self.dense[:-1]:
            x = tf.nn.relu(x @ weight + bias)
        return tf.nn.softmax(x @ self.dense[-1][0] + self.dense[-1][1])

    @tf.function(input_signature=[tf.TensorSpec((None, 15, 14, 3), tf.float32)])
    def cnn(self, x: Any) -> Any:
        """A full, a depthwise and a pointwise convolution, with pooling."""
        x = tf.nn.relu(tf.nn.conv2d(x, self.filters[0], 2, "SAME"))
        x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, self.filters[1], [1, 1, 1, 1], "SAME"))
        x = tf.nn.max_pool2d(tf.nn.conv2d(x, self.filters[2], 1, "VALID"), 3, 2, "SAME")
        return tf.reduce_mean(x, axis=[1, 2])

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.bool)])
    def encoder(self, tokens: Any, mask: Any) -> Any:
        """Two layers of attention with four heads, and a sum over the words that count."""
        batch, length = tf.unstack(tf.shape(tokens))
        x = tf.gather(self.table, tokens) + self.places[:length]
        hidden = tf.where(mask, 0.0, -1e9)[:, None, None, :]
        for mixed, out, wide, narrow in self.layers:
            heads = tf.reshape(x @ mixed, [batch, length, 3, 4, 8])
            q, k, v = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))
            shares = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * 8**-0.5 + hidden)
            joined = tf.reshape(tf.transpose(shares @ v, [0, 2, 1, 3]), [batch, length, 32])
            x = _normalized(x + joined @ out)
            x = _normalized(x + tf.nn.gelu(x @ wide) @ narrow)
        return x, tf.reduce_sum(tf.where(mask[..., None], x, 0.0), axis=1) @ self.head


def _normalized(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5)


@pytest.fixture(scope="module")
def model() -> Networks:
    return Networks()


@pytest.fixture(scope="module")
def session(model: Networks, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("networks")
    tf.saved_model.save(model, str(folder / "model"))
    return mlirage.load(mlirage.compile(folder / "model", cache_dir="off"), device="local-sync")


def _inputs(name: str, batch: int, length: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(batch * 1000 + length)
    if name == "encoder":
        mask = rng.integers(0, 3, (batch, length)) > 0
        mask[:, :1] = True
        return [rng.integers(0, 50, (batch, length)).astype(np.int32), mask]
    shape = {"mlp": (24,), "cnn": (15, 14, 3)}[name]
    return [rng.normal(size=(batch, *shape)).astype(F)]


def _wanted(model: Networks, name: str, inputs: list[np.ndarray[Any, Any]]) -> Any:
    """What TensorFlow gives; its depthwise convolutions refuse an empty batch."""
    empty = name == "cnn" and not len(inputs[0])
    return np.zeros((0, 12), F) if empty else getattr(model, name)(*inputs)


def _check(got: Any, want: Any) -> None:
    for p, q in zip(tf.nest.flatten(got), tf.nest.flatten(want), strict=True):
        assert np.shape(p) == np.shape(q)
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_batches(name: str, model: Networks, session: Any) -> None:
    for batch in EXTENTS:
        inputs = _inputs(name, batch, 0)
        _check(session[name](*inputs), _wanted(model, name, inputs))


def test_sentences(model: Networks, session: Any) -> None:
    """Every batch with a few lengths, every length with a few batches."""
    for batch in EXTENTS:
        for length in EXTENTS:
            if batch in (1, 3) or length in (2, 17):
                inputs = _inputs("encoder", batch, length)
                _check(session["encoder"](*inputs), model.encoder(*inputs))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_tflite_batches(name: str, model: Networks, tmp_path: Path) -> None:
    """Through TensorFlow's converter, which keeps the open batch."""
    concrete = getattr(model, name).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    session = mlirage.load(mlirage.compile(path, cache_dir="off"), device="local-sync")
    for batch in EXTENTS:
        inputs = _inputs(name, batch, 0)
        _check(session(*inputs), _wanted(model, name, inputs))
