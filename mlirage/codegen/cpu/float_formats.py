"""Small floats on processors without them: conversions in integer arithmetic, everything else in f32.

    %c = arith.addf %a, %b : bf16
      ─>
    %x = arith.extf %a : bf16 to f32;  …;  %s = arith.addf %x, %y : f32;  %c = arith.truncf %s : f32 to bf16

and the conversions that are no instructions become shifts, masks and one rounding. They round to nearest even,
keep NaNs, and round once: f64 goes through an f32 rounded to odd. Runs on scalars, so vectors get it for free.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.configuration import Entry
from mlirage.codegen.dot_products import instruction_of
from mlirage.codegen.target import CpuTarget
from mlirage.contractions import match_contraction
from mlirage.mlir import arith, ir

_P, _I = arith.CmpFPredicate, arith.CmpIPredicate
_ARITHMETIC = (
    "arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.negf", "arith.maximumf", "arith.minimumf",
    "arith.maxnumf", "arith.minnumf", "arith.cmpf", "math.fma", "math.sqrt", "math.absf", "math.copysign",
)  # fmt: skip


# LLVM makes `maximum (fpext …)` an op on bf16 again and rounds its result by the instruction that flushes denormals: on
# bf16 these compute with halves of f32 instead.
_EXACT = ("arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf")


@dataclass(frozen=True)
class Format:
    """A float type of 8 or 16 bits.

    Attributes:
      exponent, mantissa: widths.
      bias: of the exponent.
      infinities: "ieee", "fn" (none; NaN is all ones) or "fnuz" (none, no -0; NaN is the sign bit alone).
    """

    exponent: int
    mantissa: int
    bias: int
    infinities: str = "ieee"

    @property
    def bits(self) -> int:
        """Width of the type."""
        return 1 + self.exponent + self.mantissa

    @property
    def infinity(self) -> int:
        """The first representation above the finite ones, sign aside."""
        if self.infinities == "ieee":
            return ((1 << self.exponent) - 1) << self.mantissa
        return (1 << (self.bits - 1)) - (1 if self.infinities == "fn" else 0)

    @property
    def nan(self) -> int:
        """A quiet NaN."""
        if self.infinities == "ieee":
            return self.infinity | 1 << (self.mantissa - 1)
        return (1 << (self.bits - 1)) - 1 if self.infinities == "fn" else 1 << (self.bits - 1)


FORMATS = {
    "f16": Format(5, 10, 15),
    "bf16": Format(8, 7, 127),
    "f8E5M2": Format(5, 2, 15),
    "f8E4M3FN": Format(4, 3, 7, "fn"),
    "f8E4M3": Format(4, 3, 7),
    "f8E5M2FNUZ": Format(5, 2, 16, "fnuz"),
    "f8E4M3FNUZ": Format(4, 3, 8, "fnuz"),
    "f8E4M3B11FNUZ": Format(4, 3, 11, "fnuz"),
    "f8E3M4": Format(3, 4, 3),
}


def expand_floats(entry: Entry, target: CpuTarget) -> None:
    """Rewrites every op on floats that the target has no instruction for."""
    for op in list(entry.walk()):
        types = [v.type for v in (*op.operands, *op.results)]
        if op.name in ("arith.maxnumf", "arith.minnumf") and isinstance(types[0], ir.FloatType):
            _replace(op, _number_of_two(op))
        elif op.name in _ARITHMETIC and any(str(t) in FORMATS and not _computes(str(t), target) for t in types):
            _replace(op, _in_f32(op))
    for op in list(entry.walk()):
        if op.name in ("arith.extf", "arith.truncf", "arith.sitofp", "arith.uitofp", "arith.fptosi", "arith.fptoui"):
            result = _conversion(op, target)
            if result is not None:
                _replace(op, result)


def _replace(op: ir.Operation, result: ir.Value) -> None:
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _computes(kind: str, target: CpuTarget) -> bool:
    """Whether the target has arithmetic on `kind`."""
    if kind != "f16":
        return False
    feature = {"x86_64": "avx512fp16", "aarch64": "fullfp16", "riscv64": "zvfh"}.get(target.architecture)
    return feature is not None and target.has(feature)


def _converts(kind: str, target: CpuTarget) -> bool:
    """Whether conversions between `kind` and f32 are instructions."""
    if target.architecture == "vm":
        return kind in ("f16", "bf16")
    if kind == "f16":
        if target.architecture == "x86_64":
            return target.has("f16c") or target.has("avx512f")
        return target.architecture == "aarch64" or _computes(kind, target)
    if target.architecture == "aarch64":
        return kind == "bf16" and target.has("bf16")
    return kind == "bf16" and target.architecture == "x86_64" and target.has("avx512bf16") and target.has("avx512vl")


def _flushes(to: ir.Type, target: CpuTarget) -> bool:
    """Whether the instruction that rounds f32 to `to` makes denormals 0: x86's to bf16 does, whatever the mode."""
    return isinstance(to, ir.BF16Type) and target.architecture == "x86_64"


