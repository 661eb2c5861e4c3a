"""The interface of ONNX Runtime: the same program runs on both, and gives the same."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import mlirage
from mlirage.errors import UsageError

MODEL = """
  <ir_version: 9, opset_import: ["" : 18], producer_name: "me", model_version: 3, metadata_props: ["task": "test"]>
  net (float[n, 4] x, int64[2] k) => (float[n, 4] y, int64[2] s)
  {
    y = Relu(x)
    s = Add(k, k)
  }"""
X = np.arange(-4, 8, dtype=np.float32).reshape(3, 4)
K = np.array([5, 7])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


@pytest.fixture(params=["onnxruntime", "mlirage.onnxruntime"])
def ort(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


def test_the_same_program_runs_on_both(ort: Any, path: Path) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert ort.get_device() == "CPU"
    inputs, outputs = session.get_inputs(), session.get_outputs()
    assert [(i.name, i.type, i.shape) for i in inputs] == [
        ("x", "tensor(float)", ["n", 4]),
        ("k", "tensor(int64)", [2]),
    ]
    assert [o.name for o in outputs] == ["y", "s"]
    y, s = session.run(None, {"x": X, "k": K})
    np.testing.assert_array_equal(y, np.maximum(X, 0))
    np.testing.assert_array_equal(s, 2 * K)
    (s,) = session.run(["s"], {"x": X, "k": K})
    np.testing.assert_array_equal(s, 2 * K)
    s, y = session.run(["s", "y"], {"k": K, "x": X[:0]})
    assert y.shape == (0, 4)
    meta = session.get_modelmeta()
    assert (meta.producer_name, meta.graph_name, meta.version) == ("me", "net", 3)
    assert meta.custom_metadata_map == {"task": "test"}
    for names, feed in ((None, {"x": X}), (None, {"x": X, "k": K, "z": X}), (["q"], {"x": X, "k": K})):
        with pytest.raises(Exception, match=r"k|z|q"):
            session.run(names, feed)
    with pytest.raises(Exception, match=r"type|float32"):
        session.run(None, {"x": X.astype(np.int32), "k": K})


def test_io_binding(ort: Any, path: Path) -> None:
    session = ort.InferenceSession(path)
    binding = session.io_binding()
    binding.bind_cpu_input("x", X)
    binding.bind_ortvalue_input("k", ort.OrtValue.ortvalue_from_numpy(K))
    target = np.empty((3, 4), np.float32)
    binding.bind_output("y", "cpu", 0, np.float32, [3, 4], target.ctypes.data)
    binding.bind_output("s")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(target, np.maximum(X, 0))
    y, s = binding.copy_outputs_to_cpu()
    np.testing.assert_array_equal(y, target)
    np.testing.assert_array_equal(s, 2 * K)
    assert [value.shape() for value in binding.get_outputs()] == [[3, 4], [2]]
    other = np.ascontiguousarray(X[::-1])
    binding.bind_input("x", "cpu", 0, np.float32, other.shape, other.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(target, np.maximum(other, 0))


def test_ort_values(ort: Any, path: Path) -> None:
    session = ort.InferenceSession(path)
    x, k = (ort.OrtValue.ortvalue_from_numpy(array) for array in (X, K))
    assert (x.shape(), x.data_type(), x.device_name(), x.is_tensor()) == ([3, 4], "tensor(float)", "cpu", True)
    y, s = session.run_with_ort_values(["y", "s"], {"x": x, "k": k})
    np.testing.assert_array_equal(y.numpy(), np.maximum(X, 0))
    np.testing.assert_array_equal(s.numpy(), 2 * K)


def test_run_async(ort: Any, path: Path) -> None:
    session = ort.InferenceSession(path)
    done, got = threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        got.append((results, user_data, error))
        done.set()

    session.run_async(["s"], {"x": X, "k": K}, callback, "mine")
    assert done.wait(30)
    ((results, user_data, error),) = got
    assert (user_data, error) == ("mine", "")
    np.testing.assert_array_equal(results[0], 2 * K)


def test_sources(path: Path, tmp_path: Path) -> None:
    """Models and modules, as paths, bytes and objects."""
    from mlirage import onnxruntime as ort

    model = onnx.load(path)
    module = mlirage.compile(path)
    module.save(tmp_path / "net.bin")
    for source in (str(path), path.read_bytes(), model, bytes(module), tmp_path / "net.bin"):
        session = ort.InferenceSession(source)
        np.testing.assert_array_equal(session.run(["y"], {"x": X, "k": K})[0], np.maximum(X, 0))
    options = ort.SessionOptions(optimized_model_filepath=str(tmp_path / "saved.mlirage"))
    ort.InferenceSession(path, options)
    assert (tmp_path / "saved.mlirage").read_bytes() == module
    with pytest.raises(UsageError, match="available are"):
        ort.InferenceSession(path, providers=["CUDAExecutionProvider"])


def test_sequences(tmp_path: Path) -> None:
    text = """
      <ir_version: 9, opset_import: ["" : 18]>
      net (seq(float[n]) xs) => (float[m] joined, seq(float[n]) out)
      {
        joined = ConcatFromSequence <axis = 0> (xs)
        out = Identity(xs)
      }"""
    path = tmp_path / "seq.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    from mlirage import onnxruntime as ort

    session = ort.InferenceSession(path)
    assert [(i.name, i.type) for i in session.get_inputs()] == [("xs", "seq(tensor(float))")]
    assert [o.name for o in session.get_outputs()] == ["joined", "out"]
    xs = [np.ones(2, np.float32), np.zeros(3, np.float32)]
    joined, out = session.run(None, {"xs": xs})
    np.testing.assert_array_equal(joined, np.concatenate(xs))
    for a, b in zip(out, xs, strict=True):
        np.testing.assert_array_equal(a, b)
