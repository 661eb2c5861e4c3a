"""Damaged copies of every backend case of the onnx package: ten each, 20,000 in all, read in processes of their own.

Each is an ImportFailure or a program, and what is a program goes on through the passes up to dispatches; none ends the
process, takes longer than a minute or more than 4 GB. ONNX files are read in the user's process because of this test.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from mlirage.compiler import lower
from mlirage.errors import MlirageError
from mlirage.importers.onnx import import_onnx
from mlirage.options import CompileOptions
from tests.importers.onnx_backend_cases import cases
from tests.importers.onnx_damaged_test import damaged

COPIES = 10
PARTS = 32
_LARGEST = 20_000  # bytes of a model: larger ones are mostly weights, whose damage nobody sees


def models(part: int) -> list[tuple[str, bytes]]:
    """A part of the cases."""
    chosen = [(case.name, case.model) for case in cases() if zlib.crc32(case.name.encode()) % PARTS == part]
    return [(name, model) for name, model in chosen if len(model) <= _LARGEST]


def try_part(part: int, log: str) -> None:
    """Reads the damaged models of a part; a file names the last one that was begun."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    read = programs = 0
    faults: list[str] = []
    for name, model in models(part):
        for seed in range(COPIES):
            Path(log).write_text(f"{name} {seed}")
            signal.alarm(60)
            data = damaged(model, zlib.crc32(name.encode()) // PARTS * PARTS + seed)
            read += 1
            try:
                if seed % 5:
                    import_onnx(data, CompileOptions())
                else:
                    lower(data, CompileOptions(compile_to="flow"))
                programs += 1
            except MlirageError:
                pass
            except Exception as error:  # a fault: the test names all of them
                faults.append(f"{name} {seed}: {type(error).__name__}: {error}")
    print(read, "models,", programs, "programs", *faults, sep="\n")
    sys.exit(bool(faults))


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_models(part: int, tmp_path: Path) -> None:
    log = tmp_path / "last"
    program = f"from tests.importers.onnx_damaged_all import *; try_part({part}, {str(log)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=1200, cwd=Path(__file__).parent.parent.parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{log.read_text()}: {done.returncode} {done.stdout} {done.stderr[-2000:]}"
