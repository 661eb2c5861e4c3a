"""Runs a .tflite model on zeros: `python examples/tflite/run.py MODEL.tflite`."""

from __future__ import annotations

import sys

import numpy as np

import mlirage


def main(path: str) -> None:
    """Compiles and runs; prints what comes out."""
    module = mlirage.load(mlirage.compile(path))
    for name, signature in module.signatures.items():
        arguments = signature.arguments
        shapes = [[d if isinstance(d, int) else 1 for d in argument.shape] for argument in arguments]
        inputs = [np.zeros(shape, argument.dtype) for shape, argument in zip(shapes, arguments, strict=True)]
        print(name, [(y.dtype.name, y.shape) for y in module[name](*inputs)])


if __name__ == "__main__":
    main(sys.argv[1])
