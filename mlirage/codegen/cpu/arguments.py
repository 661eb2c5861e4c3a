"""Interface ops become arguments of the function that computes one workgroup.

    func.func @e() {
      %d = hal.interface_constant_load {ordinal = 0} : index
      %m = hal.interface_binding_subspan %d {binding = 0} : memref<?xf32>
      ─>
    func.func @e(%b0: memref<1xf32> {llvm.noalias}, %d: index, %workgroup: index, %scratch: memref<1xi8>) -> i32 {
      %m = memref.reinterpret_cast %b0 to offset: [0], sizes: [%d], strides: [1]

Bindings first, then scalars, the linear workgroup number, and the worker's scratch memory. A binding is passed as a
bare pointer; different bindings do not overlap, except that both are only read. The result is the status: 0.
"""

from __future__ import annotations

from mlirage.codegen.configuration import Entry
from mlirage.errors import CompileError
from mlirage.mlir import arith, func, ir, memref

SCRATCH_ATTRIBUTE = "hal.scratch_size"


def interface_to_arguments(entry: Entry) -> None:
    """Rewrites the entry's interface ops; the last two arguments are the workgroup number and the scratch memory."""
    operation, block = entry.operation, entry.function.entry_block
    interface = ir.DictAttr(operation.attributes["hal.interface"])
    index, i8, i32 = ir.IndexType.get(), ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(32)
    subspans = [op for op in entry.walk() if op.name == "hal.interface_binding_subspan"]
    bindings = ir.IntegerAttr(interface["bindings"]).value
    elements: list[ir.Type | None] = [None] * bindings
    for op in subspans:
        number = ir.IntegerAttr(op.attributes["binding"]).value
        element = ir.MemRefType(op.results[0].type).element_type
        if elements[number] not in (None, element):
            raise CompileError(f"{op.location}: binding {number} of @{entry.name} is used as two element types")
        elements[number] = element
    noalias = ir.DictAttr.get({"llvm.noalias": ir.UnitAttr.get()})
    types = [ir.MemRefType.get([1], e or i8) for e in elements]
    scalars = [ir.TypeAttr(t).value for t in ir.ArrayAttr(interface["scalars"])]
    inputs = [*types, *scalars, index, ir.MemRefType.get([1], i8)]
    for argument in inputs:
        block.add_argument(argument, operation.location)
    operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, [i32]))
    plain = ir.DictAttr.get({})
    operation.attributes["arg_attrs"] = ir.ArrayAttr.get(
        [noalias] * bindings + [plain] * (len(scalars) + 1) + [noalias]
    )
    terminator = list(block.operations)[-1].operation
    with ir.InsertionPoint(terminator), terminator.location:
        func.return_([arith.constant(i32, 0)])
    terminator.erase()
    for op in list(entry.walk()):
        if op.name == "hal.interface_constant_load":
            ordinal = ir.IntegerAttr(op.attributes["ordinal"]).value
            op.results[0].replace_all_uses_with(block.arguments[bindings + ordinal])
            op.erase()
    for op in subspans:
        number = ir.IntegerAttr(op.attributes["binding"]).value
        with ir.InsertionPoint(op), op.location:
            view = contiguous_view(block.arguments[number], ir.MemRefType(op.results[0].type), list(op.operands))
        op.results[0].replace_all_uses_with(view)
        op.erase()


def contiguous_view(base: ir.Value, to: ir.MemRefType, dims: list[ir.Value]) -> ir.Value:
    """`base` (one element) as a row-major memref of type `to` with dynamic extents `dims`."""
    dynamic = ir.ShapedType.get_dynamic_size()
    sizes: list[int | ir.Value] = []
    remaining = list(dims)
    for i in range(to.rank):
        sizes.append(remaining.pop(0) if to.is_dynamic_dim(i) else to.get_dim_size(i))
    strides: list[int | ir.Value] = []
    stride: int | ir.Value = 1
    for size in reversed(sizes):
        strides.insert(0, stride)
        if isinstance(stride, int) and isinstance(size, int):
            stride *= size
        else:
            stride = arith.muli(_index(stride), _index(size))
    return memref.ReinterpretCastOp(
        to,
        base,
        [],
        [s for s in sizes if not isinstance(s, int)],
        [s for s in strides if not isinstance(s, int)],
        ir.DenseI64ArrayAttr.get([0]),
        ir.DenseI64ArrayAttr.get([s if isinstance(s, int) else dynamic for s in sizes]),
        ir.DenseI64ArrayAttr.get([s if isinstance(s, int) else dynamic for s in strides]),
    ).result


def _index(value: int | ir.Value) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value) if isinstance(value, int) else value
