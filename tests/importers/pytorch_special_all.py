"""Special functions in f64 against mpmath: near 0, on both sides of where methods change, far out, and at the edges."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlirage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

mpmath = pytest.importorskip("mpmath")
pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations
special = torch.special
_SIGNED = (-700.5, -60.25, -18.5, -17.5, -7.5, -6.5, -2.25, -1.0, -0.3, -1e-5, 0.0)
_POSITIVE = (1e-6, 0.013, 0.3, 0.99, 1.0, 1.7, 2.0, 2.1, 5.5, 7.5, 9.99, 14.9, 17.9, 18.1, 30.0, 120.0, 690.0)
_BOTH = (*_SIGNED, *_POSITIVE)
_SMALL = tuple(x for x in _BOTH if abs(x) < 30)

_GAMMA_PAIRS = (
    (0.1, 0.1, 2.0, 2.0, 30.0, 99.0, 99.5, 101.0, 1e4, 500.0),
    (0.01, 3.0, 1.0, 9.0, 25.0, 120.0, 60.0, 103.0, 9900.0, 650.0),
)

# Name, function, mpmath's, arguments, tolerance relative to the larger of 1 (oscillating functions) or the value.
CASES: list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[Any, ...], float]] = [
    ("j0", special.bessel_j0, lambda x: mpmath.besselj(0, x), (_BOTH,), 1e-13),
    ("j1", special.bessel_j1, lambda x: mpmath.besselj(1, x), (_BOTH,), 1e-13),
    ("y0", special.bessel_y0, lambda x: mpmath.bessely(0, x), (_POSITIVE,), 1e-13),
    ("y1", special.bessel_y1, lambda x: mpmath.bessely(1, x), (_POSITIVE,), 1e-13),
    ("i0", special.modified_bessel_i0, lambda x: mpmath.besseli(0, x), (_BOTH,), 1e-12),
    ("i1", special.modified_bessel_i1, lambda x: mpmath.besseli(1, x), (_BOTH,), 1e-12),
    ("i0e", special.i0e, lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)), (_BOTH,), 1e-12),
    ("i1e", special.i1e, lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)), (_BOTH,), 1e-12),
    ("k0", special.modified_bessel_k0, lambda x: mpmath.besselk(0, x), (_POSITIVE,), 1e-12),
    ("k1", special.modified_bessel_k1, lambda x: mpmath.besselk(1, x), (_POSITIVE,), 1e-12),
    ("k0e", special.scaled_modified_bessel_k0, lambda x: mpmath.besselk(0, x) * mpmath.exp(x), (_POSITIVE,), 1e-12),
    ("k1e", special.scaled_modified_bessel_k1, lambda x: mpmath.besselk(1, x) * mpmath.exp(x), (_POSITIVE,), 1e-12),
    ("airy", special.airy_ai, mpmath.airyai, (_SMALL,), 1e-10),
    ("spherical", special.spherical_bessel_j0, lambda x: mpmath.sinc(x), (_BOTH,), 1e-13),
    ("erfcx", special.erfcx, lambda x: mpmath.exp(x * x) * mpmath.erfc(x), (_SMALL,), 1e-12),
    ("digamma", special.digamma, mpmath.digamma, ((-7.3, -0.4, *_POSITIVE),), 1e-12),
    ("ndtri", special.ndtri, lambda p: _normal_quantile(p), ((1e-250, 1e-9, 0.02, 0.5, 0.98),), 1e-12),
    (
        "zeta", special.zeta, mpmath.zeta,
        ((1.0001, 1.5, 2.0, 2.0, 3.0, 7.0, 30.0, 4.0, 2.0), (0.1, 3.3, 1.0, -4.7, -0.25, -30.6, 2.5, 1e4, 80.0)), 1e-11,
    ),
    ("polygamma3", lambda x: special.polygamma(3, x), lambda x: mpmath.polygamma(3, x), ((-2.6, *_POSITIVE),), 1e-11),
    (
        "gammainc", special.gammainc, lambda a, x: mpmath.gammainc(a, 0, x, regularized=True),
        _GAMMA_PAIRS,
        1e-10,
    ),
    (
        "gammaincc", special.gammaincc, lambda a, x: mpmath.gammainc(a, x, regularized=True),
        _GAMMA_PAIRS,
        1e-10,
    ),
]  # fmt: skip


def _normal_quantile(p: Any) -> Any:
    with mpmath.workdps(300):
        return mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_against_mpmath(case: Any) -> None:
    _, function, oracle, arguments, tolerance = case
    inputs = tuple(torch.tensor(values, dtype=torch.float64) for values in arguments)
    run = mlirage.load(mlirage.compile(function, inputs, opt_level=1), device="local-sync")
    mpmath.mp.dps = 40
    wanted = np.array([float(mpmath.re(oracle(*map(mpmath.mpf, values)))) for values in zip(*arguments, strict=True)])
    have = run(*inputs).numpy()
    error = np.abs(have - wanted) / np.maximum(np.abs(wanted), 1e-2)
    worst = int(error.argmax())
    assert error.max() < tolerance, f"{[values[worst] for values in arguments]}: {have[worst]}, not {wanted[worst]}"
