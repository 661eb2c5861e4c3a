"""Turns the tensor ops left on the host into flow ops.

    tensor.collapse_shape, expand_shape, reshape, cast, bitcast   ->  flow.tensor_reshape
    tensor.extract_slice / insert_slice of a run of bytes         ->  flow.tensor_slice / tensor_update
    tensor.empty, linalg.fill, tensor.splat, splat constants      ->  flow.tensor_empty / tensor_splat
    tensor.extract / insert / from_elements                       ->  flow.tensor_load / tensor_store

A run of bytes that is not along dimension 0 (unit dims come first) is sliced from the tensor without those dims.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.constants import read_dense, replace_constant
from mlirage.errors import CompileError
from mlirage.extents import Extents, resolve_dims
from mlirage.flow.dialect import (
    TensorEmptyOp,
    TensorLoadOp,
    TensorReshapeOp,
    TensorSliceOp,
    TensorSplatOp,
    TensorStoreOp,
    TensorUpdateOp,
)
from mlirage.flow.host_extents import HostExtents
from mlirage.mlir import arith, ir
from mlirage.passes import module_pass
from mlirage.program import Program

_ALLOWED = ("flow.", "func.", "scf.", "ml_program.", "tensor.dim", "arith.select", "cf.")


@module_pass("flow-convert-host-ops")
def convert_host_ops(program: Program) -> None:
    """Rewrites tensor and linalg ops outside executables as flow ops."""
    for function in program.module.body.operations:
        if function.operation.name != "func.func":
            continue
        _externalize_constants(program, function.operation)
        extents = HostExtents()
        # The extents of a tensor.reshape are loads: those before the loads themselves.
        for last in (False, True):
            for op in structured_ops.tensor_ops(function.operation):
                if (last or op.name == "tensor.reshape") and _uses_tensors(op):
                    _convert(op, extents)
        resolve_dims(function.operation, HostExtents())


def _externalize_constants(program: Program, function: ir.Operation) -> None:
    """The constants of the host that are no splats become globals, small ones too: their bytes go into the slab."""
    shared: dict[tuple[str, bytes], str] = {}
    for op in structured_ops.tensor_ops(function):
        if op.name != "arith.constant" or not isinstance(op.results[0].type, ir.RankedTensorType):
            continue
        # The bindings cannot hand out a complex attribute, not even to ask whether it is a splat.
        is_complex = isinstance(op.results[0].type.element_type, ir.ComplexType)
        value = None if is_complex else op.attributes["value"]
        if not (isinstance(value, ir.DenseElementsAttr) and value.is_splat):
            replace_constant(program, op, read_dense(op, "value"), shared)


def _uses_tensors(op: ir.Operation) -> bool:
    return any(isinstance(value.type, ir.RankedTensorType) for value in (*op.operands, *op.results))


def _convert(op: ir.Operation, extents: Extents) -> None:
    if op.name.startswith(_ALLOWED):
        return
    if op.name not in _CONVERSIONS:
        raise CompileError(f"{op.location}: {op.name} was left on the host; it belongs to a dispatch")
    new = _CONVERSIONS[op.name](op, extents, ir.InsertionPoint(op))
    op.results[0].replace_all_uses_with(new)
    extents.forget(op)
    op.erase()


def reshape(source: ir.Value, result: ir.RankedTensorType, dims: list[ir.Value], extents: Extents) -> ir.Value:
    """`source` as a tensor of type `result` with dynamic extents `dims`, at the current insertion point."""
    while not isinstance(source.owner, ir.Block) and source.owner.operation.name == TensorReshapeOp.OPERATION_NAME:
        source = source.owner.operation.operands[0]
    source_dims = extents.dynamic(source)
    if source.type == result and source_dims == dims:
        return source
    return TensorReshapeOp(result, source, source_dims, dims).result


def _reshape(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    dims = extents.dynamic(op.results[0])
    with ip, op.location:
        return reshape(op.operands[0], op.results[0].type, dims, extents)


def _empty(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    with ip, op.location:
        return TensorEmptyOp(op.results[0].type, list(op.operands)).result


def _splat(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    dims = extents.dynamic(op.results[0])
    with ip, op.location:
        return TensorSplatOp(op.results[0].type, op.operands[0], dims).result


def _constant(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    value = op.attributes["value"]
    with ip, op.location:
        scalar = arith.ConstantOp(op.results[0].type.element_type, value.get_splat_value()).result
        return TensorSplatOp(op.results[0].type, scalar, []).result


def _load(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    source, *indices = op.operands
    dims = extents.dynamic(source)
    with ip, op.location:
        return TensorLoadOp(op.results[0].type, source, dims, indices).result


def _store(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    value, target, *indices = op.operands
    dims = extents.dynamic(target)
    with ip, op.location:
        return TensorStoreOp(target.type, value, target, dims, indices).result


def _from_elements(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    result = op.results[0].type
    elements = list(op.operands)
    with ip, op.location:
        if all(element == elements[0] for element in elements) and elements:
            return TensorSplatOp(result, elements[0], []).result
        value = TensorEmptyOp(result, []).result
        for number, element in enumerate(elements):
            indices = []
            for extent in reversed(result.shape):
                indices.insert(0, arith.constant(ir.IndexType.get(), number % extent))
                number //= extent
            value = TensorStoreOp(result, element, value, [], indices).result
        return value


def _mixed(op: ir.Operation, static: str, dynamic: list[ir.Value]) -> list[int | ir.Value]:
    values = iter(dynamic)
    return [next(values) if s == structured_ops.DYNAMIC else s for s in ir.DenseI64ArrayAttr(op.attributes[static])]


class _Run:
    """The run of bytes that a contiguous slice is: dim `dim` of the whole, from `offset`, in the form [n, rest…]."""

    def __init__(self, op: ir.Operation, whole: ir.Value, first: int) -> None:
        count = structured_ops.segment_sizes(op)[first]
        start = sum(structured_ops.segment_sizes(op)[:first])
        operands = list(op.operands)
        offsets = _mixed(op, "static_offsets", operands[start : start + count])
        sizes = _mixed(op, "static_sizes", operands[start + count :])
        shape = list(whole.type.shape)
        dim = 0
        while dim < len(shape) - 1 and shape[dim] == 1:
            dim += 1
        element = whole.type.element_type
        self.offset = offsets[dim] if offsets else 0
        self.whole_type = ir.RankedTensorType.get(shape[dim:], element)
        size = sizes[dim] if sizes else 1
        self.dims = [] if isinstance(size, int) else [size]
        part = [size if isinstance(size, int) else structured_ops.DYNAMIC, *shape[dim + 1 :]]
        self.part_type = ir.RankedTensorType.get(part if shape else [], element)

    def offset_value(self) -> ir.Value:
        """The offset as an index value at the current insertion point."""
        return arith.constant(ir.IndexType.get(), self.offset) if isinstance(self.offset, int) else self.offset


def _slice(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    source, result = op.operands[0], op.results[0]
    run = _Run(op, source, 1)
    result_dims = extents.dynamic(result)
    source_dims = extents.dynamic(source)
    with ip, op.location:
        if source.type.rank == 0:
            return reshape(source, result.type, result_dims, extents)
        whole = reshape(source, run.whole_type, source_dims, extents)
        part = TensorSliceOp(run.part_type, whole, run.offset_value(), source_dims, run.dims).result
        return reshape(part, result.type, result_dims, extents)


def _update(op: ir.Operation, extents: Extents, ip: ir.InsertionPoint) -> ir.Value:
    source, target, result = op.operands[0], op.operands[1], op.results[0]
    run = _Run(op, target, 2)
    target_dims = extents.dynamic(target)
    extents.dynamic(source)
    with ip, op.location:
        if target.type.rank == 0:
            return reshape(source, result.type, [], extents)
        whole = reshape(target, run.whole_type, target_dims, extents)
        part = reshape(source, run.part_type, run.dims, extents)
        updated = TensorUpdateOp(run.whole_type, whole, part, run.offset_value(), target_dims, run.dims).result
        return reshape(updated, result.type, target_dims, extents)


_CONVERSIONS = {
    "tensor.collapse_shape": _reshape,
    "tensor.expand_shape": _reshape,
    "tensor.reshape": _reshape,
    "tensor.cast": _reshape,
    "tensor.bitcast": _reshape,
    "tensor.empty": _empty,
    "tensor.splat": _splat,
    "linalg.fill": _splat,
    "arith.constant": _constant,
    "tensor.extract": _load,
    "tensor.insert": _store,
    "tensor.from_elements": _from_elements,
    "tensor.extract_slice": _slice,
    "tensor.insert_slice": _update,
}
