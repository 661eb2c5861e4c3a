"""How reductions are folded in vectors: many partial results side by side, merged at the end.

    sum:      four vectors of partial sums, started with -0.0, added up in pairs
    argmax:   vectors of (value, index); of two parts the better, of equal ones the one that came first
    max:      vectors of integers that have the floats' order, greatest and least: one of them tells of NaNs

Only reductions whose parts can be merged have a fold: sums, products, extremes, bitwise ops; and those that pick one
element and say where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.cpu.index_math import Place
from mlirage.mlir import arith, ir, vector

_P, _I = arith.CmpFPredicate, arith.CmpIPredicate
_FLOAT_NEUTRAL = {"arith.addf": -0.0, "arith.mulf": 1.0, "arith.maximumf": float("-inf"),
                  "arith.minimumf": float("inf")}  # fmt: skip
_EXTREMES = ("arith.maximumf", "arith.minimumf")
_INTEGER = ("arith.addi", "arith.muli", "arith.andi", "arith.ori", "arith.xori", "arith.maxsi", "arith.minsi",
            "arith.maxui", "arith.minui")  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """How the results of a reduction are merged.

    Attributes:
      combiners: the op that combines each result with the next element; empty for a choice.
      index: which result says where the chosen element was.
    """

    combiners: tuple[str, ...] = ()
    index: int = -1


def fold_of(op: ir.Operation) -> Fold | None:
    """The fold of a reduction, None if its parts cannot be merged in another order."""
    block = structured_ops.body(op)
    results = _results(op)
    yielded = list(list(block.operations)[-1].operation.operands)
    names: list[str] = []
    for value, result in zip(yielded, results, strict=True):
        name = _combiner(value, result, block)
        if name is None:
            break
        names.append(name)
    if len(names) == len(results) and all(_is_known(r.type) for r in results):
        return Fold(tuple(names))
    return _choice(block, results, yielded)


def _results(op: ir.Operation) -> list[ir.Value]:
    arguments: list[ir.Value] = [*structured_ops.body(op).arguments]
    return arguments[structured_ops.segment_sizes(op)[0] :]


def _is_known(kind: ir.Type) -> bool:
    """Narrow floats are computed in f32: there is no op to merge them by."""
    return isinstance(kind, ir.F32Type | ir.F64Type | ir.IntegerType)


def _combiner(value: ir.Value, result: ir.Value, block: ir.Block) -> str | None:
    """The op that `value = op(result, element)` is made by."""
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    if op.name not in _FLOAT_NEUTRAL and op.name not in _INTEGER:
        return None
    others = [v for v in op.operands if v != result]
    if len(others) != 1 or op.block != block or len(list(result.uses)) != 1:
        return None
    inputs = len(block.arguments) - len(list(block.operations)[-1].operation.operands)
    return op.name if not any(number >= inputs for number in _arguments(others[0], block)) else None


def _arguments(value: ir.Value, block: ir.Block) -> set[int]:
    """Numbers of the block's arguments that a value depends on."""
    found: set[int] = set()
    work, seen = [value], set[ir.Value]()
    while work:
        v = work.pop()
        if v in seen:
            continue
        seen.add(v)
        if isinstance(v.owner, ir.Block):
            if v.owner == block:
                found.add(ir.BlockArgument(v).arg_number)
        elif v.owner.operation.block == block:
            work.extend(v.owner.operation.operands)
    return found


def _choice(block: ir.Block, results: list[ir.Value], yielded: list[ir.Value]) -> Fold | None:
    """The fold of a body that yields either what it had or a candidate, of which one part is an index."""
    if len(results) != 2 or not all(_is_known(r.type) for r in results):
        return None
    inputs = len(block.arguments) - len(results)
    candidates: list[ir.Value] = []
    for value, result in zip(yielded, results, strict=True):
        candidate = _candidate(value, result)
        if candidate is None or any(number >= inputs for number in _arguments(candidate, block)):
            return None
        candidates.append(candidate)
    allowed = {*results, *candidates}
    conditions = [ir.OpResult(v).owner.operation.operands[0] for v in yielded]
    if not all(_depends_only_on(c, allowed, block) for c in conditions):
        return None
    compared = _compared_integers(block, results, candidates)
    if compared >= 0:
        return Fold(index=compared)
    places = [k for k, candidate in enumerate(candidates) if _is_index(candidate)]
    return Fold(index=places[0]) if len(places) == 1 and conditions[0] == conditions[1] else None


