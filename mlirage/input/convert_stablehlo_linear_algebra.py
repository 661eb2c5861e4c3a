"""input-convert-stablehlo-linear-algebra: matrix factorizations become linalgx.factorize.

    %l:2 = stablehlo.custom_call @lapack_spotrf_ffi(%x) {mhlo.backend_config = {uplo = 76 : ui8}}
    =>
    %l:2 = "linalgx.factorize"(%x, %empty, %info) {kind = "cholesky", flags = "", batch_rank = 0}

Taken are `stablehlo.cholesky`, `stablehlo.triangular_solve`, and the calls of LAPACK that JAX makes on CPUs. Layouts of
operands are ignored: they say how memory is laid out for LAPACK, not what is computed. Eigenvalues of real matrices are
those of the complex ones they are. Left eigenvectors are left for input-verify to report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mlirage.input import linalgx
from mlirage.input.linalgx import empty_like
from mlirage.mlir import arith, complex_, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import Extent, extents

_LOWER, _RIGHT, _UNIT, _TRANSPOSE, _CONJUGATE = (ord(letter) for letter in "LRUTC")
_VALUES_ONLY = ord("N")
_CALL = re.compile(r"lapack_[sdcz](\w+?)(_ffi)?")


@module_pass("input-convert-stablehlo-linear-algebra")
def convert_stablehlo_linear_algebra(program: Program) -> None:
    """Replaces factorizations and solvers."""
    for op in list(walk(program.module.operation)):
        convert = _conversion(op)
        if convert is None:
            continue
        with op.location, ir.InsertionPoint(op):
            for old, new in zip(op.results, convert(op), strict=True):
                new_ = new if new.type == old.type else tensor.cast(old.type, new)
                old.replace_all_uses_with(new_)
        op.erase()


def _conversion(op: ir.Operation) -> Callable[[ir.Operation], Sequence[ir.Value]] | None:
    if op.name == "stablehlo.custom_call":
        match = _CALL.fullmatch(ir.StringAttr(op.attributes["call_target_name"]).value)
        if not match or not match[2] or not _is_supported(op, match[1]):
            return None
        return _CALLS.get(match[1])
    return _OPS.get(op.name)


def _is_supported(op: ir.Operation, call: str) -> bool:
    if call == "gees":
        return _option(op, "sort") == _VALUES_ONLY
    return call != "geev" or _option(op, "compute_left") == _VALUES_ONLY or not list(op.results[-3].uses)


def _option(op: ir.Operation, name: str) -> int:
    """A letter or number of the call's configuration."""
    key = "mhlo.backend_config" if "mhlo.backend_config" in op.attributes else "backend_config"
    return ir.IntegerAttr(ir.DictAttr(op.attributes[key])[name]).value


def _batch_rank(op: ir.Operation, rank: int = 2) -> int:
    return ir.RankedTensorType(op.operands[0].type).rank - rank


def _outs(op: ir.Operation) -> list[ir.Value]:
    """An empty tensor for every result: extents that types do not tell are the operand's."""
    batch = _batch_rank(op)
    known = extents(op.operands[0])[:batch]
    return [_empty(ir.RankedTensorType(result.type), known) for result in op.results]


def _empty(kind: ir.RankedTensorType, batch: Sequence[Extent]) -> ir.Value:
    shape = [*batch, *kind.shape[len(batch) :]]
    return tensor.empty(shape, kind.element_type)


def _like_matrix(op: ir.Operation, rows: int, columns: int) -> ir.Value:
    """An empty matrix per batch place, of the operand's element type."""
    element = ir.RankedTensorType(op.operands[0].type).element_type
    return tensor.empty([*extents(op.operands[0])[: _batch_rank(op)], rows, columns], element)


def _plain(kind: str) -> Callable[[ir.Operation], Sequence[ir.Value]]:
    """An algorithm with the operands as inputs and the results as outs."""

    def convert(op: ir.Operation) -> Sequence[ir.Value]:
        return linalgx.factorize(kind, list(op.operands), _outs(op), _batch_rank(op))

    return convert


def _potrf(op: ir.Operation) -> Sequence[ir.Value]:
    flags = [] if _option(op, "uplo") == _LOWER else ["upper"]
    return linalgx.factorize("cholesky", list(op.operands), _outs(op), _batch_rank(op), flags)


def _trsm(op: ir.Operation) -> Sequence[ir.Value]:
    flags = [
        *(["right"] if _option(op, "side") == _RIGHT else []),
        *(["lower"] if _option(op, "uplo") == _LOWER else []),
        *(["unit"] if _option(op, "diag") == _UNIT else []),
        *(["transpose"] if _option(op, "trans_x") in (_TRANSPOSE, _CONJUGATE) else []),
        *(["conjugate"] if _option(op, "trans_x") == _CONJUGATE else []),
    ]
    return linalgx.factorize("triangular_solve", list(op.operands), _outs(op), _batch_rank(op), flags)


def _syevd(op: ir.Operation) -> Sequence[ir.Value]:
    flags = ["lower"] if _option(op, "uplo") == _LOWER else []
    outs = [*_outs(op), empty_like(op.operands[0])]
    return linalgx.factorize("eigh", list(op.operands), outs, _batch_rank(op), flags)[:-1]


def _gesdd(op: ir.Operation) -> Sequence[ir.Value]:
    rows, columns = ir.RankedTensorType(op.operands[0].type).shape[-2:]
    short, long = sorted((rows, columns))
    flags = (["wide"] if rows < columns else []) + (["values"] if _option(op, "mode") == _VALUES_ONLY else [])
    outs = [*_outs(op), _like_matrix(op, long, short), _like_matrix(op, short, short)]
    return linalgx.factorize("svd", list(op.operands), outs, _batch_rank(op), flags)[:-2]


