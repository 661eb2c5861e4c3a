"""StableHLO's attributes that the bindings give no access to, read from their text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlirage.mlir import ir


def dimension_numbers(attribute: ir.Attribute, names: Sequence[str]) -> dict[str, list[int]]:
    """The lists of `#stablehlo.gather<…>` or `#stablehlo.scatter<…>` by name; what the text leaves out is empty.

    `index_vector_dim` stands in every answer and is [0] where the text leaves it out.
    """
    text = str(attribute)
    found: dict[str, list[int]] = {}
    for name in (*names, "index_vector_dim"):
        match = re.search(rf"{name} = \[?([\d, ]*)\]?", text)
        found[name] = [int(number) for number in re.findall(r"\d+", match[1])] if match else []
    found["index_vector_dim"] = found["index_vector_dim"] or [0]
    return found
