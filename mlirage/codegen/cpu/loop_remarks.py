"""Reports innermost loops that compute on single elements: what the vectorizer left.

Reads the optimized LLVM IR. A loop counts as vectorized if it works on vectors itself or LLVM marks it as the remainder
of one that does. Loops without memory accesses of more than one iteration's worth of state (searches, remainders of
divisions) are reported too: whoever asks decides whether they are hot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(r'^("[^"]+"|[\w.$-]+):')
_TARGET = re.compile(r'label %("[^"]+"|[\w.$-]+)')
_VECTOR = re.compile(r"<(?:vscale x )?\d+ x ")
_NODE = re.compile(r"^(!\d+) = (?:distinct )?!\{(.*)\}$")
_REFERENCE = re.compile(r"!llvm\.loop (!\d+)")


@dataclass(frozen=True)
class ScalarLoop:
    """An innermost loop without vectors.

    Attributes:
      function: where it is.
      header: label of its first block.
      instructions: number of instructions of its body.
      stores: whether it writes memory.
    """

    function: str
    header: str
    instructions: int
    stores: bool

    def __str__(self) -> str:
        return f"{self.function}: innermost loop at %{self.header} is scalar ({self.instructions} instructions)"


def scalar_loops(optimized_ir: str) -> list[ScalarLoop]:
    """The innermost scalar loops of a module, in order."""
    vectorized = _vectorized_nodes(optimized_ir)
    found: list[ScalarLoop] = []
    for name, blocks in _functions(optimized_ir):
        for header, body in _innermost_loops(blocks):
            lines = [line for label in body for line in blocks[label]]
            references = {r for line in lines for r in _REFERENCE.findall(line)}
            accesses = any(" load " in line or line.lstrip().startswith("store ") for line in lines)
            if references & vectorized or not accesses or any(_VECTOR.search(line) for line in lines):
                continue
            stores = any(line.lstrip().startswith("store ") for line in lines)
            found.append(ScalarLoop(name, header, len(lines), stores))
    return found


def _vectorized_nodes(text: str) -> set[str]:
    """Metadata nodes of loops that LLVM vectorized, or that are what is left of one."""
    contents = {match.group(1): match.group(2) for line in text.splitlines() if (match := _NODE.match(line))}
    marks = {node for node, body in contents.items() if '"llvm.loop.isvectorized"' in body}
    return {node for node, body in contents.items() if any(mark in body.split(", ") for mark in marks)}


def _functions(text: str) -> list[tuple[str, dict[str, list[str]]]]:
    """Name and basic blocks (label: instructions) of every function."""
    functions: list[tuple[str, dict[str, list[str]]]] = []
    blocks: dict[str, list[str]] | None = None
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("define "):
            match = re.search(r'@("[^"]+"|[\w.$-]+)\(', line)
            current = []
            blocks = {"": current}
            functions.append((match.group(1) if match else "?", blocks))
        elif line == "}":
            blocks = None
        elif blocks is not None and (label := _LABEL.match(line)):
            current = []
            blocks[label.group(1)] = current
        elif blocks is not None and line.strip() and not line.lstrip().startswith(";"):
            current.append(line)
    return functions


def _innermost_loops(blocks: dict[str, list[str]]) -> list[tuple[str, set[str]]]:
    """(header, blocks) of the natural loops that contain no other."""
    successors = {label: [t for t in _targets(lines) if t in blocks] for label, lines in blocks.items()}
    predecessors: dict[str, list[str]] = {label: [] for label in blocks}
    for label, targets in successors.items():
        for target in targets:
            predecessors[target].append(label)
    loops: dict[str, set[str]] = {}
    for source, header in _back_edges(successors, next(iter(blocks))):
        body = {header, source}
        work = [source] if source != header else []
        while work:
            for previous in predecessors[work.pop()]:
                if previous not in body:
                    body.add(previous)
                    work.append(previous)
        loops.setdefault(header, set()).update(body)
    return [
        (header, body)
        for header, body in loops.items()
        if not any(other != header and other in body for other in loops)
    ]


def _targets(lines: list[str]) -> list[str]:
    """Labels that the terminator names; a switch has several lines."""
    return [
        t for line in lines if line.lstrip().startswith(("br ", "switch ", "i", "]")) for t in _TARGET.findall(line)
    ]


def _back_edges(successors: dict[str, list[str]], entry: str) -> list[tuple[str, str]]:
    """Edges to a block that is on the path of a depth-first walk."""
    edges: list[tuple[str, str]] = []
    seen: set[str] = set()
    path: set[str] = set()
    stack: list[tuple[str, int]] = [(entry, 0)]
    while stack:
        label, number = stack.pop()
        if number == 0:
            seen.add(label)
            path.add(label)
        if number < len(successors[label]):
            stack.append((label, number + 1))
            target = successors[label][number]
            if target in path:
                edges.append((label, target))
            elif target not in seen:
                stack.append((target, 0))
        else:
            path.discard(label)
    return edges
