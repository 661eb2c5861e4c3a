"""Large models are compiled in about as much memory as their weights take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux says of processes")

# The peak of a process above what it takes for a small model of the same kind, in a process of its own.
MEASURE = """
import resource, sys
import mlirage

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def growth(compile, small, large, size):
    compile(small)
    before = peak()
    module = compile(large)
    assert len(module) >= size
    print((peak() - before) / size)
"""
ONNX = """
import onnx
from pathlib import Path
import numpy as np
from onnx import helper, TensorProto

def model(path, layers, width=2048):
    weights, nodes, x = [], [], "x"
    with Path(f"{path}.data").open("wb") as data:
        for i in range(layers):
            data.write(np.random.default_rng(i).standard_normal((width, width), np.float32).tobytes())
            size = width * width * 4
            weight = TensorProto(name=f"w{i}", data_type=1, dims=[width, width], data_location=1)
            for key, value in (("location", f"{path}.data"), ("offset", i * size), ("length", size)):
                weight.external_data.add(key=key, value=str(value))
            weights.append(weight)
            nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"y{i}"]))
            x = f"y{i}"
    ends = [helper.make_tensor_value_info(name, 1, ["n", width]) for name in ("x", x)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return layers * width * width * 4

model("small.onnx", 1)
size = model("large.onnx", 19)
growth(lambda path: mlirage.compile(path, cache_dir="off", jobs=1), "small.onnx", "large.onnx", size)
"""
PYTORCH = """
import warnings
warnings.simplefilter("ignore")
import torch

def net(layers, width=2048):
    return torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(layers)]).eval()

x = torch.ones(2, 2048)
large = net(12)
size = 12 * 2048 * 2048 * 4
growth(lambda net: mlirage.compile(net, (x,), cache_dir="off", jobs=1), net(1), large, size)
"""


def _growth(program: str, folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE + program], capture_output=True, text=True, cwd=folder, timeout=300, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout)


@pytest.mark.parametrize("program", [ONNX, PYTORCH], ids=["onnx", "pytorch"])
def test_peak(program: str, tmp_path: Path) -> None:
    """300 MB beside the model's file, 200 MB of PyTorch's tensors: no more than 1.3 times as much comes on top."""
    assert _growth(program, tmp_path) < 1.3
