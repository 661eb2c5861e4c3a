"""hal-materialize-interfaces: entry points take bindings and constants instead of tensors and scalars.

    func.func @e(%a: tensor<?xf32>, %s: f32, %d: index) -> tensor<?xf32> {
      %r = …
      return %r }
      ─>
    func.func @e() attributes {hal.interface = {bindings = 2, constants = 3, …}} {
      %s = hal.interface_constant_load {ordinal = 0, word = 0} : f32
      %d = hal.interface_constant_load {ordinal = 1, word = 1} : index
      %m0 = hal.interface_binding_subspan %d {binding = 0} : memref<?xf32>
      %a = bufferization.to_tensor %m0 restrict
      %r = …
      %m1 = hal.interface_binding_subspan %d {binding = 1} : memref<?xf32>
      bufferization.materialize_in_destination %r in restrict writable %m1
      return }

A result that is written into a part of its tied argument, or of nothing (`tensor.insert_slice`), goes to a
`memref.subview` of the binding; the rest of the binding is not touched.

The order of bindings and constants is fixed by docs/architecture.md. Element type `index` is i64 in memory and i1 is
i8 (0 or 1); a tied result is written to the binding of its argument.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mlirage.errors import CompileError
from mlirage.flow.dialect import dynamic_dim_count
from mlirage.hal.dialect import InterfaceBindingSubspanOp, InterfaceConstantLoadOp
from mlirage.mlir import arith, bufferization, func, ir, linalg, memref, run_pipeline, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program

EXECUTABLE = "flow.executable"
_TIED = "flow.tied"
_CAST = "hal.storage_cast"
# The casts between the memory and the computing form of i1 and index become part of what uses them.
_FOLD_CASTS = "func.func(linalg-fuse-elementwise-ops),canonicalize,cse"


def executables(module: ir.Module) -> list[ir.Operation]:
    """The executables of a program, in order."""
    return [
        op.operation
        for op in module.body.operations
        if op.operation.name == "builtin.module" and EXECUTABLE in op.operation.attributes
    ]


def word_count(scalar: ir.Type) -> int:
    """32-bit words that a scalar takes among the constants of a dispatch."""
    if isinstance(scalar, ir.IndexType | ir.F64Type):
        return 2
    return 2 if isinstance(scalar, ir.IntegerType) and scalar.width > 32 else 1


@module_pass("hal-materialize-interfaces")
def materialize_interfaces(program: Program) -> None:
    """Rewrites every entry point of every executable."""
    for executable in executables(program.module):
        for op in list(executable.regions[0].blocks[0].operations):
            if isinstance(op, func.FuncOp) and not op.is_external and "sym_visibility" not in op.operation.attributes:
                _Interface(op).build()
        if any(_stored_differently(op) for op in walk(executable)):
            run_pipeline(executable, _FOLD_CASTS)


def _stored_differently(op: ir.Operation) -> bool:
    """Whether `op` is a cast between the memory and the computing form of i1 and index."""
    return op.name == "linalg.generic" and _CAST in op.attributes


class _Interface:
    """Builds the interface form of one entry point in front of its tensor form."""

    def __init__(self, entry: func.FuncOp) -> None:
        self.entry = entry
        self.tensors = [a for a in entry.arguments if isinstance(a.type, ir.RankedTensorType)]
        self.scalars = [a for a in entry.arguments if not isinstance(a.type, ir.RankedTensorType)]
        self.result_types: list[ir.Type] = list(entry.type.results)
        tied = entry.operation.attributes.get(_TIED, None)
        self.tied = [ir.IntegerAttr(t).value for t in ir.ArrayAttr(tied)] if tied else [-1] * len(self.result_types)
        dims = dynamic_dim_count([a.type for a in self.tensors]) + dynamic_dim_count(self.result_types)
        if dims > len(self.scalars):
            raise CompileError(
                f"{entry.location}: entry point @{entry.name.value} has {dims} dynamic dimensions "
                f"but only {len(self.scalars)} scalar arguments"
            )
        self.first_dim = len(self.scalars) - dims

    def build(self) -> None:
        parts = self._parts()
        entry, name = self.entry, self.entry.name.value
        with ir.InsertionPoint(entry), entry.location:
            interface = func.FuncOp(name, ([], []))
        block = interface.add_entry_block()
        with ir.InsertionPoint(block), entry.location:
            scalars = self._load_constants()
            dims = iter(scalars[self.first_dim :])
            memrefs: list[ir.Value] = []
            for number, argument in enumerate(self.tensors):
                memrefs.append(_subspan(argument.type, number, dims))
                value = _to_tensor(memrefs[-1], argument.type, number in self.tied)
                argument.replace_all_uses_with(value)
            for argument, value in zip(self.scalars, scalars, strict=True):
                argument.replace_all_uses_with(value)
            untied = len(self.tensors)
            targets: list[ir.Value] = []
            for result_type, tied in zip(self.result_types, self.tied, strict=True):
                binding = untied if tied < 0 else tied
                untied += tied < 0
                same = tied >= 0 and self.tensors[tied].type == result_type
                target = _subspan(result_type, binding, dims)
                targets.append(memrefs[tied] if same else target)
        self._move_body(block, targets, parts)
        attributes = interface.operation.attributes
        i64 = ir.IntegerType.get_signless(64)
        attributes["hal.interface"] = ir.DictAttr.get(
            {
                "bindings": ir.IntegerAttr.get(i64, untied),
                "constants": ir.IntegerAttr.get(i64, sum(word_count(s.type) for s in self.scalars)),
                "scalars": ir.ArrayAttr.get([ir.TypeAttr.get(s.type) for s in self.scalars]),
            }
        )
        for attribute in entry.operation.attributes:
            key = attribute if isinstance(attribute, str) else attribute.name
            if key not in ("sym_name", "function_type", "arg_attrs", "res_attrs", _TIED):
                attributes[key] = entry.operation.attributes[key]
        entry.operation.erase()

    def _load_constants(self) -> list[ir.Value]:
        i64 = ir.IntegerType.get_signless(64)
        values: list[ir.Value] = []
        word = 0
        for ordinal, argument in enumerate(self.scalars):
            load = InterfaceConstantLoadOp(
                argument.type, ordinal=ir.IntegerAttr.get(i64, ordinal), word=ir.IntegerAttr.get(i64, word)
            )
            values.append(load.result)
            word += word_count(argument.type)
        return values

    def _parts(self) -> list[list[ir.Operation]]:
        """For each result the insertions that it consists of, the last one first; none: all of it is computed."""
        returned = next(op.operation for op in self.entry.entry_block.operations if op.operation.name == "func.return")
        found: list[list[ir.Operation]] = []
        for value, tied in zip(returned.operands, self.tied, strict=True):
            chain: list[ir.Operation] = []
            while not isinstance(value.owner, ir.Block) and _writes_a_box(value.owner.operation):
                chain.append(value.owner.operation)
                value = chain[-1].operands[1]
            if isinstance(value.owner, ir.Block):
                is_base = tied >= 0 and value == self.tensors[tied]
            else:
                is_base = tied < 0 and value.owner.operation.name == "tensor.empty"
            is_base = is_base and all(len(list(op.results[0].uses)) == 1 for op in chain)
            found.append(chain if is_base and len(list(value.uses)) == 1 else [])
        return found

    def _move_body(self, block: ir.Block, targets: list[ir.Value], parts: list[list[ir.Operation]]) -> None:
        for op in list(self.entry.entry_block.operations):
            if op.operation.name != "func.return":
                block.append(op)
                continue
            with ir.InsertionPoint(block), self.entry.location:
                for value, target, chain in zip(op.operation.operands, targets, parts, strict=True):
                    if not chain:
                        _materialize(_to_storage(value), target)
                    for insertion in reversed(chain):
                        value, part = _before_reshape(insertion.operands[0], _part_of(target, insertion))
                        _materialize(_to_storage(_computed(value)), part)
                func.return_([])
        unread = [insertion for chain in parts for insertion in chain]
        for op in list(self.entry.entry_block.operations):
            op.operation.erase()  # the return
        for insertion in unread:
            _erase_unread(insertion)


def _writes_a_box(op: ir.Operation) -> bool:
    """Whether `op` writes a part whose elements are neighbours, dim by dim."""
    if op.name != "tensor.insert_slice" or op.operands[0].type.rank != op.operands[1].type.rank:
        return False
    return all(stride == 1 for stride in ir.DenseI64ArrayAttr(op.attributes["static_strides"]))


def _materialize(value: ir.Value, target: ir.Value) -> None:
    bufferization.materialize_in_destination(None, value, target, restrict=True, writable=True)


def _erase_unread(op: ir.Operation) -> None:
    """Erases an insertion that nobody reads, and what was its target."""
    target = op.operands[1]
    op.erase()
    while not list(target.uses):
        made_by = ir.OpResult(target).owner.operation
        if made_by.name not in ("tensor.empty", "bufferization.to_tensor", "linalg.generic"):
            return
        is_cast = made_by.name == "linalg.generic"  # from the form in memory
        target = made_by.operands[0] if is_cast else target
        made_by.erase()
        if not is_cast:
            return


def _part_of(target: ir.Value, insertion: ir.Operation) -> ir.Value:
    """The part of a binding that an insertion writes."""
    dynamic = ir.ShapedType.get_dynamic_size()
    segments = list(ir.DenseI32ArrayAttr(insertion.attributes["operandSegmentSizes"]))
    operands = list(insertion.operands)
    lists: list[list[int | ir.Value]] = []
    start = 2
    for name, count in zip(("static_offsets", "static_sizes", "static_strides"), segments[2:], strict=True):
        given = iter(operands[start : start + count])
        start += count
        static = list(ir.DenseI64ArrayAttr(insertion.attributes[name]))
        lists.append([next(given) if v == dynamic else v for v in static])
    kind = ir.MemRefType(target.type)
    sizes = [dynamic if isinstance(size, ir.Value) else size for size in lists[1]]
    strides = _row_major_strides(kind.shape)
    offset = 0
    for start, stride in zip(lists[0], strides, strict=True):
        if isinstance(start, ir.Value) or (start != 0 and dynamic in (stride, offset)):
            offset = dynamic
        elif offset != dynamic:
            offset += start * stride
    layout = ir.StridedLayoutAttr.get(offset, strides)
    part = ir.MemRefType.get(sizes, kind.element_type, layout)
    return memref.subview(target, *lists, result_type=part)


def _row_major_strides(shape: Sequence[int]) -> list[int]:
    dynamic = ir.ShapedType.get_dynamic_size()
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, dynamic if dynamic in (extent, strides[0]) else strides[0] * extent)
    return strides


def _before_reshape(value: ir.Value, part: ir.Value) -> tuple[ir.Value, ir.Value]:
    """What `value` is a reshape of that merges dims, and its place in that form."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "tensor.collapse_shape":
        return value, part
    op = value.owner.operation
    source = op.operands[0]
    if not ir.RankedTensorType(source.type).has_static_shape:
        return value, part
    groups = [[ir.IntegerAttr(d).value for d in ir.ArrayAttr(g)] for g in ir.ArrayAttr(op.attributes["reassociation"])]
    kind = ir.MemRefType(part.type)
    strides, offset = kind.get_strides_and_offset()
    split: list[int] = []
    for group, stride in zip(groups, strides, strict=True):
        inner = [stride * math.prod(source.type.shape[d] for d in group[n + 1 :]) for n in range(len(group))]
        split += inner if stride != ir.ShapedType.get_dynamic_stride_or_offset() else []
    if len(split) != source.type.rank:
        return value, part
    shape = list(source.type.shape)
    wide = ir.MemRefType.get(shape, kind.element_type, ir.StridedLayoutAttr.get(offset, split))
    part = memref.ExpandShapeOp(wide, part, op.attributes["reassociation"], [], shape).result
    return source, part


