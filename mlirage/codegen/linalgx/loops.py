"""Loops on tensors, written as Python functions: `scf.for` and `scf.if` that carry values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.mlir import arith, ir, math, scf, tensor

Values = Sequence[ir.Value]


def index(value: int) -> ir.Value:
    """An index constant."""
    return arith.constant(ir.IndexType.get(), value)


def extent(value: ir.Value, dim: int) -> ir.Value:
    """The extent of a tensor along `dim`."""
    shaped = ir.RankedTensorType(value.type)
    return tensor.dim(value, index(dim)) if shaped.is_dynamic_dim(dim) else index(shaped.get_dim_size(dim))


def for_(
    lower: ir.Value, upper: ir.Value, carried: Values, body: Callable[[ir.Value, Values], Values]
) -> list[ir.Value]:
    """`for i in range(lower, upper): carried = body(i, carried)`; the carried values at the end."""
    return for_step(lower, upper, index(1), carried, body)


def for_step(
    lower: ir.Value, upper: ir.Value, step: ir.Value, carried: Values, body: Callable[[ir.Value, Values], Values]
) -> list[ir.Value]:
    """As `for_`, by `step`."""
    loop = scf.ForOp(lower, upper, step, list(carried))
    with ir.InsertionPoint(loop.body):
        scf.yield_(list(body(loop.induction_variable, list(loop.inner_iter_args))))
    return list(loop.results)


def nest(extents: Values, carried: Values, body: Callable[[list[ir.Value], Values], Values]) -> list[ir.Value]:
    """Loops over every position below `extents`, outermost first."""

    def level(place: list[ir.Value], carried: Values) -> Values:
        if len(place) == len(extents):
            return body(place, carried)
        return for_(index(0), extents[len(place)], carried, lambda i, inner: level([*place, i], inner))

    return list(level([], carried))


def if_(condition: ir.Value, otherwise: Values, then: Callable[[], Values]) -> list[ir.Value]:
    """`then() if condition else otherwise`."""
    branch = scf.IfOp(condition, [value.type for value in otherwise], has_else=True)
    with ir.InsertionPoint(branch.then_block):
        scf.yield_(list(then()))
    with ir.InsertionPoint(branch.else_block):
        scf.yield_(list(otherwise))
    return list(branch.results)


def less(a: ir.Value, b: ir.Value) -> ir.Value:
    """a < b of index values."""
    return arith.cmpi(arith.CmpIPredicate.slt, a, b)


def not_(value: ir.Value) -> ir.Value:
    """The negation of an i1."""
    return arith.xori(value, arith.constant(ir.IntegerType.get_signless(1), 1))


def at(place: Values, dim: int, value: ir.Value) -> list[ir.Value]:
    """`place`, the positions along all other dims, with `value` put in for `dim`."""
    return [*place[:dim], value, *place[dim:]]


def bit_length(value: ir.Value) -> ir.Value:
    """The number of bits of a non-negative index: 0 of 0, 3 of 4."""
    constant = value.owner.operation if isinstance(value, ir.OpResult) else None
    if constant is not None and constant.name == "arith.constant":
        return index(ir.IntegerAttr(constant.attributes["value"]).value.bit_length())
    i64 = ir.IntegerType.get_signless(64)
    zeros = math.ctlz(arith.index_cast(i64, value))
    return arith.index_cast(ir.IndexType.get(), arith.subi(arith.constant(i64, 64), zeros))
