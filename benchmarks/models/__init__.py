"""The models that are measured, as ONNX, with the inputs they are measured on.

`MODELS` names them all; each makes its model anew, with the same random weights every time. `built` makes a model once
and keeps it in the user's cache: exporting and quantizing take longer than measuring.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from benchmarks.models.built import Array, Built
from benchmarks.models.layers import add4, lstm, matmul, mlp, transformer_layer
from benchmarks.models.light import LIGHT, light

__all__ = ["LIGHT", "MODELS", "Array", "Built", "add4", "built", "light", "lstm", "matmul", "mlp", "transformer_layer"]

# Made by files that import torch, which takes a second: only when asked for.
_MADE_BY = {
    "exported": ("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "unet", "vit_b16",
                 "bert_base_8", "bert_base_128", "bert_base_384", "whisper_tiny_encoder"),
    "decoders": ("gpt2_prefill_64", "gpt2_decode", "llama_110m_prefill_64", "llama_110m_decode",
                 "llama_1b_4_layers_decode"),
    "quantized": ("resnet50_int8", "mobilenet_v2_int8", "llama_110m_decode_int8", "llama_110m_decode_int4"),
}  # fmt: skip


def _made_by(file: str, name: str) -> Callable[[], Built]:
    return lambda: importlib.import_module(f"benchmarks.models.{file}").MODELS[name]()


MODELS: dict[str, Callable[[], Built]] = {
    "add4": add4,
    "matmul512": matmul,
    "mlp_batch1": lambda: mlp(1),
    "mlp_batch32": lambda: mlp(32),
    "transformer_layer": transformer_layer,
    "lstm": lstm,
    **{name: (lambda name=name: light(name)) for name in LIGHT},
    **{name: _made_by(file, name) for file, names in _MADE_BY.items() for name in names},
}


def built(name: str) -> tuple[Path, dict[str, Array]]:
    """The ONNX file of the model `name` and its inputs; out of the cache if the same sources made it before."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlirage-benchmarks" / digest
    graph, arrays = cache / f"{name}.onnx", cache / f"{name}.npz"
    if not arrays.exists():
        model, inputs = MODELS[name]()
        cache.mkdir(parents=True, exist_ok=True)
        onnx.save(model, graph)
        np.savez(arrays, allow_pickle=False, **inputs)
    with np.load(arrays) as loaded:
        return graph, {key: loaded[key] for key in loaded.files}