def _computed(value: ir.Value) -> ir.Value:
    """`value`, copied by an op of its own if no op computes it: what is only moved is work to be shared as well."""
    if not isinstance(value.owner, ir.Block) and value.owner.operation.name.startswith(("linalg.", "linalgx.")):
        return value
    return _elementwise(value, ir.RankedTensorType(value.type))


def storage_type(element: ir.Type) -> ir.Type:
    """The element type that a tensor has in memory."""
    if isinstance(element, ir.IndexType):
        return ir.IntegerType.get_signless(64)
    if isinstance(element, ir.IntegerType) and element.width == 1:
        return ir.IntegerType.get_signless(8)
    return element


def _subspan(tensor_type: ir.Type, binding: int, dims: Iterator[ir.Value]) -> ir.Value:
    """The binding as a memref; takes its dynamic extents from `dims`."""
    shaped = ir.RankedTensorType(tensor_type)
    extents = [next(dims) for i in range(shaped.rank) if shaped.is_dynamic_dim(i)]
    memref = ir.MemRefType.get(shaped.shape, storage_type(shaped.element_type))
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), binding)
    return InterfaceBindingSubspanOp(memref, binding=number, dims=extents).result


def _to_tensor(memref: ir.Value, tensor_type: ir.Type, writable: bool) -> ir.Value:
    """The contents of `memref` as a value of `tensor_type`."""
    memref_type = ir.MemRefType(memref.type)
    stored = ir.RankedTensorType.get(memref_type.shape, memref_type.element_type)
    value = bufferization.to_tensor(stored, memref, restrict=True, writable=writable)
    return value if stored == tensor_type else _elementwise_cast(value, ir.RankedTensorType(tensor_type))


