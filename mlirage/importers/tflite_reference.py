"""What a TFLite model should give: LiteRT's reference kernels, and the tensors between its nodes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from mlirage.checking import Inside
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model, import_source
from mlirage.importers.mlir import public_functions
from mlirage.importers.tflite_file import Signature, read_model
from mlirage.mlir import ir
from mlirage.options import CompileOptions
from mlirage.program import Array, Program

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

_OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_NO_ARRAYS = (schema.TensorType.STRING, schema.TensorType.RESOURCE, schema.TensorType.VARIANT)


class TFLiteReference:
    """A model and LiteRT.

    Args:
      model: a path or bytes.
      engine: `auto`, `litert-reference` (the kernels that say what an operator means) or `litert`.

    Raises:
      UsageError: another engine.
      ImportFailure: the file is damaged.
    """

    def __init__(self, model: Model, engine: str = "auto") -> None:
        if engine not in ("auto", "litert", "litert-reference"):
            raise UsageError(f"--reference={engine}: known are auto, litert-reference, litert")
        self.engine = engine
        self.model = model
        self.signatures: Sequence[Signature] = read_model(model.source).signatures
        self.data = model.source.read_bytes() if isinstance(model.source, Path) else bytes(model.source)
        self.names: list[str] = []

    def program(self, options: CompileOptions) -> Program:
        """The model, imported."""
        program = import_source(self.model, options)
        functions = public_functions(program.module)  # in the order of the signatures
        self.names = [ir.StringAttr(function.attributes["sym_name"]).value for function in functions]
        return program

    def run(self, function: str, arguments: Sequence[Array]) -> list[Any]:
        """What LiteRT gives.

        Raises:
          ImportFailure: it fails.
        """
        if not self.signatures:
            return self._run(self.data, arguments)
        signature = self.signatures[self.names.index(function)]
        try:
            runner = self._interpreter(self.data).get_signature_runner(signature.key)
            given = {name: x for (name, _), x in zip(signature.inputs, arguments, strict=True)}
            results = runner(**given)
        except (ValueError, RuntimeError) as error:
            raise ImportFailure(f"the reference (LiteRT) fails: {error}") from error
        return [results[name] for name, _ in signature.outputs]

    def inside(self, function: str, arguments: Sequence[Array], options: CompileOptions) -> Inside | None:
        """Every tensor that a node of the model's first graph makes."""
        if self.names.index(function) or (self.signatures and self.signatures[0].subgraph):
            return None
        model: Any = schema.ModelT.InitFromPackedBuf(self.data, 0)
        graph = model.subgraphs[0]
        values: list[tuple[str, str]] = []
        outputs: list[int] = []
        for node in graph.operators:
            code = model.operatorCodes[node.opcodeIndex]
            kind = _OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")
            first = graph.tensors[node.outputs[0]].name.decode(errors="replace") if len(node.outputs) else "?"
            for index in map(int, node.outputs):
                tensor = graph.tensors[index]
                if tensor.type not in _NO_ARRAYS:
                    values.append((tensor.name.decode(errors="replace"), f"{first!r} ({kind})"))
                    outputs.append(index)
        graph.outputs = np.array(outputs, np.int32)
        model.signatureDefs = []
        builder = flatbuffers.Builder(len(self.data))
        builder.Finish(model.Pack(builder), b"TFL3")
        data = bytes(builder.Output())
        program = import_source(Model(data), options)
        (main,) = public_functions(program.module)
        with program.context:
            main.attributes["sym_name"] = ir.StringAttr.get(function)
        return Inside(program, values, self._run(data, arguments))

    def _run(self, data: bytes, arguments: Sequence[Array]) -> list[Any]:
        try:
            interpreter = self._interpreter(data)
            details = interpreter.get_input_details()
            for detail, array in zip(details, arguments, strict=True):
                if tuple(detail["shape"]) != np.shape(array):
                    interpreter.resize_tensor_input(detail["index"], np.shape(array))
            interpreter.allocate_tensors()
            for detail, array in zip(details, arguments, strict=True):
                interpreter.set_tensor(detail["index"], np.asarray(array))
            interpreter.invoke()
            return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
        except (ValueError, RuntimeError) as error:
            raise ImportFailure(f"the reference (LiteRT) fails: {error}") from error

    def _interpreter(self, data: bytes) -> Any:
        every = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        if self.engine != "litert":
            try:
                kernels = OpResolverType.BUILTIN_REF
                return Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kernels)
            except ValueError as error:  # some operators have no reference kernel
                if "Didn't find op" not in str(error):
                    raise
        return Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=every)
