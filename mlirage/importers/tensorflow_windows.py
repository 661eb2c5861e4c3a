"""Forms that TensorFlow's lowering leaves where the batch is open, and that StableHLO's own lowering does not take.

stablehlo.dynamic_pad %x, …constants…        ->  stablehlo.pad
stablehlo.convolution, one group per channel ->  linalg.depthwise_conv_2d_nhwc_hwc
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.program import Array, Program

_CHANNELS_LAST = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"


def convert_windows(program: Program) -> None:
    """Replaces both; other forms stay as they are."""
    for op in list(walk(program.module.operation)):
        if op.name == "stablehlo.dynamic_pad":
            _pad(op)
        elif op.name == "stablehlo.convolution":
            _depthwise(op)


def _known(value: ir.Value[Any]) -> Array | None:
    """The integers that a short chain of constants, slices and reshapes makes."""
    owner = value.owner
    if isinstance(owner, ir.Block) or not isinstance(value.type, ir.RankedTensorType):
        return None
    shaped = value.type
    if not isinstance(shaped.element_type, (ir.IntegerType, ir.IndexType)):
        return None
    if owner.name in ("stablehlo.constant", "arith.constant"):
        attribute = ir.DenseIntElementsAttr(owner.attributes["value"])
        return np.array([int(x) for x in attribute], np.int64).reshape(shaped.shape)
    operands = [_known(operand) for operand in owner.operands]
    if not operands or any(operand is None for operand in operands):
        return None
    if owner.name == "stablehlo.reshape":
        return np.asarray(operands[0]).reshape(shaped.shape)
    if owner.name in ("stablehlo.convert", "arith.index_cast"):
        return operands[0]
    if owner.name == "stablehlo.transpose":
        return np.transpose(np.asarray(operands[0]), list(ir.DenseI64ArrayAttr(owner.attributes["permutation"])))
    if owner.name == "stablehlo.slice":
        starts, limits, steps = (
            list(ir.DenseI64ArrayAttr(owner.attributes[k])) for k in ("start_indices", "limit_indices", "strides")
        )
        return np.asarray(operands[0])[tuple(map(slice, starts, limits, steps))]
    if owner.name == "stablehlo.concatenate":
        axis = ir.IntegerAttr(owner.attributes["dimension"]).value
        return np.concatenate([np.asarray(operand) for operand in operands], axis)
    return None


def _pad(op: ir.Operation) -> None:
    amounts = [_known(operand) for operand in list(op.operands)[2:]]
    if any(amount is None for amount in amounts):
        return
    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    with ir.InsertionPoint(op), op.location:
        padded = ir.Operation.create(
            "stablehlo.pad",
            results=[op.results[0].type],
            operands=list(op.operands)[:2],
            attributes={
                name: ir.DenseI64ArrayAttr.get([int(x) for x in np.asarray(amount)])
                for name, amount in zip(names, amounts, strict=True)
            },
        )
    op.results[0].replace_all_uses_with(padded.results[0])
    op.erase()


def _numbers(op: ir.Operation, name: str, default: list[int]) -> list[int]:
    if name not in op.attributes:
        return default
    return [int(x) for x in re.findall(r"-?\d+", str(op.attributes[name]).partition(":")[2])]


def _depthwise(op: ir.Operation) -> None:
    image, kernel = op.operands
    kinds = [ir.RankedTensorType(value.type) for value in (image, kernel, op.results[0])]
    groups = ir.IntegerAttr(op.attributes["feature_group_count"]).value
    if _CHANNELS_LAST not in str(op.attributes["dimension_numbers"]) or kinds[0].has_static_shape:
        return
    depth, (height, width, inner, filters) = kinds[0].shape[3], kinds[1].shape
    dilated = _numbers(op, "lhs_dilation", [1, 1]) != [1, 1] or "true" in str(
        op.attributes["window_reversal"] if "window_reversal" in op.attributes else ""
    )
    if groups == 1 or groups != depth or inner != 1 or dilated or any(kinds[2].is_dynamic_dim(i) for i in (1, 2, 3)):
        return
    strides, dilations = (_numbers(op, name, [1, 1]) for name in ("window_strides", "rhs_dilation"))
    pads = _padding(op)
    element = kinds[0].element_type
    if not isinstance(element, ir.FloatType):
        return
    with ir.InsertionPoint(op), op.location:
        zero = arith.constant(element, ir.FloatAttr.get(element, 0.0))
        image = _padded(image, kinds[0], pads, zero)
        multiple = filters // depth
        result = kinds[2]
        batch = (
            tensor.dim(image, arith.constant(ir.IndexType.get(), 0)) if result.is_dynamic_dim(0) else result.shape[0]
        )
        extents = [batch, *result.shape[1:]]
        if multiple == 1:
            flat = ir.RankedTensorType.get([height, width, depth], element)
            weights = tensor.collapse_shape(flat, kernel, _groups([[0], [1], [2, 3]]))
            init = linalg.fill(zero, outs=[tensor.empty(extents, element)])
            value = linalg.depthwise_conv_2d_nhwc_hwc(image, weights, outs=[init], strides=strides, dilations=dilations)
        else:
            split = ir.RankedTensorType.get([height, width, depth, multiple], element)
            weights = ir.Operation.create("stablehlo.reshape", results=[split], operands=[kernel]).results[0]
            init = linalg.fill(zero, outs=[tensor.empty([*extents[:3], depth, multiple], element)])
            wide = linalg.depthwise_conv_2d_nhwc_hwcm(image, weights, outs=[init], strides=strides, dilations=dilations)
            value = tensor.collapse_shape(result, wide, _groups([[0], [1], [2], [3, 4]]))
        value = value if value.type == result else tensor.cast(result, value)
    op.results[0].replace_all_uses_with(value)
    op.erase()


def _padding(op: ir.Operation) -> list[int]:
    """low and high of height, low and high of width."""
    if "padding" not in op.attributes:
        return [0, 0, 0, 0]
    numbers = [int(x) for x in ir.DenseIntElementsAttr(op.attributes["padding"])]
    return numbers if len(numbers) == 4 else numbers * 4


def _padded(image: Any, kind: ir.RankedTensorType, pads: list[int], zero: Any) -> Any:
    if not any(pads):
        return image
    low, high = [0, pads[0], pads[2], 0], [0, pads[1], pads[3], 0]
    shape = [d if kind.is_dynamic_dim(i) else d + low[i] + high[i] for i, d in enumerate(kind.shape)]
    made = tensor.PadOp(ir.RankedTensorType.get(shape, kind.element_type), image, [], [], low, high)
    index = ir.IndexType.get()
    block = made.regions[0].blocks.append(*[index] * 4, arg_locs=[ir.Location.unknown()] * 4)
    with ir.InsertionPoint(block):
        tensor.YieldOp(zero)
    return made.result


def _groups(parts: list[list[int]]) -> ir.ArrayAttr:
    integer = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(integer, i) for i in part]) for part in parts])
