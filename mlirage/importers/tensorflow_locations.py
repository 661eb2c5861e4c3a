"""Locations of TensorFlow's modules: of types, functions and calls remains the node's name.

#loc3 = loc("MatMul:")
#loc4 = loc("dense/MatMul@__inference_f_77")
#loc9 = loc(callsite(fused[#loc3, #loc4] at #loc7))   ->   #loc9 = loc("dense/MatMul")
"""

from __future__ import annotations

import re

_ALIAS = re.compile(r"^(#loc\d*) = loc\((.*)\)$", re.MULTILINE)
_PART = re.compile(r'#loc\d*|"(?:[^"\\]|\\.)*"(?::\d+:\d+)?')
_INLINE = re.compile(r'loc\(((?:callsite|fused)\((?:[^"()]|"(?:[^"\\]|\\.)*"|\([^()]*\))*\)|fused\[[^\]]*\])\)')


def plain_locations(text: str) -> str:
    """The text of a module with a name, or nothing, for every location."""
    written = dict(_ALIAS.findall(text))
    found: dict[str, str] = {}

    def name(content: str, depth: int = 0) -> str:
        """The first node that a location names; empty if it names none."""
        for part in _PART.findall(content):
            if part.startswith("#"):
                if part not in found:
                    found[part] = ""  # a location that names itself names nobody
                    found[part] = name(written.get(part, ""), depth + 1)
                if found[part]:
                    return found[part]
            elif not part.endswith(':"') and part.endswith('"'):
                node = part[1:-1].partition("@")[0]
                if node:
                    return node
        return ""

    def line(match: re.Match[str]) -> str:
        node = name(match[1])
        return f'{match[1]} = loc("{node}")' if node else f"{match[1]} = loc(unknown)"

    def inline(match: re.Match[str]) -> str:
        node = name(match[1])
        return f'loc("{node}")' if node else "loc(unknown)"

    return _INLINE.sub(inline, _ALIAS.sub(line, text))


def node_of(message: str) -> str:
    """The first node that a message of MLIR names as a place; empty if there is none."""
    match = re.search(r'loc\((?:callsite\()?(?:fused\[)?((?:"[^"]*"(?:, )?)+)', message)
    names = [name.partition("@")[0] for name in re.findall(r'"([^"]*)"', match[1])] if match else []
    return next((name for name in names if name and not name.endswith(":")), "")
