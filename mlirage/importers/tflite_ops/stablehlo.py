"""StableHLO's operators inside a flatbuffer: each becomes the op of its name, which phase input converts.

    STABLEHLO_TANH x  ->  stablehlo.tanh %x

Elementwise ops work on real numbers: quantized tensors, which no kernel takes either, are refused, for their integers
would be calculated with as if they were the numbers. Ops that move elements take them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input.builders import Dim, DType, Tensor, is_integer, is_unsigned, tensor_type
from mlirage.mlir import ir

Made = tuple[Sequence[Dim], DType]


def signed_type(kind: ir.RankedTensorType, dtype: DType) -> ir.RankedTensorType:
    """The type as StableHLO writes it: unsigned integers are a type of their own there."""
    if not (is_integer(dtype) and is_unsigned(dtype)):
        return kind
    return ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_unsigned(dtype.itemsize * 8))


def as_type(value: ir.Value[Any], kind: ir.Type) -> ir.Value[Any]:
    """The value where only the signedness of its type changes."""
    if value.type == kind:
        return value
    return ir.Operation.create("builtin.unrealized_conversion_cast", results=[kind], operands=[value]).results[0]


def operand(x: Tensor) -> ir.Value[Any]:
    """A tensor as operand of a StableHLO op."""
    return as_type(x.value, signed_type(ir.RankedTensorType(x.value.type), x.dtype))


def result(value: ir.Value[Any], dtype: DType, shape: Sequence[Dim] | None = None) -> Tensor:
    """The result of a StableHLO op."""
    signless = tensor_type(ir.RankedTensorType(value.type).shape, dtype)
    return Tensor.from_value(as_type(value, signless), dtype, shape)


def emit(
    name: str,
    inputs: Sequence[Tensor],
    results: Sequence[Made] | None,
    attributes: Mapping[str, ir.Attribute] | None = None,
    dtypes: Sequence[DType] = (),
    regions: int = 0,
) -> list[Tensor]:
    """An op with results of the given extents and types, or (None) of inferred extents and the types in `dtypes`."""
    operands = [operand(x) for x in inputs]
    if results is None:
        made = ir.Operation.create(
            f"stablehlo.{name}", operands=operands, attributes=dict(attributes or {}), infer_type=True
        )
        made.verify()
        return [result(value, dtype) for value, dtype in zip(made.results, dtypes, strict=True)]
    kinds = [signed_type(tensor_type(list(shape), dtype), dtype) for shape, dtype in results]
    made = ir.Operation.create(
        f"stablehlo.{name}", results=kinds, operands=operands, attributes=dict(attributes or {}), regions=regions
    )
    made.verify()
    return [result(value, dtype, shape) for value, (shape, dtype) in zip(made.results, results, strict=True)]


def numbers(node: Node, name: str) -> list[int]:
    """A field that is a list of integers."""
    return [int(x) for x in np.asarray(node.option(name, np.zeros(0, np.int64))).reshape(-1).tolist()]


def longs(values: Sequence[int]) -> ir.Attribute:
    """A list of integers as attribute."""
    return ir.DenseI64ArrayAttr.get(list(values))


def integer(value: int) -> ir.Attribute:
    """An integer as attribute."""
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


def real_only(node: Node) -> None:
    """Refuses quantized inputs.

    Raises:
      NotImplementedError: there is one.
    """
    for position, index in enumerate(node.info.inputs):
        if index >= 0 and node.is_quantized(position):
            raise NotImplementedError(
                f"input {node.input(position).name!r} is quantized: StableHLO's operators calculate with real numbers"
            )


def declared(node: Node, position: int = 0) -> Made:
    """Extents and type of an output as the file says them.

    Raises:
      NotImplementedError: an extent is open.
    """
    info = node.output(position)
    if any(d is None for d in info.shape):
        raise NotImplementedError(f"output {info.name!r} of {info.shape}: the extents must be known")
    return [d for d in info.shape if d is not None], node.dtype(position)


def _elementwise(name: str, op: str, inputs: int) -> None:
    def make(node: Node, *tensors: Tensor) -> Tensor:
        real_only(node)
        return emit(op, tensors, None, dtypes=[node.dtype()])[0]

    def unary(node: Node, x: Tensor) -> Tensor:
        return make(node, x)

    def binary(node: Node, x: Tensor, y: Tensor) -> Tensor:
        return make(node, x, y)

    def ternary(node: Node, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return make(node, x, y, z)

    function = (unary, binary, ternary)[inputs - 1]
    function.__name__ = f"STABLEHLO_{name}"
    tflite_op(function)


for _name, _op in {
    "ABS": "abs", "CBRT": "cbrt", "COSINE": "cosine", "EXPONENTIAL": "exponential", "FLOOR": "floor", "LOG": "log",
    "LOGISTIC": "logistic", "NEGATE": "negate", "RSQRT": "rsqrt", "TANH": "tanh",
}.items():  # fmt: skip
    _elementwise(_name, _op, 1)
for _name, _op in {
    "ADD": "add", "AND": "and", "DIVIDE": "divide", "MAXIMUM": "maximum", "MINIMUM": "minimum", "MULTIPLY": "multiply",
    "OR": "or", "POWER": "power", "REMAINDER": "remainder", "SHIFT_LEFT": "shift_left", "SUBTRACT": "subtract",
}.items():  # fmt: skip
    _elementwise(_name, _op, 2)
_elementwise("CLAMP", "clamp", 3)
_elementwise("SELECT", "select", 3)

_DIRECTIONS = ("EQ", "NE", "GE", "GT", "LE", "LT")
_COMPARISONS = ("NOTYPE", "FLOAT", "TOTALORDER", "SIGNED", "UNSIGNED")


@tflite_op
def STABLEHLO_COMPARE(node: Node, x: Tensor, y: Tensor) -> Tensor:
    real_only(node)
    direction, kind = node.option("ComparisonDirection"), node.option("CompareType")
    if not (0 <= direction < len(_DIRECTIONS) and 0 <= kind < len(_COMPARISONS)):
        raise ValueError(f"comparison {direction} of type {kind}")
    attributes = {
        "comparison_direction": ir.Attribute.parse(f"#stablehlo<comparison_direction {_DIRECTIONS[direction]}>")
    }
    if kind:
        attributes["compare_type"] = ir.Attribute.parse(f"#stablehlo<comparison_type {_COMPARISONS[kind]}>")
    return emit("compare", [x, y], None, attributes, [node.dtype()])[0]


@tflite_op
def STABLEHLO_CONVERT(node: Node, x: Tensor) -> Tensor:
    real_only(node)
    return emit("convert", [x], [(x.shape, node.dtype())])[0]


@tflite_op
def STABLEHLO_IOTA(node: Node) -> Tensor:
    return emit("iota", [], [declared(node)], {"iota_dimension": integer(node.option("IotaDimension"))})[0]


@tflite_op
def STABLEHLO_RESHAPE(node: Node, x: Tensor) -> Tensor:
    return emit("reshape", [x], [declared(node)])[0]


@tflite_op
def STABLEHLO_TRANSPOSE(node: Node, x: Tensor) -> Tensor:
    return emit("transpose", [x], None, {"permutation": longs(numbers(node, "Permutation"))}, [x.dtype])[0]


@tflite_op
def STABLEHLO_BROADCAST_IN_DIM(node: Node, x: Tensor) -> Tensor:
    places = {"broadcast_dimensions": longs(numbers(node, "BroadcastDimensions"))}
    return emit("broadcast_in_dim", [x], [declared(node)], places)[0]


@tflite_op
def STABLEHLO_CONCATENATE(node: Node, *tensors: Tensor) -> Tensor:
    return emit("concatenate", tensors, None, {"dimension": integer(node.option("Dimension"))}, [tensors[0].dtype])[0]


@tflite_op
def STABLEHLO_SLICE(node: Node, x: Tensor) -> Tensor:
    fields = {"start_indices": "StartIndices", "limit_indices": "LimitIndices", "strides": "Strides"}
    return emit("slice", [x], None, {k: longs(numbers(node, v)) for k, v in fields.items()}, [x.dtype])[0]


@tflite_op
def STABLEHLO_PAD(node: Node, x: Tensor, value: Tensor) -> Tensor:
    fields = {
        "edge_padding_low": "EdgePaddingLow",
        "edge_padding_high": "EdgePaddingHigh",
        "interior_padding": "InteriorPadding",
    }
    return emit("pad", [x, value], None, {k: longs(numbers(node, v)) for k, v in fields.items()}, [x.dtype])[0]


@tflite_op
def STABLEHLO_DYNAMIC_SLICE(node: Node, x: Tensor, *starts: Tensor) -> Tensor:
    return emit("dynamic_slice", [x, *starts], None, {"slice_sizes": longs(numbers(node, "SliceSizes"))}, [x.dtype])[0]


@tflite_op
def STABLEHLO_DYNAMIC_UPDATE_SLICE(node: Node, x: Tensor, update: Tensor, *starts: Tensor) -> Tensor:
    return emit("dynamic_update_slice", [x, update, *starts], None, dtypes=[x.dtype])[0]


@tflite_op
def STABLEHLO_GATHER(node: Node, x: Tensor, starts: Tensor) -> Tensor:
    dims = (
        f"#stablehlo.gather<offset_dims = {numbers(node, 'OffsetDims')}, "
        f"collapsed_slice_dims = {numbers(node, 'CollapsedSliceDims')}, "
        f"start_index_map = {numbers(node, 'StartIndexMap')}, index_vector_dim = {node.option('IndexVectorDim')}>"
    )
    attributes = {
        "dimension_numbers": ir.Attribute.parse(dims),
        "slice_sizes": longs(numbers(node, "SliceSizes")),
        "indices_are_sorted": ir.BoolAttr.get(bool(node.option("IndicesAreSorted"))),
    }
    return emit("gather", [x, starts], [declared(node)], attributes)[0]


@tflite_op
def STABLEHLO_DOT_GENERAL(node: Node, x: Tensor, y: Tensor) -> Tensor:
    real_only(node)
    dims = (
        f"#stablehlo.dot<lhs_batching_dimensions = {numbers(node, 'LhsBatchingDimensions')}, "
        f"rhs_batching_dimensions = {numbers(node, 'RhsBatchingDimensions')}, "
        f"lhs_contracting_dimensions = {numbers(node, 'LhsContractingDimensions')}, "
        f"rhs_contracting_dimensions = {numbers(node, 'RhsContractingDimensions')}>"
    )
    return emit("dot_general", [x, y], [declared(node)], {"dot_dimension_numbers": ir.Attribute.parse(dims)})[0]


def _layout(first: tuple[int, str], second: tuple[int, str], spatial: Sequence[int]) -> str:
    """Which axis is which, as `b, 0, 1, f`."""
    names = {first[0]: first[1], second[0]: second[1]} | {axis: str(i) for i, axis in enumerate(spatial)}
    if sorted(names) != list(range(len(spatial) + 2)):
        raise ValueError(f"axes {names} of a convolution")
    return ", ".join(names[i] for i in sorted(names))


@tflite_op
def STABLEHLO_CONVOLUTION(node: Node, x: Tensor, kernel: Tensor) -> Tensor:
    real_only(node)
    spatial = numbers(node, "InputSpatialDimensions")
    image = _layout((node.option("InputBatchDimension"), "b"), (node.option("InputFeatureDimension"), "f"), spatial)
    weights = _layout(
        (node.option("KernelInputFeatureDimension"), "i"),
        (node.option("KernelOutputFeatureDimension"), "o"),
        numbers(node, "KernelSpatialDimensions"),
    )
    made = _layout(
        (node.option("OutputBatchDimension"), "b"),
        (node.option("OutputFeatureDimension"), "f"),
        numbers(node, "OutputSpatialDimensions"),
    )
    rank = len(spatial)
    attributes = {
        "dimension_numbers": ir.Attribute.parse(f"#stablehlo.conv<[{image}]x[{weights}]->[{made}]>"),
        "feature_group_count": integer(node.option("FeatureGroupCount", 1)),
        "batch_group_count": integer(node.option("BatchGroupCount", 1)),
        "padding": pairs(numbers(node, "Padding") or [0] * (2 * rank)),
    }
    for name, field in (
        ("window_strides", "WindowStrides"),
        ("lhs_dilation", "LhsDilation"),
        ("rhs_dilation", "RhsDilation"),
    ):
        attributes[name] = longs(numbers(node, field) or [1] * rank)
    if reversal := numbers(node, "WindowReversal"):
        attributes["window_reversal"] = ir.DenseBoolArrayAttr.get([bool(r) for r in reversal])
    return emit("convolution", [x, kernel], [declared(node)], attributes)[0]


def pairs(values: Sequence[int]) -> ir.Attribute:
    """Padding before and after each axis as attribute."""
    return ir.DenseElementsAttr.get(np.array(values, np.int64).reshape(-1, 2))  # pyright: ignore


@tflite_op
def STABLEHLO_RNG_BIT_GENERATOR(node: Node, state: Tensor) -> list[Tensor]:
    algorithms = ("DEFAULT", "PHILOX", "THREE_FRY")
    number = node.option("Algorithm")
    if not 0 <= number < len(algorithms):
        raise ValueError(f"random number algorithm {number}")
    algorithm = ir.Attribute.parse(f"#stablehlo<rng_algorithm {algorithms[number]}>")
    made = [declared(node, 0), declared(node, 1)]
    return emit("rng_bit_generator", [state], made, {"rng_algorithm": algorithm})
