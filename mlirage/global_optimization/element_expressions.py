"""What an element of a tensor is computed from: elementwise ops as one expression over reads of other tensors.

    %p = linalg.generic (exp) %x;  %q = linalg.generic (divide) %p, %sum
      ─>   divf(exp(read %x (i, j)), read %sum (i))          an element of %q at (i, j)

Equal expressions are equal numbers, whatever ops made them: patterns that span several ops are matched on expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mlirage import structured_ops
from mlirage.extents import reassociation
from mlirage.mlir import arith, ir


@dataclass(frozen=True)
class Read:
    """An element of a tensor, at a place that the map tells."""

    tensor: ir.Value
    place: ir.AffineMap

    @property
    def type(self) -> ir.Type:
        """The element's type."""
        return structured_ops.element_type(self.tensor.type)


@dataclass(frozen=True)
class Number:
    """The number of a loop, or a function of some."""

    expression: ir.AffineExpr


@dataclass(frozen=True)
class Outside:
    """A scalar from outside all bodies."""

    scalar: ir.Value


@dataclass(frozen=True)
class Constant:
    """A number that is known."""

    attribute: ir.Attribute

    @property
    def type(self) -> ir.Type:
        """The number's type."""
        assert isinstance(self.attribute, ir.FloatAttr | ir.IntegerAttr)
        return self.attribute.type


@dataclass(frozen=True)
class Apply:
    """A scalar op; two of them are equal if they compute the same."""

    name: str
    attributes: str
    operands: tuple[Expression, ...]
    op: ir.Operation = field(compare=False)

    @property
    def type(self) -> ir.Type:
        """The type of the result."""
        return self.op.results[0].type


Expression = Read | Number | Outside | Constant | Apply


def expression_of(tensor: ir.Value, place: ir.AffineMap, looks_into: Callable[[ir.Value], bool]) -> Expression:
    """The element of `tensor` at a place, through all elementwise ops and reshapes that `looks_into` lets."""
    return _Builder(looks_into).read(tensor, place)


class _Builder:
    def __init__(self, looks_into: Callable[[ir.Value], bool]) -> None:
        self.looks_into = looks_into

    def read(self, tensor: ir.Value, place: ir.AffineMap) -> Expression:
        number = uniform_number(tensor)
        if number is not None:
            return Constant(number)
        if isinstance(tensor.owner, ir.Block) or not self.looks_into(tensor):
            return Read(tensor, place)
        op = tensor.owner.operation
        if op.name == "tensor.cast":
            return self.read(op.operands[0], place)
        if op.name in ("tensor.expand_shape", "tensor.collapse_shape"):
            inner = reshaped_place(op, place)
            return Read(tensor, place) if inner is None else self.read(op.operands[0], inner)
        return self._elementwise(op, ir.OpResult(tensor).result_number, place) or Read(tensor, place)

    def _elementwise(self, op: ir.Operation, number: int, place: ir.AffineMap) -> Expression | None:
        if not is_pointwise(op):
            return None
        maps = structured_ops.indexing_maps(op)
        written = maps[structured_ops.segment_sizes(op)[0] + number]
        loops = structured_ops.compose(structured_ops.inverse_permutation(written), place)
        block = structured_ops.body(op)
        known: dict[ir.Value, Expression] = {}

        def scalar(value: ir.Value) -> Expression:
            if value not in known:
                known[value] = compute(value)
            return known[value]

        def compute(value: ir.Value) -> Expression:
            if isinstance(value.owner, ir.Block):
                if value.owner != block:
                    return Outside(value)
                argument = ir.BlockArgument(value).arg_number
                operand = op.operands[argument]
                if not isinstance(operand.type, ir.RankedTensorType):
                    return Outside(operand)
                return self.read(operand, structured_ops.compose(maps[argument], loops))
            inner = value.owner.operation
            if inner.name == "linalg.index":
                return Number(loops.results[ir.IntegerAttr(inner.attributes["dim"]).value])
            if inner.name == "arith.constant":
                return Constant(inner.attributes["value"])
            if inner.block != block:
                return Outside(value)
            return apply(inner, [scalar(operand) for operand in inner.operands])

        return scalar(list(block.operations)[-1].operation.operands[number])


def apply(op: ir.Operation, operands: Sequence[Expression]) -> Apply:
    """The expression of a scalar op."""
    names = sorted(op.attributes[i].name for i in range(len(op.attributes)))
    attributes = " ".join(f"{name}={op.attributes[name]}" for name in names if name != "fastmath")
    return Apply(op.name, f"{attributes} : {op.results[0].type}", tuple(operands), op)


