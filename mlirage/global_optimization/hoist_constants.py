"""Carries out at compile time what depends on constants alone.

    %s = ml_program.global_load_const @scale                 %t = ml_program.global_load_const @hoisted_0
    %v = ml_program.global_load_const @variance         ->
    %t = linalg.generic … ins(%s, %v) { sqrt, divf }

Movement of data (transposes, reshapes, slices, paddings) is done on the arrays. The rest is outlined into one program,
compiled by the same phases for this host, and run: results are those that the target would have computed. Nothing is
hoisted that would make the module larger by more than a little. An elementwise op on splats is computed on one element
and gives a splat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlirage import structured_ops
from mlirage.evaluation import evaluate
from mlirage.global_optimization.constant_arrays import add_constant, drop_unread_constants
from mlirage.global_optimization.data_movement import moved
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.mlir import arith, func, ir, ml_program, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat

# A result may be this much larger than the constants that it is made of.
_GROWTH_BYTES = 4096

_PURE = ("linalg.", "linalgx.", "arith.", "math.", "complex.", "tensor.")
_FREE = ("arith.constant", "tensor.empty", "linalg.fill", "tensor.splat", "ml_program.global_load_const")


@module_pass("global-optimization-hoist-constants")
def hoist_constants(program: Program) -> None:
    """Evaluates constant expressions and makes them constants."""
    expressions = _Expressions(program)
    for function in program.module.body.operations:
        if function.operation.name == "func.func":
            for op in walk(function.operation):
                expressions.visit(op)
    roots = expressions.roots()
    for root in [root for root in roots if root in expressions.splats]:
        _replace_by_splat(root, expressions.splats[root])
        roots.remove(root)
    arrays = {root: array for root in roots if (array := expressions.arrays.get(root)) is not None}
    computed = [root for root in roots if root not in arrays]
    if computed:
        arrays.update(zip(computed, _evaluate(program, expressions, computed), strict=True))
    for root in roots:
        _replace(program, root, arrays[root])
    if roots:
        drop_unread_constants(program)


@dataclass
class _Expressions:
    """What is constant.

    Attributes:
      constant: ops whose operands are all constant, with the bytes of the arrays that they are made of; 0: of none.
      arrays: values that are constants moved around, as arrays.
      uniform: values whose elements are all equal.
      splats: uniform values that are splat constants of the IR, perhaps in another shape, and the attribute.
    """

    program: Program
    constant: dict[ir.Operation, int] = field(default_factory=dict[ir.Operation, int])
    arrays: dict[ir.Value, Array] = field(default_factory=dict[ir.Value, Array])
    uniform: set[ir.Value] = field(default_factory=set[ir.Value])
    splats: dict[ir.Value, ir.Attribute] = field(default_factory=dict[ir.Value, ir.Attribute])

    def visit(self, op: ir.Operation) -> None:
        """Looks at one op; its operands have been looked at before."""
        if op.name == "ml_program.global_load_const":
            array = self.program.constants.get(ir.SymbolRefAttr(op.attributes["global"]).value[0])
            if array is not None:
                self.constant[op] = array.itemsize if is_splat(array) else array.nbytes
                self.arrays[op.results[0]] = array
                if is_splat(array):
                    self.uniform.add(op.results[0])
            return
        if not op.name.startswith(_PURE) or not op.results or _is_inner(op) or not _has_static_results(op):
            return
        operands = structured_ops.values_read(op)
        owners = [None if isinstance(value.owner, ir.Block) else value.owner.operation for value in operands]
        if any(owner is None or owner not in self.constant for owner in owners):
            return
        self.constant[op] = sum(self.constant[owner] for owner in dict.fromkeys(owners) if owner is not None)
        if _is_uniform(op, self.uniform):
            self.uniform.update(op.results)
            self._find_splat(op)
        if len(op.results) == 1 and isinstance(op.results[0].type, ir.RankedTensorType):
            array = moved(op, self.arrays)
            if array is not None:
                self.arrays[op.results[0]] = array

    def _find_splat(self, op: ir.Operation) -> None:
        if op.name == "arith.constant":
            value = op.attributes["value"]
            if isinstance(value, ir.DenseElementsAttr):
                self.splats[op.results[0]] = value.get_splat_value()
        elif len(op.operands) and op.operands[0] in self.splats and _moves(op):
            self.splats[op.results[0]] = self.splats[op.operands[0]]

    def roots(self) -> list[ir.Value]:
        """The values to compute: constant, read at run time, and small enough."""
        needed: list[ir.Value] = []
        seen: set[ir.Value] = set()
        stack: list[ir.Value] = []
        for function in self.program.module.body.operations:
            if function.operation.name == "func.func":
                for op in walk(function.operation):
                    if op not in self.constant:
                        stack.extend(op.operands)
        stack.reverse()
        while stack:
            value = stack.pop()
            op = None if isinstance(value.owner, ir.Block) else value.owner.operation
            if op is None or op not in self.constant or op.name in _FREE or value in seen:
                continue
            seen.add(value)
            if self._is_worth(op, value):
                needed.append(value)
            else:
                stack.extend(reversed(structured_ops.values_read(op)))
        return needed

    def _is_worth(self, op: ir.Operation, value: ir.Value) -> bool:
        if not isinstance(value.type, ir.RankedTensorType) or _element_bytes(value.type) is None:
            return False
        if value in self.splats:
            return True
        if not self.constant[op]:
            return False  # made of scalars: the evaluated program would be this one again
        if value in self.uniform:
            return True
        size = (_element_bytes(value.type) or 0) * int(np.prod(value.type.shape, dtype=np.int64))
        return size <= self.constant[op] + _GROWTH_BYTES


def _is_inner(op: ir.Operation) -> bool:
    """Whether `op` belongs to the body of another op, which is looked at as a whole."""
    return op.parent is not None and op.parent.name.startswith(("linalg.", "linalgx.", "tensor."))


def _has_static_results(op: ir.Operation) -> bool:
    return all(not isinstance(r.type, ir.RankedTensorType) or r.type.has_static_shape for r in op.results)


def _element_bytes(kind: ir.RankedTensorType) -> int | None:
    """Bytes of an element that numpy can hold and a function can take; None if it cannot."""
    element = kind.element_type
    if isinstance(element, ir.IntegerType):
        return max(1, element.width // 8) if element.width in (1, 8, 16, 32, 64) else None
    return element.width // 8 if isinstance(element, ir.FloatType) and element.width >= 8 else None


def _is_uniform(op: ir.Operation, uniform: set[ir.Value]) -> bool:
    if op.name == "arith.constant":
        value = op.attributes["value"]
        return not isinstance(value, ir.DenseElementsAttr) or value.is_splat
    if op.name in ("linalg.fill", "tensor.splat", "tensor.empty"):
        return True
    tensors = [v for v in op.operands if isinstance(v.type, ir.RankedTensorType)]
    if op.name in ("tensor.expand_shape", "tensor.collapse_shape"):
        return op.operands[0] in uniform
    if not structured_ops.is_elementwise(op) or any(inner.name.startswith(("linalg.i", "tensor.")) for inner in walk(op)):
        return False
    return all(value in uniform for value in tensors)


def _moves(op: ir.Operation) -> bool:
    return op.name in ("tensor.expand_shape", "tensor.collapse_shape") or transposed_source(op.results[0]) is not None


def _evaluate(program: Program, expressions: _Expressions, roots: list[ir.Value]) -> list[Array]:
    """Computes `roots` by a program of their own, whose arguments are the arrays that they start from."""
    builder = _Outliner(expressions)
    module = ir.Module.create(ir.Location.unknown())
    with ir.InsertionPoint(module.body):
        main = func.FuncOp("main", ([], []), loc=ir.Location.unknown())
    block = main.add_entry_block()
    with ir.InsertionPoint(block):
        results = [builder.value(root, block, root in expressions.uniform) for root in roots]
        func.ReturnOp(results)
    kind = ir.FunctionType.get([a.type for a in block.arguments], [value.type for value in results])
    main.attributes["function_type"] = ir.TypeAttr.get(kind)
    outlined = Program(module, options=program.options)
    arrays = evaluate(outlined, builder.arguments)
    shapes = [tuple(root.type.shape) for root in roots]
    return [
        np.broadcast_to(array.reshape(()), shape) if root in expressions.uniform else _splat_if_equal(array)
        for root, array, shape in zip(roots, arrays, shapes, strict=True)
    ]


def _splat_if_equal(array: Array) -> Array:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    if array.size > 1 and bool((data == data[0]).all()):
        return np.broadcast_to(array.reshape(-1)[0], array.shape)
    return array


class _Outliner:
    """Clones constant expressions; uniform ones on tensors of rank 0."""

    def __init__(self, expressions: _Expressions) -> None:
        self.expressions = expressions
        self.arguments: list[Array] = []
        self._clones: dict[tuple[ir.Value, bool], ir.Value] = {}

    def value(self, root: ir.Value, block: ir.Block, as_scalar: bool) -> ir.Value:
        """What `root` is in the program under construction, at the current insertion point."""
        stack = [root]
        while stack:
            value = stack[-1]
            if (value, as_scalar) in self._clones:
                stack.pop()
                continue
            array = self.expressions.arrays.get(value)
            if array is not None:
                self._clones[(value, as_scalar)] = self._argument(value, array, block, as_scalar)
                continue
            op = value.owner.operation
            missing = [v for v in structured_ops.values_read(op) if (v, as_scalar) not in self._clones]
            if missing:
                stack.extend(missing)
                continue
            self._clone(op, as_scalar)
        return self._clones[(root, as_scalar)]

    def _argument(self, value: ir.Value, array: Array, block: ir.Block, as_scalar: bool) -> ir.Value:
        self.arguments.append(array.reshape(-1)[0].reshape(()) if as_scalar else array)
        kind = ir.RankedTensorType.get([], value.type.element_type) if as_scalar else value.type
        return block.add_argument(kind, value.location)

    def _clone(self, op: ir.Operation, as_scalar: bool) -> None:
        clone = op.clone(ip=ir.InsertionPoint.current)
        for inner in (clone, *walk(clone)):
            for number, operand in enumerate(inner.operands):
                if (operand, as_scalar) in self._clones:
                    inner.operands[number] = self._clones[(operand, as_scalar)]
        if as_scalar and any(isinstance(result.type, ir.RankedTensorType) for result in clone.results):
            clone = _on_scalars(clone)
        for old, new in zip(op.results, clone.results, strict=True):
            self._clones[(old, as_scalar)] = new


def _on_scalars(op: ir.Operation) -> ir.Operation:
    """Rewrites a uniform op on tensors of rank 0."""
    kinds = [ir.RankedTensorType.get([], result.type.element_type) for result in op.results]
    if op.name in ("tensor.expand_shape", "tensor.collapse_shape"):
        source = op.operands[0].owner
        assert not isinstance(source, ir.Block) or op.operands[0].type.rank == 0
        cast = ir.Operation.create("tensor.cast", kinds, [op.operands[0]], loc=op.location)
        op.erase()
        return cast
    if op.name == "arith.constant":
        value = ir.DenseElementsAttr(op.attributes["value"])
        op.attributes["value"] = ir.DenseElementsAttr.get_splat(kinds[0], value.get_splat_value())
    elif op.name == "linalg.generic":
        empty = ir.AffineMapAttr.get(ir.AffineMap.get_empty())
        op.attributes["indexing_maps"] = ir.ArrayAttr.get([empty] * len(op.operands))
        op.attributes["iterator_types"] = ir.ArrayAttr.get([])
    for result, kind in zip(op.results, kinds, strict=True):
        result.set_type(kind)
    return op


def _replace_by_splat(root: ir.Value, value: ir.Attribute) -> None:
    op = root.owner.operation
    with ir.InsertionPoint(op), op.location:
        constant = arith.ConstantOp(root.type, ir.DenseElementsAttr.get_splat(root.type, value))
    root.replace_all_uses_with(constant.result)


def _replace(program: Program, root: ir.Value, array: Array) -> None:
    name = add_constant(program, "hoisted", np.ascontiguousarray(array) if not is_splat(array) else array, root)
    op = root.owner.operation
    with ir.InsertionPoint(op), op.location:
        loaded = ml_program.global_load_const(root.type, ir.FlatSymbolRefAttr.get(name))
    root.replace_all_uses_with(loaded)
