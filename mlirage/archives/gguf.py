"""GGUF, the format of ggml and llama.cpp, read and written with its own package `gguf`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np

from mlirage.archives.archive import Archive, Parameter, data_of
from mlirage.errors import UsageError
from mlirage.runtime.arrays import dtype as numpy_dtype

_DTYPES = {
    "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64",
    "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
}  # fmt: skip
_TYPES = {name: getattr(gguf.GGMLQuantizationType, text) for text, name in _DTYPES.items()}


def read(path: Path) -> Archive:
    """The file `path`. Metadata of numbers and lists is left out.

    Raises:
      UsageError: it is malformed.
      OSError: it cannot be read.
    """
    try:
        reader = gguf.GGUFReader(path)
        metadata = {
            key: field.contents()
            for key, field in reader.fields.items()
            if field.types == [gguf.GGUFValueType.STRING] and not key.startswith("GGUF.")
        }
        return Archive(tuple(map(_parameter, reader.tensors)), metadata)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise UsageError(f"{path}: malformed GGUF file ({error})") from error


def _parameter(tensor: Any) -> Parameter:
    type_name = tensor.tensor_type.name
    shape = tuple(int(extent) for extent in reversed(tensor.shape))  # the file has them innermost first
    dtype = _DTYPES.get(type_name)
    if dtype is None:
        return Parameter(tensor.name, "uint8", shape, int(tensor.n_bytes), lambda: tensor.data, type_name)
    element = numpy_dtype(dtype)

    def values() -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8).view(element).reshape(shape)

    return Parameter(tensor.name, dtype, shape, int(tensor.n_bytes), values)


def dequantize(parameter: Parameter) -> np.ndarray[Any, Any]:
    """The float32 values of a tensor of blocks.

    Raises:
      UsageError: the package knows no way to.
    """
    kind = gguf.GGMLQuantizationType[parameter.encoding]
    try:
        return gguf.dequantize(parameter.read(), kind).reshape(parameter.shape)
    except NotImplementedError as error:
        raise UsageError(f"parameter {parameter.key!r}: blocks of {parameter.encoding} cannot be decoded") from error


def write(path: Path, archive: Archive) -> None:
    """Writes `archive`.

    Raises:
      UsageError: a type that the format lacks.
      OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    writer = gguf.GGUFWriter(temporary, archive.metadata.get("general.architecture", "mlirage"))
    try:
        for key, value in archive.metadata.items():
            if key != "general.architecture":
                writer.add_string(key, value)
        for parameter in archive.parameters:
            kind = gguf.GGMLQuantizationType[parameter.encoding] if parameter.encoding else None
            kind = kind or _TYPES.get(parameter.dtype)
            if kind is None:
                raise UsageError(f"{path}: GGUF has no type {parameter.dtype} (parameter {parameter.key!r})")
            blocks = parameter.shape
            if parameter.encoding:
                per_block, size = gguf.GGML_QUANT_SIZES[kind]
                blocks = (*blocks[:-1], blocks[-1] // per_block * size)
            data = data_of(parameter)
            raw = data.reshape(blocks) if parameter.encoding else data.view(_raw(parameter.dtype)).reshape(blocks)
            writer.add_tensor(parameter.key, cast(Any, raw), raw_dtype=kind, raw_shape=blocks)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _raw(dtype: str) -> np.dtype[Any]:
    """The type under which the package writes elements as they are."""
    return np.dtype(np.uint16) if dtype == "bfloat16" else np.dtype(dtype)
