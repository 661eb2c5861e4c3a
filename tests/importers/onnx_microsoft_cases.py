"""Operators of com.microsoft with inputs: the table behind onnx_microsoft_test.py and onnx_microsoft_all.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.importers.model_runner import ModelRunner, difference

random = np.random.default_rng(5)
Array = np.ndarray[Any, Any]


def f(*shape: int, scale: float = 1.0) -> Array:
    """Normal numbers."""
    return (random.normal(size=shape) * scale).astype(np.float32)


def i(high: int, *shape: int, low: int = 0, dtype: Any = np.int64) -> Array:
    """Integers below `high`."""
    return random.integers(low, high, shape).astype(dtype)


def u8(*shape: int) -> Array:
    return i(256, *shape, dtype=np.uint8)


def i8(*shape: int) -> Array:
    return i(128, *shape, low=-128, dtype=np.int8)


class Weight:
    """An input that is an initializer of the model."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)


W = Weight
Case = tuple[str, list[Any], int, dict[str, Any]]  # operator, inputs (None: absent), number of outputs, attributes
scale, zero = np.float32(0.05), np.uint8(120)
MHA = {"num_heads": 2}
ATTENTION = [f(2, 5, 8), W(f(8, 24)), W(f(24))]
GQA = {"num_heads": 4, "kv_num_heads": 2}
COS, SIN, COS8, SIN8 = (
    W(function(np.arange(32)[:, None] * np.float32(10.0) ** -np.arange(half)).astype(np.float32))
    for half in (4, 8)
    for function in (np.cos, np.sin)
)
I32 = np.int32


def gqa(batch: int, new: int, old: int, lengths: list[int], total: int, held: int | None = None) -> list[Any]:
    """Inputs of GroupQueryAttention: 4 heads of 16 elements, 2 of keys."""
    past = [f(batch, 2, old if held is None else held, 16) for _ in range(2)]
    return [f(batch, new, 64), f(batch, new, 32), f(batch, new, 32), *past, W(np.array(lengths, I32) - 1),
            W(np.array(total, I32))]  # fmt: skip


