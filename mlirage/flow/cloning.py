"""Which ops are cheaper to compute again inside every dispatch that reads them than to store."""

from __future__ import annotations

import math

from mlirage import structured_ops
from mlirage.mlir import ir

_CASTS = frozenset(
    f"arith.{name}"
    for name in ("extf", "extsi", "extui", "sitofp", "uitofp", "index_cast", "index_castui", "bitcast")
)  # fmt: skip
_DEQUANTIZE = _CASTS | {"arith.subi", "arith.subf", "arith.mulf", "arith.constant"}
# Integers of four bits, eight to a word: `(word >> 4 * index) & 15`.
_UNPACK = frozenset(("arith.shrui", "arith.andi", "arith.muli", "linalg.index"))


def is_free(op: ir.Operation) -> bool:
    """Whether `op` costs nothing where it is used: constants, fills, empty tensors, and what the host cannot compute.

    Functions of scalars (what generics captured: `math.log %two`) have no instruction in the virtual machine, which has
    no register for complex numbers and floats of 8 bits: dispatches load such elements themselves.
    """
    if op.name.startswith(("math.", "complex.")) and op.name != "complex.constant":
        return not any(isinstance(value.type, ir.ShapedType) for value in (*op.operands, *op.results))
    if op.name == "tensor.extract":
        kind = op.results[0].type
        return isinstance(kind, ir.ComplexType) or (isinstance(kind, ir.FloatType) and kind.width < 16)
    return op.name in ("tensor.empty", "tensor.splat", "linalg.fill", "arith.constant", "complex.constant")


def is_clonable(op: ir.Operation) -> bool:
    """Whether dispatches compute `op` for themselves: free ops, casts, dequantization, broadcasts, iota, slices.

    A padding is computed by the window op (convolution, pooling) that reads it.
    """
    if is_free(op):
        return True
    if op.name == "tensor.pad":
        return all(structured_ops.is_window(use.owner.operation) for use in op.results[0].uses)
    if op.name == "tensor.extract_slice":
        return not is_contiguous_slice(op) and all(
            structured_ops.is_structured(use.owner.operation) for use in op.results[0].uses
        )
    return structured_ops.is_elementwise(op) and _is_cheap_body(op)


def _is_cheap_body(op: ir.Operation) -> bool:
    if len(op.results) != 1:
        return False
    body = [inner.operation.name for inner in structured_ops.body(op).operations][:-1]
    tensors = [value for value in structured_ops.inputs(op) if isinstance(value.type, ir.RankedTensorType)]
    if not tensors:  # iota, fill by a computed scalar
        return len(body) <= 4 and all(name.startswith("arith.") or name == "linalg.index" for name in body)
    if not body:  # a copy: worth it if it reads less than it writes
        return all(value.type.rank < op.results[0].type.rank for value in tensors)
    if not all(name in _DEQUANTIZE or name in _UNPACK for name in body):
        return False
    if any(name in _CASTS for name in body) and all(value.type.has_static_shape for value in (*tensors, op.results[0])):
        return sum(map(_bytes, tensors)) < _bytes(op.results[0])
    read = max(bit_width(structured_ops.element_type(value.type)) for value in tensors)
    largest = max(value.type.rank for value in tensors)
    return (
        any(name in _CASTS for name in body)
        and largest <= op.results[0].type.rank
        and read < bit_width(structured_ops.element_type(op.results[0].type))
    )


def _bytes(value: ir.Value) -> int:
    """Bytes of a tensor of static shape, those of narrow elements as if they were packed."""
    return math.prod(value.type.shape) * bit_width(structured_ops.element_type(value.type)) // 8


def bit_width(element: ir.Type) -> int:
    """Bits of an element type; index counts as 64."""
    if isinstance(element, ir.IndexType):
        return 64
    if isinstance(element, ir.ComplexType):
        return 2 * bit_width(element.element_type)
    assert isinstance(element, ir.IntegerType | ir.FloatType)
    return element.width


def is_contiguous_slice(op: ir.Operation) -> bool:
    """Whether an extract_slice or insert_slice moves one run of bytes: unit dims, one range, then whole dims."""
    whole = op.operands[0].type if op.name == "tensor.extract_slice" else op.operands[1].type
    if any(stride != 1 for stride in ir.DenseI64ArrayAttr(op.attributes["static_strides"])):
        return False
    sizes = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
    offsets = list(ir.DenseI64ArrayAttr(op.attributes["static_offsets"]))
    dim = 0
    while dim < len(sizes) and whole.shape[dim] == 1:
        dim += 1
    return all(
        sizes[i] == whole.shape[i] != structured_ops.DYNAMIC and offsets[i] == 0 for i in range(dim + 1, len(sizes))
    )