def _candidate(value: ir.Value, result: ir.Value) -> ir.Value | None:
    """`c` in `select(…, c, result)` or `select(…, result, c)`."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "arith.select":
        return None
    others = [v for v in list(value.owner.operation.operands)[1:] if v != result]
    return others[0] if len(others) == 1 else None


def _depends_only_on(value: ir.Value, allowed: set[ir.Value], block: ir.Block) -> bool:
    if value in allowed:
        return True
    if isinstance(value.owner, ir.Block):
        return value.owner != block
    op = value.owner.operation
    return op.block != block or (
        op.name != "linalg.index" and all(_depends_only_on(v, allowed, block) for v in op.operands)
    )


def _compared_integers(block: ir.Block, results: list[ir.Value], candidates: list[ir.Value]) -> int:
    """The result that the body compares with its candidate to break ties; -1: none, or not one."""
    found: list[int] = []
    for k, (result, candidate) in enumerate(zip(results, candidates, strict=True)):
        pair = {result, candidate}
        if isinstance(result.type, ir.IntegerType) and any(
            o.operation.name == "arith.cmpi" and set(o.operation.operands) == pair for o in block.operations
        ):
            found.append(k)
    return found[0] if len(found) == 1 else -1


def _is_index(value: ir.Value) -> bool:
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name == "arith.index_cast":
        value = value.owner.operation.operands[0]
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "linalg.index"


@dataclass(frozen=True)
class Folding:
    """Builds the fold of one reduction, at the current insertion point.

    Attributes:
      op: the reduction.
      fold: its fold.
      start: what its results start from, scalars.
      as_integers: extremes of floats are found among integers that have their order, where the target has no
        instruction that passes NaNs on and tells -0 from 0.
    """

    op: ir.Operation
    fold: Fold
    start: Sequence[ir.Value]
    as_integers: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether the parts are integers: for every result the greatest and the least."""
        names = self.fold.combiners
        return self.as_integers and bool(names) and all(name in _EXTREMES for name in names)

    @property
    def part_count(self) -> int:
        """How many values the parts are."""
        return len(self.start) * (2 if self.is_ordered else 1)

    def neutral(self, lanes: int) -> list[ir.Value]:
        """Parts of nothing."""
        elements = Elements(lanes)
        if self.is_ordered:
            infinities = [arith.constant(r.type, sign * float("inf")) for r in self.start for sign in (-1, 1)]
            return [elements.spread(_ordered(v)) for v in infinities]
        if not self.fold.combiners:
            return [elements.spread(v) for v in self.start]
        return [
            elements.spread(arith.constant(r.type, _neutral(name, r.type)))
            for name, r in zip(self.fold.combiners, _results(self.op), strict=True)
        ]

    def take(
        self, inputs: Sequence[ir.Value | None], parts: Sequence[ir.Value], elements: Elements, loops: dict[int, Place]
    ) -> list[ir.Value]:
        """The parts with the next elements; lanes that do not exist stay."""
        if self.is_ordered:
            new = self.merge(parts, self._ordered_elements(inputs, elements, loops))
        else:
            new = elements.clone_body(structured_ops.body(self.op), [*inputs, *parts], loops)
        if elements.mask is None:
            return new
        return [arith.select(elements.mask, n, old) for n, old in zip(new, parts, strict=True)]

    def _ordered_elements(
        self, inputs: Sequence[ir.Value | None], elements: Elements, loops: dict[int, Place]
    ) -> list[ir.Value]:
        """What the results are combined with, as parts."""
        block = structured_ops.body(self.op)
        known: dict[ir.Value, ir.Value] = {a: v for a, v in zip(block.arguments, inputs, strict=False) if v is not None}
        parts: list[ir.Value] = []
        for value, result in zip(list(block.operations)[-1].operation.operands, _results(self.op), strict=True):
            (element,) = (v for v in ir.OpResult(value).owner.operation.operands if v != result)
            parts += [_ordered(elements.spread(_compute(element, known, elements, block, loops)))] * 2
        return parts

    def merge(self, first: Sequence[ir.Value], second: Sequence[ir.Value]) -> list[ir.Value]:
        """Parts of all elements of two parts."""
        if self.is_ordered:
            return [
                (arith.minsi if number % 2 else arith.maxsi)(a, b)
                for number, (a, b) in enumerate(zip(first, second, strict=True))
            ]
        return self._combine(first, second)

    def _combine(self, first: Sequence[ir.Value], second: Sequence[ir.Value]) -> list[ir.Value]:
        if self.fold.combiners:
            return [
                ir.Operation.create(name, [a.type], [a, b]).result
                for name, a, b in zip(self.fold.combiners, first, second, strict=True)
            ]
        takes_second, takes_first = self._takes(first, second), self._takes(second, first)
        a, b = first[self.fold.index], second[self.fold.index]
        later = arith.cmpi(_I.sgt, b, a)
        earlier = arith.cmpi(_I.slt, b, a)
        # both would take the other: the last of equals is wanted; neither would: the first
        tie = arith.select(takes_second, later, earlier)
        differs = arith.xori(takes_second, takes_first)
        choice = arith.select(differs, takes_second, tie)
        return [arith.select(choice, y, x) for x, y in zip(first, second, strict=True)]

    def _takes(self, held: Sequence[ir.Value], offered: Sequence[ir.Value]) -> ir.Value:
        """Whether the body would go from what is held to what is offered."""
        block = structured_ops.body(self.op)
        yielded = list(list(block.operations)[-1].operation.operands)
        results = _results(self.op)
        known: dict[ir.Value, ir.Value] = {}
        for value, result, h, o in zip(yielded, results, held, offered, strict=True):
            candidate = _candidate(value, result)
            assert candidate is not None, "the fold is a choice"
            known |= {result: h, candidate: o}
        lanes = ir.VectorType(held[0].type).get_dim_size(0) if isinstance(held[0].type, ir.VectorType) else 0
        select = ir.OpResult(yielded[self.fold.index]).owner.operation
        condition = _compute(select.operands[0], known, Elements(lanes), block)
        if select.operands[1] == results[self.fold.index]:  # select(…, held, offered)
            one = Elements(lanes).spread(arith.constant(ir.IntegerType.get_signless(1), 1))
            return arith.xori(condition, one)
        return condition

    def finish(self, parts: list[ir.Value]) -> list[ir.Value]:
        """The results: the lanes of parts merged, with what the reduction starts from."""
        while isinstance(parts[0].type, ir.VectorType):
            lanes = ir.VectorType(parts[0].type).get_dim_size(0)
            parts = self.halve(parts) if lanes > 1 else [vector.extract(p, [], [0]) for p in parts]
        return self._combine(self.start, self._floats(parts) if self.is_ordered else parts)

    def _floats(self, parts: Sequence[ir.Value]) -> list[ir.Value]:
        """The results that scalar parts say."""
        floats: list[ir.Value] = []
        for name, start, greatest, least in zip(self.fold.combiners, self.start, parts[::2], parts[1::2], strict=True):
            minus, plus = (_ordered(arith.constant(start.type, sign * float("inf"))) for sign in (-1, 1))
            # what lies beyond the infinities on the other side is a NaN; on this side it is the result
            if name == "arith.maximumf":
                nan, extreme = arith.cmpi(_I.slt, least, minus), greatest
            else:
                nan, extreme = arith.cmpi(_I.sgt, greatest, plus), least
            found = arith.bitcast(start.type, _flipped(extreme))
            floats.append(arith.select(nan, arith.constant(start.type, float("nan")), found))
        return floats

    def halve(self, parts: Sequence[ir.Value]) -> list[ir.Value]:
        """Parts of half as many lanes."""
        half = ir.VectorType(parts[0].type).get_dim_size(0) // 2
        return self.merge([_part(p, 0, half) for p in parts], [_part(p, half, half) for p in parts])


