"""Fourier transforms of all kinds of lengths and shapes against numpy's in twice the precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import mlirage
from mlirage.fourier import largest_prime, radices_of, roots, table_length, table_of

# One stage and several, whole vectors and parts of them, every prime with stages, primes without, odd and even.
_LENGTHS = (1, 2, 6, 31, 44, 63, 130, 256)


def _function(name: str, kind: str, source: str, result: str, length: object) -> str:
    return f"""func.func @{name}(%x: tensor<{source}>) -> tensor<{result}> {{
  %y = stablehlo.fft %x, type = {kind}, length = {length} : (tensor<{source}>) -> tensor<{result}>
  return %y : tensor<{result}>
}}
"""


def _text(length: int, rows: object, part: str) -> str:
    number, half = f"complex<{part}>", length // 2 + 1
    whole, first, real = f"{rows}x{length}x{number}", f"{rows}x{half}x{number}", f"{rows}x{length}x{part}"
    return (
        _function(f"fft{length}", "FFT", whole, whole, [length])
        + _function(f"ifft{length}", "IFFT", whole, whole, [length])
        + _function(f"rfft{length}", "RFFT", real, first, [length])
        + _function(f"irfft{length}", "IRFFT", first, real, [length])
        + f"""func.func @of_real{length}(%x: tensor<{real}>) -> tensor<{whole}> {{
  %z = stablehlo.convert %x : (tensor<{real}>) -> tensor<{whole}>
  %y = stablehlo.fft %z, type = FFT, length = [{length}] : (tensor<{whole}>) -> tensor<{whole}>
  return %y : tensor<{whole}>
}}
"""
    )


def _only(results: tuple[np.ndarray, ...]) -> np.ndarray:
    (result,) = results
    return result


def _check(got: np.ndarray, right: np.ndarray, length: int, where: str) -> None:
    assert got.shape == right.shape, where
    epsilon = float(np.finfo(got.dtype).eps)
    error = np.abs(got - right).max(initial=0) / np.abs(right).max(initial=1e-30)
    assert error < (1 + 2 * np.log2(length + 1)) * epsilon, where


@pytest.mark.parametrize(
    ("part", "target", "rows"),
    [("f32", "host", "3"), ("f64", "host", "?"), ("f32", "x86_64-unknown-linux-gnu", "2"), ("f32", "vmvx", "2")],
)
def test_lengths(part: str, target: str, rows: str) -> None:
    options: dict[str, str] = {"target_backend": "vmvx"} if target == "vmvx" else {"target": target}
    lengths = _LENGTHS if part == "f32" and target == "host" else _LENGTHS[2::2]
    text = "".join(_text(length, rows, part) for length in lengths)
    module = mlirage.load(mlirage.compile(text, opt_level=1, **options), device="local-sync")
    random = np.random.default_rng(0)
    count = 5 if rows == "?" else int(rows)
    kind = np.dtype({"f32": "c8", "f64": "c16"}[part])
    for n in lengths:
        exact = random.standard_normal((count, n, 2)).astype(part.replace("f", "float")) @ np.array([1, 1j])
        z = exact.astype(kind)
        real = np.ascontiguousarray(z.real)
        half = np.ascontiguousarray(z[:, : n // 2 + 1])  # parts that no real signal has, too
        for name, argument, right in (
            ("fft", z, np.fft.fft(exact)),
            ("ifft", z, np.fft.ifft(exact)),
            ("rfft", real, np.fft.rfft(exact.real)),
            ("irfft", half, np.fft.irfft(exact[:, : n // 2 + 1], n)),
            ("of_real", real, np.fft.fft(exact.real)),
        ):
            _check(_only(module[f"{name}{n}"](argument)), right, n, f"{name} of {n}")


def test_axes_and_long_lengths() -> None:
    shapes = {"2x12x5": (12, 5), "3x7x40": (7, 40), "1x40x37": (40, 37), "4x3x33": (3, 33)}
    text = "".join(
        _function(f"fft_{name}", "FFT", f"{name}xcomplex<f32>", f"{name}xcomplex<f32>", list(lengths))
        for name, lengths in shapes.items()
    )
    text += _function("columns", "FFT", "?x?x9x4xcomplex<f32>", "?x?x9x4xcomplex<f32>", [9, 4])
    text += _function("long", "FFT", "2x49152xcomplex<f32>", "2x49152xcomplex<f32>", [49152])
    text += _function("prime", "FFT", "1x20011xcomplex<f32>", "1x20011xcomplex<f32>", [20011])
    text += _function("empty", "FFT", "0x8xcomplex<f32>", "0x8xcomplex<f32>", [8])
    module = mlirage.load(mlirage.compile(text, opt_level=1), device="local-task", threads=2)
    random = np.random.default_rng(1)

    def numbers(*shape: int) -> np.ndarray:
        return (random.standard_normal((*shape, 2)) @ np.array([1, 1j])).astype(np.complex64)

    for name, lengths in shapes.items():
        z = numbers(*map(int, name.split("x")))
        _check(_only(module[f"fft_{name}"](z)), np.fft.fftn(z.astype("c16"), axes=(1, 2)), int(np.prod(lengths)), name)
    z = numbers(3, 2, 9, 4)
    _check(_only(module["columns"](z)), np.fft.fftn(z.astype("c16"), axes=(2, 3)), 36, "columns")
    for name, shape in (("long", (2, 49152)), ("prime", (1, 20011))):
        z = numbers(*shape)
        _check(_only(module[name](z)), np.fft.fft(z.astype("c16")), shape[1], name)
    assert _only(module["empty"](numbers(0, 8))).shape == (0, 8)


def test_what_is_not_finite_stays_in_its_row() -> None:
    text = _function("main", "FFT", "3x48xcomplex<f32>", "3x48xcomplex<f32>", [48])
    z = np.ones((3, 48), np.complex64)
    z[1, 5] = np.nan
    result = _only(mlirage.load(mlirage.compile(text), device="local-sync")(z))
    assert np.isnan(result[1]).all()
    assert np.isfinite(result[[0, 2]]).all()


def test_plans() -> None:
    for length in range(1, 2000):
        radices = radices_of(length)
        assert (radices is None) == (largest_prime(length) > 13)
        if radices is None:
            continue
        assert np.prod(radices) == length
        assert all(2 <= radix <= 16 for radix in radices) or length == 1
        for real in (False, True) if length % 97 == 0 or length < 40 else ():
            assert len(table_of(radices, False, real)) == table_length(radices, real)


def test_roots_are_exact_where_they_can_be() -> None:
    for count, inverse in itertools.product((1, 2, 4, 8, 12, 100), (False, True)):
        turns = np.arange(-count, 2 * count)
        right = np.exp((2j if inverse else -2j) * np.pi * (turns % count) / count)
        np.testing.assert_allclose(roots(count, turns, inverse), right, rtol=0, atol=2e-15)
    assert list(roots(4, [0, 1, 2, 3], True)) == [1, 1j, -1, -1j]
