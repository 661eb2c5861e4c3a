"""`mlirage check` of every framework's models: equal as they are, and the node by name where the compiler is wrong."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlirage import checking, compiler
from mlirage.cli import main
from mlirage.mlir import arith, describe_location, ir, walk

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations


def _pytorch(folder: Path) -> Path:
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)).eval()
    program = torch.export.export(net, (torch.randn(4, 3),), dynamic_shapes=({0: torch.export.Dim("batch", max=99)},))
    torch.export.save(program, folder / "net.pt2")
    return folder / "net.pt2"


def _jax(folder: Path) -> Path:
    import jax
    import jax.numpy as jnp
    from jax import export

    weight = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)

    def net(x: Any, scale: Any) -> Any:
        return {"y": jnp.tanh(x @ weight) * scale["s"], "z": (x.sum(),)}

    symbols = export.symbolic_shape("batch, 3")
    spec = jax.ShapeDtypeStruct(symbols, np.float32)
    exported = export.export(jax.jit(net))(spec, {"s": jax.ShapeDtypeStruct((), np.float32)})
    (folder / "net.jax").write_bytes(exported.serialize())
    return folder / "net.jax"


def _tensorflow(folder: Path) -> Path:
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            random = np.random.default_rng(0)
            self.w = tf.Variable(random.normal(size=(3, 5)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
        def main(self, x: Any) -> Any:
            h = tf.tanh(tf.nn.relu(x) @ self.w, name="squash")
            return {"y": h + 1.0, "n": tf.reduce_sum(h, 1)}

    net = Net()
    tf.saved_model.save(net, str(folder / "saved"), signatures={"serve": net.main})
    return folder / "saved"


def _tflite(folder: Path) -> Path:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    x = tf.keras.Input((3,), batch_size=2)
    y = tf.keras.layers.Dense(4, activation="tanh")(x)
    model = tf.keras.Model(x, tf.keras.layers.Dense(2)(y))
    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (folder / "net.tflite").write_bytes(data)
    return folder / "net.tflite"


MLIR = """
func.func @main(%x: tensor<?x3xf32>, %i: tensor<3xui8>) -> (tensor<?x3xf32>, tensor<3xui8>) {
  %a = stablehlo.add %x, %x : tensor<?x3xf32> loc("sum")
  %b = stablehlo.tanh %a : tensor<?x3xf32> loc("squash")
  %c = stablehlo.multiply %b, %b : tensor<?x3xf32> loc("square")
  %d = stablehlo.divide %i, %i : tensor<3xui8>
  return %c, %d : tensor<?x3xf32>, tensor<3xui8>
}
func.func @other(%x: tensor<4x4xf64>) -> tensor<4x4xf64> {
  %y = stablehlo.cholesky %x, lower = true : tensor<4x4xf64>
  return %y : tensor<4x4xf64>
}
"""


def _mlir(folder: Path) -> Path:
    (folder / "net.mlir").write_text(MLIR)
    return folder / "net.mlir"


CASES: list[tuple[Callable[[Path], Path], list[str], str]] = [
    (_pytorch, ["--dim=s77=3"], "tanh"),
    (_jax, ["--dim=batch=4"], "tanh"),
    (_tensorflow, [], "squash"),
    (_tflite, [], "Tanh"),
    (_mlir, ["--function=main"], "squash"),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0].__name__[1:])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str]:
    make, flags, node = request.param
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(tmp_path_factory.mktemp("models")), flags, node


def test_equal(case: tuple[Path, list[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    path, _, _ = case
    flags = ["--function=main"] if path.suffix == ".mlir" else []
    assert main(["check", str(path), *flags]) == 0, capsys.readouterr()
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(" ")[0] for line in lines} <= {"[ok]", "main:", "serve:"}


def _breaking(node: str) -> Any:
    """A pass like a fault of the compiler: what is computed for a node is twice as large."""

    def break_node(program: Any) -> None:
        for op in list(walk(program.module.operation)):
            if op.name != "linalg.generic":
                continue
            inside = {inner.operation.name for inner in op.regions[0].blocks[0].operations}
            if node.lower() in describe_location(op.location).lower() or "math.tanh" in inside:
                end = list(op.regions[0].blocks[0].operations)[-1].operation
                with ir.InsertionPoint(end), op.location:
                    value = end.operands[0]
                    if isinstance(value.type, ir.FloatType):
                        end.operands[0] = arith.addf(value, value)

    break_node.pass_name = "test-break"  # type: ignore[attr-defined]
    return break_node


def test_names_the_first_node(
    case: tuple[Path, list[str], str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, node = case
    broken = [
        dataclasses.replace(phase, pipeline=(_breaking(node),)) if phase.name == "preprocessing" else phase
        for phase in compiler.PHASES
    ]
    monkeypatch.setattr(compiler, "PHASES", tuple(broken))
    flags = ["--function=main"] if path.suffix == ".mlir" else []
    assert main(["check", str(path), *flags]) == 1
    out = capsys.readouterr().out
    assert "[FAILED]" in out
    assert "the first node that differs is " in out
    assert node.lower() in out.split("the first node that differs is ")[1].split(":")[0].lower()


def test_all_functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each function on its own; NaNs are equal."""
    assert main(["check", str(_mlir(tmp_path))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "main:"
    assert "other:" in lines


def test_given_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _mlir(tmp_path)
    np.savez(tmp_path / "x.npz", x=np.ones((5, 3), np.float32), i=np.array([0, 1, 2], np.uint8))
    npz = tmp_path / "x.npz"
    assert main(["check", str(path), "--function=main", f"--input=@{npz}", f"--input=+{npz}"]) == 0
    assert "float32[5, 3]" in capsys.readouterr().out


def test_objects() -> None:
    """From Python, modules with state and inputs that change are checked, too."""
    import torch

    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Any, pair: Any, times: int) -> Any:
            self.calls.add_(1)
            x.mul_(times)
            return {"sum": x + pair[0], "calls": self.calls + 1}

    x, y = np.ones(2, np.float32), np.arange(2, dtype=np.float32)
    example = (torch.ones(2), (torch.ones(2),), 3)
    report = checking.check(Counter(), [x, y], example)
    assert report.is_equal
    assert [output.type_text for output in report.outputs] == ["float32[2]", "float32[1]", "float32[2]"]
    assert x.tolist() == [1, 1]


def test_wrong_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(_mlir(tmp_path)), "--reference=onnx"]) == 2
    assert "MLIR's own lowering" in capsys.readouterr().err
    assert main(["check", str(_mlir(tmp_path)), "--function=none"]) == 2
    assert "no function 'none'; the model has main, other" in capsys.readouterr().err
