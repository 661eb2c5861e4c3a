"""Writes type stubs beside the MLIR bindings' native modules, which the wheel ships without: `make check` runs this.

Relative imports inside the wheel then resolve too, so pyright sees the types of every dialect builder.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from nanobind.stubgen import StubGen
from torch_mlir import _mlir_libs

MODULES = ("_mlir", "_mlir.ir", "_mlir.passmanager", "_mlir.rewrite")


def main() -> None:
    """Writes all stubs, unless they are there already."""
    folder = Path(str(_mlir_libs.__file__)).parent
    for name in MODULES:
        path = folder / ("_mlir/__init__.pyi" if name == "_mlir" else f"{name.replace('.', '/')}.pyi")
        if path.exists():
            continue
        module = importlib.import_module(f"torch_mlir._mlir_libs.{name}")
        generator = StubGen(module=module, quiet=True)
        generator.put(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generator.get())


if __name__ == "__main__":
    main()
