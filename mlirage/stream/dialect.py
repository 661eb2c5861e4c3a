"""The stream dialect."""

from mlirage.mlir import ext


class Stream(ext.Dialect, name="stream"):
    """The stream dialect."""
