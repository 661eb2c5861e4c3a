"""What a TensorFlow model should give: its functions, called by TensorFlow, and the tensors of their graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.checking import Inside
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model, import_source
from mlirage.importers.mlir import public_functions
from mlirage.importers.tensorflow_export import function_name, functions_of_object, functions_of_path
from mlirage.mlir import ir
from mlirage.options import CompileOptions
from mlirage.program import Array, Program

# Operations of a graph that only pass values on, or have none that arrays could hold.
_SILENT = frozenset(("Placeholder", "Const", "Identity", "IdentityN", "NoOp", "ReadVariableOp", "VarHandleOp"))


class TensorFlowReference:
    """A model and TensorFlow.

    Args:
      model: whatever `mlirage.compile` takes of TensorFlow.
      engine: `auto` or `tensorflow`.

    Raises:
      UsageError: another engine, or example inputs are missing.
      ImportFailure: TensorFlow cannot load it.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", "tensorflow"):
            raise UsageError(f"--reference={engine}: TensorFlow models are compared with TensorFlow")
        self.engine = "tensorflow"
        self.model = model
        if isinstance(model.source, Path):
            self._loaded, functions = functions_of_path(model.source)
        else:
            self._loaded = model.source
            functions = functions_of_object(model.source, model.example_inputs, model.example_keywords)
        self.functions = {function_name(name): function for name, function in functions.items()}

    def program(self, options: CompileOptions) -> Program:
        """The model, imported."""
        return import_source(self.model, options)

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """What TensorFlow gives, in the order of the structure's sorted names.

        Raises:
          ImportFailure: it fails.
        """
        concrete = self.functions[function]
        positional, keywords = concrete.structured_input_signature
        try:
            arrays = iter(arguments)
            given = [_filled(part, arrays) for part in (positional, keywords)]
            return [np.asarray(x) for x in _leaves(concrete(*given[0], **given[1]))]
        except Exception as error:  # TensorFlow's own classes
            raise ImportFailure(f"the reference (tensorflow) fails: {type(error).__name__}: {error}") from error

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside | None:
        """The tensors of the function's graph, calls written out and variables as they are."""
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        try:
            frozen: Any = convert_variables_to_constants_v2(self.functions[function])
            tensors = [
                tensor
                for operation in frozen.graph.get_operations()
                if operation.type not in _SILENT
                for tensor in operation.outputs
                if tensor.dtype.is_numpy_compatible and tensor.shape.rank is not None and tensor.dtype.name != "string"
            ]
            shown = frozen.prune(frozen.inputs, tensors)
            given = self._tensors(function, frozen.inputs, arguments)
            wanted = [np.asarray(x) for x in shown(*given)]
            specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in frozen.inputs]
            traced: Any = tf.function(lambda *inputs: shown(*inputs), input_signature=specs, autograph=False)
        except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            raise ImportFailure(f"TensorFlow cannot show the inside of {function!r}: {error}") from error
        values = [(tensor.name, f"{tensor.op.name!r} ({tensor.op.type})") for tensor in tensors]
        program = import_source(Model(traced), options)
        (main,) = public_functions(program.module)
        with program.context:
            main.attributes["sym_name"] = ir.StringAttr.get(function)
        return Inside(program, values, wanted)

    def _tensors(self, function: str, inputs: Sequence[Any], arguments: Sequence[Array]) -> list[Any]:
        """The arguments in the order of the graph's inputs, which are the structure's leaves."""
        import tensorflow as tf

        concrete = self.functions[function]
        order = [spec.name for spec in _leaves(concrete.structured_input_signature)]
        names = [tensor.op.name for tensor in inputs]
        if set(names) == set(order):
            arguments = [arguments[order.index(name)] for name in names]
        return [tf.constant(x, tensor.dtype) for x, tensor in zip(arguments, inputs, strict=True)]


def _leaves(value: Any) -> list[Any]:
    """Tensors (or their specs) in a structure; dicts in the order of their names, as signatures tell them."""
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value] if hasattr(value, "dtype") and hasattr(value, "shape") else []


def _filled(spec: Any, arrays: Iterator[Array]) -> Any:
    """The structure with arrays for its specs."""
    import tensorflow as tf

    if isinstance(spec, Mapping):
        filled = {key: _filled(spec[key], arrays) for key in sorted(spec)}
        return {key: filled[key] for key in spec}
    if isinstance(spec, list | tuple):
        return type(spec)([_filled(item, arrays) for item in spec])
    return tf.constant(next(arrays), spec.dtype) if isinstance(spec, tf.TensorSpec) else spec
