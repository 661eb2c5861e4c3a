"""Gradient nodes against PyTorch's automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import parser

import mlirage
from mlirage.errors import ImportFailure

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

random = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return random.normal(size=shape).astype(np.float32)


def _mean_of_inside(a: Any) -> Any:
    """Means of windows of 3 x 2 with paddings that do not count."""
    padded, ones = (F.pad(x, (0, 1, 1, 1)) for x in (a, torch.ones_like(a)))
    sums, counts = (F.avg_pool2d(x, (3, 2), (2, 1)) for x in (padded, ones))
    return sums / counts


def model_of(text: str) -> Any:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["":17, "ai.onnx.preview.training":1]> {text}')
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def gradients(body: str, **inputs: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """d(sum y)/d(input) for each input of a graph that makes `y`."""
    arguments = ", ".join(f"float[{','.join(map(str, x.shape))}] {name}" for name, x in inputs.items())
    names = ", ".join(f"g_{name}" for name in inputs)
    results = ", ".join(f"float[] g_{name}" for name in inputs)
    quoted = ", ".join(f'"{name}"' for name in inputs)
    node = f'ai.onnx.preview.training.Gradient <xs: strings = [{quoted}], y: string = "y"> ({", ".join(inputs)})'
    model = model_of(f"graph ({arguments}) => ({results}) {{ {body} [gradient] {names} = {node} }}")
    return list(mlirage.load(mlirage.compile(model, jobs=1), device="local-sync")(*inputs.values()))


GEMM = [
    (
        f"y = Gemm<alpha = 0.5, beta = 2.0, transA = {a}, transB = {b}>(a, b, c)",
        lambda p, q, s, a=a, b=b: 0.5 * (p.T if a else p) @ (q.T if b else q) + 2 * s,
        (normal(*((5, 3) if a else (3, 5))), normal(*((4, 5) if b else (5, 4))), normal(4)),
    )
    for a in (0, 1)
    for b in (0, 1)
]
UNARY = [
    (f"y = {name}(a)", function, (np.abs(normal(3, 4)) + np.float32(0.1),))
    for name, function in (
        ("Log", torch.log), ("Sqrt", torch.sqrt), ("Neg", torch.neg), ("Reciprocal", torch.reciprocal),
        ("Sin", torch.sin), ("Cos", torch.cos), ("Sigmoid", torch.sigmoid), ("Erf", torch.erf),
        ("Softplus", torch.nn.functional.softplus),
    )
]  # fmt: skip
CASES: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
    ("c = Add(a, b) y = Mul(c, a)", lambda a, b: (a + b) * a, (normal(3, 4), normal(4))),
    ("c = Sub(a, b) d = Div(c, b) y = Exp(d)", lambda a, b: torch.exp((a - b) / b), (normal(3, 4), normal(3, 1) + 3)),
    ("h = MatMul(a, b) y = Tanh(h)", lambda a, b: torch.tanh(a @ b), (normal(2, 3, 5), normal(5, 7))),
    *GEMM,
    *UNARY,
    ("b = Relu(a) c = Abs(a) y = Mul(b, c)", lambda a: torch.relu(a) * torch.abs(a), (normal(3, 4),)),
    ("y = LeakyRelu<alpha = 0.2>(a)", lambda a: torch.nn.functional.leaky_relu(a, 0.2), (normal(3, 4),)),
    (
        "t = Transpose<perm = [1, 2, 0]>(a) u = Softmax<axis = -1>(t) v = Mul(u, b) y = LogSoftmax<axis = 0>(v)",
        lambda a, b: torch.log_softmax(torch.softmax(a.permute(1, 2, 0), -1) * b, 0),
        (normal(2, 3, 4), normal(4, 2)),
    ),
    ("s = ReduceMean<axes = [1], keepdims = 0>(a) y = Mul(s, s)", lambda a: a.mean(1) ** 2, (normal(3, 4, 2),)),
    ("k = Constant<value = float {3.0}>() y = Pow(a, k)", lambda a: a**3, (normal(3, 4),)),
    ("c = Concat<axis = 1>(a, b) y = Mul(c, c)", lambda a, b: torch.cat([a, b], 1) ** 2, (normal(3, 4), normal(3, 2))),
    (
        "i = Constant<value = int64[3] {1, 1, 0}>() c = Gather(a, i) y = Mul(c, c)",
        lambda a: a[[1, 1, 0]] ** 2,
        (normal(3, 4),),
    ),
    (
        "z = Greater(a, b) c = Where(z, a, b) y = Mul(c, c)",
        lambda a, b: torch.where(a > b, a, b) ** 2,
        (normal(3, 4), normal(4)),
    ),
    (
        "c = Conv<strides = [2, 1], dilations = [1, 2], pads = [1, 0, 0, 2], group = 2>(a, b) y = Mul(c, c)",
        lambda a, b: F.conv2d(F.pad(a, (0, 2, 1, 0)), b, None, (2, 1), 0, (1, 2), 2) ** 2,
        (normal(2, 4, 8, 7), normal(6, 2, 3, 2)),
    ),
    (
        'd = Conv<auto_pad = "SAME_UPPER", strides = [3]>(a, b, c) y = Mul(d, d)',
        lambda a, b, c: F.conv1d(F.pad(a, (0, 1)), b, c, 3) ** 2,
        (normal(3, 2, 7), normal(5, 2, 2), normal(5)),
    ),
    (
        "c = ConvTranspose<strides = [2, 3], pads = [1, 0, 1, 0], output_padding = [1, 2], group = 2>(a, b) "
        "y = Mul(c, c)",
        lambda a, b: F.conv_transpose2d(a, b, None, (2, 3), (1, 0), (1, 2), 2) ** 2,
        (normal(2, 4, 3, 3), normal(4, 3, 3, 2)),
    ),
    (
        "b = AveragePool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]>(a) y = Mul(b, b)",
        lambda a: _mean_of_inside(a) ** 2,
        (normal(2, 3, 6, 5),),
    ),
    (
        "b = AveragePool<kernel_shape = [3], strides = [2], pads = [1, 1], count_include_pad = 1>(a) y = Mul(b, b)",
        lambda a: F.avg_pool1d(a, 3, 2, 1) ** 2,
        (normal(2, 3, 7),),
    ),
    (
        "b = MaxPool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 0]>(a) y = Mul(b, b)",
        lambda a: F.max_pool2d(a, (3, 2), (2, 1), (1, 0)) ** 2,
        (normal(2, 3, 6, 5),),
    ),
    ("b = GlobalAveragePool(a) y = Mul(b, b)", lambda a: a.mean((2, 3), keepdim=True) ** 2, (normal(2, 3, 4, 5),)),
    ("b = GlobalMaxPool(a) y = Mul(b, b)", lambda a: a.amax((2, 3), keepdim=True) ** 2, (normal(2, 3, 4, 5),)),
    ("b = ReduceMax<axes = [1], keepdims = 0>(a) y = Mul(b, b)", lambda a: a.amax(1) ** 2, (normal(3, 4),)),
    ("c = Max(a, b) y = Mul(c, c)", lambda a, b: torch.maximum(a, b) ** 2, (normal(3, 4), normal(4))),
    ("y = Elu<alpha = 0.7>(a)", lambda a: F.elu(a, 0.7), (normal(3, 4),)),
    ("y = HardSigmoid<alpha = 0.3>(a)", lambda a: torch.clamp(a * 0.3 + 0.5, 0, 1), (normal(3, 4) * 3,)),
    (
        "l = Constant<value = float {-0.5}>() b = Clip(a, l) y = Mul(b, b)",
        lambda a: torch.clamp(a, min=-0.5) ** 2,
        (normal(3, 4),),
    ),
    (
        "f = BatchNormalization<epsilon = 0.01>(a, b, c, d, e) y = Mul(f, f)",
        lambda a, b, c, d, e: ((a - d[:, None]) * b[:, None] * torch.rsqrt(e + 0.01)[:, None] + c[:, None]) ** 2,
        (normal(2, 3, 4), normal(3), normal(3), normal(3), np.abs(normal(3)) + np.float32(0.5)),
    ),
    (
        "f, g, h = BatchNormalization<training_mode = 1>(a, b, c, m, v) y = Mul(f, a)",
        lambda a, b, c, m, v: F.batch_norm(a, None, None, b, c, True) * a + 0 * (m + v).sum(),
        (normal(4, 3, 5), normal(3), normal(3), normal(3), np.abs(normal(3))),
    ),
    (
        "d = LayerNormalization<axis = 1>(a, b, c) y = Mul(d, a)",
        lambda a, b, c: F.layer_norm(a, (4, 5), b, c) * a,
        (normal(3, 4, 5), normal(4, 5), normal(4, 5)),
    ),
    (
        "d = InstanceNormalization(a, b, c) y = Mul(d, a)",
        lambda a, b, c: F.instance_norm(a, weight=b, bias=c) * a,
        (normal(2, 3, 4, 5), normal(3), normal(3)),
    ),
    (
        "s = Constant<value = int64[2] {-1, 1}>() e = Constant<value = int64[2] {-9, 4}>() "
        "x = Constant<value = int64[2] {0, 1}>() t = Constant<value = int64[2] {-2, 1}>() "
        "b = Slice(a, s, e, x, t) y = Mul(b, b)",
        lambda a: a[[4, 2, 0], 1:4] ** 2,
        (normal(5, 6),),
    ),
    (
        "p = Constant<value = int64[4] {1, -1, 0, 2}>() v = Constant<value = float {3.0}>() "
        "b = Pad(a, p, v) y = Mul(b, b)",
        lambda a: F.pad(a, (-1, 2, 1, 0), value=3.0) ** 2,
        (normal(3, 4),),
    ),
    (
        "i = Constant<value = int64[2, 2] {2, 0, 2, 1}>() b = Gather<axis = 1>(a, i) y = Mul(b, b)",
        lambda a: a[:, [[2, 0], [2, 1]]] ** 2,
        (normal(2, 3),),
    ),
    (
        "r = Constant<value = int64[2] {2, 3}>() b = Tile(a, r) d = DepthToSpace<blocksize = 1>(c) "
        "e = Mul(b, b) f = Mul(d, d) g = ReduceSum(e) h = ReduceSum(f) y = Add(g, h)",
        lambda a, c: (a.repeat(2, 3) ** 2).sum() + (c**2).sum(),
        (normal(2, 3), normal(1, 4, 2, 2)),
    ),
    ("b = Trilu<upper = 0>(a) y = Mul(b, b)", lambda a: torch.tril(a) ** 2, (normal(3, 4),)),
]


@pytest.mark.parametrize(("body", "function", "inputs"), CASES, ids=[case[0][:40] for case in CASES])
def test_gradient(body: str, function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    names = "abcmv" if "m, v" in body else "acb" if "d = DepthToSpace" in body else "abcde"
    found = gradients(body, **dict(zip(names, inputs, strict=False)))
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
    for got, want in zip(found, torch.autograd.grad(function(*leaves).sum(), leaves), strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def test_gradient_of_gradient() -> None:
    model = model_of(
        """graph (float[3] a) => (float[] first, float[] second) { b = Mul(a, a) y = Mul(b, a)
        [one] first = ai.onnx.preview.training.Gradient <xs: strings = ["a"], y: string = "y"> (a)
        [two] second = ai.onnx.preview.training.Gradient <xs: strings = ["a"], y: string = "first"> (a) }"""
    )
    a = normal(3)
    first, second = mlirage.load(mlirage.compile(model, jobs=1), device="local-sync")(a)
    np.testing.assert_allclose(first, 3 * a * a, rtol=1e-5)
    np.testing.assert_allclose(second, 6 * a, rtol=1e-5)


def test_operator_without_rule() -> None:
    with pytest.raises(
        ImportFailure, match=r"node 'gradient' \(Gradient of float32\[3\]\): node 'Floor:gradient/y'.*no rule"
    ):
        gradients("y = Floor(a)", a=normal(3))
