"""Reading and building linalg structured ops: loops, indexing maps, kinds of ops, generics.

A structured op is a linalg op with a scalar body, named or generic. Its loops are numbered as the dims of its indexing
maps; a loop is parallel or a reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mlirage.mlir import ir, linalg, walk

DYNAMIC = ir.ShapedType.get_dynamic_size()

_MULTIPLY = {"arith.addf": "arith.mulf", "arith.addi": "arith.muli"}
_NOT_STRUCTURED = frozenset(
    f"linalg.{name}"
    for name in (
        "yield", "index", "pack", "unpack", "softmax",
        "winograd_filter_transform", "winograd_input_transform", "winograd_output_transform",
    )
)  # fmt: skip

_CONTROL_FLOW = ("builtin.", "func.", "scf.", "flow.dispatch_region")


def is_structured(op: ir.Operation) -> bool:
    """Whether `op` is a linalg op with a scalar body on tensors."""
    return op.name.startswith("linalg.") and op.name not in _NOT_STRUCTURED


def segment_sizes(op: ir.Operation) -> list[int]:
    """The operand counts of the operand groups of `op`."""
    if "operandSegmentSizes" not in op.attributes:  # linalg.transpose, broadcast, map, reduce
        return [len(op.operands) - len(op.results), len(op.results)]
    return list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))


def inputs(op: ir.Operation) -> list[ir.Value]:
    """The `ins` operands of a structured op."""
    return list(op.operands)[: segment_sizes(op)[0]]


def outputs(op: ir.Operation) -> list[ir.Value]:
    """The `outs` operands of a structured op: the initial contents of its results."""
    return list(op.operands)[segment_sizes(op)[0] :]


def indexing_maps(op: ir.Operation) -> list[ir.AffineMap]:
    """The indexing map of every operand; linalgx ops that share dispatches with linalg's have them, too."""
    if op.name.startswith("linalgx."):
        return [ir.AffineMapAttr(attribute).value for attribute in ir.ArrayAttr(op.attributes["indexing_maps"])]
    maps = linalg.get_indexing_maps(op.opview)
    assert maps is not None, f"{op.name} has no indexing maps"
    return [ir.AffineMapAttr(attribute).value for attribute in maps]


def map_dims(indexing_map: ir.AffineMap) -> list[int | None]:
    """For every result of the map the loop that it is, None where it is another expression."""
    return [expr.position if isinstance(expr, ir.AffineDimExpr) else None for expr in indexing_map.results]


def parallel_loops(op: ir.Operation) -> list[bool]:
    """For every loop whether it is parallel."""
    if "iterator_types" in op.attributes:
        parallel = ir.Attribute.parse("#linalg.iterator_type<parallel>", op.context)
        return [kind == parallel for kind in ir.ArrayAttr(op.attributes["iterator_types"])]
    maps = indexing_maps(op)
    count_ = maps[0].n_dims if maps else 0
    outer = {dim for m in maps[segment_sizes(op)[0] :] for dim in map_dims(m)}
    return [loop in outer for loop in range(count_)]


def is_elementwise(op: ir.Operation) -> bool:
    """Whether every loop is parallel and every result is written through a permutation of the loops."""
    if not is_structured(op) or not all(parallel_loops(op)):
        return False
    return all(m.is_permutation for m in indexing_maps(op)[segment_sizes(op)[0] :])


def is_contraction(op: ir.Operation) -> bool:
    """Whether `op` multiplies and adds two tensors (matmul, dot, batched, transposed, generic, packed …)."""
    if not is_structured(op):
        return False
    return linalg.isa_contraction_op(op.opview) or (_reduces_products(op) and not _has_windows(op))


def is_window(op: ir.Operation) -> bool:
    """Whether `op` is a convolution or a pooling."""
    if not is_structured(op):
        return False
    named = "pooling" in op.name or "conv" in op.name
    return named or linalg.isa_convolution_op(op.opview) or (_reduces_products(op) and _has_windows(op))


def _reduces_products(op: ir.Operation) -> bool:
    """Whether `op` sums products of two inputs over some loop."""
    return segment_sizes(op) == [2, 1] and not all(parallel_loops(op)) and multiply_add(op) is not None


