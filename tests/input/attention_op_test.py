"""What the verifier of linalgx.attention refuses."""

from __future__ import annotations

import pytest

from mlirage.input import linalgx
from mlirage.mlir import ir, new_context, tensor

Q, K, V, OUT = "md", "kd", "kc", "mc"


@pytest.mark.parametrize(
    ("places", "masked_rows", "message"),
    [
        ((Q, K, V, OUT), "nan", ""),
        ((Q, K, V, "mk", OUT), "zero", ""),
        ((Q, K, V, "md", OUT), "nan", "extras cannot be read along the depth"),
        ((Q, K, V, OUT), "maybe", "masked_rows must be"),
        ((Q, K, "cc", OUT), "nan", "one loop of the keys, not 0"),
        ((Q, K, V, "cc"), "nan", "distinct loops"),
    ],
)
def test_verifier(places: tuple[str, ...], masked_rows: str, message: str) -> None:
    with new_context(), ir.Location.unknown():
        kind = ir.F32Type.get()
        module = ir.Module.create()
        maps = [ir.AffineMap.get(4, 0, [ir.AffineDimExpr.get("mkdc".index(x)) for x in p]) for p in places]
        with ir.InsertionPoint(module.body):
            operands = [tensor.empty([5] * len(p), kind) for p in places]
            linalgx.attention(
                *operands[:3],  # pyright: ignore[reportArgumentType]
                operands[3:-1],
                operands[-1],
                maps,
                kind,
                masked_rows,
                lambda score, *_: score,
            )
        if not message:
            module.operation.verify()
            return
        with pytest.raises(ir.MLIRError, match=message):
            module.operation.verify()
