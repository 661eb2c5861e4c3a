"""Keras applications with random weights, against Keras; `tests.end_to_end.framework_models` runs them."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from benchmarks.memory import PeakMemory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIZES = {
    "Xception": 75, "VGG16": 32, "ResNet50": 64, "ResNet50V2": 64, "InceptionV3": 75, "DenseNet121": 64,
    "NASNetMobile": 64, "MobileNet": 64, "MobileNetV2": 64, "MobileNetV3Small": 64, "MobileNetV3Large": 64,
    "EfficientNetB0": 64, "EfficientNetV2B0": 64, "ConvNeXtTiny": 64, "InceptionResNetV2": 75,
}  # fmt: skip
"""Pixels along an edge: small ones, for the graph is the same."""


def application(name: str) -> Any:
    """The model, with statistics of batch normalization that are not those of nothing."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    size = SIZES[name]
    model = getattr(tf.keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, include_top=True
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            weights = layer.get_weights()
            mean, variance = rng.uniform(-0.1, 0.1, weights[-2].shape), rng.uniform(0.5, 1.5, weights[-1].shape)
            layer.set_weights([*weights[:-2], mean.astype(np.float32), variance.astype(np.float32)])
    return model


def check(name: str, static: bool = False) -> dict[str, float]:
    """Compiles an application for an open or a fixed batch, and compares; the figures.

    Raises:
      AssertionError: a result differs by more than 1e-4 of itself.
    """
    import tensorflow as tf

    import mlirage

    model, size = application(name), SIZES[name]
    inputs = (tf.TensorSpec((2, size, size, 3), tf.float32),) if static else ()
    batches = (2,) if static else (0, 1, 3)
    given = [np.random.default_rng(n).uniform(0, 255, (n, size, size, 3)).astype(np.float32) for n in batches]
    with PeakMemory() as peak:
        start = time.perf_counter()
        module = mlirage.compile(model, example_inputs=inputs, cache_dir="off")
        seconds = time.perf_counter() - start
        session = mlirage.load(module, device="local-sync")
        results = [np.asarray(session(x)) for x in given]
    largest = 0.0
    for x, got in zip(given, results, strict=True):
        assert got.shape == (len(x), 10)
        if len(x):
            want = np.asarray(model(x, training=False))
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
            largest = max(largest, float(np.abs(got - want).max() / np.abs(want).max()))
    return {"error": largest, "compile_s": seconds, "peak_bytes": peak.bytes}