def _has_windows(op: ir.Operation) -> bool:
    """Whether an operand is read at sums of loops; those inside a packed group (`i mod 32 * 4 + k mod 4`) are none."""
    return any(isinstance(e, ir.AffineAddExpr) and not _has_mod(e) for m in indexing_maps(op) for e in m.results)


def _has_mod(expr: ir.AffineExpr) -> bool:
    if isinstance(expr, ir.AffineBinaryExpr):
        return isinstance(expr, ir.AffineModExpr) or _has_mod(expr.lhs) or _has_mod(expr.rhs)
    return False


def multiply_add(op: ir.Operation) -> tuple[str, ir.Value, ir.Value] | None:
    """How the body of a structured op with two inputs sums products.

    Returns:
      ("arith.addf" or "arith.addi", the factor made of the first input, that made of the second), the factors as
      values of the body, or None if the body does something else.
    """
    block = body(op)
    if len(block.arguments) != 3:
        return None
    total = block.arguments[2]
    ops = [inner.operation for inner in block.operations]
    added = _defining_op(ops[-1].operands[0]) if len(ops[-1].operands) == 1 else None
    if added is None or added.name not in _MULTIPLY:
        return None
    terms = [value for value in added.operands if value != total]
    product = _defining_op(terms[0]) if len(terms) == 1 else None
    if product is None or product.name != _MULTIPLY[added.name]:
        return None
    factors: dict[int, ir.Value] = {}
    for value in product.operands:
        sources = _source_arguments(value, block)
        if len(sources) != 1:
            return None
        factors[sources.pop()] = value
    if set(factors) != {0, 1}:
        return None
    return added.name, factors[0], factors[1]


def _defining_op(value: ir.Value) -> ir.Operation | None:
    return None if isinstance(value.owner, ir.Block) else value.owner.operation


def _source_arguments(value: ir.Value, block: ir.Block) -> set[int]:
    """Numbers of the arguments of `block` that a value of the body is computed from."""
    if isinstance(value.owner, ir.Block):
        return {ir.BlockArgument(value).arg_number} if value.owner == block else set()
    owner = value.owner.operation
    if owner.block != block:
        return set()
    return {number for operand in owner.operands for number in _source_arguments(operand, block)}


def loop_extents(op: ir.Operation) -> list[int]:
    """The static extent of every loop, DYNAMIC where no operand tells it."""
    maps = indexing_maps(op)
    extents = [DYNAMIC] * (maps[0].n_dims if maps else 0)
    for operand, indexing_map in zip(op.operands, maps, strict=True):
        if isinstance(operand.type, ir.RankedTensorType):
            for extent, loop in zip(operand.type.shape, map_dims(indexing_map), strict=True):
                if loop is not None and extent != DYNAMIC:
                    extents[loop] = extent
    return extents


def body(op: ir.Operation) -> ir.Block:
    """The scalar body of a structured op."""
    return op.regions[0].blocks[0]


def has_index(op: ir.Operation) -> bool:
    """Whether the body asks for loop numbers (`linalg.index`)."""
    return any(inner.name == "linalg.index" for inner in walk(op))


def inverse_permutation(indexing_map: ir.AffineMap) -> ir.AffineMap:
    """The inverse of a map that is a permutation of its dims."""
    dims = map_dims(indexing_map)
    order = [dims.index(loop) for loop in range(indexing_map.n_dims)]
    return ir.AffineMap.get_permutation(order) if order else indexing_map


def compose(outer: ir.AffineMap, inner: ir.AffineMap) -> ir.AffineMap:
    """The map x ↦ outer(inner(x))."""
    return ir.AffineMap.get(inner.n_dims, 0, [expr.compose(inner) for expr in outer.results])


def identity_map(rank: int) -> ir.AffineMap:
    """The identity map of `rank` loops."""
    return ir.AffineMap.get_identity(rank)


