"""Bessel functions of orders 0 and 1, of all kinds, and Airy's Ai, calculated in f64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlirage.importers.pytorch_ops.registry import Op, Operand, aten
from mlirage.importers.pytorch_ops.special import in_double
from mlirage.input.builders import Scalar, Tensor, bessel


def _register(name: str, body: Callable[[Scalar], Scalar], prims: str = "") -> None:
    def function(op: Op, x: Operand) -> Tensor:
        return in_double(op, body, x)

    aten(name)(function)
    if prims:
        aten(prims, namespace="prims")(function)


for _order in (0, 1):
    _register(f"special_bessel_j{_order}", partial(bessel.bessel_j, order=_order), f"bessel_j{_order}")
    _register(f"special_bessel_y{_order}", partial(bessel.bessel_y, order=_order))
    for _name in ("i0", "special_modified_bessel_i0") if _order == 0 else ("special_i1", "special_modified_bessel_i1"):
        _register(_name, partial(bessel.bessel_i, order=_order, scaled=False))
    _register(f"special_i{_order}e", partial(bessel.bessel_i, order=_order, scaled=True), f"bessel_i{_order}e")
    _register(f"special_modified_bessel_k{_order}", partial(bessel.bessel_k, order=_order, scaled=False))
    _register(f"special_scaled_modified_bessel_k{_order}", partial(bessel.bessel_k, order=_order, scaled=True))
_register("special_airy_ai", bessel.airy_ai)
_register("special_spherical_bessel_j0", bessel.spherical_j0, "spherical_bessel_j0")