def _keep_denormals(value: ir.Value, rounded: ir.Value) -> ir.Value:
    """`rounded`, or the f32 `value` rounded to bf16 in integers where it is denormal, which the instruction flushes."""
    i32 = ir.IntegerType.get_signless(32)
    bits = arith.bitcast(i32, value)
    exponent = arith.andi(bits, arith.constant(i32, 0x7F800000))
    is_denormal = arith.cmpi(_I.eq, exponent, arith.constant(i32, 0))
    odd = arith.andi(arith.shrui(bits, arith.constant(i32, 16)), arith.constant(i32, 1))
    nearest = arith.shrui(arith.addi(arith.addi(bits, arith.constant(i32, 0x7FFF)), odd), arith.constant(i32, 16))
    bf16 = arith.bitcast(ir.BF16Type.get(), arith.trunci(ir.IntegerType.get_signless(16), nearest))
    return arith.select(is_denormal, bf16, rounded)


def _in_f32(op: ir.Operation) -> ir.Value:
    """The op on operands extended to f32."""
    f32 = ir.F32Type.get()
    with ir.InsertionPoint(op), op.location:
        narrow = op.results[0].type
        by_bits = isinstance(narrow, ir.BF16Type) and op.name in _EXACT
        wide = [
            _from_upper_half(v) if by_bits else arith.extf(f32, v) if str(v.type) in FORMATS else v for v in op.operands
        ]
        clone = op.clone(ip=ir.InsertionPoint(op))
        for number, value in enumerate(wide):
            clone.operands[number] = value
        if str(narrow) not in FORMATS:
            return clone.results[0]
        attributes = {a if isinstance(a, str) else a.name: None for a in op.attributes}
        rebuilt = ir.Operation.create(
            op.name,
            results=[f32],
            operands=wide,
            attributes={name: op.attributes[name] for name in attributes},
            loc=op.location,
        )
        clone.erase()
        if by_bits:
            return _upper_half(rebuilt.results[0])
        return arith.truncf(narrow, rebuilt.results[0])


def _from_upper_half(value: ir.Value) -> ir.Value:
    """A bf16 as f32, in integers."""
    i16, i32 = (ir.IntegerType.get_signless(width) for width in (16, 32))
    raw = arith.extui(i32, arith.bitcast(i16, value))
    return arith.bitcast(ir.F32Type.get(), arith.shli(raw, arith.constant(i32, 16)))


def _upper_half(value: ir.Value) -> ir.Value:
    """An f32 that is a bf16, as that."""
    i32 = ir.IntegerType.get_signless(32)
    upper = arith.shrui(arith.bitcast(i32, value), arith.constant(i32, 16))
    return arith.bitcast(ir.BF16Type.get(), arith.trunci(ir.IntegerType.get_signless(16), upper))


