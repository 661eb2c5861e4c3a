"""Everything that is known of a model or module, as plain data: what `--format json` prints and the page shows."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlirage import compiler, runtime
from mlirage.cli.bench import Recording, measure, record
from mlirage.cli.run import choose_function
from mlirage.errors import UsageError
from mlirage.mlir import ir, write_bytecode
from mlirage.module_file import ModuleFile
from mlirage.options import CompileOptions
from mlirage.program import Program
from mlirage.report.memory_plan import Execution, arena, dependencies, memory_plan
from mlirage.report.peaks import measure_peaks
from mlirage.runtime.profiling import Event
from mlirage.vm.encode import build_module

Arguments = Callable[[Any], Sequence[Any]]


@dataclass(frozen=True)
class Settings:
    """How a report is made.

    Attributes:
      device, threads: what runs the model.
      seconds: how long it is measured; 0: it is not run.
      function: which; "" for main or the only one.
    """

    device: str = "local-task"
    threads: int | None = None
    seconds: float = 2.0
    function: str = ""


def of_module(path: Path, settings: Settings, make_arguments: Arguments) -> dict[str, Any]:
    """The report of a module file: what it says itself, and how it runs."""
    contents = path.read_bytes()
    data = {"name": path.name, "compile": None, "memory": [], "module": _module_facts(contents)}
    return data | {"run": _run(contents, settings, make_arguments)[0] if settings.seconds else None}


def of_model(source: Path, options: CompileOptions, settings: Settings, make_arguments: Arguments) -> dict[str, Any]:
    """The report of a model, which is compiled for it.

    Raises:
      UsageError: the options do not make a module of it.
    """
    if options.compile_to != "end" or options.output_format != "module":
        raise UsageError("a report is about a module: no --compile-to, no other --output-format")
    options = dataclasses.replace(options, parameters="", outputs="callee")
    phases = _Phases()
    program = compiler.lower(source, dataclasses.replace(options, compile_to="stream"), phases)
    # Later phases change it: the plan is read from a copy when the arguments are known.
    planned = Program(_copy(program), {}, program.options)
    program.options = dataclasses.replace(options, compile_from="stream")
    compiler.run_phases(program, None, phases)
    phases("end")
    contents = build_module(program).encode()
    phases.stop()
    data: dict[str, Any] = {"name": source.name, "target": options.target, "module": _module_facts(contents)}
    if options.check_vectorization and options.target_backend == "llvm-cpu":
        found = data["module"]["dispatches"].items()
        data["scalar_loops"] = [
            {"name": name, "nodes": facts["nodes"], "text": text}
            for name, facts in found
            for text in facts.get("scalar_loops", ())
        ]
    data["compile"] = {"seconds": sum(s for _, s in phases.times), "phases": _rows(phases.times)}
    if not settings.seconds:
        return data | {"run": None, "memory": _memory(memory_plan(planned, settings.function or "main", ()))}
    run, function, arguments = _run(contents, settings, make_arguments)
    shapes = [np.shape(argument) for argument in arguments]
    return data | {"run": run, "memory": _memory(memory_plan(planned, function, shapes))}


def _copy(program: Program) -> ir.Module:
    with program.context:
        return ir.Module.parse(write_bytecode(program.module.operation))


class _Phases:
    """The times between one phase's start and the next one's."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self._current: tuple[str, float] | None = None

    def __call__(self, name: str) -> None:
        self.stop()
        self._current = (name, time.perf_counter())

    def stop(self) -> None:
        if self._current is not None:
            name, start = self._current
            self.times.append((name, time.perf_counter() - start))
        self._current = None


def _rows(times: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"name": name, "ms": seconds * 1e3} for name, seconds in times]