def uniform_number(tensor: ir.Value) -> ir.Attribute | None:
    """The number that every element of a tensor is, where that is known."""
    if isinstance(tensor.owner, ir.Block):
        return None
    op = tensor.owner.operation
    if op.name == "arith.constant":
        value = op.attributes["value"]
        scalar = value.get_splat_value() if isinstance(value, ir.DenseElementsAttr) and value.is_splat else value
        return scalar if isinstance(scalar, ir.FloatAttr | ir.IntegerAttr) else None
    if op.name in ("linalg.fill", "tensor.splat", "tensor.expand_shape", "tensor.collapse_shape", "tensor.cast"):
        return uniform_number(op.operands[0])
    if is_pointwise(op) and structured_ops.segment_sizes(op) in ([0, 1], [1, 1]):
        block = structured_ops.body(op)
        if len(block.operations) == 1:
            value = block.operations[0].operands[0]
            if isinstance(value.owner, ir.Block):
                first = structured_ops.segment_sizes(op)[0] == 1 and value == block.arguments[0]
                return uniform_number(op.operands[0]) if first else None
            return uniform_number(value)
    return None


def is_pointwise(op: ir.Operation) -> bool:
    """Whether elements of the results are functions of single elements of the operands and of loop numbers."""
    if not structured_ops.is_elementwise(op) or op.name == "linalg.fill" or len(op.regions) != 1:
        return False
    ops = [inner.operation for inner in structured_ops.body(op).operations][:-1]
    return all(inner.name.startswith(("arith.", "math.")) or inner.name == "linalg.index" for inner in ops)


def reshaped_place(op: ir.Operation, place: ir.AffineMap) -> ir.AffineMap | None:
    """The place in the source of a reshape; None if an extent that this depends on is not known."""
    source, result = ir.RankedTensorType(op.operands[0].type), ir.RankedTensorType(op.results[0].type)
    expands = op.name == "tensor.expand_shape"
    wide = result if expands else source
    zero = ir.AffineExpr.get_constant(0)
    places: list[ir.AffineExpr] = [zero] * source.rank
    for narrow, group in enumerate(reassociation(op)):
        dims = [d for d in group if wide.is_dynamic_dim(d) or wide.get_dim_size(d) != 1]
        if any(wide.is_dynamic_dim(d) or wide.get_dim_size(d) == 0 for d in dims[1:]):
            return None
        stride = 1
        for d in reversed(dims):
            size = None if d == dims[0] else wide.get_dim_size(d)
            if expands:
                places[narrow] = places[narrow] + place.results[d] * stride
            else:
                rest = ir.AffineExpr.get_floor_div(place.results[narrow], stride)
                places[d] = rest if size is None else ir.AffineExpr.get_mod(rest, size)
            stride *= size or 1
    return ir.AffineMap.get(place.n_dims, 0, places)


def reads(expression: Expression) -> list[Read]:
    """The reads of an expression, each once."""
    found: dict[Read, None] = {}
    seen: set[int] = set()
    stack = [expression]
    while stack:
        e = stack.pop()
        if isinstance(e, Read):
            found.setdefault(e)
        elif isinstance(e, Apply) and id(e) not in seen:  # alive as long as `expression`
            seen.add(id(e))
            stack.extend(reversed(e.operands))
    return list(found)


def build(
    expression: Expression, given: Mapping[Read, ir.Value], number: Callable[[ir.AffineExpr], ir.Value]
) -> ir.Value:
    """The ops of an expression at the insertion point; `given` are its reads, `number` makes loop numbers."""
    made: dict[int, ir.Value] = {}

    def value(e: Expression) -> ir.Value:
        if isinstance(e, Read):
            return given[e]
        if isinstance(e, Outside):
            return e.scalar
        if isinstance(e, Constant):
            return arith.constant(e.type, e.attribute)
        if id(e) not in made:  # alive as long as `expression`
            made[id(e)] = number(e.expression) if isinstance(e, Number) else clone(e)
        return made[id(e)]

    def clone(e: Apply) -> ir.Value:
        operands = [value(operand) for operand in e.operands]
        copy = ir.Operation.create(
            e.name,
            results=[e.type],
            operands=operands,
            attributes={e.op.attributes[i].name: e.op.attributes[i].attr for i in range(len(e.op.attributes))},
            loc=e.op.location,
        )
        return copy.results[0]

    return value(expression)
