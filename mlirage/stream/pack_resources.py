"""stream-pack-resources: offsets of slices whose sizes are known at run time only, as host arithmetic.

    %total, %a, %b, %c = stream.resource_pack %base, %n4096, %n8192, %s {intervals = [0, 1, 1, 2, 2, 3]}
      ─>
    %a = %base                      a and b are multiples of n: packed like static slices, in units of n bytes
    %b = %base + n * 4096
    %c = align(%b + n * 8192, 64)   c has a slot of its own
    %total = %c + align(%s, 64)

Slices that are multiples of the same extents are packed against one another by stream/packing.py. The others get slots:
slices that are never live together share one, as large as the largest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlirage.mlir import arith, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream.index_math import Linear, add, align, index_constant, multiply
from mlirage.stream.packing import ALIGNMENT, Slice, pack
from mlirage.stream.storage import functions

# Below this a multiple of 64 units would waste too much: rounding up costs a quarter at most.
_LEAST_UNITS = 4 * ALIGNMENT


@module_pass("stream-pack-resources")
def pack_resources(program: Program) -> None:
    """Expands every `resource_pack`."""
    for function in functions(program.module):
        for op in list(walk(function)):
            if op.name == "stream.resource_pack":
                _expand(op)


@dataclass
class _Slot:
    """Memory that slices share one after another."""

    size: ir.Value
    members: list[int] = field(default_factory=list[int])


def _expand(op: ir.Operation) -> None:
    view = op.opview
    times = [ir.IntegerAttr(time).value for time in view.intervals]
    sizes = list(view.sizes)
    live = [Slice(0, first, last) for first, last in zip(times[::2], times[1::2], strict=True)]
    offsets: dict[int, ir.Value] = {}
    with ir.InsertionPoint(op), op.location:
        end = align(view.base, ALIGNMENT)
        rest = list(range(len(sizes)))
        for factors, members in _multiples(sizes).items():
            units, total = pack([Slice(_units(sizes[i]), live[i].first, live[i].last) for i in members])
            unit = _product(factors, sizes[members[0]])
            for i, offset in zip(members, units, strict=True):
                offsets[i] = add(end, multiply(unit, index_constant(offset)))
            end = add(end, multiply(unit, index_constant(total)))
            rest = [i for i in rest if i not in members]
        for slot in _share_slots(rest, sizes, live):
            for i in slot.members:
                offsets[i] = end
            end = add(end, align(slot.size, ALIGNMENT))
    results = [end, *(offsets[i] for i in range(len(sizes)))]
    for result, value in zip(op.results, results, strict=True):
        result.replace_all_uses_with(value)
    op.erase()


def _multiples(sizes: Sequence[ir.Value]) -> dict[tuple[ir.Value, ...], list[int]]:
    """Indices of sizes that are large integer multiples of a product of extents, by that product."""
    groups: dict[tuple[ir.Value, ...], list[int]] = {}
    for i, size in enumerate(sizes):
        terms = Linear.of(size).terms
        factors = next(iter(terms)) if len(terms) == 1 else ()
        if factors and terms[factors] >= _LEAST_UNITS:
            groups.setdefault(factors, []).append(i)
    return groups


def _units(size: ir.Value) -> int:
    (units,) = Linear.of(size).terms.values()
    return units


def _product(factors: tuple[ir.Value, ...], size: ir.Value) -> ir.Value:
    """The product of `factors` in the order in which they stand in `size`."""
    value: ir.Value | None = None
    left = list(factors)
    for factor in _opaque_factors(size):
        if factor in left:
            left.remove(factor)
            value = factor if value is None else multiply(value, factor)
    assert value is not None
    assert not left
    return value


def _opaque_factors(value: ir.Value) -> list[ir.Value]:
    if isinstance(value.owner, ir.Block) or value.owner.operation.name not in (
        "arith.muli",
        "arith.addi",
        "arith.subi",
    ):
        return [value]
    return [factor for operand in value.owner.operands for factor in _opaque_factors(operand)]


def _share_slots(indices: Sequence[int], sizes: Sequence[ir.Value], live: Sequence[Slice]) -> list[_Slot]:
    """Puts slices that never live together in one slot, those of equal size by preference."""
    slots: list[_Slot] = []
    for i in sorted(indices, key=lambda i: (live[i].first, i)):
        free = [slot for slot in slots if not any(live[i].lives_with(live[other]) for other in slot.members)]
        same = [slot for slot in free if Linear.of(slot.size) == Linear.of(sizes[i])]
        if same:
            same[0].members.append(i)
        elif free:
            free[0].members.append(i)
            free[0].size = arith.MaxUIOp(free[0].size, sizes[i]).result
        else:
            slots.append(_Slot(sizes[i], [i]))
    return slots
