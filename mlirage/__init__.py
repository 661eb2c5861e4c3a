"""mlirage: compiles machine-learning models to small native modules and runs them.

    model = mlirage.compile("resnet50.onnx")
    run = mlirage.load(model)
    (y,) = run(x)

The runtime needs numpy alone; what compiles is imported when it is first used (`pip install mlirage[compiler]`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlirage.errors import (
    CompileError,
    DeviceError,
    ImportFailure,
    MlirageError,
    TargetError,
    UsageError,
    missing_package,
)

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
    "jit",
    "load",
    "register_custom_call",
]


def compile(source: Any, *arguments: Any, **options: Any) -> CompiledModule:
    """Compiles a model to a module; `mlirage.compiler.compile` tells what it takes and raises."""
    try:
        from mlirage import compiler

        return compiler.compile(source, *arguments, **options)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


def jit(function: Any = None, **settings: Any) -> Any:
    """A JAX function that runs compiled by mlirage; `mlirage.jax_function.jit` tells what it takes."""
    try:
        from mlirage import jax_function

        return jax_function.jit(function, **settings)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error


def load(
    source: Any, device: Any = "local-task", threads: int | None = None, parameters: Any = None, **settings: Any
) -> LoadedModule:
    """Loads a compiled module (a path or bytes) on a device; `mlirage.runtime.load` tells more."""
    from mlirage import runtime

    return runtime.load(source, device, threads, parameters, **settings)


def register_custom_call(target: str, **lowering: Any) -> None:
    """Says what calls of a foreign function compute; `mlirage.importers.custom_calls` tells in which forms."""
    try:
        from mlirage.importers import custom_calls

        custom_calls.register_custom_call(target, **lowering)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
