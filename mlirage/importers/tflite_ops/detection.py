"""Non-maximum suppression in rounds: the best box left is taken, those that overlap it are dropped or lose score.

Boxes of equal scores are taken in the order of their numbers; the kernels' heap has no rule for them. As in the kernels
of NON_MAX_SUPPRESSION, a box is dropped when it is taken because it overlaps itself: one without area is taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlirage.importers.tflite_ops.custom_options import read_options
from mlirage.importers.tflite_ops.registry import Node, tflite_op
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops, ordering
from mlirage.input.builders import scalar as s

_NOTHING = float("-inf")
_Corners = list[Scalar]  # y0, x0, y1, x1


def _corners(boxes: Tensor, number: Scalar) -> _Corners:
    v = [s.read(boxes, [number, k]) for k in range(4)]
    return [s.minimum(v[0], v[2]), s.minimum(v[1], v[3]), s.maximum(v[0], v[2]), s.maximum(v[1], v[3])]


def _overlap(p: _Corners, q: _Corners) -> Scalar:
    """Intersection over union; 0 where a box has no area."""
    height = s.maximum(s.minimum(p[2], q[2]) - s.maximum(p[0], q[0]), 0.0)
    width = s.maximum(s.minimum(p[3], q[3]) - s.maximum(p[1], q[1]), 0.0)
    shared = height * width
    first, second = ((r[2] - r[0]) * (r[3] - r[1]) for r in (p, q))
    return s.select((first > 0.0) & (second > 0.0), shared / (first + second - shared), 0.0)


def _rounds(
    boxes: Tensor, scores: Tensor, most: Dim, lowered: Callable[[Scalar, Scalar, Scalar], Scalar]
) -> tuple[Tensor, Tensor]:
    """Number (-1: none left) and score of the box that each round takes, in each row of scores.

    Args:
      boxes: [boxes, 4].
      scores: [rows, boxes]; minus infinity for boxes that are no candidates.
      most: number of rounds.
      lowered: the score that is left of one, given its overlap with the box taken, and whether it is that box.
    """
    count = scores.shape[1]

    def body(_: Dim, state: list[Tensor]) -> tuple[None, list[Tensor], list[Tensor]]:
        (rest,) = state
        best = b.arg_extreme(rest, 1, largest=True, last=False, keepdims=True)

        def following(score: Scalar, pick: Scalar) -> Scalar:
            box = s.index_of(1)
            chosen = s.clamp(s.cast(pick, b.INDEX), 0, b.dim_scalar(count) - 1)
            return lowered(score, _overlap(_corners(boxes, chosen), _corners(boxes, box)), box.eq(chosen))

        value = b.gather_elements(rest, best, 1)
        picked = b.where(b.map_(lambda a: a > _NOTHING, value, dtype=b.BOOL), best, Tensor.of(-1, b.INT64))
        return None, [b.map_(following, rest, best)], [b.squeeze(picked, [1]), b.squeeze(value, [1])]

    _, (numbers, values) = loops.loop(most, None, [scores], body)
    return b.transpose(numbers, [1, 0]), b.transpose(values, [1, 0])


def _to_length(x: Tensor, length: Dim) -> Tensor:
    """The elements followed by zeros."""
    return b.pad(x, [0], [length - x.shape[0]], 0)


def _suppress(
    node: Node, boxes: Tensor, scores: Tensor, limit: Tensor, iou: Tensor, least: Tensor, sigma: Tensor | None
) -> list[Tensor]:
    if any(node.is_quantized(i) for i in (0, 1)) or boxes.rank != 2 or scores.rank != 1:
        raise NotImplementedError(f"boxes {boxes} and scores {scores}: only float boxes [n, 4] and scores [n]")
    count = scores.shape[0]
    length = b.dims.maximum(limit.dims()[0], 0)
    most = b.dims.minimum(length, count)
    threshold, lowest = (b.reshape(x, ()) for x in (iou, least))
    decay = b.reshape(sigma, ()) if sigma is not None else None

    def lowered(score: Scalar, overlap: Scalar, _: Scalar) -> Scalar:
        left = score
        if decay is not None:
            width = s.read(decay, [])
            factor = s.select(width > 0.0, s.coerce(-0.5, b.FLOAT32) / width, 0.0)
            left = score * s.exp(factor * overlap * overlap)
        dropped = (overlap >= s.read(threshold, [])) | (left <= s.read(lowest, []))
        return s.select(dropped | score.eq(_NOTHING), _NOTHING, left)

    start = b.map_(lambda a, low: s.select(a > low, a, _NOTHING), scores, lowest)
    numbers, values = _rounds(boxes, b.unsqueeze(start, [0]), most, lowered)
    numbers, values = b.reshape(numbers, [most]), b.reshape(values, [most])
    candidates = b.sum_(b.map_(lambda a: s.cast(a > _NOTHING, b.INT32), start, dtype=b.INT32))

    def is_result(number: Scalar, limit: Scalar) -> Scalar:
        return (number >= 0) & (s.cast(s.index_of(0), b.INT32) < limit)

    taken = b.map_(is_result, numbers, candidates, dtype=b.BOOL, shape=(most,))
    found = b.sum_(b.cast(taken, b.INT32))
    zero = Tensor.of(0, b.INT64)
    picked = b.cast(_to_length(b.where(taken, numbers, zero), length), b.INT32)
    kept = _to_length(b.where(taken, values, Tensor.of(0.0, b.FLOAT32)), length)
    return [picked, kept, found]


@tflite_op
def NON_MAX_SUPPRESSION_V4(
    node: Node, boxes: Tensor, scores: Tensor, limit: Tensor, iou: Tensor, least: Tensor
) -> list[Tensor]:
    picked, _, found = _suppress(node, boxes, scores, limit, iou, least, None)
    return [picked, found]


@tflite_op
def NON_MAX_SUPPRESSION_V5(
    node: Node, boxes: Tensor, scores: Tensor, limit: Tensor, iou: Tensor, least: Tensor, sigma: Tensor
) -> list[Tensor]:
    """Softly: scores fall with the overlap (a Gaussian of width `sigma`), and overlapping boxes may still be taken."""
    return _suppress(node, boxes, scores, limit, iou, least, sigma)


@dataclass(frozen=True)
class _Settings:
    """The options of TFLite_Detection_PostProcess."""

    detections: int
    classes_per_detection: int
    detections_per_class: int
    regular: bool
    least_score: float
    overlap: float
    classes: int
    scales: tuple[float, float, float, float]

    @staticmethod
    def of(node: Node) -> _Settings:
        """Reads them.

        Raises:
          ValueError: one is missing or cannot be.
        """
        found = read_options(node.info.custom)
        wanted = ("max_detections", "max_classes_per_detection", "num_classes", "nms_iou_threshold", "y_scale")
        if missing := [name for name in wanted if name not in found]:
            raise ValueError(f"its options lack {', '.join(missing)}")
        settings = _Settings(
            int(found["max_detections"]),
            int(found["max_classes_per_detection"]),
            int(found.get("detections_per_class", 100)),
            bool(found.get("use_regular_nms", False)),
            float(np.float32(found.get("nms_score_threshold", 0.0))),
            float(np.float32(found["nms_iou_threshold"])),
            int(found["num_classes"]),
            tuple(float(np.float32(found.get(f"{axis}_scale", 1.0))) for axis in "yxhw"),  # pyright: ignore
        )
        counts = (settings.detections, settings.classes_per_detection, settings.detections_per_class, settings.classes)
        if min(counts) < 1 or max(counts) > 10**6 or not 0.0 < settings.overlap <= 1.0 or 0.0 in settings.scales:
            raise ValueError(f"its options cannot be: {settings}")
        return settings


def _decoded(encodings: Tensor, anchors: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Corners of the boxes [n, 4] from their offsets to anchors, calculated with f64 and rounded like the kernel."""

    def body(box: Scalar, corner: Scalar) -> Scalar:
        is_x = (corner % 2).eq(1)

        def pick(table: Tensor, start: int, wide: bool) -> Scalar:
            where = [s.coerce(0, b.INDEX), box] if wide else [box]
            y, x = (s.cast(s.read(table, [*where, s.coerce(start + k, b.INDEX)]), b.FLOAT64) for k in (0, 1))
            return s.select(is_x, x, y)

        def scale(start: int) -> Scalar:
            return s.select(is_x, s.coerce(scales[start + 1], b.FLOAT64), scales[start])

        anchor_size = pick(anchors, 2, False)
        center = pick(encodings, 0, True) / scale(0) * anchor_size + pick(anchors, 0, False)
        half = s.exp(pick(encodings, 2, True) / scale(2)) * 0.5 * anchor_size
        center, half = s.cast(center, b.FLOAT32), s.cast(half, b.FLOAT32)
        return s.select(corner < 2, center - half, center + half)

    return b.tabulate([encodings.shape[1], 4], b.FLOAT32, body)


