"""Functions of modules compiled with `outputs="caller"`: results and scratch lie in memory that the caller gives.

scratch = np.empty(run["main.scratch_size"](), np.uint8)
run.main(x, out=y, scratch=scratch)        # nothing is allocated; several results: out=(y, z)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime.device_array import DeviceArray
from mlirage.runtime.signature import Signature
from mlirage.runtime.trees import flattener, unflattener


def taking_memory(function: Any, signature: Signature) -> Callable[..., Any]:
    """`function`, whose last arguments are outputs and scratch, as one that takes those as `out=` and `scratch=`.

    Arrays in `out` must be writable, contiguous and of the results' types; what is returned is them.
    """
    names = [argument.name for argument in signature.inputs]
    outputs = [argument for argument in signature.arguments if argument.role == "output"]
    wants_scratch = any(argument.role == "scratch" for argument in signature.arguments)
    flatten = None if signature.in_tree is None else flattener(signature.name, signature.in_tree)
    unflatten = None if signature.out_tree is None else unflattener(signature.out_tree)

    def call(*args: Any, out: Any = None, scratch: Any = None, **kwargs: Any) -> Any:
        arguments = flatten(args, kwargs) if flatten else _in_order(signature.name, names, args, kwargs)
        given = _results(signature.name, out, len(outputs))
        for argument, array in zip(outputs, given, strict=True):
            _check_writable(f"{signature.name}(): {argument.name}", array)
        if wants_scratch and scratch is None:
            raise UsageError(
                f"{signature.name}() works in memory of the caller: give scratch=, an array of uint8 of "
                f"run['{signature.name}.scratch_size'](…) bytes"
            )
        results = function(*arguments, *given, *([scratch] if wants_scratch else []))
        return unflatten(results) if unflatten else results

    return call


def _results(function: str, out: Any, count: int) -> Sequence[Any]:
    given: Sequence[Any] = ()
    if out is not None:
        given = cast(Sequence[Any], out) if isinstance(out, tuple | list) else (out,)
    if len(given) != count:
        raise UsageError(
            f"{function}() writes its results to memory of the caller: give out= with {count} arrays, got {len(given)}"
        )
    return given


def _check_writable(what: str, array: Any) -> None:
    if isinstance(array, DeviceArray):
        return
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{what} must be a numpy array or a device array, got {type(array).__name__}")
    flags = cast(Any, array).flags
    if not (flags.writeable and flags.c_contiguous and flags.aligned):
        raise UsageError(f"{what} must be writable and contiguous")


def _in_order(function: str, names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    if len(args) > len(names):
        raise UsageError(f"{function}() takes {len(names)} arguments ({', '.join(names)}), got {len(args)}")
    values = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names or name in values:
            raise UsageError(f"{function}() {'got' if name in values else 'has no'} argument {name!r}")
        values[name] = value
    for name in names:
        if name not in values:
            raise UsageError(f"{function}() misses argument {name!r}")
    return [values[name] for name in names]
