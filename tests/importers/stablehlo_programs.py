"""StableHLO's control flow, collectives of one device, linear algebra, random numbers and dynamic forms, as programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from tests.importers.stablehlo_elementwise import operation, shaped
from tests.importers.stablehlo_oracle import Array, Case, type_of
from tests.importers.stablehlo_structural import binary_region, i64s, matrix, one, sample


def program(label: str, inputs: Sequence[Array], results: str, body: str, **options: object) -> Case:
    """A case of a whole body; `results` are types of what `return` returns."""
    arguments = ", ".join(f"%a{i}: {type_of(x)}" for i, x in enumerate(inputs))
    return Case(label, f"func.func @main({arguments}) -> ({results}) {{\n{body}\n}}", tuple(inputs), **options)  # type: ignore


def _control_flow() -> Iterator[Case]:
    x = sample("f32", (3,))
    for n in (0, 1, 5):
        count = np.array(n, np.int32)
        yield program(f"while:{n}", [x, count], "tensor<3xf32>, tensor<i32>", """
  %c0 = stablehlo.constant dense<0> : tensor<i32>
  %c1 = stablehlo.constant dense<1> : tensor<i32>
  %r:2 = stablehlo.while(%x = %a0, %i = %c0) : tensor<3xf32>, tensor<i32> cond {
    %p = stablehlo.compare LT, %i, %a1 : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1>
  } do {
    %y = stablehlo.add %x, %x : tensor<3xf32>
    %j = stablehlo.add %i, %c1 : tensor<i32>
    stablehlo.return %y, %j : tensor<3xf32>, tensor<i32>
  }
  return %r#0, %r#1 : tensor<3xf32>, tensor<i32>""")
    for p in (False, True):
        yield program(f"if:{p}", [x, np.array(p)], "tensor<3xf32>", """
  %r = "stablehlo.if"(%a1) ({ %y = stablehlo.negate %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }, { stablehlo.return %a0 : tensor<3xf32> }) : (tensor<i1>) -> tensor<3xf32>
  return %r : tensor<3xf32>""")
    for i in (-7, -1, 0, 1, 2, 3, 2**31 - 1):
        yield program(f"case:{i}", [x, np.array(i, np.int32)], "tensor<3xf32>", """
  %r = "stablehlo.case"(%a1) ({ %y = stablehlo.negate %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }, { stablehlo.return %a0 : tensor<3xf32> }, { %y = stablehlo.add %a0, %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }) : (tensor<i32>) -> tensor<3xf32>
  return %r : tensor<3xf32>""")
    yield one("case", "single", [np.array(5, np.int32)], ["f32"], "", [
        '%c = "stablehlo.constant"() <{value = dense<3.0> : tensor<f32>}> : () -> tensor<f32>\n "stablehlo.return"(%c) : (tensor<f32>) -> ()'])
    for element in ("f32", "i32", "ui8"):
        a, b = sample(element, (3, 4)), sample(element, (3, 4), 1)
        yield one("map", element, [a, b], [shaped(a, element)], f"dimensions = {i64s((0, 1))}", [
            f"^bb0(%x: tensor<{element}>, %y: tensor<{element}>):\n %m = stablehlo.multiply %x, %y : tensor<{element}>\n"
            f' %s = stablehlo.subtract %m, %x : tensor<{element}>\n "stablehlo.return"(%s) : (tensor<{element}>) -> ()'])
    yield program("tuple", [x, np.array(4, np.int32)], "tensor<i32>, tensor<3xf32>", """
  %t = stablehlo.tuple %a0, %a1 : tuple<tensor<3xf32>, tensor<i32>>
  %u = stablehlo.tuple %t, %a1 : tuple<tuple<tensor<3xf32>, tensor<i32>>, tensor<i32>>
  %v = stablehlo.get_tuple_element %u[0] : (tuple<tuple<tensor<3xf32>, tensor<i32>>, tensor<i32>>) -> tuple<tensor<3xf32>, tensor<i32>>
  %p = stablehlo.get_tuple_element %v[1] : (tuple<tensor<3xf32>, tensor<i32>>) -> tensor<i32>
  %q = stablehlo.get_tuple_element %v[0] : (tuple<tensor<3xf32>, tensor<i32>>) -> tensor<3xf32>
  return %p, %q : tensor<i32>, tensor<3xf32>""")
    yield Case("composite", """
func.func @main(%a0: tensor<3xf32>) -> tensor<3xf32> {
  %r = stablehlo.composite "acme.twice" %a0 {decomposition = @twice, version = 1 : i32} : (tensor<3xf32>) -> tensor<3xf32>
  return %r : tensor<3xf32>
}
func.func private @twice(%x: tensor<3xf32>) -> tensor<3xf32> {
  %y = stablehlo.add %x, %x : tensor<3xf32>
  return %y : tensor<3xf32>
}""", (x,))
    yield program("token", [x], "tensor<3xf32>", """
  %t = stablehlo.create_token : !stablehlo.token
  %u = stablehlo.after_all %t, %t : !stablehlo.token
  return %a0 : tensor<3xf32>""", expected=lambda x: x)


