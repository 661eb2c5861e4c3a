"""Whole networks with random weights, through TensorFlow's converter to TFLite files, in every kind of quantization.

`convert("mobilenet_v2", "int8")` gives the file; `inputs_of` arrays that fit it. TensorFlow is imported when it is
needed only.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import mlirage
from tests.importers.tflite_models import Reference

Array = np.ndarray[Any, Any]

KINDS = ("float", "float16", "dynamic", "int8", "int8_float_io", "uint8_io", "int16x8")
"""What the converter makes of weights and activations."""


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    return tf


def _keras() -> Any:
    return _tensorflow().keras


def _application(name: str, size: int, **more: Any) -> Any:
    keras = _keras()
    image = keras.layers.Input((size, size, 3))
    return getattr(keras.applications, name)(input_tensor=image, weights=None, classes=20, **more)


def _conv(x: Any, filters: int, size: int, stride: int = 1, activation: str | None = "relu6") -> Any:
    layers = _keras().layers
    x = layers.Conv2D(filters, size, stride, "same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def _depthwise(x: Any, size: int, stride: int = 1) -> Any:
    layers = _keras().layers
    x = layers.DepthwiseConv2D(size, stride, "same", use_bias=False)(x)
    return layers.Activation("relu6")(layers.BatchNormalization()(x))


def _efficientnet_lite() -> Any:
    """Inverted bottlenecks without squeeze-and-excitation, as the Lite variants have them."""
    keras = _keras()
    image = keras.layers.Input((64, 64, 3))
    x = _conv(image, 16, 3, 2)
    for filters, kernel, stride, repeats in ((8, 3, 1, 1), (12, 3, 2, 2), (20, 5, 2, 2), (40, 3, 2, 2)):
        for i in range(repeats):
            y = _conv(x, x.shape[-1] * 4, 1)
            y = _depthwise(y, kernel, stride if i == 0 else 1)
            y = _conv(y, filters, 1, activation=None)
            x = keras.layers.Add()([x, y]) if i else y
    x = keras.layers.GlobalAveragePooling2D()(_conv(x, 96, 1))
    return keras.Model(image, keras.layers.Dense(20, "softmax")(x))


def _ds_cnn() -> Any:
    """Keyword spotting: depthwise-separable convolutions over 49 frames of 10 coefficients."""
    keras = _keras()
    sound = keras.layers.Input((49, 10, 1))
    layers = keras.layers
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(32, (10, 4), (2, 2), "same")(sound)))
    for _ in range(3):
        x = layers.Activation("relu")(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
        x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(32, 1)(x)))
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return keras.Model(sound, layers.Dense(12, "softmax")(x))


def _bert() -> Any:
    """Two encoder layers of 32 numbers and 2 heads over 12 tokens."""
    keras = _keras()
    layers = keras.layers
    tokens, mask = layers.Input((12,), dtype="int32", name="tokens"), layers.Input((12,), name="mask")
    x = layers.Embedding(100, 32)(tokens) + layers.Embedding(12, 32)(keras.ops.arange(12))
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    bias = (1.0 - mask[:, None, None, :]) * -20.0
    for _ in range(2):
        parts = [layers.Permute((2, 1, 3))(layers.Reshape((12, 2, 16))(layers.Dense(32)(x))) for _ in range(3)]
        scores = layers.Softmax()(keras.ops.matmul(parts[0], keras.ops.transpose(parts[1], (0, 1, 3, 2))) * 0.25 + bias)
        mixed = layers.Reshape((12, 32))(layers.Permute((2, 1, 3))(keras.ops.matmul(scores, parts[2])))
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dense(32)(mixed))
        wide = layers.Dense(64, activation="gelu")(x)
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dense(32)(wide))
    return keras.Model([tokens, mask], layers.Dense(5, "softmax")(layers.Dense(32, "tanh")(x[:, 0])))


def _lstm() -> Any:
    """A classifier of sequences: features, not tokens, so that every kind can be made."""
    keras = _keras()
    sequence = keras.layers.Input((9, 6), batch_size=1)
    x = keras.layers.LSTM(16, return_sequences=True)(sequence)
    return keras.Model(sequence, keras.layers.Dense(5, "softmax")(keras.layers.LSTM(11)(x)))


def _text_lstm() -> Any:
    """Tokens, an embedding, an LSTM."""
    keras = _keras()
    tokens = keras.layers.Input((9,), batch_size=1, dtype="int32")
    x = keras.layers.LSTM(16)(keras.layers.Embedding(50, 8)(tokens))
    return keras.Model(tokens, keras.layers.Dense(5, "softmax")(x))


def _gru() -> Any:
    """A GRU: a loop in the file."""
    keras = _keras()
    sequence = keras.layers.Input((5, 6), batch_size=1)
    return keras.Model(sequence, keras.layers.Dense(5)(keras.layers.GRU(8)(sequence)))


def _unet() -> Any:
    """Segmentation: two steps down and up, with concatenations, a transposed convolution and a resize."""
    keras = _keras()
    layers = keras.layers
    image = layers.Input((32, 48, 3))
    first = _conv(image, 8, 3, activation="relu")
    second = _conv(layers.MaxPooling2D()(first), 16, 3, activation="relu")
    bottom = _conv(layers.MaxPooling2D()(second), 24, 3, activation="relu")
    x = layers.Concatenate()([layers.Conv2DTranspose(16, 2, 2)(bottom), second])
    x = layers.UpSampling2D(interpolation="bilinear")(_conv(x, 16, 3, activation="relu"))
    x = _conv(layers.Concatenate()([x, first]), 8, 3, activation="relu")
    return keras.Model(image, layers.Conv2D(4, 1, activation="sigmoid")(x))


def _ssd() -> Any:
    """Boxes and scores of two feature maps."""
    keras = _keras()
    layers = keras.layers
    image = layers.Input((48, 48, 3))
    x = _conv(image, 8, 3, 2)
    for filters, stride in ((16, 2), (24, 2)):
        x = _conv(_depthwise(x, 3, stride), filters, 1)
    maps = [x, _conv(x, 24, 3, 2)]
    boxes = [layers.Reshape((-1, 4))(layers.Conv2D(3 * 4, 3, padding="same")(m)) for m in maps]
    scores = [layers.Reshape((-1, 5))(layers.Conv2D(3 * 5, 3, padding="same")(m)) for m in maps]
    sure = layers.Activation("sigmoid")(layers.Concatenate(axis=1)(scores))
    return keras.Model(image, [layers.Concatenate(axis=1)(boxes), sure])


NETWORKS: dict[str, Callable[[], Any]] = {
    "mobilenet_v1": lambda: _application("MobileNet", 96, alpha=0.25),
    "mobilenet_v2": lambda: _application("MobileNetV2", 96, alpha=0.35),
    "mobilenet_v3": lambda: _application("MobileNetV3Small", 96, minimalistic=False),
    "efficientnet_lite": _efficientnet_lite,
    "ds_cnn": _ds_cnn,
    "bert": _bert,
    "lstm": _lstm,
    "text_lstm": _text_lstm,
    "gru": _gru,
    "unet": _unet,
    "ssd": _ssd,
}


def network(name: str) -> Any:
    """The Keras model with weights that keep its activations near one, the same at every call."""
    keras = _keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model = NETWORKS[name]()
    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.get_weights()[0].shape
            parts = [rng.uniform(a, b, shape) for a, b in ((0.7, 1.3), (-0.3, 0.3), (-0.2, 0.2), (0.3, 1.0))]
            layer.set_weights([part.astype(np.float32) for part in parts][: len(layer.get_weights())])
    return model


def _samples(model: Any, batch: int = 1, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for tensor in model.inputs:
        shape = (batch, *tensor.shape[1:])
        if tensor.dtype == "int32":
            arrays.append(rng.integers(0, 50, shape).astype(np.int32))
        elif tensor.name == "mask":
            arrays.append(
                (np.arange(shape[1]) < rng.integers(4, shape[1] + 1)).astype(np.float32)[None].repeat(batch, 0)
            )
        else:
            high = 255.0 if "rescaling" in {layer.name.split("_")[0] for layer in model.layers} else 1.0
            arrays.append(rng.uniform(-high if high == 1 else 0, high, shape).astype(np.float32))
    return arrays


def convert(name: str, kind: str) -> bytes:
    """The .tflite file of a network."""
    tf = _tensorflow()
    model = network(name)

    def examples() -> Iterator[list[Array]]:
        for seed in range(4):
            yield _samples(model, seed=seed)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if kind != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind.startswith(("int", "uint")):
            converter.representative_dataset = examples
            sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            eight = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            converter.target_spec.supported_ops = [
                *([sixteen] if kind == "int16x8" else [eight]),
                *([tf.lite.OpsSet.TFLITE_BUILTINS] if name in ("gru", "bert") else []),
            ]
        if kind in ("int8", "uint8_io"):
            converter.inference_input_type = converter.inference_output_type = tf.int8 if kind == "int8" else tf.uint8
        return converter.convert()


def inputs_of(details: list[dict[str, Any]], batch: int = 1, seed: int = 0) -> list[Array]:
    """Arrays for the inputs that an interpreter describes: all integers of quantized ones, words, numbers, masks."""
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for detail in details:
        shape, dtype = (batch, *detail["shape"][1:]), np.dtype(detail["dtype"])
        if dtype.kind in "iu" and detail["quantization"][0]:
            low = np.iinfo(dtype)
            arrays.append(rng.integers(low.min, low.max + 1, shape).astype(dtype))
        elif dtype.kind in "iu":
            arrays.append(rng.integers(0, 50, shape).astype(dtype))
        elif "mask" in detail["name"]:
            arrays.append((np.arange(shape[1]) < rng.integers(4, shape[1] + 1)).astype(dtype)[None].repeat(batch, 0))
        else:
            arrays.append(rng.uniform(-1, 1, shape).astype(dtype))
    return arrays


def convert_in_child(which: tuple[str, str], _: list[Any]) -> bytes:
    """`convert` for a `ModelRunner`: TensorFlow's converter may take its process with it."""
    return convert(*which)


def check(data: bytes, batches: Sequence[int] = (1,)) -> float:
    """Compiles, runs and compares with LiteRT's reference kernels; the largest difference of real numbers.

    Raises:
      AssertionError: an integer differs at all, or a real number by more than 1e-5.
    """
    session = mlirage.load(mlirage.compile(data, jobs=1, cache_dir="off"), device="local-sync")
    largest = 0.0
    for seed, batch in enumerate(batches):
        reference = Reference(data)
        inputs = inputs_of(reference.interpreter.get_input_details(), batch, seed)
        for want, got in zip(reference(*inputs), session(*inputs), strict=True):
            assert (want.shape, want.dtype) == (got.shape, got.dtype)
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(got, want)
                continue
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
            largest = max(largest, float(np.abs(got - want).max(initial=0)))
    return largest
