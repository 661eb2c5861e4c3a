"""How PyTorch's kinds of sources are told from others', without importing PyTorch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, cast

_CLASSES = frozenset(("Module", "ExportedProgram"))


def is_pytorch_object(source: Any) -> bool:
    """Whether `source` is a module, an ExportedProgram, a function that speaks of PyTorch, or a dict of such."""
    if isinstance(source, Mapping):
        entries = list(cast(Mapping[str, Any], source).values())
        return bool(entries) and all(is_pytorch_object(_source_of(entry)) for entry in entries)
    if any(_of_torch(base) and base.__name__ in _CLASSES for base in type(source).__mro__):
        return True
    if isinstance(source, functools.partial):
        return is_pytorch_object(cast(Any, source).func)
    return inspect.isroutine(source) and _speaks_of_torch(source)


def is_pytorch_call(source: Any, inputs: Iterable[Any]) -> bool:
    """Whether `source` is a function whose example inputs are tensors of PyTorch, at least one of them."""
    return callable(source) and any(_of_torch(type(value)) for value in inputs)


def _source_of(entry: Any) -> Any:
    if isinstance(entry, tuple) and entry:
        return cast(tuple[Any, ...], entry)[0]
    return getattr(entry, "source", entry)


def _of_torch(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] == "torch"


def _speaks_of_torch(function: Any) -> bool:
    """Whether a function is PyTorch's, a method of a module, or its code names something of PyTorch."""
    owner = getattr(function, "__self__", None)
    if _of_torch(function) or (owner is not None and is_pytorch_object(owner)):
        return True
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    world = function.__globals__
    named = [world[name] for name in code.co_names if name in world]
    for cell in function.__closure__ or ():
        try:
            named.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    annotations = getattr(function, "__annotations__", {}).values()
    return any(_is_of_torch(value) for value in named) or any("torch" in str(text) for text in annotations)


def _is_of_torch(value: Any) -> bool:
    name = getattr(value, "__name__", "") if inspect.ismodule(value) else ""
    return name.partition(".")[0] == "torch" or _of_torch(value) or any(_of_torch(b) for b in type(value).__mro__)
