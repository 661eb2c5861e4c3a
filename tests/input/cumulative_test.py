"""Running totals of StableHLO programs, which are windows there: their values, and that no step is done twice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import mlirage
from mlirage.module_file import ModuleFile

_FUNCTIONS = {"add": lax.cumsum, "multiply": lax.cumprod, "maximum": lax.cummax, "minimum": lax.cummin}


def _values(shape: tuple[int, ...], dtype: str) -> Any:
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.uniform(0.5, 1.5, shape).astype(dtype)
    return random.integers(0, 4, shape).astype(dtype)


@pytest.mark.parametrize("name", _FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint32", "int8", "uint8", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "axis", "reverse"), [((5, 7), 1, False), ((4, 9, 3), 1, True), ((1,), 0, False)])
def test_equals_jax(name: str, dtype: str, shape: tuple[int, ...], axis: int, reverse: bool) -> None:
    x = np.asarray(_values(shape, "float32" if dtype == "bfloat16" else dtype))
    given = jnp.asarray(x, dtype)

    def function(x: Any) -> Any:
        return _FUNCTIONS[name](x, axis=axis, reverse=reverse)

    got = mlirage.load(mlirage.compile(function, [given]))(np.asarray(given))
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2}.get(dtype, 1e-5)
    np.testing.assert_allclose(
        np.asarray(got).astype(np.float64), np.asarray(function(given)).astype(np.float64), rtol=tolerance
    )


def test_infinities_and_nan() -> None:
    x = np.array([1.0, np.inf, 2.0, np.nan, -np.inf], np.float32)
    for function in _FUNCTIONS.values():
        got = mlirage.load(mlirage.compile(function, [x]))(x)
        np.testing.assert_array_equal(got, function(jnp.asarray(x)))


def test_work_grows_with_the_extent() -> None:
    """A window of the whole extent at every place would take its square."""
    module = mlirage.compile(jnp.cumsum, [jax.ShapeDtypeStruct((1 << 14,), np.float32)])
    assert sum("scan" in name for name in ModuleFile.read_dispatches(bytes(module))) == 1
    x = np.ones(1 << 14, np.float32)
    np.testing.assert_array_equal(mlirage.load(module)(x), np.arange(1, (1 << 14) + 1, dtype=np.float32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("reverse", [False, True])
def test_narrow_totals_round_once(dtype: str, reverse: bool) -> None:
    """Rounded at every step, a total of bf16 ones would end at 256; as windows it would take the square."""
    x = np.asarray(jnp.asarray(np.random.default_rng(1).uniform(0, 1, 4099), dtype))
    module = mlirage.compile(lambda x: lax.cumsum(x, reverse=reverse), [x])
    assert sum("scan" in name for name in ModuleFile.read_dispatches(bytes(module))) == 1
    exact = x.astype(np.float64)[:: -1 if reverse else 1].cumsum()[:: -1 if reverse else 1]
    np.testing.assert_allclose(
        np.asarray(mlirage.load(module)(x)).astype(np.float64), exact, rtol=0.51 * float(jnp.finfo(dtype).eps)
    )


@pytest.mark.parametrize(
    ("window", "stride", "padding", "initial"),
    [(6, 1, (5, 0), 1.0), (6, 2, (5, 0), 0.0), (5, 1, (4, 0), 0.0), (6, 1, (4, 1), 0.0)],
)
def test_other_windows_stay(window: int, stride: int, padding: tuple[int, int], initial: float) -> None:
    """Windows that move, and an initial value that counts: once, and for each place outside, as the text has it."""
    x = np.arange(6, dtype=np.float32)

    def function(x: Any) -> Any:
        return lax.reduce_window(x, np.float32(initial), lax.add, (window,), (stride,), (padding,))

    padded = np.pad(x, padding, constant_values=initial)
    wanted = [initial + padded[i : i + window].sum() for i in range(0, len(padded) - window + 1, stride)]
    np.testing.assert_allclose(mlirage.load(mlirage.compile(function, [x]))(x), wanted)
