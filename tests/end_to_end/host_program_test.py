"""Programs whose host side does something: state, loops, branches, run-time shapes, values used twice.

All in every execution model that runs by itself; fences and kernels linked in: execution_models_test.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlirage

Array = np.ndarray[Any, Any]


MODELS = {
    "async": {},
    "async-vmvx": {"target_backend": "vmvx"},
    "async-external": {"execution_model": "async-external"},
    "inline-dynamic": {"execution_model": "inline-dynamic"},
    "inline-dynamic-vmvx": {"execution_model": "inline-dynamic", "target_backend": "vmvx"},
    "inline-static": {"execution_model": "inline-static", "target_backend": "vmvx-inline"},
}
_options: dict[str, str] = {}


@pytest.fixture(autouse=True, params=MODELS)
def _model(request: pytest.FixtureRequest) -> None:
    _options.clear()
    _options.update(MODELS[request.param])


def _load(text: str) -> Any:
    return mlirage.load(mlirage.compile(text, **_options))


def _ramp(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7


_ADD = """
func.func private @add(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %d = tensor.dim %a, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%d) : tensor<?x4xf32>
  %r = linalg.add ins(%a, %b : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}
"""


@pytest.mark.parametrize("rows", [0, 1, 3, 64, 257])
def test_run_time_extents(rows: int) -> None:
    run = _load(
        """
func.func @main(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %r = func.call @add(%a, %b) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %s = func.call @add(%r, %r) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %s, %r : tensor<?x4xf32>, tensor<?x4xf32>
}"""
        + _ADD
    )
    a = _ramp(rows, 4)
    s, r = run(a, a + 1)
    np.testing.assert_allclose(r, 2 * a + 1, rtol=1e-6)
    np.testing.assert_allclose(s, 4 * a + 2, rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_loop_carries_tensors(count: int) -> None:
    run = _load(
        """
func.func @main(%x: tensor<?x4xf32>, %n: tensor<i64>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %count = tensor.extract %n[] : tensor<i64>
  %end = arith.index_cast %count : i64 to index
  %r:2 = scf.for %i = %c0 to %end step %c1 iter_args(%a = %x, %b = %x) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
    %s = func.call @add(%a, %b) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
    scf.yield %b, %s : tensor<?x4xf32>, tensor<?x4xf32>
  }
  return %r#0, %r#1 : tensor<?x4xf32>, tensor<?x4xf32>
}"""
        + _ADD
    )
    x = _ramp(5, 4)
    a = b = x
    for _ in range(count):
        a, b = b, a + b
    got_a, got_b = run(x, np.array(count, np.int64))
    np.testing.assert_allclose(got_a, a, rtol=1e-6)
    np.testing.assert_allclose(got_b, b, rtol=1e-6)
    assert not np.shares_memory(got_a, x)


def test_while_reads_its_condition_from_the_device() -> None:
    run = _load("""
