"""The parts of a page that a program writes: between `<!-- NAME: SCRIPT -->` and `<!-- end of NAME -->`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def write(page: Path, parts: dict[str, str]) -> int:
    """Puts `parts` into `page`, or with `--check` on the command line compares; the exit status."""
    before = text = page.read_text()
    for name, part in parts.items():
        pattern = rf"(<!-- {name}: \S+ -->\n).*?(\n<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda match, part=part: f"{match[1]}{part}{match[2]}", text, flags=re.DOTALL)
        if count != 1:
            sys.stderr.write(f"{page.name} has no place for {name}\n")
            return 1
    if "--check" in sys.argv[1:]:
        return int(text != before)
    page.write_text(text)
    return 0
