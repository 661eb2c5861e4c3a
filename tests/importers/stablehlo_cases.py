"""Cases for the operations of the StableHLO specification, for the reference interpreter and mlirage.

    python -m tests.importers.stablehlo_cases [PATTERN]

runs those whose name matches and prints what differs. Files beside this one hold the cases of each section.
"""

from __future__ import annotations

import re
import sys
import zlib

from tests.importers import (
    stablehlo_dynamic,
    stablehlo_elementwise,
    stablehlo_indexing,
    stablehlo_programs,
    stablehlo_quantized,
    stablehlo_structural,
)
from tests.importers.stablehlo_oracle import Case, failures

SECTIONS = {
    "elementwise": stablehlo_elementwise.cases,
    "structural": stablehlo_structural.cases,
    "indexing": stablehlo_indexing.cases,
    "programs": stablehlo_programs.cases,
    "dynamic": stablehlo_dynamic.cases,
    "quantized": stablehlo_quantized.cases,
}
_SAMPLED = 25


def cases(section: str) -> list[Case]:
    """All cases of a section."""
    return list(SECTIONS[section]())


def sampled(section: str) -> list[Case]:
    """Those that every test run takes: some of each section."""
    return [
        case
        for number, case in enumerate(cases(section))
        if number == 0 or zlib.crc32(case.name.encode()) % _SAMPLED == 0
    ]


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [case for section in SECTIONS for case in cases(section) if pattern.search(case.name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:600]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
