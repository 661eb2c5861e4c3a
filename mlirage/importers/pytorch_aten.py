"""Plain ATen graphs, as `torch.compile` hands them over, become programs with one function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from mlirage.errors import ImportFailure
from mlirage.importers.pytorch_arguments import Argument, bind_arguments, described_result, result_tensor
from mlirage.importers.pytorch_graph import GraphImporter, check_supported
from mlirage.importers.pytorch_ops.registry import numpy_dtype
from mlirage.importers.pytorch_state import State
from mlirage.input import builders as b
from mlirage.input.builders import TensorBuilder
from mlirage.mlir import func, ir, new_context, run_pipeline
from mlirage.options import CompileOptions
from mlirage.program import Program


def import_graph(
    module: torch.fx.GraphModule, constants: Mapping[int, torch.Tensor], options: CompileOptions
) -> Program:
    """Imports a functional ATen graph.

    Args:
      module: owns the graph.
      constants: tensors that inputs, by number, always are: they become constants, not arguments.
      options: of the compilation.

    Raises:
      ImportFailure: the graph holds operators or inputs that are not supported.
    """
    check_supported([module])
    nodes = [node for node in module.graph.nodes if node.op == "placeholder"]
    arguments = [_argument(node) for i, node in enumerate(nodes) if i not in constants]
    program = Program(ir.Module.create(ir.Location.unknown(new_context())), options=options)
    with program.context, ir.Location.name("main"):
        state = State(program)
        kinds = [argument.kind for argument in arguments]
        with ir.InsertionPoint(program.module.body):
            function = func.FuncOp("main", ir.FunctionType.get(kinds, []))
        block = function.add_entry_block([ir.Location.name(argument.name) for argument in arguments])
        builder = TensorBuilder(program.module, block, program.constants)
        with builder.active(), builder.block(block):
            importer = GraphImporter(module, state)
            values = bind_arguments(arguments, builder, block, importer)
            inputs = [
                state.value(node.name, constants[i]) if i in constants else values[node.name]
                for i, node in enumerate(nodes)
            ]
            outputs = importer.run(inputs)
            results = [result_tensor(value) for value in outputs if value is not None]
            returned = [result.value for result in results]
            func.ReturnOp(returned)
            builder.finish()
        made = [value.type for value in returned]
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, made))
        signature: dict[str, Any] = {
            "arguments": [argument.described() for argument in arguments],
            "results": [described_result(f"result{i}", result) for i, result in enumerate(results)],
            "source": "pytorch",
        }
        function.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(signature))
        run_pipeline(program.module.operation, "cse")
    return program


def _argument(node: torch.fx.Node) -> Argument:
    value = node.meta["val"]
    if isinstance(value, torch.Tensor):
        return Argument(node, node.name, numpy_dtype(value.dtype), list(value.shape))
    if isinstance(value, torch.SymInt | int):
        return Argument(node, node.name, b.INT64, [])
    raise ImportFailure(f"input {node.name!r} is a {type(value).__qualname__}; inputs are tensors and integers")
