"""How stream-convert-to-stream converts each op on tensors that is not control flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mlirage.errors import CompileError
from mlirage.flow.dialect import PARTS
from mlirage.mlir import arith, complex_, ir
from mlirage.stream import dialect as stream
from mlirage.stream.element_types import bit_pattern, byte_size, bytes_of_elements, element_bits, element_count
from mlirage.stream.index_math import add, index_constant, multiply, static_index


@dataclass(frozen=True)
class Tensor:
    """A tensor after the conversion: its bytes, all its extents, and its size in bytes."""

    type: ir.RankedTensorType
    resource: ir.Value
    dims: list[ir.Value]
    size: ir.Value

    @staticmethod
    def build(tensor_type: ir.RankedTensorType, resource: ir.Value, dynamic: list[ir.Value]) -> Tensor:
        """A tensor of `tensor_type` in `resource`; `dynamic` are its dynamic extents."""
        dims = all_dims(tensor_type, dynamic)
        return Tensor(tensor_type, resource, dims, byte_size(tensor_type.element_type, dims))

    def clone(self) -> ir.Value:
        """A copy of the bytes."""
        return stream.AsyncCloneOp(stream.resource_type(), self.resource, self.size).result

    @property
    def dynamic_dims(self) -> list[ir.Value]:
        """The extents that the type leaves open."""
        return [dim for axis, dim in enumerate(self.dims) if self.type.is_dynamic_dim(axis)]


def all_dims(tensor_type: ir.RankedTensorType, dynamic: list[ir.Value]) -> list[ir.Value]:
    """Every extent of a tensor whose dynamic ones are given."""
    given = iter(dynamic)
    return [
        next(given) if tensor_type.is_dynamic_dim(axis) else index_constant(tensor_type.get_dim_size(axis))
        for axis in range(tensor_type.rank)
    ]


class Converter(Protocol):
    """What conversions use of the function being rebuilt."""

    values: dict[ir.Value, ir.Value | Tensor]

    def scalar(self, old: ir.Value) -> ir.Value: ...
    def tensor(self, old: ir.Value) -> Tensor: ...
    def define(self, old: ir.Value, tensor: Tensor) -> None: ...


def _dispatch(op: ir.Operation, convert: Converter) -> None:
    dispatch = op.opview
    arguments = list(dispatch.arguments)
    numbers = [n for n, a in enumerate(arguments) if isinstance(a.type, ir.RankedTensorType)]
    tensors = [convert.tensor(arguments[n]) for n in numbers]
    scalars = [a for a in arguments if not isinstance(a.type, ir.RankedTensorType)]
    scalars = [convert.scalar(s) for s in (*scalars, *dispatch.argument_dims, *dispatch.result_dims)]
    result_dims = iter([convert.scalar(d) for d in dispatch.result_dims])
    dims: list[list[ir.Value]] = []
    for result in op.results:
        assert isinstance(result.type, ir.RankedTensorType)
        dynamic = [next(result_dims) for axis in range(result.type.rank) if result.type.is_dynamic_dim(axis)]
        dims.append(all_dims(result.type, dynamic))
    sizes = [byte_size(r.type.element_type, d) for r, d in zip(op.results, dims, strict=True)]
    i64 = ir.IntegerType.get_signless(64)
    tied = [ir.IntegerAttr(entry).value for entry in dispatch.tied]
    tied = [numbers.index(n) if n >= 0 else -1 for n in tied]
    zero = index_constant(0)
    new = stream.AsyncDispatchOp(
        [stream.resource_type()] * len(sizes),
        dispatch.entry,
        ir.ArrayAttr.get([ir.IntegerAttr.get(i64, k) for k in tied]),
        ir.IntegerAttr.get(i64, len(tensors)),
        ir.ArrayAttr.get([ir.TypeAttr.get(s.type) for s in scalars]),
        [_wide(s) for s in scalars],
        [t.resource for t in tensors],
        [t.size for t in tensors],
        [zero] * len(tensors),
        [t.size for t in tensors],
        sizes,
    )
    if PARTS in op.attributes:
        new.operation.attributes[stream.PARTS] = op.attributes[PARTS]
    for result, resource, d, size in zip(op.results, new.operation.results, dims, sizes, strict=True):
        convert.define(result, Tensor(result.type, resource, d, size))


def _wide(scalar: ir.Value) -> ir.Value:
    """The bits of a scalar as an i64: the scalars of a dispatch have one type."""
    i64 = ir.IntegerType.get_signless(64)
    if isinstance(scalar.type, ir.FloatType):
        scalar = arith.BitcastOp(ir.IntegerType.get_signless(scalar.type.width), scalar).result
    if isinstance(scalar.type, ir.IndexType):
        return arith.IndexCastOp(i64, scalar).result
    if not isinstance(scalar.type, ir.IntegerType) or scalar.type.width > 64:
        raise CompileError(f"{scalar}: a value of type {scalar.type} cannot be an operand of a dispatch")
    return scalar if scalar.type.width == 64 else arith.ExtUIOp(i64, scalar).result


def _reshape(op: ir.Operation, convert: Converter) -> None:
    source = convert.tensor(op.operands[0])
    result_type = ir.RankedTensorType(op.results[0].type)
    dims = all_dims(result_type, [convert.scalar(d) for d in op.opview.result_dims])
    convert.define(op.results[0], Tensor(result_type, source.resource, dims, source.size))


def _cast(op: ir.Operation, convert: Converter) -> None:
    source = convert.tensor(op.operands[0])
    result_type = ir.RankedTensorType(op.results[0].type)
    dynamic = [dim for axis, dim in enumerate(source.dims) if result_type.is_dynamic_dim(axis)]
    convert.define(op.results[0], Tensor.build(result_type, source.resource, dynamic))


def _dim(op: ir.Operation, convert: Converter) -> None:
    axis = static_index(convert.scalar(op.operands[1]))
    if axis is None:
        raise CompileError(f"{op.location}: tensor.dim needs a constant dimension")
    convert.values[op.results[0]] = convert.tensor(op.operands[0]).dims[axis]


def _empty(op: ir.Operation, convert: Converter) -> None:
    result_type = ir.RankedTensorType(op.results[0].type)
    dims = all_dims(result_type, [convert.scalar(v) for v in op.operands])
    size = byte_size(result_type.element_type, dims)
    resource = stream.AsyncAllocaOp(stream.resource_type(), size).result
    convert.define(op.results[0], Tensor(result_type, resource, dims, size))


def _splat(op: ir.Operation, convert: Converter) -> None:
    result_type = ir.RankedTensorType(op.results[0].type)
    dims = all_dims(result_type, [convert.scalar(v) for v in list(op.operands)[1:]])
    size = byte_size(result_type.element_type, dims)
    pattern = bit_pattern(convert.scalar(op.operands[0]))
    resource = stream.AsyncSplatOp(stream.resource_type(), pattern, size).result
    convert.define(op.results[0], Tensor(result_type, resource, dims, size))


def _row_bytes(tensor: Tensor, what: ir.Operation) -> ir.Value:
    """Bytes of one step of dimension 0."""
    element = tensor.type.element_type
    row = element_count(tensor.dims[1:])
    if element_bits(element) % 8 == 0:
        return bytes_of_elements(element, row)
    elements = static_index(row)
    if elements is None or elements * element_bits(element) % 8:
        raise CompileError(f"{what.location}: {what.name} of rows of {element} that end within a byte")
    return index_constant(elements * element_bits(element) // 8)


def _slice(op: ir.Operation, convert: Converter) -> None:
    source, offset = convert.tensor(op.operands[0]), convert.scalar(op.operands[1])
    result_type = ir.RankedTensorType(op.results[0].type)
    dims = all_dims(result_type, [convert.scalar(d) for d in op.opview.result_dims])
    row = _row_bytes(source, op)
    length = multiply(dims[0], row)
    start = multiply(offset, row)
    resource = stream.AsyncSliceOp(stream.resource_type(), source.resource, source.size, start, length).result
    convert.define(op.results[0], Tensor(result_type, resource, dims, length))


def _update(op: ir.Operation, convert: Converter) -> None:
    target, update = convert.tensor(op.operands[0]), convert.tensor(op.operands[1])
    start = multiply(convert.scalar(op.operands[2]), _row_bytes(target, op))
    resource = stream.AsyncUpdateOp(
        stream.resource_type(), target.resource, target.size, update.resource, update.size, start
    ).result
    convert.define(op.results[0], Tensor(target.type, resource, target.dims, target.size))


def _element_index(tensor: Tensor, indices: list[ir.Value]) -> ir.Value:
    index = index_constant(0)
    for dim, position in zip(tensor.dims, indices, strict=True):
        index = add(multiply(index, dim), position)
    return index


def _load(op: ir.Operation, convert: Converter) -> None:
    source = convert.tensor(op.operands[0])
    index = _element_index(source, [convert.scalar(i) for i in op.opview.indices])
    convert.values[op.results[0]] = _load_element(source, index, op)


def _load_element(source: Tensor, index: ir.Value, op: ir.Operation) -> ir.Value:
    element = source.type.element_type
    bits = element_bits(element)

    def load(kind: ir.Type, offset: ir.Value) -> ir.Value:
        return stream.AsyncLoadOp(kind, source.resource, source.size, offset).result

    if isinstance(element, ir.ComplexType):
        part, start = element.element_type, multiply(index, index_constant(bits // 8))
        imaginary = load(part, add(start, index_constant(bits // 16)))
        return complex_.CreateOp(element, load(part, start), imaginary).result
    if isinstance(element, ir.IndexType):
        wide = load(ir.IntegerType.get_signless(64), multiply(index, index_constant(8)))
        return arith.IndexCastOp(ir.IndexType.get(), wide).result
    if bits % 8 == 0:
        return load(element, multiply(index, index_constant(bits // 8)))
    if 8 % bits:
        raise CompileError(f"{op.location}: the host cannot read elements of {element}")
    # Packed, low bits first: take the byte and shift.
    byte_type, per_byte = ir.IntegerType.get_signless(8), index_constant(8 // bits)
    byte = load(byte_type, arith.DivUIOp(index, per_byte).result)
    shift = multiply(arith.RemUIOp(index, per_byte).result, index_constant(bits))
    shifted = arith.ShRUIOp(byte, arith.IndexCastOp(byte_type, shift).result).result
    return arith.TruncIOp(element, shifted).result


def _store(op: ir.Operation, convert: Converter) -> None:
    target = convert.tensor(op.operands[1])
    element = target.type.element_type
    bits = element_bits(element)
    if bits % 8:
        raise CompileError(f"{op.location}: the host cannot write single elements of {element}")
    index = _element_index(target, [convert.scalar(i) for i in op.opview.indices])
    width = index_constant(bits // 8)
    pattern = bit_pattern(convert.scalar(op.operands[0]))
    resource = stream.AsyncFillOp(
        stream.resource_type(), target.resource, target.size, pattern, multiply(index, width), width
    ).result
    convert.define(op.results[0], Tensor(target.type, resource, target.dims, target.size))


def _select(op: ir.Operation, convert: Converter) -> None:
    if not isinstance(op.results[0].type, ir.RankedTensorType):
        condition, a, b = (convert.scalar(v) for v in op.operands)
        convert.values[op.results[0]] = arith.SelectOp(condition, a, b).result
        return
    result_type = op.results[0].type
    branches = [convert.tensor(op.operands[k]) for k in (1, 2)]
    types = [stream.resource_type()] + [ir.IndexType.get()] * len(branches[0].dynamic_dims)
    new = ir.Operation.create("scf.if", types, [convert.scalar(op.operands[0])], regions=2)
    for region, branch in zip(new.regions, branches, strict=True):
        with ir.InsertionPoint(region.blocks.append()):
            ir.Operation.create("scf.yield", operands=[branch.clone(), *branch.dynamic_dims])
    convert.define(op.results[0], Tensor.build(result_type, new.results[0], list(new.results)[1:]))


CONVERSIONS: dict[str, Callable[[ir.Operation, Converter], None]] = {
    "arith.select": _select,
    "flow.dispatch": _dispatch,
    "flow.tensor_empty": _empty,
    "flow.tensor_load": _load,
    "flow.tensor_reshape": _reshape,
    "flow.tensor_slice": _slice,
    "flow.tensor_splat": _splat,
    "flow.tensor_store": _store,
    "flow.tensor_update": _update,
    "tensor.cast": _cast,
    "tensor.dim": _dim,
    "tensor.empty": _empty,
}
