"""Tunes the dispatches of a model: those that take most of its time get most of the budget."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlirage import compiler, runtime
from mlirage.codegen import strategy
from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.target import parse_target
from mlirage.codegen.tuned import Tuned, TuningFile, dispatch_key
from mlirage.comparison import random_array
from mlirage.errors import DeviceError, UsageError
from mlirage.flow.dispatch_benchmarks import Benchmark, Scalar, dispatch_benchmarks
from mlirage.hal.configure_executables import entry_points, prepare
from mlirage.hal.materialize_interfaces import executables
from mlirage.mlir import ir
from mlirage.options import CompileOptions
from mlirage.profiling import summarize
from mlirage.program import Array, Program, numpy_dtype
from mlirage.runtime.profiling import Event
from mlirage.tuning.knobs import Knob, knobs
from mlirage.tuning.search import Outcome, Search
from mlirage.tuning.timer import Arguments, Timer
from mlirage.vm.encode import build_module

# Weights of models up to this size stay in the caches from one call to the next.
_CACHED_BYTES = 16 << 20
_PROFILED_SECONDS = 1.0


@dataclass(frozen=True)
class Share:
    """How much of a model's time a dispatch takes.

    Attributes:
      benchmark: the dispatch alone.
      seconds: per call of the model.
      share: of the model's time.
      event: one run of it, for the extents.
    """

    benchmark: Benchmark
    seconds: float
    share: float
    event: Event


@dataclass(frozen=True)
class Result:
    """What came of one dispatch.

    Attributes:
      name: of the dispatch.
      share: of the model's time.
      key: in tuning files.
      default: its configuration without tuning; None if there is none.
      outcome: of the search; None if there is nothing to search.
      reason: why there is no outcome.
    """

    name: str
    share: float
    key: str = ""
    default: Configuration | None = None
    outcome: Outcome | None = None
    reason: str = ""

    def tuned(self) -> Tuned | None:
        """The row of the tuning file, if something faster was found."""
        if self.outcome is None or self.outcome.gain <= 1.0:
            return None
        return Tuned(self.name, self.outcome.configuration, round(self.outcome.gain, 3))


class ModelTuner:
    """A model that is compiled for this machine, and its dispatches.

    Args:
      source: the model.
      options: how it is compiled; for the host.
      make_arguments: gives arguments for a signature.
      device, threads: what it is tuned for.

    Raises:
      UsageError: the options are for another machine, or for kernels that are not machine code.
    """

    def __init__(
        self,
        source: Any,
        options: CompileOptions,
        make_arguments: Callable[[Any], Sequence[Any]],
        device: str,
        threads: int | None,
    ) -> None:
        if parse_target(options.target).key != parse_target("host").key:
            raise UsageError(f"target={options.target}: candidates run on this machine, so only target=host is tuned")
        if options.target_backend != "llvm-cpu" or options.execution_model != "async-internal":
            raise UsageError("kernels of target_backend=llvm-cpu in execution_model=async-internal are tuned")
        self.options = dataclasses.replace(
            options, tuning="", dump_ir="", print_ir_after="", timing=False, parameters="", outputs="callee"
        )
        self.device, self.threads = device, threads
        program = compiler.lower(source, dataclasses.replace(self.options, compile_to="flow"))
        self.constants: dict[str, Array] = dict(program.constants)
        self.context = program.context
        self.text = program.module.operation.get_asm(enable_debug_info=True)
        self.benchmarks = list(dispatch_benchmarks(program))
        self.module = self.compile_model("")
        self.run = runtime.load(self.module, device, threads)
        if "main" not in self.run.signatures:
            raise UsageError(f"the model has no function main; functions: {', '.join(self.run.signatures)}")
        self.arguments = list(make_arguments(self.run.signatures["main"]))

    def compile_model(self, tuning: str) -> bytes:
        """The module of the whole model, with a tuning file or ''."""
        return self._compile(self.text, self.constants, tuning)

    def _compile(self, text: str, constants: dict[str, Array], tuning: str) -> bytes:
        options = dataclasses.replace(self.options, compile_from="flow", compile_to="end", tuning=tuning)
        program = Program(ir.Module.parse(text, self.context), dict(constants), options)
        compiler.run_phases(program)
        return build_module(program).encode()

    def shares(self) -> list[Share]:
        """The dispatches by the time that they take, the longest first.

        Raises:
          UsageError: events were lost, or nothing runs.
        """
        self.run(*self.arguments)
        calls, end = 0, time.monotonic() + _PROFILED_SECONDS
        with self.run.profile() as profile:
            while calls == 0 or (time.monotonic() < end and calls < 100):
                self.run(*self.arguments)
                profile.read()
                calls += 1
        if profile.dropped:
            raise UsageError("a call of the model has too many dispatches to be profiled")
        summary = summarize(profile.events, {})
        longest: dict[str, Event] = {}
        for event in profile.events:
            old = longest.get(event.name)
            if old is None or event.end_ns - event.start_ns > old.end_ns - old.start_ns:
                longest[event.name] = event
        rows = {row.name: row for row in summary.rows}
        total = sum(row.seconds for row in summary.rows)
        found = [
            Share(one, rows[one.name].seconds / calls, rows[one.name].seconds / total, longest[one.name])
            for one in self.benchmarks
            if one.name in rows
        ]
        return sorted(found, key=lambda share: -share.seconds)

    def tune(
        self,
        shares: Sequence[Share],
        budget: float,
        on_try: Callable[[Share, Configuration, float], None] = lambda share, configuration, gain: None,
    ) -> Iterator[Result]:
        """Tunes dispatches, one after another.

        Args:
          budget: seconds for all of them, divided by their shares; what one leaves over is for those after it.
          on_try: told each candidate.
        """
        end = time.monotonic() + budget
        size = sum(array.nbytes for array in self.constants.values() if any(array.strides))
        with Timer(self.device, self.threads) as timer, tempfile.TemporaryDirectory() as folder:
            for number, share in enumerate(shares):
                left = sum(other.share for other in shares[number:])
                deadline = time.monotonic() + (end - time.monotonic()) * share.share / left
                cold = 4 * _CACHED_BYTES if size > _CACHED_BYTES else 0
                yield self._tune_one(share, deadline, cold, timer, Path(folder) / "candidate.json", on_try)

    def _tune_one(
        self,
        share: Share,
        deadline: float,
        cold_bytes: int,
        timer: Timer,
        path: Path,
        on_try: Callable[[Share, Configuration, float], None],
    ) -> Result:
        benchmark = share.benchmark
        text = benchmark.program.module.operation.get_asm(enable_debug_info=True)
        default, key, turnable = self._default(text)
        if not turnable:
            return Result(benchmark.name, share.share, key, default, None, f"kind {default.kind} has nothing to tune")
        arrays = self.arguments_of(share)
        if arrays is None:
            return Result(benchmark.name, share.share, key, default, None, "it has too many dynamic extents")
        weights = [number for number, name in enumerate(benchmark.constants) if name is not None]

        def compile_(configuration: Configuration) -> bytes:
            if configuration == default:
                return self._compile(text, {}, "")
            TuningFile({key: Tuned(benchmark.name, configuration, 1.0)}).write(path)
            return self._compile(text, {}, str(path))

        timer.call_with(Arguments(arrays, weights, cold_bytes, benchmark.written))
        search = Search(default, turnable, compile_, timer)
        try:
            outcome = search.run(deadline, lambda configuration, gain: on_try(share, configuration, gain))
        except DeviceError as error:
            return Result(benchmark.name, share.share, key, default, None, str(error))
        return Result(benchmark.name, share.share, key, default, outcome)

    def _default(self, text: str) -> tuple[Configuration, str, list[Knob]]:
        """The configuration without tuning, the key, and what may be changed."""
        options = dataclasses.replace(self.options, compile_from="flow", compile_to="executable-sources")
        program = Program(ir.Module.parse(text, self.context), {}, options)
        compiler.run_phases(program)
        with program.context, ir.Location.unknown():
            (executable,) = executables(program.module)
            (function,) = entry_points(executable)
            entry = Entry(function)
            prepare(entry)
            target = parse_target(self.options.target)
            key = dispatch_key(entry, target)
            strategy.configure(entry, target)
            _, default = entry.configured()
            return default, key, knobs(entry)

    def arguments_of(self, share: Share) -> list[Any] | None:
        """Arguments for a dispatch alone: the model's weights, random numbers for what it computes; None: not known."""
        benchmark = share.benchmark
        values = _scalar_values(benchmark.scalars, share.event)
        if values is None:
            return None
        random = np.random.default_rng(0)
        signature = _signature_of(benchmark)
        arrays: list[Any] = []
        for number, argument in enumerate(signature):
            name = benchmark.constants[number] if number < len(benchmark.constants) else None
            if (number, -1) in values:
                arrays.append(values[number, -1])
            elif name is not None:
                arrays.append(np.ascontiguousarray(self.constants[name]))
            else:
                shape = [
                    int(values[number, dim]) if extent is None else extent
                    for dim, extent in enumerate(argument["shape"])
                ]
                arrays.append(random_array(numpy_dtype(argument["dtype"]), shape, random))
        return arrays


def _signature_of(benchmark: Benchmark) -> list[dict[str, Any]]:
    for op in benchmark.program.module.body.operations:
        if "mlirage.signature" in op.operation.attributes:
            return json.loads(ir.StringAttr(op.operation.attributes["mlirage.signature"]).value)["arguments"]
    raise AssertionError("a benchmark has a function")


def _scalar_values(scalars: Sequence[Scalar], event: Event) -> dict[tuple[int, int], int | float] | None:
    """What a run of a dispatch had for its scalars, by argument and extent; None if it was not all recorded."""
    values: dict[tuple[int, int], int | float] = {}
    word = 0
    for scalar in scalars:
        size = 2 if scalar.type in ("index", "i64", "f64") else 1
        if word + size > len(event.constants):
            return None
        words = np.array(event.constants[word : word + size], np.uint32)
        word += size
        if scalar.argument >= 0:
            kind = {"f32": np.float32, "f64": np.float64, "f16": np.float16}.get(scalar.type)
            if kind is None:
                values[scalar.argument, scalar.dim] = int(words.view(np.int64 if size == 2 else np.int32)[0])
            else:
                values[scalar.argument, scalar.dim] = float(words.view(kind)[0])
    return values
