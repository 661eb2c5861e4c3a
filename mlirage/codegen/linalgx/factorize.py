"""linalgx.factorize: matrix algorithms as loops, one matrix of the batch after the other. `KINDS` names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlirage.codegen.linalgx.cholesky import cholesky
from mlirage.codegen.linalgx.eigen import eig
from mlirage.codegen.linalgx.householder import hessenberg, householder_product, qr
from mlirage.codegen.linalgx.jacobi_eigen import eigh
from mlirage.codegen.linalgx.jacobi_svd import svd
from mlirage.codegen.linalgx.loops import Values, extent, nest
from mlirage.codegen.linalgx.lu import lu
from mlirage.codegen.linalgx.memory import Memory
from mlirage.codegen.linalgx.schur import schur
from mlirage.codegen.linalgx.triangular import triangular_solve
from mlirage.codegen.linalgx.tridiagonal import tridiagonal_solve
from mlirage.mlir import ir

KINDS: dict[str, Callable[[Memory, frozenset[str]], None]] = {
    "cholesky": cholesky,
    "lu": lu,
    "qr": qr,
    "householder_product": householder_product,
    "hessenberg": hessenberg,
    "eig": eig,
    "eigh": eigh,
    "schur": schur,
    "svd": svd,
    "triangular_solve": triangular_solve,
    "tridiagonal_solve": tridiagonal_solve,
}


def lower_factorize(op: Any) -> list[ir.Value]:
    """Builds the loops."""
    inputs, outs = list(op.inputs), list(op.outs)
    batch_rank = ir.IntegerAttr(op.batch_rank).value
    flags = frozenset(ir.StringAttr(op.flags).value.split())
    algorithm = KINDS[ir.StringAttr(op.kind).value]

    def matrix(place: list[ir.Value], carried: Values) -> Values:
        memory = Memory(inputs, carried, place)
        algorithm(memory, flags)
        return memory.outs

    return nest([extent(outs[0], i) for i in range(batch_rank)], outs, matrix)