def _real(node: Node, position: int, x: Tensor) -> Tensor:
    if x.dtype == b.FLOAT32:
        return x
    if x.dtype != b.UINT8:
        raise NotImplementedError(f"input {position} of {x.dtype}: the kernel takes f32 and uint8")
    known = node.quantization(position)
    zero, scale = float(known.zero_point), float(known.scale)
    return b.map_(lambda a: (s.cast(a, b.FLOAT32) - zero) * scale, x, dtype=b.FLOAT32)


@tflite_op
def CUSTOM_TFLite_Detection_PostProcess(
    node: Node, encodings: Tensor, predictions: Tensor, anchors: Tensor
) -> list[Tensor]:
    """Boxes, classes, scores and number of the detections of an SSD model."""
    settings = _Settings.of(node)
    if (encodings.rank, predictions.rank, anchors.rank) != (3, 3, 2):
        raise ValueError(f"boxes {encodings}, scores {predictions}, anchors {anchors}")
    if encodings.shape[0] != 1 or not isinstance(predictions.shape[2], int):
        raise NotImplementedError("only a batch of one image, and a known number of classes")
    background = predictions.shape[2] - settings.classes
    if background not in (0, 1):
        raise ValueError(f"{predictions.shape[2]} scores a box for {settings.classes} classes")
    boxes = _decoded(_real(node, 0, encodings), _real(node, 2, anchors), settings.scales)
    scores = b.slice_axis(b.squeeze(_real(node, 1, predictions), [0]), 1, background, settings.classes)
    make = _regular if settings.regular else _fast
    found, labels, values, count = make(settings, boxes, scores)
    return [b.unsqueeze(found, [0]), b.unsqueeze(labels, [0]), b.unsqueeze(values, [0]), b.reshape(count, [1])]


