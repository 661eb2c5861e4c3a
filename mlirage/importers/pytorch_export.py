"""Makes `torch.export` programs of modules, functions and files, decomposed to the operators that we have.

A module's own graph is that of `torch.export.export(strict=False)`; operators that `pytorch_ops` knows stay as they
are, all others are decomposed as PyTorch defines them.
"""

from __future__ import annotations

import copy
import inspect
import re
import types
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.pytorch_messages import why_not_traced
from mlirage.importers.pytorch_ops.registry import operators
from mlirage.importers.pytorch_tracing import Tracing

_FORMS = (
    "an entry point is an ExportedProgram, or a module or function with its example inputs: "
    "(module, (x, …)), (module, (x, …), {'mask': m}) or (module, (x, …), {}, dynamic_shapes)"
)


@dataclass(frozen=True)
class EntryPoint:
    """A function of the program to be: its name and what it does."""

    name: str
    program: ExportedProgram


@dataclass(frozen=True)
class _Source:
    module: Any
    inputs: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    dynamic_shapes: Any = None


def entry_points(model: Model) -> list[EntryPoint]:
    """The exported and decomposed programs of a model.

    Raises:
      UsageError: example inputs are missing, or given for a program that has its own.
      ImportFailure: PyTorch cannot export it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own tracing
        return [EntryPoint(name, decomposed(program, name)) for name, program in exported_programs(model).items()]


def exported_programs(model: Model) -> dict[str, ExportedProgram]:
    """The programs of a model as PyTorch exports them, by the names of the entry points.

    Raises:
      UsageError, ImportFailure: as `entry_points`.
    """
    source = model.source
    if isinstance(source, Path):
        source = _load(source)
    if isinstance(source, Mapping):
        if model.example_inputs or model.example_keywords or model.dynamic_shapes is not None:
            raise UsageError(f"entry points have inputs of their own: {_FORMS}")
        named = cast(Mapping[str, Any], source)
        return {str(name): _exported(_entry(str(name), entry), str(name)) for name, entry in named.items()}
    given = _Source(source, model.example_inputs, model.example_keywords, model.dynamic_shapes)
    return {"main": _exported(given, type(source).__name__)}


def _entry(name: str, entry: Any) -> _Source:
    if isinstance(entry, ExportedProgram):
        return _Source(entry)
    if isinstance(entry, Model):
        return _Source(entry.source, tuple(entry.example_inputs), entry.example_keywords, entry.dynamic_shapes)
    if isinstance(entry, tuple) and 1 <= len(cast(tuple[Any, ...], entry)) <= 4 and callable(entry[0]):
        module, *rest = cast(tuple[Any, ...], entry)
        inputs = rest[0] if rest else ()
        if not isinstance(inputs, tuple | list):
            raise UsageError(f"entry point {name!r}: {_FORMS}")
        return _Source(module, tuple(cast(Any, inputs)), *rest[1:])
    raise UsageError(f"entry point {name!r} is a {type(entry).__qualname__}; {_FORMS}")


def _load(path: Path) -> ExportedProgram:
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:
        raise ImportFailure(f"{path}: not a program that torch.export.save wrote: {_first_line(error)}") from error


def check_archive(path: Path) -> None:
    """Finds damage before PyTorch's readers, in C++, see it.

    Raises:
      ImportFailure: `path` is no archive, or a part of it is not what was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
            bad = archive.testzip() if not packed else None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ImportFailure(f"{path}: not a program that torch.export.save wrote: {error}") from error
    if packed:
        raise ImportFailure(f"{path}: {packed[0]!r} is compressed, which torch.export.save never does")
    if bad is not None:
        raise ImportFailure(f"{path}: the file is damaged: {bad!r} does not have its checksum")


def _exported(source: _Source, name: str) -> ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own tracing
        program = source.module
        if not isinstance(program, ExportedProgram):
            program = _export(source, name)
        elif source.inputs or source.keywords or source.dynamic_shapes is not None:
            raise UsageError("an ExportedProgram says its inputs itself: no example inputs, no dynamic_shapes")
        return program


def _export(source: _Source, name: str) -> ExportedProgram:
    if not source.inputs and not source.keywords and _needs_inputs(source.module):
        raise UsageError(f"{name} is traced with example inputs: mlirage.compile(model, (x, …))")
    if isinstance(source.module, type):
        raise UsageError(f"{source.module.__qualname__} is a class: make an instance of it")
    _check_inputs(source)
    try:
        with torch.no_grad(), Tracing():
            program = torch.export.export(
                as_module(source.module),
                tuple(source.inputs),
                dict(source.keywords),
                dynamic_shapes=source.dynamic_shapes,
                strict=False,
            )
    except Exception as error:  # whatever a model's own code and PyTorch's tracing raise
        raise ImportFailure(f"torch.export cannot trace {name}: {why_not_traced(error)}") from error
    if not isinstance(source.module, torch.nn.Module):
        _locate(program, source.module)
    return program


