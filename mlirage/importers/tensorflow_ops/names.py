"""Names of the operations that this package makes: the exporter needs them, and imports nothing of MLIR."""

from __future__ import annotations

NAMES = frozenset(
    {
        "AdjustContrastv2", "AdjustHue", "AdjustSaturation", "AvgPool", "AvgPool3D", "BandedTriangularSolve",
        "BatchToSpaceND", "BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "BesselJ0", "BesselJ1", "BesselK0",
        "BesselK0e", "BesselK1", "BesselK1e", "BesselY0", "BesselY1", "Betainc", "BroadcastArgs", "Bucketize", "Conv2D",
        "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "CropAndResize", "Cumprod", "Cumsum",
        "CumulativeLogsumexp", "Dawsn", "DenseBincount", "DepthToSpace", "DepthwiseConv2dNative", "Dilation2D", "Eig",
        "Einsum", "Erfinv", "Expint", "ExtractImagePatches", "FresnelCos", "FresnelSin", "HSVToRGB",
        "HistogramFixedWidth", "Igamma", "Igammac", "ListGet", "ListNew", "ListSet", "LogMatrixDeterminant", "Lu",
        "MatrixDeterminant", "MatrixDiagPartV3", "MatrixDiagV3", "MatrixInverse", "MatrixSetDiagV3", "MatrixSolve",
        "MaxPool", "MaxPool3D", "MaxPoolWithArgmax", "MirrorPad", "Ndtri", "OneHot", "Pad", "PadV2", "ParallelConcat",
        "RGBToHSV", "Range", "ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor",
        "ResizeNearestNeighborGrad", "ReverseSequence", "Roll", "ScaleAndTranslate", "SegmentMax", "SegmentMean",
        "SegmentMin", "SegmentProd", "SegmentSum", "SelfAdjointEigV2", "ShapeN", "Slice", "SpaceToBatchND",
        "SpaceToDepth", "Spence", "Split", "SplitV", "StridedSlice", "Svd", "Tile", "TopKV2", "TridiagonalMatMul",
        "TridiagonalSolve", "Unpack", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd",
        "UnsortedSegmentSum", "Where", "Zeta",
    }
)  # fmt: skip
"""Without the prefix `tf.`."""
