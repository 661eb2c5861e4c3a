"""The linalgx dialect: whole-tensor ops that linalg lacks (attention, sort, scan, scatter, …), one target for all importers."""

from mlirage.mlir import ext


class Linalgx(ext.Dialect, name="linalgx"):
    """Special ops on tensors beyond linalg."""
