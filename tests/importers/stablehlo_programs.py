# ruff: noqa: E501 - lines of MLIR
"""StableHLO's control flow, collectives of one device, linear algebra and random numbers, as programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tests.importers.stablehlo_elementwise import shaped
from tests.importers.stablehlo_oracle import Array, Case, type_of
from tests.importers.stablehlo_structural import binary_region, i64s, one, sample


def program(label: str, inputs: Sequence[Array], results: str, body: str, **options: object) -> Case:
    """A case of a whole body; `results` are types of what `return` returns."""
    arguments = ", ".join(f"%a{i}: {type_of(x)}" for i, x in enumerate(inputs))
    return Case(label, f"func.func @main({arguments}) -> ({results}) {{\n{body}\n}}", tuple(inputs), **options)  # type: ignore


def _control_flow() -> Iterator[Case]:
    x = sample("f32", (3,))
    for n in (0, 1, 5):
        count = np.array(n, np.int32)
        yield program(
            f"while:{n}",
            [x, count],
            "tensor<3xf32>, tensor<i32>",
            """
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
  return %r#0, %r#1 : tensor<3xf32>, tensor<i32>""",
        )
    for p in (False, True):
        yield program(
            f"if:{p}",
            [x, np.array(p)],
            "tensor<3xf32>",
            """
  %r = "stablehlo.if"(%a1) ({ %y = stablehlo.negate %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }, { stablehlo.return %a0 : tensor<3xf32> }) : (tensor<i1>) -> tensor<3xf32>
  return %r : tensor<3xf32>""",
        )
    for i in (-7, -1, 0, 1, 2, 3, 2**31 - 1):
        yield program(
            f"case:{i}",
            [x, np.array(i, np.int32)],
            "tensor<3xf32>",
            """
  %r = "stablehlo.case"(%a1) ({ %y = stablehlo.negate %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }, { stablehlo.return %a0 : tensor<3xf32> }, { %y = stablehlo.add %a0, %a0 : tensor<3xf32>
    stablehlo.return %y : tensor<3xf32> }) : (tensor<i32>) -> tensor<3xf32>
  return %r : tensor<3xf32>""",
        )
    yield one(
        "case",
        "single",
        [np.array(5, np.int32)],
        ["f32"],
        "",
        [
            '%c = "stablehlo.constant"() <{value = dense<3.0> : tensor<f32>}> : () -> tensor<f32>\n "stablehlo.return"(%c) : (tensor<f32>) -> ()'
        ],
    )
    for element in ("f32", "i32", "ui8"):
        a, b = sample(element, (3, 4)), sample(element, (3, 4), 1)
        yield one(
            "map",
            element,
            [a, b],
            [shaped(a, element)],
            f"dimensions = {i64s((0, 1))}",
            [
                f"^bb0(%x: tensor<{element}>, %y: tensor<{element}>):\n %m = stablehlo.multiply %x, %y : tensor<{element}>\n"
                f' %s = stablehlo.subtract %m, %x : tensor<{element}>\n "stablehlo.return"(%s) : (tensor<{element}>) -> ()'
            ],
        )
    yield program(
        "tuple",
        [x, np.array(4, np.int32)],
        "tensor<i32>, tensor<3xf32>",
        """
  %t = stablehlo.tuple %a0, %a1 : tuple<tensor<3xf32>, tensor<i32>>
  %u = stablehlo.tuple %t, %a1 : tuple<tuple<tensor<3xf32>, tensor<i32>>, tensor<i32>>
  %v = stablehlo.get_tuple_element %u[0] : (tuple<tuple<tensor<3xf32>, tensor<i32>>, tensor<i32>>) -> tuple<tensor<3xf32>, tensor<i32>>
  %p = stablehlo.get_tuple_element %v[1] : (tuple<tensor<3xf32>, tensor<i32>>) -> tensor<i32>
  %q = stablehlo.get_tuple_element %v[0] : (tuple<tensor<3xf32>, tensor<i32>>) -> tensor<3xf32>
  return %p, %q : tensor<i32>, tensor<3xf32>""",
    )
    yield Case(
        "composite",
        """
func.func @main(%a0: tensor<3xf32>) -> tensor<3xf32> {
  %r = stablehlo.composite "acme.twice" %a0 {decomposition = @twice, version = 1 : i32} : (tensor<3xf32>) -> tensor<3xf32>
  return %r : tensor<3xf32>
}
func.func private @twice(%x: tensor<3xf32>) -> tensor<3xf32> {
  %y = stablehlo.add %x, %x : tensor<3xf32>
  return %y : tensor<3xf32>
}""",
        (x,),
    )
    yield program(
        "token",
        [x],
        "tensor<3xf32>",
        """
  %t = stablehlo.create_token : !stablehlo.token
  %u = stablehlo.after_all %t, %t : !stablehlo.token
  return %a0 : tensor<3xf32>""",
        expected=lambda x: x,
    )


