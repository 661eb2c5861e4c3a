"""Which values of a program depend on constants alone, and which of them are worth computing at compile time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mlirage import structured_ops
from mlirage.codegen.target import CpuTarget, parse_target
from mlirage.global_optimization.data_movement import moved
from mlirage.global_optimization.dequantized_factors import match_dequantization
from mlirage.global_optimization.fold_transposes import transposed_source
from mlirage.global_optimization.multiply_integers import has_few_channels, may_multiply_integers
from mlirage.mlir import ir, walk
from mlirage.program import Array, Program, is_splat

# A result may be this much larger than the constants that it is made of; filters of images of few channels are
# multiplied as floats. Filters that are filled up with zeros may be twice as large: else every call would do that.
_GROWTH_BYTES = 4096
_FILTER_GROWTH_BYTES = 64 << 10

_PURE = ("linalg.", "linalgx.", "arith.", "math.", "complex.", "tensor.")
# What may trap or read outside of a tensor: a wrong model must fail at run time, not end the compiler.
_TRAPS = frozenset(
    f"arith.{name}" for name in ("divsi", "divui", "remsi", "remui", "floordivsi", "ceildivsi", "ceildivui")
) | {"tensor.extract"}  # fmt: skip
_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")
_FREE = ("arith.constant", "tensor.empty", "linalg.fill", "tensor.splat", "ml_program.global_load_const")


@dataclass
class ConstantExpressions:
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
                self.constant[op] = array.itemsize if is_splat(array) or not array.size else array.nbytes
                self.arrays[op.results[0]] = array
                if is_splat(array):
                    self.uniform.add(op.results[0])
            return
        if not op.name.startswith(_PURE) or not op.results or not _has_static_results(op):
            return
        is_tensor = len(op.results) == 1 and isinstance(op.results[0].type, ir.RankedTensorType)
        array = moved(op, self.arrays) if is_tensor else None
        if array is None and (op.name in _TRAPS or any(inner.name in _TRAPS for inner in walk(op))):
            return
        operands = structured_ops.values_read(op)
        owners = [None if isinstance(value.owner, ir.Block) else value.owner.operation for value in operands]
        if any(owner is None or owner not in self.constant for owner in owners):
            return
        self.constant[op] = sum(self.constant[owner] for owner in dict.fromkeys(owners) if owner is not None)
        if _is_uniform(op, self.uniform):
            self.uniform.update(op.results)
            self._find_splat(op)
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
                for op in structured_ops.tensor_ops(function.operation):
                    if op not in self.constant:
                        stack.extend(structured_ops.values_read(op) if not op.name.startswith("scf.") else op.operands)
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
        if _multiplies_integers(value, parse_target(self.program.options.target)):
            return False  # `multiply-integers` wants the integers
        size = (_element_bytes(value.type) or 0) * int(np.prod(value.type.shape, dtype=np.int64))
        growth = _FILTER_GROWTH_BYTES if _is_first_filter(value) else _GROWTH_BYTES
        if value in self.arrays and _is_filter(value):
            growth += self.constant[op]
        return size <= self.constant[op] + growth


def _multiplies_integers(value: ir.Value, target: CpuTarget) -> bool:
    """Whether a value is dequantized weights, however few, of a product with dequantized activations."""
    source = value
    while not isinstance(source.owner, ir.Block) and source.owner.operation.name in _RESHAPES:
        source = source.owner.operation.operands[0]
    return match_dequantization(source) is not None and _feeds_integers(value, target)


def _is_filter(value: ir.Value) -> bool:
    users = [use.owner.operation for use in value.uses]
    return bool(users) and all(structured_ops.is_window(user) and user.operands[1] == value for user in users)


def _is_first_filter(value: ir.Value) -> bool:
    users = [use.owner.operation for use in value.uses]
    return bool(users) and all(has_few_channels(user) and user.operands[1] == value for user in users)


def _feeds_integers(value: ir.Value, target: CpuTarget) -> bool:
    is_float = isinstance(structured_ops.element_type(value.type), ir.F32Type)
    for use in value.uses:
        user, number = use.owner.operation, use.operand_number
        if user.name in _RESHAPES or transposed_source(next(iter(user.results), value)) is not None:
            if _feeds_integers(user.results[0], target):
                return True
        elif may_multiply_integers(user, number, is_float, target):
            return True
    return False


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
    if not structured_ops.is_elementwise(op) or any(
        inner.name.startswith(("linalg.i", "tensor.")) for inner in walk(op)
    ):
        return False
    return all(value in uniform for value in tensors)


def _moves(op: ir.Operation) -> bool:
    return op.name in ("tensor.expand_shape", "tensor.collapse_shape") or transposed_source(op.results[0]) is not None
