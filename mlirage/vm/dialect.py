"""The vm dialect."""

from mlirage.mlir import ext


class Vm(ext.Dialect, name="vm"):
    """The vm dialect."""
