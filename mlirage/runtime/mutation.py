"""Functions that change their arguments, as PyTorch's `x.add_(1)` does: the new values are written into the arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime.signature import Signature
from mlirage.runtime.trees import flattener


def mutating(function: Any, signature: Signature) -> Callable[..., Any]:
    """`function`, which gives `(results, new values of changed arguments)`, as one that gives the results.

    The arrays and tensors given as those arguments must be writable; they hold the new values after the call.
    """
    flatten = flattener(signature.name, signature.in_tree)

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves = flatten(args, kwargs)
        results, changed = function(*args, **kwargs)
        for number, new in zip(signature.mutated, changed, strict=True):
            _write(leaves[number], new, f"{signature.name}(): argument {signature.arguments[number].name!r}")
        return results

    return call


def _write(target: Any, new: Any, what: str) -> None:
    if isinstance(target, np.ndarray):
        if not target.flags.writeable:
            raise UsageError(f"{what} is changed by the call, but is read-only")
        np.copyto(target, np.asarray(new))
    elif type(target).__module__.partition(".")[0] == "torch":
        with importlib.import_module("torch").no_grad():
            target.copy_(new)
    else:
        kind = type(target).__name__
        raise UsageError(f"{what} is changed by the call: give an array or tensor that can be written, not a {kind}")
