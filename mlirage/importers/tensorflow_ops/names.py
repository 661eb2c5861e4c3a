"""Names of the operations that this package makes: the exporter needs them, and imports nothing of MLIR."""

from __future__ import annotations

NAMES = frozenset(
    {
        "BandedTriangularSolve", "BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "BesselJ0", "BesselJ1", "BesselK0",
        "BesselK0e", "BesselK1", "BesselK1e", "BesselY0", "BesselY1", "Betainc", "CropAndResize", "Cumprod", "Cumsum",
        "Dawsn", "DenseBincount", "Dilation2D", "Eig", "Einsum", "Expint", "FresnelCos", "FresnelSin",
        "HistogramFixedWidth", "Igamma", "Igammac", "ListGet", "ListNew", "ListSet", "LogMatrixDeterminant", "Lu",
        "MatrixDeterminant", "MatrixInverse", "MatrixSolve", "MaxPoolWithArgmax", "ParallelConcat", "ResizeArea",
        "ResizeBicubic", "ResizeNearestNeighborGrad", "ScaleAndTranslate", "SegmentMax", "SegmentMean", "SegmentMin",
        "SegmentProd", "SegmentSum", "SelfAdjointEigV2", "Spence", "StridedSlice", "Svd", "TridiagonalMatMul",
        "TridiagonalSolve", "Unpack", "Zeta",
    }
)  # fmt: skip
"""Without the prefix `tf.`."""
