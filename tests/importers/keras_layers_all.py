"""Layers of Keras with an open batch, against Keras: `pytest tests/importers/keras_layers_all.py` (some minutes)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = pytest.mark.filterwarnings("ignore")
tf: Any = pytest.importorskip("tensorflow", reason="Keras layers need tensorflow")

import mlirage  # noqa: E402  (after TensorFlow's absence is known)

Array = np.ndarray[Any, Any]
L: Any = tf.keras.layers

EXPECTED_FAILURES: dict[str, str] = {}
"""Layers that do not work, and why; strict."""

_ROW, _STEPS, _LINE, _IMAGE, _CUBE = (6,), (7, 5), (12, 4), (9, 8, 3), (5, 6, 7, 2)
LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Activation": (lambda: L.Activation("gelu"), _ROW),
    "ActivityRegularization": (lambda: L.ActivityRegularization(0.1), _ROW),
    "AdaptiveAveragePooling2D": (lambda: L.AdaptiveAveragePooling2D((2, 3)), _IMAGE),
    "AdaptiveMaxPooling1D": (lambda: L.AdaptiveMaxPooling1D(5), _LINE),
    "AlphaDropout": (lambda: L.AlphaDropout(0.3), _ROW),
    "AveragePooling1D": (lambda: L.AveragePooling1D(3, 2, "same"), _LINE),
    "AveragePooling2D": (lambda: L.AveragePooling2D(3, 2, "same"), _IMAGE),
    "AveragePooling3D": (lambda: L.AveragePooling3D(2), _CUBE),
    "BatchNormalization": (lambda: L.BatchNormalization(), _IMAGE),
    "Bidirectional.LSTM": (lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)), _STEPS),
    "Bidirectional.GRU": (lambda: L.Bidirectional(L.GRU(4), merge_mode="sum"), _STEPS),
    "CategoryEncoding": (lambda: L.CategoryEncoding(9, output_mode="multi_hot"), (4,)),
    "CenterCrop": (lambda: L.CenterCrop(4, 5), _IMAGE),
    "Conv1D": (lambda: L.Conv1D(5, 3, padding="causal", dilation_rate=2), _LINE),
    "Conv2D": (lambda: L.Conv2D(6, 3, 2, "same", groups=3), _IMAGE),
    "Conv2D.first": (lambda: L.Conv2D(4, (2, 3), activation="relu"), _IMAGE),
    "Conv3D": (lambda: L.Conv3D(3, 2, padding="same"), _CUBE),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(3, 3, 2, "same"), _LINE),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(4, 3, 2, "same"), _IMAGE),
    "Conv3DTranspose": (lambda: L.Conv3DTranspose(2, 2, 2), _CUBE),
    "ConvLSTM1D": (lambda: L.ConvLSTM1D(3, 3), (4, 6, 2)),
    "ConvLSTM2D": (lambda: L.ConvLSTM2D(3, 2, return_sequences=True), (4, 6, 5, 2)),
    "Cropping1D": (lambda: L.Cropping1D((1, 2)), _LINE),
    "Cropping2D": (lambda: L.Cropping2D(((1, 2), (0, 1))), _IMAGE),
    "Cropping3D": (lambda: L.Cropping3D(1), _CUBE),
    "Dense": (lambda: L.Dense(7, "tanh"), _ROW),
    "Dense.sequence": (lambda: L.Dense(7), _STEPS),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(3, 2, depth_multiplier=2), _LINE),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(3, padding="same", depth_multiplier=2), _IMAGE),
    "Discretization": (lambda: L.Discretization([-1.0, 0.0, 1.0]), _ROW),
    "Dropout": (lambda: L.Dropout(0.5), _ROW),
    "EinsumDense": (lambda: L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e"), _STEPS),
    "ELU": (lambda: L.ELU(0.7), _ROW),
    "Embedding": (lambda: L.Embedding(9, 4), (5,)),
    "Flatten": (lambda: L.Flatten(), _IMAGE),
    "GaussianDropout": (lambda: L.GaussianDropout(0.5), _ROW),
    "GaussianNoise": (lambda: L.GaussianNoise(0.5), _ROW),
    "GlobalAveragePooling1D": (lambda: L.GlobalAveragePooling1D(), _LINE),
    "GlobalAveragePooling2D": (lambda: L.GlobalAveragePooling2D(keepdims=True), _IMAGE),
    "GlobalAveragePooling3D": (lambda: L.GlobalAveragePooling3D(), _CUBE),
    "GlobalMaxPooling1D": (lambda: L.GlobalMaxPooling1D(), _LINE),
    "GlobalMaxPooling2D": (lambda: L.GlobalMaxPooling2D(), _IMAGE),
    "GlobalMaxPooling3D": (lambda: L.GlobalMaxPooling3D(), _CUBE),
    "GroupNormalization": (lambda: L.GroupNormalization(3), (5, 6)),
    "GRU": (lambda: L.GRU(4, return_sequences=True), _STEPS),
    "GRU.plain": (lambda: L.GRU(4, reset_after=False, go_backwards=True), _STEPS),
    "HashedCrossing.none": (lambda: L.Identity(), _ROW),
    "LayerNormalization": (lambda: L.LayerNormalization(), _STEPS),
    "LayerNormalization.axes": (lambda: L.LayerNormalization(axis=[1, 2]), _STEPS),
    "LeakyReLU": (lambda: L.LeakyReLU(0.2), _ROW),
    "LSTM": (lambda: L.LSTM(4), _STEPS),
    "LSTM.unroll": (lambda: L.LSTM(4, unroll=True, return_sequences=True), _STEPS),
    "Masking.LSTM": (lambda: tf.keras.Sequential([L.Masking(0.0), L.LSTM(4, return_sequences=True)]), _STEPS),
    "Masking.GRU": (lambda: tf.keras.Sequential([L.Masking(0.0), L.GRU(4)]), _STEPS),
    "Embedding.mask": (lambda: tf.keras.Sequential([L.Embedding(9, 4, mask_zero=True), L.LSTM(3)]), (5,)),
    "MaxPooling1D": (lambda: L.MaxPooling1D(3, 2), _LINE),
    "MaxPooling2D": (lambda: L.MaxPooling2D(3, 2, "same"), _IMAGE),
    "MaxPooling3D": (lambda: L.MaxPooling3D(2, padding="same"), _CUBE),
    "Normalization": (lambda: L.Normalization(mean=[1.0] * 6, variance=[2.0] * 6), _ROW),
    "Permute": (lambda: L.Permute((2, 1)), _STEPS),
    "PReLU": (lambda: L.PReLU("ones"), _ROW),
    "RandomFlip": (lambda: L.RandomFlip(), _IMAGE),
    "ReLU": (lambda: L.ReLU(2.0, 0.1, 0.3), _ROW),
    "RepeatVector": (lambda: L.RepeatVector(3), _ROW),
    "Rescaling": (lambda: L.Rescaling(1 / 255, -0.5), _IMAGE),
    "Reshape": (lambda: L.Reshape((-1, 5)), (10, 3)),
    "Resizing": (lambda: L.Resizing(5, 11), _IMAGE),
    "Resizing.nearest": (lambda: L.Resizing(5, 11, "nearest"), _IMAGE),
    "Resizing.bicubic": (lambda: L.Resizing(5, 11, "bicubic"), _IMAGE),
    "RMSNormalization": (lambda: L.RMSNormalization(), _STEPS),
    "RNN.cell": (lambda: L.RNN([L.LSTMCell(3), L.GRUCell(4)]), _STEPS),
    "SeparableConv1D": (lambda: L.SeparableConv1D(5, 3), _LINE),
    "SeparableConv2D": (lambda: L.SeparableConv2D(5, 3, 2), _IMAGE),
    "SimpleRNN": (lambda: L.SimpleRNN(4, return_sequences=True), _STEPS),
    "Softmax": (lambda: L.Softmax(1), _STEPS),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.5), _IMAGE),
    "SpectralNormalization": (lambda: L.SpectralNormalization(L.Dense(4)), _ROW),
    "TimeDistributed": (lambda: L.TimeDistributed(L.Conv2D(2, 2)), (3, 5, 6, 2)),
    "UnitNormalization": (lambda: L.UnitNormalization(), _ROW),
    "UpSampling1D": (lambda: L.UpSampling1D(3), _LINE),
    "UpSampling2D": (lambda: L.UpSampling2D((2, 3)), _IMAGE),
    "UpSampling2D.bilinear": (lambda: L.UpSampling2D(2, interpolation="bilinear"), _IMAGE),
    "UpSampling3D": (lambda: L.UpSampling3D(2), _CUBE),
    "ZeroPadding1D": (lambda: L.ZeroPadding1D(2), _LINE),
    "ZeroPadding2D": (lambda: L.ZeroPadding2D(((1, 0), (2, 3))), _IMAGE),
    "ZeroPadding3D": (lambda: L.ZeroPadding3D(1), _CUBE),
}
PAIRS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Add": (lambda: L.Add(), _STEPS), "Average": (lambda: L.Average(), _STEPS), "Maximum": (lambda: L.Maximum(), _ROW),
    "Minimum": (lambda: L.Minimum(), _ROW), "Multiply": (lambda: L.Multiply(), _ROW),
    "Subtract": (lambda: L.Subtract(), _ROW), "Concatenate": (lambda: L.Concatenate(axis=1), _STEPS),
    "Dot": (lambda: L.Dot(axes=2), _STEPS), "Attention": (lambda: L.Attention(use_scale=True), _STEPS),
    "AdditiveAttention": (lambda: L.AdditiveAttention(), _STEPS),
    "MultiHeadAttention": (lambda: L.MultiHeadAttention(2, 3), _STEPS),
    "MultiHeadAttention.causal": (lambda: _Causal(), _STEPS),
    "GroupQueryAttention": (lambda: L.GroupQueryAttention(3, 4, 2), _STEPS),
}  # fmt: skip


class _Causal(L.Layer):
    """Attention that looks back only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = L.MultiHeadAttention(2, 3)

    def build(self, _: Any) -> None:
        """Nothing: the inner layer builds itself."""

    def call(self, query: Any, value: Any) -> Any:
        """Of Keras."""
        return self.inner(query, value, use_causal_mask=True)


