"""The most memory that a process and its descendants hold at any time, seen from outside of it.

    with PeakMemory() as peak:
        …
    print(peak.bytes)

The watcher is a process of its own: one that works holds its interpreter's lock, and would not look often enough.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_INTERVAL = 0.02


def tree_bytes(root: int, without: int | None = None) -> int:
    """Resident memory of a process and its descendants but `without`, shared pages counted once (PSS)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:  # it ended meanwhile
                continue
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family and pid != without} - family:
        family |= more
    total = 0
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class PeakMemory:
    """Watches this process while the block runs.

    Attributes:
      bytes: how much more it held, at most, than when the block began.
    """

    def __enter__(self) -> PeakMemory:
        self.bytes = 0
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory", str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        assert self._watcher.stdout is not None
        self._held = int(self._watcher.stdout.readline())
        return self

    def __exit__(self, *_: Any) -> None:
        said, _ = self._watcher.communicate()
        self.bytes = int(said) - self._held


def _watch(process: int) -> None:
    """Says what `process` holds now, and when the standard input ends, the most that it held."""
    peak = tree_bytes(process, without=os.getpid())
    sys.stdout.write(f"{peak}\n")
    sys.stdout.flush()
    os.set_blocking(sys.stdin.fileno(), False)
    while sys.stdin.buffer.raw.read(1) is None:
        peak = max(peak, tree_bytes(process, without=os.getpid()))
        time.sleep(_INTERVAL)
    sys.stdout.write(f"{peak}\n")


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
