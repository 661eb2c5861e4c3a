"""Fits the polynomials of mlirage/codegen/cpu/math_coefficients.py.

    python scripts/fit_math_coefficients.py > mlirage/codegen/cpu/math_coefficients.py

Each polynomial is fitted at Chebyshev nodes in 60-digit arithmetic, which is within a small factor of the
best approximation; coefficients are rounded to the type that uses them one by one, constant term first, and what is
left is fitted again by least squares of the relative error.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def fit(function: Callable[[mp.mpf], mp.mpf], low: float, high: float, degree: int, dtype: type) -> list[float]:
    """Coefficients, constant term first, of the polynomial for `function` on [low, high]."""
    low_, high_ = mp.mpf(low), mp.mpf(high)
    count = 3 * (degree + 1)
    nodes = [(low_ + high_) / 2 + (high_ - low_) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    values = [function(n) for n in nodes]
    fixed: list[mp.mpf] = []
    for first in range(degree + 1):
        # least squares of the relative error, over the coefficients that are not rounded yet
        matrix = mp.matrix(count, degree + 1 - first)
        target = mp.matrix(count, 1)
        for i, (n, v) in enumerate(zip(nodes, values, strict=True)):
            target[i] = 1 - sum(c * n**j for j, c in enumerate(fixed)) / v
            for j in range(first, degree + 1):
                matrix[i, j - first] = n**j / v
        solution, _ = mp.qr_solve(matrix, target)
        fixed.append(_round(solution[0], dtype))
    return [float(c) for c in fixed]


def _round(value: mp.mpf, dtype: type) -> mp.mpf:
    bits = 24 if dtype is np.float32 else 53
    mantissa, exponent = mp.frexp(value)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), int(exponent) - bits)


def error(function: Callable[[mp.mpf], mp.mpf], low: float, high: float, coefficients: list[float]) -> float:
    """Greatest relative error on a grid."""
    worst = mp.mpf(0)
    for k in range(400):
        x = mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * (k + mp.mpf(1) / 3) / 400
        if x == 0:
            continue
        exact = function(x)
        worst = max(worst, abs(sum(mp.mpf(c) * x**i for i, c in enumerate(coefficients)) / exact - 1))
    return float(worst)


LN2 = mp.log(2)
_T8 = float(mp.tan(mp.pi / 8)) ** 2
_PI4 = float(mp.pi / 4) ** 2
_S = float((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
sq = mp.sqrt
ERFC_K = mp.mpf("3.75")


def _erfcx(t):  # t = (x - K) / (x + K)
    x = ERFC_K * (1 + t) / (1 - t)
    if x > 60:
        # asymptotic series
        s, term = mp.mpf(1), mp.mpf(1)
        for k in range(1, 25):
            term *= -(2 * k - 1) / (2 * x * x)
            s += term
        v = s / (x * mp.sqrt(mp.pi))
    else:
        v = mp.exp(x * x) * mp.erfc(x)
    return v * (1 + 2 * x)


# name: function, interval, degree of f32, degree of f64
TABLE = {
    "EXP": (lambda r: (mp.exp(r) - 1 - r) / r**2, -0.3470, 0.3470, 4, 10),
    "LOG": (lambda z: (mp.log((1 + sq(z)) / (1 - sq(z))) / sq(z) - 2) / z, 1e-12, _S * 1.001, 2, 7),
    "SIN": (lambda z: (mp.sin(sq(z)) / sq(z) - 1) / z, 1e-12, _PI4 * 1.001, 2, 6),
    "COS": (lambda z: (mp.cos(sq(z)) - 1 + z / 2) / z**2, 1e-12, _PI4 * 1.001, 2, 6),
    "ATAN": (lambda z: (mp.atan(sq(z)) / sq(z) - 1) / z, 1e-12, _T8 * 1.001, 4, 11),
    "ASIN": (lambda z: (mp.asin(sq(z)) / sq(z) - 1) / z, 1e-12, 0.2501, 5, 13),
    "ERF": (lambda z: mp.erf(sq(z)) / sq(z), 1e-12, 1.0, 6, 13),
    "ERFC_TAIL": (lambda x: mp.log(mp.erfc(x)) / x, 0.85, 4.0, 7, 0),
    "ERFC": (lambda x: mp.log(mp.erfc(x)) / x, 1e-6, 4.0, 9, 0),
    "ERFCX": (lambda t: _erfcx(t), -1.0 + 1e-9, 1.0 - 1e-9, 0, 23),
}


def main() -> None:
    """Prints the module."""
    print('"""Coefficients of the polynomials of math_functions.py, constant term first.\n')
    print("Written by scripts/fit_math_coefficients.py, which also says what each polynomial approximates.")
    print('"""\n\n# fmt: off')
    for name, (function, low, high, f32, f64) in TABLE.items():
        for dtype, degree in ((np.float32, f32), (np.float64, f64)):
            if degree:
                c = fit(function, low, high, degree, dtype)
                print(f"# relative error {error(function, low, high, c):.1e} on [{low:.4g}, {high:.4g}]")
                body = "".join(f"    {x!r},\n" for x in c)
                print(f"{name}_{'F32' if dtype is np.float32 else 'F64'} = (\n{body})")


if __name__ == "__main__":
    main()
