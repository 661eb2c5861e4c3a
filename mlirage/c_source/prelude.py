"""The parts of prelude.c that a program uses."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_PART = re.compile(r"^//--- (\w+)\n", re.MULTILINE)
_WORD = re.compile(r"\b[a-z]\w*\b")


@functools.cache
def _parts() -> dict[str, str]:
    """Text of each part by the name that it defines, in order."""
    pieces = _PART.split(Path(__file__).with_name("prelude.c").read_text())
    return {name: text.strip() + "\n" for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def prelude_for(text: str) -> str:
    """The parts that `text` names, those that they name, and what everything needs; in order."""
    parts = _parts()
    used: set[str] = {"always"}
    # Macros of the first part name what programs that use them need.
    pending = [text.replace("CHECK_RANGE", "CHECK in_range").replace("CHECK", "fail")]
    while pending:
        for word in _WORD.findall(pending.pop()):
            if word in parts and word not in used:
                used.add(word)
                pending.append(parts[word])
    return "\n".join(part for name, part in parts.items() if name in used)


def rename(text: str, name: str) -> str:
    """`text` with `model_` and `MODEL_` replaced by the program's name."""
    return re.sub(r"\bMODEL_", f"{name.upper()}_", re.sub(r"\bmodel_", f"{name}_", text))
