"""PyTorch programs become programs: modules, functions, ExportedPrograms, .pt2 files, several entry points at once.

    class Net(Module) ──torch.export──> ATen graph ──a function per operator──> func.func @main in linalg, tensor, …

Parameters stay where PyTorch has them (`pytorch_state.py`); buffers that calls change are globals of the program. An
argument that a call changes comes back as a further result, which the caller's tensor takes over (`mutated` in the
signature).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymIntArgument,
    TensorArgument,
    TokenArgument,
)
from torch.utils._sympy.numbers import int_oo

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.pytorch_arguments import Argument, bind_arguments, described_result, result_tensor
from mlirage.importers.pytorch_export import EntryPoint, check_archive, entry_points
from mlirage.importers.pytorch_graph import GraphImporter, check_supported
from mlirage.importers.pytorch_ops.registry import as_tensor, numpy_dtype
from mlirage.importers.pytorch_state import State
from mlirage.importers.pytorch_trees import input_tree, output_tree
from mlirage.importers.worker import import_in_worker
from mlirage.input import builders as b
from mlirage.input.builders import Tensor, TensorBuilder
from mlirage.mlir import func, ir, new_context, run_pipeline
from mlirage.options import CompileOptions
from mlirage.program import Program

_MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)


def import_pytorch(model: Model, options: CompileOptions) -> Program:
    """Imports a PyTorch model.

    Raises:
      UsageError: example inputs are missing.
      ImportFailure: PyTorch cannot export it, or it holds operators that are not supported (all are listed).
    """
    if isinstance(model.source, Path):
        if model.example_inputs or model.example_keywords or model.dynamic_shapes is not None:
            raise UsageError("an ExportedProgram says its inputs itself: no example inputs, no dynamic_shapes")
        check_archive(model.source)
        return import_in_worker("pytorch:import_archive", model.source, options)
    return import_entry_points(entry_points(model), options)


def import_archive(path: Path, options: CompileOptions) -> Program:
    """Imports a file of `torch.export.save` in this process.

    Raises:
      ImportFailure: as `import_pytorch`.
    """
    return import_entry_points(entry_points(Model(path)), options)


def import_entry_points(entries: Sequence[EntryPoint], options: CompileOptions) -> Program:
    """Imports exported and decomposed programs.

    Raises:
      ImportFailure: they hold operators that are not supported (all are listed).
    """
    check_supported([entry.program.graph_module for entry in entries])
    program = Program(ir.Module.create(ir.Location.unknown(new_context())), options=options)
    with program.context, ir.Location.unknown():
        state = State(program)
        for entry in entries:
            for name in _mutated_names(entry):
                state.add_variable(name, _tensor_of(entry, name))
        builder: TensorBuilder | None = None
        for entry in entries:
            builder = _Function(entry, program, state).build(builder)
        try:
            run_pipeline(program.module.operation, "cse")
        except ir.MLIRError as error:
            raise ImportFailure(
                f"the importer made invalid IR (a fault of mlirage, please report it): {error}"
            ) from error
    return program


def _mutated_names(entry: EntryPoint) -> list[str]:
    return [str(spec.target) for spec in entry.program.graph_signature.output_specs if spec.kind in _MUTATIONS]


def _tensor_of(entry: EntryPoint, name: str) -> torch.Tensor:
    program = entry.program
    value = program.state_dict.get(name, program.constants.get(name))
    if not isinstance(value, torch.Tensor):
        raise ImportFailure(f"entry point {entry.name!r}: the program does not contain its tensor {name!r}")
    return value


class _Function:
    """Builds the function of an entry point."""

    def __init__(self, entry: EntryPoint, program: Program, state: State) -> None:
        self.entry = entry
        self.exported = entry.program
        self.program = program
        self.state = state
        self.placeholders = {node.name: node for node in self.exported.graph.nodes if node.op == "placeholder"}
        self.arguments = self._user_arguments()

    def _user_arguments(self) -> list[Argument]:
        arguments: list[Argument] = []
        for spec in self.exported.graph_signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT or isinstance(spec.arg, ConstantArgument):
                continue
            node = self.placeholders[spec.arg.name]
            value = node.meta["val"]
            if isinstance(spec.arg, TensorArgument):
                try:
                    arguments.append(Argument(node, node.name, numpy_dtype(value.dtype), list(value.shape)))
                except ValueError as error:
                    raise ImportFailure(f"input {node.name!r}: {error}") from error
            elif isinstance(spec.arg, SymIntArgument):
                arguments.append(Argument(node, node.name, b.INT64, []))
            else:
                kind = type(spec.arg).__name__.removesuffix("Argument")
                raise ImportFailure(
                    f"input {node.name!r} is a {kind}; inputs are tensors, and numbers that do not vary"
                )
        return arguments

    def build(self, previous: TensorBuilder | None) -> TensorBuilder:
        """Adds the function to the module; it shares the weights of the one built before."""
        kinds = [argument.kind for argument in self.arguments]
        with ir.InsertionPoint(self.program.module.body):
            function = func.FuncOp(self.entry.name, ir.FunctionType.get(kinds, []))
        block = function.add_entry_block([ir.Location.name(a.name) for a in self.arguments])
        builder = TensorBuilder(self.program.module, block, self.program.constants)
        if previous is not None:
            builder.share_weights(previous)
        with builder.active(), builder.block(block):
            importer = GraphImporter(self.exported.graph_module, self.state)
            values = bind_arguments(self.arguments, builder, block, importer)
            self._check_ranges(builder, importer)
            results, specs = self._run(importer, values)
            tensors = [result_tensor(value) for value in results]
            with ir.Location.name("return"):
                returned = [tensor.value for tensor in tensors]
                func.ReturnOp(returned)
            builder.finish()
        made = [value.type for value in returned]
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, made))
        function.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(self._signature(tensors, specs)))
        return builder

    def _check_ranges(self, builder: TensorBuilder, importer: GraphImporter) -> None:
        """Extents outside the range that was exported fail; up to 2 is what PyTorch assumes without being told."""
        for symbol, bounds in self.exported.range_constraints.items():
            dim = importer.symbols.get(symbol)
            if dim is None or isinstance(dim, int):
                continue
            if bounds.lower.is_Integer and int(bounds.lower) > 2:
                builder.require_at_least(dim, int(bounds.lower), f"dynamic extent {symbol} is at least {bounds.lower}")
            if bounds.upper is not int_oo and bounds.upper.is_Integer and int(bounds.upper) < 2**31:
                builder.require_at_least(int(bounds.upper), dim, f"dynamic extent {symbol} is at most {bounds.upper}")

    def _run(self, importer: GraphImporter, values: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Imports the graph; the values that the function returns, with what they are."""
        inputs: list[Any] = []
        for spec in self.exported.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                inputs.append(spec.arg.value if isinstance(spec.arg, ConstantArgument) else values[spec.arg.name])
            elif isinstance(spec.arg, TokenArgument):
                inputs.append(None)
            elif isinstance(spec.arg, TensorArgument):
                name = str(spec.target)
                with ir.Location.name(name):
                    inputs.append(self.state.value(name, _tensor_of(self.entry, name)))
            else:
                raise ImportFailure(f"{spec.target!r} is a {type(spec.arg).__name__}: only tensors can be state")
        outputs = importer.run(inputs)
        results: list[Any] = []
        specs: list[Any] = []
        pairs = list(zip(self.exported.graph_signature.output_specs, outputs, strict=True))
        pairs.sort(key=lambda pair: pair[0].kind is OutputKind.USER_INPUT_MUTATION)  # the last results
        for spec, value in pairs:
            if spec.kind in _MUTATIONS:
                name = str(spec.target)
                with ir.Location.name(name):
                    self.state.store(_tensor_of(self.entry, name), as_tensor(value))
            elif spec.kind in (OutputKind.USER_OUTPUT, OutputKind.LOSS_OUTPUT, OutputKind.USER_INPUT_MUTATION):
                specs.append(spec)
                if not isinstance(spec.arg, ConstantArgument):
                    results.append(value)
            elif spec.kind is not OutputKind.TOKEN:
                raise ImportFailure(f"results of kind {spec.kind.name} are not supported")
        return results, specs

    def _signature(self, results: list[Tensor], specs: list[Any]) -> dict[str, Any]:
        user = [spec for spec in specs if spec.kind is not OutputKind.USER_INPUT_MUTATION]
        constants = [spec.arg.value if isinstance(spec.arg, ConstantArgument) else torch.Tensor for spec in user]
        names = [a.name for a in self.arguments]
        mutated = [names.index(str(spec.target)) for spec in specs if spec.kind is OutputKind.USER_INPUT_MUTATION]
        returned = [spec for spec in specs if not isinstance(spec.arg, ConstantArgument)]
        fixed = {
            i: spec.arg.value
            for i, spec in enumerate(
                s for s in self.exported.graph_signature.input_specs if s.kind is InputKind.USER_INPUT
            )
            if isinstance(spec.arg, ConstantArgument)
        }
        signature: dict[str, Any] = {
            "arguments": [argument.described() for argument in self.arguments],
            "results": [
                described_result(str(spec.arg.name), tensor) for spec, tensor in zip(returned, results, strict=True)
            ],
            "source": "pytorch",
            "in_tree": input_tree(self.exported.call_spec.in_spec, fixed),
            "out_tree": output_tree(self.exported.call_spec.out_spec, constants),
        }
        if mutated:
            signature["mutated"] = mutated
            signature["out_tree"] = {"tuple": [signature["out_tree"], {"tuple": ["*"] * len(mutated)}]}
        return signature
