"""Calls that return before their work is done: chains, waiting, asyncio, other libraries' arrays, failures."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage import runtime
from mlirage.errors import UsageError

SIZE = 256
MATMUL = f"""
  func.func @main(%x: tensor<{SIZE}x{SIZE}xf32>, %w: tensor<{SIZE}x{SIZE}xf32>) -> tensor<{SIZE}x{SIZE}xf32> {{
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<{SIZE}x{SIZE}xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<{SIZE}x{SIZE}xf32>) -> tensor<{SIZE}x{SIZE}xf32>
    %y = linalg.matmul ins(%x, %w : tensor<{SIZE}x{SIZE}xf32>, tensor<{SIZE}x{SIZE}xf32>)
                       outs(%f : tensor<{SIZE}x{SIZE}xf32>) -> tensor<{SIZE}x{SIZE}xf32>
    return %y : tensor<{SIZE}x{SIZE}xf32> }}"""
W = np.roll(np.eye(SIZE, dtype=np.float32), 1, axis=1)  # a power of it rotates
X = np.arange(SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)


@pytest.fixture(scope="module")
def module() -> bytes:
    return mlirage.compile(MATMUL, execution_model="async-external")


@pytest.fixture(params=["local-task", "local-sync"])
def run(request: pytest.FixtureRequest, module: bytes) -> Any:
    return mlirage.load(module, device=request.param)


def test_a_call_that_waits(run: Any) -> None:
    np.testing.assert_array_equal(run(X, W)[0], np.roll(X, 1, axis=1))


def test_a_hundred_chained_calls_and_one_wait(run: Any) -> None:
    w = runtime.asdevicearray(W, run.device)
    call = run.main.start(runtime.asdevicearray(X, run.device), w)
    calls = [call]
    for _ in range(99):
        call = run.main.start(*call.arrays, w)
        calls.append(call)
    if run.device.name == "local-task":
        assert not calls[-1].done()  # 100 products of 33 MFLOP have only been asked for
    (y,) = call.result()
    np.testing.assert_array_equal(y, np.roll(X, 100, axis=1))
    assert all(c.done() for c in calls)


def test_results_come_in_the_callers_kind(run: Any) -> None:
    torch = pytest.importorskip("torch")
    (y,) = run.main.start(torch.from_numpy(X), torch.from_numpy(W)).result()
    assert isinstance(y, torch.Tensor)
    (y,) = run.main.start(X, w := W).result()
    assert isinstance(y, np.ndarray)
    assert w is W
    call = run.main.start(x=X, w=W) if run.signatures["main"].arguments[0].name == "x" else run.main.start(X, W)
    np.testing.assert_array_equal(call.arrays[0].to_host(), np.roll(X, 1, axis=1))  # looking waits too
    assert "done" in repr(call)


def test_waiting_with_a_limit(module: bytes) -> None:
    run = mlirage.load(module)
    call = run.main.start(X, W)
    for _ in range(50):
        call = run.main.start(*call.arrays, W)
    with pytest.raises(TimeoutError):
        call.wait(0)
    call.wait(60)
    call.wait()


def test_await(run: Any) -> None:
    async def one(shift: int) -> Any:
        call = run.main.start(X, W)
        for _ in range(shift - 1):
            call = run.main.start(*call.arrays, W)
        (y,) = await call
        return np.asarray(y)

    async def main() -> list[Any]:
        ticks = 0

        async def ticker() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(ticker())
        results = await asyncio.gather(*(one(shift) for shift in (1, 5, 9)))
        task.cancel()
        assert ticks > 0  # the loop went on
        return results

    for shift, y in zip((1, 5, 9), asyncio.run(main()), strict=True):
        np.testing.assert_array_equal(y, np.roll(X, shift, axis=1))


def test_forgotten_calls(run: Any) -> None:
    """A call whose results nobody wants is done all the same, and its memory comes back."""
    for _ in range(20):
        run.main.start(X, W)
    call = run.main.start(X, W)
    call.wait()
    live = run.device.statistics["live_bytes"]
    for _ in range(50):
        call = run.main.start(X, W)
    call.wait()
    gc.collect()
    assert run.device.statistics["live_bytes"] <= live + 4 * X.nbytes


def test_errors(module: bytes) -> None:
    run = mlirage.load(mlirage.compile(MATMUL))
    with pytest.raises(UsageError, match=r"compile with execution_model='async-external' to start calls"):
        run.main.start(X, W)
    run = mlirage.load(module)
    with pytest.raises(UsageError, match="takes 2 arguments"):
        run.main.start(X)
    with pytest.raises(UsageError, match="expects float32"):
        run.main.start(X, W.astype(np.float64))
