"""kind "default": whatever the entry holds, as plain loops in one workgroup.

Loops over contiguous data are left to LLVM's vectorizer, which deals with remainders and dynamic extents itself.
"""

from __future__ import annotations

from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir

KIND = "default"
# Loops that are unrolled whole are not vectorized any more.
LLVM_UNROLLS = False


def configure(entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration]:
    """Takes every entry."""
    del target
    return entry.operation, Configuration(KIND)


def schedule(entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
    """Leaves the ops whole: bufferization and loop lowering do the rest."""
    del entry, configuration, target
