"""importers: a model of any kind becomes an MLIR module and its constants. A file (or folder) per format.

`KINDS` is the one place that knows which kinds there are and how each is recognised, without importing any framework.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers.jax_sources import is_jax_data, is_jax_object
from mlirage.importers.pytorch_sources import is_pytorch_call, is_pytorch_object
from mlirage.options import CompileOptions
from mlirage.program import Program


@dataclass(frozen=True)
class Model:
    """What is to be compiled, with what a framework's exporter needs to trace it."""

    source: Any  # a path, text or bytes, an object of a framework
    example_inputs: tuple[Any, ...] = ()  # positional arguments, as the source takes them
    example_keywords: Mapping[str, Any] = field(default_factory=dict)
    dynamic_shapes: Any = None  # in the framework's own form


@dataclass(frozen=True)
class Kind:
    """A kind of model: how it is recognised, and what reads it.

    The importer is called with the source (a path as `Path`, bytes, text, an object) and the options, or with the whole
    `Model` where frameworks trace with example inputs.
    """

    name: str
    importer: str  # "module:function", imported when needed
    text: str  # for messages
    traces: bool = False
    suffixes: tuple[str, ...] = ()
    is_object: Callable[[Any], bool] = lambda source: False
    is_data: Callable[[bytes], bool] = lambda data: False
    is_folder: Callable[[Path], bool] = lambda path: False

    def read(self, model: Model, options: CompileOptions) -> Program:
        """Imports `model`.

        Raises:
          UsageError: example inputs or dynamic shapes for a kind of model that says them itself.
        """
        module, _, function = self.importer.partition(":")
        given = model.example_inputs or model.example_keywords or model.dynamic_shapes is not None
        if given and not self.traces:
            raise UsageError(f"{self.name} models say their inputs themselves: no example inputs, no dynamic_shapes")
        read = getattr(importlib.import_module(f"mlirage.importers.{module}"), function)
        return read(model if self.traces else model.source, options)


def _of_package(*packages: str, names: tuple[str, ...] = ()) -> Callable[[Any], bool]:
    """Whether a class among an object's bases comes from one of `packages` (and has one of `names`)."""

    def test(source: Any) -> bool:
        return any(
            base.__module__.partition(".")[0] in packages and (not names or base.__name__ in names)
            for base in type(source).__mro__
        )

    return test


KINDS = (
    Kind(
        "tensorflow",
        "tensorflow:import_tensorflow",
        "TensorFlow (SavedModel folder, .keras, .h5, keras.Model, tf.Module, tf.function)",
        traces=True,
        suffixes=(".keras", ".h5", ".hdf5"),
        is_object=_of_package("tensorflow", "keras"),
        is_folder=lambda path: (path / "saved_model.pb").is_file(),
    ),
    Kind(
        "tflite",
        "tflite:import_tflite",
        "TFLite (.tflite, its bytes)",
        traces=True,  # example inputs fix the extents that a model leaves open
        suffixes=(".tflite",),
        is_data=lambda data: data[4:8] == b"TFL3",
    ),
    Kind(
        "onnx",
        "onnx:import_model",
        "ONNX (.onnx, its bytes, an onnx.ModelProto)",
        traces=True,
        suffixes=(".onnx",),
        is_object=_of_package("onnx", names=("ModelProto",)),
        # A model starts with the tag of its field 1, ir_version.
        is_data=lambda data: data[:1] == b"\x08",
    ),
    Kind(
        "pytorch",
        "pytorch:import_pytorch",
        "PyTorch (modules and functions with example inputs, ExportedPrograms, .pt2 files, dicts of entry points)",
        traces=True,
        suffixes=(".pt2",),
        is_object=is_pytorch_object,
    ),
    Kind(
        "jax",
        "jax:import_jax",
        "JAX (functions with example inputs, jax.export.Exported, their .jax files or bytes)",
        traces=True,
        suffixes=(".jax",),
        is_object=is_jax_object,
        is_data=is_jax_data,
    ),
    Kind(
        "mlir",
        "mlir:import_mlir",
        "MLIR (.mlir, .mlirbc, text or bytecode)",
        suffixes=(".mlir", ".mlirbc", ".bc", ".stablehlo"),
        is_data=lambda data: data.startswith(b"ML\xefR"),
    ),
)

