"""Translation of many entry points: the cache first, worker processes for the rest.

`translate_all` takes entry points as bytecode and returns their objects in the same order; how many workers there are
changes nothing in the bytes. `warm_up` starts the workers ahead of time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.codegen.cache import Cache, content_key
from mlirage.codegen.cpu.translate import Translated, translate_entry
from mlirage.codegen.target import CpuTarget
from mlirage.codegen.worker import worker_pool
from mlirage.errors import MlirageError, TargetError
from mlirage.mlir import ir, new_context
from mlirage.options import CompileOptions
from mlirage.passes import explain

_TIMEOUT_SECONDS = 600.0
_JOBS_PER_CONTEXT = 256


@dataclass(frozen=True)
class Job:
    """One entry point to translate.

    Attributes:
      symbol: its name inside the library.
      source: where it comes from, for errors: location of the model's node.
      bytecode: a module with the one function, configured, in interface form.
    """

    symbol: str
    source: str
    bytecode: bytes


@dataclass(frozen=True)
class Task:
    """A job with everything else that shapes its result."""

    job: Job
    target: CpuTarget
    opt_level: int
    keep_files: bool

    @property
    def key(self) -> str:
        """Names the result in the cache."""
        return content_key(self.job.bytecode, self.job.symbol, self.target.key, str(self.opt_level))


class WorkerState:
    """What a worker keeps from job to job: an MLIR context, renewed now and then because contexts only grow."""

    def __init__(self) -> None:
        self.jobs = 0
        self.context = self._new_context()

    @staticmethod
    def _new_context() -> ir.Context:
        context = new_context()
        context.enable_multithreading(False)
        return context

    def run(self, task: Task) -> Translated | str:
        """The translation, or the text of the error."""
        self.jobs += 1
        if self.jobs % _JOBS_PER_CONTEXT == 0:
            self.context = self._new_context()
        try:
            return run_task(task, self.context)
        except TargetError as error:
            return str(error)


def run_task(task: Task, context: ir.Context) -> Translated:
    """Translates one entry point in this process.

    Raises:
      TargetError: it cannot be translated.
    """
    job = task.job
    try:
        with context:
            module = ir.Module.parse(job.bytecode)
        return translate_entry(module, job.symbol, task.target, task.opt_level, task.keep_files)
    except ir.MLIRError as error:
        raise TargetError(_failure(job, task.target, explain(error))) from error
    except (MlirageError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
        text = str(error) if isinstance(error, MlirageError) else f"{type(error).__name__}: {error}"
        raise TargetError(_failure(job, task.target, text)) from error


def _failure(job: Job, target: CpuTarget, text: str) -> str:
    return f"{job.source}: cannot compile dispatch {job.symbol!r} for {target.triple}: {text}"


def warm_up() -> None:
    """Starts the worker processes' common parent, without waiting for it."""
    if hasattr(os, "fork"):
        worker_pool()


def translate_all(jobs: Sequence[Job], target: CpuTarget, options: CompileOptions) -> list[Translated]:
    """Translates `jobs`.

    Raises:
      TargetError: an entry point cannot be translated; the text names it and its source.
    """
    tasks = [Task(job, target, options.opt_level, bool(options.dump_ir) or options.check_vectorization) for job in jobs]
    cache = Cache.open(options.cache_dir)
    keys = [task.key for task in tasks]
    # texts for --dump-ir are not cached
    results: list[Translated | None] = [
        None if task.keep_files else cache.load(key) for task, key in zip(tasks, keys, strict=True)
    ]
    missing = [i for i, result in enumerate(results) if result is None]
    # the largest first: they are likely to take longest
    missing.sort(key=lambda i: -len(tasks[i].job.bytecode))
    errors: dict[int, str] = {}

    def finish(number: int, result: Translated | str) -> None:
        index = missing[number]
        if isinstance(result, str):
            errors[index] = result
        else:
            results[index] = result
            cache.store(keys[index], result)

    if missing and hasattr(os, "fork"):
        crashed = worker_pool().run([tasks[i] for i in missing], options.worker_count, _TIMEOUT_SECONDS, finish)
        for number, text in crashed.items():
            errors[missing[number]] = _failure(tasks[missing[number]].job, target, text)
    elif missing:
        state = WorkerState()
        for number, index in enumerate(missing):
            finish(number, state.run(tasks[index]))
    cache.prune()
    if errors:
        raise TargetError("\n".join(errors[index] for index in sorted(errors)))
    return [result for result in results if result is not None]
