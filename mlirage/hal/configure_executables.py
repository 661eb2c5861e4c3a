"""hal-configure-executables: each entry point gets its strategy, as data, and a function that counts its workgroups.

    func.func @e() { … linalg.generic {…} }
      ─>
    func.func @e() { … linalg.generic {hal.configuration = {kind = "elementwise", workgroup_tiles = [4096], …}} }
    func.func @e_workgroup_count(%d: index) -> (index, index, index) {
      %x = arith.ceildivui %d, %c4096
      return %x, %c1, %c1 }

Workgroups form one dimension: the tiles of the root's loops, last loop fastest. The count function is made of `arith`
ops on the entry's scalar operands; the hal phase inlines it at each dispatch.
"""

from __future__ import annotations

from mlirage.codegen import strategy
from mlirage.codegen.configuration import Entry, Structure, loop_extents, structure
from mlirage.codegen.cpu.transforms import decompose_aggregates
from mlirage.codegen.equal_extents import unify_extents
from mlirage.codegen.target import parse_target
from mlirage.codegen.vmvx import lower as vmvx
from mlirage.errors import CompileError
from mlirage.hal.dialect import InterfaceBindingSubspanOp, InterfaceConstantLoadOp
from mlirage.hal.materialize_interfaces import executables
from mlirage.mlir import arith, func, ir, run_pipeline, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program

_COUNT_SUFFIX = "_workgroup_count"
# `tensor.dim` of any value becomes arithmetic on the extents of the bindings.
_REIFY = "resolve-shaped-type-result-dims,canonicalize,cse,lower-affine,canonicalize,cse"


def entry_points(executable: ir.Operation) -> list[func.FuncOp]:
    """The entry points of an executable in interface form, in order."""
    return [
        op
        for op in executable.regions[0].blocks[0].operations
        if isinstance(op, func.FuncOp) and "hal.interface" in op.operation.attributes
    ]


@module_pass("hal-configure-executables")
def configure_executables(program: Program) -> None:
    """Configures every entry point for the target and adds its workgroup count function."""
    for executable in executables(program.module):
        for function in entry_points(executable):
            entry = Entry(function)
            prepare(entry)
            if program.options.target_backend == "llvm-cpu":
                strategy.configure(entry, parse_target(program.options.target), program.options.tuning)
            else:
                vmvx.configure(entry)
            build_workgroup_count(entry)


def prepare(entry: Entry) -> None:
    """Brings an entry point in interface form to what schedules choose for."""
    decompose_aggregates(entry)
    unify_extents(entry)


def build_workgroup_count(entry: Entry) -> None:
    """Adds `@e_workgroup_count` after the configured entry point `@e`."""
    root, configuration = entry.configured()
    executable = entry.operation.parent
    with ir.InsertionPoint(executable.regions[0].blocks[0]), entry.operation.location:
        if not any(configuration.workgroup_tiles):
            count = _empty_count_function(entry)
            with ir.InsertionPoint(count.add_entry_block()):
                one = arith.constant(ir.IndexType.get(), 1)
                func.return_([one, one, one])
            return
    _build_dynamic_count(entry, root, configuration.workgroup_tiles)


def _empty_count_function(entry: Entry) -> func.FuncOp:
    interface = ir.DictAttr(entry.operation.attributes["hal.interface"])
    scalars = [ir.TypeAttr(t).value for t in ir.ArrayAttr(interface["scalars"])]
    index = ir.IndexType.get()
    return func.FuncOp(entry.name + _COUNT_SUFFIX, (scalars, [index, index, index]))


def _build_dynamic_count(entry: Entry, root: ir.Operation, tiles: tuple[int, ...]) -> None:
    """Clones the entry, asks for the extents of the root's loops, and keeps only what they depend on."""
    location = entry.operation.location
    scratch = ir.Module.create(location)
    clone = entry.operation.clone(ip=ir.InsertionPoint(scratch.body))
    assert isinstance(clone, func.FuncOp)
    entry_clone = Entry(clone)
    root, _ = entry_clone.configured()
    block = entry_clone.function.entry_block
    index = ir.IndexType.get()
    loops = structure(root)
    static = loop_extents(root)
    terminator = list(block.operations)[-1].operation
    with ir.InsertionPoint(terminator), location:
        total = arith.constant(index, 1)
        for loop, tile in enumerate(tiles):
            if tile == 0:
                continue
            known = static[loop]
            extent = arith.constant(index, known) if known is not None else _extent(root, loops, loop)
            total = arith.muli(total, arith.ceildivui(extent, arith.constant(index, tile)))
        one = arith.constant(index, 1)
        func.return_([total, one, one])
    terminator.erase()
    for op in list(block.operations):
        if op.operation.name == "bufferization.materialize_in_destination":
            op.operation.erase()
    count = _empty_count_function_in(entry)
    arguments = list(count.entry_block.arguments)
    # the function's type must match its new return before any pass looks at it
    entry_clone.operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([], [index] * 3))
    run_pipeline(scratch.operation, _REIFY)
    clone_function = next(iter(scratch.body.operations))
    _resolve_memref_dims(clone_function.operation)
    run_pipeline(scratch.operation, "canonicalize,cse")
    clone_function = next(iter(scratch.body.operations))
    count_block = count.entry_block
    for op in list(clone_function.operation.regions[0].blocks[0].operations):
        if isinstance(op, InterfaceConstantLoadOp):
            op.result.replace_all_uses_with(arguments[op.operation.attributes["ordinal"].value])
        elif isinstance(op, InterfaceBindingSubspanOp):
            continue
        else:
            if op.operation.name.split(".")[0] not in ("arith", "func"):
                raise CompileError(
                    f"{location}: the number of workgroups of @{entry.name} depends on {op.operation.name}, "
                    "not on the extents of its operands alone"
                )
            count_block.append(op.operation)


def _empty_count_function_in(entry: Entry) -> func.FuncOp:
    executable = entry.operation.parent
    with ir.InsertionPoint(executable.regions[0].blocks[0]), entry.operation.location:
        count = _empty_count_function(entry)
        count.add_entry_block()
    return count


def _extent(root: ir.Operation, loops: Structure, loop: int) -> ir.Value:
    """`tensor.dim` of the first operand that the loop indexes."""
    index = ir.IndexType.get()
    for operand, indexing in zip(root.operands, loops.maps, strict=True):
        for position, expression in enumerate(indexing.results):
            if isinstance(expression, ir.AffineDimExpr) and expression.position == loop:
                return tensor.dim(operand, arith.constant(index, position))
    raise CompileError(f"{root.location}: loop {loop} of {root.name} indexes no operand")


def _resolve_memref_dims(function: ir.Operation) -> None:
    """`memref.dim` and `tensor.dim` of a binding become the operands that give its extents."""
    for op in list(walk(function)):
        if op.name not in ("memref.dim", "tensor.dim"):
            continue
        source = op.operands[0].owner
        if source.name == "bufferization.to_tensor":
            source = source.operands[0].owner
        if not isinstance(source.opview, InterfaceBindingSubspanOp):
            continue
        position = op.operands[1].owner.attributes["value"].value
        memref = ir.MemRefType(source.results[0].type)
        number = sum(memref.is_dynamic_dim(i) for i in range(position))
        op.results[0].replace_all_uses_with(source.operands[number])
        op.erase()
