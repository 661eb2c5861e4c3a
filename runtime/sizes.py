"""Prints how large the runtime is: `python runtime/sizes.py [ZIG_TARGET [CPU]]`, for this machine with gcc by default.

    python runtime/sizes.py thumb-freestanding-eabi cortex_m4

A line for each folder of what bare metal gets, compiled with -Os; programs link what they use of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

RUNTIME = Path(__file__).parent
FLAGS = ["-std=c11", "-Os", "-ffreestanding", "-fno-stack-protector", "-ffunction-sections", "-fdata-sections",
         "-DMLIRAGE_ERROR_TEXT_SIZE=64", f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]  # fmt: skip
# Systems' files; of the two that tell what the CPU can do, one is for this machine.
_HOSTED = re.compile(r"_posix|_linux|_libc|runtime/|local_task|queue_thread|sharing|loaders/system")


def bare_sources(x86: bool) -> list[Path]:
    """What bare metal is built from."""
    other = "cpu_features_arm_riscv" if x86 else "cpu_features_x86"
    source = RUNTIME / "src"
    return [
        path
        for path in sorted(source.rglob("*.c"))
        if not _HOSTED.search(str(path.relative_to(source))) and path.stem not in (other, "allocator_none")
    ]


def _code_and_data(path: Path) -> tuple[int, int]:
    """Bytes of code with constants, and of variables."""
    line = subprocess.run(["size", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()[1]
    text, data, zeroed = (int(word) for word in line.split()[:3])
    return text, data + zeroed


def main(target: list[str]) -> None:
    compiler = [sys.executable, "-m", "ziglang", "cc", *target, "-fno-sanitize=undefined"] if target else ["gcc"]
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    with tempfile.TemporaryDirectory() as folder:
        for source in bare_sources(x86=not target):
            compiled = Path(folder) / "object.o"
            subprocess.run([*compiler, *FLAGS, "-c", str(source), "-o", str(compiled)], check=True)
            text, data = _code_and_data(compiled)
            part = sums[source.relative_to(RUNTIME / "src").parent.as_posix()]
            for place, value in enumerate((1, text, data)):
                part[place] += value
    print(f"{'folder':24}{'files':>6}{'code':>9}{'data':>7}")
    for folder_name, (files, text, data) in sorted(sums.items()):
        print(f"{folder_name:24}{files:6}{text:9}{data:7}")
    totals = [sum(part[place] for part in sums.values()) for place in range(3)]
    print(f"{'all':24}{totals[0]:6}{totals[1]:9}{totals[2]:7}")


if __name__ == "__main__":
    words = sys.argv[1:]
    main([*(["-target", words[0]] if words else []), *([f"-mcpu={words[1]}"] if len(words) > 1 else [])])
