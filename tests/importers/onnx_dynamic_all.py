"""Open batches and lengths of ONNX models: one compiled module takes every size, as ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import mlirage

onnxruntime = pytest.importorskip("onnxruntime")
SIZES = (0, 1, 2, 3, 7, 16, 17, 64, 127)
Array = np.ndarray[Any, Any]


class Net:
    """A model of random weights, by mlirage and by ONNX Runtime."""

    def __init__(self, signature: str, body: str, **weights: tuple[int, ...]) -> None:
        random = np.random.default_rng(0)
        model: Any = parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> g {signature} {{ {body} }}')
        for name, shape in weights.items():
            array = random.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[:-1]))))
            if name.startswith("positive"):
                array = np.abs(array) + 0.5
            model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        self.run: Any = mlirage.load(mlirage.compile(data, opt_level=1), device="local-sync")
        self.session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def check(self, *inputs: Array) -> None:
        """Both give the same; where ONNX Runtime refuses an empty input, mlirage gives something that is empty."""
        names = [value.name for value in self.session.get_inputs()]
        results = self.run(*inputs)
        try:
            wanted = self.session.run(None, dict(zip(names, inputs, strict=True)))
        except Exception:
            if all(x.size for x in inputs):
                raise
            assert all(np.isfinite(y).all() for y in results)
            return
        for want, got in zip(wanted, results, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def normal(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_mlp() -> None:
    net = Net(
        "(float[batch, length, 7] x) => (float[batch, length, 5] y)",
        """a = MatMul(x, w) b = Add(a, c) d = Gelu(b) e = LayerNormalization<axis = -1>(d, s, t)
        f = MatMul(e, v) y = Softmax<axis = -1>(f)""",
        w=(7, 33), c=(33,), s=(33,), t=(33,), v=(33, 5),
    )  # fmt: skip
    for size in SIZES:
        for other in (0, 1, 3, 17):
            net.check(normal(size, other, 7))
            net.check(normal(other, size, 7))


def test_cnn() -> None:
    net = Net(
        "(float[batch, 3, height, width] x) => (float[batch, 4] y)",
        """a = Conv<pads = [1, 1, 1, 1]>(x, w, c) b = BatchNormalization(a, s, t, m, positive) d = Relu(b)
        e = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(d)
        f = Conv<pads = [2, 2, 2, 2], strides = [2, 2], group = 8>(e, v) g = HardSwish(f) h = Conv(g, u)
        i = GlobalAveragePool(h) j = Flatten(i) y = Gemm<transB = 1>(j, z, q)""",
        w=(8, 3, 3, 3), c=(8,), s=(8,), t=(8,), m=(8,), positive=(8,), v=(8, 1, 5, 5), u=(6, 8, 1, 1), z=(4, 6), q=(4,),
    )  # fmt: skip
    for size in SIZES:
        net.check(normal(size, 3, 11, 9))
    for height, width in ((2, 2), (3, 7), (7, 16), (17, 64), (127, 8), (64, 3)):
        net.check(normal(2, 3, height, width))


ATTENTION = """
  q{0} = MatMul({1}, wq{0}) k{0} = MatMul({1}, wk{0}) v{0} = MatMul({1}, wv{0})
  qr{0} = Reshape(q{0}, heads) kr{0} = Reshape(k{0}, heads) vr{0} = Reshape(v{0}, heads)
  qt{0} = Transpose<perm = [0, 2, 1, 3]>(qr{0}) kt{0} = Transpose<perm = [0, 2, 3, 1]>(kr{0})
  vt{0} = Transpose<perm = [0, 2, 1, 3]>(vr{0})
  s{0} = MatMul(qt{0}, kt{0}) d{0} = Mul(s{0}, scale) m{0} = Add(d{0}, mask) p{0} = Softmax<axis = -1>(m{0})
  o{0} = MatMul(p{0}, vt{0}) ot{0} = Transpose<perm = [0, 2, 1, 3]>(o{0}) or{0} = Reshape(ot{0}, flat)
  w{0} = MatMul(or{0}, wo{0}) r{0} = Add({1}, w{0}) n{0} = LayerNormalization<axis = -1>(r{0}, ga{0}, ba{0})
  f{0} = MatMul(n{0}, wf{0}) g{0} = Gelu(f{0}) h{0} = MatMul(g{0}, wh{0}) t{0} = Add(n{0}, h{0})
  {2} = LayerNormalization<axis = -1>(t{0}, gb{0}, bb{0})
