"""TensorFlow and Keras models: signatures, variables, control flow, open batches, errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow models need tensorflow")

import mlirage  # noqa: E402  (after TensorFlow's absence is known)
from mlirage.errors import ImportFailure, UsageError  # noqa: E402

LITE: dict[str, Any] = {"jobs": 1, "cache_dir": "off"}
F = np.float32


class Counter(tf.Module):
    """State, a dict of results, a training step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.random.stateless_normal((4, 3), [1, 2]), name="weight")
        self.calls = tf.Variable(5, name="calls", trainable=False)
        self.offset = tf.constant([1.0, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def predict(self, x: Any) -> Any:
        self.calls.assign_add(1)
        return {"probabilities": tf.nn.softmax(x @ self.weight) + self.offset, "calls": self.calls.read_value()}

    @tf.function(input_signature=[tf.TensorSpec((8, 4), tf.float32), tf.TensorSpec((8,), tf.int32)])
    def step(self, x: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x @ self.weight))
        self.weight.assign_sub(0.5 * tape.gradient(loss, self.weight))
        return loss

    @tf.function(input_signature=[tf.TensorSpec((3,), tf.float32), tf.TensorSpec((), tf.int32)])
    def repeat(self, x: Any, count: Any) -> Any:
        for _ in tf.range(count):
            x = x * 2.0
        return x + 1.0 if tf.reduce_sum(x) > 0.0 else x - 1.0


def _load(source: Any, *inputs: Any) -> Any:
    return mlirage.load(mlirage.compile(source, example_inputs=inputs, **LITE), device="local-sync")


def _check_counter(session: Any, model: Counter) -> None:
    rng = np.random.default_rng(0)
    for batch in (1, 3, 7):
        x = rng.normal(size=(batch, 4)).astype(F)
        want, got = model.predict(x), session["predict"](x)
        assert sorted(got) == ["calls", "probabilities"]
        assert got["calls"] == want["calls"].numpy()
        np.testing.assert_allclose(got["probabilities"], want["probabilities"], rtol=1e-5)
    x, labels = rng.normal(size=(8, 4)).astype(F), rng.integers(0, 3, 8).astype(np.int32)
    losses = [float(session["step"](x, labels)) for _ in range(3)]
    np.testing.assert_allclose(losses, [float(model.step(x, labels)) for _ in range(3)], rtol=1e-5)
    assert losses[2] < losses[0]
    for values in ([1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]):
        x = np.array(values, F)
        np.testing.assert_allclose(session["repeat"](x, np.int32(3)), model.repeat(x, 3))


def test_module() -> None:
    """Every tf.function with a signature is an entry point; they share variables."""
    model = Counter()
    _check_counter(_load(model), model)


def test_saved_model(tmp_path: Path) -> None:
    """The same from disk, through a process of its own."""
    model = Counter()
    tf.saved_model.save(model, str(tmp_path / "model"))
    _check_counter(_load(tmp_path / "model"), model)


def test_signatures(tmp_path: Path) -> None:
    """Signatures take keywords and give dicts, as TensorFlow's do."""

    class Two(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec((2,), tf.float32, name="a"), tf.TensorSpec((2,), tf.float32, name="b")]
        )
        def join(self, a: Any, b: Any) -> Any:
            return {"sum": a + b, "difference": a - b}

    model = Two()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"joined": model.join})
    session = _load(tmp_path / "m")
    a, b = np.array([1, 2], F), np.array([3, 5], F)
    got = session["joined"](a=a, b=b)
    np.testing.assert_array_equal(got["sum"], a + b)
    np.testing.assert_array_equal(got["difference"], a - b)


def test_function_with_structures() -> None:
    """Tuples, lists and dicts go in and out as they are."""

    @tf.function
    def f(pair: Any, *, scale: Any) -> Any:
        return [pair[0] * scale["k"], (pair[1], {"again": pair[0]})]

    x, y, k = (np.array(v, F) for v in ([1, 2], [3, 4, 5], 2.0))
    spec = tf.TensorSpec
    module = mlirage.compile(
        f,
        example_inputs=((spec((None,), tf.float32), spec((3,), tf.float32)),),
        example_keywords={"scale": {"k": spec((), tf.float32)}},
        **LITE,
    )
    first, (second, rest) = mlirage.load(module, device="local-sync")((x, y), scale={"k": k})
    np.testing.assert_array_equal(first, x * 2)
    np.testing.assert_array_equal(second, y)
    np.testing.assert_array_equal(rest["again"], x)