def _candidates(scores: Tensor, settings: _Settings) -> Tensor:
    return b.map_(lambda a: s.select(a >= settings.least_score, a, _NOTHING), scores)


def _hard(settings: _Settings) -> Callable[[Scalar, Scalar, Scalar], Scalar]:
    return lambda score, overlap, itself: s.select((overlap > settings.overlap) | itself, _NOTHING, score)


def _regular(settings: _Settings, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each class for itself, then the best of all."""
    most = b.dims.minimum(settings.detections_per_class, scores.shape[0])
    start = _candidates(b.transpose(scores, [1, 0]), settings)
    numbers, values = _rounds(boxes, start, most, _hard(settings))
    total = settings.classes * most
    numbers, values = b.reshape(numbers, [total]), b.reshape(values, [total])
    taken = b.map_(lambda i: i >= 0, numbers, dtype=b.BOOL)
    values = b.where(taken, values, Tensor.of(_NOTHING, b.FLOAT32))
    length = b.dims.minimum(settings.detections, total)
    best, places = ordering.topk(values, length, 0, largest=True)
    picked = b.gather(numbers, places, 0)
    labels = b.map_(lambda p: s.cast(p / s.cast(b.dim_scalar(most), b.INT64), b.FLOAT32), places, dtype=b.FLOAT32)
    return _filled(settings, boxes, picked, labels, best, settings.detections, 1)


def _fast(settings: _Settings, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes by their best class alone; each box taken is reported with its best classes."""
    start = b.unsqueeze(_candidates(b.amax(scores, [1], keepdims=False), settings), [0])
    most = b.dims.minimum(settings.detections, scores.shape[0])
    numbers, _ = _rounds(boxes, start, most, _hard(settings))
    numbers = b.reshape(numbers, [most])
    kinds = min(settings.classes_per_detection, settings.classes)
    values, labels = ordering.topk(scores, kinds, 1, largest=True)
    each = settings.classes_per_detection
    zero = b.map_(lambda i: s.maximum(i, 0), numbers)

    def rows(table: Tensor) -> Tensor:
        made = b.gather(b.cast(table, b.FLOAT32), zero, 0)
        return b.reshape(b.pad(made, [0, 0], [0, each - kinds], 0.0), [most * each])

    repeated = b.reshape(b.broadcast_to(b.unsqueeze(numbers, [1]), [most, each]), [most * each])
    unused = b.tabulate([most, each], b.BOOL, lambda _, k: k >= kinds)
    repeated = b.where(b.reshape(unused, [most * each]), Tensor.of(-1, b.INT64), repeated)
    return _filled(settings, boxes, repeated, rows(labels), rows(values), settings.detections * each, kinds)


def _filled(
    settings: _Settings, boxes: Tensor, numbers: Tensor, labels: Tensor, values: Tensor, length: int, kinds: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Zeros where nothing was taken, up to the length that the results always have."""
    taken = b.map_(lambda i: i >= 0, numbers, dtype=b.BOOL)
    rest = length - numbers.shape[0]

    def held(x: Tensor) -> Tensor:
        return b.pad(b.where(taken, x, Tensor.of(0.0, b.FLOAT32)), [0], [rest], 0.0)

    count = b.sum_(b.cast(taken, b.FLOAT32))
    if kinds > 1:
        count = b.map_(lambda n: n / float(kinds), count)
    chosen = b.gather(boxes, b.map_(lambda i: s.maximum(i, 0), numbers), 0)
    chosen = b.where(b.unsqueeze(taken, [1]), chosen, Tensor.of(0.0, b.FLOAT32))
    return b.pad(chosen, [0, 0], [rest, 0], 0.0), held(labels), held(values), count