CASES: list[Case] = [
    ("Gelu", [f(3, 5)], 1, {}),
    ("BiasGelu", [f(3, 5), W(f(5))], 1, {}),
    ("FastGelu", [f(3, 5)], 1, {}),
    ("FastGelu", [f(3, 5), W(f(5))], 1, {}),
    ("QuickGelu", [f(3, 5)], 1, {"alpha": 1.3}),
    ("SkipLayerNormalization", [f(2, 3, 5), f(2, 3, 5), W(f(5)), W(f(5)), W(f(5))], 4, {"epsilon": 1e-5}),
    ("SkipLayerNormalization", [f(2, 3, 5), f(3, 5), W(f(5))], 1, {}),
    ("SkipLayerNormalization", [f(2, 3, 5), f(1, 3, 5), W(f(5)), W(f(5))], 1, {}),
    ("SkipSimplifiedLayerNormalization", [f(2, 3, 5), f(2, 3, 5), W(f(5))], 1, {"epsilon": 1e-5}),
    ("SimplifiedLayerNormalization", [f(2, 3, 5), W(f(5))], 1, {"epsilon": 1e-5, "axis": -1}),
    ("SimplifiedLayerNormalization", [f(2, 3, 5), W(f(3, 5))], 2, {"epsilon": 1e-3, "axis": 1}),
    ("EmbedLayerNormalization",
     [i(9, 2, 5, dtype=I32), i(2, 2, 5, dtype=I32), W(f(9, 4)), W(f(7, 4)), W(f(2, 4)), W(f(4)), W(f(4)),
      i(2, 2, 5, dtype=I32)], 3, {"epsilon": 1e-5}),
    ("EmbedLayerNormalization",
     [i(9, 2, 5, dtype=I32), None, W(f(9, 4)), W(f(7, 4)), None, W(f(4)), W(f(4)), None, i(7, 2, 5, dtype=I32)], 2,
     {"epsilon": 1e-5}),
    ("FusedMatMul", [f(2, 3, 4), f(2, 5, 4)], 1, {"transB": 1, "alpha": 0.5}),
    ("FusedMatMul", [f(2, 4, 3), f(4, 5)], 1, {"transA": 1}),
    ("FusedMatMul", [f(3, 2, 4), f(2, 4, 5)], 1, {"transBatchA": 1}),
    ("FusedMatMul", [f(4, 2, 3), f(2, 4, 5)], 1, {"transBatchA": 1, "transA": 1}),
    ("TransposeMatMul", [f(4, 3), f(4, 5)], 1, {"transA": 1, "alpha": 2.0}),
    ("FusedConv", [f(1, 2, 5, 5), W(f(3, 2, 3, 3)), W(f(3))], 1, {"activation": "Relu", "pads": [1, 1, 1, 1]}),
    ("FusedConv", [f(1, 2, 5, 5), W(f(3, 2, 3, 3)), W(f(3)), f(1, 3, 3, 3)], 1, {"activation": "Relu"}),
    ("FusedConv", [f(1, 2, 5, 5), W(f(3, 2, 3, 3))], 1, {"activation": "Clip", "activation_params": [-0.5, 0.5]}),
    ("FusedConv", [f(1, 2, 5, 5), W(f(3, 2, 3, 3))], 1, {"activation": "LeakyRelu", "activation_params": [0.2]}),
    ("FusedConv", [f(1, 2, 5, 5), W(f(3, 2, 3, 3))], 1, {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}),
    ("FusedGemm", [f(3, 4), W(f(4, 5)), W(f(5))], 1, {"activation": "LeakyRelu", "activation_alpha": 0.3}),
    ("ExpandDims", [f(3, 4), W(np.array(-1, I32))], 1, {}),
    ("Pad", [f(3, 4), W(np.array([1, 0, 0, 2])), W(np.float32(1.5))], 1, {"mode": "constant"}),
    ("CDist", [f(3, 4), f(5, 4)], 1, {"metric": "euclidean"}),
    ("Trilu", [f(4, 4), W(np.array(1))], 1, {"upper": 0}),
    ("GridSample", [f(1, 2, 4, 4), f(1, 3, 3, 2, scale=0.5)], 1, {"mode": "bilinear", "padding_mode": "border"}),
    ("NhwcMaxPool", [u8(1, 6, 6, 3)], 1, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    # Products with packed weights.
    *(("MatMulNBits", [f(2, 3, k), W(u8(5, -(-k // 16), 16 * bits // 8)), W(f(5 * -(-k // 16)))], 1,
       {"K": k, "N": 5, "bits": bits, "block_size": 16}) for bits in (2, 4, 8) for k in (32, 41)),
    ("MatMulNBits", [f(3, 64), W(u8(5, 2, 16)), W(f(5, 2)), W(u8(5, 1))], 1, {"K": 64, "N": 5, "block_size": 32}),
    ("MatMulNBits", [f(3, 96), W(u8(5, 3, 16)), W(f(5, 3)), W(u8(5, 2)), None, W(f(5))], 1,
     {"K": 96, "N": 5, "block_size": 32}),
    ("MatMulNBits", [f(3, 64), W(u8(5, 2, 16)), W(f(5, 2)), W(f(5, 2))], 1, {"K": 64, "N": 5, "block_size": 32}),
    ("MatMulNBits", [f(3, 64), W(u8(5, 2, 16)), W(f(5, 2)), None, W(i(2, 64, dtype=I32))], 1,
     {"K": 64, "N": 5, "block_size": 32}),
    ("MatMulBnb4", [f(3, 32), W(u8(80)), W(np.abs(f(10)))], 1, {"K": 32, "N": 5, "block_size": 16, "quant_type": 1}),
    ("MatMulBnb4", [f(3, 32), W(u8(80)), W(np.abs(f(10)))], 1, {"K": 32, "N": 5, "block_size": 16, "quant_type": 0}),
    ("GatherBlockQuantized", [W(u8(7, 16)), i(7, 2, 3), W(f(7, 2))], 1,
     {"block_size": 16, "quantize_axis": 1, "gather_axis": 0}),
    ("GatherBlockQuantized", [W(u8(7, 16)), i(7, 3), W(f(7, 2)), W(u8(7, 1))], 1,
     {"block_size": 16, "quantize_axis": 1, "gather_axis": 0}),
    # 8-bit operators.
    ("QLinearAdd", [u8(3, 4), W(scale), W(zero), u8(4), W(scale * 2), W(zero), W(scale * 3), W(zero)], 1, {}),
    ("QLinearAdd", [i8(3, 4), W(scale), W(np.int8(3)), i8(3, 4), W(scale * 2), W(np.int8(0)), W(scale * 3)], 1, {}),
    ("QLinearMul", [u8(3, 4), W(scale), W(zero), u8(3, 1), W(scale * 2), W(zero), W(scale), W(zero)], 1, {}),
    ("QLinearSigmoid", [u8(30), W(scale), W(zero), W(np.float32(1 / 256)), W(np.uint8(0))], 1, {}),
    ("QLinearLeakyRelu", [i8(30), W(scale), W(np.int8(7)), W(scale), W(np.int8(-9))], 1, {"alpha": 0.2}),
    ("QLinearGlobalAveragePool", [u8(2, 3, 5, 5), W(scale), W(zero), W(scale / 2), W(zero)], 1, {}),
    ("QLinearGlobalAveragePool", [u8(2, 5, 5, 3), W(scale), W(zero), W(scale), W(zero)], 1, {"channels_last": 1}),
    ("QLinearAveragePool", [u8(2, 3, 5, 5), W(scale), W(zero), W(scale / 2), W(zero)], 1,
     {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("QLinearConcat", [W(scale), W(zero), u8(2, 3), W(scale), W(zero), u8(2, 4), W(scale * 2), W(np.uint8(7))], 1,
     {"axis": 1}),
    ("QLinearSoftmax", [u8(3, 7), W(scale), W(zero), W(np.float32(1 / 256)), W(np.uint8(0))], 1,
     {"axis": -1, "opset": 13}),
    ("QLinearWhere", [i(2, 3, 4).astype(np.bool_), u8(3, 4), W(scale), W(zero), u8(3, 4), W(scale * 2), W(zero),
                      W(scale * 2), W(np.uint8(9))], 1, {}),
    ("MatMulIntegerToFloat", [u8(3, 4), W(u8(4, 5)), W(scale), W(np.abs(f(5))), W(zero), W(u8(5)), W(f(5))], 1, {}),
    ("MatMulIntegerToFloat", [u8(2, 3, 4), W(i8(4, 5)), W(scale), W(scale), W(zero)], 1, {}),
    ("DynamicQuantizeMatMul", [f(3, 8), W(u8(8, 5)), W(scale), W(zero), W(f(5))], 1, {}),
    ("DynamicQuantizeMatMul", [f(2, 3, 8), W(i8(8, 5)), W(np.abs(f(5))), W(np.zeros(5, np.int8))], 1, {}),
    ("QGemm", [u8(3, 4), W(scale), W(zero), W(i8(4, 5)), W(scale), W(np.int8(0)), W(i(99, 5, dtype=I32)),
               W(scale * 4), W(zero)], 1, {}),
    ("QGemm", [u8(3, 4), W(scale), W(zero), W(u8(5, 4)), W(np.abs(f(5))), W(u8(5)), W(i(99, 5, dtype=I32))], 1,
     {"transB": 1}),
    # Attention.
    ("Attention", ATTENTION, 1, MHA),
    ("Attention", [*ATTENTION, None, f(2, 2, 2, 3, 4)], 2, {"num_heads": 2, "unidirectional": 1}),
    ("Attention", [*ATTENTION, np.array([3, 5], I32)], 1, MHA),
    ("Attention", [*ATTENTION, np.array([4, 5, 1, 0], I32)], 1, MHA),
    ("Attention", [*ATTENTION, np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]], I32)], 1, MHA),
    ("Attention", [*ATTENTION, i(2, 2, 5, 5, dtype=I32)], 1, MHA),
    ("Attention", [*ATTENTION, None, None, f(1, 2, 5, 5)], 1, {"num_heads": 2, "scale": 0.3}),
    ("Attention", [f(2, 5, 8), W(f(8, 20)), W(f(20))], 1, {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}),
    ("QAttention", [u8(2, 5, 8), W(i8(8, 24)), W(f(24)), W(np.float32(0.01)), W(np.float32(0.02)), None, W(zero),
                    W(np.int8(0))], 1, MHA),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 7, 8), f(2, 7, 8)], 1, MHA),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 7, 8), f(2, 7, 12), W(f(28)), i(2, 2, 7, dtype=I32)], 1, MHA),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), W(f(24)), None, f(2, 2, 5, 8), f(2, 2, 3, 4),
                            f(2, 2, 3, 4)], 3, {"num_heads": 2, "unidirectional": 1}),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 2, 7, 4), f(2, 2, 7, 4)], 1, MHA),
    ("RotaryEmbedding", [f(2, 5, 16), i(9, 2, 5), COS, SIN], 1, {}),
    ("RotaryEmbedding", [f(2, 2, 5, 8), np.array([3]), COS, SIN], 1, {"interleaved": 1}),
    ("RotaryEmbedding", [f(2, 5, 24), i(9, 2, 5), COS, SIN], 1,
     {"num_heads": 2, "rotary_embedding_dim": 8, "interleaved": 1}),
    ("GroupQueryAttention", gqa(1, 5, 0, [5], 5), 3, GQA),
    ("GroupQueryAttention", [*gqa(1, 1, 4, [5], 5), COS8, SIN8], 3, {**GQA, "do_rotary": 1}),
    ("GroupQueryAttention", [*gqa(2, 1, 6, [5, 7], 7, 9), COS8, SIN8], 3,
     {**GQA, "do_rotary": 1, "rotary_interleaved": 1}),
    ("GroupQueryAttention", gqa(1, 3, 4, [7], 7), 3, {**GQA, "local_window_size": 3}),
    ("GroupQueryAttention", gqa(2, 4, 0, [4, 4], 4), 3, {**GQA, "softcap": 2.0, "scale": 0.7}),
    ("GroupQueryAttention", gqa(2, 4, 0, [4, 4], 4), 3, {**GQA, "smooth_softmax": 1}),
    ("GroupQueryAttention", [f(1, 3, 128), None, None, f(1, 2, 4, 16), f(1, 2, 4, 16), W(np.array([6], I32)),
                             W(np.array(7, I32)), COS8, SIN8], 3, {**GQA, "do_rotary": 1}),
    ("GroupQueryAttention", [*gqa(1, 3, 4, [7], 7), None, None, None, f(1, 1, 3, 7)], 3, GQA),
    ("GroupQueryAttention", [*gqa(1, 3, 4, [7], 7), None, None, None, None, W(f(4))], 3, GQA),
]  # fmt: skip


