"""The vmvx dialect: what kernels of the virtual machine leave to microkernels (runtime/src/vmvx_module)."""

from collections.abc import Sequence
from typing import Any

from mlirage.mlir import ext, ir


class Vmvx(ext.Dialect, name="vmvx"):
    """Loops over memory that are one call instead of interpreted code."""


class ContractOp(Vmvx.Operation, name="contract"):
    """out[…] += (lhs[…] - lhs_zero) * (rhs[…] - rhs_zero) over loops, on memrefs.

    `maps` (affine maps of lhs, rhs, out) say how loops index the memrefs; `extents` are the loops'. `kernel` names the
    microkernel by its types: "f32", "s8s8_i32". `zeros` are two i32 for the int8 kernels, none for others.
    """

    mixed_limit = 4
    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    out: ext.Operand[Any]
    zeros: Sequence[ext.Operand[ir.IntegerType[32]]]
    extents: Sequence[ext.Operand[ir.IndexType]]
    maps: ir.ArrayAttr
    kernel: ir.StringAttr


class FillOp(Vmvx.Operation, name="fill"):
    """Writes `value` to every element of a memref whose elements lie one after the other."""

    value: ext.Operand[Any]
    out: ext.Operand[Any]


class CallOp(Vmvx.Operation, name="call"):
    """Calls the microkernel `function` ("vmvx.contract_f32") with `convention` (docs/module-format.md).

    `repetitions` (array of i32) has the number of repetitions of each group of the convention; arguments come in the
    convention's order, groups unrolled. The last buffer is written.
    """

    arguments: Sequence[ext.Operand[Any]]
    function: ir.StringAttr
    convention: ir.StringAttr
    repetitions: Any
