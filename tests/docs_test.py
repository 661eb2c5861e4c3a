"""Every command and Python example of the documents is executed, in a fresh folder with the repository's files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Commands that this test is part of, or that the demo test runs.
_RUN_ELSEWHERE = ("make ",)


def _documents_with_examples() -> list[Path]:
    return [document for document in DOCUMENTS if _BLOCK.search(document.read_text())]


@pytest.mark.parametrize("document", _documents_with_examples(), ids=lambda path: path.name)
def test_examples_run(document: Path, tmp_path: Path) -> None:
    """The blocks of a document run in order, each seeing the files of those before."""
    for name in ("examples", "runtime", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, text in _BLOCK.findall(document.read_text()):
        if language == "python":
            command = [sys.executable, "-c", text]
        else:
            lines = [line for line in text.splitlines() if not line.startswith(_RUN_ELSEWHERE)]
            command = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{document.name}: {text}\n{done.stdout}\n{done.stderr}"
