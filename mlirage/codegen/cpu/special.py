"""kind "special": entry points with a linalgx op, as the plain loops of its algorithm in one workgroup."""

from __future__ import annotations

from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.float_formats import expand_floats
from mlirage.codegen.cpu.math_expansion import expand_math
from mlirage.codegen.linalgx import is_linalgx, lower_linalgx
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir

KIND = "special"


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes every entry with a linalgx op."""
    del target
    return (entry.operation, Configuration(KIND)) if any(map(is_linalgx, entry.walk())) else None


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the op by loops; what else the entry holds stays whole."""
    del configuration
    lower_linalgx(entry.operation)
    expand_math(entry, target)  # some algorithms compute exponentials and convert numbers
    expand_floats(entry, target)
