"""Reports innermost loops that compute on single elements: what the vectorizer left.

Reads the optimized LLVM IR. A loop counts as vectorized if it works on vectors itself or LLVM marks it as the remainder
of one that does. How often its body runs in a workgroup follows from the trip counts of the loops around it; where one
of them is not a constant, it is taken for a guess. Loops that run seldom (the remainders of tiles, the taps at an edge)
are reported too: `hot_loops` leaves them out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_LABEL = re.compile(r'^("[^"]+"|[\w.$-]+):')
_TARGET = re.compile(r'label %("[^"]+"|[\w.$-]+)')
_VECTOR = re.compile(r"<(?:vscale x )?\d+ x ")
_NODE = re.compile(r"^(!\d+) = (?:distinct )?!\{(.*)\}$")
_REFERENCE = re.compile(r"!llvm\.loop (!\d+)")
_PHI = re.compile(r"^\s*(%[\w.$-]+) = phi i\d+ (.*)$")
_INCOMING = re.compile(r"\[ ?([^,]+), %([^ \]]+) ?\]")
_STEP = re.compile(r"^\s*(%[\w.$-]+) = add [^%]*(%[\w.$-]+), (-?\d+)")
_COMPARE = re.compile(r"^\s*%[\w.$-]+ = icmp (?:samesign )?(\w+) i\d+ (%[\w.$-]+), (-?\d+)")
# What a trip count that is no constant is taken for.
GUESS = 64
# Instructions of one workgroup from which on a scalar loop is worth a look: some microseconds.
HOT = 16_384


@dataclass(frozen=True)
class ScalarLoop:
    """An innermost loop without vectors.

    Attributes:
      function: where it is.
      header: label of its first block.
      instructions: number of instructions of its body.
      stores: whether it writes memory.
      runs: how often the body runs in a workgroup, as far as that is known.
      is_guess: whether a trip count among those is a guess.
    """

    function: str
    header: str
    instructions: int
    stores: bool
    runs: int = GUESS
    is_guess: bool = True

    @property
    def work(self) -> int:
        """Instructions that it runs in a workgroup."""
        return self.instructions * self.runs

    def __str__(self) -> str:
        runs = f"{'about ' if self.is_guess else ''}{self.runs} times"
        what = f"{self.instructions} instructions {runs} in a workgroup"
        name = self.function.strip('"').removesuffix(".workgroup")
        return f"{name}: innermost loop at %{self.header} is scalar ({what})"


def hot_loops(optimized_ir: str) -> list[ScalarLoop]:
    """The scalar loops that take long, the longest first."""
    return sorted((loop for loop in scalar_loops(optimized_ir) if loop.work >= HOT), key=lambda loop: -loop.work)


def scalar_loops(optimized_ir: str) -> list[ScalarLoop]:
    """The innermost scalar loops of a module, in order."""
    vectorized = _vectorized_nodes(optimized_ir)
    found: list[ScalarLoop] = []
    for name, blocks in _functions(optimized_ir):
        loops = _loops(blocks)
        for header, body in _innermost(loops):
            lines = [line for label in body for line in blocks[label]]
            references = {r for line in lines for r in _REFERENCE.findall(line)}
            accesses = any(" load " in line or line.lstrip().startswith("store ") for line in lines)
            if references & vectorized or not accesses or any(_VECTOR.search(line) for line in lines):
                continue
            stores = any(line.lstrip().startswith("store ") for line in lines)
            trips = [_trip_count(blocks, other, around) for other, around in loops.items() if header in around]
            runs = math.prod(GUESS if count is None else count for count in trips)
            found.append(ScalarLoop(name, header, len(lines), stores, runs, None in trips))
    return found


def _trip_count(blocks: dict[str, list[str]], header: str, body: set[str]) -> int | None:
    """How often a loop's body runs, if that is a constant: a counter that starts, steps and ends at numbers."""
    starts: dict[str, int] = {}
    for line in blocks[header]:
        phi = _PHI.match(line)
        if phi is None:
            continue
        outside = [value for value, label in _INCOMING.findall(phi.group(2)) if label not in body]
        if len(outside) == 1 and outside[0].lstrip("-").isdecimal():
            starts[phi.group(1)] = int(outside[0])
    lines = [line for label in body for line in blocks[label]]
    steps = {m.group(1): (m.group(2), int(m.group(3))) for line in lines if (m := _STEP.match(line))}
    for line in lines:
        compare = _COMPARE.match(line)
        if compare is None:
            continue
        counter, stepped = compare.group(2), 0
        if counter in steps:
            counter, stepped = steps[counter]
        step = next((by for by_counter, by in steps.values() if by_counter == counter), 0)
        if counter not in starts or step == 0:
            continue
        distance = int(compare.group(3)) - starts[counter] + (0 if stepped else step)
        if distance % step == 0 or compare.group(1) not in ("eq", "ne"):
            return max(1, -(-distance // step))
    return None


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
            if list(blocks) == [""] and not blocks[""]:
                del blocks[""]  # the entry has a name
            blocks[label.group(1)] = current
        elif blocks is not None and line.strip() and not line.lstrip().startswith(";"):
            current.append(line)
    return functions


def _loops(blocks: dict[str, list[str]]) -> dict[str, set[str]]:
    """The blocks of every natural loop, by its header."""
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
    return loops


def _innermost(loops: dict[str, set[str]]) -> list[tuple[str, set[str]]]:
    """(header, blocks) of the loops that contain no other."""
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
