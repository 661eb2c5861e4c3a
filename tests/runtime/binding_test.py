"""The Python binding: arrays of every kind in and out without copies, errors with names, memory, threads."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage
from mlirage import DeviceError, UsageError, runtime
from tests.runtime.programs import add_module, build_kernels

ml_dtypes = pytest.importorskip("ml_dtypes")
DRIVERS = ["local-sync", "local-task"]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_kernels(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def module(kernels: Path) -> bytes:
    return add_module(kernels)


@pytest.fixture(scope="session")
def run(module: bytes) -> runtime.LoadedModule:
    return mlirage.load(module, device="local-sync")


@pytest.mark.parametrize("device", DRIVERS)
@pytest.mark.parametrize("size", [0, 1, 4, 63, 64, 65, 1001, 100_000])
def test_add(module: bytes, device: str, size: int) -> None:
    run = mlirage.load(module, device=device, threads=2 if device == "local-task" else None)
    generator = np.random.default_rng(size)
    a, b = generator.standard_normal((2, size)).astype(np.float32)
    for _ in range(3):
        (result,) = run(a, b)
        np.testing.assert_array_equal(result, a + b)
    assert result.dtype == np.float32
    assert result.flags.writeable


def test_from_file(module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "add.mlirage"
    path.write_bytes(module)
    for source in (path, str(path), bytearray(module), memoryview(module)):
        run = mlirage.load(source)
        np.testing.assert_array_equal(run([1.0, 2.0], [3.0, 4.0])[0], [4.0, 6.0])
    with pytest.raises(DeviceError, match=r"nothing\.mlirage.*No such file"):
        mlirage.load(tmp_path / "nothing.mlirage")
    with pytest.raises(DeviceError, match=r"not a regular file"):
        mlirage.load(tmp_path)
    path.write_bytes(module[:100])
    with pytest.raises(DeviceError, match=r"add\.mlirage': module file"):
        mlirage.load(path)
    with pytest.raises(UsageError, match=r"takes a path or the bytes"):
        mlirage.load(3)


def test_functions_and_signatures(run: runtime.LoadedModule) -> None:
    assert sorted(run.signatures) == ["echo", "main"]
    assert str(run.signatures["main"]) == "main(a: float32[n], b: float32[n]) -> (sum: float32[n])"
    assert [argument.name for argument in run.signatures["main"].arguments] == ["a", "b"]
    assert run["main"].__name__ == "main"
    assert run.main is run["main"]
    with pytest.raises(UsageError, match=r"no function 'nothing'; the module has echo, main"):
        run["nothing"]
    with pytest.raises(AttributeError, match=r"functions: echo, main"):
        _ = run.nothing
    assert "local-sync" in repr(run)


def test_named_arguments(run: runtime.LoadedModule) -> None:
    a, b = np.float32([1, 2]), np.float32([3, 5])
    for result in (run(a, b=b), run(b=b, a=a), run["main"](a=a, b=b)):
        np.testing.assert_array_equal(result[0], [4, 7])


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (([1.0],), {}, r"main\(\) takes 2 arguments \(a, b\), got 1"),
        (([1.0], [1.0], [1.0]), {}, r"main\(\) takes 2 arguments \(a, b\), got 3"),
        (([1.0],), {"c": [1.0]}, r"main\(\) has no argument 'c'"),
        (([1.0],), {"a": [1.0]}, r"main\(\) got argument 'a' twice"),
        ((np.zeros(2), np.zeros(2)), {}, r"argument 'a' expects float32\[n\], got float64\[2\]; convert it first"),
        ((np.zeros((2, 2), np.float32), [1.0]), {}, r"argument 'a' expects float32\[n\], got float32\[2, 2\]"),
        (([1.0], ["x"]), {}, r"argument 'b' expects float32\[n\], got list"),
        (([1.0], object()), {}, r"argument 'b' expects float32\[n\], got object"),
        (([1.0], None), {}, r"argument 'b' expects float32\[n\], got NoneType"),
        (([1.0], [[1.0], [1.0, 2.0]]), {}, r"argument 'b' expects float32\[n\], got list"),
        (([1.0], [1.0, 2.0]), {}, r"dimension 0 of argument 'b' is 2; argument 'a' has 1"),
        ((np.zeros(2, ">f4"), [1.0]), {}, r"got float32\[2\] of foreign byte order"),
        (([1j], [1.0]), {}, r"argument 'a' expects float32\[n\], got complex128"),
    ],
)
def test_wrong_arguments(run: runtime.LoadedModule, args: Any, kwargs: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        run(*args, **kwargs)
    np.testing.assert_array_equal(run([1.0], [2.0])[0], [3.0])  # still works


def test_arrays_that_are_not_plain(run: runtime.LoadedModule) -> None:
    a = np.arange(12, dtype=np.float32)
    expected = a[::2] + a[1::2]
    np.testing.assert_array_equal(run(a[::2], a[1::2])[0], expected)
    np.testing.assert_array_equal(run(a[::2][::-1], a[1::2][::-1])[0], expected[::-1])
    frozen = a.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(run(frozen, frozen)[0], 2 * a)
    raw = np.zeros(49, np.uint8)
    misaligned = raw[1:].view(np.float32)
    misaligned[:] = a
    np.testing.assert_array_equal(run(misaligned, a)[0], 2 * a)
    np.testing.assert_array_equal(run([1, 2], (0.5, True))[0], [1.5, 3.0])
    np.testing.assert_array_equal(run(np.float32([1]), np.broadcast_to(np.float32(2), (1,)))[0], [3.0])


class Matrix(np.ndarray[Any, Any]):
    """A subclass takes the long way."""


def test_subclasses(run: runtime.LoadedModule) -> None:
    np.testing.assert_array_equal(run(np.float32([1]).view(Matrix), [2.0])[0], [3.0])


TYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_types(kernels: Path, name: str) -> None:
    run = mlirage.load(add_module(kernels, name, ["a", 3, None]), device="local-sync")
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    for shape in [(2, 3, 1), (0, 3, 5), (4, 3, 2)]:
        x = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
        for value in (x, np.asfortranarray(x)):
            y, k, f = run.echo(value, 7, 0.5)
            assert (y.dtype, y.shape, k, f) == (dtype, shape, 7, 0.5)
            np.testing.assert_array_equal(y.view(np.uint8), x.view(np.uint8))
    wrong = "int32" if name != "int32" else "float32"
    with pytest.raises(UsageError, match=rf"echo\(\): argument 'x' expects {name}\[a, 3, \?\], got {wrong}\[2, 3, 1\]"):
        run.echo(np.zeros((2, 3, 1), wrong), 7, 0.5)
    with pytest.raises(UsageError, match=rf"expects {name}\[a, 3, \?\], got {name}\[2, 4, 1\]"):
        run.echo(np.zeros((2, 4, 1), dtype), 7, 0.5)


def test_without_types_in_the_signature(run: runtime.LoadedModule) -> None:
    for name in TYPES:
        x = np.ones((2, 2), np.dtype(getattr(ml_dtypes, name, None) or name))
        y, _, _ = run.echo(x, 0, 0.0)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y.view(np.uint8), x.view(np.uint8))
    scalar, _, _ = run.echo(np.float32(3), 0, 0.0)
    assert scalar.shape == ()
    assert scalar == 3
    with pytest.raises(UsageError, match="arrays of type datetime64"):
        run.echo(np.zeros(2, "datetime64[s]"), 0, 0.0)


def test_numbers(run: runtime.LoadedModule) -> None:
    x = np.zeros(1)
    assert run.echo(x, np.int64(-5), 1)[1:] == (-5, 1.0)
    assert run.echo(x, True, np.float32(0.5))[1:] == (1, 0.5)
    for bad in (2**31, -(2**31) - 1, 1.5, "1", None):
        with pytest.raises(UsageError, match=r"echo\(\): argument 'k' is to be a number of type int32"):
            run.echo(x, bad, 0.0)
    with pytest.raises(UsageError, match=r"argument 'f' is to be a number of type float, got 'x'"):
        run.echo(x, 1, "x")


def test_results_never_share_memory_with_arguments(run: runtime.LoadedModule) -> None:
    x = np.ones(3, np.float32)
    y, _, _ = run.echo(x, 0, 0.0)
    x[:] = 7
    np.testing.assert_array_equal(y, [1, 1, 1])


def test_results_outlive_everything(module: bytes) -> None:
    run = mlirage.load(module, device=runtime.device("local-task", 2))
    (y,) = run(np.ones(1000, np.float32), np.ones(1000, np.float32))
    del run
    gc.collect()
    assert float(y.sum()) == 2000
    y += 1
    assert float(y.sum()) == 3000


def test_arguments_are_used_in_place_and_given_back(run: runtime.LoadedModule) -> None:
    a = np.ones(1000, np.float32)
    before = sys.getrefcount(a), run.device.statistics["imported_buffers"]
    for _ in range(5):
        run(a, a)
    assert (sys.getrefcount(a), run.device.statistics["imported_buffers"]) == (before[0], before[1] + 10)


@pytest.mark.parametrize("device", DRIVERS)
def test_memory_is_constant(module: bytes, device: str) -> None:
    run = mlirage.load(module, device=device, threads=2 if device == "local-task" else None)
    a = np.ones(20_000, np.float32)
    for _ in range(100):
        run(a, a)
    before, peak = run.device.statistics, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20_000):
        run(a[:10], a[:10])
    for _ in range(2000):
        run(a, a)
    after = run.device.statistics
    assert after["allocations"] - before["allocations"] <= 1  # the small size, once
    assert after["live_bytes"] == before["live_bytes"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2048  # KiB


def test_python_threads(module: bytes) -> None:
    """Sessions share a device; a session is shared by threads."""
    shared = mlirage.load(module, threads=2)
    own = [mlirage.load(module, threads=2) for _ in range(2)]
    assert shared.device is own[0].device
    failures: list[BaseException] = []

    def work(run: runtime.LoadedModule, seed: int) -> None:
        try:
            generator = np.random.default_rng(seed)
            for _ in range(200):
                a, b = generator.standard_normal((2, int(generator.integers(0, 3000)))).astype(np.float32)
                np.testing.assert_array_equal(run(a, b)[0], a + b)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(run, i)) for i, run in enumerate([shared, shared, *own])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.filterwarnings("ignore:os.fork")  # JAX, if another test imported it, warns of its own threads
def test_after_fork(module: bytes) -> None:
    """A forked process has none of the threads: what it inherited still works, and so does what it opens."""
    run = mlirage.load(module, device=runtime.Device("local-task", 2))
    a = np.ones(200_000, np.float32)
    run(a, a)
    child = os.fork()
    if child == 0:
        good = np.array_equal(run(a, a)[0], 2 * a) and np.array_equal(mlirage.load(module, threads=2)(a, a)[0], 2 * a)
        del run  # closes the inherited device, whose threads are not here
        gc.collect()
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_devices() -> None:
    assert runtime.driver_names() == ["local-task", "local-sync", "null"]
    device = runtime.device("local-task", 3)
    assert (device.name, device.threads) == ("local-task", 3)
    assert runtime.device("local-task", 3) is device
    assert device.supports("embedded-elf-x86_64") != device.supports("embedded-elf-aarch64")
    for name, threads, text in [
        ("cuda", None, "no device 'cuda'; this build has local-task, local-sync, null"),
        ("local-task", 0, "threads=0: 1 to 256"),
        ("local-task", 257, "threads=257: 1 to 256"),
        ("local-sync", 2, "'local-sync' has one thread"),
    ]:
        with pytest.raises(UsageError, match=text):
            runtime.device(name, threads)


def test_null_device_runs_nothing(module: bytes) -> None:
    (y,) = mlirage.load(module, device="null")([1.0], [2.0])
    assert y.shape == (1,)


def test_trees(kernels: Path) -> None:
    trees = {
        "in_tree": {
            "tuple": [{"tuple": [{"dict": {"first": "*", "rest": {"list": ["*"]}}}, {"none": 0}]}, {"dict": {}}]
        },
        "out_tree": {"dict": {"sum": {"list": ["*"]}, "state": {"none": 0}}},
    }
    run = mlirage.load(add_module(kernels, **trees), device="local-sync")
    result = run({"first": [1.0], "rest": [[2.0]]}, None)
    assert list(result) == ["sum", "state"]
    assert result["state"] is None
    np.testing.assert_array_equal(result["sum"][0], [3.0])
    for args, text in [
        (([1.0], None), r"main\(\)\[0\]\[0\]: keys \['first', 'rest'\] expected, got list"),
        (({"first": [1.0]}, None), r"keys \['first', 'rest'\] expected, got keys \['first'\]"),
        (({"first": [1.0], "rest": [[1.0], [1.0]]}, None), r"\['rest'\]: a list of 1 expected, got 2"),
        (({"first": [1.0], "rest": [[1.0]]}, 3), r"None expected, got int"),
        ((), r"a tuple of 2 expected, got 0"),
    ]:
        with pytest.raises(UsageError, match=text):
            run(*args)


def test_torch(run: runtime.LoadedModule) -> None:
    torch = pytest.importorskip("torch")
    a = torch.arange(6, dtype=torch.float32, requires_grad=True)
    (y,) = run(a, np.ones(6, np.float32))
    assert isinstance(y, torch.Tensor)
    assert torch.equal(y, a.detach() + 1)
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.int64, torch.uint8, torch.float8_e4m3fn):
        x = torch.ones(2, 3).to(dtype)
        z, _, _ = run.echo(x.t(), 0, 0.0)
        assert z.dtype == dtype
        assert torch.equal(
            z.view(torch.uint8) if dtype == torch.float8_e4m3fn else z,
            x.t().contiguous().view(torch.uint8) if dtype == torch.float8_e4m3fn else x.t(),
        )
    with pytest.raises(UsageError, match=r"expects float32\[n\], got int64\[2\]"):
        run(torch.ones(2, dtype=torch.int64), [1.0, 2.0])


def test_dlpack(run: runtime.LoadedModule) -> None:
    class Producer:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __dlpack__(self, **options: Any) -> Any:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    (y,) = run(Producer(np.float32([1, 2])), [1.0, 1.0])
    np.testing.assert_array_equal(y, [2, 3])