def test_keras_lstm_and_file(tmp_path: Path) -> None:
    """A recurrent Keras model, as object and as .keras file."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((12,), dtype="int32"), layers.Embedding(50, 8), layers.LSTM(6), layers.Dense(3, "softmax")]
    )
    x = np.random.default_rng(1).integers(0, 50, (2, 12)).astype(np.int32)
    session = _load(model, tf.TensorSpec((2, 12), tf.int32))
    np.testing.assert_allclose(session(x), model(x), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "m.keras")


def test_keras_cnn_open_batch() -> None:
    """A small network of separable convolutions with an open batch."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Conv2D(8, 3, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.ZeroPadding2D(((0, 1), (0, 1))),
            layers.DepthwiseConv2D(3, 2),
            layers.Conv2D(12, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    session = _load(model)
    for batch in (1, 2, 5):
        x = np.random.default_rng(batch).normal(size=(batch, 16, 16, 3)).astype(F)
        np.testing.assert_allclose(session(x), model(x, training=False), rtol=1e-4, atol=1e-5)


def test_images_of_any_size() -> None:
    layers = tf.keras.layers
    image = tf.keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same", strides=2, activation="relu")(image)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.SeparableConv2D(12, 3, padding="same")(x)
    x = layers.AveragePooling2D(2, padding="same")(layers.UpSampling2D(2)(x))
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    model = tf.keras.Model(image, [x, layers.GlobalAveragePooling2D()(x)])
    session = mlirage.load(mlirage.compile(model, **LITE))
    for shape in ((1, 32, 32, 3), (2, 17, 23, 3), (1, 1, 5, 3)):
        pixels = np.random.default_rng(4).random(shape, F)
        for result, expected in zip(session(pixels), model(pixels), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_squeeze_and_excitation_open_batch() -> None:
    """EfficientNet's gate: the mean of each channel as an image of one pixel, for a batch that is not known."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    image = layers.Input((6, 6, 8))
    x = layers.Conv2D(8, 3, padding="same")(image)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="swish")(gate))
    model = tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(x * gate)))
    session = _load(model)
    assert session(np.zeros((0, 6, 6, 8), F)).shape == (0, 3)
    for batch in (1, 2, 7):
        x = np.random.default_rng(batch).normal(size=(batch, 6, 6, 8)).astype(F)
        np.testing.assert_allclose(session(x), model(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["qr", "inv", "eigh", "norm"])
def test_linear_algebra(name: str) -> None:
    """XLA's own factorizations, and a norm that its lowering does not know."""
    functions: dict[str, Any] = {
        "qr": lambda a: tf.matmul(*tf.linalg.qr(a)),
        "inv": lambda a: tf.linalg.inv(a),
        "eigh": lambda a: tf.linalg.eigvalsh(a + tf.linalg.matrix_transpose(a)),
        "norm": lambda a: tf.math.reduce_euclidean_norm(a, axis=[0, 2], keepdims=True),
    }
    x = (np.random.default_rng(0).normal(size=(2, 4, 4)) + 4 * np.eye(4)).astype(F)
    session = _load(tf.function(functions[name]), tf.TensorSpec((2, 4, 4), tf.float32))
    np.testing.assert_allclose(session(x), functions[name](tf.constant(x)), rtol=1e-4, atol=1e-4)


def test_errors(tmp_path: Path) -> None:
    """What is missing or not supported is said."""
    with pytest.raises(UsageError, match="input_signature"):
        mlirage.compile(tf.Module(), **LITE)
    with pytest.raises(UsageError, match="TensorSpec"):
        mlirage.compile(tf.function(lambda x: x), **LITE)
    with pytest.raises(ImportFailure, match=r"(?s)main.*tf\.MatrixLogarithm at 'MatrixLogarithm'"):
        mlirage.compile(
            tf.function(lambda x: tf.linalg.logm(x)),
            example_inputs=(tf.TensorSpec((3, 3), tf.complex64),),
            **LITE,
        )
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(ImportFailure, match="broken"):
        mlirage.compile(folder, **LITE)