def _to_storage(value: ir.Value) -> ir.Value:
    """`value` with the element type that it has in memory."""
    shaped = ir.RankedTensorType(value.type)
    stored = ir.RankedTensorType.get(shaped.shape, storage_type(shaped.element_type))
    return value if stored == shaped else _elementwise_cast(value, stored)


def _elementwise_cast(value: ir.Value, to: ir.RankedTensorType) -> ir.Value:
    """index <-> i64 and i1 <-> i8 element by element."""
    generic = _elementwise(value, to)
    ir.OpResult(generic).owner.operation.attributes[_CAST] = ir.UnitAttr.get()
    return generic


def _elementwise(value: ir.Value, to: ir.RankedTensorType) -> ir.Value:
    """A copy of `value`, its elements cast."""
    source = ir.RankedTensorType(value.type).element_type
    target = to.element_type
    dims = [tensor.dim(value, arith.constant(ir.IndexType.get(), i)) for i in range(to.rank) if to.is_dynamic_dim(i)]
    empty = tensor.EmptyOp([d if not to.is_dynamic_dim(i) else dims.pop(0) for i, d in enumerate(to.shape)], target)
    identity = ir.AffineMap.get_identity(to.rank)
    generic = linalg.GenericOp(
        [to],
        [value],
        [empty.result],
        ir.ArrayAttr.get([ir.AffineMapAttr.get(identity)] * 2),
        ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * to.rank),
    )
    body = ir.Block.create_at_start(generic.regions[0], [source, target])
    with ir.InsertionPoint(body):
        element = body.arguments[0]
        if source == target:
            result = element
        elif isinstance(source, ir.IndexType) or isinstance(target, ir.IndexType):
            result = arith.index_cast(target, element)
        elif ir.IntegerType(target).width == 1:
            zero = arith.constant(source, 0)
            result = arith.cmpi(arith.CmpIPredicate.ne, element, zero)
        else:
            result = arith.extui(target, element)
        linalg.yield_([result])
    return generic.results[0]
