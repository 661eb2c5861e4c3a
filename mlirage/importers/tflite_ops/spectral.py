"""Complex numbers and the transform that makes them."""

from __future__ import annotations

from mlirage.importers.tflite_ops.registry import Node, static_ints, tflite_op
from mlirage.importers.tflite_ops.stablehlo import emit
from mlirage.input import builders as b
from mlirage.input.builders import Tensor
from mlirage.input.builders import scalar as s
from mlirage.mlir import ir


@tflite_op
def REAL(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.real, x, dtype=node.dtype())


@tflite_op
def IMAG(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.imaginary, x, dtype=node.dtype())


@tflite_op
def COMPLEX_ABS(node: Node, x: Tensor) -> Tensor:
    return b.map_(s.absolute, x, dtype=node.dtype())


@tflite_op
def RFFT2D(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    """The transform of the last two axes, cut or filled with zeros to the lengths given."""
    height, width = static_ints(lengths, "fft_length")
    if x.rank < 2 or x.dtype != b.FLOAT32 or height < 1 or width < 1:
        raise ValueError(f"{x} transformed over {height} x {width}")
    outer = [0] * (x.rank - 2)
    fitted = b.pad(x, [*outer, 0, 0], [*outer, height - x.shape[-2], width - x.shape[-1]], 0.0)
    attributes = {
        "fft_type": ir.Attribute.parse("#stablehlo<fft_type RFFT>"),
        "fft_length": ir.DenseI64ArrayAttr.get([height, width]),
    }
    shape = [*x.shape[:-2], height, width // 2 + 1]
    return emit("fft", [fitted], [(shape, node.dtype())], attributes)[0]
