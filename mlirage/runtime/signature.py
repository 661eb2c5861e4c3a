"""What a function takes and gives, in the words of its source: read from the module's signature text.

The text is JSON (docs/architecture.md); modules without it, and functions whose signature does not fit their calling
convention, are described by their convention alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mlirage.errors import DeviceError
from mlirage.runtime.trees import leaf_count

# Kinds of a calling convention that are numbers, as numpy types.
SCALARS = {"i": "int32", "I": "int64", "f": "float32", "F": "float64"}


@dataclass(frozen=True)
class Argument:
    """An argument or result: an array, or a number where `scalar`.

    `shape` has an int, a name or None (any extent) per dimension; None altogether where the module does not tell.
    `role` is "output" of an argument that gives a result its memory, "scratch" of memory to work in, else empty.
    """

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None
    scalar: bool = False
    function: str = ""
    role: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.type_text}"

    @property
    def type_text(self) -> str:
        """`float32[batch, 3]`."""
        if self.scalar or self.shape is None:
            return self.dtype or "array"
        extents = ", ".join("?" if extent is None else str(extent) for extent in self.shape)
        return f"{self.dtype or 'array'}[{extents}]"


@dataclass(frozen=True)
class Signature:
    """A function: `arguments` and `results` in order, and the trees they form in the source (None: flat).

    `mutated` are numbers of arguments that a call changes: their new values are the last results.
    """

    name: str
    arguments: tuple[Argument, ...]
    results: tuple[Argument, ...]
    source: str | None = None
    in_tree: Any = None
    out_tree: Any = None
    mutated: tuple[int, ...] = ()

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """The arguments of the source: those without a role."""
        return tuple(argument for argument in self.arguments if not argument.role)

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.inputs))
        results = ", ".join(map(str, self.results))
        return f"{self.name}({arguments}) -> ({results})"


def parse_signature(name: str, convention: str, text: str) -> Signature:
    """The signature of the function `name`.

    Raises:
      DeviceError: the module's text is not a signature, or tells of other arguments than the function has.
    """
    argument_kinds, _, result_kinds = convention.partition("_")
    try:
        data: dict[str, Any] = json.loads(text) if text else {}
        if data.get("abi") == "coarse-fences":  # two fences behind the arguments, which the call gives
            argument_kinds = argument_kinds.removesuffix("rr")
        signature = Signature(
            name,
            _fields(name, "argument", argument_kinds, data.get("arguments")),
            _fields(name, "result", result_kinds, data.get("results")),
            data.get("source"),
            data.get("in_tree"),
            data.get("out_tree"),
            tuple(map(int, data.get("mutated", ()))),
        )
        if not all(0 <= number < len(signature.arguments) for number in signature.mutated):
            raise ValueError(f"arguments {signature.mutated} that change, of {len(signature.arguments)}")
        for tree, arrays in ((signature.in_tree, signature.inputs), (signature.out_tree, signature.results)):
            if tree is not None and leaf_count(tree) != len(arrays):
                raise ValueError(f"a tree of {leaf_count(tree)} arrays where the function has {len(arrays)}")
        return signature
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DeviceError(f"function {name!r}: malformed signature in the module ({error})") from error


def _fields(function: str, role: str, kinds: str, entries: list[dict[str, Any]] | None) -> tuple[Argument, ...]:
    if entries is None:
        entries = [{} for _ in kinds]
    if len(entries) != len(kinds):
        raise ValueError(f"{len(entries)} {role}s told, the function has {len(kinds)}")
    return tuple(
        _field(function, f"{role}{i}", kind, e) for i, (kind, e) in enumerate(zip(kinds, entries, strict=True))
    )


def _field(function: str, default_name: str, kind: str, entry: dict[str, Any]) -> Argument:
    name = str(entry.get("name") or default_name)
    if kind in SCALARS:
        return Argument(name, SCALARS[kind], (), True, function)
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str | None):
        raise TypeError(f"{dtype!r} as the type of {name!r}")
    role = entry.get("role", "")
    if role not in ("", "output", "scratch"):
        raise ValueError(f"{role!r} as the role of {name!r}")
    return Argument(name, dtype, None if shape is None else tuple(map(_extent, shape)), False, function, role)


def _extent(value: Any) -> int | str | None:
    """An extent; the binding trusts what passes here."""
    if value is None or isinstance(value, str) or (type(value) is int and 0 <= value < 1 << 63):
        return value
    raise ValueError(f"{value!r} as an extent")
