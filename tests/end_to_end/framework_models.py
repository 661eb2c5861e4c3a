"""Whole models of every framework beside the framework itself: largest error, seconds to compile, peak memory.

    python -m tests.end_to_end.framework_models [pytorch|jax|keras|tflite][:NAME] … > models.jsonl

Each runs in a process of its own and prints a line of JSON. `docs/make_coverage.py models=models.jsonl` makes the table
of docs/coverage.md. ONNX models are measured by `python -m benchmarks`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

Figures = dict[str, Any]
_STATIC = ("MobileNetV2", "ResNet50", "EfficientNetB0")  # Keras applications with a fixed batch, too
_TFLITE_KINDS = ("float", "dynamic", "int8", "int16x8")


def _pytorch(name: str) -> Figures:
    from tests.end_to_end import pytorch_real_models

    return pytorch_real_models.measure(name)


def _jax(name: str) -> Figures:
    from tests.end_to_end import jax_models

    report = jax_models.compare(name)
    return {"error": report.difference, "compile_s": report.seconds, "peak_bytes": report.peak_bytes}


def _keras(name: str) -> Figures:
    from tests.importers import keras_applications

    application, _, kind = name.partition(" ")
    return keras_applications.check(application, kind == "static")


def _tflite(name: str) -> Figures:
    import mlirage
    from benchmarks.memory import PeakMemory
    from tests.importers import tflite_networks

    network, kind = name.split(" ")
    data = tflite_networks.convert(network, kind)
    with PeakMemory() as peak:
        start = time.perf_counter()
        mlirage.compile(data, cache_dir="off")
        seconds = time.perf_counter() - start
    return {"error": tflite_networks.check(data), "compile_s": seconds, "peak_bytes": peak.bytes}


FRAMEWORKS: dict[str, Callable[[str], Figures]] = {
    "pytorch": _pytorch,
    "jax": _jax,
    "keras": _keras,
    "tflite": _tflite,
}


def names(framework: str) -> list[str]:
    """The models of a framework."""
    if framework == "tflite":
        module = importlib.import_module("tests.importers.tflite_networks")
        return [f"{network} {kind}" for network in module.NETWORKS for kind in _TFLITE_KINDS]
    file, table = {
        "pytorch": ("end_to_end.pytorch_real_models", "MODELS"),
        "jax": ("end_to_end.jax_models", "MODELS"),
        "keras": ("importers.keras_applications", "SIZES"),
    }[framework]
    found = list(getattr(importlib.import_module(f"tests.{file}"), table))
    return [*found, *(f"{name} static" for name in _STATIC)] if framework == "keras" else found


def _in_child(framework: str, name: str) -> Figures:
    command = [sys.executable, "-W", "ignore", "-m", "tests.end_to_end.framework_models", f"{framework}:{name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        return {"framework": framework, "model": name, "failed": "not done within 900 s"}
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    return {"framework": framework, "model": name, "failed": said[-1][:300]}


def main(chosen: list[str]) -> None:
    """Measures the models of the frameworks that are named, or one."""
    if len(chosen) == 1 and ":" in chosen[0]:
        framework, name = chosen[0].split(":", 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figures = FRAMEWORKS[framework](name)
        sys.stdout.write(json.dumps({"framework": framework, "model": name, **figures}) + "\n")
        return
    for framework in chosen or FRAMEWORKS:
        for name in names(framework):
            sys.stdout.write(json.dumps(_in_child(framework, name)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
