"""hal-collect-dispatch-statistics: what each entry point computes, reads and writes, for profiles and reports.

    func.func @e_workgroup_count(…) {…}
      ─>
    func.func @e_workgroup_count(…) attributes {hal.statistics = "{nodes: [/conv1], flops: 2048, …}"} {…}

`hal-link-executables` collects the texts in the module's attribute `mlirage.dispatches`, from which they reach the
module file (docs/module-format.md). Of each entry point:

* `nodes`: the nodes of the model that it was made from;
* `flops`: additions, multiplications, comparisons and math functions, each one operation; null if that depends on data;
* `bytes`: what it must read and write at least; null if not known;
* `kind`, `tiles`: how it is scheduled (codegen/strategy.py).

Numbers that depend on dynamic extents are sums of products of the dispatch's constants: [[2, 0, 2], [5]] is
2 · c0 · c2 + 5, where c0 and c2 are the 64-bit numbers at words 0 and 2 of the constants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from mlirage import structured_ops
from mlirage.attention import attention_loops
from mlirage.codegen.configuration import Entry
from mlirage.hal.configure_executables import entry_points
from mlirage.hal.entry_points import COUNT_SUFFIX
from mlirage.hal.materialize_interfaces import executables
from mlirage.mlir import func, ir, walk
from mlirage.passes import module_pass
from mlirage.polynomial import Polynomial
from mlirage.program import Program

STATISTICS = "hal.statistics"

# Per element; what is not here moves or selects.
_OPERATIONS = {
    f"arith.{name}": 1
    for name in (
        "addf", "subf", "mulf", "divf", "remf", "negf", "maximumf", "minimumf", "maxnumf", "minnumf",
        "addi", "subi", "muli", "divsi", "divui", "remsi", "remui", "maxsi", "maxui", "minsi", "minui",
    )
}  # fmt: skip
_MOVING = ("linalgx.scatter", "linalgx.compact", "linalgx.gather", "linalgx.reverse", "linalgx.yield")


@module_pass("hal-collect-dispatch-statistics")
def collect_dispatch_statistics(program: Program) -> None:
    """Writes the statistics of each entry point on its count function."""
    for executable in executables(program.module):
        counts = {
            op.name.value: op.operation
            for op in executable.regions[0].blocks[0].operations
            if isinstance(op, func.FuncOp)
        }
        for function in entry_points(executable):
            text = encode(statistics(Entry(function)))
            counts[function.name.value + COUNT_SUFFIX].attributes[STATISTICS] = ir.StringAttr.get(text)


def encode(facts: dict[str, Any]) -> str:
    """The text of the statistics of an entry point."""
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def statistics(entry: Entry) -> dict[str, Any]:
    """What is told of one entry point in interface form."""
    _, configuration = entry.configured()
    return {
        "nodes": _nodes(entry),
        "flops": _number(_operations(entry)),
        "bytes": _number(_traffic(entry)),
        "kind": configuration.kind,
        "tiles": list(configuration.workgroup_tiles),
    }


def _number(value: Polynomial | None) -> int | list[list[int]] | None:
    return None if value is None else value.encode()


def _nodes(entry: Entry) -> list[str]:
    """Names in the locations of the ops that compute, in order."""
    names: dict[str, None] = {}
    for op in entry.walk():
        if op.name.startswith(("linalg.", "linalgx.", "tensor.")) and op.name not in ("linalg.yield", "tensor.empty"):
            # "name" but not "file.mlir":7:5
            names.update(dict.fromkeys(re.findall(r'"((?:[^"\\]|\\.)+)"(?!:\d)', str(op.location))))
    return list(names)


def _operations(entry: Entry) -> Polynomial | None:
    total = Polynomial()
    for op in entry.walk():
        if op.name == "linalgx.attention":
            inside = _attention_operations(op)
            if inside is None:
                return None
            total += inside
            continue
        if op.name == "linalgx.winograd":
            direct = _convolution_operations(op)
            if direct is None:
                return None
            total += direct
            continue
        if op.name.startswith("linalgx.") and not op.name.startswith(_MOVING):
            return None
        if not structured_ops.is_structured(op):
            continue
        each = sum(_cost(inner) for inner in walk(op))
        if each == 0:
            continue
        iterations = _iterations(op)
        if iterations is None:
            return None
        total += iterations * each
    return total


def _cost(op: ir.Operation) -> int:
    """Operations of an op in the body of a structured op; arithmetic on loop numbers is none."""
    if op.results and isinstance(op.results[0].type, ir.IndexType):
        return 0
    return 1 if op.name.startswith("math.") else _OPERATIONS.get(op.name, 0)


def _attention_operations(op: ir.Operation) -> Polynomial | None:
    """For each score the two products, what its region does, and three operations of the softmax."""
    maps = [ir.AffineMapAttr(attribute).value for attribute in ir.ArrayAttr(op.attributes["indexing_maps"])]
    query, key, value, *_, result = maps
    loops = attention_loops(query, key, value, result)
    extents = _loop_extents(list(op.operands), maps)
    depth, columns = extents[loops.depth], extents[loops.columns]
    scores = _product([extents[loop] for loop in (*loops.batch, *loops.rows, loops.keys)])
    if scores is None or depth is None or columns is None:
        return None
    return scores * ((depth + columns) * 2 + Polynomial.constant(3 + sum(_cost(inner) for inner in walk(op))))


def _convolution_operations(op: ir.Operation) -> Polynomial | None:
    """Those of the convolution's direct form: what is asked for, not how it is done."""
    window = Polynomial.constant(ir.IntegerAttr(op.attributes["window"]).value)
    *extents, _, _ = _loop_extents(list(op.operands), structured_ops.indexing_maps(op))
    total = _product([*extents, window, window])
    return None if total is None else total * 2


