"""Single operators at the sizes that models have, as ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from benchmarks.models.built import Array, Built, onnx_model


def _graph(
    nodes: list[Any], inputs: dict[str, Array], weights: dict[str, Array], result: int = TensorProto.FLOAT
) -> Built:
    return onnx_model(nodes, inputs, [helper.make_tensor_value_info("y", result, None)], weights, opset=20)


def _normal(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _operator(operator: str, *shape: int, result: int = TensorProto.FLOAT, **attributes: Any) -> Callable[[], Built]:
    """A node of one f32 operand."""
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return lambda: _graph([node], {"x": _normal(*shape)}, {}, result)


def _reduction(operator: str, axes: list[int], *shape: int) -> Callable[[], Built]:
    node = helper.make_node(operator, ["x", "axes"], ["y"], keepdims=0)
    return lambda: _graph([node], {"x": _normal(*shape)}, {"axes": np.array(axes, np.int64)})


def _product(m: int, k: int, n: int, *, computed: bool = False, batch: tuple[int, ...] = ()) -> Callable[[], Built]:
    """[…, m, k] x [k, n]; `computed`: the second factor is an input too, […, k, n]."""

    def make() -> Built:
        right = {"w": _normal(*batch, k, n)}
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        left = {"x": _normal(*batch, m, k)}
        return _graph([node], left | right, {}) if computed else _graph([node], left, right)

    return make


def _convolution(
    channels: int, extent: int, filters: int, window: int, *, one_dimensional: bool = False, transposed: bool = False,
    **attributes: Any,
) -> Callable[[], Built]:  # fmt: skip
    """A square window over square images (or over lines) that keeps the extent at stride 1."""

    def make() -> Built:
        rank, group = 1 if one_dimensional else 2, attributes.get("group", 1)
        reach = (window - 1) * attributes.get("dilations", [1])[0]
        pads = [reach // 2] * rank + [reach - reach // 2] * rank
        operator = "ConvTranspose" if transposed else "Conv"
        outer, inner = (channels, filters // group) if transposed else (filters, channels // group)
        weight = _normal(outer, inner, *[window] * rank) / np.float32(np.sqrt(inner * window**rank))
        node = helper.make_node(operator, ["x", "w"], ["y"], pads=pads, **attributes)
        return _graph([node], {"x": _normal(1, channels, *[extent] * rank)}, {"w": weight})

    return make


def _gelu_chain() -> Built:
    """An elementwise chain: gelu by its tanh form, then a residual."""
    names = iter(range(100))
    nodes: list[Any] = []

    def op(operator: str, *inputs: str) -> str:
        nodes.append(helper.make_node(operator, list(inputs), [f"v{next(names)}"]))
        return nodes[-1].output[0]

    cube = op("Mul", op("Mul", "x", "x"), "x")
    inner = op("Tanh", op("Mul", op("Add", "x", op("Mul", cube, "a")), "b"))
    gelu = op("Mul", op("Mul", "x", "half"), op("Add", inner, "one"))
    nodes.append(helper.make_node("Add", [gelu, "x"], ["y"]))
    weights = {
        name: np.array(value, np.float32)
        for name, value in (("a", 0.044715), ("b", np.sqrt(2 / np.pi)), ("half", 0.5), ("one", 1.0))
    }
    return _graph(nodes, {"x": _normal(512, 3072)}, weights)


def _layer_norm() -> Built:
    node = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], axis=-1)
    return _graph([node], {"x": _normal(512, 768)}, {"s": _normal(768), "b": _normal(768)})


def _instance_norm() -> Built:
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"])
    return _graph([node], {"x": _normal(1, 64, 128, 128)}, {"s": _normal(64), "b": _normal(64)})


def _gather() -> Built:
    indices = np.random.default_rng(0).integers(0, 30000, (4, 128))
    return _graph([helper.make_node("Gather", ["w", "i"], ["y"])], {"i": indices}, {"w": _normal(30000, 768)})


def _top_k() -> Built:
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"])
    return _graph([node], {"x": _normal(8, 50257)}, {"k": np.array([50], np.int64)})


def _concatenation() -> Built:
    node = helper.make_node("Concat", ["x", "z"], ["y"], axis=1)
    return _graph([node], {"x": _normal(1, 256, 56, 56), "z": _normal(1, 64, 56, 56)}, {})


def _gru() -> Built:
    weights = {"w": _normal(1, 768, 256) / 16, "r": _normal(1, 768, 256) / 16, "b": _normal(1, 1536)}
    node = helper.make_node("GRU", ["x", "w", "r", "b"], ["y"], hidden_size=256)
    return _graph([node], {"x": _normal(64, 1, 256)}, weights)


def _of_type(
    operator: str, dtype: Any, *shape: int, to: int = TensorProto.FLOAT, **attributes: Any
) -> Callable[[], Built]:
    """A node of one operand of another type than f32, with results of type `to`."""
    if operator == "Cast":
        attributes["to"] = to
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return lambda: _graph([node], {"x": np.abs(_normal(*shape) * 40).astype(dtype)}, {}, to)


def _silu() -> Built:
    nodes = [helper.make_node("Sigmoid", ["x"], ["t"]), helper.make_node("Mul", ["x", "t"], ["y"])]
    return _graph(nodes, {"x": _normal(256, 1024)}, {})


def _select() -> Built:
    nodes = [helper.make_node("Less", ["x", "z"], ["c"]), helper.make_node("Where", ["c", "x", "z"], ["y"])]
    return _graph(nodes, {"x": _normal(2048, 4096), "z": _normal(2048, 4096)[::-1].copy()}, {})


def _columns_scaled() -> Built:
    return _graph([helper.make_node("Mul", ["x", "z"], ["y"])], {"x": _normal(256, 1024), "z": _normal(256, 1)}, {})


def _swapped_halves() -> Built:
    nodes = [helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
             helper.make_node("Concat", ["b", "a"], ["y"], axis=1)]  # fmt: skip
    return _graph(nodes, {"x": _normal(64, 1024, 16)}, {})


def _padded_rows() -> Built:
    node = helper.make_node("Pad", ["x", "p"], ["y"])
    return _graph([node], {"x": _normal(1000, 1000)}, {"p": np.array([5, 0, 7, 0], np.int64)})


def _nearest() -> Built:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest", nearest_mode="floor",
                            coordinate_transformation_mode="asymmetric")  # fmt: skip
    return _graph([node], {"x": _normal(1, 64, 56, 56)}, {"s": np.array([1, 1, 2, 2], np.float32)})


OPERATORS: dict[str, Callable[[], Built]] = {
    "op_matmul_197x768x3072": _product(197, 768, 3072),
    "op_matmul_127x1000x300": _product(127, 1000, 300),
    "op_matmul_3x4096x4096": _product(3, 4096, 4096),
    "op_gemv_4096x11008": _product(1, 4096, 11008),
    "op_matmul_512_computed": _product(512, 512, 512, computed=True),
    "op_matmul_batched_12x128x64": _product(128, 64, 128, computed=True, batch=(12,)),
    **{f"op_conv3x3_{c}_{e}": _convolution(c, e, c, 3)
       for c, e in ((512, 7), (384, 13), (256, 14), (128, 28), (64, 56), (32, 111))},
    "op_conv1x1_256_56": _convolution(256, 56, 64, 1),
    "op_conv1x1_stride2": _convolution(256, 56, 512, 1, strides=[2, 2]),
    "op_conv7x7_stem": _convolution(3, 224, 64, 7, strides=[2, 2]),
    "op_conv_depthwise3x3": _convolution(192, 56, 192, 3, group=192),
    "op_conv_grouped": _convolution(240, 28, 240, 3, group=8),
    "op_conv_dilated": _convolution(128, 28, 128, 3, dilations=[2, 2]),
    "op_conv_transposed": _convolution(128, 28, 64, 2, transposed=True, strides=[2, 2]),
    "op_conv1d": _convolution(384, 1500, 384, 3, one_dimensional=True),
    "op_softmax": _operator("Softmax", 12, 384, 384, axis=-1),
    "op_softmax_channels": _operator("Softmax", 1, 21, 256, 256, axis=1),
    "op_layer_norm": _layer_norm,
    "op_instance_norm": _instance_norm,
    "op_elementwise_gelu": _gelu_chain,
    "op_sum_all_10m": _reduction("ReduceSum", [0, 1], 1000, 10000),
    "op_sum_rows": _reduction("ReduceSum", [1], 1000, 10000),
    "op_sum_columns": _reduction("ReduceSum", [0], 1000, 10000),
    "op_mean_2_3": _reduction("ReduceMean", [2, 3], 1, 1024, 14, 14),
    "op_argmax": _operator("ArgMax", 64, 50257, result=TensorProto.INT64, axis=-1, keepdims=0),
    "op_top_k": _top_k,
    "op_cumsum_matrix": lambda: _graph(
        [helper.make_node("CumSum", ["x", "a"], ["y"])], {"x": _normal(512, 4096)}, {"a": np.array(1, np.int64)}
    ),
    "op_transpose": _operator("Transpose", 1024, 2048, perm=[1, 0]),
    "op_transpose_heads": _operator("Transpose", 8, 384, 12, 64, perm=[0, 2, 1, 3]),
    "op_max_pool": _operator("MaxPool", 1, 64, 112, 112, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "op_average_pool": _operator("GlobalAveragePool", 1, 2048, 7, 7),
    "op_gather_embeddings": _gather,
    "op_concat": _concatenation,
    "op_erf": _operator("Erf", 512, 3072),
    "op_gru": _gru,
    "op_softmax_long_rows": _operator("Softmax", 8, 50257, axis=-1),
    "op_log_softmax": _operator("LogSoftmax", 512, 1000, axis=-1),
    "op_max_of_batch": _reduction("ReduceMax", [0, 2, 3], 8, 64, 28, 28),
    "op_exp_1mb": _operator("Exp", 256, 1024),
    "op_silu_1mb": _silu,
    "op_mish_1mb": _operator("Mish", 256, 1024),
    "op_scaled_columns_1mb": _columns_scaled,
    "op_select_96mb": _select,
    "op_transpose_bytes": _of_type("Transpose", np.uint8, 2047, 2049, to=TensorProto.UINT8, perm=[1, 0]),
    "op_transpose_half": _of_type("Transpose", np.float16, 1, 64, 56, 56, to=TensorProto.FLOAT16, perm=[0, 2, 3, 1]),
    "op_transpose_double": _of_type("Transpose", np.float64, 12, 384, 64, to=TensorProto.DOUBLE, perm=[0, 2, 1]),
    "op_cast_half": _of_type("Cast", np.float16, 256, 1024, to=TensorProto.FLOAT),
    "op_swapped_halves": _swapped_halves,
    "op_padded_rows": _padded_rows,
    "op_resize_nearest": _nearest,
}  # fmt: skip
