"""Nested arguments and results: PyTorch and JAX programs keep the structure of their source.

A tree in a signature is JSON: `"*"` for an array, `{"tuple": [...]}`, `{"list": [...]}`, `{"dict": {key: ...}}`,
`{"none": 0}`. `in_tree` is `{"tuple": [positional, keywords]}`: a tuple and a dict, as the source was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from mlirage.errors import UsageError


def leaf_count(tree: Any) -> int:
    """The number of arrays in a tree.

    Raises:
      ValueError: it is none.
    """
    if tree == "*":
        return 1
    if not isinstance(tree, dict) or len(cast(dict[str, Any], tree)) != 1:
        raise ValueError(f"{tree!r} is no tree")
    ((kind, children),) = cast(dict[str, Any], tree).items()
    if kind == "none":
        return 0
    if kind == "dict" and isinstance(children, dict):
        return sum(map(leaf_count, cast(dict[str, Any], children).values()))
    if kind in ("tuple", "list") and isinstance(children, list):
        return sum(map(leaf_count, cast(list[Any], children)))
    raise ValueError(f"{tree!r} is no tree")


def flattener(function: str, tree: Any) -> Callable[[tuple[Any, ...], dict[str, Any]], list[Any]]:
    """Returns what turns the arguments of a call into the list of arrays in them."""

    def flatten(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        leaves: list[Any] = []
        _flatten(tree, (args, kwargs), f"{function}()", leaves)
        return leaves

    return flatten


def unflattener(tree: Any) -> Callable[[tuple[Any, ...]], Any]:
    """Returns what builds the structure of `tree` from a tuple of results."""

    def unflatten(results: tuple[Any, ...]) -> Any:
        remaining = iter(results)
        return _unflatten(tree, remaining)

    return unflatten


def _flatten(tree: Any, value: Any, where: str, leaves: list[Any]) -> None:
    if tree == "*":
        leaves.append(value)
        return
    ((kind, children),) = tree.items()
    if kind == "none":
        if value is not None:
            raise UsageError(f"{where}: None expected, got {type(value).__name__}")
    elif kind == "dict":
        keys = sorted(map(str, cast(Mapping[Any, Any], value))) if isinstance(value, Mapping) else None
        if keys != sorted(children):
            got = _type_name(value) if keys is None else f"keys {keys}"
            raise UsageError(f"{where}: keys {sorted(children)} expected, got {got}")
        for key, child in children.items():
            _flatten(child, value[key], f"{where}[{key!r}]", leaves)
    else:
        length = len(cast(list[Any], value)) if isinstance(value, tuple | list) else None
        if length != len(children):
            got = _type_name(value) if length is None else length
            raise UsageError(f"{where}: a {kind} of {len(children)} expected, got {got}")
        for i, child in enumerate(children):
            _flatten(child, value[i], f"{where}[{i}]", leaves)


def _type_name(value: Any) -> str:
    return type(value).__name__


def _unflatten(tree: Any, leaves: Any) -> Any:
    if tree == "*":
        return next(leaves)
    ((kind, children),) = tree.items()
    if kind == "none":
        return None
    if kind == "dict":
        return {key: _unflatten(child, leaves) for key, child in children.items()}
    items = [_unflatten(child, leaves) for child in children]
    return items if kind == "list" else tuple(items)
