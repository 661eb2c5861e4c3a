"""Cases of non-maximum suppression, SSD's post-processing, sparse look-ups and transforms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from tests.importers.tflite_cases import I8, I32, U8, Array, Case, F, T, f, ints, op, scalar
from tests.importers.tflite_models import ModelBuilder, Reference

C64 = np.complex64


def _boxes(count: int, seed: int) -> Array:
    """Corners in any order, with many overlaps and a box without area."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 1, (count, 2)) + rng.uniform(-0.5, 0.5, (2, count, 2))
    made = np.concatenate([corners[0], corners[1]], 1).astype(F)
    if count:
        made[-1, 2:] = made[-1, :2]
    return made


def _suppression() -> Iterator[Case]:
    for count, limit in ((17, 5), (17, 40), (1, 3), (0, 2), (64, 64)):
        given = [
            T((count, 4), F, value=_boxes(count, count)), f(count, low=0.0, high=1.0),
            scalar(limit), scalar(0.4, F), scalar(0.25, F),
        ]  # fmt: skip
        made = [T((limit,), I32), T((), I32)]
        options = {"NonMaxSuppressionV4Options": {}}
        yield op("NON_MAX_SUPPRESSION_V4", given, made, options, f"{count}-{limit}")
        for sigma in (0.0, 0.5):
            soft = {"NonMaxSuppressionV5Options": {}}
            yield op(
                "NON_MAX_SUPPRESSION_V5", [*given, scalar(sigma, F)], [made[0], f(limit), made[1]], soft,
                f"{count}-{limit}-{sigma}",
            )  # fmt: skip


def _post_processing(
    label: str, boxes: int, classes: int, quantized: bool, background: int = 1, **options: Any
) -> Case:
    fields = {
        "max_detections": 7, "max_classes_per_detection": 1, "num_classes": classes, "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.5, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0, **options,
    }  # fmt: skip
    length = fields["max_detections"] * fields["max_classes_per_detection"]

    def build(rng: np.random.Generator) -> tuple[bytes, list[Array]]:
        builder = ModelBuilder()
        anchors = rng.uniform(0.1, 0.9, (boxes, 4)).astype(F)
        wide = classes + background
        if quantized:
            arrays = [rng.integers(0, 256, (1, boxes, n)).astype(U8) for n in (4, wide)]
            inputs = [
                builder.input("boxes", (1, boxes, 4), U8, scale=0.05, zero=128),
                builder.input("scores", (1, boxes, wide), U8, scale=1 / 256, zero=0),
                builder.constant("anchors", (anchors * 255).astype(U8), scale=1 / 255, zero=0),
            ]
        else:
            arrays = [rng.normal(size=(1, boxes, 4)).astype(F), rng.uniform(0, 1, (1, boxes, wide)).astype(F)]
            inputs = [builder.input("boxes", (1, boxes, 4)), builder.input("scores", (1, boxes, wide))]
            inputs.append(builder.constant("anchors", anchors))
        shapes = ((1, length, 4), (1, length), (1, length), (1,))
        made = [builder.tensor(f"out{i}", shape) for i, shape in enumerate(shapes)]
        builder.node("TFLite_Detection_PostProcess", inputs, made, custom=bytes(flexbuffers.Dumps(fields)))
        return builder.finish(made), arrays

    def expected(*inputs: Array) -> list[Array]:
        """The kernel's results; what it leaves unwritten behind the last detection is 0 here."""
        data, _ = case.build(np.random.default_rng(case.seed))
        results = [np.array(x) for x in Reference(data)(*inputs)]
        kinds = fields["max_classes_per_detection"]
        if not fields.get("use_regular_nms"):
            used = np.arange(length) < int(results[3][0]) * kinds
            used &= np.arange(length) % kinds < min(kinds, classes)
            results[:3] = [np.where(used.reshape(1, -1, *([1] * (x.ndim - 2))), x, 0).astype(F) for x in results[:3]]
        return results

    case = Case(f"TFLite_Detection_PostProcess-{label}", build, expected=expected)
    return case


def _detections() -> Iterator[Case]:
    yield _post_processing("fast", 40, 3, False)
    yield _post_processing("fast-uint8", 40, 3, True)
    yield _post_processing("fast-classes", 19, 3, False, max_classes_per_detection=2)
    yield _post_processing("fast-more-classes", 19, 2, False, max_classes_per_detection=3)
    yield _post_processing("fast-few", 3, 4, False, background=0)
    yield _post_processing("fast-none", 9, 4, False, nms_score_threshold=2.0)
    yield _post_processing("regular", 40, 3, False, use_regular_nms=True, detections_per_class=5)
    yield _post_processing("regular-default", 23, 5, False, use_regular_nms=True)
    yield _post_processing("regular-few", 2, 2, False, use_regular_nms=True, max_detections=9)


def _look_ups() -> Iterator[Case]:
    places = ints([0, 0], [0, 2], [1, 1], [3, 0], [3, 1])
    for combiner, name in enumerate(("sum", "mean", "sqrtn")):
        given = [ints(1, 0, 4, 2, 1), places, ints(4, 3), f(5, low=0.5), f(5, 2, 3)]
        options = {"EmbeddingLookupSparseOptions": {"Combiner": combiner}}
        yield op("EMBEDDING_LOOKUP_SPARSE", given, [f(4, 2, 3)], options, name)


def _complex() -> Iterator[Case]:
    for name in ("REAL", "IMAG"):
        yield op(name, [T((3, 5), C64)], [f(3, 5)])
    yield op("COMPLEX_ABS", [T((3, 5), C64)], [f(3, 5)])
    for shape, size in (((3, 8, 16), (8, 16)), ((5, 7), (8, 4)), ((2, 1, 3, 3), (2, 2)), ((1, 1), (1, 2))):
        made = T((*shape[:-2], size[0], size[1] // 2 + 1), C64)
        label = "x".join(map(str, (*shape, *size)))
        yield op("RFFT2D", [f(*shape), ints(*size)], [made], {"Rfft2dOptions": {}}, label)


def _windows() -> Iterator[Case]:
    functions = {"add": 1, "mul": 2, "min": 3, "max": 4}
    for name, number in functions.items():
        for dtype in (F, I32, I8):
            given = [
                T((7, 9), dtype), scalar(0 if name != "mul" else 1, dtype), *(ints(*v, dtype=np.int64)
                for v in ((3, 2), (2, 1), (1, 3))),
            ]  # fmt: skip
            options = {"ReduceWindowOptions": {"ReduceFunction": number}}
            yield op("REDUCE_WINDOW", given, [T((3, 6), dtype)], options, f"{name}-{np.dtype(dtype).name}")


def cases() -> Iterator[Case]:
    """All of them."""
    for group in (_suppression, _detections, _look_ups, _complex, _windows):
        yield from group()
