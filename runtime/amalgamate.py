"""Writes the whole runtime as two files, mlirage.h and mlirage.c: `python runtime/amalgamate.py FOLDER`.

    cc -std=c11 -c mlirage.c && cc app.c mlirage.o -ldl -lpthread -lm

Every file of the runtime has functions of its own called `destroy` or `create`. In one file these get the name of the
file in front: `static void destroy(…)` of src/hal/buffer.c becomes `hal_buffer_destroy`. Members keep their names, so a
file's own struct must have no member that is called like one of its functions. Needs Python alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

RUNTIME = Path(__file__).parent
PUBLIC = RUNTIME / "include" / "mlirage"
_INCLUDE = re.compile(r'^#include ("([^"]+)"|<([^>]+)>)[^\n]*\n', re.M)
_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|(?:\.|->)\s*[A-Za-z_]\w*|\b[A-Za-z_]\w*', re.S
)
# Names that a file gives at its outermost level, where lines begin without indentation.
_OWN = [
    re.compile(r"^static (?:inline )?[\w *]*?\b(\w+)\(", re.M),
    re.compile(r"^static [\w *]*?\b(\w+)(?:\[[^\]]*\])* = ", re.M),
    re.compile(r"^typedef (?:struct|enum|union) (\w+) \{", re.M),
    re.compile(r"^\} (\w+);", re.M),
    re.compile(r"^typedef [^{;]*?\b(\w+);", re.M),
    re.compile(r"^typedef [^{;]*?\(\*(\w+)\)\(", re.M),
    re.compile(r"^(?:typedef )?enum (?:\w+ )?\{([^}]*)\}", re.M),
]


def own_names(source: str) -> set[str]:
    """What `source` declares for itself: without the runtime's prefix."""
    names: set[str] = set()
    for pattern in _OWN:
        for match in pattern.findall(source):
            names.update(re.findall(r"\b[A-Za-z_]\w*\b(?=\s*(?:=[^,]*)?(?:,|$))", match) if "," in match else [match])
    names = {name.strip() for name in names}
    return {name for name in names if re.fullmatch(r"\w+", name) and not re.match(r"(?i)mlirage_|_[A-Z]", name)}


def renamed(source: str, names: set[str], prefix: str) -> str:
    """`source` with `names` behind `prefix`; members (`x.name`, `x->name`) keep theirs."""

    def replace(match: re.Match[str]) -> str:
        token = match.group()
        return prefix + token if token in names else token

    return _TOKEN.sub(replace, source)


class Amalgamation:
    """Collects sources; each header of the runtime's inside goes in once, where it is first needed."""

    def __init__(self) -> None:
        self.done: set[Path] = set()
        self.parts: list[str] = []

    def add(self, path: Path) -> None:
        text = path.read_text()
        if path.suffix == ".c":
            # The amalgamation asks for everything once, at its top.
            text = re.sub(r"^#define _\w+_SOURCE[^\n]*\n", "", text, flags=re.M)
        text = _INCLUDE.sub(lambda match: self._included(match), text)
        if path.suffix == ".c":
            names = own_names(text)
            prefix = "_".join(path.relative_to(RUNTIME / "src").with_suffix("").parts) + "_"
            text = renamed(text, names, prefix)
            # Macros keep their names, for they may be pasted together, and end with their file.
            macros = dict.fromkeys(re.findall(r"^#define (\w+)", text, re.M))
            text += "".join(f"#undef {name}\n" for name in macros)
        self.parts.append(f"//===--- {path.relative_to(RUNTIME)}\n{text}\n")

    def _included(self, match: re.Match[str]) -> str:
        system, name = match.group(3), match.group(2)
        if system:
            # Those of one operating system stand behind an #if of it.
            return match.group()
        if name.startswith("mlirage/"):
            return ""
        path = RUNTIME / "src" / name
        if path.suffix == ".def":
            return path.read_text()
        if path not in self.done:
            self.done.add(path)
            self.add(path)
        return ""


def header() -> str:
    """All public headers, each behind those that it includes."""
    parts = ["// The whole public interface of the mlirage runtime. Made by runtime/amalgamate.py.\n"]
    done: set[Path] = set()

    def add(path: Path) -> None:
        if path in done:
            return
        done.add(path)
        text = path.read_text()
        for name in re.findall(r'^#include "mlirage/([^"]+)"\n', text, re.M):
            add(PUBLIC / name)
        parts.append(re.sub(r'^#include "mlirage/[^"]+"\n', "", text, flags=re.M))

    for path in sorted(PUBLIC.glob("*.h")):
        add(path)
    return "\n".join(parts)


def source() -> str:
    """All of the runtime, for hosts with threads and files."""
    amalgamation = Amalgamation()
    for path in sorted((RUNTIME / "src").rglob("*.c")):
        if not path.name.endswith("none.c"):
            amalgamation.add(path)
    top = (
        "// The whole mlirage runtime. Made by runtime/amalgamate.py.\n#define _GNU_SOURCE\n#define _DARWIN_C_SOURCE\n"
    )
    return top + '#include "mlirage.h"\n\n' + "".join(amalgamation.parts)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlirage.h").write_text(header())
    (folder / "mlirage.c").write_text(source())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python amalgamate.py FOLDER")
    main(Path(sys.argv[1]))
