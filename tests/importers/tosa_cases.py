"""Cases for the operators of the TOSA 1.0 specification, each beside its pseudo-code in numpy.

    python -m tests.importers.tosa_cases [PATTERN]

runs those whose name matches and prints what differs. Constant operands (zero points, shapes) are written as TOSA
demands them. Files beside this one hold the cases of each chapter.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.importers.stablehlo_elementwise import random, values
from tests.importers.stablehlo_oracle import Array, Case, dtype_of, failures, type_of

FLOATS = ("f32", "f16", "bf16")


def shape_constant(numbers: Sequence[int]) -> tuple[str, str]:
    """A `!tosa.shape` operand: its definition and its type."""
    n = len(numbers)
    value = f"dense<[{', '.join(map(str, numbers))}]>" if n else "dense<>"
    return f"tosa.const_shape {{values = {value} : tensor<{n}xindex>}} : () -> !tosa.shape<{n}>", f"!tosa.shape<{n}>"


def tensor_constant(array: Array) -> tuple[str, str]:
    """A `tosa.const` operand."""
    kind = type_of(array)
    data = f'dense<"0x{np.ascontiguousarray(array).tobytes().hex().upper()}">' if array.size else "dense<>"
    if array.dtype == np.bool_:
        data = "dense<[" + ", ".join(str(bool(v)).lower() for v in array.ravel()) + "]>"
    return f'"tosa.const"() {{values = {data} : {kind}}} : () -> {kind}', kind


def scalar(element: str, value: float) -> tuple[str, str]:
    """A constant of one element."""
    return tensor_constant(np.array([value]).astype(dtype_of(element)))


def case(
    name: str,
    label: str,
    inputs: Sequence[Array],
    constants: Sequence[tuple[str, str]],
    results: Sequence[str],
    expected: Callable[..., Any],
    attributes: str = "",
    dynamic: bool | str = False,
    **options: Any,
) -> Case:
    """One operator on `inputs`, then `constants`.

    `dynamic` leaves all extents of inputs and results open, or the first ones of the first input and the results if it
    is "batch".
    """

    def opened(kind: str) -> str:
        count = 1 if dynamic == "batch" else 0
        return re.sub(r"(?<=[<x])\d+x", "?x", kind, count=count) if dynamic else kind

    kinds = [type_of(x) if i and dynamic == "batch" else opened(type_of(x)) for i, x in enumerate(inputs)]
    outs = [opened(f"tensor<{kind}>") for kind in results]
    arguments = ", ".join(f"%a{i}: {kind}" for i, kind in enumerate(kinds))
    lines = [f"  %c{i} = {text}" for i, (text, _) in enumerate(constants)]
    operands = ", ".join([*(f"%a{i}" for i in range(len(kinds))), *(f"%c{i}" for i in range(len(constants)))])
    every = ", ".join([*kinds, *(kind for _, kind in constants)])
    many = f":{len(outs)}" if len(outs) > 1 else ""
    names = ", ".join(f"%r#{i}" for i in range(len(outs))) if many else "%r"
    properties = f" <{{{attributes}}}>" if attributes else ""
    body = "\n".join(lines)
    text = (
        f"func.func @main({arguments}) -> ({', '.join(outs)}) {{\n{body}\n"
        f'  %r{many} = "tosa.{name}"({operands}){properties} : ({every}) -> ({", ".join(outs)})\n'
        f"  return {names} : {', '.join(outs)}\n}}"
    )
    label = f"{name}:{label}" + (f":{dynamic if isinstance(dynamic, str) else 'dynamic'}" if dynamic else "")
    return Case(label, text, tuple(inputs), expected=expected, **options)


def sample(element: str, shape: Sequence[int], key: object = 0) -> Array:
    """Random values of a type, all of its range for narrow integers."""
    rng = random(element, tuple(shape), key)
    if element == "i1":
        return rng.random(shape) < 0.5
    dtype = dtype_of(element)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        bound = 1 << 20
        return rng.integers(max(info.min, -bound), min(info.max, bound), shape, endpoint=True).astype(dtype)
    return (rng.standard_normal(shape) * 2).astype(dtype)


def hard(element: str) -> Array:
    """The hard values of a type."""
    return values(element)


def _sections() -> dict[str, Callable[[], Iterator[Case]]]:
    from tests.importers import tosa_data, tosa_elementwise, tosa_windows

    return {"elementwise": tosa_elementwise.cases, "data": tosa_data.cases, "windows": tosa_windows.cases}


SECTIONS = ("elementwise", "data", "windows")


def cases(section: str) -> list[Case]:
    """All cases of a chapter."""
    return list(_sections()[section]())


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [case for section in SECTIONS for case in cases(section) if pattern.search(case.name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:600]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
