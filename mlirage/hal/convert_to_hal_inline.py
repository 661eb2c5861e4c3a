"""hal-convert-to-hal-inline: resources become host memory, and work is done where the program submits it.

    %a, %t = stream.resource_alloca(%before) %size       %a = hal_inline.buffer_allocate %size
    %u = stream.cmd_execute(%t) with %a, %x {
      stream.cmd_fill %a[0 for %n], %p             ─>    util.buffer_fill %a, 0, %n, %p
      stream.cmd_dispatch @ex::@f(%s)(…) }               hal_loader.executable_dispatch %ex, 3, %x, %y, %z, [%s], …
    stream.timepoint_await %u
    %v = stream.tensor_export %a, %size, %d              %v = hal_inline.buffer_view_create %a, 0, %size, f32, %d

For execution models inline-dynamic and inline-static. Timepoints vanish, also where loops and branches carry them: the
program's order is a right order of the work. How a dispatch is called is told in mlirage/hal/inline_dispatches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mlirage.hal import dialect as hal
from mlirage.hal import inline_dialect as inline
from mlirage.hal.initializer import ensure_initializer
from mlirage.hal.inline_dispatches import Dispatcher, make_dispatcher
from mlirage.mlir import arith, func, ir, walk
from mlirage.parameter_file import parameters_of
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.util_dialect import Buffer, BufferCopyOp, BufferFillOp, BufferLoadOp, BufferSliceOp, RodataOp


@module_pass("hal-convert-to-hal-inline")
def convert_to_hal_inline(program: Program) -> None:
    """Converts every host function."""
    functions = [op for op in program.module.body.operations if isinstance(op, func.FuncOp)]
    if not any(op.name.startswith(("stream.", "hal.")) for f in functions for op in walk(f.operation)):
        return
    dispatcher = make_dispatcher(program)
    for function in functions:
        _Function(program, function.operation, dispatcher).convert()
    dispatcher.finish(lambda: ensure_initializer(program.module))
    for op in program.module.body.operations:
        if op.operation.name == "util.global":
            kind = ir.TypeAttr(op.operation.attributes["type"]).value
            op.operation.attributes["type"] = ir.TypeAttr.get(_convert_type(kind))


def _convert_type(old: ir.Type) -> ir.Type:
    return Buffer.get() if isinstance(old, stream.Resource) else old


def _index(value: int) -> ir.Value:
    return arith.ConstantOp(ir.IndexType.get(), value).result


def _i32(value: int) -> ir.Value:
    return arith.ConstantOp(ir.IntegerType.get_signless(32), value).result


class _Function:
    """Converts one function in place."""

    def __init__(self, program: Program, function: ir.Operation, dispatcher: Dispatcher) -> None:
        self.program = program
        self.function = function
        self.dispatcher = dispatcher

    def convert(self) -> None:
        """Sets the types of what stays, and replaces stream ops."""
        old = ir.FunctionType(ir.TypeAttr(self.function.attributes["function_type"]).value)
        inputs, results = ([_convert_type(t) for t in types] for types in (old.inputs, old.results))
        self.function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, results))
        for op in (self.function, *walk(self.function)):
            for value in (*op.results, *(a for r in op.regions for b in r.blocks for a in b.arguments)):
                value.set_type(_convert_type(value.type))
        with ir.InsertionPoint.at_block_begin(self.function.regions[0].blocks[0]), self.function.location:
            now = stream.TimepointImmediateOp(stream.Timepoint.get())
        _erase_timepoints(self.function, now.result)
        for op in list(_host_ops(self.function)):
            if op == now.operation:
                continue
            conversion = _CONVERSIONS.get(op.name)
            if conversion is None:
                assert not op.name.startswith(("stream.", "hal.")), f"{op.name} has no form without a device"
                continue
            with ir.InsertionPoint(op), op.location:
                results = conversion(self, op)
            for old_result, new in zip(op.results, results, strict=True):
                old_result.replace_all_uses_with(new)
            op.erase()
        now.operation.erase()

    def text(self, value: str) -> ir.Value:
        """Read-only bytes."""
        name = f"parameter: {value}"
        self.program.constants[name] = np.frombuffer(value.encode(), np.uint8)
        return RodataOp(Buffer.get(), ir.StringAttr.get(name)).result


def _host_ops(op: ir.Operation) -> Iterator[ir.Operation]:
    """Ops of a function, those of command regions excluded."""
    for region in op.regions:
        for block in region.blocks:
            for inner in [o.operation for o in block.operations]:
                yield inner
                if inner.name != "stream.cmd_execute":
                    yield from _host_ops(inner)


# Timepoints.


def _erase_timepoints(function: ir.Operation, now: ir.Value) -> None:
    """Takes timepoints out of loops and branches; every other use of one becomes `now`."""
    for op in list(walk(function)):
        if op.name == "stream.timepoint_await":
            op.erase()
    # From the inside out: an op is rebuilt with the regions that its new form takes over.
    for op in reversed([op for op in walk(function) if op.name.startswith("scf.") and _carries_timepoint(op)]):
        _rebuild_without_timepoints(op, now)
    for op in list(walk(function)):
        for result in op.results:
            if _is_timepoint(result) and result != now:
                result.replace_all_uses_with(now)
        if op.name == "stream.timepoint_immediate" and op != now.owner:
            op.erase()


def _is_timepoint(value: ir.Value) -> bool:
    return isinstance(value.type, stream.Timepoint)


def _carries_timepoint(op: ir.Operation) -> bool:
    terminators = (list(block.operations)[-1].operation for region in op.regions for block in region.blocks)
    return len(op.regions) > 0 and any(
        _is_timepoint(value) for owner in (op, *terminators) for value in (*owner.operands, *owner.results)
    )


def _rebuild_without_timepoints(op: ir.Operation, now: ir.Value) -> None:
    """Recreates a control flow op and its terminators without timepoints."""
    for region in op.regions:
        for block in region.blocks:
            terminator = list(block.operations)[-1].operation
            with ir.InsertionPoint(terminator), terminator.location:
                kept = [operand for operand in terminator.operands if not _is_timepoint(operand)]
                ir.Operation.create(terminator.name, operands=kept)
            terminator.erase()
    with ir.InsertionPoint(op), op.location:
        names = [a if isinstance(a, str) else a.name for a in op.attributes]
        new = ir.Operation.create(
            op.name,
            results=[r.type for r in op.results if not _is_timepoint(r)],
            operands=[operand for operand in op.operands if not _is_timepoint(operand)],
            attributes={name: op.attributes[name] for name in names},
            regions=len(op.regions),
        )
    for region, new_region in zip(op.regions, new.regions, strict=True):
        for block in list(region.blocks):
            block.append_to(new_region)
            for number in reversed(range(len(block.arguments))):
                if _is_timepoint(block.arguments[number]):
                    block.arguments[number].replace_all_uses_with(now)
                    block.erase_argument(number)
    results = iter(new.results)
    for result in op.results:
        result.replace_all_uses_with(now if _is_timepoint(result) else next(results))
    op.erase()


# Conversions.


def _execute(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    block = op.regions[0].blocks[0]
    memory = dict(zip(block.arguments, view.resources, strict=True))
    for command in _commands(block):
        with command.location:
            _command(f, command, memory)
    return [view.await_timepoint]


def _commands(block: ir.Block) -> Iterator[ir.Operation]:
    for op in [o.operation for o in block.operations][:-1]:
        if op.name == "stream.cmd_concurrent":
            yield from _commands(op.regions[0].blocks[0])
        else:
            yield op


def _command(f: _Function, op: ir.Operation, memory: dict[ir.Value, ir.Value]) -> None:
    view = op.opview
    values: dict[ir.Value, ir.Value] = {}

    def outside(value: ir.Value) -> ir.Value:
        """Constants of the region are repeated in front of it."""
        if value not in values:
            owner = None if isinstance(value.owner, ir.Block) else value.owner.operation
            if owner is None or owner.block != op.block:
                values[value] = value
            else:
                values[value] = owner.clone().operation.results[0]
        return values[value]

    if isinstance(view, stream.CmdDispatchOp):
        ranges = [
            (memory[r], outside(o), outside(n))
            for r, o, n in zip(view.resources, view.offsets, view.lengths, strict=True)
        ]
        f.dispatcher.dispatch(view, [outside(s) for s in view.scalars], ranges)
    elif isinstance(view, stream.CmdCopyOp):
        source, target = memory[view.source], memory[view.target]
        BufferCopyOp(source, outside(view.source_offset), target, outside(view.target_offset), outside(view.length))
    elif isinstance(view, stream.CmdFillOp):
        BufferFillOp(memory[view.target], outside(view.offset), outside(view.length), outside(view.pattern))
    else:
        raise AssertionError(f"{op.name} is no command")


def _import(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [inline.BufferViewBufferOp(Buffer.get(), op.operands[0]).result]


def _export(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    if stream.STORAGE in op.attributes:
        arguments = f.function.regions[0].blocks[0].arguments
        return [arguments[ir.IntegerAttr(op.attributes[stream.STORAGE]).value]]
    encoding = ir.RankedTensorType(view.encoding.value)
    dynamic = iter(view.dims)
    shape = [
        next(dynamic) if encoding.is_dynamic_dim(axis) else _index(encoding.get_dim_size(axis))
        for axis in range(encoding.rank)
    ]
    number = _i32(view.element_type.value)
    return [inline.BufferViewCreateOp(hal.BufferView.get(), view.source, _index(0), view.size, number, shape).result]


def _view_assert(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    inline.BufferViewAssertOp(view.view, view.message, view.element_type, list(view.shape))
    return []


def _view_assert_distinct(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    inline.BufferViewAssertDistinctOp(view.view, view.message, list(view.others))
    return []


def _view_dim(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [inline.BufferViewDimOp(ir.IndexType.get(), op.operands[0], op.operands[1]).result]


def _alloc(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [inline.BufferAllocateOp(Buffer.get(), op.operands[0]).result]


def _alloca(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [inline.BufferAllocateOp(Buffer.get(), op.opview.size).result, op.opview.await_timepoint]


def _nothing(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return []


def _constant(f: _Function, op: ir.Operation) -> list[ir.Value]:
    parameters = parameters_of(op)
    if parameters is None:
        return [RodataOp(Buffer.get(), op.attributes["name"]).result]
    tensors = parameters.tensors
    load = inline.ParameterLoadOp(
        Buffer.get(),
        f.text(parameters.program),
        f.text(parameters.scope),
        op.operands[0],
        [f.text(tensor.key) for tensor in tensors],
        [_index(tensor.offset) for tensor in tensors],
        [_index(tensor.length) for tensor in tensors],
    )
    return [load.result]


def _load(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    return [BufferLoadOp(op.results[0].type, view.source, view.offset).result]


def _subview(f: _Function, op: ir.Operation) -> list[ir.Value]:
    view = op.opview
    return [BufferSliceOp(Buffer.get(), view.source, view.offset, view.length).result]


def _same(f: _Function, op: ir.Operation) -> list[ir.Value]:
    return [op.operands[0]]


_CONVERSIONS: dict[str, Callable[[_Function, ir.Operation], list[ir.Value]]] = {
    "hal.buffer_view_assert": _view_assert,
    "hal.buffer_view_assert_distinct": _view_assert_distinct,
    "hal.buffer_view_dim": _view_dim,
    "stream.cmd_execute": _execute,
    "stream.resource_alloc": _alloc,
    "stream.resource_alloca": _alloca,
    "stream.resource_cast": _same,
    "stream.resource_constant": _constant,
    "stream.resource_dealloca": _nothing,
    "stream.resource_load": _load,
    "stream.resource_subview": _subview,
    "stream.tensor_export": _export,
    "stream.tensor_import": _import,
}
