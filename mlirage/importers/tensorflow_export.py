"""What TensorFlow says about a model: its functions as TensorFlow keeps them, and the arrays of its variables.

SavedModel, .keras file, keras.Model, tf.Module, tf.function, ConcreteFunction  ->  Exported
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers.tensorflow_lowering import Graph
from mlirage.program import Array


@dataclass
class ExportedFunction:
    """An entry point.

    Attributes:
      graph: the function; lowered, it reads and writes globals called `vars.` and the name of a variable.
      arguments: name, dtype and shape of each.
      results: the same of the results.
      in_tree, out_tree: structure of arguments and results (`mlirage/runtime/trees.py`).
      captured: names of the arrays that are passed after the arguments.
    """

    graph: Graph
    arguments: list[dict[str, Any]]
    results: list[dict[str, Any]]
    in_tree: Any
    out_tree: Any
    captured: list[str]


@dataclass
class Exported:
    """A whole model."""

    functions: list[ExportedFunction] = field(default_factory=list[ExportedFunction])
    arrays: dict[str, Array] = field(default_factory=dict[str, Array])


def export_path(path: Path) -> Exported:
    """A SavedModel folder, or a file of Keras.

    Raises:
      ImportFailure: it cannot be read, or holds what cannot be converted.
    """
    _loaded, functions = functions_of_path(path)  # functions hold their variables weakly
    return _export(functions)


def functions_of_path(path: Path) -> tuple[Any, dict[str, Any]]:
    """What a file holds, which owns the variables, and its functions by name.

    Raises:
      ImportFailure: it cannot be read.
    """
    tf = _tensorflow()
    try:
        if path.suffix in (".keras", ".h5", ".hdf5"):
            model = tf.keras.models.load_model(path, compile=False)
            return model, functions_of_object(model, (), {})
        loaded = tf.saved_model.load(os.fspath(path))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ImportFailure(f"{path}: TensorFlow cannot load it: {error}") from error
    functions = dict(loaded.signatures)
    for name in dir(loaded):
        if name.startswith("_") or name in ("signatures", "serve"):
            continue
        for concrete in getattr(getattr(loaded, name), "concrete_functions", [])[:1]:
            functions.setdefault(name, concrete)
    if not functions:
        raise ImportFailure(f"{path}: the SavedModel holds no function with a signature")
    return loaded, functions


def export_object(source: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Exported:
    """A loaded model or function, traced with example inputs or TensorSpecs where it has no signature of its own.

    Raises:
      UsageError: it has no signature, and no example inputs are given.
      ImportFailure: it holds what cannot be converted.
    """
    return _export(functions_of_object(source, inputs, keywords))


def functions_of_object(source: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The concrete functions of a loaded model or function, by name.

    Raises:
      UsageError: it has no signature, and no example inputs are given.
    """
    tf = _tensorflow()
    if hasattr(source, "structured_input_signature") and hasattr(source, "graph"):
        return {"main": source}
    if isinstance(source, tf.keras.Model):
        return {"main": _keras_function(tf, source, inputs, keywords)}
    if hasattr(source, "get_concrete_function"):
        return {"main": _traced(source, inputs, keywords)}
    functions: dict[str, Any] = {}
    member: Any
    for name in dir(type(source)) + list(vars(source)):
        if (name.startswith("_") and name != "__call__") or name in functions:
            continue
        member = getattr(source, name, None)
        if getattr(member, "input_signature", None) is not None:
            functions["main" if name == "__call__" else name] = _traced(member, (), {})
    if not functions and callable(source) and (inputs or keywords):
        function = tf.function(lambda *args, **rest: source(*args, **rest), autograph=False)
        functions["main"] = _traced(function, inputs, keywords)
    if not functions:
        raise UsageError(
            f"{type(source).__name__} has no tf.function with an input_signature: give it one, or example_inputs"
        )
    return functions


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    return tensorflow


def _traced(function: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    try:
        return function.get_concrete_function(*inputs, **keywords)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the function cannot be traced: {error}\nGive example_inputs: arrays, or tf.TensorSpec with None for open "
            "extents"
        ) from error


def _keras_function(tf: Any, model: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """The inference function of a Keras model: with its declared inputs unless others are given."""

    def call(*args: Any, **rest: Any) -> Any:
        return model(*args, training=False, **rest)

    if not inputs and not keywords:
        declared = getattr(model, "_inputs_struct", None)
        if declared is None and getattr(model, "inputs", None):
            declared = model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)
        if declared is None:
            raise UsageError(f"the Keras model {model.name!r} has not been built: give example_inputs")
        inputs = [tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype, name=_plain(t.name)), declared)]
    return _traced(tf.function(call, autograph=False), inputs, keywords)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]", "_", name.split(":")[0])


