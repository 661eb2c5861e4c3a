"""Compares what a compiled model gives with what a reference gives, output by output: for `mlirage check` and tests.

Knows arrays, lists of arrays and None; nothing of frameworks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Units in the last place that results of a narrow type may be off by: references round after every step.
_NARROW = {"bfloat16": 2**-6, "float16": 2**-9}


@dataclass(frozen=True)
class Difference:
    """How a result compares.

    Attributes:
      name: of the output.
      type_text: `float32[2, 3]`, of the reference's array.
      problem: what is wrong: an empty text if nothing.
      absolute: the largest difference, 0 where nothing can be subtracted.
      relative: the largest one in proportion to the reference's element.
    """

    name: str
    type_text: str
    problem: str = ""
    absolute: float = 0.0
    relative: float = 0.0

    def __str__(self) -> str:
        largest = f"largest difference {self.absolute:.3g}, relative {self.relative:.3g}"
        return f"{self.name} {self.type_text}: {f'{self.problem}; ' if self.problem else ''}{largest}"


def compare(name: str, want: Any, got: Any, rtol: float, atol: float) -> Difference:
    """How `got` differs from `want`: floats by more than `atol + rtol * |want|`, others at all."""
    if want is None or got is None:
        return Difference(name, "None", "" if want is got else f"{_type(got)}, expected is {_type(want)}")
    if isinstance(want, list | tuple):
        return _compare_lists(name, want, got, rtol, atol)
    want, got = np.asarray(want), np.asarray(got)
    if want.shape != got.shape or want.dtype != got.dtype:
        return Difference(name, _type(want), f"it is {_type(got)}")
    if want.size == 0:
        return Difference(name, _type(want))
    if want.dtype.kind in "biuSUO" or want.dtype.name.startswith(("int", "uint")):
        wrong = want != got
        distance = np.abs(want.astype(np.float64) - got.astype(np.float64)) if want.dtype.kind in "iu" else wrong * 1.0
        size = np.abs(want.astype(np.float64)) if want.dtype.kind in "iu" else np.ones(want.shape)
    else:
        rtol = max(rtol, _NARROW.get(want.dtype.name, 0.0))
        wide = np.complex128 if want.dtype.kind == "c" else np.float64
        a, b = want.astype(wide), got.astype(wide)
        wrong = ~np.isclose(b, a, rtol=rtol, atol=atol, equal_nan=True)
        with np.errstate(all="ignore"):
            distance, size = np.abs(a - b), np.abs(a)
    return Difference(name, _type(want), _first(want, got, wrong), *_largest(distance, size))


def _compare_lists(name: str, want: Sequence[Any], got: Any, rtol: float, atol: float) -> Difference:
    text = f"a list of {len(want)}"
    if not isinstance(got, list | tuple) or len(got) != len(want):
        return Difference(name, text, f"it is {_type(got)}")
    parts = [compare(f"{name}[{i}]", a, b, rtol, atol) for i, (a, b) in enumerate(zip(want, got, strict=True))]
    bad = next((f"element {part}" for part in parts if part.problem), "")
    absolute = max((part.absolute for part in parts), default=0.0)
    return Difference(name, text, bad, absolute, max((part.relative for part in parts), default=0.0))


def _largest(distance: Array, size: Array) -> tuple[float, float]:
    with np.errstate(all="ignore"):
        relative = np.where(distance == 0, 0.0, distance / size)
        finite = [x[np.isfinite(x)] for x in (distance, relative)]
    return float(finite[0].max(initial=0.0)), float(finite[1].max(initial=0.0))


def _first(want: Array, got: Array, wrong: Array) -> str:
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = ", ".join(map(str, place))
    return (
        f"element [{where}] is {got[place]}, expected is {want[place]}; "
        f"{int(wrong.sum())} of {want.size} elements differ"
    )


def _type(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"  # pyright: ignore[reportUnknownArgumentType]
    array = np.asarray(value)
    return f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"


def random_array(dtype: np.dtype[Any], shape: Sequence[int], random: np.random.Generator) -> Array:
    """An argument to try a model with: floats of the normal distribution, small numbers that can be indices."""
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(np.bool_)
    if dtype.kind in "iu" or dtype.name.startswith(("int", "uint")):
        # 8-bit numbers are data, wider ones are often positions in something of unknown size.
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.name in ("int8", "uint8") else (0, 2)
        return random.integers(low, high, shape).astype(dtype)
    if dtype.kind == "c":
        return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(dtype)
    return random.normal(size=tuple(shape)).astype(np.float32).astype(dtype)
