"""Relatives of the gamma function: Hurwitz' zeta function, polygamma and the incomplete gamma functions, in f64."""

from __future__ import annotations

from collections.abc import Callable

from mlirage.importers.pytorch_ops.registry import PROMOTION, Op, Operand, as_tensor, aten, promoted
from mlirage.importers.pytorch_ops.special import in_double
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor, gamma
from mlirage.input.builders import scalar as s


@aten("polygamma")
def polygamma(op: Op, order: int, x: Operand) -> Tensor:
    return in_double(op, gamma.polygamma(order), x)


def _binary(body: Callable[[Scalar, Scalar], Scalar], name: str, prims: str) -> None:
    def function(op: Op, x: Operand, y: Operand) -> Tensor:
        common = promoted([x, y], PROMOTION.INT_TO_FLOAT)
        wide = [as_tensor(as_tensor(v, common), b.FLOAT64) for v in (x, y)]
        kind = b.compute_dtype(op.dtype)
        return b.map_(lambda p, q: s.cast(body(p, q), kind), *wide, dtype=op.dtype)

    aten(name)(function)
    aten(prims, namespace="prims")(function)


_binary(gamma.zeta, "special_zeta", "zeta")
_binary(lambda a, x: gamma.incomplete(a, x, False), "igamma", "igamma")
_binary(lambda a, x: gamma.incomplete(a, x, True), "igammac", "igammac")