def _collectives() -> Iterator[Case]:
    groups = "replica_groups = dense<0> : tensor<1x1xi64>"
    x = sample("f32", (2, 3))

    def same(*arrays: Array) -> Array:
        return arrays[0]

    add = binary_region("add", "f32")
    yield one("all_reduce", "1", [x], ["2x3xf32"], groups, [add], expected=same)
    yield one("all_gather", "1", [x], ["2x3xf32"], f"all_gather_dim = 1 : i64, {groups}", expected=same)
    yield one("reduce_scatter", "1", [x], ["2x3xf32"], f"scatter_dimension = 0 : i64, {groups}", [add], expected=same)
    yield one("all_to_all", "1", [x], ["2x3xf32"], f"split_dimension = 1 : i64, concat_dimension = 0 : i64, split_count = 1 : i64, {groups}", expected=same)
    yield one("collective_broadcast", "1", [x], ["2x3xf32"], groups, expected=same)
    yield one("collective_permute", "self", [x], ["2x3xf32"], "source_target_pairs = dense<0> : tensor<1x2xi64>", expected=same)
    yield one("collective_permute", "nobody", [x], ["2x3xf32"], "source_target_pairs = dense<> : tensor<0x2xi64>", expected=lambda x: x * 0)
    yield one("replica_id", "1", [], ["ui32"], expected=lambda: np.uint32(0))
    yield one("partition_id", "1", [], ["ui32"], expected=lambda: np.uint32(0))
    yield one("cross-replica-sum", "1", [x], ["2x3xf32"], groups, expected=same)


def _normalizations() -> Iterator[Case]:
    for element in ("f32", "f64", "f16"):
        x = sample(element, (4, 3, 5))
        scale, offset, mean, variance = (np.abs(sample(element, (3,), i)) + (i == 3) for i in range(4))
        attributes = "epsilon = 1.0e-3 : f32, feature_index = 1 : i64"
        yield one("batch_norm_inference", element, [x, scale, offset, mean, variance], [shaped(x, element)], attributes, ulps=8,
                  expected=lambda *v: _normalize(*v), atol=1e-2 if element == "f16" else 1e-6)
        yield one("batch_norm_training", element, [x, scale, offset], [shaped(x, element), f"3x{element}", f"3x{element}"],
                  attributes, expected=_train, atol=2e-2 if element == "f16" else 1e-5)  # fmt: skip
        grad = sample(element, (4, 3, 5), "g")
        yield one("batch_norm_grad", element, [x, scale, mean, variance, grad], [shaped(x, element), f"3x{element}", f"3x{element}"],
                  attributes, expected=_gradients, atol=5e-1 if element == "f16" else 2e-4)  # fmt: skip


