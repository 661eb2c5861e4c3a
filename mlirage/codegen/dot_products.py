"""Dot-product instructions: every lane of a result adds the products of a few neighbours of both operands at once.

    lane += left[0] * right[lane][0] + … + left[depth-1] * right[lane][depth-1]

A contraction whose constant operand is packed for one (`pack-weights`) multiplies `depth` steps per instruction.
Integer ones are exact (sums wrap modulo 2^32, as additions one by one do); which signs an instruction takes decides
what the packing makes of the operands. The bf16 one adds in f32 without rounding products;
subnormals are zero to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import ir

_X86_BYTES = {64: "512", 32: "256", 16: "128"}


@dataclass(frozen=True)
class Narrow:
    """What a body multiplies before it widens it.

    Attributes:
      kind: "s" signed integer, "u" unsigned integer, "f" float.
      bits: width.
    """

    kind: str
    bits: int

    @property
    def element(self) -> ir.Type:
        """The element type in memory."""
        return ir.BF16Type.get() if self.kind == "f" else ir.IntegerType.get_signless(self.bits)


@dataclass(frozen=True)
class DotProduct:
    """One instruction.

    Attributes:
      depth: neighbours per lane.
      left: what is the same in all lanes.
      right: what differs from lane to lane.
      intrinsic: LLVM's name of it.
      lanes: of the result.
      accumulates: whether it takes the sum to add to; else an addition follows.
      scalable: whether its vectors are SVE's, of which it uses the first `lanes` lanes.
    """

    depth: int
    left: Narrow
    right: Narrow
    intrinsic: str
    lanes: int
    accumulates: bool = True
    scalable: bool = False


def dot_products(target: CpuTarget) -> tuple[DotProduct, ...]:
    """The instructions of a target, the fastest first."""
    found: list[DotProduct] = []
    s8, u8, s16, bf16 = Narrow("s", 8), Narrow("u", 8), Narrow("s", 16), Narrow("f", 16)
    size = target.vector_bytes
    lanes = size // 4
    if target.architecture == "x86_64":
        bits = _X86_BYTES[size]
        wide = size == 64
        vnni = target.has("avx512vnni") if wide else target.has("avxvnni") or _has_vl(target, "avx512vnni")
        if vnni:
            found.append(DotProduct(4, u8, s8, f"llvm.x86.avx512.vpdpbusd.{bits}", lanes))
            found.append(DotProduct(2, s16, s16, f"llvm.x86.avx512.vpdpwssd.{bits}", lanes))
        elif not wide or target.has("avx512bw"):
            name = {64: "avx512.pmaddw.d.512", 32: "avx2.pmadd.wd", 16: "sse2.pmadd.wd"}[size]
            if size != 32 or target.has("avx2"):
                found.append(DotProduct(2, s16, s16, f"llvm.x86.{name}", lanes, accumulates=False))
        if _has_vl(target, "avx512bf16"):
            found.append(DotProduct(2, bf16, bf16, f"llvm.x86.avx512bf16.dpbf16ps.{bits}", lanes))
    if target.uses_sve:
        found.append(DotProduct(4, s8, s8, "llvm.aarch64.sve.sdot.nxv4i32", lanes, scalable=True))
        if target.has("i8mm"):
            found.append(DotProduct(4, u8, s8, "llvm.aarch64.sve.usdot.nxv4i32", lanes, scalable=True))
        if target.has("bf16"):
            found.append(DotProduct(2, bf16, bf16, "llvm.aarch64.sve.bfdot", lanes, scalable=True))
    elif target.architecture == "aarch64":
        if target.has("dotprod"):
            found.append(DotProduct(4, s8, s8, "llvm.aarch64.neon.sdot.v4i32.v16i8", lanes))
        if target.has("i8mm"):
            found.append(DotProduct(4, u8, s8, "llvm.aarch64.neon.usdot.v4i32.v16i8", lanes))
        if target.has("bf16"):
            found.append(DotProduct(2, bf16, bf16, "llvm.aarch64.neon.bfdot.v4f32.v8bf16", lanes))
    return tuple(found)


def _has_vl(target: CpuTarget, feature: str) -> bool:
    return target.has(feature) and target.has("avx512vl")


def find_dot_product(left: Narrow, right: Narrow, target: CpuTarget) -> DotProduct | None:
    """The fastest instruction for factors of these types, one that takes their signs as they are before others.

    Signed bytes become unsigned ones by an offset on the way (and the reverse): the left operand may have either sign.
    Bytes become 16-bit integers where nothing takes them as they are.
    """
    for dot in sorted(dot_products(target), key=lambda dot: dot.left != left):
        if (dot.left.kind == "f") != (left.kind == "f") or (right.kind == "f") != (left.kind == "f"):
            continue
        if dot.left.kind == "f" and (left.bits, right.bits) == (16, 16):
            return dot
        if dot.depth == 4 and left.bits == 8 and right == dot.right:
            return dot
        if dot.depth == 2 and _fits_s16(left) and _fits_s16(right):
            return dot
    return None


def _fits_s16(number: Narrow) -> bool:
    return number.kind != "f" and (number.bits < 16 or number == Narrow("s", 16))


_EXTENSIONS: dict[str, str] = {"arith.extsi": "s", "arith.extui": "u", "arith.extf": "f"}


def narrow_factor(factor: ir.Value) -> tuple[ir.Value, Narrow] | None:
    """What a factor of a body is widened from: that value, and its type; None if it is not widened last."""
    if isinstance(factor.owner, ir.Block) or factor.owner.operation.name not in _EXTENSIONS:
        return None
    op = factor.owner.operation
    source = op.operands[0]
    if isinstance(source.type, ir.BF16Type):
        return source, Narrow("f", 16)
    if isinstance(source.type, ir.IntegerType) and source.type.width in (8, 16):
        return source, Narrow(_EXTENSIONS[op.name], source.type.width)
    return None


def narrow_factors(op: ir.Operation) -> tuple[Narrow, Narrow] | None:
    """What the body of a contraction multiplies, by input, if both factors are widened to 32 bits."""
    matched = structured_ops.multiply_add(op)
    accumulator = structured_ops.element_type(op.results[0].type)
    if matched is None or not isinstance(accumulator, ir.F32Type | ir.IntegerType) or accumulator.width != 32:
        return None
    first, second = narrow_factor(matched[1]), narrow_factor(matched[2])
    if first is None or second is None:
        return None
    return first[1], second[1]


def instruction_of(op: ir.Operation, right: int, group: int, target: CpuTarget) -> DotProduct | None:
    """The instruction that a contraction with an operand packed in groups of `group` was packed for."""
    types = narrow_factors(op)
    if types is None:
        return None

    def fits(dot: DotProduct) -> bool:
        left = types[1 - right]
        return dot.depth == group and dot.right == types[right] and (dot.left in (left, _as_s16(left)))

    return next(filter(fits, dot_products(target)), None)


def _as_s16(number: Narrow) -> Narrow | None:
    return Narrow("s", 16) if _fits_s16(number) else None
