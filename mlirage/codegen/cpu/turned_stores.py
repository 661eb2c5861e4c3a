"""Stores of vectors whose lanes do not lie side by side in memory, while the same lane of several vectors does.

    row 0   [a0 a1 a2 a3]              %0 = [a0 b0 a1 b1]    store %0[0..1] at lane 0's place, %0[2..3] at lane 1's
    row 1   [b0 b1 b2 b3]      ->      %1 = [a2 b2 a3 b3]    …

A convolution whose result has its channels first has its lanes in different planes, and neighbouring pixels in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.codegen.cpu.control_flow import if_else
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Place, add, value
from mlirage.codegen.register_shapes import bit_width
from mlirage.mlir import arith, ir, vector


@dataclass(frozen=True)
class Run:
    """Vectors whose lanes lie next to each other, lane by lane.

    Attributes:
      rows: the vectors.
      places: of the first one.
    """

    rows: Sequence[ir.Value]
    places: Sequence[Place]


def turns(rows: int, places: Sequence[Place], element: ir.Type) -> bool:
    """Whether vectors at such places are better stored turned around."""
    return rows > 1 and places[-1].step == 0 and any(p.step for p in places) and bit_width(element) in (32, 64)


def store_runs(runs: Sequence[Run], elements: Elements, buffer: ir.Value, register: int) -> None:
    """Stores runs of vectors; lanes that do not exist are not written.

    Args:
      runs: all of the same number of rows.
      elements: which lanes there are.
      buffer: its last dim runs along rows.
      register: lanes of a register.
    """
    length = len(runs[0].rows)
    together = max(1, register // (1 << (length - 1).bit_length()))
    for first in range(0, len(runs), together):
        some = runs[first : first + together]
        for start in range(0, length, register):
            part = [list(run.rows[start : start + register]) for run in some]
            places = [[*run.places[:-1], Place(add(run.places[-1].base, start))] for run in some]
            _store_part(part, places, elements, buffer, register)


def _store_part(
    runs: list[list[ir.Value]],
    places: Sequence[Sequence[Place]],
    elements: Elements,
    buffer: ir.Value,
    register: int,
) -> None:
    length = len(runs[0])
    width = 1 << (length - 1).bit_length()
    rows = [v for run in runs for v in (*run, *[run[-1]] * (width - length))]
    rows += [rows[-1]] * ((1 << (len(rows) - 1).bit_length()) - len(rows))
    for lane, turned in enumerate(columns(rows, elements.lanes, register)):
        if isinstance(elements.count, int) and lane >= elements.count:
            return

        def store(lane: int = lane, turned: ir.Value = turned) -> None:
            for number, at in enumerate(places):
                start = 0
                for size in _powers(length):
                    piece = _slice(turned, number * width + start, size)
                    indices = [p.at(lane).base for p in at]
                    vector.store(piece, buffer, [value(i) for i in (*indices[:-1], add(indices[-1], start))])
                    start += size

        if elements.count is None or isinstance(elements.count, int):
            store()
        else:
            if_else(arith.cmpi(arith.CmpIPredicate.ult, value(lane), elements.count), store, None)


def columns(rows: Sequence[ir.Value], lanes: int, register: int) -> list[ir.Value]:
    """For every lane the vector of that lane of all rows, whose number is a power of two, at most `register`.

    The rows, one after the other, are a matrix; interleaving its first half with its second one log2(rows) times
    transposes it.
    """
    count, register = len(rows), min(register, lanes)
    result: list[ir.Value] = []
    low = [i // 2 + (i % 2) * register for i in range(register)]
    high = [i + register // 2 for i in low]
    for group in range(0, lanes, register):
        current = [_slice(row, group, register) for row in rows]
        for _ in range(count.bit_length() - 1):
            pairs = zip(current[: count // 2], current[count // 2 :], strict=True)
            current = [vector.shuffle(a, b, mask) for a, b in pairs for mask in (low, high)]
        result += [_slice(v, start, count) for v in current for start in range(0, register, count)]
    return result


def _slice(v: ir.Value, start: int, size: int) -> ir.Value:
    kind = ir.VectorType(v.type)
    if kind.shape[0] == size:
        return v
    return vector.extract_strided_slice(ir.VectorType.get([size], kind.element_type), v, [start], [size], [1])


def _powers(length: int) -> list[int]:
    """The powers of two that add up to a number, the largest first."""
    return [1 << bit for bit in range(length.bit_length() - 1, -1, -1) if length >> bit & 1]
