"""PyTorch's pytrees in the words of signatures (`mlirage/runtime/trees.py`).

A `None` or another constant among the inputs is a `{"constant": …}`, which callers give again. Dataclasses and other
containers that results are in, as those of transformers, come back as dicts of their fields where they have names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mlirage.errors import ImportFailure

_SCALARS = (bool, int, float, str)


def input_tree(spec: Any, constants: Mapping[int, Any]) -> Any:
    """The tree of a program's inputs; `constants` are the leaves, by number, that were fixed when it was exported."""
    number = iter(range(spec.num_leaves))

    def leaf() -> Any:
        i = next(number)
        return _constant(constants[i], "input") if i in constants else "*"

    return _tree(spec, leaf, "input")


def output_tree(spec: Any, leaves: list[Any]) -> Any:
    """The tree of a program's results: of each leaf a constant, or `torch.Tensor` for one that is calculated."""
    remaining = iter(leaves)

    def leaf() -> Any:
        value = next(remaining)
        return "*" if value is torch.Tensor else _constant(value, "result")

    return _tree(spec, leaf, "result")


def _constant(value: Any, role: str) -> Any:
    if value is None:
        return {"none": 0}
    if isinstance(value, _SCALARS):
        return {"constant": value}
    raise ImportFailure(f"a constant {role} of type {type(value).__qualname__} is not supported")


def _tree(spec: Any, leaf: Callable[[], Any], role: str) -> Any:
    if spec.is_leaf():
        return leaf()
    children = [_tree(child, leaf, role) for child in spec.children()]
    kind, context = spec.type, spec.context
    if kind is list:
        return {"list": children}
    if issubclass(kind, dict):
        return {"dict": {str(key): child for key, child in zip(_keys(kind, context), children, strict=True)}}
    if issubclass(kind, tuple):
        return {"tuple": children}
    names = _field_names(context, len(children))
    if names is not None:
        return {"dict": dict(zip(names, children, strict=True))}
    if role == "input":
        raise ImportFailure(f"an input of type {kind.__qualname__}: inputs are tensors in tuples, lists and dicts")
    return {"tuple": children}


def _keys(kind: type, context: Any) -> list[Any]:
    if kind.__name__ == "defaultdict":
        return list(context[1])
    return list(context) if not hasattr(context, "keys") else list(context.keys())


def _field_names(context: Any, count: int) -> list[str] | None:
    """The names in a container's context, where it has one for every child."""
    for candidate in (context, *(context if isinstance(context, tuple | list) else ())):
        listed: Any = list(candidate) if isinstance(candidate, tuple | list) else []  # pyright: ignore
        if len(listed) == count > 0 and all(isinstance(name, str) for name in listed):
            return listed
    return None
