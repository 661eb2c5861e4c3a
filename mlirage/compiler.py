"""compile(): the phases and the walk through them.

    model ── importers ──> start ─> input ─> abi ─> preprocessing ─> global-optimization ─> dispatch-creation ─> flow
          ─> stream ─> executable-sources ─> executable-configurations ─> executable-targets ─> hal ─> vm ─> end

Every phase's program can be printed (`--compile-to=PHASE`) and taken up again (`--compile-from=PHASE`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlirage import debug, flow, global_optimization, hal, importers, stream, vm
from mlirage import input as input_phase
from mlirage.compiled_module import CompiledModule
from mlirage.errors import CompileError, UsageError
from mlirage.flow.dispatch_benchmarks import dispatch_benchmarks
from mlirage.mlir import ir
from mlirage.options import CompileOptions, make_options
from mlirage.parameter_file import write_parameters
from mlirage.passes import Observer, Pass, explain, run_passes
from mlirage.program import Program
from mlirage.reproducer import with_reproducer


@dataclass(frozen=True)
class Phase:
    """A step of the walk: the pipeline that produces its form of the program.

    `other_pipelines` are those of execution models that take another way.
    """

    name: str
    pipeline: tuple[Pass, ...]
    other_pipelines: Mapping[str, tuple[Pass, ...]] = field(default_factory=dict[str, tuple[Pass, ...]])

    def for_options(self, options: CompileOptions) -> tuple[Pass, ...]:
        """The pipeline of the execution model."""
        return self.other_pipelines.get(options.execution_model, self.pipeline)


PHASES = (
    Phase("input", input_phase.PIPELINE),
    Phase("abi", input_phase.ABI),
    Phase("preprocessing", input_phase.PREPROCESSING),
    Phase("global-optimization", global_optimization.PIPELINE),
    Phase("dispatch-creation", flow.DISPATCH_CREATION),
    Phase("flow", flow.PIPELINE),
    Phase("stream", stream.PIPELINE, {"host-only": stream.HOST_ONLY_PIPELINE}),
    Phase("executable-sources", hal.EXECUTABLE_SOURCES),
    Phase("executable-configurations", hal.EXECUTABLE_CONFIGURATIONS),
    Phase("executable-targets", hal.EXECUTABLE_TARGETS),
    Phase("hal", hal.PIPELINE, dict.fromkeys(("inline-static", "inline-dynamic"), hal.INLINE_PIPELINE)),
    Phase("vm", vm.PIPELINE),
)
PHASE_NAMES = ("start", *(phase.name for phase in PHASES), "end")


def compile(
    source: Any,
    example_inputs: Sequence[Any] = (),
    example_keywords: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    **options: Any,
) -> CompiledModule:
    """Compiles a model to a module.

    Args:
      source: a path, bytes, MLIR text, or an object of a framework (`mlirage.importers.KINDS` lists them).
      example_inputs, example_keywords: arguments to trace with, for sources that need it (PyTorch modules, functions).
      dynamic_shapes: which extents may vary, in the framework's own form.
      options: the fields of `CompileOptions`: `mlirage.compile(path, target="host")`.

    Raises:
      UsageError: a wrong option, or a source of no known kind.
      ImportFailure: the model cannot be read or holds something not supported.
      CompileError: the compilation failed.
    """
    chosen = make_options(**options)
    if chosen.compile_to != "end":
        raise UsageError(f"compile() makes modules; mlirage.compiler.lower() stops at compile_to={chosen.compile_to!r}")
    if chosen.output_format != "module":
        raise UsageError(
            f"compile() makes modules; mlirage.outputs.compile_files() makes output_format={chosen.output_format!r}"
        )
    model = importers.Model(source, tuple(example_inputs), dict(example_keywords or {}), dynamic_shapes)
    return compile_with(model, chosen)


def compile_with(
    source: Any, options: CompileOptions, on_phase: Callable[[str], None] = lambda name: None
) -> CompiledModule:
    """As `compile`, with the options as an object; `on_phase` is told the name of each phase it enters."""
    return CompiledModule.of(compile_chunks(source, options, on_phase))


def compile_chunks(
    source: Any, options: CompileOptions, on_phase: Callable[[str], None] = lambda name: None
) -> Iterator[bytes | memoryview]:
    """As `compile_with`, in pieces: a module can be written to a file without a second copy of its weights."""
    if options.parameters and not Path(options.parameters).absolute().parent.is_dir():
        raise UsageError(f"cannot write {options.parameters}: there is no folder {Path(options.parameters).parent}")
    program = lower(source, options, on_phase)
    on_phase("end")
    return assemble(program)


def assemble(program: Program) -> Iterator[bytes | memoryview]:
    """The module file of a program of the last phase, in pieces. The program's constants are used up with them."""
    from mlirage.vm.encode import build_module

    module = build_module(program)
    write_parameters(program)
    program.constants.clear()
    return module.chunks(used_up=True)


