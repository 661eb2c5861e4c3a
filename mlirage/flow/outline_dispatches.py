"""Turns dispatch regions into executables and dispatches of them.

    %r = "flow.dispatch_region"() ({…})
    ->
    builtin.module @main$0_matmul_128x512x768_f32 attributes {flow.executable} { func.func … }
    %r = "flow.dispatch"(%a, %b, %dim…) {entry = @main$0_…::@main$0_…}

The calling form is told in `dialect.py`. Index values of the host that are dims of arguments or results are passed as
those, other scalars as arguments. Dims known to be equal are recorded as `flow.equal_dims`: groups of argument numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.errors import CompileError
from mlirage.extents import Extents, resolve_dims
from mlirage.flow.dialect import PARTS, DispatchOp
from mlirage.flow.entry_names import entry_name
from mlirage.flow.form_dispatch_regions import group_by_type
from mlirage.flow.host_extents import HostExtents
from mlirage.flow.insertions import INSERTION, pass_offsets, written_part
from mlirage.mlir import func, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("flow-outline-dispatches")
def outline_dispatches(program: Program) -> None:
    """Outlines every dispatch region into an executable of its own."""
    for function in list(program.module.body.operations):
        if function.operation.name != "func.func":
            continue
        name = ir.StringAttr(function.attributes["sym_name"]).value
        regions = [op for op in structured_ops.tensor_ops(function.operation) if op.name == "flow.dispatch_region"]
        extents = HostExtents()
        resolve_dims(function.operation, extents)
        for ordinal, region in enumerate(regions):
            _outline(region, f"{name}${ordinal}", function.operation, extents)


@dataclass
class _Captures:
    tensors: list[ir.Value]
    scalars: list[ir.Value]


def _outline(region: ir.Operation, prefix: str, function: ir.Operation, extents: Extents) -> None:
    block = region.regions[0].blocks[0]
    members = [op.operation for op in block.operations]
    parts = [written_part(value) for value in members[-1].operands]
    with ir.InsertionPoint(region), region.location:
        for op in members:
            if op.name == INSERTION and len(members) > 2:
                pass_offsets(op)
    members = [op.operation for op in block.operations]
    captures = _captures(members)
    returned = list(members[-1].operands)
    argument_dims = [dim for value in captures.tensors for dim in extents.dynamic(value)]
    result_dims = [dim for result in region.results for dim in extents.dynamic(result)]
    known_dims = {*argument_dims, *result_dims}
    scalars = [value for value in captures.scalars if value not in known_dims]
    operands = [*captures.tensors, *scalars, *argument_dims, *result_dims]

    name = entry_name(prefix, members)
    module = _executable(name, function)
    with ir.InsertionPoint(module.regions[0].blocks[0]):
        types = ([value.type for value in operands], [value.type for value in returned])
        entry = func.FuncOp(name, types, loc=region.location)
    entry_block = entry.add_entry_block([value.location for value in operands])
    for op in members[:-1]:
        entry_block.append(op)
    mapping: dict[ir.Value, ir.Value] = {}
    for value, argument in zip(operands, entry_block.arguments, strict=True):
        mapping.setdefault(value, argument)
    _replace_captures(members[:-1], mapping)
    with ir.InsertionPoint(entry_block):
        func.ReturnOp([mapping[value] if value in mapping else value for value in returned], loc=members[-1].location)

    tied = [_tied_argument(value, entry_block, len(captures.tensors)) for value in returned]
    tied_attribute = ir.ArrayAttr.get([ir.IntegerAttr.get(ir.IntegerType.get_signless(64), t) for t in tied])
    entry.attributes["flow.tied"] = tied_attribute
    equal = _equal_operands(operands, len(captures.tensors) + len(scalars))
    if equal:
        entry.attributes["flow.equal_dims"] = equal
    with ir.InsertionPoint(region):
        dispatch = DispatchOp(
            [result.type for result in region.results],
            ir.SymbolRefAttr.get([name, name]),
            tied_attribute,
            [*captures.tensors, *scalars],
            argument_dims,
            result_dims,
            loc=region.location,
        )
    if any(part is not None for part in parts):
        arrays = [ir.DenseI64ArrayAttr.get(part or ()) for part in parts]
        dispatch.operation.attributes[PARTS] = ir.ArrayAttr.get(arrays)
    for old, new in zip(region.results, dispatch.operation.results, strict=True):
        old.replace_all_uses_with(new)
    extents.forget(region)
    region.erase()


def _executable(name: str, function: ir.Operation) -> ir.Operation:
    with ir.InsertionPoint(function):
        module = ir.Operation.create(
            "builtin.module",
            attributes={
                "sym_name": ir.StringAttr.get(name),
                "sym_visibility": ir.StringAttr.get("private"),
                "flow.executable": ir.UnitAttr.get(),
            },
            regions=1,
            loc=function.location,
        )
    ir.Block.create_at_start(module.regions[0], [])
    return module


def _captures(members: list[ir.Operation]) -> _Captures:
    """What the region reads from outside, in order of first use."""
    defined: set[ir.Value] = set()
    read: dict[ir.Value, None] = {}
    for member in members:
        for op in (member, *walk(member)):
            defined.update(op.results)
            for inner in op.regions:
                defined.update(argument for block in inner.blocks for argument in block.arguments)
            read.update(dict.fromkeys(op.operands))
    captured = [value for value in read if value not in defined]
    for value in captured:
        if not isinstance(value.type, (ir.RankedTensorType, ir.IndexType, ir.IntegerType, ir.FloatType)):
            raise CompileError(f"{value.location}: a value of type {value.type} cannot be passed to a dispatch")
    return _Captures(
        group_by_type([value for value in captured if isinstance(value.type, ir.RankedTensorType)]),
        group_by_type([value for value in captured if not isinstance(value.type, ir.RankedTensorType)]),
    )


def _replace_captures(members: list[ir.Operation], mapping: dict[ir.Value, ir.Value]) -> None:
    for member in members:
        for op in (member, *walk(member)):
            for number, operand in enumerate(op.operands):
                if operand in mapping:
                    op.operands[number] = mapping[operand]


def _equal_operands(operands: list[ir.Value], first: int) -> ir.ArrayAttr | None:
    places: dict[ir.Value, list[int]] = {}
    for number, value in enumerate(operands[first:], first):
        places.setdefault(value, []).append(number)
    i64 = ir.IntegerType.get_signless(64)
    groups = [
        ir.ArrayAttr.get([ir.IntegerAttr.get(i64, number) for number in numbers])
        for numbers in places.values()
        if len(numbers) > 1
    ]
    return ir.ArrayAttr.get(groups) if groups else None


def _tied_argument(value: ir.Value, block: ir.Block, tensor_count: int) -> int:
    """The tensor argument in place of which `value` is computed, -1 if none.

    The argument must be read by the updating op alone: another reader would see the update.
    """
    while not isinstance(value.owner, ir.Block):
        op = value.owner.operation
        if op.name == "tensor.insert_slice":
            value = op.operands[1]
        elif structured_ops.is_structured(op) and op.name != "linalg.fill":
            value = structured_ops.outputs(op)[ir.OpResult(value).result_number]
        elif op.name.startswith("linalgx."):
            value = list(op.opview.outs)[ir.OpResult(value).result_number]
        else:
            return -1
        if len(list(value.uses)) != 1:
            return -1
    number = ir.BlockArgument(value).arg_number
    return number if value.owner == block and number < tensor_count else -1