_STATE = "load it into its PyTorch module and compile that with example inputs, or save the module by torch.export.save"
_ARCHIVE = "compile the model that uses it; `mlirage params` lists what it holds"
_WEIGHTS_ONLY = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _STATE),
    **dict.fromkeys((".safetensors", ".gguf", ".irpa"), _ARCHIVE),
}

_MLIR_KINDS = ("mlir", "stablehlo", "tosa", "torch")  # values of input_type that the MLIR importer takes


def accepted() -> str:
    """The kinds of models, for messages."""
    return "accepted: " + "; ".join(kind.text for kind in KINDS)


def import_source(source: Any, options: CompileOptions) -> Program:
    """Imports a model: a `Model`, or its source alone.

    Raises:
      UsageError: it is of no known kind, or there is no such file.
      ImportFailure: the model cannot be read or holds something not supported.
    """
    model = source if isinstance(source, Model) else Model(source)
    model = replace(model, source=_plain(model.source))
    return kind_of(model, options.input_type).read(model, options)


def kind_of(model: Model, asked: str = "auto") -> Kind:
    """Which kind of model it is.

    Raises:
      UsageError: of no known kind, or there is no such file.
    """
    source = _plain(model.source)
    if asked == "auto" and is_pytorch_call(source, model.example_inputs):
        return _named("pytorch")
    return _kind(source, asked)


def read_program(source: Any, options: CompileOptions) -> Program:
    """The program of a phase, as `--compile-to` wrote it: a path, or text if it has no weights.

    Raises:
      UsageError: `source` is neither.
      ImportFailure: it does not parse.
    """
    if isinstance(source, str) and not _names_file(source):
        return _parse_program(source, options)
    if isinstance(source, (str, os.PathLike)):
        path = _existing(Path(source))
        if path.is_dir():
            raise UsageError(f"{path} is a folder; compile-from={options.compile_from} takes a file of MLIR")
        return _parse_program(path, options)
    raise UsageError(
        f"compile-from={options.compile_from} takes MLIR: a path or text, not a {type(source).__qualname__}"
    )


def _plain(source: Any) -> Any:
    """`source` with paths as `Path` and bytes as `bytes`; the text of a module stays text."""
    if isinstance(source, (str, bytes, bytearray, memoryview)) and not len(source):
        raise UsageError(f"the model is empty; {accepted()}")
    if isinstance(source, (bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, os.PathLike) or (isinstance(source, str) and _names_file(source)):
        return Path(source)
    return source


def _kind(source: Any, asked: str) -> Kind:
    if isinstance(source, Path):
        return _kind_of_path(source, asked)
    if isinstance(source, bytes):
        return _kind_of_data(source, asked)
    if isinstance(source, str):
        return _named("mlir")
    for kind in KINDS:
        if kind.is_object(source):
            return kind
    raise UsageError(f"cannot import a {type(source).__module__}.{type(source).__qualname__}; {accepted()}")


def _kind_of_path(path: Path, asked: str) -> Kind:
    _existing(path)
    if asked != "auto":
        return _named(asked)
    for kind in KINDS:
        if kind.is_folder(path) if path.is_dir() else path.suffix in kind.suffixes:
            return kind
    if path.is_dir():
        raise UsageError(f"{path} is a folder; {accepted()}")
    if path.suffix in _WEIGHTS_ONLY:
        raise UsageError(f"{path} holds weights, not a program: {_WEIGHTS_ONLY[path.suffix]}")
    raise UsageError(f"{path}: unknown kind of file {path.suffix!r}; {accepted()}; or say --input-type")


def _kind_of_data(data: bytes, asked: str) -> Kind:
    if asked != "auto":
        return _named(asked)
    for kind in KINDS:
        if kind.is_data(data):
            return kind
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ImportFailure(f"these {len(data)} bytes are no model of a known kind; {accepted()}") from None
    return _named("mlir")


def _named(name: str) -> Kind:
    name = "mlir" if name in _MLIR_KINDS else name
    return next(kind for kind in KINDS if kind.name == name)


def _names_file(source: str) -> bool:
    """Whether a string is a path rather than MLIR text, which has several lines or brackets."""
    return "\n" not in source and "{" not in source


def _existing(path: Path) -> Path:
    try:
        exists = path.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UsageError(f"cannot read {str(path)[:100]!r}: {error.strerror}") from error
    if not exists:
        raise UsageError(f"there is no file {path}")
    return path


def _parse_program(source: str | Path, options: CompileOptions) -> Program:
    from mlirage.importers.mlir import parse_program

    return parse_program(source, options)