func.func @main(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<i32>) {
  %zero = arith.constant dense<0> : tensor<i32>
  %limit = arith.constant 100.0 : f32
  %c0 = arith.constant 0 : index
  %r:2 = scf.while (%a = %x, %n = %zero) : (tensor<4xf32>, tensor<i32>) -> (tensor<4xf32>, tensor<i32>) {
    %first = tensor.extract %a[%c0] : tensor<4xf32>
    %go = arith.cmpf olt, %first, %limit : f32
    scf.condition(%go) %a, %n : tensor<4xf32>, tensor<i32>
  } do {
  ^bb0(%a: tensor<4xf32>, %n: tensor<i32>):
    %e = tensor.empty() : tensor<4xf32>
    %b = linalg.add ins(%a, %a : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %one = arith.constant dense<1> : tensor<i32>
    %m = arith.addi %n, %one : tensor<i32>
    scf.yield %b, %m : tensor<4xf32>, tensor<i32>
  }
  return %r#0, %r#1 : tensor<4xf32>, tensor<i32>
}""")
    x = np.array([3, 1, -2, 0.5], np.float32)
    y, n = run(x)
    np.testing.assert_allclose(y, x * 64)
    assert n == 6
    y, n = run(x * 1000)
    np.testing.assert_allclose(y, x * 1000)
    assert n == 0


@pytest.mark.parametrize("which", [True, False])
def test_branches_give_tensors(which: bool) -> None:
    run = _load("""
func.func @main(%x: tensor<4xf32>, %c: tensor<i1>) -> (tensor<4xf32>, tensor<4xf32>) {
  %go = tensor.extract %c[] : tensor<i1>
  %e = tensor.empty() : tensor<4xf32>
  %b = linalg.add ins(%x, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %r = scf.if %go -> tensor<4xf32> {
    %m = linalg.mul ins(%b, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %m : tensor<4xf32>
  } else {
    scf.yield %x : tensor<4xf32>
  }
  return %r, %b : tensor<4xf32>, tensor<4xf32>
}""")
    x = _ramp(4) + 1
    r, b = run(x, np.array(which))
    np.testing.assert_allclose(b, 2 * x)
    np.testing.assert_allclose(r, 2 * x * x if which else x, rtol=1e-6)
    r[:] = -1
    np.testing.assert_allclose(x, _ramp(4) + 1)  # the result is no window on the argument


_STATE = """
ml_program.global private mutable @sum(dense<1.0> : tensor<4xf32>) : tensor<4xf32>
func.func @add(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %old = ml_program.global_load @sum : tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %new = linalg.add ins(%old, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  ml_program.global_store @sum = %new : tensor<4xf32>
  return %old, %new : tensor<4xf32>, tensor<4xf32>
}
func.func @swap(%x: tensor<4xf32>) -> tensor<4xf32> {
  %old = ml_program.global_load @sum : tensor<4xf32>
  ml_program.global_store @sum = %x : tensor<4xf32>
  return %old : tensor<4xf32>
}
func.func @read() -> tensor<4xf32> {
  %old = ml_program.global_load @sum : tensor<4xf32>
  return %old : tensor<4xf32>
}
"""


def test_state_lives_from_call_to_call() -> None:
    run = _load(_STATE)
    x = _ramp(4)
    old, new = run["add"](x)
    np.testing.assert_allclose(old, np.ones(4))
    np.testing.assert_allclose(new, x + 1)
    old, again = run["add"](x)
    np.testing.assert_allclose(old, x + 1)
    np.testing.assert_allclose(again, 2 * x + 1)
    again[:] = 0  # results are no windows on the state
    (swapped,) = run["swap"](x)
    np.testing.assert_allclose(swapped, 2 * x + 1)
    x[:] = 5  # the state is no window on the argument
    np.testing.assert_allclose(run["read"]()[0], _ramp(4))
    np.testing.assert_allclose(_load(_STATE)["read"]()[0], np.ones(4))


def test_pieces_of_one_tensor() -> None:
    run = _load("""
func.func @main(%x: tensor<6x4xf32>, %y: tensor<2x4xf32>) -> (tensor<2x4xf32>, tensor<10x4xf32>, tensor<2x4xf32>) {
  %s = tensor.extract_slice %x[1, 0] [2, 4] [1, 1] : tensor<6x4xf32> to tensor<2x4xf32>
  %e = tensor.empty() : tensor<2x4xf32>
  %m = linalg.mul ins(%s, %y : tensor<2x4xf32>, tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  %c = tensor.concat dim(0) %m, %x, %y : (tensor<2x4xf32>, tensor<6x4xf32>, tensor<2x4xf32>) -> tensor<10x4xf32>
  return %m, %c, %s : tensor<2x4xf32>, tensor<10x4xf32>, tensor<2x4xf32>
}""")
    x, y = _ramp(6, 4), _ramp(2, 4) + 3
    m, c, s = run(x, y)
    np.testing.assert_allclose(m, x[1:3] * y, rtol=1e-6)
    np.testing.assert_allclose(c, np.concatenate([m, x, y]))
    np.testing.assert_allclose(s, x[1:3])


def test_results_that_are_arguments_or_each_other() -> None:
    run = _load("""
func.func @main(%x: tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) {
  %k = arith.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %e = tensor.empty() : tensor<3xf32>
  %a = linalg.add ins(%x, %k : tensor<3xf32>, tensor<3xf32>) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  return %x, %a, %a, %k : tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>
}""")
    x, k = _ramp(3), np.array([1, 2, 3], np.float32)
    for _ in range(2):  # a result that were the constant's memory would change it
        results = run(x)
        for got, want in zip(results, (x, x + k, x + k, k), strict=True):
            np.testing.assert_allclose(got, want)
        for i, a in enumerate(results):
            assert not np.shares_memory(a, x)
            assert not any(np.shares_memory(a, b) for b in results[:i])
            a[:] = 99
        x = _ramp(3)


def test_wrong_arguments_are_named() -> None:
    run = _load(
        """
func.func @main(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %r = func.call @add(%x, %y) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}"""
        + _ADD
    )
    with pytest.raises(mlirage.MlirageError, match=r"arg1.*\[\?, 4\].*\[2, 5\]"):
        run(_ramp(2, 4), _ramp(2, 5))


def test_state_of_every_kind_starts_as_said() -> None:
    kinds = {
        "f32": ("tensor<3xf32>", "dense<[1.0, 2.0, 3.0]>", np.array([1, 2, 3], np.float32)),
        "i8": ("tensor<2x2xi8>", "dense<[[1, -2], [3, 4]]>", np.array([[1, -2], [3, 4]], np.int8)),
        "i1": ("tensor<3xi1>", "dense<[true, false, true]>", np.array([True, False, True])),
        "f64": ("tensor<4xf64>", "dense<-2.5>", np.full(4, -2.5)),
        "i1_splat": ("tensor<5xi1>", "dense<true>", np.full(5, True)),
        "none": ("tensor<0x4xf32>", "dense<0.0>", np.zeros((0, 4), np.float32)),
    }
    globals_ = [f"ml_program.global private mutable @{n}({value} : {t}) : {t}" for n, (t, value, _) in kinds.items()]
    loads = [f"%{n} = ml_program.global_load @{n} : {t}" for n, (t, _, _) in kinds.items()]
    types = ", ".join(t for t, _, _ in kinds.values())
    names = ", ".join(f"%{n}" for n in kinds)
    text = "\n".join([*globals_, f"func.func @main() -> ({types}) {{", *loads, f"return {names} : {types}", "}"])
    for got, (_, _, want) in zip(_load(text)(), kinds.values(), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