def _normalize(x: Array, scale: Array, offset: Array, mean: Array, variance: Array) -> Array:
    wide = [v.astype(np.float64)[:, None] for v in (scale, offset, mean, variance)]
    return ((x - wide[2]) / np.sqrt(wide[3] + 1e-3) * wide[0] + wide[1]).astype(x.dtype)


def _train(x: Array, scale: Array, offset: Array) -> list[Array]:
    mean, variance = (f(x.astype(np.float64), axis=(0, 2)) for f in (np.mean, np.var))
    return [_normalize(x, scale, offset, mean, variance), mean.astype(x.dtype), variance.astype(x.dtype)]


def _gradients(x: Array, scale: Array, mean: Array, variance: Array, grad: Array) -> list[Array]:
    """By the specification's own formulas."""
    s, m, v = (y.astype(np.float64)[:, None] for y in (scale, mean, variance))
    g, count = grad.astype(np.float64), x.size // len(scale)
    centered, deviation = x - m, np.sqrt(v + 1e-3)
    i1 = count * g
    i2 = g.sum((0, 2), keepdims=True)[0]
    i3 = (g * centered).sum((0, 2), keepdims=True)[0]
    i4 = i3 * centered / (v + 1e-3)
    operand = s / deviation / count * (i1 - i2 - i4)
    return [y.astype(x.dtype) for y in (operand, (g * centered / deviation).sum((0, 2)), g.sum((0, 2)))]


def _linear_algebra() -> Iterator[Case]:
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64, np.complex64, np.complex128):
        element = {"float32": "f32", "float64": "f64", "complex64": "complex<f32>", "complex128": "complex<f64>"}[np.dtype(dtype).name]
        tolerance = 2e-4 if np.finfo(dtype).eps > 1e-10 else 1e-10
        m = rng.standard_normal((2, 5, 5)) + (1j * rng.standard_normal((2, 5, 5)) if np.dtype(dtype).kind == "c" else 0)
        spd = (m @ np.conj(np.swapaxes(m, 1, 2)) + 5 * np.eye(5)).astype(dtype)
        for lower in (True, False):
            yield one("cholesky", f"{lower}:{element}", [spd], [shaped(spd, element)], f"lower = {str(lower).lower()}",
                      expected=lambda a, lower=lower: _cholesky(a, lower), atol=tolerance)  # fmt: skip
        t = (m / 4 + 3 * np.eye(5)).astype(dtype)
        for left in (True, False):
            for lower in (True, False):
                for unit in (True, False):
                    for transpose in ("NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"):
                        b = rng.standard_normal((2, 5, 3) if left else (2, 3, 5)).astype(dtype)
                        yield one(
                            "triangular_solve", f"{left}{lower}{unit}{transpose}:{element}", [t, b], [shaped(b, element)],
                            f"left_side = {str(left).lower()}, lower = {str(lower).lower()}, unit_diagonal = {str(unit).lower()}, "
                            f"transpose_a = #stablehlo<transpose {transpose}>",
                            expected=lambda a, b, o=(left, lower, unit, transpose): _solve(a, b, *o), atol=tolerance,
                        )  # fmt: skip
    for n in (1, 2, 7, 8, 12, 31, 64, 97):
        z = (rng.standard_normal((3, n)) + 1j * rng.standard_normal((3, n))).astype(np.complex64)
        for kind in ("FFT", "IFFT"):
            f = np.fft.fft if kind == "FFT" else np.fft.ifft
            yield one("fft", f"{kind}{n}", [z], [f"3x{n}xcomplex<f32>"], f"fft_type = #stablehlo<fft_type {kind}>, fft_length = {i64s((n,))}",
                      expected=lambda x, f=f: f(x).astype(np.complex64), atol=1e-4 * n)  # fmt: skip
        x = rng.standard_normal((3, n))
        yield one("fft", f"RFFT{n}", [x], [f"3x{n // 2 + 1}xcomplex<f64>"], f"fft_type = #stablehlo<fft_type RFFT>, fft_length = {i64s((n,))}",
                  expected=np.fft.rfft, atol=1e-11 * n)  # fmt: skip
        half = np.fft.rfft(x)
        yield one("fft", f"IRFFT{n}", [half], [f"3x{n}xf64"], f"fft_type = #stablehlo<fft_type IRFFT>, fft_length = {i64s((n,))}",
                  expected=lambda y, n=n: np.fft.irfft(y, n), atol=1e-11 * n)  # fmt: skip
    z = (rng.standard_normal((2, 3, 5)) + 1j * rng.standard_normal((2, 3, 5))).astype(np.complex128)
    yield one("fft", "3d", [z], ["2x3x5xcomplex<f64>"], f"fft_type = #stablehlo<fft_type FFT>, fft_length = {i64s((2, 3, 5))}",
              expected=np.fft.fftn, atol=1e-11)  # fmt: skip
    yield one("fft", "R2d", [z.real.copy()], ["2x3x3xcomplex<f64>"], f"fft_type = #stablehlo<fft_type RFFT>, fft_length = {i64s((3, 5))}",
              expected=np.fft.rfft2, atol=1e-11)  # fmt: skip