def _iterations(op: ir.Operation) -> Polynomial | None:
    """How often the body of a structured op runs."""
    return _product(_loop_extents(list(op.operands), structured_ops.indexing_maps(op)))


def _loop_extents(operands: Sequence[ir.Value], maps: Sequence[ir.AffineMap]) -> list[Polynomial | None]:
    extents: list[Polynomial | None] = [None] * (maps[0].n_dims if maps else 0)
    for operand, indexing in zip(operands, maps, strict=True):
        for position, loop in enumerate(structured_ops.map_dims(indexing)):
            if loop is not None and extents[loop] is None:
                extents[loop] = _extent(operand, position)
    return extents


def _product(factors: list[Polynomial | None]) -> Polynomial | None:
    total = Polynomial.constant(1)
    for factor in factors:
        if factor is None:
            return None
        total *= factor
    return total


def _elements(value: ir.Value) -> Polynomial | None:
    return _product([_extent(value, dim) for dim in range(ir.ShapedType(value.type).rank)])


def _traffic(entry: Entry) -> Polynomial | None:
    """Bytes of the bindings that are read and of those that are written.

    Of a tensor of which only a slice or single elements are read, these count.
    """
    total = Polynomial()
    for op in entry.walk():
        if op.name == "bufferization.materialize_in_destination":
            amount = _bytes(op.operands[0])
        elif op.name == "bufferization.to_tensor":
            amount = _bytes_read(op.results[0])
        else:
            continue
        if amount is None:
            return None
        total += amount
    return total


def _bytes(value: ir.Value) -> Polynomial | None:
    elements = _elements(value)
    return None if elements is None else elements * element_bytes(ir.ShapedType(value.type).element_type)


def element_bytes(element: ir.Type) -> int:
    """Bytes of an element in memory."""
    if isinstance(element, ir.ComplexType):
        return 2 * element_bytes(element.element_type)
    if isinstance(element, ir.IntegerType | ir.FloatType):
        return -(-element.width // 8)
    return 8


def _bytes_read(value: ir.Value) -> Polynomial | None:
    """Bytes that the users of a binding's contents read; each element once."""
    whole = _bytes(value)
    parts: list[Polynomial | None] = []
    for use in value.uses:
        owner = use.owner.operation
        if owner.name == "tensor.dim":
            continue
        if owner.name == "tensor.extract_slice":
            parts.append(_bytes(owner.results[0]))
        elif owner.name == "tensor.extract":
            parts.append(_bytes_extracted(owner))
        elif structured_ops.is_structured(owner) and _only_shape(owner, use.operand_number):
            continue
        else:
            return whole
    total = Polynomial()
    for part in parts:
        if part is None:
            return whole
        total += part
    if whole is not None and whole.is_constant and total.is_constant and whole.value < total.value:
        return whole
    return total


def _bytes_extracted(op: ir.Operation) -> Polynomial | None:
    """Bytes of the elements that `tensor.extract` reads in the iterations of the op around it."""
    parent = op.parent
    if parent is None or not structured_ops.is_structured(parent.operation):
        return None
    iterations = _iterations(parent.operation)
    element = ir.ShapedType(op.operands[0].type).element_type
    return None if iterations is None else iterations * element_bytes(element)


def _only_shape(op: ir.Operation, operand: int) -> bool:
    """Whether a structured op does not read the elements of an operand."""
    block = structured_ops.body(op)
    return operand < len(block.arguments) and not list(block.arguments[operand].uses)


def _extent(value: ir.Value, dim: int) -> Polynomial | None:
    """Extent `dim` of a tensor in terms of the dispatch's constants; None if it is anything else."""
    shaped = ir.ShapedType(value.type)
    if not shaped.is_dynamic_dim(dim):
        return Polynomial.constant(shaped.get_dim_size(dim))
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    position = sum(shaped.is_dynamic_dim(i) for i in range(dim))
    operands = list(op.operands)
    if op.name == "bufferization.to_tensor":
        return _index(operands[0].owner.operation.operands[position])
    if op.name == "tensor.empty":
        return _index(operands[position])
    if op.name == "tensor.expand_shape":
        return _index(operands[1 + position])
    if op.name == "tensor.cast":
        return _extent(operands[0], dim)
    if op.name == "tensor.insert_slice":
        return _extent(operands[1], dim)
    if op.name == "tensor.extract_slice":
        return _slice_extent(op, position, len(shaped.shape))
    if structured_ops.is_structured(op) or op.name.startswith("linalgx."):
        number = ir.OpResult(value).result_number
        return _extent(operands[len(operands) - len(op.results) + number], dim)
    return None


def _slice_extent(op: ir.Operation, position: int, rank: int) -> Polynomial | None:
    sizes = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
    if len(sizes) != rank:  # which dims it drops is not worth knowing here
        return None
    first = sum(structured_ops.segment_sizes(op)[:2])
    return _index(op.operands[first + position])


def _index(value: ir.Value) -> Polynomial | None:
    """An index value in terms of the dispatch's constants."""
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    match op.name:
        case "arith.constant":
            return Polynomial.constant(ir.IntegerAttr(op.attributes["value"]).value)
        case "hal.interface_constant_load" if str(value.type) in ("index", "i64"):
            return Polynomial.variable(ir.IntegerAttr(op.attributes["word"]).value)
        case "arith.index_cast":
            return _index(op.operands[0])
        case "arith.addi" | "arith.muli":
            left, right = map(_index, op.operands)
            if left is None or right is None:
                return None
            return left + right if op.name == "arith.addi" else left * right
        case "tensor.dim":
            number = _index(op.operands[1])
            return None if number is None or not number.is_constant else _extent(op.operands[0], number.value)
        case _:
            return None
