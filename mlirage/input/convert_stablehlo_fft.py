"""input-convert-stablehlo-fft: Fourier transforms become stages of small transforms, each one linalg op.

    %y = stablehlo.fft %x, type = FFT, length = [12] : tensor<2x12xcomplex<f32>>
    =>
    expand 2x[3x4x1] ─ generic(sum over 3, twiddles 3x3x1) ─> 2x[4x3x1] = 2x12
    expand 2x[4x1x3] ─ generic(sum over 4, twiddles 4x4x3) ─> 2x[1x4x3] = 2x12

Stockham's form: after the stages of radices with product l, entry k·l + j is coefficient j of the transform of the
elements k, k + n/l, k + 2n/l, …. The next stage of radix r turns it from [r, m, l] into [m, r, l]:

    y[k, t, j] = Σ_a x[a, k, j] · exp(-2πi · a(j + l·t) / (r·l))

Any length works; a large prime factor costs its square. Twiddles are computed in float64 here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from mlirage.constants import add_global
from mlirage.element_types import dtype_of
from mlirage.mlir import arith, complex_, ir, linalg, ml_program, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Array, Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import collapse_dims, expand_dim, extents

_LARGEST_RADIX = 8


@module_pass("input-convert-stablehlo-fft")
def convert_stablehlo_fft(program: Program) -> None:
    """Replaces `stablehlo.fft` of every type."""
    for op in [op for op in walk(program.module.operation) if op.name == "stablehlo.fft"]:
        with op.location, ir.InsertionPoint(op):
            op.results[0].replace_all_uses_with(_Transform(program, op).build())
        op.erase()


class _Transform:
    """One fft op."""

    def __init__(self, program: Program, op: ir.Operation) -> None:
        self.program = program
        self.operand = op.operands[0]
        self.result = ir.RankedTensorType(op.results[0].type)
        match = re.search(r"fft_type (\w+)|fft<type (\w+)>|(I?R?FFT)", str(op.attributes["fft_type"]))
        assert match
        self.kind = next(group for group in match.groups() if group)
        self.lengths = list(ir.DenseI64ArrayAttr(op.attributes["fft_length"]))
        self.first = self.result.rank - len(self.lengths)

    def build(self) -> ir.Value:
        value = self.operand
        dims = range(self.first, self.result.rank)
        last = self.result.rank - 1
        if self.kind == "RFFT":
            value = self._transform(_to_complex(value), last, self.lengths[-1], inverse=False)
            value = _take(value, last, self.result.shape[last])
            for dim in dims[:-1]:
                value = self._transform(value, dim, self.lengths[dim - self.first], inverse=False)
            return value
        inverse = self.kind != "FFT"
        for dim in dims[:-1] if self.kind == "IRFFT" else dims:
            value = self._transform(value, dim, self.lengths[dim - self.first], inverse)
        if self.kind == "IRFFT":
            value = _mirror(value, self.lengths[-1])
            value = _real_part(self._transform(value, last, self.lengths[-1], inverse=True))
        return value

    def _transform(self, value: ir.Value, dim: int, length: int, inverse: bool) -> ir.Value:
        done = 1
        for radix in _radices(length):
            value = self._stage(value, dim, radix, length // (done * radix), done, inverse, last=done * radix == length)
            done *= radix
        return value

    def _stage(
        self, value: ir.Value, dim: int, radix: int, rest: int, done: int, inverse: bool, last: bool
    ) -> ir.Value:
        """Dims before `dim`, then a, k, j (or k, t, j in the result), then dims after."""
        element = ir.RankedTensorType(value.type).element_type
        turns = np.arange(radix)[:, None, None] * (np.arange(done) + done * np.arange(radix)[:, None]) / (radix * done)
        twiddles = np.exp((2j if inverse else -2j) * np.pi * turns)
        if inverse and last:
            twiddles /= radix * done
        table = self._constant(twiddles.astype(dtype_of(element)), element)
        source = expand_dim(value, dim, [radix, rest, done])
        shape = extents(source)
        shape[dim : dim + 2] = shape[dim + 1], shape[dim]
        out = linalg.fill(_zero(element), outs=[tensor.empty(shape, element)])
        rank = len(shape)
        d = [ir.AffineExpr.get_dim(i) for i in range(rank + 1)]
        a, k, t, j = d[rank], d[dim], d[dim + 1], d[dim + 2]
        maps = [
            ir.AffineMap.get(rank + 1, 0, [*d[:dim], a, k, j, *d[dim + 3 : rank]]),
            ir.AffineMap.get(rank + 1, 0, [a, t, j]),
            ir.AffineMap.get(rank + 1, 0, d[:rank]),
        ]

        def body(block: ir.Block) -> Sequence[ir.Value]:
            x, w, total = block.arguments
            return [complex_.add(total, complex_.mul(x, w))]

        parallel = [True] * rank + [False]
        result = build_generic([source, table], [out], maps, parallel, body, ir.Location.current).results[0]
        return collapse_dims(result, dim, 3)

    def _constant(self, array: Array, element: ir.Type) -> ir.Value:
        kind = ir.RankedTensorType.get(array.shape, element)
        return ml_program.global_load_const(
            kind, ir.FlatSymbolRefAttr.get(add_global(self.program, kind, array, "twiddles"))
        )


def _radices(length: int) -> list[int]:
    """Factors of `length`, those that fit together joined up to 8."""
    primes: list[int] = []
    factor = 2
    while length > 1:
        if factor * factor > length:
            factor = length
        while length % factor == 0:
            primes.append(factor)
            length //= factor
        factor += 1
    radices: list[int] = []
    for prime in primes:
        if radices and radices[-1] * prime <= _LARGEST_RADIX:
            radices[-1] *= prime
        else:
            radices.append(prime)
    return radices


def _zero(element: ir.Type) -> ir.Value:
    zero = ir.FloatAttr.get(ir.ComplexType(element).element_type, 0.0)
    return complex_.constant(element, ir.ArrayAttr.get([zero, zero]))


def _to_complex(value: ir.Value) -> ir.Value:
    element = ir.RankedTensorType(value.type).element_type
    kind = ir.ComplexType.get(element)

    def body(block: ir.Block) -> Sequence[ir.Value]:
        return [complex_.create_(kind, block.arguments[0], arith.constant(element, 0.0))]

    return _elementwise(value, kind, body)


def _real_part(value: ir.Value) -> ir.Value:
    element = ir.ComplexType(ir.RankedTensorType(value.type).element_type).element_type
    return _elementwise(value, element, lambda block: [complex_.re(block.arguments[0])])


def _elementwise(value: ir.Value, element: ir.Type, body: Callable[[ir.Block], Sequence[ir.Value]]) -> ir.Value:
    rank = ir.RankedTensorType(value.type).rank
    out = tensor.empty(extents(value), element)
    return build_generic(
        [value],
        [out],
        [identity_map(rank)] * 2,
        [True] * rank,
        body,
        ir.Location.current,
    ).results[0]


def _take(value: ir.Value, dim: int, length: int) -> ir.Value:
    """The first `length` elements along `dim`."""
    sizes = extents(value)
    sizes[dim] = length
    rank = len(sizes)
    dynamic = ir.ShapedType.get_dynamic_size()
    static = [size if isinstance(size, int) else dynamic for size in sizes]
    kind = ir.RankedTensorType.get(static, ir.RankedTensorType(value.type).element_type)
    values = [size for size in sizes if isinstance(size, ir.Value)]
    return tensor.extract_slice(kind, value, [], values, [], [0] * rank, static, [1] * rank)


def _mirror(value: ir.Value, length: int) -> ir.Value:
    """All `length` coefficients of a real signal from the first half: x[n - i] is the conjugate of x[i]."""
    shaped = ir.RankedTensorType(value.type)
    last = shaped.rank - 1
    known = shaped.shape[last]
    shape = extents(value)
    shape[last] = length
    out = tensor.empty(shape, shaped.element_type)
    index = ir.IndexType.get()

    def body(block: ir.Block) -> Sequence[ir.Value]:
        del block
        place = [linalg.IndexOp(i).result for i in range(shaped.rank)]
        mirrored = arith.cmpi(arith.CmpIPredicate.sge, place[last], arith.constant(index, known))
        other = arith.subi(arith.constant(index, length), place[last])
        place[last] = arith.select(mirrored, other, place[last])
        x = tensor.extract(value, place)
        return [arith.select(mirrored, complex_.conj(x), x)]

    return build_generic(
        [], [out], [identity_map(shaped.rank)], [True] * shaped.rank, body, ir.Location.current
    ).results[0]
