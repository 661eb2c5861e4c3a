"""A function of TensorFlow becomes text of StableHLO, by TensorFlow's own passes.

    FunctionDef, the functions it calls, its variables' types  ->  module { func.func @name … stablehlo … }

The passes are C++ that may end the process (`tensorflow_worker.py` is a process for that). Variables never become
text: functions are converted with handles of the variables' types. What TensorFlow's lowering does not know goes
through it as custom calls: those that are ours are made later (`tensorflow_calls.py`), of the others all are reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlirage.errors import ImportFailure
from mlirage.importers import tensorflow_calls
from mlirage.importers.tensorflow_lists import with_known_elements
from mlirage.importers.tensorflow_locations import node_of, plain_locations
from mlirage.importers.tensorflow_nodes import Nodes, definitions, nodes_of
from mlirage.importers.tensorflow_ops.names import NAMES

_IMPORT = b"tf-standard-pipeline"
_PIPELINE = "tf-lower-to-mlprogram-and-hlo"
_LISTS = "tf-shape-inference,tf-tensor-list-ops-decomposition"
_BOUNDED = ("Slice", "StridedSlice")
_RESOURCE = "tensor<!tf_type.resource>"


@dataclass(frozen=True)
class Graph:
    """A function as TensorFlow keeps it.

    Attributes:
      name: of the function in the text that is made.
      function: a serialized FunctionDef.
      library: a serialized FunctionDefLibrary of the functions that it calls.
      bound: for each captured input, at the end of the inputs, the variable's name, or None for an array.
      types: MLIR types of the variables by name.
    """

    name: str
    function: bytes
    library: bytes
    bound: Sequence[str | None]
    types: Mapping[str, str]


def lower(graph: Graph) -> str:
    """The text of a module with the function.

    Raises:
      ImportFailure: it holds what cannot be converted.
    """
    return _Lowering(graph, nodes_of(graph.function, graph.library)).run()


def _mlir() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tensorflow.python import pywrap_mlir  # pyright: ignore

    return pywrap_mlir


def imported(graph: Graph) -> str:
    """The function in TensorFlow's own dialect."""
    mlir = _mlir()
    from tensorflow.python.eager import context  # pyright: ignore

    definition, *others = definitions(graph.function, graph.library)
    eager: Any = context.context()
    eager.ensure_initialized()
    added: list[str] = []
    for function in [*others, definition]:
        if not eager.has_function(function.signature.name):
            eager.add_function_def(function)
            added.append(function.signature.name)
    try:
        return mlir.ImportFunction(eager._handle, str(definition).encode(), _IMPORT, True)
    finally:
        for name in added:
            eager.remove_function(name)


