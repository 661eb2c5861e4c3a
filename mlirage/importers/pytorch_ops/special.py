"""Special functions: gamma functions, error functions and their inverses, calculated in f64."""

from __future__ import annotations

from mlirage.importers.pytorch_ops.registry import PROMOTION, Op, Operand, as_tensor, aten, promoted
from mlirage.input import builders as b
from mlirage.input.builders import Tensor, special
from mlirage.input.builders import scalar as s


def in_double(op: Op, body: object, x: Operand) -> Tensor:
    """`body` of elements as f64."""
    result = promoted([x], PROMOTION.INT_TO_FLOAT)
    wide = as_tensor(as_tensor(x, result), b.FLOAT64)
    kind = b.compute_dtype(op.dtype)
    return b.map_(lambda a: s.cast(body(a), kind), wide, dtype=op.dtype)  # pyright: ignore


def _register(names: tuple[str, ...], prims: str, body: object) -> None:
    @aten(*names)
    def function(op: Op, x: Operand) -> Tensor:
        return in_double(op, body, x)

    @aten(prims, namespace="prims")
    def prim(op: Op, x: Operand) -> Tensor:
        return in_double(op, body, x)


_register(("lgamma",), "lgamma", special.lgamma)
_register(("digamma",), "digamma", special.digamma)
_register(("erfc",), "erfc", special.erfc)
_register(("erfinv",), "erf_inv", special.erfinv)
_register(("special_ndtri",), "ndtri", special.ndtri)
_register(("special_erfcx",), "erfcx", special.erfcx)