def _module_facts(contents: bytes) -> dict[str, Any]:
    module = ModuleFile.decode(contents)
    code = {executable.rodata for executable in module.executables}
    stored = [(number in code, entry.data.nbytes) for number, entry in enumerate(module.rodata)]
    return {
        "bytes": len(contents),
        "constants_bytes": sum(size for is_code, size in stored if not is_code),
        "executable_bytes": sum(size for is_code, size in stored if is_code),
        "formats": [executable.format for executable in module.executables],
        "host_code_bytes": sum(2 * len(function.code) for function in module.functions),
        "entry_points": len(module.dispatches),
        "dispatches": module.dispatches,
    }


def _memory(executions: Sequence[Execution]) -> list[dict[str, Any]]:
    """The memory plan as plain data."""
    rows: list[dict[str, Any]] = []
    for execution in executions:
        slices = arena(execution)
        live = [sum(s.length for s in slices if s.first <= at <= s.last) for at in range(len(execution.commands))]
        rows.append(
            {
                "commands": [{"name": command.name, "wave": command.wave} for command in execution.commands],
                "edges": dependencies(execution),
                "bytes": {kind: execution.bytes_of(kind) for kind in dict.fromkeys(execution.lifetimes)},
                "arena_bytes": execution.bytes_of("transient"),
                "largest_live_bytes": max(live, default=0),
                "slices": [dataclasses.asdict(one) for one in slices],
                "complete": None not in execution.sizes,
            }
        )
    return rows


def _run(contents: bytes, settings: Settings, make_arguments: Arguments) -> tuple[dict[str, Any], str, list[Any]]:
    """How a module runs; the function that was called, and what with."""
    loaded = runtime.load(contents, settings.device, settings.threads)
    name, call, signature = choose_function(loaded, settings.function or None)
    arguments = list(make_arguments(signature))
    times = measure(lambda: call(*arguments), settings.seconds)
    facts = ModuleFile.read_dispatches(contents)
    taken = record(loaded, lambda: call(*arguments), min(settings.seconds, 1.0), facts)
    threads = loaded.device.threads
    # One thread after the other has the peak of one core only.
    peaks = measure_peaks(threads)
    profile = taken.summary.to_json(len(taken.calls))
    for row in profile["dispatches"]:
        row["roofline"] = _of_roofline(row, peaks.gflops, peaks.gigabytes)
    data = {
        "function": str(signature),
        "device": settings.device,
        "threads": threads,
        "machine": platform.machine(),
        "calls": len(times),
        "median_us": float(np.median(times)) * 1e6,
        "min_us": float(np.min(times)) * 1e6,
        "p90_us": float(np.quantile(times, 0.9)) * 1e6,
        "peaks": dataclasses.asdict(peaks),
        "profile": profile,
        "timeline": _timeline(taken),
    }
    return data, name, arguments


def _of_roofline(row: dict[str, Any], gflops: float, gigabytes: float) -> float | None:
    """The share of what the machine could do: the time that peak speed would need, over the time that was needed."""
    if not row["us"] or (row["flops"] is None and not row["bytes"]):
        return None
    least = max((row["flops"] or 0) / (gflops * 1e3), row["bytes"] / (gigabytes * 1e3))
    return least / row["us"]


def _timeline(taken: Recording) -> dict[str, Any]:
    """The events of the call whose time is the median."""
    order = sorted(range(len(taken.calls)), key=lambda number: taken.calls[number][1] - taken.calls[number][0])
    start, end = taken.calls[order[len(order) // 2]]
    rows = [_slice(event, start) for event in taken.events if start <= event.start_ns and event.end_ns <= end]
    executions = sorted({row["execution"] for row in rows})
    for row in rows:
        row["execution"] = executions.index(row["execution"])
    return {"us": (end - start) / 1e3, "events": rows}


def _slice(event: Event, origin: int) -> dict[str, Any]:
    return {
        "name": event.name or event.kind,
        "kind": event.kind,
        "thread": event.worker,
        "execution": event.execution,
        "command": event.command,
        "start_us": (event.start_ns - origin) / 1e3,
        "us": (event.end_ns - event.start_ns) / 1e3,
        "workgroups": [event.first, event.end, event.units],
    }