_INTEGERS = ("Embedding", "CategoryEncoding", "Embedding.mask")
_SPREAD = ("MultiHeadAttention", "MultiHeadAttention.causal", "GroupQueryAttention")


def _inputs(name: str, shape: tuple[int, ...], batch: int, count: int) -> list[Array]:
    rng = np.random.default_rng(batch)
    if name in _INTEGERS:
        return [rng.integers(0, 9, (batch, *shape)).astype(np.int32)]
    arrays = [rng.uniform(-2, 2, (batch, *shape)).astype(np.float32) for _ in range(count)]
    if name.startswith("Masking"):
        arrays[0][:, 4:] = 0.0
        arrays[0][:, 1] = 0.0
    return arrays


@pytest.mark.parametrize("name", [*LAYERS, *PAIRS])
def test_layer(name: str, request: pytest.FixtureRequest) -> None:
    """A model of one layer."""
    if name in EXPECTED_FAILURES:
        request.applymarker(pytest.mark.xfail(reason=EXPECTED_FAILURES[name], strict=True))
    tf.keras.utils.set_random_seed(0)
    make, shape = LAYERS[name] if name in LAYERS else PAIRS[name]
    count = 1 if name in LAYERS else 2
    inputs = [L.Input(shape, dtype="int32" if name in _INTEGERS else "float32") for _ in range(count)]
    layer = make()
    made = layer(*inputs) if count == 1 or name in _SPREAD else layer(inputs)
    model = tf.keras.Model(inputs[0] if count == 1 else inputs, made)
    session = mlirage.load(mlirage.compile(model, jobs=1, cache_dir="off"), device="local-sync")
    for batch in (1, 3):
        arrays = _inputs(name, shape, batch, count)
        want = np.asarray(model(arrays[0] if count == 1 else arrays, training=False))
        got = np.asarray(session(arrays[0] if count == 1 else arrays))
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_stateful(kind: str) -> None:
    """The state lives from call to call."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([L.Input((4, 3), batch_size=2), getattr(L, kind)(5, stateful=True)])
    session = mlirage.load(mlirage.compile(model, jobs=1, cache_dir="off"), device="local-sync")
    for step in range(3):
        x = np.random.default_rng(step).normal(size=(2, 4, 3)).astype(np.float32)
        np.testing.assert_allclose(session(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files(suffix: str, tmp_path: Any) -> None:
    """Both kinds of files."""
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([L.Input((6, 6, 2)), L.Conv2D(3, 3), L.Flatten(), L.Dense(4, "softmax")])
    model.save(tmp_path / f"model{suffix}")
    session = mlirage.load(mlirage.compile(tmp_path / f"model{suffix}", jobs=1, cache_dir="off"), device="local-sync")
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(session(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion", "Adafactor"]
)
def test_train_step(name: str) -> None:
    """Five steps of an optimizer on a small network: the losses are Keras's."""
    tf.keras.utils.set_random_seed(0)
    options = {"SGD": {"momentum": 0.9, "nesterov": True}}.get(name, {})

    class Trainer(tf.Module):
        """A network, an optimizer and a step."""

        def __init__(self) -> None:
            super().__init__()
            self.model = tf.keras.Sequential([L.Input((6,)), L.Dense(8, "relu"), L.Dense(3)])
            self.optimizer = getattr(tf.keras.optimizers, name)(0.05, **options)
            self.optimizer.build(self.model.trainable_variables)

        @tf.function(input_signature=[tf.TensorSpec((9, 6), tf.float32), tf.TensorSpec((9,), tf.int32)])
        def step(self, x: Any, y: Any) -> Any:
            """One step; the loss before it."""
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, self.model(x)))
            weights = self.model.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return loss

    trainer = Trainer()
    session = mlirage.load(mlirage.compile(trainer, jobs=1, cache_dir="off"), device="local-sync")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 6)).astype(np.float32), rng.integers(0, 3, 9).astype(np.int32)
    got = [float(session["step"](x, y)) for _ in range(5)]
    want = [float(trainer.step(x, y)) for _ in range(5)]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert got[4] < got[0]
