"""importers: a model of any kind becomes an MLIR module and its constants. A file per format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlirage.errors import ImportFailure, UsageError
from mlirage.options import CompileOptions
from mlirage.program import Program

_ACCEPTED = (
    "accepted: a path (.onnx, .mlir, .mlirbc), the text or bytes of an MLIR module, the bytes of an ONNX model, "
    "an onnx.ModelProto"
)
_ONNX_SUFFIXES = (".onnx",)
_MLIR_SUFFIXES = (".mlir", ".mlirbc", ".bc", ".stablehlo")


def import_source(source: Any, options: CompileOptions) -> Program:
    """Imports a model.

    Raises:
      UsageError: `source` is of no known kind, or there is no such file.
      ImportFailure: the model cannot be read or holds something not supported.
    """
    if _is_onnx_model(source):
        return _import_onnx(source, options)
    if isinstance(source, (str, bytes, bytearray, memoryview)) and not len(source):
        raise UsageError(f"the model is empty; {_ACCEPTED}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _import_bytes(bytes(source), options)
    if isinstance(source, str) and not _names_file(source):
        return _import_mlir(source, options)
    if isinstance(source, (str, os.PathLike)):
        return _import_path(Path(source), options)
    raise UsageError(f"cannot import a {type(source).__module__}.{type(source).__qualname__}; {_ACCEPTED}")


def read_program(source: Any, options: CompileOptions) -> Program:
    """The program of a phase, as `--compile-to` wrote it: a path, or text if it has no weights.

    Raises:
      UsageError: `source` is neither.
      ImportFailure: it does not parse.
    """
    if isinstance(source, str) and not _names_file(source):
        return _parse_program(source, options)
    if isinstance(source, (str, os.PathLike)):
        return _parse_program(_existing(Path(source)), options)
    raise UsageError(
        f"compile-from={options.compile_from} takes MLIR: a path or text, not a {type(source).__qualname__}"
    )


def _is_onnx_model(source: Any) -> bool:
    return type(source).__name__ == "ModelProto" and type(source).__module__.startswith("onnx")


def _names_file(source: str) -> bool:
    """Whether a string is a path rather than MLIR text, which has several lines or brackets."""
    return "\n" not in source and "{" not in source


def _existing(path: Path) -> Path:
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UsageError(f"cannot read {str(path)[:100]!r}: {error.strerror}") from error
    if is_folder:
        raise UsageError(f"{path} is a folder; {_ACCEPTED}")
    if not is_file:
        raise UsageError(f"there is no file {path}")
    return path


def _import_path(path: Path, options: CompileOptions) -> Program:
    _existing(path)
    kind = options.input_type
    if kind == "onnx" or (kind == "auto" and path.suffix in _ONNX_SUFFIXES):
        return _import_onnx(path, options)
    if kind != "auto" or path.suffix in _MLIR_SUFFIXES:
        return _import_mlir(path, options)
    raise UsageError(f"{path}: unknown kind of file {path.suffix!r}; {_ACCEPTED}; or say --input-type")


def _import_bytes(data: bytes, options: CompileOptions) -> Program:
    kind = options.input_type
    if kind == "auto":
        # An ONNX model starts with the tag of its field 1, ir_version; MLIR bytecode with its magic number.
        kind = "onnx" if data[:1] == b"\x08" else "mlir"
    if kind == "onnx":
        return _import_onnx(data, options)
    if data.startswith(b"ML\xefR"):
        return _import_mlir(data, options)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ImportFailure(f"these {len(data)} bytes are neither MLIR text or bytecode nor an ONNX model") from None
    return _import_mlir(text, options)


def _import_mlir(source: str | bytes | Path, options: CompileOptions) -> Program:
    from mlirage.importers.mlir import import_mlir

    return import_mlir(source, options)


def _parse_program(source: str | Path, options: CompileOptions) -> Program:
    from mlirage.importers.mlir import parse_program

    return parse_program(source, options)


def _import_onnx(source: Any, options: CompileOptions) -> Program:
    from mlirage.importers.onnx import import_onnx

    return import_onnx(source, options)
