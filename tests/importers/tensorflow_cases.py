"""Functions of TensorFlow with inputs of every element type that they take: cases for `tensorflow_functions_all.py`.

A case is a function of arrays. Those that TensorFlow itself refuses for an element type are no cases.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

Array = np.ndarray[Any, Any]
FLOATS = ("float32", "float64", "float16")
INTEGERS = ("int32", "int64")
COMPLEX = ("complex64",)
NUMBERS = (*FLOATS, *INTEGERS, *COMPLEX)
EVERY = (*NUMBERS, "bool")


@dataclass(frozen=True)
class Case:
    """A function and what makes its inputs.

    Attributes:
      name: of the case.
      function: of tensors.
      inputs: arrays.
      tolerance: relative and absolute.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[Array, ...]
    tolerance: float


def array(dtype: str, shape: Sequence[int], seed: int, low: float = -2.0, high: float = 2.0) -> Array:
    """Random elements between two bounds."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith(("int", "uint")):
        return rng.integers(int(np.ceil(low)) * 3, int(high) * 3 + 1, shape).astype(dtype)
    if dtype.startswith("complex"):
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


_TOLERANCES = {"float64": 1e-9, "complex128": 1e-9, "float16": 6e-3, "bfloat16": 5e-2}


def _cases(
    label: str,
    function: Callable[..., Any],
    dtypes: Sequence[str],
    *shapes: Sequence[int],
    low: float = -2.0,
    high: float = 2.0,
    tolerance: float | None = None,
) -> Iterator[Case]:
    for dtype in dtypes:
        seed = zlib.crc32(f"{label}{dtype}".encode())
        inputs = tuple(array(dtype, shape, seed + i, low, high) for i, shape in enumerate(shapes))
        yield Case(f"{label}-{dtype}", function, inputs, tolerance or _TOLERANCES.get(dtype, 1e-4))


X = (3, 5)


def _math_unary() -> Iterator[Case]:
    m = tf.math
    for name in (
        "abs",
        "atan",
        "asinh",
        "ceil",
        "conj",
        "cos",
        "cosh",
        "erf",
        "erfc",
        "exp",
        "expm1",
        "floor",
        "imag",
        "is_finite",
        "is_inf",
        "is_nan",
        "is_non_decreasing",
        "is_strictly_increasing",
        "log_sigmoid",
        "logical_not",
        "negative",
        "real",
        "reciprocal_no_nan",
        "rint",
        "round",
        "sigmoid",
        "sign",
        "sin",
        "sinh",
        "softmax",
        "softplus",
        "softsign",
        "square",
        "tan",
        "tanh",
        "log_softmax",
        "zero_fraction",
        "bessel_i0",
        "bessel_i0e",
        "bessel_i1",
        "bessel_i1e",
        "angle",
        "cumsum",
        "cumprod",
        "cumulative_logsumexp",
        "reduce_all",
        "reduce_any",
        "reduce_euclidean_norm",
        "reduce_logsumexp",
        "reduce_max",
        "reduce_mean",
        "reduce_min",
        "reduce_prod",
        "reduce_std",
        "reduce_sum",
        "reduce_variance",
        "count_nonzero",
        "argmax",
        "argmin",
        "l2_normalize",
    ):
        yield from _cases(f"math.{name}", getattr(m, name), EVERY, X)
    for name in (
        "acos",
        "asin",
        "atanh",
        "digamma",
        "erfinv",
        "lgamma",
        "log",
        "log1p",
        "ndtri",
        "reciprocal",
        "rsqrt",
        "sqrt",
        "lbeta",
        "erfcinv",
    ):
        yield from _cases(f"math.{name}", getattr(m, name), (*FLOATS, *COMPLEX), X, low=0.1, high=0.9)
    yield from _cases("math.acosh", m.acosh, (*FLOATS, *COMPLEX), X, low=1.1, high=4)
    for name in (
        "bessel_j0",
        "bessel_j1",
        "bessel_k0",
        "bessel_k0e",
        "bessel_k1",
        "bessel_k1e",
        "bessel_y0",
        "bessel_y1",
        "dawsn",
        "expint",
        "fresnel_cos",
        "fresnel_sin",
        "spence",
    ):
        yield from _cases(f"math.special.{name}", getattr(m.special, name), FLOATS, X, low=0.1, high=9)


def _math_binary() -> Iterator[Case]:
    m = tf.math
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
        "floordiv",
        "truediv",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "divide_no_nan",
        "multiply_no_nan",
        "nextafter",
    ):
        yield from _cases(f"math.{name}", getattr(m, name), EVERY, X, (5,), low=0.5, high=3)
    for name in ("floormod", "floordiv"):
        yield from _cases(
            f"math.{name}.signed",
            lambda a, b, n=name: getattr(m, n)(a, b + tf.cast(b == 0, b.dtype)),
            (*FLOATS, *INTEGERS),
            X,
            X,
        )
    for name in ("pow", "xlogy", "xlog1py", "xdivy", "igamma", "igammac", "zeta", "polyval"):
        if name == "polyval":
            yield from _cases("math.polyval", lambda a, b, c: m.polyval([a, b], c), NUMBERS, X, X, X)
            continue
        low = 1.5 if name == "zeta" else 0.3
        yield from _cases(f"math.{name}", getattr(m, name), (*FLOATS, *COMPLEX), X, X, low=low, high=3)
    yield from _cases("math.pow.integers", lambda a, b: m.pow(a, m.abs(b)), INTEGERS, X, X)
    yield from _cases("math.polygamma", lambda a, b: m.polygamma(m.round(a) + 1, b), FLOATS[:2], X, X, low=0.3, high=3)
    yield from _cases("math.betainc", m.betainc, FLOATS[:2], X, X, X, low=0.1, high=0.9)
    yield from _cases("math.add_n", lambda *a: m.add_n(a), NUMBERS, X, X, X)
    yield from _cases("math.accumulate_n", lambda *a: m.accumulate_n(a), NUMBERS, X, X)
    yield from _cases("math.complex", tf.complex, FLOATS[:2], X, X)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        yield from _cases(f"bitwise.{name}", getattr(tf.bitwise, name), (*INTEGERS, "uint8", "int8"), X, X, low=0)
    yield from _cases("bitwise.invert", tf.bitwise.invert, INTEGERS, X)
    for name in ("left_shift", "right_shift"):
        yield from _cases(f"bitwise.{name}", getattr(tf.bitwise, name), INTEGERS, X, X, low=0)


def _math_others() -> Iterator[Case]:
    m = tf.math
    for axis in (0, -1):
        for name in (
            "reduce_sum",
            "reduce_max",
            "reduce_mean",
            "reduce_prod",
            "argmax",
            "cumsum",
            "cumprod",
            "cumulative_logsumexp",
            "reduce_std",
            "reduce_euclidean_norm",
            "reduce_logsumexp",
        ):
            yield from _cases(f"math.{name}.{axis}", lambda a, n=name, i=axis: getattr(m, n)(a, axis=i), NUMBERS, X)
    for exclusive, reverse in ((True, False), (False, True), (True, True)):
        flags = {"exclusive": exclusive, "reverse": reverse}
        for name in ("cumsum", "cumprod"):
            yield from _cases(
                f"math.{name}.{exclusive}.{reverse}",
                lambda a, n=name, f=flags: getattr(m, n)(a, axis=1, **f),
                NUMBERS,
                X,
            )
    for name in ("sum", "mean", "max", "min", "prod", "std", "variance", "logsumexp", "euclidean_norm"):
        yield from _cases(
            f"math.reduce_{name}.keep", lambda a, n=f"reduce_{name}": getattr(m, n)(a, keepdims=True), FLOATS[:1], X
        )
    yield from _cases("math.top_k", lambda a: m.top_k(a, 3), (*FLOATS, *INTEGERS), X)
    yield from _cases("math.in_top_k", lambda a: m.in_top_k([1, 4, 0], a, 2), FLOATS[:1], X)
    yield from _cases("math.approx_max_k", lambda a: m.approx_max_k(a, 3), FLOATS[:1], X)
    ids = [0, 0, 2]
    for name in ("segment_sum", "segment_mean", "segment_max", "segment_min", "segment_prod"):
        yield from _cases(f"math.{name}", lambda a, n=name: getattr(m, n)(a, ids), (*FLOATS, *INTEGERS), X)
        unsorted = f"unsorted_{name}"
        yield from _cases(
            f"math.{unsorted}", lambda a, n=unsorted: getattr(m, n)(a, [2, -1, 2], 4), (*FLOATS, *INTEGERS), X
        )
    yield from _cases("math.unsorted_segment_sqrt_n", lambda a: m.unsorted_segment_sqrt_n(a, [2, 0, 2], 3), FLOATS, X)
    for weights in (False, True):
        for binary in (False, True):
            if weights and binary:
                continue
            yield from _cases(
                f"math.bincount.{weights}.{binary}",
                lambda a, w=weights, b=binary: m.bincount(
                    m.abs(a), weights=tf.cast(a, tf.float32) if w else None, minlength=9, maxlength=9, binary_output=b
                ),
                INTEGERS[:1],
                (17,),
            )
    yield from _cases(
        "math.bincount.rows", lambda a: m.bincount(m.abs(a), minlength=9, maxlength=9, axis=-1), INTEGERS, X
    )
    yield from _cases("math.confusion_matrix", lambda a: m.confusion_matrix(m.abs(a[0]), m.abs(a[1]), 9), INTEGERS, X)
    yield from _cases("math.invert_permutation", lambda a: m.invert_permutation(tf.argsort(a)), INTEGERS, (9,))
    yield from _cases("histogram_fixed_width", lambda a: tf.histogram_fixed_width(a, [-1.0, 1.0], 7), FLOATS[:1], X)
    yield from _cases("searchsorted", lambda a, b: tf.searchsorted(tf.sort(a), b), (*FLOATS[:2], *INTEGERS), X, (3, 2))
    yield from _cases("sort", tf.sort, (*FLOATS, *INTEGERS), X)
    yield from _cases("argsort", lambda a: tf.argsort(a, stable=True), (*FLOATS, *INTEGERS), X)
    yield from _cases("clip_by_norm", lambda a: tf.clip_by_norm(a, 2.0), FLOATS, X)
    yield from _cases("clip_by_global_norm", lambda a, b: tf.clip_by_global_norm([a, b], 2.0)[0], FLOATS, X, X)
    yield from _cases("unique", lambda a: tf.unique(a), INTEGERS, (9,))
    yield from _cases("where", lambda a: tf.where(a), ("bool", *INTEGERS), X)
    yield from _cases("boolean_mask", lambda a: tf.boolean_mask(a, a > 0), (*FLOATS, *INTEGERS), X)
    yield from _cases("dynamic_partition", lambda a: tf.dynamic_partition(a, [1, 0, 1], 2), (*FLOATS, *INTEGERS), X)
    yield from _cases("dynamic_stitch", lambda a: tf.dynamic_stitch([[2, 0], [1]], [a[:2], a[2:]]), NUMBERS, X)
    yield from _cases("edit.repeat", lambda a: tf.repeat(a, [1, 0, 3], axis=0), NUMBERS, X)


def _shapes() -> Iterator[Case]:
    y = (4, 5, 6)
    slices: dict[str, Callable[[Any], Any]] = {
        "plain": lambda a: a[1:3, ::2],
        "negative": lambda a: a[::-1, -2:0:-1],
        "ellipsis": lambda a: a[..., 1],
        "newaxis": lambda a: a[:, tf.newaxis, 2],
        "shrink": lambda a: a[-1, 2],
        "empty": lambda a: a[2:1],
        "beyond": lambda a: a[-9:9, 3:99],
        "computed": lambda a: a[tf.shape(a)[0] - 2 :, : tf.shape(a)[1] - 1],
    }
    for name, function in slices.items():
        yield from _cases(f"strided_slice.{name}", function, EVERY, y)
    functions: dict[str, Callable[..., Any]] = {
        "reshape": lambda a: tf.reshape(a, [-1, 10]),
        "transpose": lambda a: tf.transpose(a, [2, 0, 1]),
        "expand_dims": lambda a: tf.expand_dims(a, 1),
        "squeeze": lambda a: tf.squeeze(a[:1]),
        "tile": lambda a: tf.tile(a, [1, 2, 3]),
        "reverse": lambda a: tf.reverse(a, [0, 2]),
        "roll": lambda a: tf.roll(a, [1, -2], [0, 2]),
        "stack": lambda a: tf.stack([a, a], 1),
        "unstack": lambda a: tf.unstack(a, axis=1),
        "split": lambda a: tf.split(a, [1, 3, 2], axis=2),
        "concat": lambda a: tf.concat([a, a[:1]], 0),
        "gather": lambda a: tf.gather(a, [[2, 0], [1, 1]], axis=1),
        "gather.batch": lambda a: tf.gather(a, [[2, 0], [1, 1], [3, 0], [4, 4]], axis=1, batch_dims=1),
        "gather_nd": lambda a: tf.gather_nd(a, [[0, 1], [3, 4]]),
        "scatter_nd": lambda a: tf.scatter_nd([[4], [1]], a[:2], [7, 5, 6]),
        "tensor_scatter_nd_update": lambda a: tf.tensor_scatter_nd_update(a, [[1, 2]], a[0, :1]),
        "tensor_scatter_nd_add": lambda a: tf.tensor_scatter_nd_add(a, [[1, 2], [1, 2]], a[0, :2]),
        "tensor_scatter_nd_max": lambda a: tf.tensor_scatter_nd_max(a, [[1, 2]], a[0, :1]),
        "broadcast_to": lambda a: tf.broadcast_to(a[:, :1], [4, 5, 6]),
        "one_hot": lambda a: tf.one_hot(a, 7),
        "pad.constant": lambda a: tf.pad(a, [[1, 0], [0, 2], [0, 0]]),
        "pad.reflect": lambda a: tf.pad(a, [[1, 0], [3, 2], [0, 1]], "REFLECT"),
        "pad.symmetric": lambda a: tf.pad(a, [[1, 0], [3, 2], [0, 1]], "SYMMETRIC"),
        "zeros_like": tf.zeros_like,
        "ones_like": tf.ones_like,
        "shape": tf.shape,
        "size": tf.size,
        "rank": tf.rank,
        "eye": lambda a: tf.eye(3, dtype=a.dtype) + a[0, :3, :3],
        "fill": lambda a: tf.fill([2, 3], a[0, 0, 0]),
        "cast.f32": lambda a: tf.cast(a, tf.float32),
        "cast.i32": lambda a: tf.cast(a, tf.int32),
        "cast.half": lambda a: tf.cast(tf.cast(a, tf.float16), tf.float32),
        "cast.bool": lambda a: tf.cast(a, tf.bool),
        "cast.f16": lambda a: tf.cast(a, tf.float16),
        "cast.u8": lambda a: tf.cast(tf.abs(a), tf.uint8),
        "cast.c64": lambda a: tf.cast(a, tf.complex64),
        "saturate_cast": lambda a: tf.saturate_cast(a * 100, tf.int8),
        "meshgrid": lambda a: tf.meshgrid(a[0, 0], a[0, :, 0]),
        "sequence_mask": lambda a: tf.sequence_mask(tf.cast(tf.abs(a), tf.int32), 9),
        "identity": tf.identity,
        "where": lambda a: tf.where(a[0] == a[1], a, a + a),
        "slice": lambda a: tf.slice(a, [1, 0, 2], [2, -1, 3]),
        "space_to_batch": lambda a: tf.space_to_batch(a[:, :4, :, None], [2, 2], [[0, 0], [0, 0]]),
        "batch_to_space": lambda a: tf.batch_to_space(a[..., None], [2, 2], [[1, 0], [0, 1]]),
        "reverse_sequence": lambda a: tf.reverse_sequence(a, [1, 3, 5, 0], seq_axis=1, batch_axis=0),
        "linspace": lambda a: tf.linspace(a[0, 0, 0], a[1, 1, 1], 7),
        "stop_gradient": tf.stop_gradient,
        "einsum": lambda a: tf.einsum("abc,dbc->ad", a, a),
        "einsum.diag": lambda a: tf.einsum("aac->c", a[:, :4]),
        "einsum.ellipsis": lambda a: tf.einsum("...bc,...dc->...bd", a, a),
        "tensordot": lambda a: tf.tensordot(a, a, [[1, 2], [1, 2]]),
        "matmul": lambda a: tf.matmul(a, a, transpose_b=True),
        "matmul.adjoint": lambda a: tf.matmul(a, a, adjoint_a=True),
        "range": lambda a: tf.range(7) + tf.cast(a[0, 0, 0], tf.int32) * 0,
        "range.steps": lambda a: (tf.range(-tf.size(a), 3, 2), tf.range(tf.shape(a)[0], -7, -3)),
        "range.real": lambda a: tf.range(tf.cast(tf.shape(a)[0], tf.float32), -1.7, -0.5),
        "bitcast": lambda a: tf.bitcast(a, tf.uint8),
        "ensure_shape": lambda a: tf.ensure_shape(a, [4, 5, 6]),
        "parallel_stack": lambda a: tf.parallel_stack([a, a]),
        "extract_patches": lambda a: tf.image.extract_patches(
            a[..., None], [1, 2, 3, 1], [1, 1, 2, 1], [1] * 4, "SAME"
        ),
    }
    for name, function in functions.items():
        yield from _cases(name, function, EVERY, y)


def _control() -> Iterator[Case]:
    x = (4, 5)
    some = ("float32", "int32")
    yield from _cases("map_fn", lambda a: tf.map_fn(lambda r: tf.reduce_sum(r) * r, a), some, x)
    yield from _cases(
        "map_fn.two",
        lambda a: tf.map_fn(lambda r: (r[0] + 1, r[1] * 2), (a, a), fn_output_signature=(a.dtype, a.dtype)),
        some,
        x,
    )
    yield from _cases(
        "map_fn.type",
        lambda a: tf.map_fn(lambda r: tf.cast(tf.argmax(r), tf.int32), a, fn_output_signature=tf.int32),
        some,
        x,
    )
    yield from _cases("vectorized_map", lambda a: tf.vectorized_map(lambda r: tf.reduce_sum(r) * r, a), some, x)
    yield from _cases("scan", lambda a: tf.scan(lambda c, r: c // 2 + r, a), some, x)
    yield from _cases("scan.reverse", lambda a: tf.scan(lambda c, r: c + r, a, reverse=True), some, x)
    yield from _cases("foldl", lambda a: tf.foldl(lambda c, r: c - r, a), some, x)
    yield from _cases("foldr", lambda a: tf.foldr(lambda c, r: c - r, a), some, x)
    yield from _cases(
        "while_loop", lambda a: tf.while_loop(lambda i, v: i < 5, lambda i, v: (i + 1, v + v), (0, a))[1], some, x
    )
    yield from _cases(
        "while_loop.data",
        lambda a: tf.while_loop(lambda v: tf.reduce_sum(tf.abs(v)) < 500, lambda v: [v + v], [a])[0],
        some,
        x,
    )
    yield from _cases("cond", lambda a: tf.cond(tf.reduce_sum(a) > 0, lambda: a + 1, lambda: a - 1), some, x)
    yield from _cases(
        "cond.nested",
        lambda a: tf.cond(a[0, 0] > 0, lambda: tf.cond(a[0, 1] > 0, lambda: a, lambda: -a), lambda: a * 2),
        some,
        x,
    )
    yield from _cases(
        "case",
        lambda a: tf.case([(a[0, 0] > 9, lambda: a), (a[0, 1] > -9, lambda: -a)], default=lambda: a * 3),
        some,
        x,
    )
    yield from _cases(
        "switch_case",
        lambda a: tf.switch_case(tf.cast(tf.abs(a[0, 0]), tf.int32), [lambda: a, lambda: -a, lambda: a * 2]),
        some,
        x,
    )

    def array_of(a: Any) -> Any:
        rows = tf.TensorArray(a.dtype, 4)
        _, rows = tf.while_loop(lambda i, r: i < 4, lambda i, r: (i + 1, r.write(i, a[3 - i] * 2)), (0, rows))
        return rows.stack()

    def unstacked(a: Any) -> Any:
        rows = tf.TensorArray(a.dtype, 4).unstack(a)
        return rows.read(2) + rows.gather([1, 3])[0], rows.size()

    def growing(a: Any) -> Any:
        rows = tf.TensorArray(a.dtype, 0, dynamic_size=True)
        for i in range(3):
            rows = rows.write(i, a[i])
        return rows.concat() if False else rows.stack()

    yield from _cases("TensorArray", array_of, some, x)
    yield from _cases("TensorArray.unstack", unstacked, some, x)
    yield from _cases("TensorArray.growing", growing, some, x)
    yield from _cases("gradient", lambda a: tf.gradients(tf.reduce_sum(tf.tanh(a) * a), a)[0], FLOATS, x)
    yield from _cases(
        "gradient.while",
        lambda a: tf.gradients(
            tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, tf.sin(v)), (0, a), maximum_iterations=3)[1], a
        )[0],
        FLOATS[:1],
        x,
    )
    yield from _cases("hessians", lambda a: tf.hessians(tf.reduce_sum(a[0] ** 3), [a])[0], FLOATS[:1], (2, 3))
    yield from _cases(
        "custom_gradient",
        lambda a: tf.gradients(tf.custom_gradient(lambda v: (v * 2, lambda g: g * 7))(a), a)[0],
        FLOATS[:1],
        x,
    )
    yield from _cases("recompute_grad", lambda a: tf.recompute_grad(lambda v: tf.sin(v) * v)(a), FLOATS[:1], x)
    yield from _cases("assert", lambda a: (tf.debugging.assert_less(a, tf.cast(999, a.dtype)), a + 1)[1], some, x)
    yield from _cases("numpy_function.none", lambda a: tf.py_function(lambda v: v, [a], a.dtype), (), x)
    yield from _cases("stateless_uniform", lambda a: tf.random.stateless_uniform([4, 5], [1, 2]) + 0 * a, FLOATS[:1], x)
    yield from _cases(
        "stateless_uniform.shape",
        lambda a: tf.zeros_like(tf.random.stateless_uniform([4, 5], [1, 2])) + tf.cast(a, tf.float32),
        some,
        x,
    )


def _neural() -> Iterator[Case]:
    n = tf.nn
    image, x = (2, 8, 7, 3), (3, 5)
    for name in (
        "relu",
        "relu6",
        "elu",
        "selu",
        "gelu",
        "silu",
        "leaky_relu",
        "softsign",
        "softplus",
        "softmax",
        "log_softmax",
        "crelu",
        "tanh",
        "sigmoid",
        "l2_loss",
        "l2_normalize",
        "log_sigmoid",
        "zero_fraction",
    ):
        if hasattr(n, name):
            yield from _cases(f"nn.{name}", getattr(n, name), (*FLOATS, *INTEGERS[:1]), x)
    yield from _cases("nn.gelu.tanh", lambda a: n.gelu(a, approximate=True), FLOATS, x)
    for padding in ("SAME", "VALID"):
        for stride, dilation in ((1, 1), (2, 1), (1, 2)):
            label = f"{padding}.{stride}.{dilation}"
            yield from _cases(
                f"nn.conv2d.{label}",
                lambda a, w, p=padding, s=stride, d=dilation: n.conv2d(a, w, s, p, dilations=d),
                FLOATS,
                image,
                (3, 3, 3, 4),
            )
            yield from _cases(
                f"nn.depthwise_conv2d.{label}",
                lambda a, w, p=padding, s=stride, d=dilation: n.depthwise_conv2d(
                    a, w, [1, s, s, 1], p, dilations=[d, d]
                ),
                FLOATS,
                image,
                (3, 3, 3, 2),
            )
        yield from _cases(
            f"nn.conv1d.{padding}", lambda a, w, p=padding: n.conv1d(a, w, 2, p), FLOATS, (2, 9, 3), (3, 3, 4)
        )
        yield from _cases(
            f"nn.conv3d.{padding}",
            lambda a, w, p=padding: n.conv3d(a, w, [1, 1, 2, 1, 1], p),
            FLOATS[:1],
            (1, 4, 5, 6, 2),
            (2, 3, 2, 2, 3),
        )
        yield from _cases(
            f"nn.conv2d_transpose.{padding}",
            lambda a, w, p=padding: n.conv2d_transpose(a, w, [2, 16, 14, 4] if p == "SAME" else [2, 17, 15, 4], 2, p),
            FLOATS[:1],
            image,
            (3, 3, 4, 3),
        )
        yield from _cases(
            f"nn.conv1d_transpose.{padding}",
            lambda a, w, p=padding: n.conv1d_transpose(a, w, [2, 18, 4] if p == "SAME" else [2, 19, 4], 2, p),
            FLOATS[:1],
            (2, 9, 3),
            (3, 4, 3),
        )
        yield from _cases(
            f"nn.conv3d_transpose.{padding}",
            lambda a, w, p=padding: n.conv3d_transpose(a, w, [1, 4, 6, 8, 3] if p == "SAME" else [1, 5, 7, 9, 3], 2, p),
            FLOATS[:1],
            (1, 2, 3, 4, 2),
            (3, 3, 3, 3, 2),
        )
        yield from _cases(
            f"nn.separable_conv2d.{padding}",
            lambda a, d, w, p=padding: n.separable_conv2d(a, d, w, [1, 2, 2, 1], p),
            FLOATS[:1],
            image,
            (3, 3, 3, 2),
            (1, 1, 6, 4),
        )
        yield from _cases(
            f"nn.atrous_conv2d.{padding}",
            lambda a, w, p=padding: n.atrous_conv2d(a, w, 2, p),
            FLOATS[:1],
            image,
            (3, 3, 3, 4),
        )
        yield from _cases(
            f"nn.dilation2d.{padding}",
            lambda a, w, p=padding: n.dilation2d(a, w, [1, 2, 1, 1], p, "NHWC", [1, 1, 1, 1]),
            FLOATS[:1],
            image,
            (3, 2, 3),
        )
        yield from _cases(
            f"nn.erosion2d.{padding}",
            lambda a, w, p=padding: n.erosion2d(a, w, [1, 2, 1, 1], p, "NHWC", [1, 1, 1, 1]),
            FLOATS[:1],
            image,
            (3, 2, 3),
        )
        for name in ("max_pool2d", "avg_pool2d"):
            yield from _cases(
                f"nn.{name}.{padding}", lambda a, g=name, p=padding: getattr(n, g)(a, 3, 2, p), FLOATS, image
            )
        for name in ("max_pool1d", "avg_pool1d"):
            yield from _cases(
                f"nn.{name}.{padding}", lambda a, g=name, p=padding: getattr(n, g)(a, 3, 2, p), FLOATS[:1], (2, 9, 3)
            )
        for name in ("max_pool3d", "avg_pool3d"):
            yield from _cases(
                f"nn.{name}.{padding}",
                lambda a, g=name, p=padding: getattr(n, g)(a, 2, 2, p),
                FLOATS[:1],
                (1, 4, 5, 6, 2),
            )
        yield from _cases(
            f"nn.max_pool_with_argmax.{padding}",
            lambda a, p=padding: n.max_pool_with_argmax(a, 2, 2, p),
            FLOATS[:1],
            image,
        )
        for kind in ("max", "avg"):
            yield from _cases(
                f"nn.{kind}_pool.gradient.{padding}",
                lambda a, k=kind, p=padding: tf.gradients(getattr(n, f"{k}_pool2d")(a, 3, 2, p) ** 2, a)[0],
                FLOATS[:1],
                image,
            )
        yield from _cases(
            f"nn.conv2d.gradient.{padding}",
            lambda a, w, p=padding: tf.gradients(n.conv2d(a, w, 2, p) ** 2, [a, w]),
            FLOATS[:1],
            image,
            (3, 3, 3, 4),
        )
        yield from _cases(
            f"nn.depthwise.gradient.{padding}",
            lambda a, w, p=padding: tf.gradients(n.depthwise_conv2d(a, w, [1, 2, 2, 1], p) ** 2, [a, w]),
            FLOATS[:1],
            image,
            (3, 3, 3, 2),
        )
    yield from _cases(
        "nn.conv2d.explicit",
        lambda a, w: n.conv2d(a, w, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]),
        FLOATS[:1],
        image,
        (3, 3, 3, 4),
    )
    yield from _cases(
        "nn.conv2d.groups", lambda a, w: n.conv2d(a, w, 1, "SAME"), FLOATS[:1], (2, 8, 7, 4), (3, 3, 2, 6)
    )
    yield from _cases("nn.fractional_max_pool", lambda a: n.fractional_max_pool(a, 1.5, seed=1)[0], FLOATS[:1], image)
    yield from _cases("nn.bias_add", n.bias_add, FLOATS, x, (5,))
    yield from _cases("nn.bias_add.nchw", lambda a, b: n.bias_add(a, b, "NCHW"), FLOATS[:1], image, (8,))
    yield from _cases(
        "nn.batch_normalization",
        lambda a: n.batch_normalization(a, a[0], tf.abs(a[1]) + 1, a[2], a[0], 1e-3),
        FLOATS,
        x,
    )
    for training in (False, True):
        yield from _cases(
            f"nn.fused_batch_norm.{training}",
            lambda a, t=training: tf.compat.v1.nn.fused_batch_norm(
                a, [1.0, 2.0, 3.0], [0.1, 0.2, 0.3], *([] if t else [[0.0, 1.0, 0.5], [1.0, 2.0, 3.0]]), is_training=t
            )[0],
            FLOATS[:1],
            image,
        )
    yield from _cases("nn.local_response_normalization", n.local_response_normalization, FLOATS[:1], image)
    yield from _cases(
        "nn.lrn.gradient", lambda a: tf.gradients(n.local_response_normalization(a) ** 2, a)[0], FLOATS[:1], image
    )
    yield from _cases("nn.moments", lambda a: n.moments(a, [0]), FLOATS, x)
    yield from _cases("nn.weighted_moments", lambda a: n.weighted_moments(a, [0], tf.abs(a)), FLOATS[:1], x)
    yield from _cases(
        "nn.softmax_cross_entropy", lambda a, b: n.softmax_cross_entropy_with_logits(n.softmax(b), a), FLOATS, x, x
    )
    yield from _cases(
        "nn.sparse_cross_entropy", lambda a: n.sparse_softmax_cross_entropy_with_logits([1, 4, 0], a), FLOATS, x
    )
    yield from _cases(
        "nn.sigmoid_cross_entropy", lambda a, b: n.sigmoid_cross_entropy_with_logits(n.sigmoid(b), a), FLOATS, x, x
    )
    yield from _cases(
        "nn.weighted_cross_entropy",
        lambda a, b: n.weighted_cross_entropy_with_logits(n.sigmoid(b), a, 2.0),
        FLOATS[:1],
        x,
        x,
    )
    yield from _cases("nn.log_poisson_loss", lambda a, b: n.log_poisson_loss(tf.abs(a), b, True), FLOATS[:1], x, x)
    yield from _cases("nn.embedding_lookup", lambda a: n.embedding_lookup(a, [2, 0, 1, 1]), FLOATS, x)
    yield from _cases(
        "nn.embedding_lookup.norm", lambda a: n.embedding_lookup(a, [2, 0, 1], max_norm=1.0), FLOATS[:1], x
    )
    yield from _cases(
        "nn.safe_embedding_lookup_sparse",
        lambda a: n.safe_embedding_lookup_sparse(a, tf.sparse.from_dense([[1, 2], [0, 1]])),
        (),
        x,
    )
    yield from _cases("nn.in_top_k", lambda a: n.in_top_k([1, 4, 0], a, 2), FLOATS[:1], x)
    yield from _cases("nn.top_k", lambda a: n.top_k(a, 2), FLOATS, x)
    yield from _cases("nn.dropout.none", lambda a: n.dropout(a, 0.0), FLOATS[:1], x)
    yield from _cases("nn.space_to_depth", lambda a: n.space_to_depth(a[:, :, :6], 2), FLOATS, image)
    yield from _cases("nn.depth_to_space", lambda a: n.depth_to_space(tf.concat([a] * 4, 3), 2), FLOATS, image)
    yield from _cases(
        "nn.with_space_to_batch",
        lambda a, w: n.convolution(a, w, dilations=[2, 2], padding="SAME"),
        FLOATS[:1],
        image,
        (3, 3, 3, 4),
    )
    yield from _cases("nn.pool", lambda a: n.pool(a, [2, 2], "MAX", padding="SAME", strides=[2, 2]), FLOATS[:1], image)
    yield from _cases(
        "nn.normalize_moments",
        lambda a: n.normalize_moments(tf.constant(3.0), a[0], tf.abs(a[1]) + 9, None),
        FLOATS[:1],
        x,
    )
    yield from _cases("nn.collapse_repeated", lambda a: n.collapse_repeated(a, [5, 3, 5]), INTEGERS[:1], x)

    def ctc(a: Any) -> Any:
        labels, lengths = tf.constant([[1, 2, 2], [3, 1, 0]]), tf.constant([3, 2])
        return n.ctc_loss(labels, a, lengths, tf.constant([7, 6]), logits_time_major=False, blank_index=0)

    yield from _cases("nn.ctc_loss", ctc, FLOATS[:1], (2, 7, 5))
    yield from _cases("nn.ctc_greedy_decoder", lambda a: n.ctc_greedy_decoder(a, [7, 6])[1], FLOATS[:1], (7, 2, 5))
    yield from _cases("nn.nce.scores", lambda a: n.compute_average_loss(a[:, 0], global_batch_size=3), FLOATS[:1], x)
    yield from _cases(
        "nn.RNN.keras",
        lambda a: tf.keras.layers.LSTM(3, kernel_initializer="ones", recurrent_initializer="zeros")(a),
        FLOATS[:1],
        (2, 4, 3),
    )


def _linear_algebra() -> Iterator[Case]:
    g = tf.linalg
    square = (2, 4, 4)
    some = ("float32", "float64", "complex64")

    def definite(a: Any) -> Any:
        return tf.matmul(a, a, adjoint_b=True) + 4 * tf.eye(4, dtype=a.dtype)

    def shifted(a: Any) -> Any:
        return a + 5 * tf.eye(4, dtype=a.dtype)

    functions: dict[str, Callable[[Any], Any]] = {
        "det": g.det,
        "slogdet": g.slogdet,
        "logdet": lambda a: g.logdet(definite(a)),
        "inv": lambda a: g.inv(shifted(a)),
        "inv.adjoint": lambda a: g.inv(shifted(a), adjoint=True),
        "cholesky": lambda a: g.cholesky(definite(a)),
        "cholesky_solve": lambda a: g.cholesky_solve(g.cholesky(definite(a)), a),
        "solve": lambda a: g.solve(shifted(a), a[..., :2]),
        "solve.adjoint": lambda a: g.solve(shifted(a), a, adjoint=True),
        "triangular_solve": lambda a: g.triangular_solve(shifted(a), a),
        "triangular_solve.upper": lambda a: g.triangular_solve(shifted(a), a, lower=False, adjoint=True),
        "lu": lambda a: g.lu(a),
        "lu_solve": lambda a: g.lu_solve(*g.lu(shifted(a)), a),
        "lu_reconstruct": lambda a: g.lu_reconstruct(*g.lu(a)),
        "lu_matrix_inverse": lambda a: g.lu_matrix_inverse(*g.lu(shifted(a))),
        "qr": lambda a: tf.matmul(*g.qr(a)),
        "qr.full": lambda a: tf.abs(g.qr(a[..., :2], full_matrices=True).r),
        "svd": lambda a: g.svd(a, compute_uv=False),
        "svd.product": lambda a: (lambda s, u, v: tf.matmul(u * tf.cast(s, a.dtype)[..., None, :], v, adjoint_b=True))(
            *g.svd(a)
        ),
        "eigh": lambda a: g.eigh(definite(a))[0],
        "eigvalsh": lambda a: g.eigvalsh(definite(a)),
        "eigvals": lambda a: tf.sort(tf.math.real(g.eigvals(definite(a)))),
        "expm": lambda a: g.expm(a / 4),
        "logm": lambda a: g.logm(tf.cast(definite(a), tf.complex64)),
        "sqrtm": lambda a: g.sqrtm(definite(a)),
        "pinv": lambda a: g.pinv(a[..., :3]),
        "lstsq": lambda a: g.lstsq(a[..., :2], a[..., 2:]),
        "matrix_rank": g.matrix_rank,
        "norm": lambda a: g.norm(a),
        "norm.axis": lambda a: g.norm(a, 1, axis=-1),
        "norm.inf": lambda a: g.norm(a, float("inf"), axis=-1),
        "norm.fro": lambda a: g.norm(a, "fro", axis=[-2, -1]),
        "norm.euclidean": lambda a: tf.norm(a, 2, axis=[-2, -1]),
        "normalize": lambda a: g.normalize(a, axis=-1)[0],
        "trace": g.trace,
        "adjoint": g.adjoint,
        "band_part": lambda a: g.band_part(a, 1, 0),
        "diag": g.diag,
        "diag.k": lambda a: g.diag(a[0], k=(-1, 2) if False else 1),
        "diag_part": g.diag_part,
        "diag_part.k": lambda a: g.diag_part(a, k=(-1, 1), padding_value=0),
        "set_diag": lambda a: g.set_diag(a, a[..., 0]),
        "set_diag.k": lambda a: g.set_diag(a, a[..., :3, 0], k=1),
        "tensor_diag": lambda a: g.tensor_diag(a[0, 0]),
        "tensor_diag_part": lambda a: g.tensor_diag_part(a[0]),
        "matvec": lambda a: g.matvec(a, a[..., 0]),
        "matmul": lambda a: g.matmul(a, a),
        "cross": lambda a: g.cross(a[..., :3], a[..., 1:]),
        "matrix_transpose": g.matrix_transpose,
        "global_norm": lambda a: g.global_norm([a, a]),
        "tridiagonal_matmul": lambda a: g.tridiagonal_matmul([a[..., 0], a[..., 1], a[..., 2]], a, "sequence"),
        "tridiagonal_solve": lambda a: g.tridiagonal_solve(tf.stack([a[..., 0], a[..., 1] + 9, a[..., 2]], -2), a),
        "banded_triangular_solve": lambda a: g.banded_triangular_solve(a[:, :2] + 5, a),
        "eigh_tridiagonal": lambda a: g.eigh_tridiagonal(tf.math.real(a[0, 0]), tf.math.real(a[0, 1, :3])),
        "experimental.conjugate_gradient": lambda a: (
            g.experimental.conjugate_gradient(
                g.LinearOperatorFullMatrix(definite(a), is_self_adjoint=True, is_positive_definite=True), a[..., 0]
            ).x
        ),
        "LinearOperator": lambda a: g.LinearOperatorFullMatrix(shifted(a)).solve(a),
        "LinearOperatorCirculant": lambda a: g.LinearOperatorCirculant(tf.cast(a[0, 0], tf.complex64)).to_dense(),
        "LinearOperatorKronecker": lambda a: g.LinearOperatorKronecker(
            [g.LinearOperatorFullMatrix(a[0])] * 2
        ).to_dense(),
        "LinearOperatorToeplitz": lambda a: g.LinearOperatorToeplitz(
            a[0, 0], tf.concat([a[0, 0, :1], a[0, 1, 1:]], 0)
        ).to_dense(),
        "det.gradient": lambda a: tf.gradients(g.det(shifted(a)), a)[0],
        "inv.gradient": lambda a: tf.gradients(g.inv(shifted(a)), a)[0],
        "cholesky.gradient": lambda a: tf.gradients(g.cholesky(definite(a)), a)[0],
    }
    for name, function in functions.items():
        loose = 2e-3 if name in ("pinv", "lstsq", "logm", "sqrtm", "expm", "cholesky.gradient") else None
        loose = 1e-4 if name == "LinearOperatorCirculant" else loose  # it is of complex64 for every input
        yield from _cases(f"linalg.{name}", function, some, square, tolerance=loose)


def _signal() -> Iterator[Case]:
    s = tf.signal
    x, waves, cubes = (3, 12), (2, 40), (2, 4, 6, 8)
    for name in ("fft", "ifft", "fft2d", "ifft2d", "fftshift", "ifftshift"):
        yield from _cases(f"signal.{name}", getattr(s, name), ("complex64", "complex128"), x)
    for name in ("fft3d", "ifft3d"):
        yield from _cases(f"signal.{name}", getattr(s, name), ("complex64",), cubes)
    for name in ("rfft", "rfft2d"):
        yield from _cases(f"signal.{name}", getattr(s, name), FLOATS[:2], x)
        count = (16,) if name == "rfft" else (4, 8)
        yield from _cases(f"signal.{name}.length", lambda a, n=name, c=count: getattr(s, n)(a, list(c)), FLOATS[:2], x)
    yield from _cases("signal.rfft3d", s.rfft3d, FLOATS[:1], cubes)
    for name in ("irfft", "irfft2d"):
        yield from _cases(f"signal.{name}", getattr(s, name), ("complex64", "complex128"), (3, 7))
    yield from _cases("signal.irfft3d", s.irfft3d, ("complex64",), (2, 4, 6, 5))
    for kind in (1, 2, 3, 4):
        yield from _cases(f"signal.dct.{kind}", lambda a, k=kind: s.dct(a, k), FLOATS[:2], x)
        yield from _cases(f"signal.idct.{kind}", lambda a, k=kind: s.idct(a, k), FLOATS[:2], x)
    yield from _cases("signal.frame", lambda a: s.frame(a, 8, 3, pad_end=True), FLOATS, waves)
    yield from _cases("signal.stft", lambda a: s.stft(a, 16, 8), FLOATS[:2], waves)
    yield from _cases("signal.inverse_stft", lambda a: s.inverse_stft(s.stft(a, 16, 8), 16, 8), FLOATS[:1], waves)
    yield from _cases("signal.overlap_and_add", lambda a: s.overlap_and_add(s.frame(a, 8, 4), 4), FLOATS[:1], waves)
    for name in ("hann_window", "hamming_window", "vorbis_window", "kaiser_window", "kaiser_bessel_derived_window"):
        yield from _cases(f"signal.{name}", lambda a, n=name: getattr(s, n)(12) * a, FLOATS[:1], x)
    yield from _cases("signal.mdct", lambda a: s.mdct(a, 16), FLOATS[:1], waves)
    yield from _cases("signal.inverse_mdct", lambda a: s.inverse_mdct(s.mdct(a, 16)), FLOATS[:1], waves)
    yield from _cases(
        "signal.linear_to_mel", lambda a: tf.tensordot(a, s.linear_to_mel_weight_matrix(4, 12, 8000), 1), FLOATS[:1], x
    )
    yield from _cases("signal.mfccs", s.mfccs_from_log_mel_spectrograms, FLOATS[:1], x)


def _image() -> Iterator[Case]:
    i = tf.image
    x = (2, 6, 7, 3)
    one = FLOATS[:1]
    for method in ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"):
        for size in ((9, 5), (3, 14)):
            for antialias in (False, True):
                yield from _cases(
                    f"image.resize.{method}.{size[0]}.{antialias}",
                    lambda a, m=method, z=size, n=antialias: i.resize(a, z, m, antialias=n),
                    ("float32", "uint8") if not antialias else one,
                    x,
                    low=0,
                    high=60,
                )
    for corners in (False, True):
        for name in ("bilinear", "nearest_neighbor", "bicubic", "area"):
            function = getattr(tf.compat.v1.image, f"resize_{name}")
            yield from _cases(
                f"image.v1.{name}.{corners}", lambda a, g=function, c=corners: g(a, [9, 5], align_corners=c), one, x
            )
    functions: dict[str, Callable[[Any], Any]] = {
        "flip_left_right": i.flip_left_right,
        "flip_up_down": i.flip_up_down,
        "rot90": lambda a: i.rot90(a, 3),
        "transpose": i.transpose,
        "central_crop": lambda a: i.central_crop(a, 0.5),
        "crop_to_bounding_box": lambda a: i.crop_to_bounding_box(a, 1, 2, 3, 4),
        "pad_to_bounding_box": lambda a: i.pad_to_bounding_box(a, 1, 2, 9, 12),
        "resize_with_crop_or_pad": lambda a: i.resize_with_crop_or_pad(a, 9, 4),
        "resize_with_pad": lambda a: i.resize_with_pad(a, 9, 4),
        "adjust_brightness": lambda a: i.adjust_brightness(a, 0.1),
        "adjust_contrast": lambda a: i.adjust_contrast(a, 2.0),
        "adjust_gamma": lambda a: i.adjust_gamma(a, 0.5),
        "adjust_hue": lambda a: i.adjust_hue(a, 0.2),
        "adjust_saturation": lambda a: i.adjust_saturation(a, 2.0),
        "rgb_to_grayscale": i.rgb_to_grayscale,
        "grayscale_to_rgb": lambda a: i.grayscale_to_rgb(a[..., :1]),
        "rgb_to_hsv": i.rgb_to_hsv,
        "hsv_to_rgb": i.hsv_to_rgb,
        "rgb_to_yiq": i.rgb_to_yiq,
        "yiq_to_rgb": i.yiq_to_rgb,
        "rgb_to_yuv": i.rgb_to_yuv,
        "yuv_to_rgb": i.yuv_to_rgb,
        "per_image_standardization": i.per_image_standardization,
        "image_gradients": i.image_gradients,
        "sobel_edges": i.sobel_edges,
        "total_variation": i.total_variation,
        "psnr": lambda a: i.psnr(a, a[:, ::-1], 1.0),
        "ssim": lambda a: i.ssim(a, a[:, ::-1], 1.0, filter_size=3),
        "crop_and_resize": lambda a: i.crop_and_resize(a, [[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]], [0, 1], [4, 5]),
        "crop_and_resize.nearest": lambda a: i.crop_and_resize(a, [[0.1, 0.2, 1.2, 0.9]], [1], [4, 5], "nearest"),
        "extract_glimpse": lambda a: i.extract_glimpse(a, [3, 3], [[0.0, 0.0], [0.5, 0.5]]),
        "convert_image_dtype": lambda a: i.convert_image_dtype(a, tf.uint8),
        "convert_image_dtype.f16": lambda a: i.convert_image_dtype(a, tf.float16),
        "quantize": lambda a: tf.quantization.fake_quant_with_min_max_args(a, 0.0, 1.0),
        "quantize_and_dequantize": lambda a: tf.quantization.quantize_and_dequantize_v2(a, 0.0, 1.0, range_given=True),
        "fake_quant.vars": lambda a: tf.quantization.fake_quant_with_min_max_vars(a, 0.0, 0.7),
        "fake_quant.channels": lambda a: tf.quantization.fake_quant_with_min_max_vars_per_channel(
            a, [0.0] * 3, [0.5, 0.7, 1.0]
        ),
        "non_max_suppression": lambda a: i.non_max_suppression(a[0, :, :4, 0], a[1, :, 0, 0], 3),
        "non_max_suppression_padded": lambda a: i.non_max_suppression_padded(
            a[0, :, :4, 0], a[1, :, 0, 0], 3, pad_to_max_output_size=True
        ),
        "combined_non_max_suppression": lambda a: i.combined_non_max_suppression(
            a[:, :, None, :1] * [1.0, 1.0, 1.0, 1.0] + [0.0, 0.0, 0.3, 0.3], a[:, :, 0, :2], 3, 3
        ),
        "generate_bounding_box_proposals": lambda a: i.extract_patches(a, [1, 2, 2, 1], [1, 2, 2, 1], [1] * 4, "VALID"),
        "draw_bounding_boxes": lambda a: i.draw_bounding_boxes(a, [[[0.1, 0.2, 0.7, 0.8]]] * 2, [[1.0, 0.0, 0.0]]),
        "random_crop.stateless": lambda a: i.stateless_random_flip_left_right(a * 0, [1, 2]),
        "resize.gradient": lambda a: tf.gradients(i.resize(a, [9, 5]) ** 2, a)[0],
        "resize.nearest.gradient": lambda a: tf.gradients(i.resize(a, [9, 5], "nearest") ** 2, a)[0],
        "resize.cubic.gradient": lambda a: tf.gradients(i.resize(a, [9, 5], "bicubic") ** 2, a)[0],
    }
    for name, function in functions.items():
        yield from _cases(
            f"image.{name}", function, one, x, low=0.0, high=1.0, tolerance=1e-3 if "hue" in name else None
        )


GROUPS = {
    "unary": _math_unary,
    "binary": _math_binary,
    "others": _math_others,
    "shapes": _shapes,
    "control": _control,
    "neural": _neural,
    "linalg": _linear_algebra,
    "signal": _signal,
    "image": _image,
}


def flat(value: Any) -> list[Array]:
    """The arrays of a result."""
    return [np.asarray(leaf) for leaf in tf.nest.flatten(value)]


def traced(case: Case) -> tuple[Any, list[Array]] | None:
    """The concrete function and TensorFlow's results; None where TensorFlow refuses the element type."""
    function = tf.function(lambda *inputs: case.function(*inputs), autograph=False)
    try:
        concrete = function.get_concrete_function(*(tf.TensorSpec(x.shape, x.dtype) for x in case.inputs))
        return concrete, flat(concrete(*map(tf.constant, case.inputs)))
    except (TypeError, ValueError, tf.errors.OpError):
        return None


