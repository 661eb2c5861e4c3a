"""Operations of TensorFlow that its lowering to StableHLO does not know, one function each, on the tensor builders.

The exporter hands them through the lowering as custom calls (`calls.py`); here each becomes linalg, tensor and linalgx.
"""
