"""Loads the native libraries of the MLIR bindings; `mlirage/mlir.py` imports this first.

TensorFlow's library shows its own LLVM to every library that is loaded after it. With both at work in one process LLVM
registers its options twice and ends the process. Where TensorFlow came first, the bindings are therefore loaded so that
their own LLVM is found before others (`RTLD_DEEPBIND`); in the other order nothing has to be done.
"""

from __future__ import annotations

import importlib
import os
import sys

_NATIVE = (
    "torch_mlir.ir",
    "torch_mlir.rewrite",
    "torch_mlir.passmanager",
    "torch_mlir._mlir_libs._stablehlo",
    "torch_mlir._mlir_libs._torchMlir",
    "torch_mlir.dialects.linalg",
    "torch_mlir.dialects.llvm",
    "torch_mlir.dialects.transform.interpreter",
)


def load() -> None:
    """Loads the libraries, shielded from TensorFlow's if that is there."""
    if "tensorflow" not in sys.modules or not hasattr(os, "RTLD_DEEPBIND"):
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        for name in _NATIVE:
            importlib.import_module(name)
    finally:
        sys.setdlopenflags(flags)


load()
