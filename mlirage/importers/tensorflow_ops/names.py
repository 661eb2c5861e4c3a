"""Names of the operations that this package makes: the exporter needs them, and imports nothing of MLIR."""

from __future__ import annotations

NAMES = frozenset(
    {
        "BandedTriangularSolve", "CropAndResize", "Cumprod", "Cumsum", "DenseBincount", "Dilation2D", "Eig",
        "HistogramFixedWidth", "ListGet", "ListNew", "ListSet", "LogMatrixDeterminant", "Lu",
        "MatrixDeterminant", "MatrixInverse", "MatrixSolve", "MaxPoolWithArgmax", "ResizeArea", "ResizeBicubic",
        "ResizeNearestNeighborGrad", "ScaleAndTranslate", "SegmentMax", "SegmentMean", "SegmentMin",
        "SegmentProd", "SegmentSum", "SelfAdjointEigV2", "StridedSlice", "Svd", "TridiagonalMatMul",
        "TridiagonalSolve", "Unpack",
    }
)  # fmt: skip
"""Without the prefix `tf.`."""