def _geev(op: ir.Operation) -> Sequence[ir.Value]:
    values, vectors, info = op.results[0], op.results[-2], op.results[-1]
    x = op.operands[0]
    part = ir.RankedTensorType(x.type).element_type
    is_real = not isinstance(part, ir.ComplexType)
    element = ir.ComplexType.get(part) if is_real else part
    if is_real:
        x = _elementwise(x, element, lambda a: complex_.create_(element, a, arith.constant(part, 0.0)))
    known = extents(x)[: _batch_rank(op)]
    outs = [
        _empty(ir.RankedTensorType(vectors.type), known),
        tensor.empty([*known, *ir.RankedTensorType(values.type).shape[len(known) :]], element),
        _empty(ir.RankedTensorType(info.type), known),
        empty_like(x),
        empty_like(x),
    ]
    flags = [] if _option(op, "compute_right") != _VALUES_ONLY else ["values"]
    found, numbers, failed, *_ = linalgx.factorize("eig", [x], outs, _batch_rank(op), flags)
    if is_real:
        parts = [_elementwise(numbers, part, take) for take in (complex_.re, complex_.im)]
        return [*parts, found, found, failed]  # nobody reads the left vectors
    return [numbers, found, found, failed]


def _gees(op: ir.Operation) -> Sequence[ir.Value]:
    """Schur's form and vectors; of complex matrices they are what finding the eigenvalues leaves behind."""
    x = op.operands[0]
    form, vectors, *values, count, info = _outs(op)
    selected = linalg.fill(arith.constant(ir.RankedTensorType(count.type).element_type, 0), outs=[count])
    if len(values) == 2:
        outs = [form, values[0], info, values[1], vectors]
        triangle, real, failed, imaginary, q = linalgx.factorize("schur", [x], outs, _batch_rank(op))
        return [triangle, q, real, imaginary, selected, failed]
    outs = [empty_like(x), *values, info, form, vectors]
    _, numbers, failed, triangle, q = linalgx.factorize("eig", [x], outs, _batch_rank(op), ["values"])
    return [triangle, q, numbers, selected, failed]


def _elementwise(x: ir.Value, element: ir.Type, body: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """`body` of every element."""
    out = tensor.empty(extents(x), element)
    rank = ir.RankedTensorType(x.type).rank
    identity = ir.AffineMapAttr.get(ir.AffineMap.get_identity(rank))
    parallel = ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * rank)
    op = linalg.GenericOp([out.type], [x], [out], ir.ArrayAttr.get([identity, identity]), parallel)
    kinds = [ir.RankedTensorType(x.type).element_type, element]
    block = op.regions[0].blocks.append(*kinds, arg_locs=[ir.Location.current] * 2)
    with ir.InsertionPoint(block):
        linalg.yield_([body(block.arguments[0])])
    return op.results[0]


def _gtsv(op: ir.Operation) -> Sequence[ir.Value]:
    batch = _batch_rank(op, 1)
    known = extents(op.operands[0])[:batch]
    outs = [_empty(ir.RankedTensorType(result.type), known) for result in op.results]
    return linalgx.factorize("tridiagonal_solve", list(op.operands), outs, batch)


def _cholesky(op: ir.Operation) -> Sequence[ir.Value]:
    lower = "lower" in op.attributes and ir.BoolAttr(op.attributes["lower"]).value
    batch = _batch_rank(op)
    info = tensor.empty(extents(op.operands[0])[:batch], ir.IntegerType.get_signless(32))
    outs = [empty_like(op.operands[0]), info]
    return linalgx.factorize("cholesky", list(op.operands), outs, batch, [] if lower else ["upper"])[:1]


def _triangular_solve(op: ir.Operation) -> Sequence[ir.Value]:
    transpose = re.search(r"NO_TRANSPOSE|ADJOINT|TRANSPOSE", str(op.attributes["transpose_a"]))
    assert transpose
    flags = [
        *([] if ir.BoolAttr(op.attributes["left_side"]).value else ["right"]),
        *(["lower"] if ir.BoolAttr(op.attributes["lower"]).value else []),
        *(["unit"] if ir.BoolAttr(op.attributes["unit_diagonal"]).value else []),
        *({"TRANSPOSE": ["transpose"], "ADJOINT": ["transpose", "conjugate"]}.get(transpose[0], [])),
    ]
    out = empty_like(op.operands[1])
    return linalgx.factorize("triangular_solve", list(op.operands), [out], _batch_rank(op), flags)


_CALLS: dict[str, Callable[[ir.Operation], Sequence[ir.Value]]] = {
    "potrf": _potrf,
    "getrf": _plain("lu"),
    "geqrf": _plain("qr"),
    "orgqr": _plain("householder_product"),
    "ungqr": _plain("householder_product"),
    "gehrd": _plain("hessenberg"),
    "syevd": _syevd,
    "heevd": _syevd,
    "gesdd": _gesdd,
    "gesvd": _gesdd,
    "trsm": _trsm,
    "gtsv": _gtsv,
    "geev": _geev,
    "gees": _gees,
}
_OPS: dict[str, Callable[[ir.Operation], Sequence[ir.Value]]] = {
    "stablehlo.cholesky": _cholesky,
    "stablehlo.triangular_solve": _triangular_solve,
}
