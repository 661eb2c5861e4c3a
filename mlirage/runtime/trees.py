"""Nested arguments and results: PyTorch and JAX programs keep the structure of their source.

A tree in a signature is JSON: `"*"` for an array, `{"tuple": [...]}`, `{"list": [...]}`, `{"dict": {key: ...}}`,
`{"none": 0}`, `{"constant": value}` for a number or text that the source fixed. `in_tree` is
`{"tuple": [positional, keywords]}`: a tuple and a dict, as the source was called.

Two kinds are of a size that calls decide. `{"sequence": {"dtype": …, "rank": n}}` is a list of arrays, which the
function sees as two: all elements flat, one after the other, and a table with the shape of each (int64, rows filled up
with -1). `{"optional": tree}` is None or the tree, which the function sees as a flag (bool) and the tree's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

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
    if kind in ("none", "constant"):
        return 0
    if kind == "sequence":
        return 2
    if kind == "optional":
        return 1 + leaf_count(children)
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
    elif kind == "constant":
        if type(value) is not type(children) or value != children:
            raise UsageError(f"{where}: the model was compiled for {children!r}, got {value!r}")
    elif kind == "sequence":
        leaves += _packed(value, children, where)
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


def _packed(value: Any, element: dict[str, Any], where: str) -> list[Any]:
    """The elements of a list of arrays one after the other, and the table of their shapes."""
    from mlirage.runtime.arrays import dtype  # a module above this one

    if not isinstance(value, tuple | list):
        raise UsageError(f"{where}: a list of {element['dtype']} arrays expected, got {_type_name(value)}")
    wanted, rank = dtype(element["dtype"]), element["rank"]
    arrays = [np.asarray(x) for x in cast(list[Any], value)]
    for number, array in enumerate(arrays):
        if array.dtype != wanted or array.ndim != rank:
            raise UsageError(
                f"{where}[{number}]: {wanted.name} with {rank} axes expected, got {array.dtype.name} with {array.ndim}"
            )
    data = np.concatenate([array.reshape(-1) for array in arrays]) if arrays else np.empty(0, wanted)
    return [data, np.array([array.shape for array in arrays], np.int64).reshape(len(arrays), rank)]


def _unpacked(data: Any, table: Any) -> list[Any]:
    """The arrays of a packed list."""
    arrays: list[Any] = []
    start = 0
    for row in np.asarray(table).tolist():
        shape = [extent for extent in row if extent >= 0]
        size = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.asarray(data)[start : start + size].reshape(shape).copy())
        start += size
    return arrays


def _type_name(value: Any) -> str:
    return type(value).__name__


def _unflatten(tree: Any, leaves: Any) -> Any:
    if tree == "*":
        return next(leaves)
    ((kind, children),) = tree.items()
    if kind == "none":
        return None
    if kind == "constant":
        return children
    if kind == "sequence":
        return _unpacked(next(leaves), next(leaves))
    if kind == "optional":
        present = bool(next(leaves))
        value = _unflatten(children, leaves)
        return value if present else None
    if kind == "dict":
        return {key: _unflatten(child, leaves) for key, child in children.items()}
    items = [_unflatten(child, leaves) for child in children]
    return items if kind == "list" else tuple(items)