"""


def test_bert() -> None:
    weights: dict[str, tuple[int, ...]] = {"words": (50, 32), "places": (128, 32), "gain": (32,), "bias": (32,)}
    for i in range(2):
        weights |= {f"{name}{i}": (32, 32) for name in ("wq", "wk", "wv", "wo")}
        weights |= {f"wf{i}": (32, 64), f"wh{i}": (64, 32)}
        weights |= {f"{name}{i}": (32,) for name in ("ga", "ba", "gb", "bb")}
    body = """
      heads = Constant<value = int64[4] {0, 0, 4, 8}>() flat = Constant<value = int64[3] {0, 0, 32}>()
      scale = Constant<value = float {0.35355339}>() zero = Constant<value = int64[1] {0}>()
      one = Constant<value = int64[1] {1}>() low = Constant<value = float {-10000.0}>()
      full = Constant<value = float {1.0}>() both = Constant<value = int64[2] {1, 2}>()
      n = Shape<start = 1, end = 2>(ids) e = Gather(words, ids) at = Slice(places, zero, n, zero) x = Add(e, at)
      x0 = LayerNormalization<axis = -1>(x, gain, bias)
      kept = Cast<to = 1>(attended) inverse = Sub(full, kept) below = Mul(inverse, low) mask = Unsqueeze(below, both)
    """
    body += ATTENTION.format(0, "x0", "x1") + ATTENTION.format(1, "x1", "y")
    signature = "(int64[batch, length] ids, int64[batch, length] attended) => (float[batch, length, 32] y)"
    net = Net(signature, body, **weights)
    random = np.random.default_rng(2)
    for rows, words in [(size, 5) for size in SIZES] + [(2, size) for size in SIZES] + [(17, 16)]:
        lengths = random.integers(1, words + 1, (rows, 1)) if words else np.zeros((rows, 1))
        net.check(random.integers(0, 50, (rows, words)), (np.arange(words)[None] < lengths).astype(np.int64))


def test_decoder_step() -> None:
    net = Net(
        """(float[batch, new, 16] x, float[batch, 2, old, 8] keys, float[batch, 2, old, 8] values)
        => (float[batch, new, 16] y, float[batch, 2, all, 8] longer, float[batch, 2, all, 8] more)""",
        """heads = Constant<value = int64[4] {0, 0, 2, 8}>() flat = Constant<value = int64[3] {0, 0, 16}>()
        scale = Constant<value = float {0.35355339}>() low = Constant<value = float {-1e30}>()
        none = Constant<value = float {0.0}>() zero = Constant<value = int64 {0}>() one = Constant<value = int64 {1}>()
        columns = Constant<value = int64[1] {1}>()
        n = LayerNormalization<axis = -1>(x, gain, bias) q = MatMul(n, wq) k = MatMul(n, wk) v = MatMul(n, wv)
        qr = Reshape(q, heads) kr = Reshape(k, heads) vr = Reshape(v, heads)
        qt = Transpose<perm = [0, 2, 1, 3]>(qr) kt = Transpose<perm = [0, 2, 1, 3]>(kr)
        vt = Transpose<perm = [0, 2, 1, 3]>(vr) longer = Concat<axis = 2>(keys, kt) more = Concat<axis = 2>(values, vt)
        turned = Transpose<perm = [0, 1, 3, 2]>(longer) s = MatMul(qt, turned) d = Mul(s, scale)
        shape = Shape(longer) two = Constant<value = int64 {2}>() all = Gather(shape, two)
        given = Shape(x) new = Gather(given, one) old = Sub(all, new)
        rows = Range(zero, new, one) at = Add(rows, old) wide = Unsqueeze(at, columns) where = Range(zero, all, one)
        seen = LessOrEqual(where, wide) mask = Where(seen, none, low) m = Add(d, mask) p = Softmax<axis = -1>(m)
        o = MatMul(p, more) ot = Transpose<perm = [0, 2, 1, 3]>(o) or = Reshape(ot, flat) w = MatMul(or, wo)
        y = Add(x, w)""",
        gain=(16,), bias=(16,), wq=(16, 16), wk=(16, 16), wv=(16, 16), wo=(16, 16),
    )  # fmt: skip
    sizes = [(2, 1, size) for size in SIZES] + [(2, size, 3) for size in SIZES] + [(size, 1, 7) for size in SIZES]
    for rows, words, before in sizes:
        net.check(normal(rows, words, 16), normal(rows, 2, before, 8), normal(rows, 2, before, 8) + 1)
