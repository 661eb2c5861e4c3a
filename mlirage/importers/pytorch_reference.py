"""What a PyTorch program should give: eager PyTorch, and each node of the decomposed graph in turn."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx import Interpreter
from torch.fx.node import Node
from torch.utils import _pytree as pytree

from mlirage.checking import Inside
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.pytorch import import_entry_points
from mlirage.importers.pytorch_aten import import_graph
from mlirage.importers.pytorch_export import EntryPoint, decomposed, exported_programs
from mlirage.importers.pytorch_graph import describe
from mlirage.importers.pytorch_ops.registry import numpy_dtype
from mlirage.importers.pytorch_state import array_of
from mlirage.options import CompileOptions
from mlirage.program import Array, Program


class PyTorchReference:
    """A program and eager PyTorch.

    Args:
      model: whatever `mlirage.compile` takes of PyTorch.
      engine: `auto` or `eager`.

    Raises:
      UsageError: another engine, or example inputs are missing.
      ImportFailure: PyTorch cannot export or read it.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", "eager"):
            raise UsageError(f"--reference={engine}: PyTorch programs are compared with eager PyTorch")
        self.engine = "eager"
        self.exported = exported_programs(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own tracing
            self.entries = [EntryPoint(name, decomposed(program, name)) for name, program in self.exported.items()]

    def program(self, options: CompileOptions) -> Program:
        """The program, imported."""
        return import_entry_points(self.entries, options)

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """What eager PyTorch gives: results, then the new values of arguments that it changed.

        Raises:
          ImportFailure: it fails.
        """
        program = self.exported[function]
        tensors = [_tensor(x) for x in arguments]
        remaining = iter(tensors)
        inputs = [spec for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
        flat = [
            spec.arg.value if isinstance(spec.arg, ConstantArgument) else _argument(spec.arg, next(remaining))
            for spec in inputs
        ]
        try:
            positional, keywords = pytree.tree_unflatten(flat, program.call_spec.in_spec)  # pyright: ignore
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                if program.graph_signature.buffers_to_mutate:  # what a call changes must not be there in the next
                    program = copy.deepcopy(program)
                results = program.module()(*positional, **keywords)
        except Exception as error:  # whatever a model raises
            raise ImportFailure(f"the reference (eager) fails: {type(error).__name__}: {error}") from error
        leaves = pytree.tree_leaves(results)
        decomposed_program = next(entry.program for entry in self.entries if entry.name == function)
        specs = decomposed_program.graph_signature.output_specs
        returned = [spec for spec in specs if spec.kind in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT)]
        found = [x for spec, x in zip(returned, leaves, strict=True) if not isinstance(spec.arg, ConstantArgument)]
        names = [spec.arg.name for spec in inputs if not isinstance(spec.arg, ConstantArgument)]
        changed = [spec.target for spec in specs if spec.kind is OutputKind.USER_INPUT_MUTATION]
        found += [tensors[names.index(str(name))] for name in changed]
        return [_array(x) for x in found]

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside:
        """The value of every node of the decomposed graph."""
        program = next(entry.program for entry in self.entries if entry.name == function)
        module = copy.deepcopy(program.graph_module)
        inputs, constants = _inputs(program, arguments)
        recorder = _Recorder(module)
        with torch.no_grad():
            recorder.run(*inputs)
        nodes = [node for node in module.graph.nodes if node in recorder.found]
        (output,) = (node for node in module.graph.nodes if node.op == "output")
        output.args = (tuple(nodes),)
        module.recompile()
        values = [(node.name, re.sub("^node ", "", describe(node))) for node in nodes]
        wanted = [_array(recorder.found[node]) for node in nodes]
        return Inside(import_graph(module, constants, options), values, wanted)


class _Recorder(Interpreter):
    """Runs a graph and keeps the tensors that its nodes make."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.found: dict[Node, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, torch.Tensor) and _has_numpy_type(value):
            self.found[n] = value.clone()
        return value


def _has_numpy_type(value: torch.Tensor) -> bool:
    try:
        numpy_dtype(value.dtype)
    except ValueError:
        return False
    return value.layout is torch.strided


def _inputs(program: ExportedProgram, arguments: Sequence[Array]) -> tuple[list[Any], dict[int, torch.Tensor]]:
    """What the graph is called with, and which of that, by number, are the program's own tensors.

    Raises:
      UsageError: an input that the graph importer has no word for.
    """
    remaining = iter(arguments)
    inputs: list[Any] = []
    constants: dict[int, torch.Tensor] = {}
    for i, spec in enumerate(program.graph_signature.input_specs):
        if spec.kind is InputKind.USER_INPUT:
            if isinstance(spec.arg, ConstantArgument):
                raise UsageError(f"input {spec.arg.name!r} is fixed to {spec.arg.value!r}")
            inputs.append(_argument(spec.arg, _tensor(next(remaining))))
            continue
        value = program.state_dict.get(str(spec.target), program.constants.get(str(spec.target)))
        if not isinstance(value, torch.Tensor):
            raise UsageError(f"the program's {spec.target!r} is no tensor")
        constants[i] = value.detach().clone()
        inputs.append(constants[i])
    return inputs, constants


def _argument(spec: Any, value: torch.Tensor) -> Any:
    """A tensor, or the number that it holds where the program takes one."""
    return value.item() if type(spec).__name__.startswith("Sym") else value


def _tensor(array: Any) -> torch.Tensor:
    array = np.array(array, order="C")  # a copy: programs may change their arguments
    kind = getattr(torch, array.dtype.name, None)
    if array.dtype.name.startswith(("bfloat", "float8")) and kind is not None:
        bits = np.int16 if array.dtype.itemsize == 2 else np.uint8
        return torch.from_numpy(array.view(bits)).view(kind)
    return torch.from_numpy(array)


def _array(value: Any) -> Any:
    return array_of(value, "a result") if isinstance(value, torch.Tensor) else value
