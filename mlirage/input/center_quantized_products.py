"""input-center-quantized-products: linalg's products with zero points become products of centered integers.

    %r = linalg.conv_2d_nhwc_hwcf_q ins(%x, %w, %zx, %zw : …xi8, …xi8, i32, i32) outs(%o : …xi32)
    =>
    %c = linalg.generic ins(%x) { extsi x - %zx }                                     and the same for %w
    %r = linalg.conv_2d_nhwc_hwcf ins(%c, %d : …xi32, …xi32) outs(%o : …xi32)

global-optimization-multiply-integers knows such products. A zero point that is the constant 0 leaves its operand as is.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlirage.mlir import arith, ir, linalg, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.structured_ops import build_generic, identity_map
from mlirage.tensor_shapes import extents


@module_pass("input-center-quantized-products")
def center_quantized_products(program: Program) -> None:
    """Rewrites quantized_matmul, quantized_batch_matmul and every convolution whose name ends in `_q`."""
    for op in [op for op in walk(program.module.operation) if _plain_name(op) is not None]:
        with op.location, ir.InsertionPoint(op):
            _rewrite(op)


def _plain_name(op: ir.Operation) -> str | None:
    """The name of the same op without zero points."""
    if not op.name.startswith("linalg."):
        return None
    if op.name.endswith("_q"):
        return op.name.removesuffix("_q")
    return op.name.replace("quantized_", "") if "quantized_" in op.name else None


def _rewrite(op: ir.Operation) -> None:
    x, w, zero_x, zero_w, out = op.operands
    name = _plain_name(op)
    assert name is not None
    total = ir.RankedTensorType(out.type).element_type
    kept = {key: op.attributes[key] for key in ("strides", "dilations") if key in op.attributes}
    kept["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([2, 1])
    factors = [_centered(x, zero_x, total), _centered(w, zero_w, total)]
    new = ir.Operation.create(name, [op.results[0].type], [*factors, out], kept, regions=1)
    elements = [ir.RankedTensorType(value.type).element_type for value in new.operands]
    block = ir.Block.create_at_start(new.regions[0], elements, [op.location] * 3)
    with ir.InsertionPoint(block):
        a, b, acc = block.arguments
        product = arith.muli(_extended(a, total), _extended(b, total))
        linalg.yield_([arith.addi(acc, product)])
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()


def _extended(value: ir.Value, total: ir.Type) -> ir.Value:
    return value if value.type == total else arith.extsi(total, value)


def _centered(x: ir.Value, zero: ir.Value, total: ir.Type) -> ir.Value:
    if _is_zero(zero):
        return x
    rank = ir.RankedTensorType(x.type).rank
    out = tensor.empty(extents(x), total)

    def body(block: ir.Block) -> Sequence[ir.Value]:
        return [arith.subi(_extended(block.arguments[0], total), _extended(zero, total))]

    maps = [identity_map(rank)] * 2
    return build_generic([x], [out], maps, [True] * rank, body, ir.Location.current).results[0]


def _is_zero(value: ir.Value) -> bool:
    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return False
    attribute = owner.attributes["value"]
    return isinstance(attribute, ir.IntegerAttr) and attribute.value == 0
