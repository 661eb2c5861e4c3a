"""Products of narrow integers lane by lane, as depthwise convolutions of quantized numbers sum them.

%x = arith.extui %pixel; %y = arith.subi %x, 128; %w = arith.extsi %weight; total + %y * %w      i32
  ─>
vpdpwssd total, [y, ·], [w, 0]       pairs of 16-bit numbers, one of each 0: exact, an instruction for all of it
"""

from __future__ import annotations

from dataclasses import dataclass

from mlirage import structured_ops
from mlirage.codegen.cpu.elements import Elements
from mlirage.codegen.dot_products import DotProduct, Narrow, dot_products, narrow_factor
from mlirage.codegen.target import CpuTarget
from mlirage.mlir import arith, ir, llvm, vector

_LOW_HALF = 0xFFFF


@dataclass(frozen=True)
class IntegerProduct:
    """How a body multiplies an image's elements by a filter's.

    Attributes:
      dot: an instruction for pairs of 16-bit numbers.
      extension: the op that widens the image's elements.
      center: what is taken off them then.
      weight: the type of the filter's elements.
    """

    dot: DotProduct
    extension: str
    center: int
    weight: Narrow

    def add(self, elements: Elements, pixel: ir.Value, weight: ir.Value, total: ir.Value) -> ir.Value:
        """total + (ext(pixel) - center) * ext(weight), in every lane."""
        i32 = ir.IntegerType.get_signless(32)
        wide = elements.type_of(i32)
        x = arith.extsi(wide, pixel) if self.extension == "arith.extsi" else arith.extui(wide, pixel)
        w = arith.extsi(wide, weight) if self.weight.kind == "s" else arith.extui(wide, weight)
        if self.center:
            x = arith.subi(x, elements.spread(arith.constant(i32, self.center)))
        if self.center or self.extension == "arith.extsi":  # the upper halves of the other factor are 0
            w = arith.andi(w, elements.spread(arith.constant(i32, _LOW_HALF)))
        pairs = ir.VectorType.get([2 * self.dot.lanes], ir.IntegerType.get_signless(16))
        factors = [vector.bitcast(pairs, x), vector.bitcast(pairs, w)]
        if self.dot.accumulates:
            return llvm.call_intrinsic(wide, self.dot.intrinsic, [total, *factors], [], [])
        return arith.addi(total, llvm.call_intrinsic(wide, self.dot.intrinsic, factors, [], []))


def find_integer_product(op: ir.Operation, lanes: int, target: CpuTarget) -> IntegerProduct | None:
    """The products of a window op by an instruction of the target; None if it has none for them.

    Args:
      op: input 0 is the image, input 1 the filter.
      lanes: of its vectors.
      target: the processor.
    """
    matched = structured_ops.multiply_add(op)
    if matched is None or str(structured_ops.element_type(op.results[0].type)) != "i32":
        return None
    first, second = structured_ops.body(op).arguments[0], structured_ops.body(op).arguments[1]
    image, weight = _centered(matched[1]), narrow_factor(matched[2])
    if image is None or weight is None or image[0].operands[0] != first or weight[0] != second:
        return None
    fits = weight[1] in (Narrow("s", 8), Narrow("u", 8), Narrow("s", 16))
    if not fits or not isinstance(first.type, ir.IntegerType) or first.type.width != 8:
        return None
    for dot in dot_products(target):
        if dot.depth == 2 and dot.left == dot.right == Narrow("s", 16) and dot.lanes == lanes:
            return IntegerProduct(dot, image[0].name, image[1], weight[1])
    return None


def zero_point(op: ir.Operation) -> int:
    """The element of the image that a window's products take for 0, as the signed number of its bits."""
    matched = structured_ops.multiply_add(op)
    assert matched is not None
    image = _centered(matched[1])
    if image is None:
        return 0
    bits = ir.IntegerType(image[0].operands[0].type).width
    center = image[1]
    return center - (1 << bits) if image[0].name == "arith.extui" and center >= 1 << (bits - 1) else center


def _centered(factor: ir.Value) -> tuple[ir.Operation, int] | None:
    """A widened integer from which a small constant may be taken off: the extension, and the constant."""
    op = None if isinstance(factor.owner, ir.Block) else factor.owner.operation
    center = 0
    if op is not None and op.name == "arith.subi":
        constant = op.operands[1].owner
        if isinstance(constant, ir.Block) or constant.operation.name != "arith.constant":
            return None
        center = ir.IntegerAttr(constant.operation.attributes["value"]).value
        inner = op.operands[0].owner
        op = None if isinstance(inner, ir.Block) else inner.operation
    if op is None or op.name not in ("arith.extsi", "arith.extui") or not -255 <= center <= 255:
        return None
    return op, center