def function_name(name: str) -> str:
    """What a function of that name is called in a module."""
    return _plain(name) or "main"


def _export(functions: Mapping[str, Any]) -> Exported:
    exported = Exported()
    variables: dict[Any, str] = {}
    problems: dict[str, None] = {}
    for name, concrete in functions.items():
        try:
            exported.functions.append(_export_function(function_name(name), concrete, exported.arrays, variables))
        except ImportFailure as error:
            problems[str(error)] = None
    if problems:
        raise ImportFailure("\n".join(problems))
    return exported


def _export_function(name: str, concrete: Any, arrays: dict[str, Array], variables: dict[Any, str]) -> ExportedFunction:
    tf = _tensorflow()
    by_handle = {id(variable.handle): variable for variable in concrete.graph.variables}
    captured: list[str] = []
    bound: list[str | None] = []
    for outer, _ in concrete.graph.captures:
        if outer.dtype == tf.resource:
            variable = by_handle.get(id(outer))
            if variable is None:
                raise ImportFailure(f"function {name!r} uses a resource that is no variable (a table, an iterator, …)")
            key = id(outer)
            if key not in variables:
                variables[key] = _unique(_plain(variable.name), arrays)
                arrays[variables[key]] = variable.numpy()
            bound.append(variables[key])
        else:
            symbol = _unique("captured", arrays)
            arrays[symbol] = outer.numpy()
            captured.append(symbol)
            bound.append(None)
    types = {variable: _mlir_type(arrays[variable]) for variable in bound if variable is not None}
    definition = concrete.function_def.SerializeToString()
    library = concrete.graph.as_graph_def().library.SerializeToString()
    positional, keywords = concrete.structured_input_signature
    in_tree = {"tuple": [_tree(tf, positional), _tree(tf, keywords)]}
    leaves = [*_leaves(tf, positional, ""), *_leaves(tf, keywords, "")]
    outputs = list(_leaves(tf, concrete.structured_outputs, ""))
    return ExportedFunction(
        Graph(name, definition, library, bound, types),
        _described(tf, leaves, "argument"),
        _described(tf, outputs, "result"),
        in_tree,
        _tree(tf, concrete.structured_outputs),
        captured,
    )


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    number, symbol = 0, name
    while symbol in taken:
        number += 1
        symbol = f"{name}_{number}"
    return symbol


def _mlir_type(array: Array) -> str:
    names = {"bool": "i1", "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}
    names |= {"complex64": "complex<f32>", "complex128": "complex<f64>"}
    element = names.get(array.dtype.name) or array.dtype.name.replace("uint", "ui").replace("int", "i")
    return f"tensor<{''.join(f'{d}x' for d in array.shape)}{element}>"


def _is_leaf(tf: Any, value: Any) -> bool:
    return isinstance(value, tf.TensorSpec) or tf.is_tensor(value)


def _tree(tf: Any, value: Any) -> Any:
    """The structure of arguments or results; what is no tensor is fixed by the trace."""
    if _is_leaf(tf, value):
        return "*"
    if isinstance(value, Mapping):
        return {"dict": {str(key): _tree(tf, value[key]) for key in sorted(value)}}
    if isinstance(value, list):
        return {"list": [_tree(tf, item) for item in value]}
    if isinstance(value, tuple):
        return {"tuple": [_tree(tf, item) for item in value]}
    if value is None:
        return {"none": 0}
    if isinstance(value, bool | int | float | str):
        return {"constant": value}
    raise ImportFailure(
        f"an argument or result is a {type(value).__name__}; only tensors in tuples, lists and dicts are"
    )


def _leaves(tf: Any, value: Any, path: str) -> list[tuple[str, Any]]:
    if _is_leaf(tf, value):
        return [(path, value)]
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in _leaves(tf, value[key], f"{path}.{key}".strip("."))]
    if isinstance(value, list | tuple):
        return [leaf for i, item in enumerate(value) for leaf in _leaves(tf, item, f"{path}.{i}".strip("."))]
    return []


def _described(tf: Any, leaves: Sequence[tuple[str, Any]], role: str) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    for number, (path, leaf) in enumerate(leaves):
        if leaf.shape.rank is None:
            raise ImportFailure(f"{role} {path or number} has no rank: the number of its axes must be known")
        name = getattr(leaf, "name", None) if isinstance(leaf, tf.TensorSpec) else None
        dtype = leaf.dtype.name
        described.append({"name": name or path or f"{role}{number}", "dtype": dtype, "shape": leaf.shape.as_list()})
    names = [entry["name"] for entry in described]
    for number, entry in enumerate(described):
        if names.count(entry["name"]) > 1:
            entry["name"] = f"{entry['name']}_{number}"
    return described
