"""Keras applications with random weights, against Keras: `python -m tests.importers.keras_applications NAME …`.

Prints, for each, the largest difference over batches of an open batch, seconds of the compilation and the peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

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


def check(name: str, static: bool) -> dict[str, float]:
    """Compiles an application for an open or a fixed batch, and compares; the figures."""
    import tensorflow as tf

    import mlirage

    model, size = application(name), SIZES[name]
    inputs = (tf.TensorSpec((2, size, size, 3), tf.float32),) if static else ()
    start = time.perf_counter()
    session = mlirage.load(mlirage.compile(model, example_inputs=inputs, jobs=2, cache_dir="off"), device="local-sync")
    seconds = time.perf_counter() - start
    largest = 0.0
    for batch in (2,) if static else (0, 1, 3):
        x = np.random.default_rng(batch).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
        got = np.asarray(session(x))
        assert got.shape == (batch, 10)
        if batch:
            want = np.asarray(model(x, training=False))
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
            largest = max(largest, float(np.abs(got - want).max()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"difference": largest, "seconds": seconds, "gib": peak}


def check_in_child(name: str, static: bool = False) -> dict[str, float]:
    """The same in a process of its own: for the peak memory, and because TensorFlow keeps what it allocated.

    Raises:
      AssertionError: the child failed; its last words.
    """
    command = [sys.executable, "-m", "tests.importers.keras_applications", name, "static" if static else "open"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1], sys.argv[2] == "static")))
