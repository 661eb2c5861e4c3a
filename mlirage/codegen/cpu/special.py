"""kind "special": entry points with a linalgx op, as the plain loops of its algorithm.

They are one workgroup, but for ops that treat rows alone (special_rows.py).
"""

from __future__ import annotations

from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu.float_formats import expand_floats
from mlirage.codegen.cpu.math_expansion import expand_math
from mlirage.codegen.cpu.special_rows import distribute_rows, rows_configuration
from mlirage.codegen.linalgx import is_linalgx, lower_linalgx
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir

KIND = "special"


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
    """Takes every entry with a linalgx op."""
    del target
    if not any(map(is_linalgx, entry.walk())):
        return None
    return rows_configuration(entry, KIND) or (entry.operation, Configuration(KIND))


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Replaces the op by loops; what else the entry holds stays whole."""
    root, _ = entry.configured()
    if any(configuration.workgroup_tiles):
        distribute_rows(root, configuration.workgroup_tiles)
    lower_linalgx(entry.operation, target.vector_bytes)
    expand_math(entry, target)  # some algorithms compute exponentials and convert numbers
    expand_floats(entry, target)
