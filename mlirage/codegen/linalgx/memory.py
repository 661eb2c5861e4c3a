"""The tensors of an algorithm, changed as Python code would change arrays: loops and branches carry them by themselves.

memory.for_(0, n, lambda i: memory.write(out, memory.read(x, i, i) * two, i, i))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.codegen.linalgx import loops
from mlirage.codegen.linalgx.numbers import Number
from mlirage.mlir import arith, ir, tensor

Place = ir.Value | int


def position(place: Place) -> ir.Value:
    """An index value."""
    return loops.index(place) if isinstance(place, int) else place


def plus(a: Place, b: Place) -> Place:
    """a + b."""
    return a + b if isinstance(a, int) and isinstance(b, int) else arith.addi(position(a), position(b))


def minus(a: Place, b: Place) -> Place:
    """a - b."""
    return a - b if isinstance(a, int) and isinstance(b, int) else arith.subi(position(a), position(b))


class Memory:
    """One matrix of a batch: inputs, which stay, and outs, by number: those of the inputs come first."""

    def __init__(self, inputs: Sequence[ir.Value], outs: Sequence[ir.Value], batch: Sequence[ir.Value]) -> None:
        self.inputs, self.outs, self.batch = list(inputs), list(outs), list(batch)

    def _tensor(self, number: int) -> ir.Value:
        count = len(self.inputs)
        return self.inputs[number] if number < count else self.outs[number - count]

    def element_type(self, number: int) -> ir.Type:
        """The type of a tensor's elements."""
        return ir.RankedTensorType(self._tensor(number).type).element_type

    def extent(self, number: int, dim: int) -> ir.Value:
        """The extent of a dim behind the batch's."""
        return loops.extent(self._tensor(number), len(self.batch) + dim)

    def read_value(self, number: int, *place: Place) -> ir.Value:
        """An element."""
        return tensor.extract(self._tensor(number), [*self.batch, *map(position, place)])

    def write_value(self, number: int, value: ir.Value, *place: Place) -> None:
        """Changes an element of an out."""
        number -= len(self.inputs)
        self.outs[number] = tensor.insert(value, self.outs[number], [*self.batch, *map(position, place)])

    def read(self, number: int, *place: Place) -> Number:
        """An element that is a float or complex number."""
        return Number(self.read_value(number, *place))

    def write(self, number: int, value: Number, *place: Place) -> None:
        """Changes an element that is a float or complex number."""
        self.write_value(number, value.value, *place)

    def for_(
        self, lower: Place, upper: Place, body: Callable[..., Sequence[ir.Value] | None], *scalars: ir.Value
    ) -> list[ir.Value]:
        """A loop; `body(i, scalars…)` gives the next scalars. The last ones are the answer."""
        count = len(self.outs)

        def step(i: ir.Value, carried: loops.Values) -> loops.Values:
            self.outs = list(carried[:count])
            following = body(i, *carried[count:])
            return [*self.outs, *(following or ())]

        results = loops.for_(position(lower), position(upper), [*self.outs, *scalars], step)
        self.outs = results[:count]
        return results[count:]

    def sum_(self, lower: Place, upper: Place, start: Number, term: Callable[[ir.Value], Number]) -> Number:
        """`start` plus the terms."""
        (total,) = self.for_(lower, upper, lambda i, s: [(Number(s) + term(i)).value], start.value)
        return Number(total)

    def if_(
        self, condition: ir.Value, then: Callable[[], Sequence[ir.Value] | None], *otherwise: ir.Value
    ) -> list[ir.Value]:
        """A branch; `then` gives what replaces the scalars `otherwise`."""
        before, count = list(self.outs), len(self.outs)

        def run() -> loops.Values:
            following = then()
            return [*self.outs, *(following or ())]

        results = loops.if_(condition, [*before, *otherwise], run)
        self.outs = results[:count]
        return results[count:]

    def swap(self, number: int, a: Sequence[Place], b: Sequence[Place]) -> None:
        """Exchanges two elements."""
        x, y = self.read_value(number, *a), self.read_value(number, *b)
        self.write_value(number, y, *a)
        self.write_value(number, x, *b)

    def copy(self, source: int, target: int) -> None:
        """Copies a matrix or vector to one at least as large."""
        self.fill(target, lambda *place: self.read_value(source, *place), like=source)

    def fill(self, target: int, value: Callable[..., ir.Value], like: int | None = None) -> None:
        """Writes `value(place…)` to every place of a matrix or vector (or to those that `like` has)."""
        shaped = target if like is None else like
        rank = ir.RankedTensorType(self._tensor(shaped).type).rank - len(self.batch)

        def level(place: list[ir.Value]) -> None:
            if len(place) == rank:
                self.write_value(target, value(*place), *place)
            else:
                self.for_(0, self.extent(shaped, len(place)), lambda i: level([*place, i]))

        level([])