def _number_of_two(op: ir.Operation) -> ir.Value:
    """maxnumf and minnumf: the greater (smaller) one, and the number if one is NaN."""
    a, b = op.operands
    predicate = _P.OGT if op.name == "arith.maxnumf" else _P.OLT
    with ir.InsertionPoint(op), op.location:
        f32 = ir.F32Type.get()
        wide_a, wide_b = (arith.extf(f32, v) if str(v.type) in FORMATS else v for v in (a, b))
        first = arith.ori(arith.cmpf(predicate, wide_a, wide_b), arith.cmpf(_P.UNO, wide_b, wide_b))
        return arith.select(first, a, b)


def _conversion(op: ir.Operation, target: CpuTarget) -> ir.Value | None:
    """The conversion without instructions that the target lacks; None if it has what it takes."""
    source, to = op.operands[0], op.results[0].type
    name = op.name.removeprefix("arith.")
    small_source, small_to = str(source.type) in FORMATS, str(to) in FORMATS
    if not small_source and not small_to:
        return None
    f32, f64 = ir.F32Type.get(), ir.F64Type.get()
    with ir.InsertionPoint(op), op.location:
        if name in ("sitofp", "uitofp"):
            convert = arith.sitofp if name == "sitofp" else arith.uitofp
            wide = f32 if source.type.width <= 16 else f64
            return _narrow(convert(wide, source), to, target)
        if name in ("fptosi", "fptoui"):
            convert = arith.fptosi if name == "fptosi" else arith.fptoui
            return convert(to, _widen(source, target))
        if name == "extf":
            if not isinstance(to, ir.F32Type) or not _converts(str(source.type), target):
                wide = _widen(source, target)
                if isinstance(to, ir.F32Type):
                    return wide
                return arith.extf(to, wide) if not small_to else _narrow(wide, to, target)
            return None
        if isinstance(source.type, ir.F32Type) and _converts(str(to), target) and not _flushes(to, target):
            return None
        if not small_source and _converts(str(to), target) and _comes_flushed(source, target):
            return None
        return _narrow(_widen(source, target) if small_source else source, to, target)


def _comes_flushed(value: ir.Value, target: CpuTarget) -> bool:
    """Whether an element is a sum that was packed for an instruction to which denormals are 0: bf16 times bf16."""
    if not isinstance(value, ir.BlockArgument):
        return False
    op = value.owner.owner.operation
    if not structured_ops.is_structured(op):
        return False
    source = op.operands[value.arg_number]
    contraction = None if isinstance(source.owner, ir.Block) else match_contraction(source.owner.operation)
    if contraction is None or contraction.group == 1:
        return False
    dot = instruction_of(contraction.op, contraction.right, contraction.group, target)
    return dot is not None and dot.left.kind == "f"


def _widen(value: ir.Value, target: CpuTarget) -> ir.Value:
    """A small float as f32, exactly."""
    f32, i32 = ir.F32Type.get(), ir.IntegerType.get_signless(32)
    kind = str(value.type)
    if _converts(kind, target):
        return arith.extf(f32, value)
    form = FORMATS[kind]

    def i(number: int) -> ir.Value:
        return arith.constant(i32, number)

    if kind == "bf16":
        return _from_upper_half(value)
    raw = arith.extui(i32, arith.bitcast(ir.IntegerType.get_signless(form.bits), value))
    magnitude = arith.andi(raw, i((1 << (form.bits - 1)) - 1))
    sign = arith.shli(arith.andi(raw, i(1 << (form.bits - 1))), i(32 - form.bits))
    shifted = arith.bitcast(f32, arith.shli(magnitude, i(23 - form.mantissa)))
    scaled = arith.bitcast(i32, arith.mulf(shifted, arith.constant(f32, 2.0 ** (127 - form.bias))))
    if form.infinities == "fnuz":
        special = arith.cmpi(_I.eq, raw, i(form.nan))
        return arith.bitcast(f32, arith.select(special, i(0x7FC00000), arith.ori(scaled, sign)))
    if form.infinities == "fn":
        special = arith.cmpi(_I.eq, magnitude, i(form.nan))
        return arith.bitcast(f32, arith.ori(arith.select(special, i(0x7FC00000), scaled), sign))
    special = arith.cmpi(_I.uge, magnitude, i(form.infinity))
    kept = arith.ori(arith.shli(magnitude, i(23 - form.mantissa)), i(0x7F800000))
    return arith.bitcast(f32, arith.ori(arith.select(special, kept, scaled), sign))


