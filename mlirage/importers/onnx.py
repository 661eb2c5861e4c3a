"""ONNX models become programs: `main` in linalg, tensor, arith, math, scf and linalgx, weights beside it.

    model.onnx (graph of nodes, initializers)  ->  func.func @main(args) -> results,  ml_program.global @weight, …

Every op is located at its node. Shape arithmetic (Shape, Gather, Concat, …) is done at import, symbolically.
Nothing here needs shape inference; the checker and converters of the onnx package (C++) are not run on models.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.onnx_boundary import Leaf, declared_inputs, result_leaves, signature
from mlirage.importers.onnx_graph import GraphImporter, ModelContext
from mlirage.importers.onnx_support import check_supported
from mlirage.importers.onnx_weights import WeightReader
from mlirage.input.builders import Tensor, TensorBuilder, tensor_type
from mlirage.mlir import func, ir, new_context, run_pipeline
from mlirage.options import CompileOptions
from mlirage.program import Program

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def import_model(model: Model, options: CompileOptions) -> Program:
    """Reads a model; examples say how long sequences are and which optionals there are.

    Raises:
      UsageError: dynamic shapes are given, or examples do not fit the model's inputs.
      ImportFailure: see `import_onnx`.
    """
    if model.dynamic_shapes is not None:
        raise UsageError("onnx models say themselves which extents may vary: no dynamic_shapes")
    return import_onnx(model.source, options, model.example_inputs, model.example_keywords)


def import_onnx(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto,
    options: CompileOptions,
    examples: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
) -> Program:
    """Reads a model.

    Args:
      source: a file, its bytes, or a loaded model (left unchanged).
      options: of the compilation.
      examples: inputs in order: a list tells the length of a sequence, None that an optional is absent, an array the
        number of axes of an input without shape.
      keywords: the same by name.

    Raises:
      ImportFailure: the file is no valid model, or holds what is not supported (all of it is listed).
    """
    model, folder, what = _load(source)
    owned = model is not source
    if not model.HasField("graph") or not model.opset_import:
        raise ImportFailure(f"{what}: not an ONNX model: it has no graph or no opset; is the file complete?")
    _check_texts(model, "the model")
    _check_opset(model)
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
        _build_main(program, model, model_context, examples, keywords or {})
        try:
            run_pipeline(program.module.operation, "cse")
        except ir.MLIRError as error:
            raise ImportFailure(
                f"the importer made invalid IR (a fault of mlirage, please report it): {error}"
            ) from error
    return program


def _load(source: str | os.PathLike[str] | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, Path | None, str]:
    """The model, the folder of its external data, and what messages call it."""
    if isinstance(source, onnx.ModelProto):
        return source, None, "the given model"
    if isinstance(source, bytes):
        data, folder, what = source, None, "the given bytes"
    else:
        path = Path(source)
        try:
            data, folder, what = path.read_bytes(), path.parent, str(path)
        except OSError as error:
            raise ImportFailure(f"cannot read {path}: {error.strerror}") from error
    if data.startswith(_LFS_POINTER):
        raise ImportFailure(f"{what}: not an ONNX model but a pointer to one in Git LFS: fetch it with `git lfs pull`")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ImportFailure(
            f"{what}: not an ONNX model, or cut short ({error}); it is {len(data)} bytes that begin with {data[:16]!r}"
        ) from error
    return model, folder, what


def _check_opset(model: onnx.ModelProto) -> None:
    """Operators may mean something else in versions that do not exist yet.

    Raises:
      ImportFailure: the model asks for one.
    """
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > newest:
            raise ImportFailure(
                f"the model is of opset {opset.version}; the newest that is known is {newest}: install a newer onnx "
                "and mlirage, or export the model for an older opset"
            )


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


def _build_main(
    program: Program,
    model: onnx.ModelProto,
    model_context: ModelContext,
    examples: Sequence[Any],
    keywords: Mapping[str, Any],
) -> None:
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer} | {
        sparse.values.name for sparse in graph.sparse_initializer
    }
    inputs = declared_inputs([value for value in graph.input if value.name not in initialized], examples, keywords)
    arrays = [leaf for value in inputs for leaf in value.leaves]
    dynamic = ir.ShapedType.get_dynamic_size()
    kinds = [tensor_type([d if isinstance(d, int) else dynamic for d in leaf.shape], leaf.dtype) for leaf in arrays]
    with ir.InsertionPoint(program.module.body):
        main = func.FuncOp("main", ir.FunctionType.get(kinds, []))
    entry = main.add_entry_block([ir.Location.name(leaf.name) for leaf in arrays])
    builder = TensorBuilder(program.module, entry, program.constants)
    results: list[Leaf] = []
    values: list[ir.Value[Any]] = []
    trees: list[Any] = []
    with builder.active(), builder.block(entry):
        remaining = iter(_arguments(builder, entry, arrays))
        importer = GraphImporter(model_context, {value.name: value.make(remaining) for value in inputs})
        importer.take_initializers(graph)
        outputs = importer.run(graph, initializers_taken=True)
        for value, output in zip(graph.output, outputs, strict=True):
            described, tensors, tree = result_leaves(value, output)
            results += described
            values += [x.value for x in tensors]
            trees.append(tree)
        func.ReturnOp(values)
        builder.finish()
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, [value.type for value in values]))
    main.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(signature(inputs, results, trees)))


def _arguments(builder: TensorBuilder, entry: ir.Block, leaves: Sequence[Leaf]) -> list[Tensor]:
    """The function's arguments; extents of one name are one dim, which is checked on entry."""
    named: dict[str, Any] = {}
    tensors: list[Tensor] = []
    for leaf, argument in zip(leaves, entry.arguments, strict=True):
        dims: list[Any] = []
        for axis, extent in enumerate(leaf.shape):
            if isinstance(extent, int):
                dims.append(extent)
                continue
            dim = builder.atoms.extent(argument, axis)
            if extent is not None and extent in named:
                builder.require_equal(
                    dim,
                    named[extent],
                    f"input {leaf.name!r}: axis {axis} must have the same extent {extent!r} everywhere",
                )
                dim = named[extent]
            elif extent is not None:
                named[extent] = dim
            dims.append(dim)
        tensors.append(Tensor(dims, leaf.dtype, value=argument))
    return tensors
