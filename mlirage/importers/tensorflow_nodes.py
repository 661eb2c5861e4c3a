"""The nodes of a function and of those that it calls: to say where in a model an operation is that cannot be compiled.

function 'main': these operations are not supported:
  tf.MatrixLogarithm at 'logm/MatrixLogarithm': …
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# What no array holds or no compiled program can do, by the operation's name; the first that fits.
_MEANINGLESS = (
    (r"PyFunc|EagerPyFunc", "calls back into Python; write it in TensorFlow's operations"),
    (r"Lookup|HashTable|DenseHash|InitializeTable", "looks up a table of keys; look keys up before the model"),
    (r"Iterator|Dataset|Queue|Reader|ReadFile|WriteFile|Summary|SaveV2|RestoreV2|MatchingFiles",
     "reads or writes files or streams; do so outside of the model"),
    (r"Decode(?!.*Proto)|Encode|String|Regex|AsString|Unicode|Substr|Proto|ParseExample|ParseTensor|SerializeTensor"
     r"|Tokenize|Ngrams|Print",
     "works on strings or files' bytes; do so before the model"),
    (r"^Stack|Barrier|^Conditional|^MapStage|^Stage", "a container that only TensorFlow's runtime has"),
)  # fmt: skip
_HARMLESS = ("StringFormat", "Assert")  # what they print, no result depends on
_SHOWN = 3


@dataclass(frozen=True)
class Nodes:
    """Names of nodes by operation."""

    by_operation: dict[str, list[str]]

    def where(self, operation: str) -> str:
        """The nodes of an operation, quoted."""
        names = self.by_operation.get(operation, [])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(map(repr, names[:_SHOWN])) + more

    def operation(self, node: str) -> str:
        """The operation of a node; empty if several have its name, or none."""
        found = [op for op, names in self.by_operation.items() if node in names]
        return found[0] if len(found) == 1 else ""

    def meaningless(self) -> list[str]:
        """Operations of the function that no compiled program could have."""
        return [op for op in self.by_operation if op not in _HARMLESS and _reason(op)]

    def unsupported(self, operations: Sequence[str]) -> str:
        """A message of operations, where they are, and why they are not supported."""
        lines: list[str] = []
        for operation in dict.fromkeys([*operations, *self.meaningless()]):
            nodes = self.where(operation)
            reason = _reason(operation) or "has no StableHLO form"
            lines.append(f"  tf.{operation}{f' at {nodes}' if nodes else ''}: {reason}")
        return "it holds operations that are not supported:\n" + "\n".join(lines)

    def explained(self, failure: str) -> str:
        """A failure of TensorFlow's, or what in the function has to fail."""
        return self.unsupported([]) if self.meaningless() else failure


def _reason(operation: str) -> str:
    return next((reason for pattern, reason in _MEANINGLESS if re.search(pattern, operation)), "")


def definitions(function: bytes, library: bytes) -> list[Any]:
    """A serialized FunctionDef, and those of a FunctionDefLibrary, which it may call."""
    from tensorflow.core.framework import function_pb2

    protos: Any = function_pb2
    main = protos.FunctionDef.FromString(function)
    others = protos.FunctionDefLibrary.FromString(library).function
    return [main, *(other for other in others if other.signature.name != main.signature.name)]


def nodes_of(function: bytes, library: bytes) -> Nodes:
    """The nodes of a function and of those that it may call, serialized."""
    found: dict[str, list[str]] = {}
    for definition in definitions(function, library):
        for node in definition.node_def:
            found.setdefault(node.op, []).append(node.name)
    return Nodes(found)
