"""TensorFlow functions against TensorFlow: `pytest tests/importers/tensorflow_ops_all.py` (some minutes).

Each function is traced with the inputs' shapes, converted, compiled, and must give what TensorFlow gives.
`EXPECTED_FAILURES` names those that do not work yet; the list is strict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import mlirage

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow functions need tensorflow")

Array = np.ndarray[Any, Any]
_RNG = np.random.default_rng(0)
X = _RNG.uniform(-2, 2, (3, 5)).astype(np.float32)
Y = _RNG.uniform(-2, 2, (3, 5)).astype(np.float32)
P = _RNG.uniform(0.1, 0.9, (3, 5)).astype(np.float32)
N = _RNG.integers(-9, 10, (3, 5)).astype(np.int32)
J = _RNG.integers(1, 10, (3, 5)).astype(np.int32)
B = _RNG.integers(0, 2, (3, 5)).astype(np.bool_)
C = (_RNG.normal(size=(3, 5)) + 1j * _RNG.normal(size=(3, 5))).astype(np.complex64)
IMAGE = _RNG.normal(size=(2, 8, 7, 3)).astype(np.float32)
S = (_RNG.normal(size=(2, 4, 4)) + 4 * np.eye(4)).astype(np.float32)

EXPECTED_FAILURES: dict[str, str] = {
    "stateless_uniform": "XLA's generator is not that of TensorFlow's CPU kernels",
}
"""Name of a case, and why it does not pass yet."""


def _unary() -> Iterator[tuple[str, Callable[..., Any], list[Array]]]:
    for name in (
        "abs", "negative", "sign", "square", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid",
        "asinh", "atan", "ceil", "floor", "round", "rint", "erf", "erfc", "softplus", "is_nan", "is_inf", "is_finite",
    ):  # fmt: skip
        yield name, getattr(tf.math, name), [X]
    for name in ("log", "log1p", "sqrt", "rsqrt", "reciprocal", "asin", "acos", "atanh", "lgamma", "digamma", "erfinv"):
        yield name, getattr(tf.math, name), [P]
    yield "acosh", tf.math.acosh, [P + 1]
    for name in ("relu", "relu6", "elu", "selu", "gelu", "silu", "leaky_relu", "softsign", "softmax", "log_softmax"):
        yield f"nn.{name}", getattr(tf.nn, name), [X]
    for name in ("real", "imag", "conj", "abs", "angle", "exp"):
        yield f"complex.{name}", getattr(tf.math, name), [C]
    yield "logical_not", tf.math.logical_not, [B]
    yield "bitwise.invert", tf.bitwise.invert, [N]


def _binary() -> Iterator[tuple[str, Callable[..., Any], list[Array]]]:
    for name in (
        "add",
        "subtract",
        "multiply",
        "divide",
        "maximum",
        "minimum",
        "squared_difference",
        "atan2",
        "floormod",
    ):
        yield name, getattr(tf.math, name), [X, Y]
    for name in ("add", "subtract", "multiply", "floordiv", "floormod", "maximum", "minimum", "truediv"):
        yield f"int.{name}", getattr(tf.math, name), [N, J]
    for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
        yield name, getattr(tf.math, name), [N, J]
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield name, getattr(tf.math, name), [B, ~B]
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"):
        yield name, getattr(tf.bitwise, name), [J, J]
    yield "pow", tf.math.pow, [P, Y]
    yield "xlogy", tf.math.xlogy, [P, P]
    yield "divide_no_nan", tf.math.divide_no_nan, [X, np.where(B, Y, 0)]
    yield "multiply_no_nan", tf.math.multiply_no_nan, [X, Y]
    yield "matmul", lambda a, b: tf.matmul(a, b, transpose_b=True), [X, Y]
    yield "tensordot", lambda a, b: tf.tensordot(a, b, axes=[[0], [0]]), [X, Y]
    yield "einsum", lambda a, b: tf.einsum("ij,kj->ik", a, b), [X, Y]
    yield "where", lambda c, a, b: tf.where(c, a, b), [B, X, Y]
    yield "add.broadcast", lambda a, b: a + b, [X, Y[:1]]


def _reductions() -> Iterator[tuple[str, Callable[..., Any], list[Array]]]:
    for name in ("sum", "mean", "max", "min", "prod", "std", "variance", "logsumexp", "euclidean_norm"):
        yield f"reduce_{name}", lambda x, n=name: getattr(tf.math, f"reduce_{n}")(x, axis=1), [X]
        yield f"reduce_{name}.all", lambda x, n=name: getattr(tf.math, f"reduce_{n}")(x, keepdims=True), [X]
    for name in ("any", "all"):
        yield f"reduce_{name}", lambda x, n=name: getattr(tf.math, f"reduce_{n}")(x, axis=0), [B]
    yield "argmax", lambda x: tf.argmax(x, axis=1), [X]
    yield "argmin", lambda x: tf.argmin(x, axis=0, output_type=tf.int32), [X]
    yield "cumsum", lambda x: tf.cumsum(x, axis=1), [X]
    yield "cumsum.reverse", lambda x: tf.cumsum(x, axis=1, exclusive=True, reverse=True), [X]
    yield "cumprod", lambda x: tf.math.cumprod(x, axis=0), [X]
    yield "top_k", lambda x: tf.math.top_k(x, 3), [X]
    yield "sort", lambda x: tf.sort(x, axis=1, direction="DESCENDING"), [X]
    yield "argsort", lambda x: tf.argsort(x, axis=1, stable=True), [X]
    yield "segment_sum", lambda x: tf.math.unsorted_segment_sum(x, tf.constant([0, 2, 0]), 3), [X]
    yield "l2_normalize", lambda x: tf.math.l2_normalize(x, axis=1), [X]
    yield "count_nonzero", lambda x: tf.math.count_nonzero(x, axis=1), [N]
    yield "bincount", lambda x: tf.math.bincount(tf.reshape(x, [-1]), minlength=12, maxlength=12), [J]
    yield "norm", lambda x: tf.norm(x, axis=1), [X]
    yield "moments", lambda x: tf.nn.moments(x, axes=[0]), [X]


def _shapes() -> Iterator[tuple[str, Callable[..., Any], list[Array]]]:
    yield "reshape", lambda x: tf.reshape(x, [5, 3]), [X]
    yield "transpose", tf.transpose, [X]
    yield "concat", lambda a, b: tf.concat([a, b], 1), [X, Y]
    yield "stack", lambda a, b: tf.stack([a, b], 1), [X, Y]
    yield "unstack", lambda a: tf.unstack(a, axis=0), [X]
    yield "split", lambda a: tf.split(a, [2, 3], axis=1), [X]
    yield "tile", lambda a: tf.tile(a, [2, 3]), [X]
    yield "pad", lambda a: tf.pad(a, [[1, 2], [0, 1]]), [X]
    yield "pad.reflect", lambda a: tf.pad(a, [[1, 1], [2, 1]], mode="REFLECT"), [X]
    yield "expand_dims", lambda a: tf.expand_dims(a, 1), [X]
    yield "squeeze", lambda a: tf.squeeze(a[None]), [X]
    yield "slice", lambda a: a[1:, ::-2], [X]
    yield "strided_slice", lambda a: a[..., tf.newaxis, 1:4:2], [X]
    yield "gather", lambda a: tf.gather(a, [2, 0, 2], axis=1), [X]
    yield "gather.batch", lambda a, i: tf.gather(a, i % 5, axis=1, batch_dims=1), [X, J]
    yield "gather_nd", lambda a: tf.gather_nd(a, [[0, 1], [2, 4]]), [X]
    yield "scatter_nd", lambda a: tf.scatter_nd([[4], [1], [4]], a, [7, 5]), [X]
    yield "tensor_scatter_nd_update", lambda a: tf.tensor_scatter_nd_update(a, [[0, 1], [2, 2]], [9.0, 8.0]), [X]
    yield "reverse", lambda a: tf.reverse(a, [0]), [X]
    yield "roll", lambda a: tf.roll(a, 2, axis=1), [X]
    yield "broadcast_to", lambda a: tf.broadcast_to(a, [2, 3, 5]), [X]
    yield "one_hot", lambda i: tf.one_hot(i, 7), [N]
    yield "range", lambda a: tf.cast(tf.range(7), tf.float32) + a[0, 0], [X]
    yield "eye", lambda a: tf.eye(3) + a[:, :3], [X]
    yield "zeros_like", tf.zeros_like, [X]
    yield "fill", lambda a: tf.fill([2, 2], a[0, 0]), [X]
    yield "cast", lambda a: tf.cast(a, tf.int32), [X]
    yield "cast.half", lambda a: tf.cast(tf.cast(a, tf.float16), tf.float32), [X]
    yield "bitcast", lambda a: tf.bitcast(a, tf.int32), [X]
    yield "clip_by_value", lambda a: tf.clip_by_value(a, -1.0, 1.0), [X]
    yield "matrix_diag", tf.linalg.diag, [X]
    yield "diag_part", lambda a: tf.linalg.diag_part(a[:, :3]), [X]
    yield "band_part", lambda a: tf.linalg.band_part(a, 1, 0), [S]
    yield "meshgrid", lambda a: tf.meshgrid(a[0], a[:, 0]), [X]
    yield "space_to_depth", lambda a: tf.nn.space_to_depth(a[:, :, :6], 2), [IMAGE]
    yield "depth_to_space", lambda a: tf.nn.depth_to_space(tf.concat([a] * 4, 3), 2), [IMAGE]
    yield "space_to_batch", lambda a: tf.space_to_batch(a, [2, 2], [[0, 0], [0, 1]]), [IMAGE]
    yield "batch_to_space", lambda a: tf.batch_to_space(tf.concat([a] * 4, 0), [2, 2], [[0, 1], [0, 0]]), [IMAGE]


def _neural() -> Iterator[tuple[str, Callable[..., Any], list[Array]]]:
    kernel = _RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
    deep = _RNG.normal(size=(3, 3, 3, 2)).astype(np.float32)
    for padding in ("SAME", "VALID"):
        yield f"conv2d.{padding}", lambda x, w, p=padding: tf.nn.conv2d(x, w, 2, p), [IMAGE, kernel]
        yield (
            f"depthwise.{padding}",
            lambda x, w, p=padding: tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], p),
            [IMAGE, deep],
        )
        yield f"max_pool.{padding}", lambda x, p=padding: tf.nn.max_pool2d(x, 3, 2, p), [IMAGE]
        yield f"avg_pool.{padding}", lambda x, p=padding: tf.nn.avg_pool2d(x, 2, 2, p), [IMAGE]
    turned = _RNG.normal(size=(3, 3, 4, 3)).astype(np.float32)
    yield "conv2d_transpose", lambda x, w: tf.nn.conv2d_transpose(x, w, [2, 16, 14, 4], 2), [IMAGE, turned]
    yield "conv1d", lambda x, w: tf.nn.conv1d(x[:, 0], w[0], 1, "SAME"), [IMAGE, kernel]
    yield "bias_add", tf.nn.bias_add, [X, X[0]]
    yield "batch_norm", lambda x: tf.nn.batch_normalization(x, x[0], tf.abs(x[1]) + 1, x[2], x[0], 1e-3), [X]
    yield (
        "fused_batch_norm",
        lambda x: tf.compat.v1.nn.fused_batch_norm(
            x, [1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [0.0, 1.0, 0.5], [1.0, 2.0, 3.0], is_training=False
        )[0],
        [IMAGE],
    )
    yield "local_response_normalization", tf.nn.local_response_normalization, [IMAGE]
    yield "cross_entropy", lambda x, y: tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(y), x), [X, Y]
    yield "sparse_cross_entropy", lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits([1, 4, 0], x), [X]
    yield "sigmoid_cross_entropy", lambda x, p: tf.nn.sigmoid_cross_entropy_with_logits(p, x), [X, P]
    yield "embedding_lookup", lambda x: tf.nn.embedding_lookup(x, [2, 0, 1, 1]), [X]
    yield "resize.bilinear", lambda x: tf.image.resize(x, [5, 11]), [IMAGE]
    yield "resize.nearest", lambda x: tf.image.resize(x, [5, 11], method="nearest"), [IMAGE]
    yield "cholesky", lambda a: tf.linalg.cholesky(tf.matmul(a, a, transpose_b=True)), [S]
    yield "triangular_solve", lambda a: tf.linalg.triangular_solve(a, a), [S]
    yield "inverse", tf.linalg.inv, [S]
    yield "solve", lambda a: tf.linalg.solve(a, a[..., :1]), [S]
    yield "det", tf.linalg.det, [S]
    yield "fft", lambda c: tf.signal.fft(c), [C[:, :4]]
    yield "rfft", lambda x: tf.signal.rfft(x[:, :4]), [X]
    yield "irfft", lambda c: tf.signal.irfft(c), [C[:, :5]]
    yield "gradient", lambda x, y: tf.gradients(tf.reduce_sum(tf.tanh(x) * y), x)[0], [X, Y]
    yield "while", lambda x: tf.while_loop(lambda i, v: i < 5, lambda i, v: (i + 1, v * 1.5), (0, x))[1], [X]
    yield "cond", lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x + 1, lambda: x - 1), [X]
    yield (
        "case",
        lambda x: tf.switch_case(tf.constant(1) + 0 * tf.cast(x[0, 0], tf.int32), [lambda: x, lambda: -x]),
        [X],
    )
    yield "map_fn", lambda x: tf.map_fn(lambda row: tf.reduce_sum(row) * row, x), [X]
    yield "scan", lambda x: tf.scan(lambda a, row: a * 0.5 + row, x), [X]
    yield "stateless_uniform", lambda x: tf.random.stateless_uniform([3, 5], [1, 2]) + 0 * x, [X]


CASES = [*_unary(), *_binary(), *_reductions(), *_shapes(), *_neural()]


def _flat(value: Any) -> list[Array]:
    return [np.asarray(leaf) for leaf in tf.nest.flatten(value)]


@pytest.mark.parametrize(("name", "function", "inputs"), CASES, ids=[case[0] for case in CASES])
def test_function(name: str, function: Callable[..., Any], inputs: list[Array], request: pytest.FixtureRequest) -> None:
    """TensorFlow's and our results agree."""
    if name in EXPECTED_FAILURES:
        request.applymarker(pytest.mark.xfail(reason=EXPECTED_FAILURES[name], strict=True))
    traced = tf.function(lambda *args: function(*args), autograph=False)
    specs = tuple(tf.TensorSpec(x.shape, x.dtype) for x in inputs)
    concrete = traced.get_concrete_function(*specs)
    expected = _flat(traced(*map(tf.constant, inputs)))
    session = mlirage.load(mlirage.compile(concrete, jobs=1, cache_dir="off"), device="local-sync")
    results = _flat(session(*inputs))
    assert len(results) == len(expected)
    for want, got in zip(expected, results, strict=True):
        assert want.shape == got.shape
        assert want.dtype == got.dtype
        if want.dtype.kind in "fc":
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)
        else:
            np.testing.assert_array_equal(got, want)
