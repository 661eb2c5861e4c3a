"""Makes .tflite files out of Python descriptions, and runs them in LiteRT's reference interpreter.

b = ModelBuilder()
x = b.input("x", (1, 8, 8, 3), np.int8, scale=0.1, zero=-3)
w = b.constant("w", array, scale=[…], axis=0)
y = b.node("CONV_2D", [x, w], [b.tensor("y", (1, 8, 8, 4), np.int8, scale=0.2)], Conv2DOptions=dict(StrideW=1, …))
data = b.finish([y])
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

Array = np.ndarray[Any, Any]

_TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "complex64": 8, "int8": 9,
    "float64": 10, "uint64": 12, "complex128": 11, "resource": 13, "uint32": 15, "uint16": 16, "int4": 17,
    "bfloat16": 18, "string": 5, "int2": 19, "uint4": 20, "float8_e4m3fn": 21, "float8_e5m2": 22,
}  # fmt: skip


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    buffer: int
    scale: Sequence[float]
    zero: Sequence[int]
    axis: int
    variable: bool
    signature: Sequence[int] | None
    blocks: tuple[int, int, int] | None = None
    sparse: tuple[Sequence[int], Sequence[int]] | None = None


@dataclass
class _Graph:
    name: str
    tensors: list[_Tensor] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    operators: list[tuple[int, list[int], list[int], list[int], Mapping[str, Mapping[str, Any]], bytes]] = field(
        default_factory=list
    )


_LONG_TABLES = tuple(
    name
    for name in dir(tflite.BuiltinOptions2)
    if name.startswith("Stablehlo")  # their lists are of 64 bits
)


class ModelBuilder:
    """Collects tensors and nodes of subgraphs; `finish` writes the file."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = [b""]
        self.codes: list[tuple[int, str, int]] = []
        self.graphs = [_Graph("main")]
        self.signatures: list[tuple[str, int, dict[str, int], dict[str, int]]] = []

    @property
    def graph(self) -> _Graph:
        """The subgraph that is being built."""
        return self.graphs[-1]

    def subgraph(self, name: str) -> int:
        """Begins another subgraph; its number."""
        self.graphs.append(_Graph(name))
        return len(self.graphs) - 1

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any = np.float32,
        scale: float | Sequence[float] = (),
        zero: int | Sequence[int] = 0,
        axis: int = 0,
        buffer: int = 0,
        variable: bool = False,
        signature: Sequence[int] | None = None,
        blocks: tuple[int, int, int] | None = None,
        sparse: tuple[Sequence[int], Sequence[int]] | None = None,
    ) -> int:
        """A tensor; its number.

        `blocks`: tensors of scales and zero points, and the size of a block. `sparse`: where rows begin, and columns.
        """
        scales = [scale] if isinstance(scale, float | np.floating) else list(scale)
        zeros = [zero] * len(scales) if isinstance(zero, int | np.integer) else list(zero)
        kind = _TYPES[dtype if isinstance(dtype, str) else np.dtype(dtype).name]
        made = _Tensor(name, tuple(shape), kind, buffer, scales, zeros, axis, variable, signature, blocks, sparse)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: Any = np.float32, **more: Any) -> int:
        """An input of the subgraph; its number."""
        self.graph.inputs.append(self.tensor(name, shape, dtype, **more))
        return self.graph.inputs[-1]

    def constant(self, name: str, array: Any, dtype: Any = None, **more: Any) -> int:
        """A constant; its number."""
        array = np.asarray(array, dtype)
        self.buffers.append(array.tobytes())
        return self.tensor(name, array.shape, array.dtype, buffer=len(self.buffers) - 1, **more)

    def packed(self, name: str, shape: Sequence[int], dtype: str, data: bytes, **more: Any) -> int:
        """A constant whose elements share bytes; its number."""
        self.buffers.append(data)
        return self.tensor(name, shape, dtype, buffer=len(self.buffers) - 1, **more)

    def node(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        intermediates: Sequence[int] = (),
        custom: bytes = b"",
        version: int = 1,
        **options: Mapping[str, Any],
    ) -> int:
        """An operator; its (first) output."""
        number = (
            209 if name == "STABLEHLO_CASE" else getattr(tflite.BuiltinOperator, name, tflite.BuiltinOperator.CUSTOM)
        )
        code = (number, name, version)
        if code not in self.codes:
            self.codes.append(code)
        self.graph.operators.append(
            (self.codes.index(code), list(inputs), list(outputs), list(intermediates), options, custom)
        )
        return outputs[0] if outputs else -1

    def outputs(self, *numbers: int) -> None:
        """Says what the subgraph returns."""
        self.graph.outputs = list(numbers)

    def finish(self, outputs: Sequence[int] | None = None) -> bytes:
        """The file."""
        if outputs is not None:
            self.graph.outputs = list(outputs)
        fb = flatbuffers.Builder(1024)
        buffers = [self._buffer(fb, data) for data in self.buffers]
        codes = [self._code(fb, *code) for code in self.codes]
        graphs = [self._graph(fb, graph) for graph in self.graphs]
        signatures = [self._signature(fb, *signature) for signature in self.signatures]
        vectors = [self.offsets(fb, items) for items in (codes, graphs, buffers, signatures)]
        description = fb.CreateString("test")
        tflite.ModelStart(fb)
        tflite.ModelAddVersion(fb, 3)
        tflite.ModelAddDescription(fb, description)
        tflite.ModelAddOperatorCodes(fb, vectors[0])
        tflite.ModelAddSubgraphs(fb, vectors[1])
        tflite.ModelAddBuffers(fb, vectors[2])
        if signatures:
            tflite.ModelAddSignatureDefs(fb, vectors[3])
        fb.Finish(tflite.ModelEnd(fb), b"TFL3")
        return bytes(fb.Output())

    @staticmethod
    def offsets(fb: Any, items: Sequence[int]) -> int:
        """A vector of tables."""
        fb.StartVector(4, len(items), 4)
        for item in reversed(items):
            fb.PrependUOffsetTRelative(item)
        return fb.EndVector()

    @staticmethod
    def _buffer(fb: Any, data: bytes) -> int:
        vector = None
        if data:
            fb.StartVector(1, len(data), 16)
            fb.head = fb.head - len(data)
            fb.Bytes[fb.head : fb.head + len(data)] = data
            vector = fb.EndVector()
        tflite.BufferStart(fb)
        if vector is not None:
            tflite.BufferAddData(fb, vector)
        return tflite.BufferEnd(fb)

    @staticmethod
    def _code(fb: Any, number: int, name: str, version: int) -> int:
        custom = fb.CreateString(name) if number == tflite.BuiltinOperator.CUSTOM else None
        tflite.OperatorCodeStart(fb)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(fb, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(fb, number)
        tflite.OperatorCodeAddVersion(fb, version)
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(fb, custom)
        return tflite.OperatorCodeEnd(fb)

    def _graph(self, fb: Any, graph: _Graph) -> int:
        tensors = self.offsets(fb, [self._tensor(fb, tensor) for tensor in graph.tensors])
        operators = self.offsets(fb, [self._operator(fb, *operator) for operator in graph.operators])
        inputs = fb.CreateNumpyVector(np.array(graph.inputs, np.int32))
        outputs = fb.CreateNumpyVector(np.array(graph.outputs, np.int32))
        name = fb.CreateString(graph.name)
        tflite.SubGraphStart(fb)
        tflite.SubGraphAddTensors(fb, tensors)
        tflite.SubGraphAddInputs(fb, inputs)
        tflite.SubGraphAddOutputs(fb, outputs)
        tflite.SubGraphAddOperators(fb, operators)
        tflite.SubGraphAddName(fb, name)
        return tflite.SubGraphEnd(fb)

    @staticmethod
    def _tensor(fb: Any, tensor: _Tensor) -> int:
        name = fb.CreateString(tensor.name)
        shape = fb.CreateNumpyVector(np.array(tensor.shape, np.int32))
        signature = fb.CreateNumpyVector(np.array(tensor.signature, np.int32)) if tensor.signature is not None else None
        quantization = _blockwise(fb, *tensor.blocks) if tensor.blocks else None
        if tensor.scale:
            scale = fb.CreateNumpyVector(np.array(tensor.scale, np.float32))
            zero = fb.CreateNumpyVector(np.array(tensor.zero, np.int64))
            tflite.QuantizationParametersStart(fb)
            tflite.QuantizationParametersAddScale(fb, scale)
            tflite.QuantizationParametersAddZeroPoint(fb, zero)
            tflite.QuantizationParametersAddQuantizedDimension(fb, tensor.axis)
            quantization = tflite.QuantizationParametersEnd(fb)
        sparsity = _sparsity(fb, tensor.shape[0], *tensor.sparse) if tensor.sparse else None
        tflite.TensorStart(fb)
        if sparsity is not None:
            tflite.TensorAddSparsity(fb, sparsity)
        tflite.TensorAddShape(fb, shape)
        tflite.TensorAddType(fb, tensor.type)
        tflite.TensorAddBuffer(fb, tensor.buffer)
        tflite.TensorAddName(fb, name)
        tflite.TensorAddIsVariable(fb, tensor.variable)
        tflite.TensorAddHasRank(fb, True)
        if quantization is not None:
            tflite.TensorAddQuantization(fb, quantization)
        if signature is not None:
            tflite.TensorAddShapeSignature(fb, signature)
        return tflite.TensorEnd(fb)

    @staticmethod
    def _operator(
        fb: Any,
        code: int,
        inputs: list[int],
        outputs: list[int],
        intermediates: list[int],
        options: Mapping[str, Mapping[str, Any]],
        custom: bytes,
    ) -> int:
        made = [(name, _options(fb, name, fields)) for name, fields in options.items()]
        ins, outs, between = (fb.CreateNumpyVector(np.array(v, np.int32)) for v in (inputs, outputs, intermediates))
        extra = fb.CreateByteVector(custom) if custom else None
        tflite.OperatorStart(fb)
        tflite.OperatorAddOpcodeIndex(fb, code)
        tflite.OperatorAddInputs(fb, ins)
        tflite.OperatorAddOutputs(fb, outs)
        if intermediates:
            tflite.OperatorAddIntermediates(fb, between)
        if extra is not None:
            tflite.OperatorAddCustomOptions(fb, extra)
        for name, table in made:
            if name == "StablehloCaseOptions":  # younger than the package of the schema
                tflite.OperatorAddBuiltinOptions2Type(fb, 23)
                tflite.OperatorAddBuiltinOptions2(fb, table)
            elif hasattr(tflite.BuiltinOptions, name):
                tflite.OperatorAddBuiltinOptionsType(fb, getattr(tflite.BuiltinOptions, name))
                tflite.OperatorAddBuiltinOptions(fb, table)
            else:
                tflite.OperatorAddBuiltinOptions2Type(fb, getattr(tflite.BuiltinOptions2, name))
                tflite.OperatorAddBuiltinOptions2(fb, table)
        return tflite.OperatorEnd(fb)

    def _signature(self, fb: Any, key: str, number: int, inputs: dict[str, int], outputs: dict[str, int]) -> int:
        def maps(entries: dict[str, int]) -> int:
            items: list[int] = []
            for name, tensor in entries.items():
                text = fb.CreateString(name)
                tflite.TensorMapStart(fb)
                tflite.TensorMapAddName(fb, text)
                tflite.TensorMapAddTensorIndex(fb, tensor)
                items.append(tflite.TensorMapEnd(fb))
            return self.offsets(fb, items)

        ins, outs, text = maps(inputs), maps(outputs), fb.CreateString(key)
        tflite.SignatureDefStart(fb)
        tflite.SignatureDefAddInputs(fb, ins)
        tflite.SignatureDefAddOutputs(fb, outs)
        tflite.SignatureDefAddSignatureKey(fb, text)
        tflite.SignatureDefAddSubgraphIndex(fb, number)
        return tflite.SignatureDefEnd(fb)


def _sparsity(fb: Any, rows: int, segments: Sequence[int], columns: Sequence[int]) -> int:
    """The table of a matrix whose rows are dense and whose columns are not."""
    parts: list[int] = []
    for numbers in (segments, columns):
        vector = fb.CreateNumpyVector(np.array(numbers, np.int32))
        tflite.Int32VectorStart(fb)
        tflite.Int32VectorAddValues(fb, vector)
        parts.append(tflite.Int32VectorEnd(fb))
    tflite.DimensionMetadataStart(fb)
    tflite.DimensionMetadataAddDenseSize(fb, rows)
    dims = [tflite.DimensionMetadataEnd(fb)]
    tflite.DimensionMetadataStart(fb)
    tflite.DimensionMetadataAddFormat(fb, 1)
    tflite.DimensionMetadataAddArraySegmentsType(fb, 1)
    tflite.DimensionMetadataAddArraySegments(fb, parts[0])
    tflite.DimensionMetadataAddArrayIndicesType(fb, 1)
    tflite.DimensionMetadataAddArrayIndices(fb, parts[1])
    dims.append(tflite.DimensionMetadataEnd(fb))
    order = fb.CreateNumpyVector(np.array([0, 1], np.int32))
    metadata = ModelBuilder.offsets(fb, dims)
    tflite.SparsityParametersStart(fb)
    tflite.SparsityParametersAddTraversalOrder(fb, order)
    tflite.SparsityParametersAddDimMetadata(fb, metadata)
    return tflite.SparsityParametersEnd(fb)


def _blockwise(fb: Any, scales: int, zeros: int, size: int) -> int:
    """The table of quantization in blocks, which the package of the schema does not have."""
    fb.StartObject(4)
    for slot, value in enumerate((scales, zeros, size)):
        fb.PrependInt32Slot(slot, value, 0)
    details = fb.EndObject()
    tflite.QuantizationParametersStart(fb)
    tflite.QuantizationParametersAddDetailsType(fb, 2)
    tflite.QuantizationParametersAddDetails(fb, details)
    return tflite.QuantizationParametersEnd(fb)


def _options(fb: Any, name: str, fields: Mapping[str, Any]) -> int:
    values: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, str):
            value = fb.CreateString(value)
        elif isinstance(value, list | tuple | np.ndarray):
            kind = np.float32 if key == "Boundaries" else np.int64 if name in _LONG_TABLES else np.int32
            value = fb.CreateNumpyVector(np.array(value, np.bool_ if key == "WindowReversal" else kind))
        values[key] = value
    if name == "StablehloCaseOptions":
        fb.StartObject(1)
        fb.PrependUOffsetTRelativeSlot(0, values["BranchSubgraphIndices"], 0)
        return fb.EndObject()
    getattr(tflite, f"{name}Start")(fb)
    for key, value in values.items():
        getattr(tflite, f"{name}Add{key}")(fb, value)
    return getattr(tflite, f"{name}End")(fb)


class Reference:
    """LiteRT's interpreter with its reference kernels; state lives from call to call."""

    def __init__(self, data: bytes, plain: bool = False) -> None:
        """`plain` asks for the kernels of every day: the reference kernel of a few operators is known to be wrong."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            every = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            for kernels in (every,) if plain else (OpResolverType.BUILTIN_REF, every):
                try:
                    self.interpreter = Interpreter(
                        model_content=data, num_threads=1, experimental_op_resolver_type=kernels
                    )
                    break
                except ValueError as error:  # some operators have no reference kernel
                    if "Didn't find op" not in str(error) or kernels != OpResolverType.BUILTIN_REF:
                        raise

    def __call__(self, *inputs: Array) -> list[Array]:
        """The outputs in the order of the subgraph."""
        details = self.interpreter.get_input_details()
        for detail, array in zip(details, inputs, strict=True):
            if tuple(detail["shape"]) != np.shape(array):
                self.interpreter.resize_tensor_input(detail["index"], np.shape(array))
        self.interpreter.allocate_tensors()
        for detail, array in zip(details, inputs, strict=True):
            self.interpreter.set_tensor(detail["index"], array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(d["index"]) for d in self.interpreter.get_output_details()]