def _narrow(value: ir.Value, to: ir.Type, target: CpuTarget) -> ir.Value:
    """f32 or f64 rounded to a small float, once, to nearest even."""
    if isinstance(value.type, ir.F64Type):
        value = _round_to_odd(value)
    if _converts(str(to), target):
        if not _flushes(to, target):
            return arith.truncf(to, value)
        return _keep_denormals(value, arith.truncf(to, value))
    form = FORMATS[str(to)]
    f32, i32 = ir.F32Type.get(), ir.IntegerType.get_signless(32)
    narrow = ir.IntegerType.get_signless(form.bits)

    def i(number: int) -> ir.Value:
        return arith.constant(i32, number - (1 << 32) if number >= 1 << 31 else number)

    bits = arith.bitcast(i32, value)
    sign = arith.shrui(arith.andi(bits, i(1 << 31)), i(32 - form.bits))
    a = arith.andi(bits, i(0x7FFFFFFF))
    shift = 23 - form.mantissa
    odd = arith.andi(arith.shrui(a, i(shift)), i(1))
    rounding = ((form.bias - 127) << 23) + (1 << (shift - 1)) - 1
    normal = arith.shrui(arith.addi(arith.addi(a, i(rounding & 0xFFFFFFFF)), odd), i(shift))
    if form.bias != 127:
        # below the smallest normal number an addition rounds at the right place
        magic = ((127 - form.bias) + shift + 1) << 23
        sum_ = arith.addf(arith.bitcast(f32, a), arith.bitcast(f32, i(magic)))
        denormal = arith.subi(arith.bitcast(i32, sum_), i(magic))
        normal = arith.select(arith.cmpi(_I.ult, a, i((128 - form.bias) << 23)), denormal, normal)
    # numbers from the first one that rounds to infinity on
    limit = ((form.infinity >> form.mantissa) - form.bias + 127) << 23 if form.infinities == "ieee" else None
    overflow = arith.cmpi(_I.uge, normal, i(form.infinity))
    huge = arith.cmpi(
        _I.uge, a, i(limit if limit is not None else (form.infinity << shift) + ((127 - form.bias) << 23))
    )
    beyond = form.infinity if form.infinities == "ieee" else form.nan
    result = arith.select(arith.ori(overflow, huge), i(beyond), normal)
    is_nan = arith.cmpi(_I.ugt, a, i(0x7F800000))
    result = arith.select(is_nan, i(form.nan), result)
    if form.infinities == "fnuz":
        plain = arith.cmpi(_I.ne, result, i(form.nan))
        nonzero = arith.cmpi(_I.ne, result, i(0))
        result = arith.select(arith.andi(plain, nonzero), arith.ori(result, sign), result)
    else:
        result = arith.ori(result, sign)
    return arith.bitcast(to, arith.trunci(narrow, result))


def _round_to_odd(value: ir.Value) -> ir.Value:
    """f64 as f32 such that rounding it again rounds `value` once: what is inexact has an odd last bit."""
    f32, f64, i32 = ir.F32Type.get(), ir.F64Type.get(), ir.IntegerType.get_signless(32)
    nearest = arith.truncf(f32, value)
    back = arith.extf(f64, nearest)
    bits = arith.bitcast(i32, nearest)
    inexact = arith.cmpf(_P.ONE, back, value)
    i64 = ir.IntegerType.get_signless(64)
    mask = arith.constant(i64, (1 << 63) - 1)
    larger = arith.cmpi(_I.ugt, arith.andi(arith.bitcast(i64, back), mask), arith.andi(arith.bitcast(i64, value), mask))
    toward_zero = arith.subi(bits, arith.extui(i32, larger))
    odd = arith.ori(toward_zero, arith.constant(i32, 1))
    return arith.bitcast(f32, arith.select(inexact, odd, bits))
