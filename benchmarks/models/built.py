"""What a benchmark runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

Array = np.ndarray[Any, np.dtype[Any]]
Built = tuple[onnx.ModelProto, dict[str, Array]]
# What `jax.export` serializes to.
BuiltProgram = tuple[bytes, dict[str, Array]]
