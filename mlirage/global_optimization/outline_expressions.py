"""Outlines constant expressions into functions of the arrays that they start from.

An expression of elementwise ops on equal shapes, or on splats, becomes a function on `tensor<?x…>`: one function, and
one kernel, serves all expressions of that form, whatever their shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlirage import structured_ops
from mlirage.global_optimization.constant_expressions import ConstantExpressions
from mlirage.mlir import arith, func, ir, linalg, tensor, walk
from mlirage.program import Array

_FLAT = ("tensor.expand_shape", "tensor.collapse_shape", "tensor.cast", "tensor.empty", "linalg.fill", "arith.constant")


@dataclass
class Unit:
    """Values computed by one function.

    Attributes:
      roots: the values, its results.
      flat: whether the function works on one dynamic dim instead of the shapes of the values.
    """

    roots: list[ir.Value]
    flat: bool


def outline_units(expressions: ConstantExpressions, roots: list[ir.Value]) -> list[Unit]:
    """Splits `roots` into units: flat ones alone, others together with those that share a computation."""
    units: list[Unit] = []
    unit_of: dict[ir.Value, Unit] = {}
    for root in roots:
        computed = _computed(expressions, root)
        if _is_flat(expressions, root, computed):
            units.append(Unit([root], True))
            continue
        shared = list({id(unit): unit for value in computed if (unit := unit_of.get(value)) is not None}.values())
        unit = shared[0] if shared else Unit([], False)
        if not shared:
            units.append(unit)
        unit.roots.append(root)
        for other in shared[1:]:
            unit.roots.extend(other.roots)
            units.remove(other)
        unit_of.update({value: unit for value, at in unit_of.items() if at in shared[1:]})
        unit_of.update(dict.fromkeys(computed, unit))
    return units


def _computed(expressions: ConstantExpressions, root: ir.Value) -> list[ir.Value]:
    """The values that are computed on the way from arrays to `root`."""
    found: dict[ir.Value, None] = {}
    stack = [root]
    while stack:
        value = stack.pop()
        if value not in found and value not in expressions.arrays:
            found[value] = None
            stack.extend(structured_ops.values_read(ir.OpResult(value).owner.operation))
    return list(found)


def _is_flat(expressions: ConstantExpressions, root: ir.Value, computed: list[ir.Value]) -> bool:
    if root in expressions.uniform:
        return True
    elements = _elements(root.type)
    for value in computed:
        op = ir.OpResult(value).owner.operation
        if op.name == "linalg.generic":
            maps = structured_ops.indexing_maps(op)
            tensors = [m for v, m in zip(op.operands, maps, strict=True) if isinstance(v.type, ir.RankedTensorType)]
            identity = structured_ops.identity_map(maps[0].n_dims)
            if not structured_ops.is_elementwise(op) or any(m != identity for m in tensors):
                return False
            if any(inner.name.startswith(("linalg.index", "tensor.")) for inner in walk(op)) or len(op.results) != 1:
                return False
        elif op.name not in _FLAT and not op.name.startswith(("arith.", "math.")):
            return False
        if isinstance(value.type, ir.RankedTensorType):
            if _elements(value.type) != elements:
                return False
            if op.name == "arith.constant" and not ir.DenseElementsAttr(op.attributes["value"]).is_splat:
                return False
    return True


def _elements(kind: ir.RankedTensorType) -> int:
    return int(np.prod(kind.shape, dtype=np.int64))


class Outliner:
    """Clones the expressions of a unit into a function."""

    def __init__(self, expressions: ConstantExpressions, unit: Unit) -> None:
        self.expressions = expressions
        self.unit = unit
        self.arguments: list[Array] = []
        self._clones: dict[ir.Value, ir.Value] = {}
        self._extent: ir.Value | None = None

    def build(self, name: str) -> func.FuncOp:
        """The function, at the current insertion point; `arguments` are then what to call it with."""
        function = func.FuncOp(name, ([], []), loc=ir.Location.unknown())
        block = function.add_entry_block()
        order = self._order()
        for value in order:
            if value in self.expressions.arrays:
                self._clones[value] = self._argument(value, block)
        with ir.InsertionPoint(block), ir.Location.unknown():
            if self.unit.flat and block.arguments:
                self._extent = tensor.dim(block.arguments[0], arith.constant(ir.IndexType.get(), 0))
            for value in order:
                if value not in self._clones:
                    self._clone(ir.OpResult(value).owner.operation)
            results = [self._clones[root] for root in self.unit.roots]
            func.ReturnOp(results)
        kind = ir.FunctionType.get([a.type for a in block.arguments], [value.type for value in results])
        function.attributes["function_type"] = ir.TypeAttr.get(kind)
        return function

    def _order(self) -> list[ir.Value]:
        """All values of the unit, each after what it reads."""
        order: dict[ir.Value, None] = {}
        for root in self.unit.roots:
            stack = [root]
            while stack:
                value = stack[-1]
                is_array = value in self.expressions.arrays
                reads = [] if is_array else structured_ops.values_read(ir.OpResult(value).owner.operation)
                missing = [v for v in reads if v not in order]
                if value in order or not missing:
                    order[stack.pop()] = None
                else:
                    stack.extend(missing)
        return list(order)

    def _kind(self, value: ir.Value) -> ir.Type:
        if not self.unit.flat or not isinstance(value.type, ir.RankedTensorType):
            return value.type
        return ir.RankedTensorType.get([structured_ops.DYNAMIC], value.type.element_type)

    def _argument(self, value: ir.Value, block: ir.Block) -> ir.Value:
        array = self.expressions.arrays[value]
        if value in self.expressions.uniform and self.unit.flat and self.unit.roots[0] in self.expressions.uniform:
            array = array.reshape(-1)[:1]
        elif self.unit.flat:
            array = array.reshape(-1)
        array = np.ascontiguousarray(array).reshape(array.shape)  # which makes a number a row of one
        if array.dtype.kind == "u":  # the module's types have no sign
            array = array.view(f"i{array.dtype.itemsize}")
        self.arguments.append(array)
        return block.add_argument(self._kind(value), ir.Location.unknown())

    def _clone(self, op: ir.Operation) -> None:
        result = op.results[0]
        if self.unit.flat and isinstance(result.type, ir.RankedTensorType):
            self._clones[result] = self._flat(op)
            return
        clone = op.clone(ip=ir.InsertionPoint.current)
        for inner in (clone, *walk(clone)):
            for number, operand in enumerate(inner.operands):
                if operand in self._clones:
                    inner.operands[number] = self._clones[operand]
        self._clones.update(zip(op.results, clone.results, strict=True))

    def _flat(self, op: ir.Operation) -> ir.Value:
        """The result of `op` on one dynamic dim."""
        kind = self._kind(op.results[0])
        operands = [self._clones[value] if value in self._clones else value for value in op.operands]
        if op.name in ("tensor.expand_shape", "tensor.collapse_shape", "tensor.cast"):
            return operands[0]
        assert self._extent is not None
        empty = ir.Operation.create("tensor.empty", [kind], [self._extent]).results[0]
        if op.name == "tensor.empty":
            return empty
        if op.name in ("linalg.fill", "tensor.splat"):
            return linalg.fill(operands[0], outs=[empty])
        if op.name == "arith.constant":
            value = ir.DenseElementsAttr(op.attributes["value"]).get_splat_value()
            return linalg.fill(arith.ConstantOp(structured_ops.element_type(kind), value).result, outs=[empty])  # pyright: ignore[reportArgumentType]
        identity, scalar = structured_ops.identity_map(1), ir.AffineMap.get(1, 0, [])
        maps = [identity if isinstance(v.type, ir.RankedTensorType) else scalar for v in operands]
        count = structured_ops.segment_sizes(op)[0]
        captured = dict(self._clones)

        def fill_body(block: ir.Block) -> list[ir.Value]:
            yielded = structured_ops.clone_body(structured_ops.body(op), list(block.arguments))
            for inner in block.operations:
                for number, operand in enumerate(inner.operation.operands):
                    if operand in captured:
                        inner.operation.operands[number] = captured[operand]
            return [captured[value] if value in captured else value for value in yielded]

        init = operands[count] if op.operands[count] in self._clones else empty
        return structured_ops.build_generic(operands[:count], [init], maps, [True], fill_body, op.location).results[0]