class _Lowering:
    def __init__(self, graph: Graph, nodes: Nodes) -> None:
        self.graph, self.nodes = graph, nodes
        self.handed: set[str] = set()  # operations that are made here

    def fail(self, text: str) -> ImportFailure:
        return ImportFailure(f"function {self.graph.name!r}: {text}")

    def run(self) -> str:
        try:
            text = imported(self.graph)
        except Exception as error:  # TensorFlow raises its own classes, and RuntimeError
            raise self.fail(self.nodes.explained(f"TensorFlow cannot express it in MLIR: {error}")) from error
        # Functions that are compiled on their own in TensorFlow are part of this one.
        text = text.replace("_xla_compile_device_type =", "_device_type =").replace("_XlaMustCompile =", "_compile =")
        text = plain_locations(self.with_handles(text))
        try:
            text = with_known_elements(tensorflow_calls.expand(text))
        except NotImplementedError as error:
            raise self.fail(f"it holds {error}") from error
        # The lowering of Hermitian eigenvalues takes real matrices alone, and does not say so by name.
        handed = self.handed
        if re.search(r'"tf\.SelfAdjointEigV2".*complex<', text):
            handed.add("SelfAdjointEigV2")
        if re.search(r'"tf\.Unpack".*\?', text):  # nor does that of Unpack, which ends the process for open extents
            handed.add("Unpack")
        if _pads_open_images(text):  # wrongly
            handed |= {"MaxPool", "MaxPool3D"}
            if gradients := [op for op in ("MaxPoolGrad", "MaxPool3DGrad") if f'"tf.{op}"' in text]:
                raise self.fail(self.nodes.unsupported(gradients))
        if re.search(r'"tf\.Range".*-> tensor<\?', text):  # wrong for negative steps
            handed.add("Range")
        unsupported: dict[str, None] = {}
        lowered = ""
        while True:
            try:
                lowered, unknown = self.lowered(tensorflow_calls.hand_through(text, handed | set(unsupported)))
            except ImportFailure:
                if unsupported:  # it stumbles over the calls that stand for what nobody knows
                    break
                raise
            more = {operation.removeprefix("tf.") for operation in unknown} - handed - set(unsupported)
            if not more:
                unsupported |= dict.fromkeys(op.removeprefix("tf.") for op in unknown)
                break
            handed.update(more & NAMES)
            if "tensor<*x" in text:  # calls have the types that operations say; those of variables are to be inferred
                text = _inferred(text)
            unsupported |= dict.fromkeys(sorted(more - NAMES))
        if unsupported:
            raise self.fail(self.nodes.unsupported(list(unsupported)))
        return plain_locations(_with_chlo(lowered))

    def with_handles(self, text: str) -> str:
        """The text with variables by name instead of as arguments; captured arrays stay the last arguments."""
        text = text.replace("tensor<*x!tf_type.resource>", _RESOURCE)
        head = re.search(r"func\.func @\S+?\((.*?)\)( -> .*?)? attributes \{.*\} \{\n", text)
        pattern = r"(%arg\d+): (tensor<.*?>)(?: \{.*?\})?(?: loc\(\S*\))?(?=, %arg|$)"
        arguments = re.findall(pattern, head[1]) if head else []
        bound = self.graph.bound
        first = len(arguments) - len(bound)
        if head is None or first < 0:
            raise self.fail(f"unexpected MLIR of this version of TensorFlow: {text[:300]}")
        kept: list[str] = []
        handles = ""
        for position, (value, kind) in enumerate(arguments):
            variable = bound[position - first] if position >= first else None
            if variable is None:
                kept.append(f"{value}: {kind}")
                continue
            typed = f"tensor<!tf_type.resource<{self.graph.types[variable]}>>"
            handles += f'    {value}_handle = "tf.VarHandleOp"() <{{container = "", shared_name = "{variable}"}}>'
            handles += f" : () -> {typed}\n"
            handles += f'    {value} = "tf.Cast"({value}_handle) <{{Truncate = false}}> : ({typed}) -> {_RESOURCE}\n'
        count = len(re.findall(r"tensor<", head[2] or ""))
        names = {part: ",".join(f"{part}{i}" for i in range(n)) for part, n in (("in", len(kept)), ("out", count))}
        entry = f'{{control_outputs = "", inputs = "{names["in"]}", outputs = "{names["out"]}"}}'
        signature = f"{self.graph.name}({', '.join(kept)}){head[2] or ''}"
        function = f"func.func @{signature} attributes {{tf.entry_function = {entry}}} {{\n"
        return text[: head.start()] + function + handles + text[head.end() :]

    def lowered(self, text: str) -> tuple[str, list[str]]:
        """The text after the lowering, and the operations that it does not know."""
        run = _mlir().ExperimentalRunPassPipeline
        try:
            if '"tf.TensorList' in text:  # loops that collect rows, as map_fn and Keras's recurrent layers make them
                text = run(text.encode(), _LISTS.encode(), True)
            lowered = run(text.encode(), _PIPELINE.encode(), True)
        except Exception as error:  # TensorFlow raises its own classes
            message = str(error)
            named = dict.fromkeys(re.findall(r"'?\b(tf\.[A-Z]\w*)\b'?", message))
            operations = [name for name in named if name != "tf.XlaCustomCallV2"]
            if operations:
                return "", operations
            if "type_extensions" in message:  # bounds of slices that only a run knows, which its own passes do not take
                slices = [op for op in _BOUNDED if op in self.nodes.by_operation and op not in self.handed]
                if slices:
                    return "", [f"tf.{op}" for op in slices]
            node = node_of(message)
            if self.nodes.operation(node) in NAMES - self.handed:  # it knows the operation, but not this form
                return "", [f"tf.{self.nodes.operation(node)}"]
            told = f"{f'node {node!r}: ' if node else ''}TensorFlow cannot lower it: {message[:2000]}"
            raise self.fail(self.nodes.explained(told)) from error
        lowered = tensorflow_calls.as_calls(lowered)
        return lowered, list(dict.fromkeys(re.findall(r'"(tf(?:_\w+)?\.\w+)"', lowered)))


def _pads_open_images(text: str) -> bool:
    """Whether a window over open height or width is padded to be as large as the image."""
    if not re.search(r'"tf\.MaxPool(?:3D)?".*padding = "SAME"', text):
        return False
    open_image = r"tensor<(?:\*x|[^x>]+x(?:[^x>]+x)*\?x)"
    return bool(re.search(rf'"tf\.MaxPool(?:3D)?".*padding = "SAME".*: \({open_image}', _inferred(text)))


def _inferred(text: str) -> str:
    """The text with the ranks and extents that TensorFlow infers; as it is, if TensorFlow cannot."""
    try:
        return _mlir().ExperimentalRunPassPipeline(text.encode(), b"tf-shape-inference", True)
    except Exception:  # TensorFlow raises its own classes; what is wrong the lowering says
        return text


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
