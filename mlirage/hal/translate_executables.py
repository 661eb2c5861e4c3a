"""hal-translate-executables: each configured entry point becomes an object file, or code for the virtual machine.

    builtin.module @ex attributes {flow.executable} {
      func.func @e() {…}
      func.func @e_workgroup_count(…) {…} }
      ─>
    builtin.module @ex attributes {flow.executable, hal.executable.objects = [{entry = "e", data = "ex.e.o", …}]} {
      func.func @e_workgroup_count(…) {…} }

With the backends vmvx and vmvx-inline the function `@e` stays, in the form that docs/architecture.md tells.

The bytes of objects join `Program.constants` until `hal-link-executables` takes them out again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from mlirage.codegen.cpu.translate import Translated
from mlirage.codegen.target import parse_target
from mlirage.codegen.translation import Job, translate_all
from mlirage.codegen.vmvx.lower import lower_entry_points
from mlirage.hal.collect_dispatch_statistics import STATISTICS, encode
from mlirage.hal.configure_executables import entry_points
from mlirage.hal.entry_points import COUNT_SUFFIX
from mlirage.hal.materialize_interfaces import executables
from mlirage.mlir import func, identity, ir, write_bytecode
from mlirage.passes import module_pass
from mlirage.program import Program

OBJECTS = "hal.executable.objects"


@module_pass("hal-translate-executables")
def translate_executables(program: Program) -> None:
    """Translates every entry point of every executable for the target."""
    options = program.options
    found = executables(program.module)
    if options.target_backend != "llvm-cpu":
        for executable in found:
            lower_entry_points(executable)
        return
    target = parse_target(options.target)
    taken: set[str] = set()
    jobs: list[Job] = []
    owners: list[ir.Operation] = []
    for executable in found:
        for function in entry_points(executable):
            symbol = unique_symbol(function.name.value, taken)
            jobs.append(_job(function, symbol))
            owners.append(executable)
    results = translate_all(jobs, target, options)
    if options.dump_ir:
        for job, result in zip(jobs, results, strict=True):
            _dump(Path(options.dump_ir) / "executables" / job.symbol, job, result)
    if options.check_vectorization:
        _note_scalar_loops(found, owners, results)
    for executable in found:
        rows: list[ir.Attribute] = []
        for owner, result in zip(owners, results, strict=True):
            if owner == executable:
                name = f"{result.interface.symbol}.o"
                program.constants[name] = np.frombuffer(result.object, np.uint8)
                rows.append(_row(result, name))
        executable.attributes[OBJECTS] = ir.ArrayAttr.get(rows)
        for function in entry_points(executable):
            function.operation.erase()


def _note_scalar_loops(found: list[ir.Operation], owners: list[ir.Operation], results: list[Translated]) -> None:
    """Prints the hot scalar loops of entry points, and adds them to what is known of these."""
    counts = {
        (identity(executable), op.name.value): op.operation
        for executable in found
        for op in executable.regions[0].blocks[0].operations
        if isinstance(op, func.FuncOp)
    }
    for owner, result in zip(owners, results, strict=True):
        texts = result.files["remarks.txt"].splitlines()
        count = counts[identity(owner), result.interface.name + COUNT_SUFFIX]
        if STATISTICS not in count.attributes:
            continue
        facts = json.loads(ir.StringAttr(count.attributes[STATISTICS]).value)
        nodes = ", ".join(facts["nodes"]) or "no node"
        for text in texts:
            sys.stderr.write(f"{nodes}: {text}\n")
        facts["scalar_loops"] = texts
        count.attributes[STATISTICS] = ir.StringAttr.get(encode(facts))


def unique_symbol(name: str, taken: set[str]) -> str:
    """`name`, or with a number if another executable has an entry of that name."""
    unique, number = name, 0
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique


def _job(function: func.FuncOp, symbol: str) -> Job:
    with function.location:
        alone = ir.Module.create()
    function.operation.clone(ip=ir.InsertionPoint(alone.body))
    return Job(symbol, str(function.location), write_bytecode(alone.operation))


def _row(result: Translated, data: str) -> ir.Attribute:
    interface = result.interface
    i64 = ir.IntegerType.get_signless(64)
    return ir.DictAttr.get(
        {
            "entry": ir.StringAttr.get(interface.name),
            "symbol": ir.StringAttr.get(interface.symbol),
            "data": ir.StringAttr.get(data),
            "bindings": ir.IntegerAttr.get(i64, interface.bindings),
            "scalars": ir.ArrayAttr.get([ir.StringAttr.get(s) for s in interface.scalars]),
            "scratch_size": ir.IntegerAttr.get(i64, interface.scratch_size),
        }
    )


def _dump(folder: Path, job: Job, result: Translated) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in result.files.items():
        (folder / name).write_text(text)
    (folder / "object.o").write_bytes(result.object)
    del job