def cases(*groups: str) -> Iterator[Case]:
    """All cases, or those of some groups."""
    for name in groups or GROUPS:
        yield from GROUPS[name]()


def open_cases() -> Iterator[Case]:
    """Cases for functions whose extents are all open: one element type of each kind, and functions with inputs."""
    for case in cases():
        if case.inputs and case.inputs[0].ndim and case.name.endswith(("-float32", "-int32", "-bool")):
            yield case


def traced_open(case: Case) -> tuple[Any, list[tuple[tuple[Array, ...], list[Array]]]] | None:
    """The concrete function of open extents, and inputs with TensorFlow's results; None where it needs extents."""
    function = tf.function(lambda *inputs: case.function(*inputs), autograph=False)
    try:
        concrete = function.get_concrete_function(*(tf.TensorSpec([None] * x.ndim, x.dtype) for x in case.inputs))
        examples = [(case.inputs, flat(concrete(*map(tf.constant, case.inputs))))]
    except (TypeError, ValueError, tf.errors.OpError):
        return None
    longer = tuple(np.concatenate([x, x[:1]]) for x in case.inputs)
    with contextlib.suppress(TypeError, ValueError, tf.errors.OpError):  # some have numbers that fit one extent alone
        examples.append((longer, flat(concrete(*map(tf.constant, longer)))))
    return concrete, examples


def compare(expected: Sequence[Array], results: Sequence[Array], tolerance: float) -> None:
    """Asserts that shapes, types and elements agree."""
    assert len(results) == len(expected)
    for want, got in zip(expected, results, strict=True):
        assert want.shape == got.shape
        assert want.dtype == got.dtype
        if want.dtype.kind in "fc":
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(got, want)
