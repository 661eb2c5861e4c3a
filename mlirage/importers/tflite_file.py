"""Reads a TFLite flatbuffer into plain records, trusting nothing in it.

    model.tflite  ->  ModelFile(subgraphs=[Subgraph(tensors, operators, inputs, outputs)], signatures=[…])

Offsets that lead out of the file are errors of the flatbuffer package (`struct.error`, `ValueError`), which become
`ImportFailure`; indices, lengths and sizes are checked here. The number of things read is bounded by the file's size,
so that tables that share parts cannot make it grow. Weights are views of the (memory-mapped) file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import ml_dtypes
import numpy as np
import tflite
from flatbuffers import number_types

from mlirage.errors import ImportFailure
from mlirage.importers.tflite_sparsity import densify
from mlirage.program import Array

_T = TypeVar("_T")

_DTYPES: Final[dict[int, Any]] = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.BFLOAT16: ml_dtypes.bfloat16,
    tflite.TensorType.FLOAT64: np.float64,
    tflite.TensorType.INT4: np.int8,  # two to a byte in the file, one to a byte everywhere else
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.INT16: np.int16,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.UINT16: np.uint16,
    tflite.TensorType.UINT32: np.uint32,
    tflite.TensorType.UINT64: np.uint64,
    tflite.TensorType.BOOL: np.bool_,
    tflite.TensorType.COMPLEX64: np.complex64,
    tflite.TensorType.COMPLEX128: np.complex128,
    19: np.int8,  # INT2 and what follows are younger than the package of the schema
    20: np.uint8,
    21: ml_dtypes.float8_e4m3fn,
    22: ml_dtypes.float8_e5m2,
}
_PACKED_BITS: Final = {tflite.TensorType.INT4: 4, 19: 2, 20: 4}
_TYPE_NAMES: Final = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)} | {
    19: "INT2", 20: "UINT4", 21: "FLOAT8_E4M3FN", 22: "FLOAT8_E5M2",
}  # fmt: skip
_OPERATOR_NAMES: Final = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)} | {
    209: "STABLEHLO_CASE"
}
_OPTION_NAMES: Final = {v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)}
_OPTION_2_NAMES: Final = {v: k for k, v in vars(tflite.BuiltinOptions2).items() if isinstance(v, int)}
_CASE_OPTIONS = 23  # younger than the package of the schema
_LARGEST_RANK = 8
_LARGEST_EXTENT = 2**31 - 1


@dataclass(frozen=True)
class Quantization:
    """How integers stand for real numbers: real = scale · (integer - zero_point), per tensor or per position of `axis`.

    Attributes:
      scales: f32, one or one per position.
      zero_points: i64, as many.
      axis: along which the scales run.
    """

    scales: Array
    zero_points: Array
    axis: int

    @property
    def scale(self) -> np.float32:
        """The scale of the whole tensor.

        Raises:
          ValueError: there are several.
        """
        if self.scales.size != 1:
            raise ValueError(f"quantized per channel ({self.scales.size} scales) where one scale is needed")
        return np.float32(self.scales[0])

    @property
    def zero_point(self) -> int:
        """The zero point of the whole tensor."""
        return int(self.zero_points[0])


@dataclass(frozen=True)
class Blocks:
    """Quantization with a scale for each block of `size` elements along the last axis.

    Attributes:
      scales: the tensor of scales, an axis like the quantized tensor's but the last, which counts blocks.
      zero_points: the tensor of zero points; -1: they are 0.
      size: elements in a block.
    """

    scales: int
    zero_points: int
    size: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a subgraph as the file describes it.

    Attributes:
      index: in the subgraph.
      name: of the file.
      type_name: in words of the schema, `INT8`.
      dtype: of the elements; None for strings, resources and variants.
      shape: with what the signature leaves open as None.
      quantization: None if it has none.
      data: the elements of a constant.
      is_variable: whether it is state, kept from call to call.
      blocks: set if it is quantized in blocks.
    """

    index: int
    name: str
    type_name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...]
    quantization: Quantization | None
    data: Array | None
    is_variable: bool
    blocks: Blocks | None = None


@dataclass(frozen=True)
class OperatorInfo:
    """A node.

    Attributes:
      name: of the builtin operator, or of the custom one after `CUSTOM:`.
      inputs: tensors; -1 where an optional one is absent.
      outputs: tensors.
      intermediates: tensors that only carry quantization parameters (integer LSTM).
      options: by the schema's names.
      custom: the bytes of a custom operator's options.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    options: dict[str, Any]
    custom: bytes


@dataclass(frozen=True)
class Subgraph:
    """A graph: a function on tensors."""

    name: str
    tensors: tuple[TensorInfo, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[OperatorInfo, ...]


@dataclass(frozen=True)
class Signature:
    """An entry point: a subgraph with names for its inputs and outputs, in the subgraph's order."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ModelFile:
    """A whole model."""

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]