def model_of(case: Case, is_open: bool) -> tuple[onnx.ModelProto, list[Array]]:
    """A model of one node; open ones leave all extents but the last open, by names that equal extents share."""
    operator, inputs, count, attributes = case
    names = ["" if x is None else f"i{n}" for n, x in enumerate(inputs)]
    domain = "" if operator == "SimplifiedLayerNormalization" else "com.microsoft"
    node = helper.make_node(
        operator, names, [f"o{n}" for n in range(count)], "node", domain=domain, **attributes
    )  # fmt: skip
    values, arrays, weights = [], [], []
    for name, x in zip(names, inputs, strict=True):
        if isinstance(x, Weight):
            weights.append(numpy_helper.from_array(x.array, name))
        elif x is not None:
            shape = [f"d{d}" if is_open and axis < max(x.ndim - 1, 1) else d for axis, d in enumerate(x.shape)]
            values.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape))
            arrays.append(x)
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "g", values, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), arrays


def check(runner: ModelRunner, number: int, is_open: bool) -> None:
    """Compiles a case and compares with ONNX Runtime."""
    import onnxruntime

    model, inputs = model_of(CASES[number], is_open)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {value.name: x for value, x in zip(session.get_inputs(), inputs, strict=True)})
    for want, got in zip(wanted, runner.run(data, inputs), strict=True):
        if want.dtype in (np.uint8, np.int8) and CASES[number][0] != "NhwcMaxPool":
            assert want.shape == got.shape
            assert np.abs(want.astype(int) - got.astype(int)).max(initial=0) <= 1  # a tie, rounded the other way
        else:
            assert difference(want, got, 1e-4, 1e-4) is None
