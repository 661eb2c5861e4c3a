"""Writes type stubs beside the MLIR bindings' native modules, which the wheel ships without: `make check` runs this.

Relative imports inside the wheel then resolve too, so pyright sees the types of every dialect builder. What nanobind's
generator cannot know is mended in the text: the parameter of the generic classes, and the classes that take constraint
arguments in declarations of operations (`OpResult[UtilBuffer]`, `IntegerType[32]`).
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from nanobind.stubgen import StubGen
from torch_mlir import _mlir_libs

MODULES = (
    "_mlir",
    "_mlir.ir",
    "_mlir.passmanager",
    "_mlir.rewrite",
    "_mlirDialectsLinalg",
    "_mlirDialectsLLVM",
    "_stablehlo",
    "_torchMlir",
)

# Covariant, for a value of tensor type is a value; without an argument any type is meant, as in the bindings' own code.
TYPE_VARIABLE = """
from typing import Any
from typing_extensions import TypeVar

_T = TypeVar("_T", default=Any, covariant=True)
"""
# The extensible dialect reads `IntegerType[32]` as a constraint; the class itself has no parameter.
SUBSCRIPT = """
    @classmethod
    def __class_getitem__(cls, width: int, /) -> type[Self]: ...
"""


def mended(text: str) -> str:
    """What nanobind's generator cannot know of a stub, written into it."""
    # The extension names its modules without their package, which resolves nowhere.
    own = "from torch_mlir._mlir_libs._mlir import ir as _ir"
    text = re.sub(r"^import _mlir\.ir$", own, text, flags=re.MULTILINE)
    text = re.sub(r"(?<![\w.])_mlir\.ir\.", "_ir.", text)
    # `current` raises where there is none. A flat symbol reference is a symbol reference; the binding's class is not
    # derived from the other's, but converts implicitly.
    text = re.sub(r"(current: Final\[\w+) \| None\]", r"\1]", text)
    text = text.replace("class FlatSymbolRefAttr(Attribute):", "class FlatSymbolRefAttr(SymbolRefAttr):")
    if "Generic[_T]" in text and "_T = TypeVar" not in text:
        start = text.index("\nclass ")
        text = text[:start] + TYPE_VARIABLE + text[start:]
    return text.replace("class IntegerType(Type):\n", "class IntegerType(Type):" + SUBSCRIPT + "\n")


def main() -> None:
    """Writes all stubs anew."""
    folder = Path(str(_mlir_libs.__file__)).parent
    for name in MODULES:
        module = importlib.import_module(f"torch_mlir._mlir_libs.{name}")
        generator = StubGen(module=module, quiet=True)
        generator.put(module)
        path = folder / ("_mlir/__init__.pyi" if name == "_mlir" else f"{name.replace('.', '/')}.pyi")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mended(generator.get()))


if __name__ == "__main__":
    main()
