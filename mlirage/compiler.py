"""compile(): the phases and the walk through them.

    model ── importers ──> start ─> input ─> abi ─> preprocessing ─> global-optimization ─> dispatch-creation ─> flow
          ─> stream ─> executable-sources ─> executable-configurations ─> executable-targets ─> hal ─> vm ─> end

Every phase's program can be printed (`--compile-to=PHASE`) and taken up again (`--compile-from=PHASE`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlirage import flow, global_optimization, hal, stream, vm
from mlirage import input as input_phase
from mlirage.errors import CompileError, UsageError
from mlirage.mlir import ir
from mlirage.passes import Observer, Pass, explain, run_passes
from mlirage.program import Program


@dataclass(frozen=True)
class Phase:
    """A step of the walk: the pipeline that produces its form of the program."""

    name: str
    pipeline: tuple[Pass, ...]


PHASES = (
    Phase("input", input_phase.PIPELINE),
    Phase("abi", input_phase.ABI),
    Phase("preprocessing", input_phase.PREPROCESSING),
    Phase("global-optimization", global_optimization.PIPELINE),
    Phase("dispatch-creation", flow.DISPATCH_CREATION),
    Phase("flow", flow.PIPELINE),
    Phase("stream", stream.PIPELINE),
    Phase("executable-sources", hal.EXECUTABLE_SOURCES),
    Phase("executable-configurations", hal.EXECUTABLE_CONFIGURATIONS),
    Phase("executable-targets", hal.EXECUTABLE_TARGETS),
    Phase("hal", hal.PIPELINE),
    Phase("vm", vm.PIPELINE),
)
PHASE_NAMES = ("start", *(phase.name for phase in PHASES), "end")


def phase_index(name: str) -> int:
    """Position of a phase.

    Raises:
      UsageError: no such phase.
    """
    if name not in PHASE_NAMES:
        raise UsageError(f"no phase is called {name!r}; phases: {', '.join(PHASE_NAMES)}")
    return PHASE_NAMES.index(name)


def run_phases(
    program: Program,
    observer: Observer | None = None,
    on_phase: Callable[[str, float], None] = lambda name, seconds: None,
) -> None:
    """Takes `program` from the phase `options.compile_from` through `options.compile_to`, in place.

    Raises:
      CompileError: a pass or the verifier failed.
    """
    options = program.options
    observer = observer or Observer(options.print_ir_after, options.verify_each)
    first, last = phase_index(options.compile_from), phase_index(options.compile_to)
    if first > last:
        raise UsageError(f"compile-from={options.compile_from} comes after compile-to={options.compile_to}")
    dump = Path(options.dump_ir) if options.dump_ir else None
    if dump:
        dump.mkdir(parents=True, exist_ok=True)
    for number, phase in enumerate(PHASES, 1):
        if not first < number <= last:
            continue
        start = time.perf_counter()
        run_passes(program, phase.pipeline, observer)
        try:
            program.module.operation.verify()
        except ir.MLIRError as error:
            raise CompileError(f"phase {phase.name!r} left invalid IR: {explain(error)}") from error
        if dump:
            program.save(dump / f"{number:02}-{phase.name}.mlir")
        on_phase(phase.name, time.perf_counter() - start)
