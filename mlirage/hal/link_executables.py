"""hal-link-executables: the objects of all executables become one library.

    builtin.module @a {hal.executable.objects = […]} { func.func @e_workgroup_count … }
    builtin.module @b {hal.executable.objects = […]} { func.func @f_workgroup_count … }
    … {entry = @a::@e} … {entry = @b::@f}
      ─>
    builtin.module @executables attributes {flow.executable,
        hal.executable.variants = [{format = "embedded-elf-x86_64:+avx2", data = "executables-x86_64.so"}],
        hal.executable.entries = ["e", "f"]} {
      func.func @e_workgroup_count …
      func.func @f_workgroup_count … }
    … {entry = @executables::@e} … {entry = @executables::@f}

One library means one symbol table, one relocation pass and shared support functions, and a link per program instead of
one per dispatch. Entry ordinals are the positions in `hal.executable.entries`.
"""

from __future__ import annotations

import numpy as np

from mlirage.codegen import llvm as llvm_backend
from mlirage.codegen.cpu.abi import QUERY, EntryInterface, build_table
from mlirage.codegen.link import link_library
from mlirage.codegen.target import parse_target
from mlirage.codegen.vmvx import library as vmvx
from mlirage.hal.collect_dispatch_statistics import STATISTICS
from mlirage.hal.dialect import DISPATCHES
from mlirage.hal.entry_points import COUNT_SUFFIX, ENTRIES, VARIANTS
from mlirage.hal.materialize_interfaces import EXECUTABLE, executables
from mlirage.hal.translate_executables import OBJECTS, unique_symbol
from mlirage.mlir import builtin, func, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program

LINKED = "executables"
STATIC_OBJECTS = "hal.executable.static_objects"


@module_pass("hal-link-executables")
def link_executables(program: Program) -> None:
    """Links everything for the target; a program without executables is left alone."""
    found = executables(program.module)
    if not found:
        return
    if program.options.target_backend == "llvm-cpu":
        _link_objects(program, found)
    else:
        _link_functions(program, found)


def _link_objects(program: Program, found: list[ir.Operation]) -> None:
    """Machine code: the objects and the table of entry points become a library."""
    target = parse_target(program.options.target)
    rows: list[EntryInterface] = []
    objects: list[bytes] = []
    renamed: dict[tuple[str, str], str] = {}
    for executable in found:
        name = ir.StringAttr(executable.attributes["sym_name"]).value
        for row in ir.ArrayAttr(executable.attributes[OBJECTS]):
            interface = _interface(ir.DictAttr(row))
            rows.append(interface)
            objects.append(program.constants.pop(ir.StringAttr(ir.DictAttr(row)["data"]).value).tobytes())
            renamed[name, interface.name] = interface.symbol
    table = llvm_backend.compile_ir(build_table(rows), target)
    linked = _merge(program.module, found, renamed)
    linked.attributes[ENTRIES] = _strings([row.symbol for row in rows])
    if program.options.execution_model == "inline-static":
        # Linked into the host program, by whoever builds that.
        names = [f"{row.symbol}.o" for row in rows] + ["table.o"]
        for name, data in zip(names, [*objects, table.object], strict=True):
            program.constants[name] = np.frombuffer(data, np.uint8)
        linked.attributes[STATIC_OBJECTS] = _strings(names)
    else:
        library = link_library([*objects, table.object], target, QUERY)
        _add_variant(program, linked, target.format, f"{LINKED}-{target.architecture}.so", library)


def _link_functions(program: Program, found: list[ir.Operation]) -> None:
    """Code for the virtual machine: functions of the host module (vmvx-inline), or a module inside of the module."""
    taken: set[str] = set()
    renamed: dict[tuple[str, str], str] = {}
    for executable in found:
        name = ir.StringAttr(executable.attributes["sym_name"]).value
        for op in executable.regions[0].blocks[0].operations:
            assert isinstance(op, func.FuncOp)
            if not op.name.value.endswith(COUNT_SUFFIX):
                renamed[name, op.name.value] = unique_symbol(op.name.value, taken)
    linked = _merge(program.module, found, renamed)
    symbols = list(renamed.values())
    linked.attributes[ENTRIES] = _strings(symbols)
    if program.options.target_backend == "vmvx-inline":
        return
    library = ir.Module.create(linked.location)
    for op in list(linked.regions[0].blocks[0].operations):
        if not ir.StringAttr(op.operation.attributes["sym_name"]).value.endswith(COUNT_SUFFIX):
            library.body.append(op)
    _add_variant(program, linked, vmvx.FORMAT, f"{LINKED}.vmvx", vmvx.build_library(library, symbols))