def build_generic(
    ins: Sequence[ir.Value],
    outs: Sequence[ir.Value],
    maps: Sequence[ir.AffineMap],
    parallel: Iterable[bool],
    fill_body: Callable[[ir.Block], Sequence[ir.Value]],
    location: ir.Location,
) -> ir.Operation:
    """A `linalg.generic` at the insertion point; `fill_body(block)` builds the body and gives the yielded values."""
    kinds = [
        ir.Attribute.parse("#linalg.iterator_type<parallel>" if p else "#linalg.iterator_type<reduction>")
        for p in parallel
    ]
    op = ir.Operation.create(
        "linalg.generic",
        results=[out.type for out in outs],
        operands=[*ins, *outs],
        attributes={
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(m) for m in maps]),
            "iterator_types": ir.ArrayAttr.get(kinds),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(ins), len(outs)]),
        },
        regions=1,
        loc=location,
    )
    types = [element_type(value.type) for value in (*ins, *outs)]
    block = ir.Block.create_at_start(op.regions[0], types, [location] * len(types))
    with ir.InsertionPoint(block):
        linalg.YieldOp(list(fill_body(block)), loc=location)
    return op


def element_type(value_type: ir.Type) -> ir.Type:
    """The element type of a tensor type; any other type is its own."""
    return value_type.element_type if isinstance(value_type, ir.RankedTensorType) else value_type


def clone_body(source: ir.Block, arguments: Sequence[ir.Value]) -> list[ir.Value]:
    """Clones a scalar body at the current insertion point with `arguments` for its block arguments.

    Returns:
      the values that the body yields.
    """
    # The text of a named op has no body: its ops stand where the op does, before and after a dump.
    owner = source.owner.operation
    location = owner.location if owner.name.startswith("linalg.") and owner.name != "linalg.generic" else None
    mapping: dict[ir.Value, ir.Value] = dict(zip(source.arguments, arguments, strict=True))
    ops = [op.operation for op in source.operations]
    for op in ops[:-1]:
        clone = op.clone(ip=ir.InsertionPoint.current)
        if location is not None:
            clone.location = location
        for inner in (clone, *walk(clone)):
            for number, operand in enumerate(inner.operands):
                if operand in mapping:
                    inner.operands[number] = mapping[operand]
        mapping.update(zip(op.results, clone.results, strict=True))
    return [mapping[value] if value in mapping else value for value in ops[-1].operands]


def generalize(op: ir.Operation) -> ir.Operation:
    """Replaces a named structured op by the equal `linalg.generic`, which is returned."""
    with ir.InsertionPoint(op):
        generic = build_generic(
            inputs(op),
            outputs(op),
            indexing_maps(op),
            parallel_loops(op),
            lambda block: clone_body(body(op), list(block.arguments)[: len(body(op).arguments)]),
            op.location,
        )
    for old, new in zip(op.results, generic.results, strict=True):
        old.replace_all_uses_with(new)
    op.erase()
    return generic


def values_read(op: ir.Operation) -> list[ir.Value]:
    """The operands of `op` and what its regions read from outside, each once."""
    values = list(op.operands)
    if not len(op.regions):
        return list(dict.fromkeys(values))
    defined: set[ir.Value] = set()
    for inner in (op, *walk(op)):
        values.extend(inner.operands)
        defined.update(() if inner == op else inner.results)
        defined.update(argument for region in inner.regions for block in region.blocks for argument in block.arguments)
    return [value for value in dict.fromkeys(values) if value not in defined]


def tensor_ops(operation: ir.Operation) -> list[ir.Operation]:
    """The ops nested in `operation` down through functions and control flow, but not the scalar bodies of tensor ops.

    None of them lies in another one that a rewrite of tensors would erase, so the list stays good while ops go.
    """
    ops: list[ir.Operation] = []
    stack = [iter([op.operation for region in operation.regions for block in region.blocks for op in block.operations])]
    while stack:
        op = next(stack[-1], None)
        if op is None:
            stack.pop()
            continue
        ops.append(op)
        if len(op.regions) and op.name.startswith(_CONTROL_FLOW):
            stack.append(
                iter([i.operation for region in op.regions for block in region.blocks for i in block.operations])
            )
    return ops
