"""outputs="caller": results and scratch lie in memory that is given, and nothing is allocated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage import runtime
from mlirage.errors import MlirageError, UsageError

TEXT = """
  func.func @main(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> (tensor<?x8xf32>, tensor<?xf32>) {
    %zero = arith.constant 0 : index
    %n = tensor.dim %x, %zero : tensor<?x8xf32>
    %c = arith.constant 0.0 : f32
    %e = tensor.empty(%n) : tensor<?x8xf32>
    %f = linalg.fill ins(%c : f32) outs(%e : tensor<?x8xf32>) -> tensor<?x8xf32>
    %y = linalg.matmul ins(%x, %w : tensor<?x8xf32>, tensor<8x8xf32>) outs(%f : tensor<?x8xf32>) -> tensor<?x8xf32>
    %y2 = linalg.matmul ins(%y, %w : tensor<?x8xf32>, tensor<8x8xf32>) outs(%f : tensor<?x8xf32>) -> tensor<?x8xf32>
    %e1 = tensor.empty(%n) : tensor<?xf32>
    %f1 = linalg.fill ins(%c : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
    %s = linalg.reduce ins(%y2 : tensor<?x8xf32>) outs(%f1 : tensor<?xf32>) dimensions = [1]
      (%a: f32, %b: f32) { %t = arith.addf %a, %b : f32 linalg.yield %t : f32 }
    return %y2, %s : tensor<?x8xf32>, tensor<?xf32> }"""
X = np.arange(24, dtype=np.float32).reshape(3, 8)
W = np.roll(np.eye(8, dtype=np.float32), 1, axis=1)
WANTED = X @ W @ W


@pytest.fixture(scope="module")
def run() -> Any:
    return mlirage.load(mlirage.compile(TEXT, outputs="caller"))


def scratch_for(run: Any, *arguments: Any) -> Any:
    sizes = run["main.scratch_size"]
    wanted = run.signatures["main.scratch_size"].arguments
    return np.empty(sizes(*arguments) if wanted else sizes(), np.uint8)


def test_results_are_what_was_given(run: Any) -> None:
    y, s, scratch = np.empty((3, 8), np.float32), np.empty(3, np.float32), scratch_for(run, X, W)
    results = run(X, W, out=(y, s), scratch=scratch)
    assert results[0] is y
    assert results[1] is s
    np.testing.assert_array_equal(y, WANTED)
    np.testing.assert_array_equal(s, WANTED.sum(axis=1))
    assert str(run.signatures["main"]).count("output") == 0  # what the source takes, and no more


def test_nothing_is_allocated(run: Any) -> None:
    y, s, scratch = np.empty((3, 8), np.float32), np.empty(3, np.float32), scratch_for(run, X, W)
    run(X, W, out=(y, s), scratch=scratch)
    before = run.device.statistics
    for _ in range(200):
        run(X, W, out=(y, s), scratch=scratch)
    after = run.device.statistics
    for key in ("allocations", "allocated_bytes", "peak_bytes", "live_bytes"):
        assert after[key] == before[key]


def test_device_arrays_are_outputs_too(run: Any) -> None:
    y = runtime.asdevicearray(np.zeros((3, 8), np.float32), run.device)
    s = runtime.asdevicearray(np.zeros(3, np.float32), run.device)
    results = run(X, W, out=(y, s), scratch=scratch_for(run, X, W))
    assert results[0] is y
    np.testing.assert_array_equal(y, WANTED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": None}, "give out= with 2 arrays, got 0"),
        ({"out": np.empty((3, 8), np.float32)}, "give out= with 2 arrays, got 1"),
        ({"scratch": None}, r"give scratch=, an array of uint8 of run\['main.scratch_size'\]"),
        ({"out": (np.empty((3, 16), np.float32)[:, ::2], np.empty(3, np.float32))}, "writable and contiguous"),
        ({"out": ([0.0], np.empty(3, np.float32))}, "must be a numpy array or a device array, got list"),
        ({"out": (np.empty((4, 8), np.float32), np.empty(3, np.float32))}, r"expected f32\[3,8\], got f32\[4,8\]"),
        ({"out": (np.empty((3, 8), np.float64), np.empty(3, np.float32))}, "expects float32"),
        ({"scratch": np.empty(0, np.uint8)}, "scratch has not the bytes"),
    ],
)
def test_wrong_memory(run: Any, changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "out": (np.empty((3, 8), np.float32), np.empty(3, np.float32)),
        "scratch": scratch_for(run, X, W),
    }
    with pytest.raises(MlirageError, match=message):
        run(X, W, **{**given, **changes})


def test_read_only_memory(run: Any) -> None:
    y = np.empty((3, 8), np.float32)
    y.flags.writeable = False
    with pytest.raises(UsageError, match="must be writable"):
        run(X, W, out=(y, np.empty(3, np.float32)), scratch=scratch_for(run, X, W))


def test_arguments_by_name(run: Any) -> None:
    names = [argument.name for argument in run.signatures["main"].inputs]
    y, s = np.empty((3, 8), np.float32), np.empty(3, np.float32)
    run(**{names[1]: W, names[0]: X}, out=(y, s), scratch=scratch_for(run, X, W))
    np.testing.assert_array_equal(y, WANTED)
    for wrong, message in (({names[0]: X}, "misses"), ({names[0]: X, "z": W}, "has no argument 'z'")):
        with pytest.raises(UsageError, match=message):
            run(**wrong, out=(y, s), scratch=scratch_for(run, X, W))
    with pytest.raises(UsageError, match="takes 2 arguments"):
        run(X, W, W, out=(y, s), scratch=scratch_for(run, X, W))