def _strings(texts: list[str]) -> ir.ArrayAttr:
    return ir.ArrayAttr.get([ir.StringAttr.get(text) for text in texts])


def _add_variant(program: Program, linked: ir.Operation, form: str, name: str, data: bytes) -> None:
    """The binary of the executables, in one format."""
    program.constants[name] = np.frombuffer(data, np.uint8)
    variant: dict[str, ir.Attribute] = {"format": ir.StringAttr.get(form), "data": ir.StringAttr.get(name)}
    linked.attributes[VARIANTS] = ir.ArrayAttr.get([ir.DictAttr.get(variant)])


def _interface(row: ir.DictAttr) -> EntryInterface:
    return EntryInterface(
        ir.StringAttr(row["symbol"]).value,
        ir.StringAttr(row["entry"]).value,
        ir.IntegerAttr(row["bindings"]).value,
        tuple(ir.StringAttr(s).value for s in ir.ArrayAttr(row["scalars"])),
        ir.IntegerAttr(row["scratch_size"]).value,
    )


def _merge(module: ir.Module, found: list[ir.Operation], renamed: dict[tuple[str, str], str]) -> ir.Operation:
    """One executable module with the functions of all; references follow."""
    with ir.InsertionPoint(found[0]), ir.Location.unknown():
        merged = builtin.ModuleOp()
    attributes = merged.operation.attributes
    attributes["sym_name"] = ir.StringAttr.get(_free_symbol(module, found))
    attributes["sym_visibility"] = ir.StringAttr.get("private")
    attributes[EXECUTABLE] = ir.UnitAttr.get()
    for executable in found:
        name = ir.StringAttr(executable.attributes["sym_name"]).value
        for op in list(executable.regions[0].blocks[0].operations):
            assert isinstance(op, func.FuncOp)
            entry = op.name.value.removesuffix(COUNT_SUFFIX)
            suffix = COUNT_SUFFIX if entry != op.name.value else ""
            op.operation.attributes["sym_name"] = ir.StringAttr.get(renamed[name, entry] + suffix)
            merged.body.append(op)
        executable.erase()
    linked = ir.StringAttr(attributes["sym_name"]).value
    _collect_statistics(module, merged.operation)
    for op in walk(module.operation):
        for attribute in list(op.attributes):
            key = attribute if isinstance(attribute, str) else attribute.name
            value = op.attributes[key]
            if isinstance(value, ir.SymbolRefAttr) and len(value.value) == 2:
                path = (value.value[0], value.value[1])
                if path in renamed:
                    op.attributes[key] = ir.SymbolRefAttr.get([linked, renamed[path]])
    return merged.operation


def _collect_statistics(module: ir.Module, merged: ir.Operation) -> None:
    """What is known of the entry points goes from their count functions to the module."""
    texts: dict[str, ir.Attribute] = {}
    for op in merged.regions[0].blocks[0].operations:
        if STATISTICS in op.operation.attributes:
            name = ir.StringAttr(op.operation.attributes["sym_name"]).value.removesuffix(COUNT_SUFFIX)
            texts[name] = op.operation.attributes[STATISTICS]
            del op.operation.attributes[STATISTICS]
    if texts:
        module.operation.attributes[DISPATCHES] = ir.DictAttr.get(texts)


def _free_symbol(module: ir.Module, found: list[ir.Operation]) -> str:
    """ "executables", or with a number if the program has such a symbol already."""
    taken = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value
        for op in module.body.operations
        if "sym_name" in op.operation.attributes and op.operation not in found
    }
    name, number = LINKED, 0
    while name in taken:
        number += 1
        name = f"{LINKED}_{number}"
    return name
