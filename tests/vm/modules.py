"""Hand-made modules: functions in assembly text."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.module_file import Export, Function, ModuleFile
from mlirage.vm.assembly import assemble


def make_module(
    functions: dict[str, tuple[str, str]], registers: tuple[int, int] = (8, 4), **tables: Any
) -> ModuleFile:
    """A module with the functions name → (convention, code); names without a leading '_' are exported, and '__init'."""
    module = ModuleFile(**tables)
    for name, (convention, _) in functions.items():
        module.functions.append(Function(name, convention, np.zeros(0, np.uint16), *registers))
    for number, (name, (_, code)) in enumerate(functions.items()):
        module.functions[number].code = assemble(code, module)
        if not name.startswith("_") or name == "__init":
            module.exports.append(Export(name, number))
    return module
