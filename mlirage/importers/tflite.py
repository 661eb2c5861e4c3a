"""TFLite models become programs: a function per signature in linalg, tensor, arith, math, scf and linalgx.

    model.tflite  ->  func.func @serving_default(args) -> results,  ml_program.global @weight, …

A model without signatures has the one function `main`. Every op is located at its node, which is called after its first
output. Extents that the model leaves open are dynamic; example inputs or `dynamic_shapes` fix them, as resizing an
interpreter's inputs does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.tflite_file import ModelFile, OperatorInfo, Signature, Subgraph, TensorInfo, read_model
from mlirage.importers.tflite_graph import GraphImporter, ModelContext
from mlirage.importers.tflite_ops.registry import REFUSED, operators
from mlirage.input.builders import Tensor, TensorBuilder, tensor_type
from mlirage.mlir import func, ir, new_context, run_pipeline
from mlirage.options import CompileOptions
from mlirage.program import Program

Shape = tuple[int | None, ...]


def import_tflite(model: Model, options: CompileOptions) -> Program:
    """Reads a model: a path or bytes, with example inputs or shapes that fix the extents which it leaves open.

    Raises:
      ImportFailure: it is damaged, or holds what is not supported (all of it is listed).
      UsageError: the example inputs do not fit.
    """
    source: Path | bytes = model.source
    file = read_model(source)
    signatures = file.signatures or (_only_signature(file),)
    _check_supported(file, signatures)
    program = Program(ir.Module.create(ir.Location.unknown(new_context())), options=options)
    names = _function_names(signatures)
    with program.context, ir.Location.name("tflite"):
        context = ModelContext(file, program)
        builders: list[TensorBuilder] = []
        for signature, name in zip(signatures, names, strict=True):
            shapes = _input_shapes(file.subgraphs[signature.subgraph], signature, model)
            builders.append(_build_function(context, signature, name, shapes, builders))
        for builder in builders:
            builder.finish()
        try:
            run_pipeline(program.module.operation, "cse")
        except ir.MLIRError as error:
            raise ImportFailure(
                f"the importer made invalid IR (a fault of mlirage, please report it): {error}"
            ) from error
    return program


def _only_signature(file: ModelFile) -> Signature:
    graph = file.subgraphs[0]
    return Signature(
        "main",
        0,
        tuple((graph.tensors[i].name, i) for i in graph.inputs),
        tuple((graph.tensors[i].name, i) for i in graph.outputs),
    )


def _function_names(signatures: Sequence[Signature]) -> list[str]:
    names: list[str] = []
    for signature in signatures:
        name = re.sub(r"[^\w$.]", "_", signature.key) or "main"
        while name in names:
            name += "_"
        names.append(name)
    return names


def _check_supported(file: ModelFile, signatures: Sequence[Signature]) -> None:
    """Looks at the operators of all subgraphs that can be reached.

    Raises:
      ImportFailure: names each unsupported operator, the number of its nodes, and some of them.
    """
    missing: dict[str, list[str]] = {}
    seen: set[int] = set()
    waiting = [signature.subgraph for signature in signatures]
    while waiting:
        number = waiting.pop()
        if number in seen or not 0 <= number < len(file.subgraphs):
            continue
        seen.add(number)
        graph = file.subgraphs[number]
        for operator in graph.operators:
            waiting += [v for k, v in operator.options.items() if k.endswith("SubgraphIndex") or k == "Subgraph"]
            waiting += [int(v) for v in operator.options.get("BranchSubgraphIndices", ())]
            if operator.name not in operators():
                missing.setdefault(operator.name, []).append(_label(graph, operator))
    if not missing:
        return
    lines = ["the model holds operators that are not supported:"]
    for name, nodes in sorted(missing.items()):
        shown = ", ".join(nodes[:5]) + (", …" if len(nodes) > 5 else "")
        reason = REFUSED.get(name.partition(":")[0])
        why = f" — {reason}" if reason else ""
        lines.append(f"  {name.replace('CUSTOM:', '')}, {len(nodes)} nodes: {shown}{why}")
    raise ImportFailure("\n".join(lines))


def _label(graph: Subgraph, operator: OperatorInfo) -> str:
    return graph.tensors[operator.outputs[0]].name if operator.outputs else operator.name


def _input_shapes(graph: Subgraph, signature: Signature, model: Model) -> list[Shape]:
    """The shapes of a signature's inputs: the file's, with what the caller fixes."""
    infos = [graph.tensors[index] for _, index in signature.inputs]
    names = [name for name, _ in signature.inputs]
    given: dict[str, Any] = {}
    if model.example_inputs or model.example_keywords:
        if len(model.example_inputs) > len(names) or not set(model.example_keywords) <= set(names):
            raise UsageError(f"signature {signature.key!r} takes the inputs {', '.join(names)}")
        arrays = dict(zip(names, model.example_inputs, strict=False)) | dict(model.example_keywords)
        given = {name: np.shape(array) for name, array in arrays.items()}
    if model.dynamic_shapes is not None:
        if not isinstance(model.dynamic_shapes, Mapping):
            raise UsageError(
                "dynamic_shapes of a TFLite model: a shape by the name of an input, None for an open extent"
            )
        given |= {name: tuple(shape) for name, shape in model.dynamic_shapes.items() if name in names}
    shapes: list[Shape] = []
    for name, info in zip(names, infos, strict=True):
        shape = given.get(name, info.shape)
        if len(shape) != len(info.shape):
            raise UsageError(f"input {name!r} has {len(info.shape)} axes, not the shape {tuple(shape)}")
        for asked, declared in zip(shape, info.shape, strict=True):
            # An extent that the file fixes may be built into its nodes (reshapes to constants): only open ones change.
            if declared is not None and asked != declared:
                raise UsageError(f"input {name!r} has the shape {info.shape}; {tuple(shape)} does not fit")
        shapes.append(tuple(None if d is None or d < 0 else int(d) for d in shape))
    return shapes


def _build_function(
    context: ModelContext, signature: Signature, name: str, shapes: Sequence[Shape], others: Sequence[TensorBuilder]
) -> TensorBuilder:
    graph = context.file.subgraphs[signature.subgraph]
    inputs = [graph.tensors[index] for _, index in signature.inputs]
    dynamic = ir.ShapedType.get_dynamic_size()
    kinds: list[ir.Type] = []
    for (label, _), info, shape in zip(signature.inputs, inputs, shapes, strict=True):
        if info.dtype is None:
            raise ImportFailure(f"input {label!r} is of type {info.type_name}; only numbers can be passed")
        kinds.append(tensor_type([dynamic if d is None else d for d in shape], info.dtype))
    with ir.InsertionPoint(context.program.module.body):
        function = func.FuncOp(name, ir.FunctionType.get(kinds, []))
    entry = function.add_entry_block([ir.Location.name(label) for label, _ in signature.inputs])
    builder = TensorBuilder(context.program.module, entry, context.program.constants)
    if others:
        builder.share_weights(others[0])
    with builder.active(), builder.block(entry):
        arguments = [
            Tensor.from_value(argument, _dtype(info)) for argument, info in zip(entry.arguments, inputs, strict=True)
        ]
        outputs = GraphImporter(context, graph).run(arguments)
        for (label, _), output in zip(signature.outputs, outputs, strict=True):
            if not isinstance(output, Tensor):
                raise ImportFailure(f"output {label!r} is a resource; only tensors can be results")
        values = [output.value for output in outputs]
        func.ReturnOp(values)
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, [v.type for v in values]))
    described = {
        "arguments": [
            _described(label, info, list(shape))
            for (label, _), info, shape in zip(signature.inputs, inputs, shapes, strict=True)
        ],
        "results": [
            _described(label, graph.tensors[index], [d if isinstance(d, int) else None for d in output.shape])
            for (label, index), output in zip(signature.outputs, outputs, strict=True)
        ],
        "source": "tflite",
    }
    function.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(described))
    return builder


def _dtype(info: TensorInfo) -> np.dtype[Any]:
    assert info.dtype is not None
    return info.dtype


def _described(name: str, info: TensorInfo, shape: list[int | None]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "dtype": _dtype(info).name, "shape": shape}
    if info.quantization is not None:
        described["quantization"] = {
            "scales": [float(x) for x in info.quantization.scales],
            "zero_points": info.quantization.zero_points.tolist(),
            "axis": info.quantization.axis,
        }
    return described