def lower(source: Any, options: CompileOptions, on_phase: Callable[[str], None] = lambda name: None) -> Program:
    """The program of `source` after phase `options.compile_to`; `on_phase` is told the name of each phase it enters.

    Raises:
      UsageError, ImportFailure, CompileError: see `compile`.
    """
    observer = Observer(options.print_ir_after, options.verify_each or debug.level() >= 3)
    phases = selected_phases(options)
    try:
        on_phase("import")
        program = _read(source, options)
        run_phases(program, observer, on_phase)
    except CompileError as error:
        if not (options.dump_ir or debug.level() >= 1):
            raise
        pipeline = [step for phase in phases for step in phase.for_options(options)]
        raise with_reproducer(error, lambda: _read(source, options), pipeline, Path(options.dump_ir or ".")) from error
    finally:
        if options.timing:
            _print_times(observer)
    return program


def _read(source: Any, options: CompileOptions) -> Program:
    if options.compile_from == "start":
        program = importers.import_source(source, options)
    else:
        program = importers.read_program(source.source if isinstance(source, importers.Model) else source, options)
        _check_options(program)
    _note_options(program)
    return program


_SHARED = "mlirage.options"


def _note_options(program: Program) -> None:
    if text := program.options.shared_flags:
        with program.context:
            program.module.operation.attributes[_SHARED] = ir.StringAttr.get(text)


def _check_options(program: Program) -> None:
    """A program that was begun for one execution model is not finished for another."""
    attributes = program.module.operation.attributes
    noted = ir.StringAttr(attributes[_SHARED]).value if _SHARED in attributes else None
    if noted is not None and noted != program.options.shared_flags:
        given = program.options.shared_flags or "none of these options"
        raise UsageError(f"the program was compiled so far with {noted}, and cannot go on with {given}")


def phase_index(name: str) -> int:
    """Position of a phase.

    Raises:
      UsageError: no such phase.
    """
    if name not in PHASE_NAMES:
        raise UsageError(f"no phase is called {name!r}; phases: {', '.join(PHASE_NAMES)}")
    return PHASE_NAMES.index(name)


def selected_phases(options: CompileOptions) -> tuple[Phase, ...]:
    """The phases after `options.compile_from` up to `options.compile_to`.

    Raises:
      UsageError: no such phase, or they are the wrong way round.
    """
    first, last = phase_index(options.compile_from), phase_index(options.compile_to)
    if first > last:
        raise UsageError(f"compile-from={options.compile_from} comes after compile-to={options.compile_to}")
    return PHASES[first:last]


def run_phases(
    program: Program, observer: Observer | None = None, on_phase: Callable[[str], None] = lambda name: None
) -> None:
    """Takes `program` from the phase `options.compile_from` through `options.compile_to`, in place.

    Raises:
      CompileError: a pass or the verifier failed.
    """
    options = program.options
    observer = observer or Observer(options.print_ir_after, options.verify_each)
    dump = _Dump(Path(options.dump_ir)) if options.dump_ir else None
    if dump and options.compile_from == "start":
        dump.save(program, "start")
    for phase in selected_phases(options):
        on_phase(phase.name)
        start = time.perf_counter()
        run_passes(program, phase.for_options(options), observer)
        try:
            program.module.operation.verify()
        except ir.MLIRError as error:
            raise CompileError(f"phase {phase.name!r} left invalid IR: {explain(error)}") from error
        observer.phases.append((phase.name, time.perf_counter() - start))
        if dump:
            dump.save(program, phase.name)
            if phase.name == "flow":
                dump.save_benchmarks(program)
        if debug.level() >= 3:
            sys.stderr.write(f"// -----// IR after phase {phase.name} //----- //\n{program.module}\n")


class _Dump:
    """Saves programs as NN-phase.mlir; weights that did not change since the last one are linked, not written again."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"option dump_ir={str(folder)!r}: {error.strerror}") from error
        self.folder = folder
        self.last: tuple[Path, dict[str, int]] | None = None

    def save(self, program: Program, phase: str) -> None:
        path = self.folder / f"{PHASE_NAMES.index(phase):02}-{phase}.mlir"
        arrays = {name: id(array) for name, array in program.constants.items()}
        if self.last and self.last[1] == arrays:
            program.save(path, weights_like=self.last[0])
        else:
            program.save(path)
        self.last = (path, arrays)

    def save_benchmarks(self, program: Program) -> None:
        """Writes each dispatch as a program of its own, of phase flow."""
        for benchmark in dispatch_benchmarks(program):
            folder = self.folder / "executables" / benchmark.name
            folder.mkdir(parents=True, exist_ok=True)
            benchmark.program.save(folder / "benchmark.mlir")


def _print_times(observer: Observer) -> None:
    write = sys.stderr.write
    for title, times in (("phase", observer.phases), ("pass", sorted(observer.times, key=lambda t: -t[1]))):
        total = sum(seconds for _, seconds in times)
        write(f"{'ms':>10}  {'%':>5}  {title}\n")
        for name, seconds in times:
            write(f"{seconds * 1e3:10.1f}  {100 * seconds / (total or 1):5.1f}  {name}\n")
        write(f"{total * 1e3:10.1f}  100.0  all\n")
