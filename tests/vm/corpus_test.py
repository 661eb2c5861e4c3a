"""Modules of every version of the format keep loading, and give what they gave. Files are only ever added.

The files of a version are modules that fuzz_test.make_corpus wrote when it was current.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from machine import Context, Failure, Library

from mlirage import runtime
from mlirage.module_file import VERSION, ModuleFile
from tests.codegen.abi import VmvxLibrary

CORPUS = Path(__file__).with_name("corpus")
VERSIONS = sorted(CORPUS.iterdir())


def test_every_version_is_there() -> None:
    assert [folder.name for folder in VERSIONS] == [f"version_{number}" for number in range(1, VERSION + 1)]


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_device_programs(folder: Path) -> None:
    run = runtime.load(folder / "copy.mlirage", device="local-sync")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y, count = run(x)
    np.testing.assert_array_equal(y, [[2, 2, 2], [3, 4, 5]])
    assert int(count) == 2
    run = runtime.load(folder / "state.mlirage", device="local-sync")
    assert [int(value) for value in run(4)] == [3, 0x0104030201040302, 8, 101]


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_scalar_programs(folder: Path, machine: Library) -> None:
    context = Context(machine, (folder / "recursion.mlirage").read_bytes())
    assert context.call("even", 10) == [1]
    with pytest.raises(Failure, match=r"^ABORTED: odd\n  at even"):
        context.call("even", 7)
    for path in folder.iterdir():
        assert ModuleFile.decode(path.read_bytes()).functions


def test_buffers_lists_and_kernels(machine: Library) -> None:
    """Of the days when these came: same version, newer opcodes."""
    folder = CORPUS / "version_1"
    bits, word, byte = Context(machine, (folder / "buffers.mlirage").read_bytes()).call("sum", 10)
    assert (np.array([bits], np.uint64).view(np.float64)[0], word, byte) == (90.0, 0x0003FE07, 254)
    assert Context(machine, (folder / "lists.mlirage").read_bytes()).call("nest", 5, 0) == [1]
    kernels = VmvxLibrary((folder / "kernels.mlirage").read_bytes(), {}, {})
    assert list(kernels.entries) == ["scaled", "product", "quantized", "gather"]
