"""TensorFlow and Keras models become programs: a function per signature in StableHLO, variables as globals.

    SavedModel  ->  func.func @serving_default(args) -> results,  ml_program.global [mutable] @vars.w, …

TensorFlow converts its functions to StableHLO (`tensorflow_lowering.py`), always in a process other than the user's;
here the modules are joined, variables get their arrays, and those that no function writes become constants.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.tensorflow_calls import convert_calls
from mlirage.importers.tensorflow_export import Exported, ExportedFunction, export_object, export_path
from mlirage.importers.tensorflow_lowering import lower
from mlirage.importers.tensorflow_shapes import convert_shapes
from mlirage.importers.tensorflow_windows import convert_windows
from mlirage.importers.tensorflow_worker import WORKER
from mlirage.importers.worker import import_in_worker
from mlirage.mlir import ir, ml_program, new_context, run_pipeline, walk
from mlirage.options import CompileOptions
from mlirage.passes import explain
from mlirage.program import Program, as_splat


def import_tensorflow(model: Model, options: CompileOptions) -> Program:
    """Reads a model.

    Args:
      model: a SavedModel folder or .keras file; or a Keras model, tf.Module, tf.function or ConcreteFunction, with
        example inputs (arrays or TensorSpecs) where it has no signature.
      options: of the compilation.

    Raises:
      ImportFailure: it cannot be read, or holds what cannot be converted (operations are named).
      UsageError: it has no signature and there are no example inputs, or they are given where they are not needed.
    """
    if model.dynamic_shapes is not None:
        raise UsageError("TensorFlow says open extents in the signature: tf.TensorSpec([None, …]) as example input")
    if isinstance(model.source, Path):
        if model.example_inputs or model.example_keywords:
            raise UsageError("a model on disk says its inputs itself: no example inputs")
        return import_in_worker("tensorflow:import_file", model.source, options)
    WORKER.start()  # while the model is traced
    exported = export_object(model.source, model.example_inputs, model.example_keywords)
    return _program(exported, WORKER.lower([function.graph for function in exported.functions]), options)


def import_file(path: Path, options: CompileOptions) -> Program:
    """Reads a SavedModel folder or a file of Keras, in the process that is for that.

    Raises:
      ImportFailure: it cannot be read, or holds what cannot be converted (operations are named).
    """
    exported = export_path(path)
    texts: list[str] = []
    problems: list[str] = []
    for function in exported.functions:
        try:
            texts.append(lower(function.graph))
        except ImportFailure as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ImportFailure("\n".join(problems))
    return _program(exported, texts, options)


def _program(exported: Exported, texts: Sequence[str], options: CompileOptions) -> Program:
    program = Program(ir.Module.create(ir.Location.unknown(new_context())), options=options)
    with program.context, ir.Location.unknown():
        for function, text in zip(exported.functions, texts, strict=True):
            _add_function(program, exported, function, text)
        _settle_variables(program, exported)
        try:
            convert_calls(program)
            convert_windows(program)
            convert_shapes(program)
            run_pipeline(program.module.operation, "canonicalize,cse")
        except NotImplementedError as error:
            raise ImportFailure(f"the converted model holds {error}") from error
        except ir.MLIRError as error:
            raise ImportFailure(f"the converted model is no valid MLIR: {explain(error)}") from error
    return program


def _add_function(program: Program, exported: Exported, function: ExportedFunction, text: str) -> None:
    name = function.graph.name
    try:
        part = ir.Module.parse(text, program.context)
    except ir.MLIRError as error:
        raise ImportFailure(f"function {name!r}: {explain(error)}") from error
    for op in [op.operation for op in part.body.operations]:
        if op.name == "func.func" and ir.StringAttr(op.attributes["sym_name"]).value != name:
            old = ir.StringAttr(op.attributes["sym_name"]).value
            new = f"{name}${old}"
            ir.SymbolTable.replace_all_symbol_uses(old, new, part.operation)
            ir.SymbolTable.set_symbol_name(op, new)
    known = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value
        for op in program.module.body.operations
        if op.operation.name == "ml_program.global"
    }
    for op in [op.operation for op in part.body.operations]:
        if op.name == "ml_program.global" and ir.StringAttr(op.attributes["sym_name"]).value in known:
            continue
        copy = op.clone(ip=ir.InsertionPoint(program.module.body))
        if op.name == "ml_program.global":  # another function may write it
            copy.operation.attributes["is_mutable"] = ir.UnitAttr.get()
        if op.name == "func.func" and ir.StringAttr(op.attributes["sym_name"]).value == name:
            _finish_function(program, exported, function, copy.operation)


def _finish_function(program: Program, exported: Exported, function: ExportedFunction, op: ir.Operation) -> None:
    """Captured arrays become constants, and the signature says what the source was called with."""
    block = op.regions[0].blocks[0]
    for name in reversed(function.captured):
        argument = block.arguments[len(block.arguments) - 1]
        symbol = f"captured.{name}"
        array = as_splat(exported.arrays[name])
        program.constants[symbol] = array
        with ir.InsertionPoint.at_block_begin(program.module.body):
            ml_program.GlobalOp(
                symbol,
                argument.type,
                value=ir.Attribute.parse(f"#ml_program.extern<{argument.type}>"),
                sym_visibility="private",
            )
        with ir.InsertionPoint.at_block_begin(block):
            argument.replace_all_uses_with(ml_program.GlobalLoadConstOp(argument.type, symbol).result)
        block.erase_argument(len(block.arguments) - 1)
    kind = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
    inputs = [argument.type for argument in block.arguments]
    op.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, kind.results))
    for name in ("arg_attrs", "res_attrs"):
        if name in op.attributes:
            del op.attributes[name]
    op.attributes["sym_visibility"] = ir.StringAttr.get("public")
    signature = {
        "arguments": function.arguments,
        "results": function.results,
        "source": "tensorflow",
        "in_tree": function.in_tree,
        "out_tree": function.out_tree,
    }
    if len(function.arguments) != len(inputs) or len(function.results) != len(kind.results):
        raise ImportFailure(
            f"function {function.graph.name!r} has {len(inputs)} arguments and {len(kind.results)} results in MLIR, "
            f"{len(function.arguments)} and {len(function.results)} in TensorFlow"
        )
    op.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(signature))


def _settle_variables(program: Program, exported: Exported) -> None:
    """Gives the globals their arrays; what is never written is a constant."""
    stored: set[str] = set()
    loads: list[ir.Operation] = []
    for op in walk(program.module.operation):
        if op.name == "ml_program.global_store":
            stored.add(ir.FlatSymbolRefAttr(op.attributes["global"]).value)
        elif op.name == "ml_program.global_load":
            loads.append(op)
    for op in [op.operation for op in program.module.body.operations]:
        if op.name != "ml_program.global":
            continue
        symbol = ir.StringAttr(op.attributes["sym_name"]).value
        name = symbol.removeprefix("vars.")
        if name not in exported.arrays or symbol.startswith("captured."):
            continue
        kind = ir.TypeAttr(op.attributes["type"]).value
        program.constants[symbol] = as_splat(exported.arrays[name])
        op.attributes["value"] = ir.Attribute.parse(f"#ml_program.extern<{kind}>")
        op.attributes["sym_visibility"] = ir.StringAttr.get("private")
        if symbol not in stored and "is_mutable" in op.attributes:
            del op.attributes["is_mutable"]
    for op in loads:
        symbol = ir.FlatSymbolRefAttr(op.attributes["global"]).value
        if symbol not in stored:
            with ir.InsertionPoint(op), op.location:
                op.results[0].replace_all_uses_with(ml_program.GlobalLoadConstOp(op.results[0].type, symbol).result)
            op.erase()
