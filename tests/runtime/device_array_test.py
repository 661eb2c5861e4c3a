"""Arrays that stay on the device, and exchange with other libraries without copies: pointers are compared."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mlirage
from mlirage import runtime
from mlirage.errors import UsageError

DOUBLE = """
  func.func @main(%x: tensor<?x{type}>) -> (tensor<?x{type}>, tensor<?x{type}>) {{
    %c = arith.constant 0 : index
    %d = tensor.dim %x, %c : tensor<?x{type}>
    %e = tensor.empty(%d) : tensor<?x{type}>
    %y = linalg.add ins(%x, %x : tensor<?x{type}>, tensor<?x{type}>) outs(%e : tensor<?x{type}>) -> tensor<?x{type}>
    return %y, %x : tensor<?x{type}>, tensor<?x{type}> }}"""
TYPES = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "i8": "int8"}


@pytest.fixture(scope="module")
def run() -> Any:
    return mlirage.load(mlirage.compile(DOUBLE.format(type="f32")))


def pointer(array: Any) -> int:
    return np.asarray(array).__array_interface__["data"][0]


def test_device_arrays_stay(run: Any) -> None:
    x = runtime.asdevicearray(np.arange(5, dtype=np.float32), run.device)
    assert (x.shape, x.ndim, x.size, x.nbytes, len(x), x.dtype) == ((5,), 1, 5, 20, 5, np.float32)
    assert repr(x) == "<mlirage array float32[5]>"
    before = run.device.statistics["imported_buffers"]
    y, z = run(x)
    (y4, _) = run(run(y)[0])
    assert run.device.statistics["imported_buffers"] == before  # nothing went through the host
    assert isinstance(y, runtime.DeviceArray)
    np.testing.assert_array_equal(y4, [0, 8, 16, 24, 32])
    # A result that is an argument is a copy: what was given does not change with what was got.
    np.testing.assert_array_equal(z, x)
    assert pointer(z) != pointer(x)


def test_the_host_sees_device_arrays(run: Any) -> None:
    (y, _) = run(runtime.asdevicearray(np.float32([1, 2]), run.device))
    host = y.to_host()
    assert not host.flags.writeable
    assert pointer(y) == pointer(host)
    assert np.asarray(y, np.float64).dtype == np.float64
    assert np.array(y, copy=True).flags.writeable
    with pytest.raises(ValueError, match="needs a copy"):
        np.asarray(y, np.float64, copy=False)
    del y
    np.testing.assert_array_equal(host, [2, 4])  # the memory lives as long as anybody looks at it


# jax has no float64 unless it is enabled for the whole process.
@pytest.mark.parametrize(
    ("library", "name"),
    [(library, name) for library in ("torch", "jax") for name in TYPES if (library, name) != ("jax", "f64")],
)
def test_other_libraries_share_memory(library: str, name: str) -> None:
    package = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
    module = mlirage.load(mlirage.compile(DOUBLE.format(type=name)))
    dtype = np.dtype(getattr(ml_dtypes, TYPES[name], TYPES[name]))
    if library == "torch":
        x = package.arange(7).to(getattr(package, TYPES[name]))
        y, _ = module(x)
        assert isinstance(y, package.Tensor)
        y32 = y.to(package.float32).numpy()
        shared = package.from_dlpack(module(runtime.asdevicearray(np.arange(7).astype(dtype), module.device))[0])
        assert package.equal(shared, y)
    else:
        x = package.arange(7, dtype=dtype)
        y, _ = module(x)
        assert type(y).__module__.startswith("jax")
        y32 = np.asarray(y, np.float32)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y32, 2.0 * np.arange(7))


def test_pointers_are_equal(run: Any) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    y, _ = run(runtime.asdevicearray(np.ones(3, np.float32), run.device))
    assert torch.from_dlpack(y).data_ptr() == pointer(y)
    assert jax.dlpack.from_dlpack(y).unsafe_buffer_pointer() == pointer(y)
    # Arguments are used where they lie: a function that gives its argument back would alias it, so it is copied.
    x = np.ones(64, np.float32)
    imported = run.device.statistics["imported_buffers"]
    run(x)
    assert run.device.statistics["imported_buffers"] == imported + 1


def test_empty_and_0d_arrays() -> None:
    torch = pytest.importorskip("torch")
    run = mlirage.load(mlirage.compile(DOUBLE.format(type="f32")))
    y, _ = run(runtime.asdevicearray(np.zeros(0, np.float32), run.device))
    assert torch.from_dlpack(y).shape == (0,)
    assert run(torch.zeros(0))[0].shape == (0,)
    scalar = runtime.asdevicearray(np.float32(3), run.device)
    assert scalar.shape == ()
    assert float(scalar.to_host()) == 3
    with pytest.raises(TypeError, match="0-d"):
        len(scalar)


def test_wrong_device_arrays(run: Any) -> None:
    with pytest.raises(UsageError, match=r"expects float32\[.*\], got <mlirage array int32\[2\]>"):
        run(runtime.asdevicearray(np.int32([1, 2]), run.device))
    with pytest.raises(UsageError, match=r"expects float32\[.*\], got float32\[2, 1\]"):
        run(runtime.asdevicearray(np.ones((2, 1), np.float32), run.device))
    with pytest.raises(UsageError, match="arrays of type <U1"):
        runtime.asdevicearray(["a"], run.device)


def test_complex_numbers_of_torch() -> None:
    """torch may hold a conjugate or a negative as a flag of the tensor."""
    torch = pytest.importorskip("torch")
    text = """
      func.func @main(%x: tensor<2xcomplex<f32>>) -> tensor<2xcomplex<f32>> {
        %e = tensor.empty() : tensor<2xcomplex<f32>>
        %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
            iterator_types = ["parallel"]} ins(%x : tensor<2xcomplex<f32>>) outs(%e : tensor<2xcomplex<f32>>) {
          ^bb0(%a: complex<f32>, %b: complex<f32>):
            %s = complex.add %a, %a : complex<f32>
            linalg.yield %s : complex<f32> } -> tensor<2xcomplex<f32>>
        return %y : tensor<2xcomplex<f32>> }"""
    run = mlirage.load(mlirage.compile(text))
    x = torch.tensor([1 + 2j, 3 - 4j]).conj()
    assert x.is_conj()
    assert torch.equal(run(x)[0], 2 * x)
