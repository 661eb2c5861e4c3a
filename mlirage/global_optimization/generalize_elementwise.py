"""Turns named elementwise, data-movement and reduction ops into `linalg.generic`, the one form that fusion knows.

    %0 = linalg.transpose ins(%x) outs(%e) permutation = [1, 0]   ->   %0 = linalg.generic {… (d0, d1) -> (d1, d0) …}

Contractions, convolutions, poolings and fills keep their names: the kernels know them by those.
"""

from __future__ import annotations

from mlirage import structured_ops
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("global-optimization-generalize-elementwise")
def generalize_elementwise(program: Program) -> None:
    """Generalizes named structured ops that are not roots of kernels."""
    for op in structured_ops.tensor_ops(program.module.operation):
        if op.name == "linalg.generic" or not structured_ops.is_structured(op) or op.name == "linalg.fill":
            continue
        if len(op.results) and not structured_ops.is_contraction(op) and not structured_ops.is_window(op):
            structured_ops.generalize(op)
