"""What TensorFlow says about a model: StableHLO text per function, and the arrays of its variables.

    SavedModel, .keras file, keras.Model, tf.Module, tf.function, ConcreteFunction  ->  Exported

This file alone imports TensorFlow. A model from disk is read by a process of its own (`python -m` of this file), so
that neither TensorFlow's import nor a fault in its native code reaches the caller. Variables never become text:
functions are converted with handles of the variables' types, and the arrays travel beside.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import tensorflow_calls
from mlirage.importers.tensorflow_lists import with_known_elements
from mlirage.importers.tensorflow_ops.names import NAMES
from mlirage.program import Array

_PIPELINE = "tf-lower-to-mlprogram-and-hlo"
_LISTS = "tf-shape-inference,tf-tensor-list-ops-decomposition"
_RESOURCE = "tensor<!tf_type.resource>"


@dataclass
class ExportedFunction:
    """An entry point.

    Attributes:
      name: of the function in the text.
      text: a module of StableHLO; reads and writes globals called `vars.` and the name of a variable.
      arguments: name, dtype and shape of each.
      results: the same of the results.
      in_tree, out_tree: structure of arguments and results (`mlirage/runtime/trees.py`).
      captured: names of the arrays that are passed after the arguments.
    """

    name: str
    text: str
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

    def save(self, folder: Path) -> None:
        """Writes it to a folder."""
        index: dict[str, Any] = {}
        for number, (name, array) in enumerate(self.arrays.items()):
            index[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "file": f"{number}.bin"}
            (folder / f"{number}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        functions = [vars(function) for function in self.functions]
        (folder / "model.json").write_text(json.dumps({"functions": functions, "arrays": index}))

    @staticmethod
    def load(folder: Path) -> Exported:
        """Reads what `save` wrote; arrays are read into memory, so that the folder may go."""
        data = json.loads((folder / "model.json").read_text())
        arrays: dict[str, Array] = {}
        for name, entry in data["arrays"].items():
            dtype = np.dtype(getattr(ml_dtypes, entry["dtype"], entry["dtype"]))
            arrays[name] = np.frombuffer((folder / entry["file"]).read_bytes(), dtype).reshape(entry["shape"])
        return Exported([ExportedFunction(**function) for function in data["functions"]], arrays)


def export_path(path: Path, asked: str = "") -> Exported:
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
    try:
        text = tf.mlir.experimental.convert_function(concrete)
    except Exception as error:  # TensorFlow raises its own classes, and RuntimeError
        raise ImportFailure(f"function {name!r}: TensorFlow cannot express it in MLIR: {error}") from error
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
    lowered = _lower(name, _with_handles(name, text, bound, arrays))
    positional, keywords = concrete.structured_input_signature
    in_tree = {"tuple": [_tree(tf, positional), _tree(tf, keywords)]}
    leaves = [*_leaves(tf, positional, ""), *_leaves(tf, keywords, "")]
    outputs = list(_leaves(tf, concrete.structured_outputs, ""))
    return ExportedFunction(
        name,
        lowered,
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


def _with_handles(name: str, text: str, bound: Sequence[str | None], arrays: Mapping[str, Array]) -> str:
    """The text of a function with variables by name instead of as arguments; captured arrays stay the last arguments.

    Raises:
      ImportFailure: the text is not as expected.
    """
    text = text.replace("tensor<*x!tf_type.resource>", _RESOURCE)
    head = re.search(r"func\.func @\S+?\((.*?)\)( -> .*?)? attributes \{.*\} \{\n", text)
    arguments = re.findall(r"(%arg\d+): (tensor<.*?>)(?: \{.*?\})?(?=, %arg|$)", head[1]) if head else []
    first = len(arguments) - len(bound)
    if head is None or first < 0:
        raise ImportFailure(f"function {name!r}: unexpected MLIR of this version of TensorFlow: {text[:300]}")
    kept: list[str] = []
    handles = ""
    for position, (value, kind) in enumerate(arguments):
        variable = bound[position - first] if position >= first else None
        if variable is None:
            kept.append(f"{value}: {kind}")
            continue
        typed = f"tensor<!tf_type.resource<{_mlir_type(arrays[variable])}>>"
        handles += f'    {value}_handle = "tf.VarHandleOp"() <{{container = "", shared_name = "{variable}"}}>'
        handles += f" : () -> {typed}\n"
        handles += f'    {value} = "tf.Cast"({value}_handle) <{{Truncate = false}}> : ({typed}) -> {_RESOURCE}\n'
    count = len(re.findall(r"tensor<", head[2] or ""))
    names = {part: ",".join(f"{part}{i}" for i in range(n)) for part, n in (("in", len(kept)), ("out", count))}
    entry = f'{{control_outputs = "", inputs = "{names["in"]}", outputs = "{names["out"]}"}}'
    function = f"func.func @{name}({', '.join(kept)}){head[2] or ''} attributes {{tf.entry_function = {entry}}} {{\n"
    return text[: head.start()] + function + handles + text[head.end() :]


def _mlir_type(array: Array) -> str:
    names = {"bool": "i1", "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}
    names |= {"complex64": "complex<f32>", "complex128": "complex<f64>"}
    element = names.get(array.dtype.name) or array.dtype.name.replace("uint", "ui").replace("int", "i")
    return f"tensor<{''.join(f'{d}x' for d in array.shape)}{element}>"


def _lower(name: str, text: str) -> str:
    """StableHLO; what TensorFlow's lowering turns out not to know is handed through it, if we do."""
    try:
        text = with_known_elements(tensorflow_calls.expand(text))
    except NotImplementedError as error:
        raise ImportFailure(f"function {name!r} holds {error}") from error
    # The lowering of Hermitian eigenvalues takes real matrices alone, and does not say so by name.
    handed = {"SelfAdjointEigV2"} if re.search(r'"tf\.SelfAdjointEigV2".*complex<', text) else set[str]()
    if re.search(r'"tf\.Unpack".*\?', text):  # nor does that of Unpack, which ends the process for open extents
        handed.add("Unpack")
    while True:
        lowered, unknown = _try_to_lower(name, tensorflow_calls.hand_through(text, handed))
        more = {operation.removeprefix("tf.") for operation in unknown} & NAMES - handed
        if unknown and not more:
            raise ImportFailure(
                f"function {name!r} holds TensorFlow operations that have no StableHLO form: {', '.join(unknown)}"
            )
        if not more:
            return _with_chlo(lowered)
        handed |= more


