"""Convolutions of single pixels with strides, which read a few pixels of their images.

    %y = conv 1x1, strides 2, of %x : 1x256x56x56    ->    %p = tensor.extract_slice %x[…] [1, 256, 28, 28] [1, 1, 2, 2]
                                                           %y = conv 1x1 of %p

A copy of the image to another order then moves those alone.
"""

from __future__ import annotations

import functools
import math

from mlirage import structured_ops
from mlirage.codegen.cpu.window_op import linear_terms
from mlirage.mlir import ir


def every_few_pixels(op: ir.Operation, image: ir.Value) -> tuple[ir.Value, ir.AffineMap] | None:
    """For a convolution of single pixels that reads only some: these, and how it reads them. None for any other op."""
    indexing, kind = structured_ops.indexing_maps(op)[0], ir.RankedTensorType(image.type)
    if structured_ops.multiply_add(op) is None or not kind.has_static_shape:
        return None
    extents = structured_ops.loop_extents(op)
    sizes, steps = list(kind.shape), [1] * kind.rank
    reads = list(indexing.results)
    for dim, expr in enumerate(reads):
        terms = linear_terms(expr)
        wide = {loop: factor for loop, factor in (terms or {}).items() if extents[loop] != 1}
        if not terms or len(wide) > 1:
            return None
        if not isinstance(expr, ir.AffineDimExpr):
            sizes[dim] = math.prod(extents[loop] for loop in wide)
            steps[dim] = math.prod(wide.values())
            loops = [ir.AffineExpr.get_dim(loop) for loop in sorted(terms)]
            reads[dim] = functools.reduce(ir.AffineExpr.get_add, loops)
    if all(step == 1 for step in steps):
        return None
    static = {"offsets": [0] * kind.rank, "sizes": sizes, "strides": steps}
    pixels = ir.Operation.create(
        "tensor.extract_slice",
        results=[ir.RankedTensorType.get(sizes, kind.element_type)],
        operands=[image],
        attributes={
            **{f"static_{name}": ir.DenseI64ArrayAttr.get(numbers) for name, numbers in static.items()},
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
        },
    )
    return pixels.results[0], ir.AffineMap.get(indexing.n_dims, 0, reads)
