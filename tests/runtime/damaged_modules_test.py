"""Modules that are damaged, on purpose or not: refused with a message, never a crash. Sessions that come and go."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlirage
from mlirage import DeviceError, MlirageError, UsageError
from mlirage.runtime.signature import parse_signature

SOURCE = """
func.func @main(%n: i32, %x: tensor<?x2xi32>) -> (i32, tensor<?x2xi32>) {
  %y = arith.addi %x, %x : tensor<?x2xi32>
  return %n, %y : i32, tensor<?x2xi32>
}
"""
_HEADER_SIZE, _CHECKSUM, _STRUCTURE, _SECTIONS = 64, slice(24, 32), 32, 64


@pytest.fixture(scope="module")
def module() -> bytes:
    return mlirage.compile(SOURCE)


def damaged(module: bytes, seed: int) -> bytes:
    """A cut or changed copy. Most have a good checksum, so that what lies behind it is tried; code stays as it is, for
    a program may be changed into one that never ends."""
    from mlirage.module_file import checksum

    generator = random.Random(seed)
    if seed % 8 == 0:
        return module[: generator.randrange(len(module))]
    data = bytearray(module)
    structure = int.from_bytes(data[_STRUCTURE : _STRUCTURE + 4], "little")
    code_start, code_end = _code_section(module)
    signature = data.find(b'{"')
    within = (signature, data.find(b"}\0", signature)) if seed % 2 else (_HEADER_SIZE, structure)
    for _ in range(generator.choice([1, 1, 2, 5])):
        place = generator.randrange(*within)
        if code_start <= place < code_end:
            continue
        match generator.randrange(3):
            case 0:
                data[place] = generator.choice(b'0123456789-"[]{}*,a') if seed % 2 else generator.randrange(256)
            case 1:
                data[place] ^= 1 << generator.randrange(8)
            case _ if place + 4 <= code_start:
                data[place : place + 4] = generator.choice([0, 1, 1 << 31, (1 << 32) - 1]).to_bytes(4, "little")
            case _:
                pass
    if seed % 16 != 1:
        data[_CHECKSUM] = checksum(bytes(data[_STRUCTURE:structure])).to_bytes(8, "little")
    return bytes(data)


def _code_section(module: bytes) -> tuple[int, int]:
    for place in range(_SECTIONS, _SECTIONS + 240, 24):
        kind, start, size = (int.from_bytes(module[place + i : place + i + 8], "little") for i in (0, 8, 16))
        if kind == 8:
            return start, start + size
    raise AssertionError("the module has no code")


def try_modules(path: str, count: int) -> None:
    """Loads and calls `count` damaged modules; what remains of one is printed first, for a crash to name it."""
    module = Path(path).read_bytes()
    x = np.ones((3, 2), np.int32)
    for seed in range(count):
        Path(path + ".seed").write_text(str(seed))
        try:
            run = mlirage.load(damaged(module, seed), device="null")
            repr(run)
            run(1, x)
        except MlirageError:
            pass


def test_damaged_modules(module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.mlirage"
    path.write_bytes(module)
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.runtime.damaged_modules_test import *; try_modules({str(path)!r}, 2000)"],
        capture_output=True, text=True, timeout=300, cwd=root, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {Path(f'{path}.seed').read_text()}: {done.stderr}"


@pytest.mark.parametrize(
    "signature",
    [
        {"arguments": [{"name": "x", "dtype": "float32", "shape": [-8]}]},  # was an index into the symbols
        {"arguments": [{"name": "x", "dtype": "float32", "shape": [1 << 63]}]},
        {"arguments": [{"name": "x", "dtype": "float32", "shape": [True]}]},
        {"arguments": [{"name": "x", "dtype": "float32", "shape": [1.5]}]},
        {"arguments": [{"name": "x", "dtype": ["float32"], "shape": [1]}]},
        {"arguments": [{"name": "x"}], "in_tree": {"tuple": ["*", "*"]}},
        {"arguments": [{"name": "x"}], "in_tree": {"tuple": 3}},
        {"arguments": [{"name": "x"}], "in_tree": {"heap": ["*"]}},
        {"arguments": [{"name": "x"}], "out_tree": "**"},
        {"arguments": []},
        {"arguments": 7},
        [],
    ],
)
def test_damaged_signatures(signature: object) -> None:
    with pytest.raises(DeviceError, match="function 'main': malformed signature in the module"):
        parse_signature("main", "r_r", json.dumps(signature))


def test_deep_signature() -> None:
    with pytest.raises(DeviceError, match="malformed signature"):
        parse_signature("main", "r_r", '{"in_tree":' + '{"list":[' * 100_000)


@pytest.mark.parametrize(
    ("values", "given"),
    [([[2**40, 1]], "int64"), ([[2**63, 1]], "uint64|float64"), ([[1.5, 1]], "float64"), ([[float("nan"), 1]], "flo")],
)
def test_numbers_that_do_not_fit(module: bytes, values: object, given: str) -> None:
    """A list of integers takes the type of the argument, but not another value."""
    run = mlirage.load(module, device="local-sync")
    with pytest.raises(UsageError, match=rf"argument 'arg1' expects int32\[\?, 2\], got ({given})"):
        run(1, values)
    np.testing.assert_array_equal(run(1, [[2**31 - 1, -3.0]])[1], [[-2, -6]])


def test_wrong_sources(module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.mlirage"
    path.write_bytes(module)
    for source, text in [
        (f"{path}\0.more", "has a null character"),
        (f"{path}\udc80", "is not UTF-8; rename the file"),
        (memoryview(module)[::2], "in one piece, got a memoryview with strides"),
    ]:
        with pytest.raises(UsageError, match=text):
            mlirage.load(source)
    for threads in ("2", 1.5, -1):
        with pytest.raises(UsageError, match=rf"threads={threads!r}: 1 to 256"):
            mlirage.load(path, threads=threads)  # pyright: ignore[reportArgumentType]
    assert mlirage.load(path, threads=np.int64(2)).device.threads == 2  # pyright: ignore[reportArgumentType]


class Broken:
    """An array of another library that cannot be had."""

    def __array__(self, *args: object, **options: object) -> object:
        raise RuntimeError("it lives on another machine")


class Elsewhere(Broken):
    def __dlpack__(self, **options: object) -> object:
        raise BufferError("it lives on a GPU")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@pytest.mark.parametrize(("value", "text"), [(Broken(), "Broken: it lives on ano"), (Elsewhere(), "Elsewhere: .*GPU")])
def test_arrays_that_cannot_be_had(module: bytes, value: object, text: str) -> None:
    with pytest.raises(UsageError, match=rf"argument 'arg1' expects int32\[\?, 2\], got {text}"):
        mlirage.load(module, device="local-sync")(1, value)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_sessions_come_and_go(module: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.mlirage"
    path.write_bytes(module)
    x = np.ones((3, 2), np.int32)

    def rounds(count: int) -> int:
        for number in range(count):
            run = mlirage.load(path if number % 2 else module, device="local-sync")
            assert run(number, x)[0] == number
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = rounds(100)
    assert rounds(500) - before < 256  # pages
