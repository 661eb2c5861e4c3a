"""The virtual machine as a target: what its arithmetic has, for the expansions shared with CPUs."""

from __future__ import annotations

from mlirage.codegen.target import CpuTarget


class VirtualMachine(CpuTarget):
    """Scalars of the VM: no vectors, no fused multiply-add; roundings, and half floats as f32, are instructions."""

    @property
    def architecture(self) -> str:
        """None of a CPU's."""
        return "vm"

    @property
    def has_fma(self) -> bool:
        """Products are rounded before they are added."""
        return False

    @property
    def has_rounding(self) -> bool:
        """floor, ceil, trunc and roundeven are opcodes."""
        return True


VM = VirtualMachine("vm", "", (), ())