def _part(whole: ir.Value, start: int, size: int) -> ir.Value:
    kind = ir.VectorType.get([size], ir.VectorType(whole.type).element_type)
    return vector.extract_strided_slice(kind, whole, [start], [size], [1])


def _compute(
    value: ir.Value,
    known: dict[ir.Value, ir.Value],
    elements: Elements,
    block: ir.Block,
    loops: Mapping[int, Place] = MappingProxyType({}),
) -> ir.Value:
    """A value of the body, from other ones."""
    if value in known:
        return known[value]
    if isinstance(value.owner, ir.Block) or value.owner.operation.block != block:
        return elements.spread(value)
    op = value.owner.operation
    for operand in op.operands:
        known[operand] = _compute(operand, known, elements, block, loops)
    known.update(zip(op.results, elements.clone_scalar_op(op, known, loops), strict=True))
    return known[value]


def _ordered(value: ir.Value) -> ir.Value:
    """Integers in the order of floats: -NaN, -inf, …, -0, 0, …, inf, NaN."""
    integer = ir.IntegerType.get_signless(ir.FloatType(_lane_type(value.type)).width)
    if isinstance(value.type, ir.VectorType):
        return _flipped(arith.bitcast(ir.VectorType.get(ir.VectorType(value.type).shape, integer), value))
    return _flipped(arith.bitcast(integer, value))


def _flipped(bits: ir.Value) -> ir.Value:
    """The integer for a float's bits, and back: of negative ones all bits but the sign."""
    width = ir.IntegerType(_lane_type(bits.type)).width
    sign = arith.shrsi(bits, _splat(bits.type, width - 1))
    return arith.xori(bits, arith.andi(sign, _splat(bits.type, (1 << (width - 1)) - 1)))


def _lane_type(kind: ir.Type) -> ir.Type:
    return kind.element_type if isinstance(kind, ir.VectorType) else kind


def _splat(kind: ir.Type, number: int) -> ir.Value:
    attribute = ir.IntegerAttr.get(_lane_type(kind), number)
    if isinstance(kind, ir.VectorType):
        return arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, attribute))
    return arith.constant(kind, attribute)


def _neutral(name: str, kind: ir.Type) -> ir.Attribute:
    if isinstance(kind, ir.FloatType):
        return ir.FloatAttr.get(kind, _FLOAT_NEUTRAL[name])
    width = ir.IntegerType(kind).width
    lowest, highest = -(1 << (width - 1)), (1 << (width - 1)) - 1
    number = {"arith.muli": 1, "arith.andi": -1, "arith.maxsi": lowest, "arith.minsi": highest,
              "arith.minui": -1}.get(name, 0)  # fmt: skip
    if width == 1:  # signed: -1 and 0
        number = {"arith.muli": 1, "arith.andi": 1, "arith.maxsi": 1, "arith.minui": 1}.get(name, 0)
    return ir.IntegerAttr.get(kind, number)
