"""Pages that are written by programs are what the programs write now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("script", sorted((ROOT / "docs").glob("make_*.py")), ids=lambda path: path.stem)
def test_page_is_current(script: Path) -> None:
    """`docs/make_X.py --check` agrees."""
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, check=False, timeout=300)
    assert done.returncode == 0, f"run `python {script.relative_to(ROOT)}`"
