"""mlirage: compiles machine-learning models to small native modules and runs them.

    model = mlirage.compile("resnet50.onnx")
    run = mlirage.load(model)
    (y,) = run(x)

The runtime needs numpy alone; what compiles is imported when it is first used (`pip install mlirage[compiler]`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlirage.errors import CompileError, DeviceError, ImportFailure, MlirageError, TargetError, UsageError

if TYPE_CHECKING:
    from mlirage.compiled_module import CompiledModule
    from mlirage.runtime import LoadedModule

__all__ = [
    "CompileError",
    "DeviceError",
    "ImportFailure",
    "MlirageError",
    "TargetError",
    "UsageError",
    "compile",
    "load",
]


def compile(source: Any, **options: Any) -> CompiledModule:
    """Compiles a model to a module; `mlirage.compiler.compile` tells what it takes and raises."""
    try:
        from mlirage import compiler
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "mlirage":
            raise
        raise UsageError(f"compiling needs the package {error.name!r}: pip install 'mlirage[compiler]'") from error
    return compiler.compile(source, **options)


def load(source: Any, device: Any = "local-task", threads: int | None = None, parameters: Any = None) -> LoadedModule:
    """Loads a compiled module (a path or bytes) on a device; `mlirage.runtime.load` tells more."""
    from mlirage import runtime

    return runtime.load(source, device, threads, parameters)
