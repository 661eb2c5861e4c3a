"""Execution models: the same numbers in each, what modules import and weigh, and what is asynchronous, counted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage
from benchmarks.models import transformer_layer
from mlirage.cli import main
from mlirage.cli.dump import describe
from mlirage.compiler import PHASES, lower
from mlirage.errors import CompileError, UsageError
from mlirage.module_file import ModuleFile
from mlirage.options import CompileOptions
from mlirage.runtime._runtime import Device
from mlirage.runtime.loaded_module import LoadedModule
from mlirage.vm.encode import encode_module
from tests.end_to_end.host_program_test import MODELS
from tests.flow.random_programs import RandomProgram
from tests.runtime.c_runtime_test import INCLUDES, SOURCES, WARNINGS

Array = np.ndarray[Any, Any]

MULTIPLY = """
func.func @main(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.mul ins(%a, %b : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}
"""
# What a module of each model may weigh, and the native modules that it imports.
LIMITS = {
    "async": (9 << 10, {"hal"}),
    "async-vmvx": (9 << 10, {"hal"}),
    "async-external": (9 << 10, {"hal"}),
    "inline-dynamic": (6553, {"hal_inline", "hal_loader"}),
    "inline-dynamic-vmvx": (6553, {"hal_inline", "hal_loader"}),
    "inline-static": (2150, {"hal_inline"}),
}


def imported_modules(module: bytes) -> set[str]:
    """The native modules that a module file needs."""
    return {entry.name.partition(".")[0] for entry in ModuleFile.decode(module).imports}


@pytest.mark.parametrize("model", MODELS)
def test_size_and_imports_of_a_small_module(model: str) -> None:
    module = mlirage.compile(MULTIPLY, **MODELS[model])
    limit, imports = LIMITS[model]
    print(f"multiply of 4 elements, {model}: {len(module)} bytes")
    assert len(module) <= limit
    assert imported_modules(module) == imports
    (result,) = mlirage.load(module)(np.arange(4, dtype=np.float32), np.full(4, 3, np.float32))
    np.testing.assert_array_equal(result, [0, 3, 6, 9])


def _onnx_model(nodes: list[Any], inputs: dict[str, list[Any]], results: dict[str, list[Any]], weights: Any) -> bytes:
    def values(shapes: dict[str, list[Any]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", values(inputs), values(results), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def _lstm(random: np.random.Generator, width: int) -> tuple[bytes, Any]:
    """A unidirectional LSTM over sequences of any length, and the same in numpy."""
    w, r = (random.uniform(-0.5, 0.5, (1, 4 * width, width)).astype(np.float32) for _ in range(2))
    b = random.uniform(-0.5, 0.5, (1, 8 * width)).astype(np.float32)
    node = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y", "h"], "lstm", hidden_size=width)
    shapes = {"y": ["steps", 1, 2, width], "h": [1, 2, width]}
    model = _onnx_model([node], {"x": ["steps", 2, width]}, shapes, {"w": w, "r": r, "b": b})

    def reference(x: Array) -> tuple[Array, Array]:
        def sigmoid(v: Array) -> Array:
            return 1 / (1 + np.exp(-v))

        h = c = np.zeros((2, width))
        rows: list[Array] = []
        for step in x.astype(np.float64):
            gates = step @ w[0].T + h @ r[0].T + b[0, : 4 * width] + b[0, 4 * width :]
            i, o, f, g = np.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            rows.append(h)
        return np.array(rows).reshape(len(x), 1, 2, width), h[None]

    return model, reference


@pytest.mark.parametrize("model", MODELS)
def test_lstm(model: str) -> None:
    """Sequences of several lengths, zeros among the inputs, with one module."""
    random = np.random.default_rng(3)
    source, reference = _lstm(random, 10)
    module = mlirage.compile(source, **MODELS[model])
    print(f"LSTM, {model}: {len(module)} bytes")
    run = mlirage.load(module)
    for steps in (1, 5, 12):
        x = random.standard_normal((steps, 2, 10)).astype(np.float32)
        x[steps // 2] = 0
        x[:, 0, ::3] = 0
        for result, expected in zip(run(x), reference(x), strict=True):
            np.testing.assert_allclose(result, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("model", MODELS)
def test_convolutions(model: str) -> None:
    """A small network of convolutions, pooling and a dense layer; ONNX's reference evaluates it too."""
    random = np.random.default_rng(5)
    weights = {
        "k1": random.standard_normal((5, 3, 3, 3)).astype(np.float32),
        "k2": random.standard_normal((7, 5, 3, 3)).astype(np.float32),
        "d": random.standard_normal((7, 11)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "k2"], ["c2"]),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"]),
    ]
    source = _onnx_model(nodes, {"x": ["batch", 3, 9, 11]}, {"y": ["batch", 11]}, weights)
    run = mlirage.load(mlirage.compile(source, **MODELS[model]))
    x = random.standard_normal((2, 3, 9, 11)).astype(np.float32)
    (expected,) = onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(source)).run(None, {"x": x})
    np.testing.assert_allclose(run(x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["async-external", "inline-dynamic", "inline-static"])
def test_compile_from_every_phase(model: str, tmp_path: Path) -> None:
    """Every dump goes on to the same bytes under the same options, and under no others."""
    source, _ = _lstm(np.random.default_rng(1), 4)
    options = MODELS[model] | {"outputs": "caller"}
    straight = bytes(mlirage.compile(source, dump_ir=str(tmp_path), **options))
    for number, phase in enumerate(PHASES, 1):
        dump = tmp_path / f"{number:02}-{phase.name}.mlir"
        assert bytes(mlirage.compile(dump, compile_from=phase.name, **options)) == straight, phase.name
        with pytest.raises(UsageError, match="outputs=caller"):
            mlirage.compile(dump, compile_from=phase.name)


# Outputs and scratch of the caller.

TWO_RESULTS = """
func.func @main(%a: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> (tensor<?x8xf32>, tensor<?xf32>) {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %d = tensor.dim %a, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%d) : tensor<?x8xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
  %m = linalg.matmul ins(%a, %w : tensor<?x8xf32>, tensor<8x8xf32>) outs(%f : tensor<?x8xf32>) -> tensor<?x8xf32>
  %m2 = linalg.matmul ins(%m, %w : tensor<?x8xf32>, tensor<8x8xf32>) outs(%f : tensor<?x8xf32>) -> tensor<?x8xf32>
  %e1 = tensor.empty(%d) : tensor<?xf32>
  %f1 = linalg.fill ins(%z : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %s = linalg.reduce ins(%m : tensor<?x8xf32>) outs(%f1 : tensor<?xf32>) dimensions = [1]
    (%in: f32, %init: f32) { %0 = arith.addf %in, %init : f32 linalg.yield %0 : f32 }
  return %m2, %s : tensor<?x8xf32>, tensor<?xf32>
}
"""


@pytest.mark.parametrize("model", MODELS)
def test_outputs_of_the_caller(model: str) -> None:
    """Results are where the caller said; wrong storage is refused before anything is written."""
    module = mlirage.load(mlirage.compile(TWO_RESULTS, outputs="caller", **MODELS[model]))
    run, size = module["main"], module["main.scratch_size"]
    random = np.random.default_rng(0)
    w = random.standard_normal((8, 8)).astype(np.float32)
    for rows in (1, 5, 64):
        a = random.standard_normal((rows, 8)).astype(np.float32)
        (count,) = size(a, w)
        y, s, scratch = np.zeros((rows, 8), np.float32), np.zeros(rows, np.float32), np.zeros(int(count), np.uint8)
        results = run(a, w, out=(y, s), scratch=scratch)
        np.testing.assert_allclose(y, a @ w @ w, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(s, (a @ w).sum(1), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(results[0], y)
        wrong = {
            "scratch": ((y, s), scratch[:-1], "scratch has not the bytes"),
            "shape": ((np.zeros((rows + 1, 8), np.float32), s), scratch, "output"),
            "type": ((y.astype(np.float64), s), scratch, "float64|f64"),
            "input": ((a, s), scratch, "memory is that of another argument"),
            "twice": ((y, y.reshape(-1)[:rows]), scratch, "memory is that of another argument"),
        }
        for out, memory, message in wrong.values():
            with pytest.raises(mlirage.MlirageError, match=message):
                run(a, w, out=out, scratch=memory)


@pytest.mark.parametrize("model", ["async", "inline-dynamic", "inline-static"])
def test_results_made_elsewhere_are_copied_out(model: str) -> None:
    """An argument, a constant, what a loop or a branch gives, one value twice: each in storage of its own."""
    run = mlirage.load(
        mlirage.compile(
            """
func.func @main(%x: tensor<4xf32>, %n: i64)
    -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %k = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %end = arith.index_cast %n : i64 to index
  %r = scf.for %i = %c0 to %end step %c1 iter_args(%a = %x) -> (tensor<4xf32>) {
    %e = tensor.empty() : tensor<4xf32>
    %b = linalg.add ins(%a, %k : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %b : tensor<4xf32>
  }
  %e1 = tensor.empty() : tensor<4xf32>
  %t = linalg.mul ins(%r, %x : tensor<4xf32>, tensor<4xf32>) outs(%e1 : tensor<4xf32>) -> tensor<4xf32>
  return %x, %k, %r, %t, %t : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}""",
            outputs="caller",
            **MODELS[model],
        )
    )
    x, k = np.arange(4, dtype=np.float32), np.arange(1, 5, dtype=np.float32)
    for count in (0, 1, 3):
        outputs = [np.full(4, -1, np.float32) for _ in range(5)]
        (size,) = run["main.scratch_size"]()
        run["main"](x, count, out=tuple(outputs), scratch=np.zeros(int(size), np.uint8))
        loop = x + count * k
        for given, expected in zip(outputs, (x, k, loop, loop * x, loop * x), strict=True):
            np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.mark.parametrize("model", ["async", "inline-dynamic", "inline-static"])
def test_peak_memory_equals_the_plan(model: str) -> None:
    """The most that a call holds is what the compiler has planned, told by `scratch_size`, and the results."""
    source, inputs = transformer_layer(sequence=16, width=64, heads=4)
    planned = mlirage.load(mlirage.compile(source, outputs="caller", **MODELS[model]), device="local-sync")
    (name,) = [name for name in planned.signatures if name.endswith(".scratch_size")]
    (plan,) = planned[name]()
    device = Device("local-sync")
    module = LoadedModule(bytes(mlirage.compile(source, **MODELS[model])), device)
    assert device.statistics["live_bytes"] == 0  # weights are used in the module's own memory
    results = module(*inputs.values())
    peak = device.statistics["peak_live_bytes"]
    print(f"{model}: plan {plan}, results {sum(r.nbytes for r in results)}, peak {peak} bytes")
    assert peak == plan + sum(result.nbytes for result in results)


# Without kernels.


def test_host_only() -> None:
    """Scalars alone: the module needs nothing. Tensors are refused with the ops that are the reason."""
    text = (Path(__file__).parents[1] / "stream/verify_host_only.mlir").read_text()
    module = mlirage.compile(text, execution_model="host-only")
    assert not ModuleFile.decode(module).imports
    assert mlirage.load(module)["collatz"](27) == (111,)
    with pytest.raises(CompileError, match=r"function @main takes or gives tensors(.|\n)*flow\.dispatch"):
        mlirage.compile(MULTIPLY, execution_model="host-only")


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="vmvx-inline is part of the module"):
        mlirage.compile(MULTIPLY, target_backend="vmvx-inline")
    with pytest.raises(UsageError, match="loads no kernels"):
        mlirage.compile(MULTIPLY, execution_model="inline-static", target_backend="vmvx")
    with pytest.raises(UsageError, match="expected one of async-internal, async-external"):
        mlirage.compile(MULTIPLY, execution_model="eager")


# From C, with counters.

CHAIN = """
func.func @main(%x: tensor<160x160xf32>, %w: tensor<160x160xf32>) -> tensor<160x160xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<160x160xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<160x160xf32>) -> tensor<160x160xf32>
  %m = linalg.matmul ins(%x, %w : tensor<160x160xf32>, tensor<160x160xf32>)
    outs(%f : tensor<160x160xf32>) -> tensor<160x160xf32>
  return %m : tensor<160x160xf32>
}
func.func @repeat(%x: tensor<4xf32>, %n: tensor<i64>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %count = tensor.extract %n[] : tensor<i64>
  %end = arith.index_cast %count : i64 to index
  %r = scf.for %i = %c0 to %end step %c1 iter_args(%a = %x) -> (tensor<4xf32>) {
    %e = tensor.empty() : tensor<4xf32>
    %b = linalg.add ins(%a, %a : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %b : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}
"""


SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """execution_models_main.c and the runtime, under sanitizers, as one object file."""
    path = tmp_path_factory.mktemp("objects") / "all.o"
    sources = [str(path) for path in (Path(__file__).with_name("execution_models_main.c"), *SOURCES)]
    command = ["gcc", *WARNINGS, *SANITIZE, *INCLUDES, "-r", *sources, "-o", str(path)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    return [str(path)]


def _link(folder: Path, objects: list[str]) -> Path:
    path = folder / "execution_models"
    command = ["gcc", *SANITIZE, *objects, "-o", str(path), "-ldl", "-lpthread", "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, objects: list[str]) -> Path:
    """The program."""
    return _link(tmp_path_factory.mktemp("program"), objects)


def _run(program: Path, *words: str | Path) -> str:
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    return done.stdout


@pytest.mark.parametrize("mode", ["chain", "failure", "cycle", "interleaved"])
def test_asynchronous_calls(program: Path, tmp_path: Path, mode: str) -> None:
    """100 calls issued before the first is done and awaited once; failures, cycles and let-go fences; coroutines."""
    module = tmp_path / "chain.mlirage"
    mlirage.compile(CHAIN, execution_model="async-external").save(module)
    output = _run(program, module, "local-task", mode)
    if mode == "chain":
        assert "100 calls issued with 0 dispatches done" in output
        assert "100 at the end" in output
    _run(program, module, "local-sync", mode)


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
@pytest.mark.parametrize("model", MODELS)
def test_calls_allocate_nothing(program: Path, tmp_path: Path, model: str, device: str) -> None:
    """Thousands of calls: no allocation, the same bytes live; also where the caller gives the memory."""
    count = 100_000 if device == "local-sync" else 10_000
    for mode, outputs in (("many", "callee"), ("caller", "caller")):
        module = tmp_path / f"{mode}.mlirage"
        mlirage.compile(MULTIPLY, outputs=outputs, **MODELS[model]).save(module)
        output = _run(program, module, device, mode, str(count))
        assert f"{count} calls, 0 allocations, 0 blocks more" in output
        if mode == "caller" and "vmvx" not in model:
            assert "0 blocks from the pool" in output


@pytest.mark.parametrize("model", MODELS)
def test_memory_runs_out(program: Path, tmp_path: Path, model: str) -> None:
    """At every allocation from the device to the result: an error, and nothing is left."""
    module = tmp_path / "multiply.mlirage"
    mlirage.compile(MULTIPLY, **MODELS[model]).save(module)
    for device in ("local-sync", "local-task"):
        assert "memory ran out at" in _run(program, module, device, "memory")


@pytest.mark.parametrize(("mode", "outputs"), [("many", "callee"), ("caller", "caller")])
def test_kernels_linked_into_the_program(objects: list[str], tmp_path: Path, mode: str, outputs: str) -> None:
    """inline-static with machine code: the module has no kernels, the program has; alone it says what it misses."""
    lowered = lower(MULTIPLY, CompileOptions(execution_model="inline-static", outputs=outputs))
    module = encode_module(lowered)
    assert imported_modules(module) == {"hal_inline", "module_executables"}
    assert len(module) <= LIMITS["inline-static"][0] + (400 if mode == "caller" else 0)
    kernels: list[str] = []
    for name, data in lowered.constants.items():
        if name.endswith(".o"):
            kernels.append(str(tmp_path / f"kernel{len(kernels)}.o"))
            Path(kernels[-1]).write_bytes(data.tobytes())
    (tmp_path / "multiply.mlirage").write_bytes(module)
    output = _run(_link(tmp_path, [*objects, *kernels]), tmp_path / "multiply.mlirage", "local-sync", mode, "1000")
    assert "imports what nothing provides: module_executables.dispatch" in output
    assert "1000 calls, 0 allocations, 0 blocks more" in output


def test_flags_spelt_as_in_iree(tmp_path: Path) -> None:
    """The command line takes IREE's names of the two options; `dump` shows that there is no HAL."""
    (tmp_path / "multiply.mlir").write_text(MULTIPLY)
    path = str(tmp_path / "multiply.mlirage")
    flags = ["--iree-execution-model=inline-static", "--iree-hal-target-backends=vmvx-inline", "-o", path]
    assert main(["compile", str(tmp_path / "multiply.mlir"), *flags]) == 0
    text = "\n".join(describe(ModuleFile.decode(Path(path).read_bytes()), 0))
    assert "hal_inline.buffer_allocate" in text
    assert "hal." not in text.replace("hal_inline.", "")


def random_program(seed: int, options: dict[str, str]) -> None:
    """A random program, in one model, with results in new memory and in the caller's, against numpy."""
    program = RandomProgram(seed, 10, dynamic=seed % 2 == 1, extents=(0, 1, 3, 5) if seed % 5 == 0 else (1, 2, 3, 7))
    run = mlirage.load(mlirage.compile(program.text, **options))
    expected = [value.array for value in program.results]
    for result, array in zip(run(*program.inputs), expected, strict=True):
        np.testing.assert_array_equal(result, array)
    run = mlirage.load(mlirage.compile(program.text, outputs="caller", **options))
    size = run["main.scratch_size"]
    (count,) = size(*program.inputs[: len(run.signatures["main.scratch_size"].arguments)])
    out = tuple(np.full(array.shape, 77, np.float32) for array in expected)
    run["main"](*program.inputs, out=out, scratch=np.empty(int(count), np.uint8))
    for result, array in zip(out, expected, strict=True):
        np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", [0, 1])
def test_random_programs(seed: int, model: str) -> None:
    random_program(seed, MODELS[model])
