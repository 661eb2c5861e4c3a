"""What is measured, with the inputs it is measured on: whole models and single operators as ONNX, programs of JAX.

`MODELS`, `OPERATORS` and `PROGRAMS` name them all; each makes its model anew, with the same random weights every time.
`built` makes a model once and keeps it in the user's cache: exporting and quantizing take longer than measuring.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.models.built import Array, Built, BuiltProgram
from benchmarks.models.layers import add4, lstm, matmul, mlp, transformer_layer
from benchmarks.models.light import LIGHT, light
from benchmarks.models.operators import OPERATORS

__all__ = ["LIGHT", "MODELS", "OPERATORS", "PROGRAMS", "SETS", "Array", "Built", "add4", "built", "light", "lstm",
           "matmul", "mlp", "transformer_layer"]  # fmt: skip

# Made by files that import torch, which takes a second: only when asked for.
_MADE_BY = {
    "exported": ("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "unet", "vit_b16",
                 "bert_base_8", "bert_base_128", "bert_base_384", "whisper_tiny_encoder"),
    "decoders": ("gpt2_prefill_64", "gpt2_decode", "llama_110m_prefill_64", "llama_110m_decode",
                 "llama_1b_4_layers_decode"),
    "quantized": ("resnet50_int8", "mobilenet_v2_int8", "llama_110m_decode_int8", "llama_110m_decode_int4"),
    "narrow_decoders": ("llama_110m_decode_bf16", "llama_1b_4_layers_decode_bf16", "llama_1b_4_layers_decode_int8",
                        "llama_1b_4_layers_decode_int4"),
}  # fmt: skip


# Programs of JAX, made by a file that imports it.
_PROGRAMS = ("jax_mlp", "jax_encoder", "jax_resnet50", "jax_decoder_step", "jax_train_step", "jax_sort", "jax_cumsum",
             "jax_fft", "jax_scatter_add", "jax_logsumexp")  # fmt: skip


def _made_by(file: str, name: str, table: str = "MODELS") -> Callable[[], Any]:
    return lambda: getattr(importlib.import_module(f"benchmarks.models.{file}"), table)[name]()


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

PROGRAMS: dict[str, Callable[[], BuiltProgram]] = {name: _made_by("programs", name, "PROGRAMS") for name in _PROGRAMS}

# What `--models` takes for all of a kind.
SETS: dict[str, tuple[str, ...]] = {
    "models": tuple(MODELS),
    "operators": tuple(OPERATORS),
    "programs": tuple(PROGRAMS),
}


def _file_of(name: str) -> str:
    return (
        "light" if name in LIGHT else "operators" if name in OPERATORS else "programs" if name in PROGRAMS else "layers"
    )


def _sources(file: str) -> list[Path]:
    """The file that makes a model, and those beside it that it imports."""
    found: list[Path] = []
    waiting = [file]
    while waiting:
        path = Path(__file__).parent / f"{waiting.pop()}.py"
        if path not in found:
            found.append(path)
            text = path.read_text()
            waiting += re.findall(r"^from benchmarks\.models\.(\w+) import", text, re.MULTILINE)
            for names in re.findall(r"^from benchmarks\.models import (.+)", text, re.MULTILINE):
                waiting += names.split(", ")
    return sorted(found)


def built(name: str) -> tuple[Path, dict[str, Array]]:
    """The file (.onnx or .jax) of `name` and its inputs; out of the cache if the same sources made them before."""
    sources = _sources(next((file for file, names in _MADE_BY.items() if name in names), _file_of(name)))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlirage-benchmarks" / digest
    graph, arrays = cache / f"{name}.{'jax' if name in PROGRAMS else 'onnx'}", cache / f"{name}.npz"
    if not arrays.exists():
        cache.mkdir(parents=True, exist_ok=True)
        if name in PROGRAMS:
            program, inputs = PROGRAMS[name]()
            graph.write_bytes(program)
        else:
            model, inputs = (MODELS | OPERATORS)[name]()
            onnx.save(model, graph)
        np.savez(arrays, allow_pickle=False, **inputs)
    with np.load(arrays) as loaded:
        return graph, {key: loaded[key] for key in loaded.files}
