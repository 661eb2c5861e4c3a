"""input-convert-stablehlo-fft: Fourier transforms become the builders' (input/builders/fourier.py).

    %y = stablehlo.fft %x, type = FFT, length = [12] : tensor<2x12xcomplex<f32>>
    =>
    %y = "linalgx.fourier"(%x as 2x12x1, %roots, %empty) {radices = [12], inverse = false, pairs = 0, scale = 1.0}

A transform of complex numbers that are real ones with no imaginary part is made of these.
"""

from __future__ import annotations

import math
import re

from mlirage.element_types import dtype_of
from mlirage.input.builders.fourier import fourier, inverse_real_fourier, real_fourier
from mlirage.input.builders.tensor import Tensor, TensorBuilder
from mlirage.mlir import ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-convert-stablehlo-fft")
def convert_stablehlo_fft(program: Program) -> None:
    """Replaces `stablehlo.fft` of every type."""
    for op in [op for op in walk(program.module.operation) if op.name == "stablehlo.fft"]:
        builder = TensorBuilder(program.module, op.block, program.constants)
        with builder.active(), op.location, ir.InsertionPoint(op):
            made = _transform(op).value
            kind = op.results[0].type
            op.results[0].replace_all_uses_with(made if made.type == kind else tensor.cast(kind, made))
        op.erase()


def _transform(op: ir.Operation) -> Tensor:
    match_ = re.search(r"fft_type (\w+)|fft<type (\w+)>|(I?R?FFT)", str(op.attributes["fft_type"]))
    assert match_
    kind = next(group for group in match_.groups() if group)
    lengths = list(ir.DenseI64ArrayAttr(op.attributes["fft_length"]))
    operand = op.operands[0]
    x = _tensor(operand)
    dims = range(x.rank - len(lengths), x.rank)
    inverse = kind in ("IFFT", "IRFFT")
    scale = 1 / math.prod(lengths) if inverse and 0 not in lengths else 1.0
    rest = list(dims)[:-1]
    match kind:
        case "RFFT":
            x = real_fourier(x, -1)
        case "FFT" if (real := _real_source(operand)) is not None:
            x = real_fourier(_tensor(real), -1, whole=True)
        case "IRFFT":
            pass
        case _:
            rest = list(dims)
    for dim in rest:
        x = fourier(x, dim, inverse=inverse, scale=scale if kind == "IFFT" and dim == rest[-1] else 1.0)
    return inverse_real_fourier(x, -1, lengths[-1], scale=scale) if kind == "IRFFT" else x


def _tensor(value: ir.Value) -> Tensor:
    return Tensor.from_value(value, dtype_of(ir.RankedTensorType(value.type).element_type))


def _real_source(value: ir.Value) -> ir.Value | None:
    """The real numbers that complex ones were converted from."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "stablehlo.convert":
        return None
    source = value.owner.operation.operands[0]
    element = ir.ComplexType(ir.RankedTensorType(value.type).element_type).element_type
    return source if ir.RankedTensorType(source.type).element_type == element else None
