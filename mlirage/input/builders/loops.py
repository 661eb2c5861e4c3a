"""Conditionals and loops over tensors: scf.if, scf.for and scf.while, with extents followed through them.

A body is built first, in a scratch block, to learn what it makes; then the block moves into the op with the right
types. An extent of a carried tensor that the body changes becomes a run-time one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.input.builders import dims as dim_math
from mlirage.input.builders.dims import Dim, Sym
from mlirage.input.builders.element_types import BOOL, INDEX, element_type
from mlirage.input.builders.movement import insert_slice, reshape, unsqueeze
from mlirage.input.builders.tensor import Shape, Tensor, TensorBuilder, empty, tensor_type
from mlirage.mlir import arith, ir, scf, tensor

LoopBody = Callable[[Dim, list[Tensor]], tuple[Tensor | None, list[Tensor], list[Tensor]]]


def _here() -> ir.Location:
    location = ir.Location.current
    assert location is not None
    return location


def _scratch_block(kinds: Sequence[ir.Type]) -> ir.Block:
    builder = TensorBuilder.current()
    scratch = ir.Operation.create("scf.execute_region", regions=1)
    builder.scratch.append(scratch)
    return ir.Block.create_at_start(scratch.regions[0], list(kinds), [_here()] * len(kinds))


def _as_type(x: Tensor, kind: ir.Type) -> ir.Value[Any]:
    return x.value if x.value.type == kind else tensor.cast(kind, x.value)


def scalar_condition(condition: Tensor) -> ir.Value[Any]:
    """A boolean tensor of one element as i1."""
    flat = reshape(condition, ())
    splat = flat.splat()
    if splat is not None:
        return TensorBuilder.current().scalar_constant(splat, BOOL)
    return tensor.extract(flat.value, [])


def if_(condition: Tensor, then: Callable[[], list[Tensor]], otherwise: Callable[[], list[Tensor]]) -> list[Tensor]:
    """The tensors of one of two branches; only that branch is built if the condition is known.

    Raises:
      ValueError: the branches make tensors of different number, type or rank.
    """
    known = condition.splat()
    if known is not None:
        return then() if known else otherwise()
    return if_value(scalar_condition(condition), then, otherwise)


def if_value(
    condition: ir.Value[Any], then: Callable[[], list[Tensor]], otherwise: Callable[[], list[Tensor]]
) -> list[Tensor]:
    """`if_` on an i1 value."""
    builder = TensorBuilder.current()
    blocks: list[ir.Block] = []
    made: list[list[Tensor]] = []
    for branch in (then, otherwise):
        block = _scratch_block([])
        with builder.block(block):
            results = branch()
            for result in results:
                _ = result.value
        blocks.append(block)
        made.append([Tensor(r.shape, r.dtype, value=_value_in(builder, block, r)) for r in results])
    if len(made[0]) != len(made[1]):
        raise ValueError(f"the branches make {len(made[0])} and {len(made[1])} values")
    shapes: list[list[Dim | None]] = []
    for left, right in zip(*made, strict=True):
        if left.rank != right.rank or left.dtype != right.dtype:
            raise ValueError(f"the branches make {left} and {right}: type and number of axes must agree")
        shapes.append([a if a == b else None for a, b in zip(left.shape, right.shape, strict=True)])
    kinds = [_type_of(shape, x.dtype) for shape, x in zip(shapes, made[0], strict=True)]
    op = ir.Operation.create("scf.if", results=kinds, operands=[condition], regions=2)
    for region, block, results in zip(op.regions, blocks, made, strict=True):
        block.append_to(region)
        with ir.InsertionPoint(block):
            scf.yield_([_as_type(r, kind) for r, kind in zip(results, kinds, strict=True)])
    return [_result(value, x.dtype, shape) for value, x, shape in zip(op.results, made[0], shapes, strict=True)]


def _value_in(builder: TensorBuilder, block: ir.Block, x: Tensor) -> ir.Value[Any]:
    with builder.block(block):
        return x.value


def _type_of(shape: Sequence[Dim | None], dtype: Any) -> ir.Type:
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([d if isinstance(d, int) else dynamic for d in shape], element_type(dtype))


def _result(value: ir.Value[Any], dtype: Any, shape: Sequence[Dim | None]) -> Tensor:
    """A tensor whose unknown extents are its own."""
    atoms = TensorBuilder.current().atoms
    return Tensor([atoms.extent(value, i) if d is None else d for i, d in enumerate(shape)], dtype, value=value)


def choose(index: Dim, makers: Sequence[Callable[[], Tensor]]) -> Tensor:
    """What the maker of that number makes, decided at run time."""
    if len(makers) == 1 or isinstance(index, int):
        return makers[index if isinstance(index, int) else 0]()
    builder = TensorBuilder.current()
    first = arith.cmpi(arith.CmpIPredicate.eq, builder.index(index), builder.index(0))
    (result,) = if_value(first, lambda: [makers[0]()], lambda: [choose(index - 1, makers[1:])])
    return result


def loop(
    count: Dim | None,
    condition: Tensor | None,
    carried: Sequence[Tensor],
    body: LoopBody,
) -> tuple[list[Tensor], list[Tensor]]:
    """Runs `body(i, carried)` for i = 0, 1, … below `count` while the condition holds.

    Args:
      count: the most iterations; None: no limit.
      condition: whether to start; None: yes.
      carried: first values of what iterations hand on.
      body: returns the condition for going on (None: yes), the next carried values, and tensors that are collected.

    Returns:
      The last carried values, and the collected tensors stacked along a new first axis.
    """
    builder = TensorBuilder.current()
    assumed: list[list[Dim | None]] = [list(x.shape) for x in carried]
    dtypes = [x.dtype for x in carried]
    for _ in range(2 + sum(len(shape) for shape in assumed)):
        kinds = [_type_of(shape, dtype) for shape, dtype in zip(assumed, dtypes, strict=True)]
        block = _scratch_block([ir.IndexType.get(), *kinds])
        with builder.block(block):
            arguments = [
                _result(value, dtype, shape)
                for value, dtype, shape in zip(list(block.arguments)[1:], dtypes, assumed, strict=True)
            ]
            go_on, following, collected = body(builder.runtime_dim(block.arguments[0], nonnegative=True), arguments)
            following = [Tensor(x.shape, x.dtype, value=x.value) for x in following]
            collected = [Tensor(x.shape, x.dtype, value=x.value) for x in collected]
        if not _generalize(assumed, following, dtypes):
            break
    else:
        raise ValueError("the shapes of the loop's values do not settle")
    always = (go_on is None or bool(go_on.splat())) and (condition is None or bool(condition.splat()))
    # scf.for's canonicalization folds a cast of an initial value into the loop, wrongly where extents change in it.
    keeps_types = all(x.value.type == kind for x, kind in zip(carried, kinds, strict=True))
    initial = [_as_type(x, kind) for x, kind in zip(carried, kinds, strict=True)]
    opaque = [[None if _depends_on(dim, block) else dim for dim in x.shape] for x in collected]
    if count is not None and always and keeps_types and all(dim is not None for shape in opaque for dim in shape):
        return _for_loop(builder, block, count, initial, kinds, assumed, following, collected, dtypes)
    return _while_loop(
        builder, block, count, condition, go_on, initial, kinds, assumed, following, collected, opaque, dtypes
    )


def _generalize(assumed: list[list[Dim | None]], following: Sequence[Tensor], dtypes: Sequence[Any]) -> bool:
    """Forgets the extents that the body changes; whether there were any."""
    if len(assumed) != len(following):
        raise ValueError(f"the loop carries {len(assumed)} values but its body makes {len(following)}")
    changed = False
    for shape, x, dtype in zip(assumed, following, dtypes, strict=True):
        if len(shape) != x.rank or dtype != x.dtype:
            raise ValueError(f"a loop value of {len(shape)} axes of {dtype} becomes {x}")
        for i, dim in enumerate(shape):
            if dim is not None and dim != x.shape[i]:
                shape[i] = None
                changed = True
    return changed


def _depends_on(dim: Dim, block: ir.Block) -> bool:
    """Whether a dim is calculated from values made inside a block."""
    if not isinstance(dim, Sym):
        return False
    for atoms in dim.terms:
        for atom in atoms:
            for argument in atom.args:
                if isinstance(argument, Sym) and _depends_on(argument, block):
                    return True
                if isinstance(argument, ir.Value) and _inside(argument, block):
                    return True
    return False


def _inside(value: ir.Value[Any], block: ir.Block) -> bool:
    owner = value.owner
    place = owner if isinstance(owner, ir.Block) else owner.operation.block
    while place is not None:
        if place == block:
            return True
        parent = place.owner.operation
        if parent.name in ("func.func", "builtin.module"):
            return False
        place = parent.block
    return False


def _for_loop(
    builder: TensorBuilder,
    block: ir.Block,
    count: Dim,
    initial: list[ir.Value[Any]],
    kinds: list[ir.Type],
    assumed: list[list[Dim | None]],
    following: list[Tensor],
    collected: list[Tensor],
    dtypes: list[Any],
) -> tuple[list[Tensor], list[Tensor]]:
    stacks: list[tuple[Shape, Any]] = [((count, *x.shape), x.dtype) for x in collected]
    yielded = [_yield_value(builder, block, x, kind) for x, kind in zip(following, kinds, strict=True)]
    for x, (shape, dtype) in zip(collected, stacks, strict=True):
        argument = block.add_argument(tensor_type(shape, dtype), _here())
        with builder.block(block):
            position = builder.runtime_dim(block.arguments[0], nonnegative=True)
            stack = Tensor(shape, dtype, value=argument)
            yielded.append(insert_slice(unsqueeze(x, [0]), stack, [position] + [0] * x.rank).value)
    with ir.InsertionPoint(block):
        scf.yield_(yielded)
    starts = [*initial, *(empty(shape, dtype) for shape, dtype in stacks)]
    op = ir.Operation.create(
        "scf.for",
        results=[value.type for value in starts],
        operands=[builder.index(0), builder.index(count), builder.index(1), *starts],
        regions=1,
    )
    block.append_to(op.regions[0])
    results = list(op.results)
    finals = [_result(v, d, s) for v, d, s in zip(results[: len(kinds)], dtypes, assumed, strict=True)]
    return finals, [
        Tensor(shape, dtype, value=v) for v, (shape, dtype) in zip(results[len(kinds) :], stacks, strict=True)
    ]


def _yield_value(builder: TensorBuilder, block: ir.Block, x: Tensor, kind: ir.Type) -> ir.Value[Any]:
    with builder.block(block):
        return _as_type(x, kind)


def _while_loop(
    builder: TensorBuilder,
    block: ir.Block,
    count: Dim | None,
    condition: Tensor | None,
    go_on: Tensor | None,
    initial: list[ir.Value[Any]],
    kinds: list[ir.Type],
    assumed: list[list[Dim | None]],
    following: list[Tensor],
    collected: list[Tensor],
    opaque: list[list[Dim | None]],
    dtypes: list[Any],
) -> tuple[list[Tensor], list[Tensor]]:
    """Collected tensors grow by one row per iteration; extents that only the loop knows start as 0."""
    boolean, index = element_type(BOOL), element_type(INDEX)
    with builder.block(block):
        flag = scalar_condition(go_on) if go_on is not None else builder.scalar_constant(True, BOOL)
        after = arith.addi(block.arguments[0], arith.constant(index, 1))
    yielded = [_yield_value(builder, block, x, kind) for x, kind in zip(following, kinds, strict=True)]
    stack_kinds: list[ir.Type] = []
    starts: list[ir.Value[Any]] = []
    for x, shape in zip(collected, opaque, strict=True):
        kind = _type_of([None, *shape], x.dtype)
        argument = block.add_argument(kind, _here())
        with builder.block(block):
            stack = _result(argument, x.dtype, [None, *shape])
            yielded.append(_as_type(_grown(builder, stack, x), kind))
        stack_kinds.append(kind)
        first_shape = [0, *(0 if dim is None else dim for dim in shape)]
        starts.append(_as_type(Tensor(first_shape, x.dtype, value=empty(first_shape, x.dtype)), kind))
    with ir.InsertionPoint(block):
        scf.yield_([after, flag, *yielded])
    first = scalar_condition(condition) if condition is not None else builder.scalar_constant(True, BOOL)
    limit = builder.index(count) if count is not None else None
    carried_kinds = [*kinds, *stack_kinds]
    op = ir.Operation.create(
        "scf.while",
        results=[index, *carried_kinds],
        operands=[builder.index(0), first, *initial, *starts],
        regions=2,
    )
    head_kinds = [index, boolean, *carried_kinds]
    head = ir.Block.create_at_start(op.regions[0], head_kinds, [_here()] * len(head_kinds))
    with ir.InsertionPoint(head):
        position, flag, *values = list(head.arguments)
        if limit is not None:
            flag = arith.andi(flag, arith.cmpi(arith.CmpIPredicate.slt, position, limit))
        scf.ConditionOp(flag, [position, *values])
    block.append_to(op.regions[1])
    results = list(op.results)[1:]
    finals = [_result(v, d, s) for v, d, s in zip(results[: len(kinds)], dtypes, assumed, strict=True)]
    stacks = [
        _result(v, x.dtype, [None, *shape])
        for v, x, shape in zip(results[len(kinds) :], collected, opaque, strict=True)
    ]
    return finals, stacks


def _grown(builder: TensorBuilder, stack: Tensor, x: Tensor) -> Tensor:
    """`stack` with `x` as a further row; a stack without rows takes the extents of `x`."""
    rows = stack.shape[0]
    for have, new in zip(stack.shape[1:], x.shape, strict=True):
        builder.require_equal(
            dim_math.select("eq", rows, 0, new, have), new, "a loop collects tensors of different shapes"
        )
    target = Tensor([rows + 1, *x.shape], x.dtype, value=empty([rows + 1, *x.shape], x.dtype))
    return insert_slice(unsqueeze(x, [0]), insert_slice(stack, target, [0] * target.rank), [rows] + [0] * x.rank)
