# ruff: noqa: E501 - lines of MLIR
"""Cases for linalg's named ops (convolutions and poolings of every layout, products, packing …) against numpy.

    python -m tests.importers.linalg_cases [PATTERN]

The layouts are read from the names of the ops: `conv_2d_nhwc_hwcf` is an input nhwc and a kernel hwcf.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import random, values
from tests.importers.stablehlo_oracle import Array, Case, dtype_of, failures, type_of

CONVOLUTIONS = (
    "conv_1d_ncw_fcw", "conv_1d_nwc_wcf", "conv_2d_nchw_fchw", "conv_2d_ngchw_fgchw", "conv_2d_ngchw_gfchw",
    "conv_2d_nhwc_fhwc", "conv_2d_nhwc_hwcf", "conv_2d_nhwgc_gfhwc", "conv_3d_ncdhw_fcdhw", "conv_3d_ndhwc_dhwcf",
    "depthwise_conv_1d_ncw_cw", "depthwise_conv_1d_nwc_wc", "depthwise_conv_1d_nwc_wcm", "depthwise_conv_2d_nchw_chw",
    "depthwise_conv_2d_nhwc_hwc", "depthwise_conv_2d_nhwc_hwcm", "depthwise_conv_3d_ncdhw_cdhw",
    "depthwise_conv_3d_ndhwc_dhwc", "depthwise_conv_3d_ndhwc_dhwcm",
)  # fmt: skip
QUANTIZED = (
    "conv_2d_nchw_fchw_q", "conv_2d_ngchw_gfchw_q", "conv_2d_nhwc_fhwc_q", "conv_2d_nhwc_hwcf_q",
    "conv_2d_nhwgc_gfhwc_q", "conv_3d_ndhwc_dhwcf_q", "depthwise_conv_2d_nhwc_hwc_q", "depthwise_conv_2d_nhwc_hwcm_q",
)  # fmt: skip
POOLINGS = (
    "nchw_max", "nchw_sum", "ncw_max", "ncw_sum", "ndhwc_max", "ndhwc_min", "ndhwc_sum", "nhwc_max",
    "nhwc_max_unsigned", "nhwc_min", "nhwc_min_unsigned", "nhwc_sum", "nwc_max", "nwc_max_unsigned", "nwc_min",
    "nwc_min_unsigned", "nwc_sum",
)  # fmt: skip
TYPES = {"f32": "f32", "f64": "f64", "f16": "f32", "bf16": "f32", "i8": "i32", "i32": "i32"}
_EXTENTS = {"n": 2, "g": 3, "c": 5, "f": 4, "m": 2}
_SPATIAL = "dhw"


def _sample(element: str, shape: Sequence[int], key: object) -> Array:
    rng = random("linalg", element, tuple(shape), key)
    dtype = dtype_of(element)
    if dtype.kind in "iu":
        return rng.integers(-128 if dtype.kind == "i" else 0, 128, shape).astype(dtype)
    return rng.integers(-8, 9, shape).astype(np.float32).astype(dtype)  # sums of products are exact


def _text(
    op: str,
    inputs: Sequence[Array],
    out: Array,
    attributes: str = "",
    scalars: Sequence[int] = (),
    dynamic: bool = False,
    given: int | None = None,
) -> str:
    """A `@main` of one op that adds to `out`."""
    kinds = [*(type_of(x) for x in inputs), type_of(out)]
    if dynamic:
        kinds = [re.sub(r"(?<=[<x])\d+x", "?x", kind) for kind in kinds]
    names = [f"%a{i}" for i in range(len(inputs))]
    arguments = ", ".join(f"{name}: {kind}" for name, kind in zip([*names, "%o"], kinds, strict=True))
    constants = "".join(f"  %z{i} = arith.constant {value} : i32\n" for i, value in enumerate(scalars))
    ins = ", ".join([*names, *(f"%z{i}" for i in range(len(scalars)))])
    types = ", ".join([*kinds[:-1], *("i32" for _ in scalars)])
    body = f" ins({ins} : {types}) outs(%o : {kinds[-1]}) -> {kinds[-1]}"
    return f"func.func @main({arguments}) -> {kinds[-1]} {{\n{constants}  %r = linalg.{op}{attributes}{body}\n  return %r : {kinds[-1]}\n}}"


def _case(name: str, text: str, inputs: Sequence[Array], expected: Callable[..., Any], **options: Any) -> Case:
    return Case(name, text, tuple(inputs), expected=expected, **options)


def _wide(x: Array) -> Array:
    return x.astype(np.int64) if x.dtype.kind in "iu" else x.astype(np.float64)


def _layouts(op: str) -> tuple[str, str, str]:
    """Of input, kernel and result."""
    _, image, kernel = op.removeprefix("depthwise_").removesuffix("_q").rsplit("_", 2)
    if op.startswith("depthwise"):
        return image, kernel, image + ("m" if "m" in kernel else "")
    return image, kernel, image.replace("c", "f")


def convolve(op: str, x: Array, w: Array, out: Array, stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """`out` and the convolution."""
    image, kernel, result = _layouts(op)
    spatial = [letter for letter in image if letter in _SPATIAL]
    plain = "".join(letter for letter in kernel if letter not in _SPATIAL)
    sizes = {letter: out.shape[result.index(letter)] for letter in spatial}
    total = _wide(out)
    for place in np.ndindex(*(w.shape[kernel.index(letter)] for letter in spatial)):
        cut = [slice(None)] * x.ndim
        pick: list[Any] = [slice(None)] * w.ndim
        for i, letter in enumerate(spatial):
            first = place[i] * dilation[i]
            cut[image.index(letter)] = slice(first, first + (sizes[letter] - 1) * stride[i] + 1, stride[i])
            pick[kernel.index(letter)] = place[i]
        total = total + np.einsum(f"{image},{plain}->{result}", _wide(x)[tuple(cut)], _wide(w)[tuple(pick)])
    return total.astype(out.dtype)


def _convolutions() -> Iterator[Case]:
    for op in (*CONVOLUTIONS, *QUANTIZED):
        image, kernel, result = _layouts(op)
        spatial = [letter for letter in image if letter in _SPATIAL]
        rank = len(spatial)
        for element in ("i8",) if op.endswith("_q") else ("f32", "i8", "bf16", "f64"):
            for stride, dilation in (((1,) * rank, (1,) * rank), ((2, 1, 3)[:rank], (1, 2, 2)[:rank])):
                window = dict(zip(spatial, (3, 2, 2), strict=False))
                sizes = dict(zip(spatial, (4, 3, 2), strict=False))
                inputs = {
                    letter: (sizes[letter] - 1) * stride[i] + (window[letter] - 1) * dilation[i] + 1
                    for i, letter in enumerate(spatial)
                }
                x = _sample(element, [inputs.get(c, _EXTENTS.get(c, 0)) for c in image], "x")
                w = _sample(element, [window.get(c, _EXTENTS.get(c, 0)) for c in kernel], "w")
                out = _sample(TYPES[element], [sizes.get(c, _EXTENTS.get(c, 0)) for c in result], "o")
                attributes = f" {{strides = dense<{list(stride)}> : tensor<{rank}xi64>, dilations = dense<{list(dilation)}> : tensor<{rank}xi64>}}"
                zeros = (5, -3) if op.endswith("_q") else ()

                def expected(
                    x: Array, w: Array, o: Array, op: str = op, s: Any = stride, d: Any = dilation, z: Any = zeros
                ) -> Array:
                    a, b = (_wide(v) - (z[i] if z else 0) for i, v in enumerate((x, w)))
                    return convolve(op, a, b, o, s, d)

                for dynamic in (False, True):
                    label = f"{op}:{element}:{stride}" + (":dynamic" if dynamic else "")
                    yield _case(label, _text(op, [x, w], out, attributes, zeros, dynamic), [x, w, out], expected)
    for rank, op in enumerate(("conv_1d", "conv_2d", "conv_3d"), 1):
        x, w = _sample("f32", (7, 6, 5)[:rank], "x"), _sample("f32", (3, 2, 2)[:rank], "w")
        out = _sample("f32", [a - b + 1 for a, b in zip(x.shape, w.shape, strict=True)], "o")
        for dynamic in (False, True):
            yield _case(f"{op}:{dynamic}", _text(op, [x, w], out, dynamic=dynamic), [x, w, out], _valid)


def _valid(x: Array, w: Array, out: Array) -> Array:
    total = out.astype(np.float64)
    for place in np.ndindex(*w.shape):
        total = total + x[tuple(slice(p, p + n) for p, n in zip(place, out.shape, strict=True))] * w[place]
    return total.astype(out.dtype)


def _poolings() -> Iterator[Case]:
    for op in POOLINGS:
        layout, kind = op.split("_")[0], op.split("_")[1]
        spatial = [letter for letter in layout if letter in _SPATIAL]
        rank = len(spatial)
        elements = ("ui8",) if "unsigned" in op else ("f32", "i32", "bf16") if kind != "sum" else ("f32", "i32")
        for element in elements:
            for stride, dilation in (((1,) * rank, (1,) * rank), ((2, 1, 3)[:rank], (1, 2, 2)[:rank])):
                window, sizes = (3, 2, 2)[:rank], (4, 3, 2)[:rank]
                inputs = [
                    (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(sizes, stride, window, dilation, strict=True)
                ]
                shape = [inputs[spatial.index(c)] if c in spatial else _EXTENTS[c] for c in layout]
                result = [sizes[spatial.index(c)] if c in spatial else _EXTENTS[c] for c in layout]
                plain = element.removeprefix("u")
                x, out = (
                    _sample(element, shape, "x").view(dtype_of(plain)),
                    _sample(element, result, "o").view(dtype_of(plain)),
                )
                if element == "f32" and kind != "sum":
                    x.ravel()[3] = np.nan
                k = np.zeros(window, x.dtype)
                attributes = f" {{strides = dense<{list(stride)}> : tensor<{rank}xi64>, dilations = dense<{list(dilation)}> : tensor<{rank}xi64>}}"

                def expected(
                    x: Array,
                    k: Array,
                    o: Array,
                    layout: str = layout,
                    kind: str = kind,
                    e: str = element,
                    s: Any = stride,
                    d: Any = dilation,
                ) -> Array:
                    return _pool(layout, kind, x.view(dtype_of(e)), k.shape, o.view(dtype_of(e)), s, d).view(o.dtype)

                for dynamic in (False, True):
                    label = f"pooling_{op}:{element}:{stride}" + (":dynamic" if dynamic else "")
                    yield _case(
                        label, _text(f"pooling_{op}", [x, k], out, attributes, dynamic=dynamic), [x, k, out], expected
                    )


def _pool(
    layout: str, kind: str, x: Array, window: Sequence[int], out: Array, stride: Sequence[int], dilation: Sequence[int]
) -> Array:
    spatial = [letter for letter in layout if letter in _SPATIAL]
    total = out.copy()
    function = {"max": np.maximum, "min": np.minimum, "sum": np.add}[kind]
    for place in np.ndindex(*window):
        cut = [slice(None)] * x.ndim
        for i, letter in enumerate(spatial):
            first = place[i] * dilation[i]
            n = out.shape[layout.index(letter)]
            cut[layout.index(letter)] = slice(first, first + (n - 1) * stride[i] + 1, stride[i])
        total = function(total, x[tuple(cut)])
    return total


_PRODUCTS = {
    "matmul": ("mk", "kn", "mn"), "batch_matmul": ("bmk", "bkn", "bmn"), "batch_reduce_matmul": ("bmk", "bkn", "mn"),
    "matvec": ("mk", "k", "m"), "vecmat": ("k", "kn", "n"), "dot": ("k", "k", ""), "batch_matvec": ("bmk", "bk", "bm"),
    "batch_vecmat": ("bk", "bkn", "bn"), "mmt4d": ("mkxz", "nkyz", "mnxy"), "batch_mmt4d": ("bmkxz", "bnkyz", "bmnxy"),
    "quantized_matmul": ("mk", "kn", "mn"), "quantized_batch_matmul": ("bmk", "bkn", "bmn"),
}  # fmt: skip


def _products() -> Iterator[Case]:
    sizes = {"b": 2, "m": 5, "n": 7, "k": 9, "x": 4, "y": 8, "z": 2}
    for op, (left, right, result) in _PRODUCTS.items():
        for element in ("i8",) if "quantized" in op else TYPES:
            a, b = (_sample(element, [sizes[c] for c in layout], layout) for layout in (left, right))
            out = _sample(TYPES[element], [sizes[c] for c in result], "o")
            zeros = (5, -3) if "quantized" in op else ()

            def expected(
                a: Array, b: Array, o: Array, spec: str = f"{left},{right}->{result}", z: Any = zeros
            ) -> Array:
                x, y = (_wide(v) - (z[i] if z else 0) for i, v in enumerate((a, b)))
                return (_wide(o) + np.einsum(spec, x, y)).astype(o.dtype)

            for dynamic in (False, True):
                label = f"{op}:{element}" + (":dynamic" if dynamic else "")
                yield _case(label, _text(op, [a, b], out, scalars=zeros, dynamic=dynamic), [a, b, out], expected)
    d = "#d = affine_map<(m, n, k) -> (k, m)>\n#e = affine_map<(m, n, k) -> (n, k)>\n#f = affine_map<(m, n, k) -> (m, n)>\n"
    for element in ("f32", "i8", "bf16"):
        a, b, out = _sample(element, (9, 5), "a"), _sample(element, (7, 9), "b"), _sample(TYPES[element], (5, 7), "o")
        for op, cast in (
            ("matmul", ""),
            ("contract", ""),
            *((("matmul", " {cast = #linalg.type_fn<cast_unsigned>}"),) if element == "i8" else ()),
        ):
            text = d + _text(op, [a, b], out, " indexing_maps = [#d, #e, #f]" + cast)

            def expected(a: Array, b: Array, o: Array, unsigned: bool = bool(cast)) -> Array:
                x, y = (_wide(v.view(np.uint8) if unsigned else v) for v in (a, b))
                return (_wide(o) + x.T @ y.T).astype(o.dtype)

            yield _case(f"{op}-transposed{cast}:{element}", text, [a, b, out], expected)


def _elementwise() -> Iterator[Case]:
    unary: dict[str, Callable[..., Any]] = {
        "exp": np.exp, "log": np.log, "abs": np.abs, "ceil": np.ceil, "floor": np.floor, "negf": np.negative,
        "reciprocal": lambda x: 1 / x, "round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x), "sqrt": np.sqrt,
        "rsqrt": lambda x: 1 / np.sqrt(x), "square": np.square, "tanh": np.tanh,
    }  # fmt: skip
    binary: dict[str, Callable[..., Any]] = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum,
    }  # fmt: skip
    for name, function in unary.items():
        x = values("f32")
        x = x[~(np.abs(x) > 1e6) | ~np.isfinite(x)]
        out = np.zeros_like(x)
        for dynamic in (False, True):
            yield _case(
                f"{name}:{dynamic}",
                _text(name, [x], out, dynamic=dynamic),
                [x, out],
                lambda x, o, f=function: _once(f, x),
                ulps=2,
            )
    for name, function in binary.items():
        for element in ("f32", "i32"):
            if element == "i32" and name == "div":
                function = lambda a, b: (np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)).astype(np.int32)  # noqa: E731
            a, b = _sample(element, (5, 7), "a"), _sample(element, (5, 7), "b")
            b = np.where(b == 0, 3, b).astype(b.dtype)
            yield _case(f"{name}:{element}", _text(name, [a, b], a), [a, b, a], lambda a, b, o, f=function: f(a, b))
    p = random("select").random((5, 7)) < 0.5
    a, b = _sample("f32", (5, 7), "a"), _sample("f32", (5, 7), "b")
    yield _case("select", _text("select", [p, a, b], a), [p, a, b, a], lambda p, a, b, o: np.where(p, a, b))
    for n in (1, 9, 130):
        x = (random("softmax", n).standard_normal((3, n, 5)) * 20).astype(np.float32)
        x[0, 0, 0] = -np.inf
        for dynamic in (False, True):
            kind = "tensor<?x?x?xf32>" if dynamic else type_of(x)
            yield _case(
                f"softmax:{n}:{dynamic}",
                f"func.func @main(%x: {kind}, %o: {kind}) -> {kind} {{\n  %r = linalg.softmax dimension(1) ins(%x : {kind}) outs(%o : {kind}) -> {kind}\n  return %r : {kind}\n}}",
                [x, x],
                _softmax,
                ulps=32,
                atol=1e-7,
            )


def _once(function: Callable[..., Any], x: Array) -> Array:
    with np.errstate(all="ignore"):
        return function(x.astype(np.float64)).astype(x.dtype)


def _softmax(x: Array, _: Array) -> Array:
    with np.errstate(all="ignore"):
        e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
        return (e / e.sum(1, keepdims=True)).astype(x.dtype)


def _packing() -> Iterator[Case]:
    x = _sample("f32", (13, 10), "p")
    for dynamic in (False, True):
        source = "tensor<?x?xf32>" if dynamic else "tensor<13x10xf32>"
        packed = "tensor<?x?x8x4xf32>" if dynamic else "tensor<2x3x8x4xf32>"
        out = np.zeros((2, 3, 8, 4), np.float32)
        yield _case(
            f"pack:{dynamic}",
            f"func.func @main(%x: {source}, %o: {packed}) -> {packed} {{\n  %p = arith.constant 7.0 : f32\n"
            f"  %r = linalg.pack %x padding_value(%p : f32) inner_dims_pos = [0, 1] inner_tiles = [8, 4] into %o : {source} -> {packed}\n  return %r : {packed}\n}}",
            [x, out],
            lambda x, o: np.pad(x, ((0, 3), (0, 2)), constant_values=7).reshape(2, 8, 3, 4).transpose(0, 2, 1, 3),
        )
        y = _sample("f32", (2, 3, 8, 4), "u")
        yield _case(
            f"unpack:{dynamic}",
            f"func.func @main(%x: {packed}, %o: {source}) -> {source} {{\n"
            f"  %r = linalg.unpack %x inner_dims_pos = [0, 1] inner_tiles = [8, 4] into %o : {packed} -> {source}\n  return %r : {source}\n}}",
            [y, x],
            lambda y, o: y.transpose(0, 2, 1, 3).reshape(16, 12)[:13, :10],
        )
    z = _sample("f32", (3, 4, 5), "t")
    yield _case(
        "transpose",
        "func.func @main(%x: tensor<3x4x5xf32>, %o: tensor<5x3x4xf32>) -> tensor<5x3x4xf32> {\n  %r = linalg.transpose ins(%x : tensor<3x4x5xf32>) outs(%o : tensor<5x3x4xf32>) permutation = [2, 0, 1]\n  return %r : tensor<5x3x4xf32>\n}",
        [z, np.zeros((5, 3, 4), np.float32)],
        lambda x, o: x.transpose(2, 0, 1),
    )
    yield _case(
        "broadcast",
        "func.func @main(%x: tensor<3x5xf32>, %o: tensor<3x4x5xf32>) -> tensor<3x4x5xf32> {\n  %r = linalg.broadcast ins(%x : tensor<3x5xf32>) outs(%o : tensor<3x4x5xf32>) dimensions = [1]\n  return %r : tensor<3x4x5xf32>\n}",
        [z[:, 0].copy(), z],
        lambda x, o: np.repeat(x[:, None], 4, 1),
    )
    yield _case(
        "reduce",
        "func.func @main(%x: tensor<3x4x5xf32>, %o: tensor<3x5xf32>) -> tensor<3x5xf32> {\n  %r = linalg.reduce { arith.maximumf } ins(%x : tensor<3x4x5xf32>) outs(%o : tensor<3x5xf32>) dimensions = [1]\n  return %r : tensor<3x5xf32>\n}",
        [z, z[:, 1].copy()],
        lambda x, o: np.maximum(x.max(1), o),
    )
    yield _case(
        "map",
        "func.func @main(%x: tensor<3x4x5xf32>, %o: tensor<3x4x5xf32>) -> tensor<3x4x5xf32> {\n  %r = linalg.map { arith.mulf } ins(%x, %x : tensor<3x4x5xf32>, tensor<3x4x5xf32>) outs(%o : tensor<3x4x5xf32>)\n  return %r : tensor<3x4x5xf32>\n}",
        [z, z],
        lambda x, o: x * x,
    )
    image, kernel = _sample("f32", (2, 6, 6, 3), "x") / 4, _sample("f32", (4, 3, 3, 3), "w") / 4
    text = """func.func @main(%x: tensor<2x6x6x3xf32>, %w: tensor<4x3x3x3xf32>, %o: tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32> {
  %e0 = tensor.empty() : tensor<6x6x3x4xf32>
  %f = linalg.winograd_filter_transform fmr(F_4_3) ins(%w : tensor<4x3x3x3xf32>) outs(%e0 : tensor<6x6x3x4xf32>) -> tensor<6x6x3x4xf32>
  %e1 = tensor.empty() : tensor<6x6x1x1x2x3xf32>
  %i = linalg.winograd_input_transform fmr(F_4_3) ins(%x : tensor<2x6x6x3xf32>) outs(%e1 : tensor<6x6x1x1x2x3xf32>) -> tensor<6x6x1x1x2x3xf32>
  %fc = tensor.collapse_shape %f [[0, 1], [2], [3]] : tensor<6x6x3x4xf32> into tensor<36x3x4xf32>
  %ic = tensor.collapse_shape %i [[0, 1], [2, 3, 4], [5]] : tensor<6x6x1x1x2x3xf32> into tensor<36x2x3xf32>
  %e2 = tensor.empty() : tensor<36x2x4xf32>
  %z = arith.constant 0.0 : f32
  %z2 = linalg.fill ins(%z : f32) outs(%e2 : tensor<36x2x4xf32>) -> tensor<36x2x4xf32>
  %p = linalg.batch_matmul ins(%ic, %fc : tensor<36x2x3xf32>, tensor<36x3x4xf32>) outs(%z2 : tensor<36x2x4xf32>) -> tensor<36x2x4xf32>
  %pe = tensor.expand_shape %p [[0, 1], [2, 3, 4], [5]] output_shape [6, 6, 1, 1, 2, 4] : tensor<36x2x4xf32> into tensor<6x6x1x1x2x4xf32>
  %r = linalg.winograd_output_transform fmr(F_4_3) ins(%pe : tensor<6x6x1x1x2x4xf32>) outs(%o : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  return %r : tensor<2x4x4x4xf32>
}"""
    zero = np.zeros((2, 4, 4, 4), np.float32)
    yield _case(
        "winograd",
        text,
        [image, kernel, zero],
        lambda x, w, o: convolve("conv_2d_nhwc_fhwc", x, w, o, (1, 1), (1, 1)),
        atol=1e-4,
    )


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_convolutions, _poolings, _products, _elementwise, _packing):
        yield from section()


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [case for case in cases() if pattern.search(case.name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:600]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