def _collectives() -> Iterator[Case]:
    groups = "replica_groups = dense<0> : tensor<1x1xi64>"
    x = sample("f32", (2, 3))

    def same(*arrays: Array) -> Array:
        return arrays[0]

    add = binary_region("add", "f32")
    yield one("all_reduce", "1", [x], ["2x3xf32"], groups, [add], expected=same)
    yield one("all_gather", "1", [x], ["2x3xf32"], f"all_gather_dim = 1 : i64, {groups}", expected=same)
    yield one("reduce_scatter", "1", [x], ["2x3xf32"], f"scatter_dimension = 0 : i64, {groups}", [add], expected=same)
    yield one(
        "all_to_all",
        "1",
        [x],
        ["2x3xf32"],
        f"split_dimension = 1 : i64, concat_dimension = 0 : i64, split_count = 1 : i64, {groups}",
        expected=same,
    )
    yield one("collective_broadcast", "1", [x], ["2x3xf32"], groups, expected=same)
    yield one(
        "collective_permute",
        "self",
        [x],
        ["2x3xf32"],
        "source_target_pairs = dense<0> : tensor<1x2xi64>",
        expected=same,
    )
    yield one(
        "collective_permute",
        "nobody",
        [x],
        ["2x3xf32"],
        "source_target_pairs = dense<> : tensor<0x2xi64>",
        expected=lambda x: x * 0,
    )
    yield one("replica_id", "1", [], ["ui32"], expected=lambda: np.uint32(0))
    yield one("partition_id", "1", [], ["ui32"], expected=lambda: np.uint32(0))
    yield one("cross-replica-sum", "1", [x], ["2x3xf32"], groups, expected=same)


