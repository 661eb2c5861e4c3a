"""input-normalize-tosa: TOSA's scatter and Fourier transforms in StableHLO's words, which have better lowerings.

    %r:2 = tosa.fft2d %re, %im {inverse = false}
    =>
    %z = stablehlo.fft (stablehlo.complex %re, %im), type = FFT, length = [h, w]; %r:2 = real and imag of %z

An inverse transform, which TOSA does not scale, is the conjugate of the transform of the conjugate. A scatter sets rows
of its operand, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlirage.errors import CompileError
from mlirage.mlir import describe_location, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program


@module_pass("input-normalize-tosa")
def normalize_tosa(program: Program) -> None:
    """Replaces the ops of `_REWRITES`, wherever they stand."""
    for op in [op for op in walk(program.module.operation) if op.name in _REWRITES]:
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, _REWRITES[op.name](op), strict=True):
                old.replace_all_uses_with(new)
        op.erase()


def _create(name: str, kind: ir.Type, *operands: ir.Value, **attributes: str) -> ir.Value:
    parsed = {key: ir.Attribute.parse(text) for key, text in attributes.items()}
    return ir.Operation.create(f"stablehlo.{name}", [kind], list(operands), parsed).results[0]


def _scatter(op: ir.Operation) -> Sequence[ir.Value]:
    into = op.operands[0]
    kind = ir.RankedTensorType(into.type)
    numbers = (
        "#stablehlo.scatter<update_window_dims = [2], inserted_window_dims = [1], input_batching_dims = [0], "
        "scatter_indices_batching_dims = [0], scatter_dims_to_operand_dims = [1], index_vector_dim = 2>"
    )
    new = ir.Operation.create(
        "stablehlo.scatter",
        [into.type],
        list(op.operands),
        {"scatter_dimension_numbers": ir.Attribute.parse(numbers)},
        regions=1,
    )
    scalar = ir.RankedTensorType.get([], kind.element_type)
    block = ir.Block.create_at_start(new.regions[0], [scalar, scalar], [op.location] * 2)
    with ir.InsertionPoint(block):
        ir.Operation.create("stablehlo.return", operands=[block.arguments[1]])
    return _cast(list(new.results), op)


def _lengths(op: ir.Operation) -> str:
    kind = ir.RankedTensorType(op.operands[0].type)
    if any(kind.is_dynamic_dim(i) for i in (1, 2)):
        raise CompileError(f"{describe_location(op.location)}: {op.name} needs images of a known size")
    return f"array<i64: {kind.shape[1]}, {kind.shape[2]}>"


def _with(kind: ir.RankedTensorType, shape: Sequence[int], element: ir.Type) -> ir.RankedTensorType:
    return ir.RankedTensorType.get(shape, element, kind.encoding)


def _fft2d(op: ir.Operation) -> Sequence[ir.Value]:
    real, imaginary = op.operands
    kind = ir.RankedTensorType(real.type)
    inverse = ir.BoolAttr(op.attributes["inverse"]).value
    complex_kind = _with(kind, kind.shape, ir.ComplexType.get(kind.element_type))
    given = _create("negate", kind, imaginary) if inverse else imaginary
    z = _create("complex", complex_kind, real, given)
    z = _create("fft", complex_kind, z, fft_type="#stablehlo<fft_type FFT>", fft_length=_lengths(op))
    parts = [_create(name, kind, z) for name in ("real", "imag")]
    if inverse:
        parts[1] = _create("negate", kind, parts[1])
    return _cast(parts, op)


def _rfft2d(op: ir.Operation) -> Sequence[ir.Value]:
    (real,) = op.operands
    kind = ir.RankedTensorType(real.type)
    lengths = _lengths(op)
    half = [kind.shape[0], kind.shape[1], kind.shape[2] // 2 + 1]
    complex_kind = _with(kind, half, ir.ComplexType.get(kind.element_type))
    z = _create("fft", complex_kind, real, fft_type="#stablehlo<fft_type RFFT>", fft_length=lengths)
    return _cast([_create(name, _with(kind, half, kind.element_type), z) for name in ("real", "imag")], op)


def _cast(values: Sequence[ir.Value], op: ir.Operation) -> list[ir.Value]:
    """`values` in the types of the results, which may know less of their extents."""
    return [
        value
        if value.type == old.type
        else ir.Operation.create("tensor.cast", results=[old.type], operands=[value]).results[0]
        for value, old in zip(values, op.results, strict=True)
    ]


_REWRITES: dict[str, Callable[[ir.Operation], Sequence[ir.Value]]] = {
    "tosa.scatter": _scatter,
    "tosa.fft2d": _fft2d,
    "tosa.rfft2d": _rfft2d,
}
