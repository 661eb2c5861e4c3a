"""ONNX models become programs: `main` in linalg, tensor, arith, math, scf and linalgx, weights beside it.

    model.onnx (graph of nodes, initializers)  ->  func.func @main(args) -> results,  ml_program.global @weight, …

Every op is located at its node. Shape arithmetic (Shape, Gather, Concat, …) is done at import, symbolically.
Nothing here needs shape inference; the checker and converters of the onnx package (C++) are not run on models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from mlirage.errors import ImportFailure
from mlirage.importers.onnx_graph import GraphImporter, ModelContext
from mlirage.importers.onnx_ops.registry import numpy_type
from mlirage.importers.onnx_support import check_supported
from mlirage.importers.onnx_weights import WeightReader
from mlirage.input.builders import Tensor, TensorBuilder, tensor_type
from mlirage.mlir import func, ir, new_context, run_pipeline
from mlirage.options import CompileOptions
from mlirage.program import Program


def import_onnx(source: str | os.PathLike[str] | bytes | onnx.ModelProto, options: CompileOptions) -> Program:
    """Reads a model.

    Args:
      source: a file, its bytes, or a loaded model (left unchanged).
      options: of the compilation.

    Raises:
      ImportFailure: the file is no valid model, or holds what is not supported (all of it is listed).
    """
    model, folder = _load(source)
    owned = model is not source
    if not model.HasField("graph") or not model.opset_import:
        raise ImportFailure("not an ONNX model: it has no graph or no opset; is the file complete?")
    _check_texts(model, "the model")
    weights = WeightReader(folder, owned)
    model_context = ModelContext(
        opsets={("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import},
        functions={(f.domain, f.name, f.overload): f for f in model.functions},
        weights=weights,
    )
    check_supported(model, model_context)
    weights.check_external(model.graph)
    program = Program(ir.Module.create(ir.Location.unknown(new_context())), options=options)
    with program.context, ir.Location.name(model.graph.name or "main"):
        _build_main(program, model, model_context)
        try:
            run_pipeline(program.module.operation, "cse")
        except ir.MLIRError as error:
            raise ImportFailure(
                f"the importer made invalid IR (a fault of mlirage, please report it): {error}"
            ) from error
    return program


def _load(source: str | os.PathLike[str] | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, Path | None]:
    if isinstance(source, onnx.ModelProto):
        return source, None
    if isinstance(source, bytes):
        data, folder, what = source, None, "the given bytes"
    else:
        path = Path(source)
        try:
            data, folder, what = path.read_bytes(), path.parent, str(path)
        except OSError as error:
            raise ImportFailure(f"cannot read {path}: {error.strerror}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ImportFailure(f"{what}: not an ONNX model, or cut short ({error})") from error
    return model, folder


def _check_texts(message: Message, where: str) -> None:
    """Names must be text: what is not UTF-8, protobuf gives as bytes, which are equal to no name.

    Raises:
      ImportFailure: a name, operator or domain is not.
    """
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            for text in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,):
                if isinstance(text, bytes):
                    raise ImportFailure(f"not an ONNX model, or damaged: {field.name} {text!r} in {where} is not UTF-8")
        elif field.type == field.TYPE_MESSAGE:
            inside = f"{field.name} of {where}"
            for part in (value,) if isinstance(value, Message) else value:
                _check_texts(part, inside)


def _build_main(program: Program, model: onnx.ModelProto, model_context: ModelContext) -> None:
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer} | {
        sparse.values.name for sparse in graph.sparse_initializer
    }
    inputs = [value for value in graph.input if value.name not in initialized]
    declared = [_declared(value, "input") for value in inputs]
    kinds = [tensor_type([d if isinstance(d, int) else -1 for d in shape], dtype) for dtype, shape in _opaque(declared)]
    with ir.InsertionPoint(program.module.body):
        main = func.FuncOp("main", ir.FunctionType.get(kinds, []))
    entry = main.add_entry_block([ir.Location.name(value.name) for value in inputs])
    builder = TensorBuilder(program.module, entry, program.constants)
    with builder.active(), builder.block(entry):
        arguments = {
            value.name: argument
            for value, argument in zip(inputs, _arguments(builder, entry, inputs, declared), strict=True)
        }
        importer = GraphImporter(model_context, arguments)
        importer.take_initializers(graph)
        outputs = importer.run(graph, initializers_taken=True)
        for value, output in zip(graph.output, outputs, strict=True):
            if not isinstance(output, Tensor):
                raise ImportFailure(f"output {value.name!r} is a sequence or optional, only tensors can be results")
            _check_declared(value, output)
        values = [output.value for output in outputs]
        func.ReturnOp(values)
        builder.finish()
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, [value.type for value in values]))
    main.attributes["mlirage.signature"] = ir.StringAttr.get(
        json.dumps(
            {
                "arguments": [
                    {"name": value.name, "dtype": dtype.name, "shape": shape}
                    for value, (dtype, shape) in zip(inputs, declared, strict=True)
                ],
                "results": [
                    {"name": value.name, "dtype": output.dtype.name, "shape": _result_shape(value, output)}
                    for value, output in zip(graph.output, outputs, strict=True)
                ],
                "source": "onnx",
            }
        )
    )


def _declared(value: onnx.ValueInfoProto, role: str) -> tuple[Any, list[int | str | None]]:
    """dtype and shape of a graph input; an optional tensor is one that is there."""
    kind = value.type.WhichOneof("value") or "value without type"
    if kind == "optional_type" and value.type.optional_type.elem_type.HasField("tensor_type"):
        value = onnx.ValueInfoProto(name=value.name, type=value.type.optional_type.elem_type)
    elif kind != "tensor_type":
        raise ImportFailure(f"{role} {value.name!r} is a {kind.removesuffix('_type')}, only tensors can be passed")
    if not value.type.tensor_type.HasField("shape"):
        raise ImportFailure(
            f"{role} {value.name!r} has no shape: its number of axes must be known (extents need not be)"
        )
    try:
        dtype = numpy_type(value.type.tensor_type.elem_type)
    except ValueError as error:
        raise ImportFailure(f"{role} {value.name!r}: {error}") from error
    shape: list[int | str | None] = []
    for dim in value.type.tensor_type.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            shape.append(dim.dim_value)
        else:
            shape.append(dim.dim_param or None)
    return dtype, shape


def _opaque(declared: list[tuple[Any, list[int | str | None]]]) -> list[tuple[Any, list[Any]]]:
    dynamic = ir.ShapedType.get_dynamic_size()
    return [(dtype, [d if isinstance(d, int) else dynamic for d in shape]) for dtype, shape in declared]


def _arguments(
    builder: TensorBuilder,
    entry: ir.Block,
    inputs: list[onnx.ValueInfoProto],
    declared: list[tuple[Any, list[int | str | None]]],
) -> list[Tensor]:
    """The function's arguments; extents of one name are one dim, which is checked on entry."""
    named: dict[str, Any] = {}
    tensors: list[Tensor] = []
    for value, argument, (dtype, shape) in zip(inputs, entry.arguments, declared, strict=True):
        dims: list[Any] = []
        for axis, extent in enumerate(shape):
            if isinstance(extent, int):
                dims.append(extent)
                continue
            dim = builder.atoms.extent(argument, axis)
            if extent is not None and extent in named:
                builder.require_equal(
                    dim,
                    named[extent],
                    f"input {value.name!r}: axis {axis} must have the same extent {extent!r} everywhere",
                )
                dim = named[extent]
            elif extent is not None:
                named[extent] = dim
            dims.append(dim)
        tensors.append(Tensor(dims, dtype, value=argument))
    return tensors


def _check_declared(value: onnx.ValueInfoProto, output: Tensor) -> None:
    """The model's own word on an output's type must agree with what its nodes make."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
        return
    dtype = numpy_type(value.type.tensor_type.elem_type)
    if dtype != output.dtype:
        raise ImportFailure(f"output {value.name!r} is declared {dtype} but its node makes {output.dtype}")


def _result_shape(value: onnx.ValueInfoProto, output: Tensor) -> list[int | str | None]:
    declared = list(value.type.tensor_type.shape.dim) if value.type.tensor_type.HasField("shape") else []
    names = [dim.dim_param or None for dim in declared] if len(declared) == output.rank else [None] * output.rank
    return [dim if isinstance(dim, int) else name for dim, name in zip(output.shape, names, strict=True)]