def normalizations() -> Iterator[Case]:
    """The three batch normalizations, for types of float."""
    for element in ("f32", "f64", "f16"):
        x = sample(element, (4, 3, 5))
        scale, offset, mean, variance = (np.abs(sample(element, (3,), i)) + (i == 3) for i in range(4))
        attributes = "epsilon = 1.0e-3 : f32, feature_index = 1 : i64"
        yield one(
            "batch_norm_inference",
            element,
            [x, scale, offset, mean, variance],
            [shaped(x, element)],
            attributes,
            ulps=8,
            expected=lambda *v: _normalize(*v),
            atol=1e-2 if element == "f16" else 1e-6,
        )
        yield one(
            "batch_norm_training",
            element,
            [x, scale, offset],
            [shaped(x, element), f"3x{element}", f"3x{element}"],
            attributes,
            expected=_train,
            atol=2e-2 if element == "f16" else 1e-5,
        )
        grad = sample(element, (4, 3, 5), "g")
        yield one(
            "batch_norm_grad",
            element,
            [x, scale, mean, variance, grad],
            [shaped(x, element), f"3x{element}", f"3x{element}"],
            attributes,
            expected=_gradients,
            atol=5e-1 if element == "f16" else 2e-4,
        )


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
        element = {"float32": "f32", "float64": "f64", "complex64": "complex<f32>", "complex128": "complex<f64>"}[
            np.dtype(dtype).name
        ]
        tolerance = 2e-4 if np.finfo(dtype).eps > 1e-10 else 1e-10
        m = rng.standard_normal((2, 5, 5)) + (1j * rng.standard_normal((2, 5, 5)) if np.dtype(dtype).kind == "c" else 0)
        spd = (m @ np.conj(np.swapaxes(m, 1, 2)) + 5 * np.eye(5)).astype(dtype)
        for lower in (True, False):
            yield one(
                "cholesky",
                f"{lower}:{element}",
                [spd],
                [shaped(spd, element)],
                f"lower = {str(lower).lower()}",
                expected=lambda a, lower=lower: _cholesky(a, lower),
                atol=tolerance,
            )
        t = (m / 4 + 3 * np.eye(5)).astype(dtype)
        for left in (True, False):
            for lower in (True, False):
                for unit in (True, False):
                    for transpose in ("NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"):
                        b = rng.standard_normal((2, 5, 3) if left else (2, 3, 5)).astype(dtype)
                        yield one(
                            "triangular_solve",
                            f"{left}{lower}{unit}{transpose}:{element}",
                            [t, b],
                            [shaped(b, element)],
                            f"left_side = {str(left).lower()}, lower = {str(lower).lower()}, unit_diagonal = {str(unit).lower()}, "
                            f"transpose_a = #stablehlo<transpose {transpose}>",
                            expected=lambda a, b, o=(left, lower, unit, transpose): _solve(a, b, *o),
                            atol=tolerance,
                        )
    for n in (1, 2, 7, 8, 12, 31, 64, 97):
        z = (rng.standard_normal((3, n)) + 1j * rng.standard_normal((3, n))).astype(np.complex64)
        for kind in ("FFT", "IFFT"):
            f = np.fft.fft if kind == "FFT" else np.fft.ifft
            yield one(
                "fft",
                f"{kind}{n}",
                [z],
                [f"3x{n}xcomplex<f32>"],
                f"fft_type = #stablehlo<fft_type {kind}>, fft_length = {i64s((n,))}",
                expected=lambda x, f=f: f(x).astype(np.complex64),
                atol=1e-4 * n,
            )
        x = rng.standard_normal((3, n))
        yield one(
            "fft",
            f"RFFT{n}",
            [x],
            [f"3x{n // 2 + 1}xcomplex<f64>"],
            f"fft_type = #stablehlo<fft_type RFFT>, fft_length = {i64s((n,))}",
            expected=np.fft.rfft,
            atol=1e-11 * n,
        )
        half = np.fft.rfft(x)
        yield one(
            "fft",
            f"IRFFT{n}",
            [half],
            [f"3x{n}xf64"],
            f"fft_type = #stablehlo<fft_type IRFFT>, fft_length = {i64s((n,))}",
            expected=lambda y, n=n: np.fft.irfft(y, n),
            atol=1e-11 * n,
        )
    z = (rng.standard_normal((2, 3, 5)) + 1j * rng.standard_normal((2, 3, 5))).astype(np.complex128)
    yield one(
        "fft",
        "3d",
        [z],
        ["2x3x5xcomplex<f64>"],
        f"fft_type = #stablehlo<fft_type FFT>, fft_length = {i64s((2, 3, 5))}",
        expected=np.fft.fftn,
        atol=1e-11,
    )
    yield one(
        "fft",
        "R2d",
        [z.real.copy()],
        ["2x3x3xcomplex<f64>"],
        f"fft_type = #stablehlo<fft_type RFFT>, fft_length = {i64s((3, 5))}",
        expected=np.fft.rfft2,
        atol=1e-11,
    )


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
    x = (
        np.linalg.solve(t, b)
        if left
        else np.swapaxes(np.linalg.solve(np.swapaxes(t, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
    )
    return x.astype(b.dtype)


def _random() -> Iterator[Case]:
    for algorithm, size in (("THREE_FRY", 2), ("PHILOX", 2), ("DEFAULT", 2)):
        for element in ("ui32", "ui64", "i32", "i64", "ui8", "f32"):
            if element in ("ui8", "f32") and algorithm != "PHILOX":
                continue
            state = np.arange(1, size + 1, dtype=np.uint64)
            yield one(
                "rng_bit_generator",
                f"{algorithm}{size}:{element}",
                [state],
                [f"{size}xui64", f"7x3x{element}"],
                f"rng_algorithm = #stablehlo<rng_algorithm {algorithm}>",
                expected=lambda s, a=algorithm, e=element: _bits(s, a, e),
            )


def _bits(state: Array, algorithm: str, element: str) -> list[Array]:
    import jax
    from jax import lax

    from tests.importers.stablehlo_oracle import dtype_of

    with jax.enable_x64(True):
        names = {"THREE_FRY": "RNG_THREE_FRY", "PHILOX": "RNG_PHILOX", "DEFAULT": "RNG_DEFAULT"}
        kind = {"i32": "uint32", "i64": "uint64", "f32": "uint32"}.get(element, dtype_of(element).name)
        key, bits = lax.rng_bit_generator(
            state, (7, 3), dtype=np.dtype(kind), algorithm=getattr(lax.RandomAlgorithm, names[algorithm])
        )
        return [np.asarray(key), np.asarray(bits).view(dtype_of(element))]


def cases() -> Iterator[Case]:
    """All of them."""
    for section in (_control_flow, _collectives, normalizations, _linear_algebra, _random):
        yield from section()
