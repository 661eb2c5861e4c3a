"""Functions of JAX with what to call them on: the table behind jax_functions_test.py and jax_functions_all.py.

An argument is a text: `f32[3,5]` (normal), `f32[7]:0..1` (uniform), `i32[4]:0..5` (integers below 5), `f32{special}`
(NaN, infinities, zeros, denormals, …), `key` (a threefry key). `x64` is on, so that every type is what the text says.
"""
# ruff: noqa: E501  a table: a case is a line

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.ndimage
import jax.scipy.signal
import jax.scipy.special as jss
import jax.scipy.stats as stats
import ml_dtypes
import numpy as np
from jax import lax, nn
from jax import random as jr

_DTYPES = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64, "c64": np.complex64,
    "c128": np.complex128, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
    "u16": np.uint16, "u32": np.uint32, "u64": np.uint64, "b": np.bool_,
}  # fmt: skip
_SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.7, -3.2, 10.0, -10.0, 1e-3, -1e-3, 88.0, -88.0, 1e4, -1e4,
    np.inf, -np.inf, np.nan, 6e-8, 1e-4, 0.99, -0.99, 1.5, 20.5, 33.3, -0.1, 0.3, 2.5, -2.5,
]  # fmt: skip


def argument(text: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """The array that `text` describes."""
    rng = np.random.default_rng([seed, *text.encode()])
    if text == "key":
        return np.array([0x243F6A88, 0x85A308D3 + seed], np.uint32)
    kind, body, _, low, high = re.fullmatch(r"(\w+)([\[{].*[\]}])(:(-?[\d.e+-]+?)\.\.(-?[\d.e+-]+))?", text).groups()  # pyright: ignore[reportOptionalMemberAccess]
    dtype = np.dtype(_DTYPES[kind])
    if body == "{special}":
        values = np.array(_SPECIAL)
        if dtype.kind == "c":
            some = values[np.abs(values) < 50]
            return (some[:, None] + 1j * some[None, ::3]).ravel().astype(dtype)
        with np.errstate(all="ignore"):
            return values.astype(dtype)
    shape = tuple(int(d) for d in body[1:-1].split(",") if d)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(
            int(low) if low else max(info.min, -20), int(high) if high else min(info.max, 20), shape, dtype=dtype
        )
    if low:
        values = rng.uniform(float(low), float(high), shape)
    else:
        values = rng.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * (rng.uniform(float(low), float(high), shape) if low else rng.standard_normal(shape))
    return np.asarray(values).astype(dtype)


@dataclass(frozen=True)
class Case:
    """A function and its arguments; results may differ from JAX's by rtol·|x| + atol."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    rtol: float = 2e-5
    atol: float = 2e-6

    def values(self) -> tuple[np.ndarray[Any, Any], ...]:
        return tuple(argument(text, number) for number, text in enumerate(self.arguments))


CASES: dict[str, Case] = {}


def add(name: str, function: Callable[..., Any], *arguments: str, rtol: float = 2e-5, atol: float = 2e-6) -> None:
    """Adds a case; its name tells the types where a function has several."""
    if name in CASES:
        raise ValueError(f"two cases {name}")
    CASES[name] = Case(name, function, arguments, rtol, atol)


def _each(module: Any, prefix: str, names: str, *arguments: str, rtol: float = 2e-5, atol: float = 2e-6) -> None:
    for name in names.split():
        add(f"{prefix}.{name}", getattr(module, name), *arguments, rtol=rtol, atol=atol)


def _spd(a: Any) -> Any:
    return a @ jnp.swapaxes(a, -1, -2).conj() + a.shape[-1] * jnp.eye(a.shape[-1], dtype=a.dtype)


def _sym(a: Any) -> Any:
    return (a + jnp.swapaxes(a, -1, -2).conj()) / 2


# ---- jax.numpy: elementwise -----------------------------------------------------------------------------------------
_each(
    jnp, "jnp",
    "abs acos acosh asin asinh atan atanh cbrt ceil cos cosh deg2rad exp exp2 expm1 fabs floor i0 isfinite isinf isnan "
    "isneginf isposinf log log10 log1p log2 nan_to_num negative positive rad2deg reciprocal rint round sign "
    "signbit sin sinc sinh sqrt square tan tanh trunc logical_not modf spacing", "f32{special}",
)  # fmt: skip
add("jnp.frexp", lambda x: jnp.frexp(jnp.where(jnp.isfinite(x), x, 1.0)), "f32{special}")
_FLOAT_UNARY = (
    "abs acos acosh asin asinh atan atanh cbrt ceil cos cosh exp exp2 expm1 floor log log10 log1p log2 round sign sin "
    "sinh sqrt tan tanh"
)
for _kind, _rtol in (("f64", 1e-12), ("f16", 2e-3), ("bf16", 2e-2)):
    for _name in _FLOAT_UNARY.split():
        add(f"jnp.{_name}:{_kind}", getattr(jnp, _name), f"{_kind}{{special}}", rtol=_rtol, atol=_rtol / 10)
for _kind, _rtol in (("c64", 5e-4), ("c128", 1e-9)):
    for _name in (
        "abs acos acosh angle asin asinh atan atanh conj cos cosh exp exp2 expm1 log log10 log1p log2 real imag sign "
        "sin sinh sqrt square tan tanh reciprocal negative"
    ).split():
        add(f"jnp.{_name}:{_kind}", getattr(jnp, _name), f"{_kind}[40]:-3..3", rtol=_rtol, atol=_rtol)
_each(
    jnp, "jnp",
    "add arctan2 copysign divide equal float_power floor_divide fmax fmin fmod greater greater_equal heaviside hypot "
    "less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum mod multiply nextafter "
    "not_equal power remainder subtract true_divide divmod", "f32{special}", "f32[32]",
)  # fmt: skip
for _kind in ("i8", "u8", "i32", "u32", "i64", "u64"):
    for _name in (
        "add subtract multiply floor_divide remainder maximum minimum bitwise_and bitwise_or bitwise_xor equal less "
        "greater_equal fmod divmod true_divide gcd"
    ).split():
        add(f"jnp.{_name}:{_kind}", getattr(jnp, _name), f"{_kind}[37]:0..120", f"{_kind}[37]:0..9")
    for _name in ("abs", "sign", "invert", "bitwise_count", "square", "negative"):
        add(f"jnp.{_name}:{_kind}", getattr(jnp, _name), f"{_kind}[37]")
    add(f"jnp.left_shift:{_kind}", jnp.left_shift, f"{_kind}[37]", f"{_kind}[37]:0..70")
    add(f"jnp.right_shift:{_kind}", jnp.right_shift, f"{_kind}[37]", f"{_kind}[37]:0..70")
    add(f"lax.shift_right_logical:{_kind}", lax.shift_right_logical, f"{_kind}[37]", f"{_kind}[37]:0..70")
    add(f"lax.clz:{_kind}", lax.clz, f"{_kind}[37]")
    add(f"jnp.power:{_kind}", jnp.power, f"{_kind}[37]:0..20", f"{_kind}[37]:0..9")
    add(f"sum:{_kind}", lambda x: (x.sum(), x.prod(0), x.max(0), x.argmin(1), x.mean()), f"{_kind}[5,7]")
    add(f"sort:{_kind}", lambda x: (jnp.sort(x), jnp.argsort(x), lax.top_k(x, 3)), f"{_kind}[5,17]")
    add(f"casts:{_kind}", lambda x: tuple(x.astype(d) for d in _DTYPES.values()), f"{_kind}[37]:0..120")
    add(f"dot:{_kind}", lambda x, y: x @ y, f"{_kind}[5,7]", f"{_kind}[7,3]")
for _kind in ("f32", "f64", "f16", "bf16"):
    add(f"casts:{_kind}", lambda x: tuple(x.astype(d) for d in _DTYPES.values()), f"{_kind}[37]:0..100")
    add(
        f"narrow_casts:{_kind}",
        lambda x: tuple(
            x.astype(d).astype(np.float32)
            for d in (jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.float8_e4m3b11fnuz, jnp.float8_e5m2fnuz,
                      jnp.float8_e4m3fnuz, jnp.float8_e3m4, jnp.float8_e4m3, jnp.int4, jnp.uint4)
        ), f"{_kind}[37]:0..7",
    )  # fmt: skip
    add(f"sort:{_kind}", lambda x: (jnp.sort(x), jnp.argsort(x), lax.top_k(x, 9)), f"{_kind}{{special}}")
    add(f"max:{_kind}", lambda x: (x.max(), x.min(), x.argmax(), x.argmin()), f"{_kind}{{special}}")
add("casts:c64", lambda x: (x.astype(np.complex128), x.real.astype(np.int32), x.astype(bool)), "c64[7]")
add("casts:b", lambda x: tuple(x.astype(d) for d in _DTYPES.values()), "b[37]")
add("jnp.sort:c64", lambda x: (jnp.sort(jnp.round(x)), jnp.argsort(jnp.round(x))), "c64[50]")
add("jnp.maximum:c64", lambda x, y: (jnp.maximum(x, y), jnp.minimum(x, y), x < jnp.round(y)), "c64[50]", "c64[50]")
add("jnp.add:c64", lambda x, y: (x + y, x - y, x * y, x / y, x == y, x != y), "c64[50]", "c64[50]")
add("jnp.power:c64", jnp.power, "c64[50]", "c64[50]", rtol=1e-4, atol=1e-5)
add("jnp.power:f64", jnp.power, "f64{special}", "f64[32]", rtol=1e-12)
add("jnp.power:f16", jnp.power, "f16{special}", "f16[32]", rtol=2e-3)
add("jnp.arctan2:f64", jnp.arctan2, "f64{special}", "f64[32]", rtol=1e-12)
add("jnp.arctan2:f16", jnp.arctan2, "f16{special}", "f16[32]", rtol=2e-3)
add("jnp.remainder:f64", lambda x, y: (x % y, jnp.fmod(x, y)), "f64{special}", "f64[32]", rtol=1e-12)
add("jnp.ldexp", jnp.ldexp, "f32[9]", "i32[9]:-9..9")
add("jnp.lcm", jnp.lcm, "i32[9]", "i32[9]")
add("jnp.bitwise:b", lambda x, y: (x & y, x | y, x ^ y, ~x, x + y, x * y, x.sum(), x.all(), x.any()), "b[9]", "b[9]")
add("jnp.clip", lambda x: jnp.clip(x, -1, 2), "f32{special}")
add("jnp.where", jnp.where, "b[5,1]", "f32[5,7]", "f32[7]")
add("jnp.select", lambda x: jnp.select([x < 0, x < 1], [x, x**2], 7.0), "f32[9]")
add("jnp.piecewise", lambda x: jnp.piecewise(x, [x < 0, x > 1], [lambda v: -v, lambda v: v * v, 3.0]), "f32[9]")
add("jnp.unwrap", jnp.unwrap, "f32[9]:-9..9")
add("jnp.isclose", lambda x, y: (jnp.isclose(x, y), jnp.allclose(x, y), jnp.array_equal(x, y)), "f32[9]", "f32[9]")
add("jnp.real_if_complex", lambda x: (jnp.iscomplex(x), jnp.isreal(x)), "c64[9]")

# ---- jax.numpy: reductions and scans ----------------------------------------------------------------------------------
_each(
    jnp, "jnp",
    "all any max min argmax argmin average count_nonzero cumprod cumsum mean median nanargmax nanargmin nanmax nanmean "
    "nanmedian nanmin nanprod nanstd nansum nanvar prod ptp std sum var trace nancumsum nancumprod", "f32[5,7]",
)  # fmt: skip
for _name in "max min argmax argmin cumprod cumsum mean median prod std sum var nanmean nansum nanmax all any".split():
    add(f"jnp.{_name}:axis", partial(getattr(jnp, _name), axis=1), "f32[5,7,3]")
add("jnp.percentile", lambda x: jnp.percentile(x, jnp.array([10.0, 50.0, 77.0])), "f32[31]")
add("jnp.quantile", lambda x: jnp.quantile(x, 0.3, axis=0), "f32[9,4]")
add("jnp.nanquantile", lambda x: jnp.nanquantile(x, 0.3, axis=0), "f32[9,4]")
add("jnp.nanpercentile", lambda x: jnp.nanpercentile(x, 30, axis=0), "f32[9,4]")
add("jnp.cumulative_sum", lambda x: jnp.cumulative_sum(x, axis=1, include_initial=True), "f32[5,7]")
add("jnp.cumulative_prod", lambda x: jnp.cumulative_prod(x, axis=0), "f32[5,7]")
add("jnp.nanmax:nan", lambda x: (jnp.nanmax(x), jnp.nansum(x), x.max(), x.min(), jnp.sort(x)), "f32{special}")
add("jnp.reduce:empty", lambda x: (x.sum(0), x.prod(0), x.any(0), x.all(1), x.mean(0)), "f32[0,3]")
add("jnp.histogram", lambda x: jnp.histogram(x, 7), "f32[50]")
add("jnp.histogram2d", lambda x, y: jnp.histogram2d(x, y, 4), "f32[50]", "f32[50]")
add("jnp.bincount", lambda x: jnp.bincount(x, length=9), "i32[50]:0..9")
add("jnp.digitize", lambda x, b: jnp.digitize(x, jnp.sort(b)), "f32[20]", "f32[7]")
add("jnp.searchsorted", lambda a, v: jnp.searchsorted(jnp.sort(a), v), "f32[31]", "f32[9]")
add("jnp.searchsorted:scan_unrolled", lambda a, v: jnp.searchsorted(jnp.sort(a), v, method="scan_unrolled"), "f32[31]", "f32[9]")  # fmt: skip
add("jnp.searchsorted:sort", lambda a, v: jnp.searchsorted(jnp.sort(a), v, side="right", method="sort"), "f32[31]", "f32[9]")  # fmt: skip
add("jnp.interp", lambda x, a, y: jnp.interp(x, jnp.sort(a), y), "f32[9]", "f32[7]", "f32[7]")
add("jnp.corrcoef", jnp.corrcoef, "f32[4,9]")
add("jnp.cov", jnp.cov, "f32[4,9]")
add("jnp.gradient", jnp.gradient, "f32[6,7]")
add("jnp.diff", lambda x: jnp.diff(x, 2), "f32[6,7]")
add("jnp.ediff1d", jnp.ediff1d, "f32[6]")
add("jnp.trapezoid", jnp.trapezoid, "f32[6,7]")
add("jnp.convolve", jnp.convolve, "f32[9]", "f32[4]")
add("jnp.correlate", lambda x, y: jnp.correlate(x, y, "full"), "f32[9]", "f32[4]")
add("jnp.convolve:same", lambda x, y: jnp.convolve(x, y, "same"), "f32[9]", "f32[4]")

# ---- jax.numpy: shapes, indices, sets -----------------------------------------------------------------------------------
_SHAPES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "append": (jnp.append, ("f32[3]", "f32[4]")),
    "apply_along_axis": (lambda x: jnp.apply_along_axis(jnp.cumsum, 0, x), ("f32[3,4]",)),
    "apply_over_axes": (lambda x: jnp.apply_over_axes(jnp.sum, x, [0, 2]), ("f32[3,4,2]",)),
    "argpartition": (lambda x: jnp.sort(jnp.argpartition(x, 3)[:3]), ("f32[9]",)),
    "argsort": (lambda x: (jnp.argsort(x), jnp.argsort(x, descending=True)), ("f32[5,9]",)),
    "argwhere": (lambda x: jnp.argwhere(x > 0, size=9, fill_value=-1), ("f32[3,5]",)),
    "array_split": (lambda x: jnp.array_split(x, 3), ("f32[8]",)),
    "atleast": (lambda x: (jnp.atleast_1d(x), jnp.atleast_2d(x), jnp.atleast_3d(x)), ("f32[]",)),
    "bartlett": (lambda x: x * jnp.bartlett(9), ("f32[9]",)),
    "blackman": (lambda x: x * jnp.blackman(9), ("f32[9]",)),
    "hamming": (lambda x: x * jnp.hamming(9), ("f32[9]",)),
    "hanning": (lambda x: x * jnp.hanning(9), ("f32[9]",)),
    "kaiser": (lambda x: x * jnp.kaiser(9, 3.0), ("f32[9]",)),
    "block": (lambda x, y: jnp.block([[x, y], [y, x]]), ("f32[2,3]", "f32[2,3]")),
    "broadcast_to": (lambda x: jnp.broadcast_to(x, (4, 2, 3)), ("f32[2,1]",)),
    "broadcast_arrays": (jnp.broadcast_arrays, ("f32[2,1]", "f32[5]")),
    "choose": (lambda i, x, y: jnp.choose(i, [x, y], mode="clip"), ("i32[5]:0..2", "f32[5]", "f32[5]")),
    "column_stack": (lambda x, y: jnp.column_stack([x, y]), ("f32[4]", "f32[4,2]")),
    "compress": (lambda c, x: jnp.compress(c, x, axis=0, size=4), ("b[7]", "f32[7,2]")),
    "concatenate": (lambda x, y: jnp.concatenate([x, y, x], 1), ("f32[2,3]", "f32[2,0]")),
    "cross": (jnp.cross, ("f32[5,3]", "f32[5,3]")),
    "delete:dynamic": (lambda x, i: jnp.delete(x, i, assume_unique_indices=True), ("f32[9]", "i32[1]:0..9")),
    "diag": (lambda x: (jnp.diag(x), jnp.diag(x[0], 1)), ("f32[4,4]",)),
    "diagflat": (jnp.diagflat, ("f32[2,2]",)),
    "diagonal": (lambda x: jnp.diagonal(x, 1, 0, 2), ("f32[4,3,5]",)),
    "dsplit": (lambda x: jnp.dsplit(x, 2), ("f32[2,3,4]",)),
    "dstack": (lambda x, y: jnp.dstack([x, y]), ("f32[2,3]", "f32[2,3]")),
    "einsum": (lambda x, y, z: jnp.einsum("bij,bjk,k->bi", x, y, z), ("f32[2,3,4]", "f32[2,4,5]", "f32[5]")),
    "einsum:trace": (lambda x: (jnp.einsum("ii", x), jnp.einsum("ij->ji", x), jnp.einsum("ii->i", x)), ("f32[4,4]",)),
    "einsum:outer": (lambda x, y: jnp.einsum("i,jk->kij", x, y), ("f32[4]", "f32[3,2]")),
    "expand_dims": (lambda x: jnp.expand_dims(x, (0, 2)), ("f32[2,3]",)),
    "extract": (lambda x: jnp.extract(x > 0, x, size=5, fill_value=-7), ("f32[3,4]",)),
    "eye": (lambda x: x + jnp.eye(3, 4, 1), ("f32[3,4]",)),
    "fill_diagonal": (lambda x: jnp.fill_diagonal(x, 9.0, inplace=False), ("f32[4,4]",)),
    "flip": (lambda x: (jnp.flip(x), jnp.fliplr(x), jnp.flipud(x)), ("f32[3,4]",)),
    "flatnonzero": (lambda x: jnp.flatnonzero(x > 0, size=5), ("f32[3,4]",)),
    "frombuffer": (lambda x: lax.bitcast_convert_type(x, np.uint8), ("f32[3]",)),
    "geomspace": (lambda x: x * jnp.geomspace(1, 100, 5), ("f32[5]",)),
    "hsplit": (lambda x: jnp.hsplit(x, [1, 3]), ("f32[2,5]",)),
    "hstack": (lambda x, y: jnp.hstack([x, y]), ("f32[2,3]", "f32[2,4]")),
    "indices": (lambda x: x + jnp.indices((2, 3)), ("i32[2,3]",)),
    "inner": (jnp.inner, ("f32[3,4]", "f32[5,4]")),
    "insert": (lambda x: jnp.insert(x, 2, 7.0), ("f32[5]",)),
    "intersect1d": (lambda x, y: jnp.intersect1d(x, y, size=5, fill_value=-1), ("i32[9]:0..9", "i32[9]:0..9")),
    "isin": (jnp.isin, ("i32[9]:0..9", "i32[4]:0..9")),
    "ix_": (lambda x: x[jnp.ix_(jnp.array([0, 2]), jnp.array([1, 3]))], ("f32[3,4]",)),
    "kron": (jnp.kron, ("f32[2,3]", "f32[3,2]")),
    "lexsort": (lambda x, y: jnp.lexsort((x, y)), ("i32[20]:0..4", "i32[20]:0..4")),
    "linspace": (lambda a, b: jnp.linspace(a, b, 7), ("f32[]", "f32[]")),
    "logspace": (lambda a, b: jnp.logspace(a, b, 7), ("f32[]", "f32[]")),
    "arange": (lambda x: x + jnp.arange(2, 11, 3), ("f32[3]",)),
    "matmul": (jnp.matmul, ("f32[2,1,3,4]", "f32[5,4,6]")),
    "matmul:vector": (lambda x, y: (x @ y, y @ y), ("f32[3,4]", "f32[4]")),
    "matvec": (jnp.matvec, ("f32[2,3,4]", "f32[2,4]")),
    "matrix_transpose": (jnp.matrix_transpose, ("f32[2,3,4]",)),
    "meshgrid": (jnp.meshgrid, ("f32[3]", "f32[4]")),
    "mgrid": (lambda x: x + jnp.mgrid[0:2, 0:3][0], ("f32[2,3]",)),
    "moveaxis": (lambda x: jnp.moveaxis(x, 0, 2), ("f32[2,3,4]",)),
    "nonzero": (lambda x: jnp.nonzero(x > 0, size=9), ("f32[3,5]",)),
    "outer": (jnp.outer, ("f32[3]", "f32[4]")),
    "packbits": (lambda x: jnp.packbits(x > 100), ("u8[19]:0..200",)),
    "unpackbits": (jnp.unpackbits, ("u8[3]:0..255",)),
    "pad:constant": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), constant_values=5), ("f32[2,3]",)),
    "pad:edge": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "edge"), ("f32[2,3]",)),
    "pad:reflect": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "reflect"), ("f32[3,4]",)),
    "pad:symmetric": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "symmetric"), ("f32[3,4]",)),
    "pad:wrap": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "wrap"), ("f32[3,4]",)),
    "pad:linear_ramp": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "linear_ramp"), ("f32[3,4]",)),
    "pad:mean": (lambda x: jnp.pad(x, ((1, 2), (0, 3)), "mean"), ("f32[3,4]",)),
    "partition": (lambda x: jnp.sort(jnp.partition(x, 3)[:3]), ("f32[9]",)),
    "polyadd": (jnp.polyadd, ("f32[3]", "f32[5]")),
    "polyder": (jnp.polyder, ("f32[5]",)),
    "polydiv": (jnp.polydiv, ("f32[5]", "f32[3]")),
    "polyfit": (lambda x, y: jnp.polyfit(x, y, 2), ("f32[9]", "f32[9]")),
    "polyint": (jnp.polyint, ("f32[5]",)),
    "polymul": (jnp.polymul, ("f32[3]", "f32[5]")),
    "polysub": (jnp.polysub, ("f32[3]", "f32[5]")),
    "polyval": (jnp.polyval, ("f32[3]", "f32[5]")),
    "poly": (jnp.poly, ("f32[4]",)),
    "put": (lambda x, i, v: jnp.put(x, i, v, inplace=False), ("f32[9]", "i32[3]:0..9", "f32[3]")),
    "put_along_axis": (
        lambda x, i, v: jnp.put_along_axis(x, i, v, 1, inplace=False), ("f32[3,5]", "i32[3,1]:0..5", "f32[3,1]")),
    "ravel_multi_index": (lambda i, j: jnp.ravel_multi_index((i, j), (4, 5), mode="clip"), ("i32[6]:0..4", "i32[6]:0..5")),
    "repeat": (lambda x: jnp.repeat(x, 3, 1), ("f32[2,3]",)),
    "repeat:array": (lambda x, n: jnp.repeat(x, n, total_repeat_length=12), ("f32[5]", "i32[5]:0..4")),
    "resize": (lambda x: jnp.resize(x, (3, 5)), ("f32[2,3]",)),
    "roll": (lambda x: (jnp.roll(x, 2), jnp.roll(x, -1, 1)), ("f32[3,4]",)),
    "roll:dynamic": (lambda x, n: jnp.roll(x, n, 0), ("f32[7,4]", "i32[]:0..5")),
    "rollaxis": (lambda x: jnp.rollaxis(x, 2), ("f32[2,3,4]",)),
    "rot90": (jnp.rot90, ("f32[2,3]",)),
    "setdiff1d": (lambda x, y: jnp.setdiff1d(x, y, size=5, fill_value=-1), ("i32[9]:0..9", "i32[4]:0..9")),
    "setxor1d": (lambda x, y: jnp.setxor1d(x, y, size=9, fill_value=-1), ("i32[9]:0..9", "i32[4]:0..9")),
    "sort": (lambda x: (jnp.sort(x, 0), jnp.sort(x, descending=True)), ("f32[9,5]",)),
    "sort_complex": (jnp.sort_complex, ("f32[9]",)),
    "split": (lambda x: jnp.split(x, 2, 1), ("f32[3,4]",)),
    "squeeze": (jnp.squeeze, ("f32[1,3,1]",)),
    "stack": (lambda x, y: jnp.stack([x, y], 1), ("f32[3]", "f32[3]")),
    "swapaxes": (lambda x: jnp.swapaxes(x, 0, 2), ("f32[2,3,4]",)),
    "take": (lambda x, i: (jnp.take(x, i, 0), jnp.take(x, i, mode="wrap"), jnp.take(x, i, 1, mode="clip")), ("f32[4,5]", "i32[3]:-9..9")),
    "take_along_axis": (lambda x, i: jnp.take_along_axis(x, i, 1), ("f32[3,5]", "i32[3,2]:-5..5")),
    "tensordot": (lambda x, y: jnp.tensordot(x, y, ((1, 0), (0, 2))), ("f32[3,4,2]", "f32[4,5,3]")),
    "tile": (lambda x: jnp.tile(x, (2, 1, 3)), ("f32[2,3]",)),
    "tri": (lambda x: x * jnp.tri(3, 4, 1), ("f32[3,4]",)),
    "tril": (lambda x: (jnp.tril(x), jnp.triu(x, 1)), ("f32[2,4,5]",)),
    "tril_indices": (lambda x: x[jnp.tril_indices(4)], ("f32[4,4]",)),
    "trim_zeros": (lambda x: jnp.flatnonzero(x, size=4), ("i32[9]:0..2",)),
    "union1d": (lambda x, y: jnp.union1d(x, y, size=12, fill_value=-1), ("i32[9]:0..9", "i32[4]:0..9")),
    "unique": (lambda x: jnp.unique(x, size=9, return_index=True, return_inverse=True, return_counts=True), ("i32[20]:0..9",)),
    "unravel_index": (lambda i: jnp.unravel_index(i, (4, 5)), ("i32[6]:0..20",)),
    "unstack": (jnp.unstack, ("f32[3,4]",)),
    "vander": (lambda x: jnp.vander(x, 4), ("f32[3]",)),
    "vdot": (jnp.vdot, ("c64[3,4]", "c64[3,4]")),
    "vecdot": (jnp.vecdot, ("f32[3,4]", "f32[3,4]")),
    "vecmat": (jnp.vecmat, ("f32[3]", "f32[3,4]")),
    "vectorize": (jnp.vectorize(lambda x, y: x @ y, signature="(n),(n)->()"), ("f32[3,4]", "f32[4]")),
    "vsplit": (lambda x: jnp.vsplit(x, 3), ("f32[6,2]",)),
    "vstack": (lambda x, y: jnp.vstack([x, y]), ("f32[4]", "f32[2,4]")),
    "dot": (jnp.dot, ("f32[2,3,4]", "f32[4,5]")),
    "view": (lambda x: x.view(np.int16), ("f32[3,4]",)),
    "index:slices": (lambda x: (x[1:-1, ::2], x[::-1], x[..., None], x[-1]), ("f32[5,6]",)),
    "index:arrays": (lambda x, i: (x[i], x[:, i], x[i, i], x[i[:, None], i], x[..., i, 1]), ("f32[6,7]", "i32[4]:-6..6")),
    "at:set": (lambda x, i: x.at[i].set(1.0), ("f32[6,3]", "i32[4]:-9..9")),
    "at:add": (lambda x, i: x.at[i, 1].add(2.0), ("f32[6,3]", "i32[4]:-6..6")),
    "at:multiply": (lambda x, i: x.at[:, i].multiply(2.0), ("f32[6,3]", "i32[2]:0..3")),
    "at:min": (lambda x, i: (x.at[i].min(0.1), x.at[i].max(0.2)), ("f32[6]", "i32[4]:0..6")),
    "at:get": (lambda x, i: x.at[i].get(mode="fill", fill_value=-5), ("f32[6]", "i32[4]:0..12")),
    "at:drop": (lambda x, i: x.at[i].set(3.0, mode="drop"), ("f32[6]", "i32[4]:0..12")),
    "at:clip": (lambda x, i: x.at[i].add(3.0, mode="clip"), ("f32[6]", "i32[4]:0..12")),
    "at:apply": (lambda x, i: x.at[i].apply(jnp.sin), ("f32[6]", "i32[4]:0..6")),
    "at:divide": (lambda x, i: (x.at[i].divide(3.0), x.at[i].power(2.0)), ("f32[6]:0..3", "i32[2]:0..3")),
    "at:slice": (lambda x, y: x.at[1:4, ::2].set(y), ("f32[6,6]", "f32[3,3]")),
    "at:u8": (lambda x, i: x.at[i].add(3), ("u8[6]:0..255", "u8[4]:0..6")),
    "at:c64": (lambda x, i: x.at[i].add(3 + 1j), ("c64[6]", "u8[4]:0..6")),
    "at:b": (lambda x, i: x.at[i].set(True), ("b[6]", "i64[4]:0..6")),
    "indexing:0d": (lambda x, i: (x[i], lax.dynamic_index_in_dim(x, i, 1)), ("f32[6,5]", "i32[]:0..5")),
    "empty": (lambda x: (x + 1, x.T @ x, jnp.sort(x), x[:, :0], jnp.concatenate([x, x])), ("f32[0,4]",)),
}  # fmt: skip
for _name, (_function, _arguments) in _SHAPES.items():
    add(f"jnp.{_name}", _function, *_arguments)

# ---- jax.numpy.fft --------------------------------------------------------------------------------------------------------
_each(jnp.fft, "jnp.fft", "fft ifft fft2 ifft2 fftn ifftn irfft irfft2 irfftn hfft", "c64[6,10]", atol=2e-5)
_each(jnp.fft, "jnp.fft", "rfft rfft2 rfftn ihfft fftshift ifftshift", "f32[6,10]", atol=2e-5)
for _length in (1, 2, 7, 16, 31, 60, 97, 128):
    add(
        f"jnp.fft:{_length}",
        lambda x: (jnp.fft.fft(x), jnp.fft.ifft(x), jnp.fft.rfft(x.real), jnp.fft.irfft(x, n=2 * x.shape[-1] - 1)),
        f"c64[2,{_length}]",
        atol=1e-4,
    )
add("jnp.fft:f64", lambda x: (jnp.fft.fft(x), jnp.fft.rfft(x.real)), "c128[3,30]", rtol=1e-12, atol=1e-12)
add("jnp.fft.fftfreq", lambda x: x * jnp.fft.fftfreq(9) + jnp.fft.rfftfreq(16), "f32[9]")

# ---- linear algebra -----------------------------------------------------------------------------------------------------
_T = {"f32": 2e-4, "f64": 1e-10, "c64": 2e-4, "c128": 1e-10}
for _kind, _tol in _T.items():
    _sq, _bt = f"{_kind}[5,5]", f"{_kind}[2,3,4,4]"
    _linalg: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
        "cholesky": (lambda a: jnp.linalg.cholesky(_spd(a)), (_bt,)),
        "cholesky:upper": (lambda a: jnp.linalg.cholesky(_spd(a), upper=True), (_sq,)),
        "cholesky:indefinite": (lambda a: jnp.linalg.cholesky(_sym(a) - 9 * jnp.eye(5, dtype=a.dtype)), (_sq,)),
        "det": (jnp.linalg.det, (_bt,)),
        "slogdet": (jnp.linalg.slogdet, (_bt,)),
        "inv": (jnp.linalg.inv, (_bt,)),
        "solve": (jnp.linalg.solve, (_sq, f"{_kind}[5,2]")),
        "solve:vector": (jnp.linalg.solve, (_sq, f"{_kind}[5]")),
        "qr": (lambda a: (lambda q, r: (q @ r, jnp.abs(r), q.conj().T @ q))(*jnp.linalg.qr(a)), (f"{_kind}[6,4]",)),
        "qr:complete": (lambda a: jnp.linalg.qr(a, "complete"), (f"{_kind}[6,4]",)),
        "qr:wide": (jnp.linalg.qr, (f"{_kind}[2,3,6]",)),
        "qr:r": (lambda a: jnp.linalg.qr(a, "r"), (f"{_kind}[6,4]",)),
        "eigh": (lambda a: (lambda w, v: (w, v @ jnp.diag(w).astype(a.dtype) @ v.conj().T, jnp.abs(v)))(*jnp.linalg.eigh(_sym(a))), (_sq,)),
        "eigvalsh": (lambda a: jnp.linalg.eigvalsh(_sym(a)), (_bt,)),
        "svd": (lambda a: (lambda u, s, v: (s, (u * s) @ v, jnp.abs(u), jnp.abs(v)))(*jnp.linalg.svd(a, full_matrices=False)), (f"{_kind}[6,4]",)),
        "svd:full": (lambda a: (lambda u, s, v: (s, (u[..., :3] * s[..., None, :].astype(u.dtype)) @ v[..., :3, :], u @ u.conj().mT, v @ v.conj().mT))(*jnp.linalg.svd(a)), (f"{_kind}[2,3,5]",)),
        "svd:qr": (lambda a: lax.linalg.svd(a, compute_uv=False, algorithm=lax.linalg.SvdAlgorithm.QR), (f"{_kind}[6,4]",)),
        "svdvals": (jnp.linalg.svdvals, (_bt,)),
        "pinv": (jnp.linalg.pinv, (f"{_kind}[6,4]",)),
        "lstsq": (lambda a, b: jnp.linalg.lstsq(a, b)[0], (f"{_kind}[6,4]", f"{_kind}[6,2]")),
        "matrix_power": (lambda a: (jnp.linalg.matrix_power(a, 5), jnp.linalg.matrix_power(a, -2)), (_sq,)),
        "matrix_rank": (jnp.linalg.matrix_rank, (_sq,)),
        "cond": (jnp.linalg.cond, (_sq,)),
        "norm": (lambda a: (jnp.linalg.norm(a), jnp.linalg.norm(a, 1), jnp.linalg.norm(a, 2), jnp.linalg.norm(a, "nuc")), (_sq,)),
        "lu": (jax.scipy.linalg.lu, (f"{_kind}[5,4]",)),
        "lu_factor": (jax.scipy.linalg.lu_factor, (_sq,)),
        "lu_solve": (lambda a, b: jax.scipy.linalg.lu_solve(jax.scipy.linalg.lu_factor(a), b), (_sq, f"{_kind}[5,2]")),
        "cho_solve": (lambda a, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(_spd(a)), b), (_sq, f"{_kind}[5,2]")),
        "solve_triangular": (lambda a, b: jax.scipy.linalg.solve_triangular(a + 5 * jnp.eye(5, dtype=a.dtype), b), (_sq, f"{_kind}[5,2]")),
        "solve_triangular:lower_t": (lambda a, b: jax.scipy.linalg.solve_triangular(a + 5 * jnp.eye(5, dtype=a.dtype), b, trans=2, lower=True), (_sq, f"{_kind}[5,2]")),
        "triangular_solve": (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=False, lower=True, unit_diagonal=True, conjugate_a=True, transpose_a=True), (f"{_kind}[2,4,4]", f"{_kind}[2,3,4]")),
        "expm": (lambda a: jax.scipy.linalg.expm(a / 3), (_sq,)),
        "polar": (jax.scipy.linalg.polar, (_sq,)),
        "eigvals": (lambda a: jnp.sort(jnp.linalg.eigvals(a)), (_sq,)),
        "eig": (lambda a: (lambda w, v: a @ v - v * w)(*jnp.linalg.eig(a)), (_sq,)),
        "schur": (lambda a: (lambda t, z: (z @ t @ z.conj().T - a, z @ z.conj().T))(*jax.scipy.linalg.schur(a)), (_sq,)),
        "hessenberg": (lambda a: (lambda h, q: (q @ h @ q.conj().T, jnp.abs(h)))(*jax.scipy.linalg.hessenberg(a, calc_q=True)), (_sq,)),
        "householder_product": (lambda a, t: lax.linalg.householder_product(a, t), (f"{_kind}[5,3]", f"{_kind}[3]")),
        "tridiagonal_solve": (lambda low, d, u, b: lax.linalg.tridiagonal_solve(low, d + 5, u, b), (f"{_kind}[5]", f"{_kind}[5]", f"{_kind}[5]", f"{_kind}[5,2]")),
    }  # fmt: skip
    for _name, (_function, _arguments) in _linalg.items():
        add(f"linalg.{_name}:{_kind}", _function, *_arguments, rtol=_tol * 5, atol=_tol)
for _name, (_function, _arguments) in {
    "multi_dot": (lambda a, b, c: jnp.linalg.multi_dot([a, b, c]), ("f32[3,4]", "f32[4,5]", "f32[5,2]")),
    "tensorinv": (lambda a: jnp.linalg.tensorinv(a, 2), ("f32[2,3,6]",)),
    "tensorsolve": (lambda a, b: jnp.linalg.tensorsolve(a, b), ("f32[2,3,6]", "f32[2,3]")),
    "vector_norm": (lambda a: (jnp.linalg.vector_norm(a), jnp.linalg.vector_norm(a, ord=3, axis=1)), ("f32[3,4]",)),
    "cross": (jnp.linalg.cross, ("f32[4,3]", "f32[4,3]")),
    "sqrtm": (lambda a: jax.scipy.linalg.sqrtm(_spd(a)), ("f32[5,5]",)),
    "toeplitz": (jax.scipy.linalg.toeplitz, ("f32[4]",)),
    "hilbert": (lambda a: a + jax.scipy.linalg.hilbert(4), ("f32[4,4]",)),
    "block_diag": (jax.scipy.linalg.block_diag, ("f32[2,3]", "f32[3,1]")),
    "eigh_tridiagonal": (
        lambda d, e: jax.scipy.linalg.eigh_tridiagonal(d, e, eigvals_only=True), ("f32[6]", "f32[5]")),
    "empty": (lambda a: (jnp.linalg.inv(a), jnp.linalg.cholesky(a), jnp.linalg.qr(a), jnp.linalg.svd(a)), ("f32[0,0]",)),
    "empty_batch": (lambda a: (jnp.linalg.inv(a), jnp.linalg.cholesky(a), jnp.linalg.qr(a)), ("f32[0,3,3]",)),
    "one": (lambda a: (jnp.linalg.inv(a), jnp.linalg.eigh(a), jnp.linalg.qr(a), jnp.linalg.svd(a)), ("f32[3,1,1]",)),
    "singular": (lambda a: (jnp.linalg.det(a * 0), jnp.linalg.svd(a * 0)[1], jnp.linalg.matrix_rank(a * 0)), ("f32[4,4]",)),
    "nan": (lambda a: (jnp.linalg.eigh(a / 0)[0], jnp.linalg.svd(a / 0)[1], jnp.linalg.cholesky(a * jnp.nan)), ("f32[3,3]",)),
    "large": (lambda a: (jnp.linalg.eigvalsh(_sym(a)), jnp.linalg.svdvals(a), jnp.linalg.det(a / 6)), ("f32[40,40]",)),
}.items():  # fmt: skip
    add(f"linalg.{_name}", _function, *_arguments, rtol=1e-3, atol=2e-4)

# ---- jax.scipy ------------------------------------------------------------------------------------------------------------
_each(
    jss, "special",
    "entr erf erfc exp1 expi expit digamma gammaln i0 i0e i1 i1e log_ndtr ndtr logsumexp softmax "
    "log_softmax gamma", "f32[31]:0.05..6",
)  # fmt: skip
_each(jss, "special", "erfinv logit ndtri spence", "f32[31]:0.01..0.99")
for _name in "erf erfc digamma gammaln log_ndtr ndtr expit i0e i1e gammasgn".split():
    add(f"special.{_name}:signed", getattr(jss, _name), "f32[31]:-6..6", rtol=1e-4)
    add(f"special.{_name}:f64", getattr(jss, _name), "f64[31]:-6..6", rtol=1e-9, atol=1e-11)
    add(f"special.{_name}:special", getattr(jss, _name), "f32{special}", rtol=1e-4)
_each(jss, "special", "beta betaln gammainc gammaincc xlogy xlog1py rel_entr kl_div zeta poch", "f32[31]:1.1..5", "f32[31]:0.1..4", rtol=2e-4)  # fmt: skip
add("special.betainc", jss.betainc, "f32[31]:0.1..5", "f32[31]:0.1..5", "f32[31]:0..1", rtol=2e-4)
add("special.betainc:f64", jss.betainc, "f64[31]:0.1..5", "f64[31]:0.1..5", "f64[31]:0..1", rtol=1e-8)
add("special.gammainc:f64", jss.gammainc, "f64[31]:0.1..5", "f64[31]:0.1..5", rtol=1e-8)
add("special.polygamma", lambda x: (jss.polygamma(1, x), jss.polygamma(2, x)), "f32[31]:0.5..5", rtol=2e-4)
add("special.multigammaln", lambda x: jss.multigammaln(x, 3), "f32[31]:3..9")
add("special.factorial", jss.factorial, "f32[9]:0..9")
add("special.expn", lambda x: jss.expn(jnp.array(2, np.float32), x), "f32[9]:0.1..5", rtol=1e-4)
add("special.bernoulli", lambda x: x + jss.bernoulli(5), "f32[6]")
add("special.bessel_jn", lambda x: jss.bessel_jn(x, v=3), "f32[9]:0.1..9", rtol=1e-3, atol=1e-4)
add("special.hyp1f1", jss.hyp1f1, "f32[9]:0.5..3", "f32[9]:3..5", "f32[9]:0..2", rtol=1e-4)
add("special.sph_harm_y", lambda t, p: jss.sph_harm_y(jnp.array([2]), jnp.array([1]), t, p, n_max=3), "f32[1]", "f32[1]", rtol=1e-4)  # fmt: skip
for _name in "norm laplace logistic cauchy expon gumbel_l gumbel_r".split():
    if hasattr(stats, _name):
        _d = getattr(stats, _name)
        add(f"stats.{_name}", lambda x, d=_d: (d.logpdf(x), d.pdf(x), d.cdf(x)), "f32[9]:0.1..3", rtol=1e-4)
add("stats.gamma", lambda x: (stats.gamma.logpdf(x, 2.0), stats.gamma.cdf(x, 2.0)), "f32[9]:0.1..3", rtol=1e-4)
add("stats.beta", lambda x: (stats.beta.logpdf(x, 2.0, 3.0), stats.beta.cdf(x, 2.0, 3.0)), "f32[9]:0.1..0.9", rtol=1e-4)
add("stats.t", lambda x: stats.t.logpdf(x, 3.0), "f32[9]", rtol=1e-4)
add("stats.poisson", lambda k: (stats.poisson.logpmf(k, 2.0), stats.poisson.cdf(k, 2.0)), "i32[9]:0..9", rtol=1e-4)
add("stats.multivariate_normal", lambda x: stats.multivariate_normal.logpdf(x, jnp.zeros(3), jnp.eye(3)), "f32[4,3]", rtol=1e-4)  # fmt: skip
add("stats.rankdata", lambda x: (stats.rankdata(x), stats.mode(jnp.round(x))), "f32[9]")
add("stats.gaussian_kde", lambda d, x: stats.gaussian_kde(d)(x), "f32[20]", "f32[5]", rtol=1e-3)
add("signal.convolve", jax.scipy.signal.convolve, "f32[9]", "f32[4]")
add("signal.convolve2d", jax.scipy.signal.convolve2d, "f32[6,7]", "f32[3,2]")
add("signal.correlate", jax.scipy.signal.correlate, "f32[9]", "f32[4]")
add("signal.fftconvolve", jax.scipy.signal.fftconvolve, "f32[9]", "f32[4]")
add("signal.stft", lambda x: jax.scipy.signal.stft(x, nperseg=16), "f32[64]")
add("signal.detrend", jax.scipy.signal.detrend, "f32[16]", rtol=1e-3, atol=1e-4)
add("ndimage.map_coordinates", lambda x, c: jax.scipy.ndimage.map_coordinates(x, [c, c], 1), "f32[6,7]", "f32[5]:0..5")
add("image.resize", lambda x: (jax.image.resize(x, (7, 9), "bilinear"), jax.image.resize(x, (3, 4), "cubic"), jax.image.resize(x, (8, 5), "nearest")), "f32[5,6]")  # fmt: skip
add("ops.segment_sum", lambda x, i: (jax.ops.segment_sum(x, i, 5), jax.ops.segment_max(x, i, 5), jax.ops.segment_prod(x, i, 5)), "f32[12,3]", "i32[12]:0..5")  # fmt: skip

# ---- jax.nn -----------------------------------------------------------------------------------------------------------------
_each(
    nn, "nn",
    "relu relu6 celu elu gelu glu hard_sigmoid hard_silu hard_tanh identity leaky_relu log_sigmoid log_softmax "
    "logsumexp mish selu sigmoid silu softmax softplus soft_sign sparse_plus sparse_sigmoid squareplus standardize",
    "f32[5,32]",
)  # fmt: skip
for _name in "relu sigmoid softplus gelu silu tanh".split():
    add(f"nn.{_name}:special", getattr(nn, _name), "f32{special}")
    add(f"nn.{_name}:bf16", getattr(nn, _name), "bf16[32]", rtol=2e-2, atol=1e-3)
add("nn.one_hot", lambda i: nn.one_hot(i, 5), "i32[7]:-1..6")
add("nn.gelu:exact", lambda x: nn.gelu(x, approximate=False), "f32{special}")
add("nn.softmax:axis", lambda x: (nn.softmax(x, 0), nn.log_softmax(x, (0, 1)), nn.softmax(x, where=x > 0)), "f32[3,4]")
add("nn.dot_product_attention", nn.dot_product_attention, "f32[2,5,3,4]", "f32[2,7,3,4]", "f32[2,7,3,4]", rtol=1e-4, atol=1e-5)  # fmt: skip
add("nn.dot_product_attention:causal", partial(nn.dot_product_attention, is_causal=True), "f32[2,5,4,4]", "f32[2,5,2,4]", "f32[2,5,2,4]", rtol=1e-4, atol=1e-5)  # fmt: skip
add("nn.scaled_matmul", lambda x, y: nn.logmeanexp(x @ y, -1) if hasattr(nn, "logmeanexp") else x @ y, "f32[3,4]", "f32[4,5]")  # fmt: skip

# ---- jax.random ---------------------------------------------------------------------------------------------------------------
_RANDOM: dict[str, Callable[[Any], Any]] = {
    "ball": lambda k: jr.ball(k, 3, shape=(4,)),
    "bernoulli": lambda k: jr.bernoulli(k, 0.3, (9,)),
    "beta": lambda k: jr.beta(k, 2.0, 3.0, (5,)),
    "binomial": lambda k: jr.binomial(k, 10, 0.3, (5,)),
    "bits": lambda k: (jr.bits(k, (7,)), jr.bits(k, (7,), np.uint8), jr.bits(k, (3,), np.uint64)),
    "categorical": lambda k: jr.categorical(k, jnp.arange(5.0), shape=(9,)),
    "cauchy": lambda k: jr.cauchy(k, (5,)),
    "chisquare": lambda k: jr.chisquare(k, 3.0, shape=(5,)),
    "choice": lambda k: (jr.choice(k, 9, (5,)), jr.choice(k, 9, (5,), replace=False)),
    "dirichlet": lambda k: jr.dirichlet(k, jnp.ones(4)),
    "double_sided_maxwell": lambda k: jr.double_sided_maxwell(k, 0.0, 1.0, (5,)),
    "exponential": lambda k: jr.exponential(k, (5,)),
    "f": lambda k: jr.f(k, 3.0, 4.0, shape=(5,)),
    "fold_in": lambda k: jr.fold_in(k, 7),
    "gamma": lambda k: jr.gamma(k, 2.0, (5,)),
    "generalized_normal": lambda k: jr.generalized_normal(k, 2.0, (5,)),
    "geometric": lambda k: jr.geometric(k, 0.3, (5,)),
    "gumbel": lambda k: jr.gumbel(k, (5,)),
    "laplace": lambda k: jr.laplace(k, (5,)),
    "loggamma": lambda k: jr.loggamma(k, 2.0, (5,)),
    "logistic": lambda k: jr.logistic(k, (5,)),
    "lognormal": lambda k: jr.lognormal(k, shape=(5,)),
    "maxwell": lambda k: jr.maxwell(k, (5,)),
    "multinomial": lambda k: jr.multinomial(k, 10, jnp.ones(4) / 4),
    "multivariate_normal": lambda k: jr.multivariate_normal(k, jnp.zeros(3), jnp.eye(3), (4,)),
    "normal": lambda k: (jr.normal(k, (5,)), jr.normal(k, (5,), np.float16), jr.normal(k, (3,), np.float64)),
    "normal:c64": lambda k: jr.normal(k, (5,), np.complex64),
    "orthogonal": lambda k: jnp.abs(jr.orthogonal(k, 3)),
    "pareto": lambda k: jr.pareto(k, 3.0, (5,)),
    "permutation": lambda k: (jr.permutation(k, 20), jr.permutation(k, jnp.arange(12).reshape(3, 4), 1, independent=True)),
    "poisson": lambda k: (jr.poisson(k, 3.0, (7,)), jr.poisson(k, 30.0, (7,))),
    "rademacher": lambda k: jr.rademacher(k, (9,)),
    "randint": lambda k: (jr.randint(k, (9,), -5, 50), jr.randint(k, (9,), 0, 200, np.uint8)),
    "rayleigh": lambda k: jr.rayleigh(k, 2.0, (5,)),
    "split": lambda k: jr.split(k, 3),
    "t": lambda k: jr.t(k, 3.0, (5,)),
    "triangular": lambda k: jr.triangular(k, 0.0, 0.5, 1.0, (5,)),
    "truncated_normal": lambda k: jr.truncated_normal(k, -1.0, 2.0, (5,)),
    "uniform": lambda k: (jr.uniform(k, (5,)), jr.uniform(k, (5,), jnp.bfloat16), jr.uniform(k, (3,), np.float64)),
    "wald": lambda k: jr.wald(k, 2.0, (5,)),
    "weibull_min": lambda k: jr.weibull_min(k, 2.0, 3.0, (5,)),
    "rbg": lambda k: jr.normal(jr.wrap_key_data(jnp.concatenate([k, k]), impl="rbg"), (9,)),
    "unsafe_rbg": lambda k: jr.uniform(jr.wrap_key_data(jnp.concatenate([k, k]), impl="unsafe_rbg"), (9,)),
}  # fmt: skip
for _name, _function in _RANDOM.items():
    add(f"random.{_name}", _function, "key", rtol=1e-4, atol=1e-5)
