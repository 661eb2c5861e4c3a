"""kind "special": entry points with a linalgx op, as the plain loops of its algorithm in one workgroup."""

from __future__ import annotations

from mlirage.codegen.configuration import Configuration, Entry
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
    del configuration, target
    lower_linalgx(entry.operation)