def is_tflite(data: bytes) -> bool:
    """Whether bytes carry the file identifier."""
    return data[4:8] == b"TFL3"


def read_model(source: Path | bytes) -> ModelFile:
    """Reads a file (memory-mapped) or bytes.

    Raises:
      ImportFailure: it is no TFLite model, or damaged.
    """
    what = str(source) if isinstance(source, Path) else "the given bytes"
    try:
        data: Array = np.memmap(source, np.uint8, "r") if isinstance(source, Path) else np.frombuffer(source, np.uint8)
    except (OSError, ValueError) as error:
        raise ImportFailure(f"cannot read {what}: {getattr(error, 'strerror', None) or error}") from error
    if not is_tflite(data[:8].tobytes()):
        raise ImportFailure(f"{what}: not a TFLite model (the identifier TFL3 is missing), or an old or damaged one")
    try:
        return _Reader(data.data.cast("B")).model()
    except ImportFailure as error:
        raise ImportFailure(f"{what}: {error}") from None
    except (struct.error, ValueError, TypeError, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise ImportFailure(f"{what}: not a TFLite model, or damaged: {error}") from error


@dataclass
class _Reader:
    data: memoryview
    spent: int = 0
    buffers: list[Any] = field(default_factory=list[Any])
    codes: list[str] = field(default_factory=list[str])
    arrays: dict[Any, Array] = field(default_factory=dict[Any, Array])

    def spend(self, amount: int) -> None:
        """Counts what is read; parts that many tables share would make it more than the file holds."""
        self.spent += amount
        if self.spent > 4096 + 2 * len(self.data):
            raise ImportFailure("damaged: its tables refer to more than the file holds")

    def tables(self, parent: Any, name: str, read: Callable[[Any], _T]) -> list[_T]:
        count = getattr(parent, f"{name}Length")()
        if count * 4 > len(self.data):
            raise ImportFailure(f"damaged: {count} {name}")
        self.spend(count * 4)
        item = getattr(parent, name)
        return [read(item(i)) for i in range(count)]

    def numbers(self, parent: Any, name: str) -> Array:
        array = getattr(parent, f"{name}AsNumpy")()
        if isinstance(array, int):  # the package's way to say that there is none
            return np.zeros(0, np.int64)
        if name != "Data":
            self.spend(array.nbytes)
        return array

    def text(self, raw: bytes | None) -> str:
        self.spend(len(raw or b""))
        return (raw or b"").decode("utf-8", "replace")

    def model(self) -> ModelFile:
        root = tflite.Model.GetRootAs(self.data, 0)
        if root.Version() != 3:
            raise ImportFailure(f"schema version {root.Version()}; only version 3 is supported")
        self.buffers = self.tables(root, "Buffers", lambda buffer: buffer)
        self.codes = self.tables(root, "OperatorCodes", self.operator_code)
        subgraphs = self.tables(root, "Subgraphs", self.subgraph)
        if not subgraphs:
            raise ImportFailure("it has no subgraph")
        signatures = self.tables(root, "SignatureDefs", lambda signature: self.signature(signature, subgraphs))
        keys = [signature.key for signature in signatures]
        if len(set(keys)) != len(keys):
            raise ImportFailure(f"signatures of the same name: {', '.join(keys)}")
        return ModelFile(tuple(subgraphs), tuple(signatures))

    def operator_code(self, code: Any) -> str:
        # Numbers from 127 on do not fit the field that old files have.
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        if number == tflite.BuiltinOperator.CUSTOM:
            return f"CUSTOM:{self.text(code.CustomCode())}"
        return _OPERATOR_NAMES.get(number, f"operator number {number}")

    def subgraph(self, graph: Any) -> Subgraph:
        tensors: list[TensorInfo] = []
        self.tables(graph, "Tensors", lambda tensor: tensors.append(self.tensor(tensor, len(tensors))))
        operators = self.tables(graph, "Operators", lambda operator: self.operator(operator, len(tensors)))
        inputs = self.tensor_indices(self.numbers(graph, "Inputs"), len(tensors), optional=False)
        outputs = self.tensor_indices(self.numbers(graph, "Outputs"), len(tensors), optional=False)
        return Subgraph(self.text(graph.Name()), tuple(tensors), inputs, outputs, tuple(operators))

    def tensor_indices(self, indices: Array, count: int, optional: bool = True) -> tuple[int, ...]:
        for index in indices.tolist():
            if not (-1 if optional else 0) <= index < count:
                raise ImportFailure(f"damaged: tensor {index} of {count}")
        return tuple(indices.tolist())

    def tensor(self, tensor: Any, index: int) -> TensorInfo:
        name = self.text(tensor.Name()) or f"tensor_{index}"
        number = tensor.Type()
        if number not in _TYPE_NAMES:
            raise ImportFailure(f"tensor {name!r} has the unknown type {number}")
        stored = [int(d) for d in self.numbers(tensor, "Shape")]
        signature = [int(d) for d in self.numbers(tensor, "ShapeSignature")] or stored
        if len(signature) != len(stored):
            raise ImportFailure(f"tensor {name!r} has the shape {stored} but the signature {signature}")
        if len(stored) > _LARGEST_RANK or math.prod(max(d, 1) for d in stored) > _LARGEST_EXTENT * 1024:
            raise ImportFailure(f"tensor {name!r} has the shape {stored}")
        shape = tuple(None if d < 0 else d for d in signature)
        dtype = np.dtype(_DTYPES[number]) if number in _DTYPES else None
        return TensorInfo(
            index,
            name,
            _TYPE_NAMES[number],
            dtype,
            shape,
            self.quantization(tensor, name, stored),
            self.elements(tensor, name, dtype, stored),
            bool(tensor.IsVariable()),
            self.blocks(tensor, name),
        )

    @staticmethod
    def blocks(tensor: Any, name: str) -> Blocks | None:
        """Quantization in blocks, whose table is younger than the package of the schema."""
        table = tensor.Quantization()
        if table is None or (kind := table.DetailsType()) not in (2, 3) or (details := table.Details()) is None:
            return None
        if kind == 3 or details.Offset(10):
            raise ImportFailure(f"tensor {name!r} is quantized along several axes, which is not supported")

        def field(position: int) -> int:
            place = details.Offset(position)
            return details.Get(number_types.Int32Flags, place + details.Pos) if place else 0

        found = Blocks(field(4), field(6) or -1, field(8))
        if found.size < 1:
            raise ImportFailure(f"tensor {name!r} is quantized in blocks of {found.size}")
        return found

    def quantization(self, tensor: Any, name: str, shape: list[int]) -> Quantization | None:
        table = tensor.Quantization()
        if table is None or not table.ScaleLength():
            return None
        scales = self.numbers(table, "Scale").astype(np.float32)
        zero_points = self.numbers(table, "ZeroPoint").astype(np.int64)
        if not zero_points.size:
            zero_points = np.zeros(scales.size, np.int64)
        if zero_points.size == 1 and scales.size > 1:
            zero_points = np.repeat(zero_points, scales.size)
        axis = table.QuantizedDimension()
        if zero_points.size != scales.size or (np.abs(zero_points) >= 2**31).any():
            raise ImportFailure(f"tensor {name!r}: {scales.size} scales but zero points {zero_points[:8].tolist()}")
        if not np.isfinite(scales).all() or (scales < 0).any():
            raise ImportFailure(f"tensor {name!r}: scales must be finite and positive")
        if scales.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scales.size):
            raise ImportFailure(f"tensor {name!r}: {scales.size} scales along axis {axis} of shape {shape}")
        return Quantization(scales, zero_points, axis)

    def elements(self, tensor: Any, name: str, dtype: np.dtype[Any] | None, shape: list[int]) -> Array | None:
        number = tensor.Buffer()
        if number >= len(self.buffers):
            if number == 0:
                return None
            raise ImportFailure(f"tensor {name!r} lies in buffer {number} of {len(self.buffers)}")
        buffer = self.buffers[number]
        raw = self.raw(buffer, name)
        if raw is None or dtype is None:
            # An empty constant cannot be told from no constant, but for its shape; buffer 0 is always empty.
            empty = dtype is not None and 0 in shape and number != 0
            return np.zeros(shape, dtype) if empty and dtype is not None else None
        if any(d < 0 for d in shape):
            raise ImportFailure(f"constant {name!r} has the shape {shape}")
        sparsity = tensor.Sparsity()
        if sparsity is not None:
            return densify(sparsity, raw, dtype, shape, name, lambda part, key: self.numbers(part, key))
        count = math.prod(shape)
        if tensor.Type() in _PACKED_BITS:
            return self.unpacked(raw, count, name, _PACKED_BITS[tensor.Type()], dtype).reshape(shape)
        if len(raw) != count * dtype.itemsize:
            raise ImportFailure(
                f"constant {name!r} of {dtype} {shape} needs {count * dtype.itemsize} bytes, not {len(raw)}"
            )
        key = (number, dtype, tuple(shape))
        if key not in self.arrays:  # one array for all subgraphs that use it
            array = np.frombuffer(raw, dtype).reshape(shape)
            self.arrays[key] = array.view(np.uint8) != 0 if dtype == np.bool_ else array  # any byte may be true
        return self.arrays[key]

    def raw(self, buffer: Any, name: str) -> Array | None:
        if buffer.Offset() > 1:  # beyond 2 GB data stands after the flatbuffer
            end = buffer.Offset() + buffer.Size()
            if end > len(self.data):
                raise ImportFailure(f"constant {name!r} ends at byte {end} of {len(self.data)}")
            return np.frombuffer(self.data[buffer.Offset() : end], np.uint8)
        array = self.numbers(buffer, "Data")
        return array if array.size else None

    @staticmethod
    def unpacked(raw: Array, count: int, name: str, bits: int, dtype: np.dtype[Any]) -> Array:
        """Integers of 2 or 4 bits, the lowest part of a byte first."""
        each = 8 // bits
        if len(raw) != (count + each - 1) // each:
            raise ImportFailure(
                f"constant {name!r} of {count} {bits}-bit elements needs {(count + each - 1) // each} bytes"
            )
        parts = np.stack([raw >> (bits * i) & (1 << bits) - 1 for i in range(each)], axis=1).reshape(-1)[:count]
        if dtype == np.uint8:
            return parts
        parts = parts.astype(np.int8)
        return np.where(parts >= 1 << (bits - 1), parts - (1 << bits), parts).astype(np.int8)

    def operator(self, operator: Any, tensor_count: int) -> OperatorInfo:
        code = operator.OpcodeIndex()
        if code >= len(self.codes):
            raise ImportFailure(f"damaged: operator code {code} of {len(self.codes)}")
        options = self.options(operator.BuiltinOptions(), operator.BuiltinOptionsType(), _OPTION_NAMES)
        options |= self.options(operator.BuiltinOptions2(), operator.BuiltinOptions2Type(), _OPTION_2_NAMES)
        return OperatorInfo(
            self.codes[code],
            self.tensor_indices(self.numbers(operator, "Inputs"), tensor_count),
            self.tensor_indices(self.numbers(operator, "Outputs"), tensor_count),
            self.tensor_indices(self.numbers(operator, "Intermediates"), tensor_count),
            options,
            self.numbers(operator, "CustomOptions").astype(np.uint8).tobytes(),
        )

    def options(self, table: Any, kind: int, names: dict[int, str]) -> dict[str, Any]:
        """The fields of a table of options; {} if there is none, or one that this schema does not know."""
        if table is not None and names is _OPTION_2_NAMES and kind == _CASE_OPTIONS:
            place = table.Offset(4)
            return {"BranchSubgraphIndices": table.GetVectorAsNumpy(number_types.Int32Flags, place) if place else ()}
        if table is None or kind not in names or kind == 0:
            return {}
        made = getattr(tflite, names[kind])()
        made.Init(table.Bytes, table.Pos)
        members = vars(type(made))
        result: dict[str, Any] = {}
        for name in members:
            if not name[0].isupper() or name == "Init" or name.startswith("GetRootAs"):
                continue
            if name.endswith(("AsNumpy", "Length", "IsNone", "HasIdentifier")):
                continue
            if f"{name}AsNumpy" in members:
                result[name] = self.numbers(made, name)
            elif f"{name}Length" not in members:
                value = getattr(made, name)()
                result[name] = self.text(value) if isinstance(value, bytes) else value
        return result

    def signature(self, signature: Any, subgraphs: list[Subgraph]) -> Signature:
        key, number = self.text(signature.SignatureKey()), signature.SubgraphIndex()
        if number >= len(subgraphs):
            raise ImportFailure(f"signature {key!r} calls subgraph {number} of {len(subgraphs)}")
        graph = subgraphs[number]

        def named(part: str, expected: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
            maps = self.tables(signature, part, lambda entry: (self.text(entry.Name()), entry.TensorIndex()))
            if any(tensor not in expected for _, tensor in maps):
                raise ImportFailure(f"signature {key!r} names {part.lower()} that subgraph {number} does not have")
            names: dict[int, list[str]] = {}
            for name, tensor in maps:
                names.setdefault(tensor, []).append(name)
            return tuple((names[t].pop(0) if names.get(t) else graph.tensors[t].name, t) for t in expected)

        return Signature(
            key or f"subgraph_{number}", number, named("Inputs", graph.inputs), named("Outputs", graph.outputs)
        )
