"""Translation of many entry points.

`translate_all` takes entry points as bytecode and returns their objects in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlirage.codegen.cpu.translate import Translated, translate_entry
from mlirage.codegen.target import CpuTarget
from mlirage.errors import MlirageError, TargetError
from mlirage.mlir import ir, new_context
from mlirage.options import CompileOptions


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


def translate_all(jobs: Sequence[Job], target: CpuTarget, options: CompileOptions) -> list[Translated]:
    """Translates `jobs`.

    Raises:
      TargetError: an entry point cannot be translated; the text names it and its source.
    """
    return [run_job(job, target, options.opt_level, bool(options.dump_ir)) for job in jobs]


def run_job(job: Job, target: CpuTarget, opt_level: int, keep_files: bool) -> Translated:
    """Translates one entry point in this process."""
    context = new_context()
    with context:
        module = ir.Module.parse(job.bytecode)
    try:
        return translate_entry(module, job.symbol, target, opt_level, keep_files)
    except (ir.MLIRError, MlirageError, RuntimeError, ValueError) as error:
        raise TargetError(f"{job.source}: cannot compile dispatch {job.symbol!r} for {target.triple}: {error}") from error
