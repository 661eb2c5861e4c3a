"""Entry points whose innermost loops must all work on vectors, whatever the shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import mlirage
from mlirage.cli import main
from mlirage.codegen.cpu.loop_remarks import GUESS, hot_loops, scalar_loops
from mlirage.module_file import ModuleFile
from tests.codegen.abi import compile_entries
from tests.codegen.elementwise_test import elementwise
from tests.codegen.loops_test import chain, softmax, tensor_type

_FUNCTIONS = ("exp", "log", "tanh", "erf", "sin", "cos", "sqrt", "rsqrt", "floor", "log1p", "expm1", "atan", "powf")


def _scalar(text: str, target: str = "host") -> list[str]:
    library = compile_entries(text, target=target)
    return [str(loop) for files in library.files.values() for loop in scalar_loops(files["optimized.ll"])]


@pytest.mark.parametrize("target", ["host", "x86_64-unknown-linux-gnu:x86-64-v3"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_functions_are_vectorized(dynamic: bool, target: str) -> None:
    texts: list[str] = []
    for name in _FUNCTIONS:
        operands = "%a, %a" if name == "powf" else "%a"
        texts.append(elementwise(name, ["f32"], "f32", (5003,), f"    %v = math.{name} {operands} : f32", dynamic))
    texts.append(elementwise("half", ["f16"], "f16", (5003,), "    %v = arith.addf %a, %a : f16", dynamic))
    texts.append(elementwise("brain", ["bf16"], "bf16", (5003,), "    %v = arith.mulf %a, %a : bf16", dynamic))
    texts.append(elementwise("bytes", ["i8"], "i32", (5003,), "    %v = arith.extsi %a : i8 to i32", dynamic))
    texts.append(elementwise("pick", ["i1", "f32"], "f32", (5003,), "    %v = arith.select %a, %b, %b : f32", dynamic))
    assert _scalar("\n".join(texts), target) == []


@pytest.mark.parametrize("dynamic", [False, True])
def test_softmax_is_vectorized(dynamic: bool) -> None:
    assert _scalar(softmax("s", (64,), 1003, dynamic)) == []


def test_pooling_over_columns_is_vectorized() -> None:
    source, result = tensor_type((1, 15, 15, 67)), tensor_type((1, 7, 7, 67))
    body = f"""  %ninf = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : {result}
  %k = tensor.empty() : tensor<3x3xf32>
  %f = linalg.fill ins(%ninf : f32) outs(%e : {result}) -> {result}
  %y = linalg.pooling_nhwc_max {{strides = dense<2> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}}
      ins(%x, %k : {source}, tensor<3x3xf32>) outs(%f : {result}) -> {result}"""
    assert _scalar(chain("pool", f"%x: {source}", result, body)) == []


def test_a_scalar_loop_is_reported() -> None:
    recurrence = """
func.func @scan(%a: tensor<1000xf32>) -> tensor<1000xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 1000 : index
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1000xf32>
  %y:2 = scf.for %i = %c0 to %n step %c1 iter_args(%t = %e, %s = %zero) -> (tensor<1000xf32>, f32) {
    %x = tensor.extract %a[%i] : tensor<1000xf32>
    %m = arith.mulf %s, %x : f32
    %v = arith.addf %m, %x : f32
    %u = tensor.insert %v into %t[%i] : tensor<1000xf32>
    scf.yield %u, %v : tensor<1000xf32>, f32
  }
  return %y#0 : tensor<1000xf32>
}"""
    (report,) = _scalar(recurrence)
    assert "scan" in report
    assert "scalar" in report


def _loop(trips: int | str, body: str) -> str:
    return f"""
define void @f(ptr %p, i64 %n) {{
entry:
  br label %outer
outer:
  %i = phi i64 [ 0, %entry ], [ %i.next, %outer.end ]
  br label %inner
inner:
  %j = phi i64 [ 0, %outer ], [ %j.next, %inner ]
{body}
  %j.next = add nuw nsw i64 %j, 1
  %done = icmp eq i64 %j.next, {trips}
  br i1 %done, label %outer.end, label %inner
outer.end:
  %i.next = add i64 %i, 4
  %more = icmp ult i64 %i.next, 400
  br i1 %more, label %outer, label %end
end:
  ret void
}}
"""


def test_runs_are_counted() -> None:
    body = "  %q = getelementptr float, ptr %p, i64 %j\n  %x = load float, ptr %q\n  store float %x, ptr %p"
    (loop,) = scalar_loops(_loop(7, body))
    assert (loop.runs, loop.is_guess, loop.instructions) == (700, False, 7)
    assert hot_loops(_loop(7, body)) == []  # 4900 instructions: not worth a word
    (loop,) = hot_loops(_loop(70, body))
    assert loop.work == 7000 * 7
    (loop,) = scalar_loops(_loop("%n", body))
    assert (loop.runs, loop.is_guess) == (GUESS * 100, True)
    vectors = body.replace("float %x", "<4 x float> %x").replace("load float", "load <4 x float>")
    assert scalar_loops(_loop(70, vectors)) == []


def test_the_option_names_dispatch_and_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A running sum cannot be vectorized; an addition is."""
    tensor = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("CumSum", ["x", "axis"], ["y"], name="/running"),
        onnx.helper.make_node("Mul", ["x", "x"], ["z"], name="/square"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [tensor("x", 1, [65536])],
        [tensor("y", 1, [65536]), tensor("z", 1, [65536])],
        [onnx.numpy_helper.from_array(np.array(0), "axis")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    assert main(["compile", str(path), "--check-vectorization"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "is scalar" in line]
    assert lines
    assert all(line.startswith("/running: main$") for line in lines), lines
    facts = ModuleFile.read_dispatches(path.with_suffix(".mlirage").read_bytes())
    assert {facts[name]["nodes"][0] for name in facts if facts[name]["scalar_loops"]} == {"/running"}
    assert main(["compile", str(path)]) == 0
    assert "is scalar" not in capsys.readouterr().err


def test_short_rows_are_copied_as_vectors() -> None:
    """A loop of 64 iterations that is unrolled whole is 64 scalar copies."""
    part, whole = "tensor<1x29x17x64xf32>", "tensor<1x29x17x128xf32>"
    module = mlirage.compile(
        f"func.func @main(%a: {part}, %b: {part}) -> {whole} {{\n"
        f"  %y = tensor.concat dim(3) %a, %b : ({part}, {part}) -> {whole}\n  return %y : {whole}\n}}",
        check_vectorization=True,
    )
    facts = ModuleFile.read_dispatches(module).values()
    assert len(facts) == 2
    assert not any(fact["scalar_loops"] for fact in facts)
    a, b = (np.random.default_rng(seed).normal(size=(1, 29, 17, 64)).astype(np.float32) for seed in (0, 1))
    (result,) = mlirage.load(module)(a, b)
    np.testing.assert_array_equal(result, np.concatenate([a, b], 3))
