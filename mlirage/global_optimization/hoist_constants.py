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

import numpy as np

from mlirage import structured_ops
from mlirage.evaluation import evaluate
from mlirage.global_optimization.constant_arrays import add_constant, drop_unread_constants
from mlirage.global_optimization.constant_expressions import ConstantExpressions
from mlirage.global_optimization.outline_expressions import Outliner, outline_units
from mlirage.mlir import arith, ir, ml_program
from mlirage.passes import module_pass
from mlirage.program import Array, Program, is_splat

# Larger constants that were only moved stay views of the arrays that they come from, until weights are packed.
_KEPT_AS_VIEWS = 1 << 20


@module_pass("global-optimization-hoist-constants")
def hoist_constants(program: Program) -> None:
    """Evaluates constant expressions and makes them constants."""
    expressions = ConstantExpressions(program)
    for function in program.module.body.operations:
        if function.operation.name == "func.func":
            for op in structured_ops.tensor_ops(function.operation):
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


def _evaluate(program: Program, expressions: ConstantExpressions, roots: list[ir.Value]) -> list[Array]:
    """Computes `roots` by functions whose arguments are the arrays that they start from; equal functions once."""
    module = ir.Module.create(ir.Location.unknown())
    names: dict[str, str] = {}
    calls: list[tuple[str, list[Array]]] = []
    units = outline_units(expressions, roots)
    for unit in units:
        outliner = Outliner(expressions, unit)
        with ir.InsertionPoint(module.body):
            function = outliner.build(f"evaluate_{len(names)}")
        text = function.operation.get_asm(use_local_scope=True).partition("(")[2]
        name = names.setdefault(text, function.name.value)
        if name != function.name.value:
            function.operation.erase()
        calls.append((name, outliner.arguments))
    answers = evaluate(Program(module, options=program.options), calls)
    arrays: dict[ir.Value, Array] = {}
    for unit, results in zip(units, answers, strict=True):
        for root, array in zip(unit.roots, results, strict=True):
            shape = tuple(root.type.shape)
            if root in expressions.uniform:
                arrays[root] = np.broadcast_to(array.reshape(()), shape)
            else:
                arrays[root] = _splat_if_equal(array.reshape(shape))
    return [arrays[root] for root in roots]


def _splat_if_equal(array: Array) -> Array:
    if array.size <= 1:
        return array
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    return np.broadcast_to(array.reshape(-1)[0], array.shape) if bool((data == data[0]).all()) else array


def _replace_by_splat(root: ir.Value, value: ir.Attribute) -> None:
    op = ir.OpResult(root).owner.operation
    with ir.InsertionPoint(op), op.location:
        constant = arith.ConstantOp(root.type, ir.DenseElementsAttr.get_splat(root.type, value))  # pyright: ignore[reportArgumentType]
    root.replace_all_uses_with(constant.result)


def _replace(program: Program, root: ir.Value, array: Array) -> None:
    if array.nbytes < _KEPT_AS_VIEWS and not is_splat(array):
        array = np.ascontiguousarray(array).reshape(array.shape)  # which makes a number a row of one
    name = add_constant(program, "hoisted", array, root)
    op = ir.OpResult(root).owner.operation
    with ir.InsertionPoint(op), op.location:
        loaded = ml_program.global_load_const(root.type, ir.FlatSymbolRefAttr.get(name))
    root.replace_all_uses_with(loaded)
