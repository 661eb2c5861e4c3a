"""linalg ops on memrefs become microkernels where there is one.

    linalg.generic {maps…} ins(%a, %b) outs(%c) { %p = arith.mulf; %s = arith.addf %o, %p; yield %s }
      ─>
    "vmvx.contract"(%a, %b, %c, %m, %n, %k) {kernel = "f32", maps = …}

Sums of products over any loops that walk through memory in steps (matmuls, convolutions, dot products) are one kernel;
fills of whole buffers another. Everything else stays linalg and becomes loops.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry, loop_extents
from mlirage.mlir import arith, ir, memref, run_pipeline
from mlirage.vmvx_dialect import ContractOp, FillOp

# By the types of lhs, rhs and out; those of int8 by the signs with which the body extends.
_FLOAT_KERNELS = {"f32": "f32", "f64": "f64", "f16": "f16_f32", "bf16": "bf16_f32"}
_INTEGER_KERNELS = {"i32": "i32", "i64": "i64"}


@dataclass(frozen=True)
class _Factor:
    """A factor of the product: operand `number`, extended with `extension`, minus the zero point."""

    number: int
    extension: str = ""
    zero: ir.Value | None = None


def use_microkernels(entry: Entry) -> None:
    """Replaces what microkernels can do."""
    for op in list(entry.walk()):
        if op.name == "linalg.fill":
            _replace_fill(op)
    run_pipeline(entry.operation.parent, "func.func(linalg-generalize-named-ops)")
    for op in list(entry.walk()):
        if op.name == "linalg.generic":
            _replace_contraction(op)


def _replace_fill(op: ir.Operation) -> None:
    value, out = op.operands
    kind = ir.MemRefType(out.type)
    if kind.affine_map != ir.AffineMap.get_identity(kind.rank):  # elements do not lie one after the other
        return
    if isinstance(kind.element_type, ir.ComplexType) or value.type != kind.element_type:
        return
    with ir.InsertionPoint(op), op.location:
        FillOp(value, out)
    op.erase()


def _replace_contraction(op: ir.Operation) -> None:
    inputs, outputs = structured_ops.segment_sizes(op)
    if outputs != 1 or op.results:
        return
    factors = _product(op, inputs)
    if factors is None:
        return
    operands = list(op.operands)
    lhs, rhs = factors
    chosen = [operands[lhs.number], operands[rhs.number], operands[inputs]]
    if not all(isinstance(v.type, ir.MemRefType) for v in chosen):
        return
    maps = structured_ops.indexing_maps(op)
    picked = [maps[lhs.number], maps[rhs.number], maps[inputs]]
    kernel = _kernel_of(factors, [str(ir.MemRefType(v.type).element_type) for v in chosen])
    if kernel is None or not all(linear_steps(e, m.n_dims) is not None for m in picked for e in m.results):
        return
    with ir.InsertionPoint(op), op.location:
        extents = _extents(op, operands, maps)
        if extents is None:
            return
        order = _loop_order(picked, structured_ops.parallel_loops(op))
        if _walks_along(picked[0], order[-1]) and not _walks_along(picked[1], order[-1]):
            # the right factor is the one that the innermost loop walks along
            chosen, picked, factors = [chosen[1], chosen[0], chosen[2]], [picked[1], picked[0], picked[2]], (rhs, lhs)
            kernel = _kernel_of(factors, [str(ir.MemRefType(v.type).element_type) for v in chosen])
            assert kernel is not None, "kernels come in both orders"
        i32 = ir.IntegerType.get_signless(32)
        zeros = [f.zero if f.zero is not None else arith.constant(i32, 0) for f in factors] if "8" in kernel else []
        ContractOp(
            *chosen, zeros, [extents[loop] for loop in order],
            ir.ArrayAttr.get([ir.AffineMapAttr.get(_reordered(m, order)) for m in picked]), ir.StringAttr.get(kernel),
        )  # fmt: skip
    op.erase()


def _product(op: ir.Operation, inputs: int) -> tuple[_Factor, _Factor] | None:
    """The factors, if the body adds a product of two inputs to the output and does nothing else."""
    block = structured_ops.body(op)
    ops = [inner.operation for inner in block.operations]
    accumulator = block.arguments[inputs]
    total = _owner(ops[-1].operands[0], ("arith.addf", "arith.addi"), block)
    if total is None or sum(1 for _ in accumulator.uses) != 1 or accumulator not in list(total.operands):
        return None
    other = next((v for v in total.operands if v != accumulator), None)
    product = None if other is None else _owner(other, ("arith.mulf", "arith.muli"), block)
    if product is None:
        return None
    factors = [_factor(op, v, block) for v in product.operands]
    used = 2 + sum((f.extension != "") + (f.zero is not None) for f in factors if f)
    if factors[0] is None or factors[1] is None or len(ops) - 1 != used:
        return None
    return factors[0], factors[1]


def _factor(op: ir.Operation, v: ir.Value, block: ir.Block) -> _Factor | None:
    zero: ir.Value | None = None
    difference = _owner(v, ("arith.subi",), block)
    if difference is not None:
        v, zero = difference.operands[0], difference.operands[1]
        assert zero is not None, "an operand"
        if isinstance(zero.owner, ir.Block) and zero.owner == block:
            zero = ir.Value(op.operands[ir.BlockArgument(zero).arg_number])
            if not isinstance(zero.type, ir.IntegerType):
                return None
        elif not isinstance(zero.owner, ir.Block) and zero.owner.operation.block == block:
            return None
    extension = _owner(v, ("arith.extf", "arith.extsi", "arith.extui"), block)
    name = ""
    if extension is not None:
        v, name = extension.operands[0], extension.name.removeprefix("arith.")
    if zero is not None and not name.endswith("i"):
        return None
    if not isinstance(v.owner, ir.Block) or v.owner != block:
        return None
    return _Factor(ir.BlockArgument(v).arg_number, name, zero)


def _owner(v: ir.Value, names: tuple[str, ...], block: ir.Block) -> ir.Operation | None:
    """The op in `block` that computes `v`, if it is one of `names` and only that uses it."""
    if isinstance(v.owner, ir.Block):
        return None
    op = v.owner.operation
    return op if op.name in names and op.block == block and sum(1 for _ in v.uses) == 1 else None


def _kernel_of(factors: tuple[_Factor, _Factor], kinds: list[str]) -> str | None:
    """The microkernel for element types of lhs, rhs and out."""
    extensions = {f.extension for f in factors}
    if kinds[0] == kinds[1] and kinds[0] in ("f16", "bf16") and kinds[2] == "f32" and extensions == {"extf"}:
        return _FLOAT_KERNELS[kinds[0]]
    if kinds[:2] == ["i8", "i8"] and kinds[2] == "i32" and extensions <= {"extsi", "extui"}:
        signs = ["s" if f.extension == "extsi" else "u" for f in factors]
        return f"{signs[0]}8{signs[1]}8_i32"
    if len(set(kinds)) == 1 and extensions == {""} and all(f.zero is None for f in factors):
        return {"f32": "f32", "f64": "f64", **_INTEGER_KERNELS}.get(kinds[0])
    return None


def linear_steps(expression: ir.AffineExpr, loops: int) -> tuple[list[int], int] | None:
    """Coefficients of the loops and the constant of a linear expression; None if it is none."""
    match expression:
        case ir.AffineConstantExpr():
            return [0] * loops, expression.value
        case ir.AffineDimExpr():
            return [int(i == expression.position) for i in range(loops)], 0
        case ir.AffineAddExpr() | ir.AffineMulExpr():
            left, right = linear_steps(expression.lhs, loops), linear_steps(expression.rhs, loops)
            if left is None or right is None:
                return None
            if isinstance(expression, ir.AffineAddExpr):
                return [a + b for a, b in zip(left[0], right[0], strict=True)], left[1] + right[1]
            if any(right[0]):
                left, right = right, left
            return None if any(right[0]) else ([a * right[1] for a in left[0]], left[1] * right[1])
        case _:
            return None


def _extents(op: ir.Operation, operands: list[ir.Value], maps: list[ir.AffineMap]) -> list[ir.Value] | None:
    """The extent of every loop."""
    index = ir.IndexType.get()
    result: list[ir.Value] = []
    for loop, known in enumerate(loop_extents(op)):
        if known is not None:
            result.append(arith.constant(index, known))
            continue
        places = (
            (operand, position)
            for operand, indexing in zip(operands, maps, strict=True)
            if isinstance(operand.type, ir.MemRefType)
            for position, e in enumerate(indexing.results)
            if isinstance(e, ir.AffineDimExpr) and e.position == loop
        )
        place = next(places, None)
        if place is None:
            return None
        result.append(memref.dim(place[0], arith.constant(index, place[1])))
    return result


def _loop_order(maps: list[ir.AffineMap], parallel: list[bool]) -> list[int]:
    """Parallel loops first, then reductions, and last the loop that is contiguous in the output."""
    last = maps[2].results[-1] if len(maps[2].results) else None
    inner = last.position if isinstance(last, ir.AffineDimExpr) else None
    order = [loop for loop in range(len(parallel)) if parallel[loop] and loop != inner]
    order += [loop for loop in range(len(parallel)) if not parallel[loop]]
    return order if inner is None else [*order, inner]


def _walks_along(indexing: ir.AffineMap, loop: int) -> bool:
    """Whether a loop moves through an operand."""
    steps = [linear_steps(e, indexing.n_dims) for e in indexing.results]
    return any(s is not None and s[0][loop] != 0 for s in steps)


def _reordered(indexing: ir.AffineMap, order: list[int]) -> ir.AffineMap:
    """The map over loops in another order."""
    position = {loop: number for number, loop in enumerate(order)}
    replacements = [ir.AffineExpr.get_dim(position[loop]) for loop in range(indexing.n_dims)]
    results = [e.compose(ir.AffineMap.get(len(order), 0, replacements)) for e in indexing.results]
    return ir.AffineMap.get(len(order), 0, results)