def _check_inputs(source: _Source) -> None:
    """Compiled code sees dense tensors of numbers.

    Raises:
      UsageError: an example input is another kind of tensor, or an array of numpy.
    """
    for path, leaf in pytree.tree_leaves_with_path((tuple(source.inputs), dict(source.keywords))):
        where = "".join(str(key) for key in path[1:])
        if isinstance(leaf, np.ndarray):
            raise UsageError(f"example input {where} is an array of numpy: give torch.from_numpy(x)")
        if isinstance(leaf, torch.Tensor) and leaf.is_quantized:
            raise UsageError(f"example input {where} is a quantized tensor: give x.dequantize() or x.int_repr()")
        if isinstance(leaf, torch.Tensor) and leaf.layout != torch.strided:
            raise UsageError(f"example input {where} is a tensor of layout {leaf.layout}: give x.to_dense()")


def _locate(program: ExportedProgram, function: Any) -> None:
    """PyTorch notes lines of modules alone: nodes of a function are where the function is."""
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None)
    for node in program.graph.nodes:
        trace = node.meta.get("stack_trace")
        if trace and code is not None:
            ours = f'File "{__file__}", line '
            at = f'File "{code.co_filename}", line {code.co_firstlineno}, in '
            node.meta["stack_trace"] = re.sub(re.escape(ours) + r"\d+, in ", lambda _, at=at: at, trace)


def _needs_inputs(module: Any) -> bool:
    function = module.forward if isinstance(module, torch.nn.Module) else module
    signature = _signature(function)
    parameters = signature.parameters.values() if signature is not None else ()
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def as_module(source: Any) -> torch.nn.Module:
    """A module, or one whose `forward` is a function; modules that the function reaches are parts of it."""
    if isinstance(source, torch.nn.Module):
        return source
    module = torch.nn.Module()
    for i, found in enumerate(_modules_of(source)):
        module.add_module(f"module{i}" if i else "module", found)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return source(*args, **kwargs)

    kind = type(f"{getattr(source, '__name__', 'Function')}", (torch.nn.Module,), {"forward": forward})
    module.__class__ = kind
    signature = _signature(source)
    if signature is None:
        return module
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    positional = [
        p.replace(kind=p.POSITIONAL_ONLY) if p.kind is p.POSITIONAL_ONLY else p for p in signature.parameters.values()
    ]
    forward.__signature__ = signature.replace(parameters=[first, *positional])  # pyright: ignore
    return module


def _signature(function: Any) -> inspect.Signature | None:
    """None for PyTorch's functions in C."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def _modules_of(function: Any) -> list[torch.nn.Module]:
    """The modules that a function is bound to or closes over: their parameters are state of the program."""
    found: list[Any] = []
    if isinstance(function, types.MethodType):
        found.append(function.__self__)
        function = function.__func__
    cells = getattr(function, "__closure__", None) or ()
    found += [cell.cell_contents for cell in cells]
    code = getattr(function, "__code__", None)
    if code is not None:
        found += [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    return [value for value in found if isinstance(value, torch.nn.Module)]


def decomposed(program: ExportedProgram, name: str = "the program") -> ExportedProgram:
    """The program in operators of which as many as possible are ours."""
    program = _without_doubles(program)
    try:
        with torch.no_grad():
            return program.run_decompositions(decompositions())
    except Exception as error:
        raise ImportFailure(f"PyTorch cannot decompose {name}: {type(error).__name__}: {error}") from error


def _without_doubles(program: ExportedProgram) -> ExportedProgram:
    """The program with constants that are parameters or buffers, reached another way, as these.

    Caches of transformers are buffers and Python objects at once; PyTorch cannot make such graphs functional.
    """
    kept: dict[Any, str] = {}
    doubles: dict[str, str] = {}
    specs = program.graph_signature.input_specs
    for spec in specs:
        value = program.state_dict.get(str(spec.target), program.constants.get(str(spec.target)))
        if not isinstance(value, torch.Tensor) or not value.numel() or value.is_meta or value.layout != torch.strided:
            continue
        key = value.data_ptr(), value.dtype, tuple(value.shape), value.stride()
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            kept.setdefault(key, spec.arg.name)
        elif spec.kind is InputKind.CONSTANT_TENSOR and key in kept:
            doubles[spec.arg.name] = kept[key]
    if not doubles:
        return program
    module = copy.deepcopy(program.graph_module)
    nodes = {node.name: node for node in module.graph.nodes}
    for double, name in doubles.items():
        nodes[double].replace_all_uses_with(nodes[name])
        module.graph.erase_node(nodes[double])
    module.recompile()
    signature = copy.copy(program.graph_signature)
    signature.input_specs = [spec for spec in specs if spec.arg.name not in doubles]
    return program._update(module, signature)  # pyright: ignore[reportPrivateUsage]


def decompositions() -> dict[Any, Any]:
    """PyTorch's decompositions of all operators for which we have no function."""
    known = operators()
    table: dict[Any, Any] = dict(torch.export.default_decompositions().items())
    everything = torch._decomp.decomposition_table  # pyright: ignore[reportAttributeAccessIssue]
    for operator, function in everything.items():
        if isinstance(operator, torch._ops.OpOverload) and operator not in table:  # pyright: ignore
            table[operator] = function
    return {operator: function for operator, function in table.items() if str(operator) not in known}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
