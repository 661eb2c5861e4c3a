"""Non-maximum suppression."""

from __future__ import annotations

from mlirage.importers.onnx_ops.registry import Node, onnx_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops, ordering
from mlirage.input.builders import scalar as s


def _corners(boxes: Tensor, center: bool, batch: Scalar, box: Scalar) -> list[Scalar]:
    """y0, x0, y1, x1 of a box, in order."""
    v = [s.read(boxes, [batch, box, k]) for k in range(4)]
    if center:
        x, y, width, height = v
        return [y - height * 0.5, x - width * 0.5, y + height * 0.5, x + width * 0.5]
    return [s.minimum(v[0], v[2]), s.minimum(v[1], v[3]), s.maximum(v[0], v[2]), s.maximum(v[1], v[3])]


def _overlap(p: list[Scalar], q: list[Scalar]) -> Scalar:
    """Intersection over union."""
    height = s.maximum(s.minimum(p[2], q[2]) - s.maximum(p[0], q[0]), 0.0)
    width = s.maximum(s.minimum(p[3], q[3]) - s.maximum(p[1], q[1]), 0.0)
    shared = height * width
    union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - shared
    return s.select(union > 0.0, shared / union, 0.0)


@onnx_op()
def NonMaxSuppression(
    node: Node,
    boxes: Tensor,
    scores: Tensor,
    limit: Tensor | None = None,
    iou_threshold: Tensor | None = None,
    score_threshold: Tensor | None = None,
) -> Tensor:
    """Picks the best box left and drops those that overlap it, in rounds, for all batches and classes at once."""
    count = scores.shape[2]
    center = bool(node.get("center_point_box", 0))
    most: Dim = b.dims.maximum(limit.dims()[0], 0) if limit is not None else 0
    most = b.dims.minimum(most, count)
    nothing = float("-inf")
    threshold = b.scalar_of(iou_threshold) if iou_threshold is not None else s.coerce(0.0, b.FLOAT32)
    left = b.cast(scores, b.FLOAT32)
    if score_threshold is not None:
        least = b.scalar_of(score_threshold)
        left = b.map_(lambda a: s.select(a > least, a, nothing), left)

    def body(_: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        (rest,) = state
        best = b.arg_extreme(rest, 2, largest=True, last=False, keepdims=True)

        def following(a: Scalar, pick: Scalar) -> Scalar:
            batch, box = s.index_of(0), s.index_of(2)
            chosen = s.clamp(s.cast(pick, b.INDEX), 0, b.dim_scalar(count) - 1)
            overlap = _overlap(_corners(boxes, center, batch, chosen), _corners(boxes, center, batch, box))
            return s.select((overlap > threshold) | box.eq(chosen), nothing, a)

        value = b.gather_elements(rest, best, 2)
        picked = b.where(b.map_(lambda a: a > nothing, value, dtype=b.BOOL), best, Tensor.of(-1, b.INT64))
        return None, [b.map_(following, rest, best)], [b.squeeze(picked, [2])]

    _, (rounds,) = loops.loop(most, None, [left], body)
    table = b.transpose(rounds, [1, 2, 0])
    places = ordering.true_positions(b.map_(lambda i: i >= 0, table, dtype=b.BOOL))
    batch, label, _ = ordering.unravel(places, table.shape)
    box = b.gather(b.reshape(table, [b.product(table.shape)]), places, 0)
    return b.concatenate([b.unsqueeze(column, [1]) for column in (batch, label, box)], 1)