def _try_to_lower(name: str, text: str) -> tuple[str, list[str]]:
    """The text after the lowering, and the operations that it does not know."""
    tf = _tensorflow()
    try:
        if '"tf.TensorList' in text:  # loops that collect rows, as map_fn and Keras's recurrent layers make them
            text = tf.mlir.experimental.run_pass_pipeline(text, _LISTS, False)
        lowered = tf.mlir.experimental.run_pass_pipeline(text, _PIPELINE, False)
    except Exception as error:  # TensorFlow raises its own classes
        message = str(error)
        operations = list(dict.fromkeys(re.findall(r"'?\b(tf\.[A-Z]\w*)\b'?", message)))
        if operations:
            return "", operations
        raise ImportFailure(f"function {name!r}: TensorFlow cannot lower it: {message[:2000]}") from error
    lowered = tensorflow_calls.as_calls(lowered)
    return lowered, list(dict.fromkeys(re.findall(r'"(tf\.\w+)"', lowered)))


def _with_chlo(text: str) -> str:
    """Functions that TensorFlow writes as custom calls, as ops of CHLO."""
    text = re.sub(
        r"stablehlo\.custom_call @mhlo\.topk\((%\w+(?:#\d+)?)\) "
        r"\{mhlo\.attributes = \{k = (\d+) : i64, largest = true\}.*?\} :",
        r'"chlo.top_k"(\1) {k = \2 : i64} :',
        text,
    )
    return re.sub(
        r"stablehlo\.custom_call @mhlo\.(erf|erf_inv)\((%\w+(?:#\d+)?)\) \{mhlo.*?\} :", r'"chlo.\1"(\2) :', text
    )


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


def main() -> None:
    """Exports the model in the first argument to the folder in the second; an error goes to a file there."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        export_path(source).save(folder)
    except (ImportFailure, UsageError, ModuleNotFoundError) as error:
        kind = "missing" if isinstance(error, ModuleNotFoundError) else type(error).__name__
        (folder / "error.json").write_text(json.dumps({"kind": kind, "text": str(error)}))


if __name__ == "__main__":
    main()
