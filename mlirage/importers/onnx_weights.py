"""Reads tensors of an ONNX model: inline bytes without a further copy, external files memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from mlirage.errors import ImportFailure
from mlirage.importers.onnx_ops.registry import numpy_type
from mlirage.program import Array, as_splat

_PACKED = {"int4", "uint4", "int2", "uint2", "float4_e2m1fn"}


class WeightReader:
    """Turns TensorProtos into arrays.

    Args:
      folder: of the model file, in which external data lies; None for a model from memory.
      owned: whether the model is ours, so that bytes that were read can leave it.
    """

    def __init__(self, folder: Path | None, owned: bool) -> None:
        self.folder = folder
        self.owned = owned

    def take(self, tensor: onnx.TensorProto) -> Array:
        """As `read`, for a tensor that is read once: its bytes leave the model, so that memory holds them once."""
        array = self.read(tensor)
        if self.owned:
            tensor.ClearField("raw_data")
        return array

    def read(self, tensor: onnx.TensorProto) -> Array:
        """The array of a tensor; equal elements become a splat.

        Raises:
          ImportFailure: its data is missing, of the wrong size, or of a type that cannot be computed with.
        """
        try:
            dtype = numpy_type(tensor.data_type)
            shape = tuple(tensor.dims)
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                array = self._external(tensor, dtype, shape)
            elif tensor.HasField("raw_data") and dtype.name not in _PACKED:
                array = np.frombuffer(tensor.raw_data, dtype).reshape(shape)
            else:
                array = np.asarray(numpy_helper.to_array(tensor), dtype).reshape(shape)
        except (ValueError, TypeError) as error:
            raise ImportFailure(f"tensor {tensor.name!r} is malformed: {error}") from error
        return as_splat(array)

    def _external(self, tensor: onnx.TensorProto, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self._external_path(tensor)
        offset = int(entries.get("offset", 0))
        if offset < 0:
            raise ValueError(f"its data starts at {offset} in {path}")
        if dtype.name in _PACKED:
            bits = 2 if dtype.name in ("int2", "uint2") else 4
            count = -(-int(np.prod(shape, dtype=np.int64)) * bits // 8)
        else:
            count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        available = path.stat().st_size - offset
        if available < count:
            raise ImportFailure(
                f"tensor {tensor.name!r}: {path} holds {max(available, 0)} bytes from {offset} on, not {count}"
            )
        if count == 0:
            return np.empty(shape, dtype)
        data = np.memmap(path, np.uint8, "r", offset, (count,))
        if dtype.name in _PACKED:
            inline = onnx.TensorProto(data_type=tensor.data_type, dims=list(shape), raw_data=data.tobytes())
            return np.asarray(numpy_helper.to_array(inline), dtype).reshape(shape)
        return np.asarray(data.view(dtype) if offset % dtype.itemsize == 0 else np.frombuffer(data, dtype)).reshape(
            shape
        )

    def _external_path(self, tensor: onnx.TensorProto) -> Path:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if self.folder is None:
            raise ImportFailure(
                f"tensor {tensor.name!r} lies in the external file {location!r}, which cannot be found for a model "
                "given as bytes or object: pass the model's path"
            )
        if not location:
            raise ImportFailure(f"tensor {tensor.name!r} lies in an external file, but the model does not say in which")
        path = self.folder / location
        if Path(location).is_absolute() or ".." in Path(location).parts:
            raise ImportFailure(f"tensor {tensor.name!r}: external file {location!r} must lie in the model's folder")
        if not path.is_file():
            raise ImportFailure(
                f"tensor {tensor.name!r}: external data file {path} is missing: it belongs beside the model's file"
            )
        return path

    def check_external(self, graph: onnx.GraphProto) -> None:
        """Reports every missing external file at once.

        Raises:
          ImportFailure: files are missing.
        """
        problems: dict[str, None] = {}
        for tensor in _tensors(graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                try:
                    self._external_path(tensor)
                except ImportFailure as error:
                    problems[str(error)] = None
        if problems:
            raise ImportFailure("\n".join(problems))


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
