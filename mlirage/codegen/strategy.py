"""Picks how each entry point is computed: the first kind of schedule that wants it.

Every kind is a file of `codegen/cpu/` with

    KIND                                          its name
    configure(entry, target)                      -> (root op, Configuration), or None if it does not want the entry
    schedule(entry, configuration, target)        tiles and vectorizes the entry on tensors
    lower_vectors(entry, configuration, target)   optional; after bufferization, before vectors become LLVM's
    LLVM_UNROLLS                                  optional; False: LLVM need not unroll loops

and a place in the order of KINDS: special before general.
"""

from __future__ import annotations

from typing import Protocol

from mlirage.codegen.configuration import Configuration, Entry
from mlirage.codegen.cpu import attention, contraction, default, fourier, loops, planes, rows, special, window, winograd
from mlirage.codegen.target import CpuTarget
from mlirage.codegen.tuned import dispatch_key, tuned_configuration
from mlirage.mlir import ir
from mlirage.structured_ops import element_type


class Kind(Protocol):
    """A file that schedules one kind of entry point."""

    @property
    def KIND(self) -> str:
        """What configurations and listings call it."""
        ...

    def configure(self, entry: Entry, target: CpuTarget) -> tuple[ir.Operation, Configuration] | None:
        """The op whose loops are distributed, and how; None: not this kind."""
        ...

    def schedule(self, entry: Entry, configuration: Configuration, target: CpuTarget) -> None:
        """Tiles and vectorizes the body, still on tensors."""
        ...


KINDS: tuple[Kind, ...] = (attention, winograd, fourier, special, contraction, window, planes, rows, loops, default)
# Those that make no vectors of complex numbers themselves.
_COMPLEX_KINDS: tuple[Kind, ...] = (fourier, special, loops, default)


def configure(entry: Entry, target: CpuTarget, tuning: str = "") -> None:
    """Writes the configuration of `entry` on its root, unless somebody has done so.

    Args:
      tuning: a file of configurations that go before the defaults.
    """
    try:
        entry.configured()
    except ValueError:
        key = dispatch_key(entry, target) if tuning else ""
        for kind in _COMPLEX_KINDS if _is_complex(entry) else KINDS:
            choice = kind.configure(entry, target)
            if choice is not None:
                root, default = choice
                tuned = tuned_configuration(tuning, entry, default, key) if tuning else None
                entry.configure(root, tuned or default)
                return
        raise AssertionError("the default kind takes everything") from None


def _is_complex(entry: Entry) -> bool:
    """Whether the entry computes complex numbers, of which there are no vectors."""
    types = (value.type for op in entry.walk() for value in (*op.operands, *op.results))
    return any(isinstance(element_type(kind), ir.ComplexType) for kind in types)


def kind_of(configuration: Configuration) -> Kind:
    """The kind that `configuration` names.

    Raises:
      KeyError: no such kind.
    """
    return {kind.KIND: kind for kind in KINDS}[configuration.kind]
