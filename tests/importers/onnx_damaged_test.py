"""Damaged ONNX files: an ImportFailure each, never another exception, a crash or a hang."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import parser

from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers.onnx import import_onnx
from mlirage.options import CompileOptions

MODEL = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,8,8] x, int64 k) => (float[N,5] y)
<float[3,5] v = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6}, int64[1] zero = {0}, int64[1] two = {2}, int64[2] flat = {0,-1}> {
  relu = Relu(x)
  pool = MaxPool<kernel_shape=[2,2], pads=[1,1,1,1], strides=[2,2]>(relu)
  mean = GlobalAveragePool(pool)
  rows = Reshape(mean, flat)
  turned = Transpose<perm=[1,0]>(rows)
  part = Slice(turned, zero, two, zero)
  both = Concat<axis=1>(part, part)
  soft = Softmax<axis=-1>(both)
  one = Gather<axis=1>(soft, k)
  more = Unsqueeze(one, zero)
  y = Gemm<alpha=0.5>(rows, v)
}"""


def damaged(model: bytes, seed: int) -> bytes:
    """A copy with some bytes changed, taken out or put in; or one cut short."""
    generator = random.Random(seed)
    data = bytearray(model)
    if seed % 10 == 0:
        return bytes(data[: generator.randrange(len(data))])
    for _ in range(generator.choice([1, 1, 2, 4])):
        place = generator.randrange(len(data))
        match generator.randrange(4):
            case 0:
                data[place] = generator.randrange(256)
            case 1 | 2:
                data[place] ^= 1 << generator.randrange(8)
            case _:
                del data[place]
    return bytes(data)


def try_models(path: str, count: int) -> None:
    """Imports `count` damaged models; a file names the last one tried."""
    model = Path(path).read_bytes()
    for seed in range(count):
        Path(path + ".seed").write_text(str(seed))
        with contextlib.suppress(MlirageError):
            import_onnx(damaged(model, seed), CompileOptions())


def test_damaged_models(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(MODEL).SerializeToString())
    program = f"from tests.importers.onnx_damaged_test import *; try_models({str(path)!r}, 600)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parent.parent.parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {Path(f'{path}.seed').read_text()}: {done.stderr[-2000:]}"


def test_names_that_are_no_text() -> None:
    """protobuf gives such names as bytes."""
    data = parser.parse_model(MODEL).SerializeToString()
    for name in (b"Transpose", b"soft", b"kernel_shape", b"flat"):
        with pytest.raises(ImportFailure, match=r"not an ONNX model, or damaged: \w+ b'.*' in .* is not UTF-8"):
            import_onnx(data.replace(name, b"\xff" + name[1:]), CompileOptions())