def _cholesky(a: Array, lower: bool) -> Array:
    """The factor in one triangle; the other, of which the specification says nothing, keeps the operand."""
    factor = np.linalg.cholesky(a)
    kept = np.triu(a, 1) if lower else np.tril(a, -1)
    return (factor if lower else np.conj(np.swapaxes(factor, -1, -2))).astype(a.dtype) + kept


def _solve(a: Array, b: Array, left: bool, lower: bool, unit: bool, transpose: str) -> Array:
    t = np.tril(a) if lower else np.triu(a)
    if unit:
        t = t - t * np.eye(5) + np.eye(5)
    if transpose != "NO_TRANSPOSE":
        t = np.swapaxes(t, -1, -2)
    if transpose == "ADJOINT":
        t = np.conj(t)
    x = np.linalg.solve(t, b) if left else np.swapaxes(np.linalg.solve(np.swapaxes(t, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    return x.astype(b.dtype)


def _random() -> Iterator[Case]:
    for algorithm, size in (("THREE_FRY", 2), ("PHILOX", 2), ("DEFAULT", 2)):
        for element in ("ui32", "ui64", "i32", "i64", "ui8", "f32"):
            if element in ("ui8", "f32") and algorithm != "PHILOX":
                continue
            state = np.arange(1, size + 1, dtype=np.uint64)
            yield one("rng_bit_generator", f"{algorithm}{size}:{element}", [state], [f"{size}xui64", f"7x3x{element}"],
                      f"rng_algorithm = #stablehlo<rng_algorithm {algorithm}>",
                      expected=lambda s, a=algorithm, e=element: _bits(s, a, e))  # fmt: skip


def _bits(state: Array, algorithm: str, element: str) -> list[Array]:
    import jax
    from jax import lax

    from tests.importers.stablehlo_oracle import dtype_of

    with jax.enable_x64(True):
        names = {"THREE_FRY": "RNG_THREE_FRY", "PHILOX": "RNG_PHILOX", "DEFAULT": "RNG_DEFAULT"}
        kind = {"i32": "uint32", "i64": "uint64", "f32": "uint32"}.get(element, dtype_of(element).name)
        key, bits = lax.rng_bit_generator(state, (7, 3), dtype=np.dtype(kind), algorithm=getattr(lax.RandomAlgorithm, names[algorithm]))
        return [np.asarray(key), np.asarray(bits).view(dtype_of(element))]


def _dynamic() -> Iterator[Case]:
    """Extents that are known at run time alone; the reference is the static form."""

    def both(label: str, inputs: Sequence[Array], text: str, **options: object) -> Case:
        """`{?5}` is an extent of 5 that the compiler is not told."""
        kinds = [type_of(x) for x in inputs]
        static = re.sub(r"\{\?(\d+)\}", r"\1", text)
        arguments = re.search(r"@main\((.*?)\) ->", static, re.DOTALL)
        assert arguments and all(kind in arguments[1] for kind in kinds), (label, kinds, static)
        return Case(label, re.sub(r"\{\?\d+\}", "?", text), tuple(inputs), reference=static, **options)  # type: ignore

    x = sample("f32", (5, 1))
    yield both("dynamic_broadcast_in_dim", [x, np.array([3, 5, 4])], """
func.func @main(%x: tensor<{?5}x{?1}xf32>, %s: tensor<3xi64>) -> tensor<{?3}x{?5}x{?4}xf32> {
  %r = stablehlo.dynamic_broadcast_in_dim %x, %s, dims = [1, 2] : (tensor<{?5}x{?1}xf32>, tensor<3xi64>) -> tensor<{?3}x{?5}x{?4}xf32>
  return %r : tensor<{?3}x{?5}x{?4}xf32>
}""")
    for element in ("f32", "i1", "ui8", "complex<f32>"):
        y = sample(element, (6, 4))
        yield both(f"dynamic_reshape:{element}", [y, np.array([3, 2, 4], np.int32)], f"""
func.func @main(%x: tensor<{{?6}}x4x{element}>, %s: tensor<3xi32>) -> tensor<{{?3}}x{{?2}}x{{?4}}x{element}> {{
  %r = stablehlo.dynamic_reshape %x, %s : (tensor<{{?6}}x4x{element}>, tensor<3xi32>) -> tensor<{{?3}}x{{?2}}x{{?4}}x{element}>
  return %r : tensor<{{?3}}x{{?2}}x{{?4}}x{element}>
}}""")
    for element in ("i32", "f32", "ui8", "bf16"):
        for dim in (0, 1):
            yield both(f"dynamic_iota{dim}:{element}", [np.array([3, 4])], f"""
func.func @main(%s: tensor<2xi64>) -> tensor<{{?3}}x{{?4}}x{element}> {{
  %r = stablehlo.dynamic_iota %s, dim = {dim} : (tensor<2xi64>) -> tensor<{{?3}}x{{?4}}x{element}>
  return %r : tensor<{{?3}}x{{?4}}x{element}>
}}""")
    z = sample("f32", (6, 7))
    for label, low, high, inner in (("plain", (1, 0), (2, 3), (0, 0)), ("negative", (-2, 1), (1, -3), (0, 0)),
                                    ("interior", (0, 2), (1, 1), (2, 1)), ("all", (-3, 1), (-1, -2), (1, 3))):  # fmt: skip
        shape = [n + a + b + c * (n - 1) for n, a, b, c in zip(z.shape, low, high, inner, strict=True)]
        out = "x".join(f"{{?{n}}}" for n in shape)
        yield both(f"dynamic_pad:{label}", [z, np.float32(9) + np.zeros((), np.float32), *(np.array(v) for v in (low, high, inner))], f"""
func.func @main(%x: tensor<{{?6}}x{{?7}}xf32>, %v: tensor<f32>, %l: tensor<2xi64>, %h: tensor<2xi64>, %i: tensor<2xi64>) -> tensor<{out}xf32> {{
  %r = stablehlo.dynamic_pad %x, %v, %l, %h, %i : (tensor<{{?6}}x{{?7}}xf32>, tensor<f32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<{out}xf32>
  return %r : tensor<{out}xf32>
}}""")
    yield both("real_dynamic_slice", [z, np.array([1, 0]), np.array([6, 7]), np.array([2, 3])], """
func.func @main(%x: tensor<{?6}x{?7}xf32>, %b: tensor<2xi64>, %e: tensor<2xi64>, %s: tensor<2xi64>) -> tensor<{?3}x{?3}xf32> {
  %r = stablehlo.real_dynamic_slice %x, %b, %e, %s : (tensor<{?6}x{?7}xf32>, tensor<2xi64>, tensor<2xi64>, tensor<2xi64>) -> tensor<{?3}x{?3}xf32>
  return %r : tensor<{?3}x{?3}xf32>
}""", expected=lambda x, b, e, s: x[b[0] : e[0] : s[0], b[1] : e[1] : s[1]])
    yield both("dynamic_gather", [z, np.array([[5], [-2], [9]], np.int32), np.array([2, 7], np.int32)], """
func.func @main(%x: tensor<{?6}x{?7}xf32>, %i: tensor<{?3}x1xi32>, %s: tensor<2xi32>) -> tensor<{?3}x{?2}x{?7}xf32> {
  %r = "stablehlo.dynamic_gather"(%x, %i, %s) <{dimension_numbers = #stablehlo.gather<offset_dims = [1, 2], start_index_map = [0], index_vector_dim = 1>}>
    : (tensor<{?6}x{?7}xf32>, tensor<{?3}x1xi32>, tensor<2xi32>) -> tensor<{?3}x{?2}x{?7}xf32>
  return %r : tensor<{?3}x{?2}x{?7}xf32>
}""")
    image, kernel = sample("f32", (2, 7, 6, 4)), sample("f32", (3, 2, 4, 5), 1)
    attributes = ("dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>, window_strides = array<i64: 2, 1>, "
                  "rhs_dilation = array<i64: 1, 2>, feature_group_count = 1 : i64, batch_group_count = 1 : i64")  # fmt: skip
    yield both("dynamic_conv", [image, kernel, np.array([[1, 1], [0, 2]])], f"""
func.func @main(%x: tensor<{{?2}}x{{?7}}x6x4xf32>, %w: tensor<3x2x4x5xf32>, %p: tensor<2x2xi64>) -> tensor<{{?2}}x{{?4}}x{{?6}}x5xf32> {{
  %r = "stablehlo.dynamic_conv"(%x, %w, %p) <{{{attributes}}}>
    : (tensor<{{?2}}x{{?7}}x6x4xf32>, tensor<3x2x4x5xf32>, tensor<2x2xi64>) -> tensor<{{?2}}x{{?4}}x{{?6}}x5xf32>
  return %r : tensor<{{?2}}x{{?4}}x{{?6}}x5xf32>
}}""")
    yield both("convolution:dynamic", [image, kernel], f"""
func.func @main(%x: tensor<{{?2}}x{{?7}}x6x4xf32>, %w: tensor<3x2x4x5xf32>) -> tensor<{{?2}}x{{?4}}x5x5xf32> {{
  %r = "stablehlo.convolution"(%x, %w) <{{{attributes}, padding = {matrix([(1, 1), (0, 1)])}}}>
    : (tensor<{{?2}}x{{?7}}x6x4xf32>, tensor<3x2x4x5xf32>) -> tensor<{{?2}}x{{?4}}x5x5xf32>
  return %r : tensor<{{?2}}x{{?4}}x5x5xf32>
}}""")
    generic = {
        "reduce_window": ([image[..., 0].copy(), np.array(0, np.float32)], ["2x4x5xf32"],
                          f"window_dimensions = {i64s((1, 3, 2))}, window_strides = {i64s((1, 2, 1))}, padding = {matrix([(0, 0), (1, 1), (0, 0)])}",
                          [binary_region("add", "f32")]),
        "reduce": ([image, np.array(1, np.float32)], ["2x7xf32"], f"dimensions = {i64s((2, 3))}", [binary_region("maximum", "f32")]),
        "sort": ([z], ["6x7xf32"], "dimension = 0 : i64", [
            "^bb0(%x: tensor<f32>, %y: tensor<f32>):\n %z = stablehlo.compare LT, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
            ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n']),
        "scatter": ([z, np.array([[1], [9], [1]]), sample("f32", (3, 7), 1)], ["6x7xf32"],
                    "scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1], inserted_window_dims = [0], "
                    "scatter_dims_to_operand_dims = [0], index_vector_dim = 1>", [binary_region("add", "f32")]),
        "dynamic_slice": ([z, np.array(4), np.array(9)], ["3x2xf32"], f"slice_sizes = {i64s((3, 2))}", []),
        "dynamic_update_slice": ([z, sample("f32", (3, 2)), np.array(4), np.array(-9)], ["6x7xf32"], "", []),
        "select_and_scatter": ([z, sample("f32", (3, 3), 1), np.array(0, np.float32)], ["6x7xf32"],
                               f"window_dimensions = {i64s((2, 2))}, window_strides = {i64s((2, 2))}", [
            "^bb0(%x: tensor<f32>, %y: tensor<f32>):\n %z = stablehlo.compare GE, %x, %y : (tensor<f32>, tensor<f32>) -> tensor<i1>\n"
            ' "stablehlo.return"(%z) : (tensor<i1>) -> ()\n', binary_region("add", "f32")]),
        "concatenate": ([z, sample("f32", (6, 2))], ["6x9xf32"], "dimension = 1 : i64", []),
        "transpose": ([z], ["7x6xf32"], f"permutation = {i64s((1, 0))}", []),
        "reverse": ([z], ["6x7xf32"], f"dimensions = {i64s((1,))}", []),
        "pad": ([z, np.array(2, np.float32)], ["9x5xf32"], f"edge_padding_low = {i64s((1, -1))}, edge_padding_high = {i64s((2, -1))}, "
                f"interior_padding = {i64s((0, 0))}", []),
        "pad-interior": ([z, np.array(2, np.float32)], ["14x11xf32"], f"edge_padding_low = {i64s((1, -1))}, edge_padding_high = {i64s((2, -1))}, "
                f"interior_padding = {i64s((1, 1))}", []),
        "dot_general": ([z, sample("f32", (7, 3))], ["6x3xf32"],
                        "dot_dimension_numbers = #stablehlo.dot<lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]>", []),
        "select": ([z > 0, z, -z], ["6x7xf32"], "", []), "clamp": ([np.array(-1, np.float32), z, np.array(2, np.float32)], ["6x7xf32"], "", []),
        "get_dimension_size": ([z], ["i32"], "dimension = 1 : i64", []),
        "convert": ([z], ["6x7xi8"], "", []), "slice": ([z], ["2x3xf32"], f"start_indices = {i64s((1, 0))}, limit_indices = {i64s((5, 7))}, strides = {i64s((3, 3))}", []),
    }  # fmt: skip
    for label, (given, results, text, regions) in generic.items():
        static = operation(label.split("-")[0], given, results, text, regions)
        dims = {6: "?", 7: "?"} if label not in ("slice", "dynamic_slice") else {6: "?", 7: "7"}
        dynamic = re.sub(r"tensor<((?:\d+x)+)", lambda m: "tensor<" + re.sub(r"\d+", lambda n: dims.get(int(n[0]), n[0]), m[1]), static)
        if label in ("pad", "pad-interior", "concatenate", "reduce_window"):
            dynamic = re.sub(r"tensor<(9x5|14x11|6x9|2x4x5)xf32", lambda m: "tensor<" + "x".join("?" * (m[1].count("x") + 1)) + "xf32", dynamic)
            dynamic = dynamic.replace("?x9xf32", "?x?xf32") if label == "concatenate" else dynamic
        if label == "slice":
            dynamic = dynamic.replace("?x7xf32", "6x?xf32").replace("2x3xf32", "2x3xf32")
        yield Case(f"{label}:dynamic", dynamic, tuple(np.asarray(v) for v in given), reference=static)


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_control_flow, _collectives, _normalizations, _linear_algebra, _random, _dynamic):
        yield from section()
