"""Runs the nodes of an exported graph in order, each through its operator's function.

Graphs are those of `torch.export` after decomposition: functional, with tensors and symbolic numbers as values. A node
is located at its module's path and its line in the model's source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.fx.node import Node, map_aggregate

from mlirage.errors import ImportFailure, MlirageError
from mlirage.importers.pytorch_ops import dequantized
from mlirage.importers.pytorch_ops.registry import PLACEMENT, Op, numpy_dtype, operators
from mlirage.importers.pytorch_state import State
from mlirage.importers.pytorch_symbols import evaluate, symbol_function
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Sym, Tensor, TensorBuilder
from mlirage.mlir import ir

_SHOWN_NODES = 3
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


class GraphImporter:
    """Imports a graph into the function being built.

    Args:
      module: owns the graph, and the graphs that its higher-order operators call.
      state: of the program.
    """

    def __init__(self, module: torch.fx.GraphModule, state: State) -> None:
        self.module = module
        self.state = state
        self.values: dict[Node, Any] = {}
        self.symbols: dict[Any, Dim] = {}  # PyTorch's names of extents that vary

    def run(self, arguments: Sequence[Any]) -> Any:
        """Imports all nodes; returns what the graph returns, nested as there."""
        given = iter(arguments)
        last_use = _last_uses(self.module.graph)
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = next(given)
            elif node.op == "output":
                return self._resolve(node.args[0])
            else:
                with location_of(node):
                    self.values[node] = self._known_by_symbol(node.meta.get("val"), self._run_node(node))
            for dead in last_use.get(node, ()):
                del self.values[dead]
        raise ImportFailure("a graph without output node")

    def subgraph(self, module: torch.fx.GraphModule, arguments: Sequence[Any]) -> list[Any]:
        """Imports a graph that an operator calls, here; its results, flat."""
        inner = GraphImporter(module, self.state)
        inner.symbols = dict(self.symbols)
        results = inner.run(arguments)
        return list(results) if isinstance(results, tuple | list) else [results]

    def _known_by_symbol(self, meta: Any, value: Any) -> Any:
        """A value with the extents that PyTorch's symbols say, so that what is equal is known to be.

        Symbols that a node brings into being (the number of true elements, an `item()`) are learnt here.
        """
        if isinstance(value, tuple | list) and isinstance(meta, tuple | list):
            pairs = zip(meta, value, strict=False)  # pyright: ignore[reportUnknownArgumentType]
            return type(value)(self._known_by_symbol(m, v) for m, v in pairs)  # pyright: ignore
        if isinstance(value, Sym) and isinstance(meta, torch.SymInt):
            if meta.node.expr.is_Symbol:
                self.symbols.setdefault(meta.node.expr, value)
            return value
        if not isinstance(value, Tensor) or not isinstance(meta, torch.Tensor) or value.rank != meta.dim():
            return value
        if meta.dtype.is_floating_point and value.dtype.kind in "fV" and not isinstance(value, dequantized.Dequantized):
            value = b.cast(value, numpy_dtype(meta.dtype))  # statistics of 16-bit floats, which some functions widen
        shape = list(value.shape)
        extents: list[Any] = list(meta.shape)  # ints and SymInts
        for axis, (have, extent) in enumerate(zip(value.shape, extents, strict=True)):
            if isinstance(have, int):
                continue
            if not isinstance(extent, int) and extent.node.expr.is_Symbol:
                self.symbols.setdefault(extent.node.expr, have)
            wanted = evaluate(extent, self.symbols)
            if wanted is not None and wanted != have:
                TensorBuilder.current().require_equal(have, wanted, f"axis {axis} is {wanted}, as PyTorch expects")
                shape[axis] = wanted
        return value if tuple(shape) == value.shape else _reshaped(value, shape)

    def _resolve(self, argument: Any) -> Any:
        return map_aggregate(argument, lambda x: self.values[x] if isinstance(x, Node) else x)

    def _run_node(self, node: Node) -> Any:
        if node.op == "get_attr":
            return self._attribute(str(node.target))
        arguments = self._resolve(tuple(node.args))
        keywords = self._resolve(dict(node.kwargs))
        try:
            if isinstance(node.target, OpOverload):
                return self.call(node, node.target, arguments, keywords)
            if isinstance(node.target, HigherOrderOperator):
                return operators()[operator_name(node)].function(Op(node, self), *arguments, **keywords)
            function = symbol_function(node.target)
            assert function is not None, node.target
            return function(*arguments, **keywords)
        except MlirageError as error:
            if str(error).startswith("node "):
                raise
            raise ImportFailure(f"{describe(node)}: {error}") from error
        except (ValueError, TypeError, NotImplementedError, KeyError, IndexError, ir.MLIRError) as error:
            raise ImportFailure(f"{describe(node)}: {error}") from error

    def call(self, node: Node, target: OpOverload, arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """Calls the operator's function with the arguments of the schema, defaults included."""
        operator = operators()[str(target)]
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for i, parameter in enumerate(target._schema.arguments):  # pyright: ignore[reportPrivateUsage]
            if i < len(arguments):
                value, given = arguments[i], True
            elif parameter.name in keywords:
                value, given = keywords[parameter.name], True
            else:
                value, given = parameter.default_value, False
            if not parameter.kwarg_only:
                positional.append(value)
            elif parameter.name in operator.keywords:
                named[parameter.name] = value
            elif given and value is not None and parameter.name not in PLACEMENT and parameter.name != "dtype":
                raise NotImplementedError(f"argument {parameter.name}={value!r} is not supported")
        op = Op(node, self)
        if positional:
            first, *rest = positional
            carried = dequantized.carried(str(target), lambda x: operator.function(op, x, *rest, **named), first)
            if carried is not NotImplemented:
                return carried
        return operator.function(op, *positional, **named)

    def _attribute(self, path: str) -> Any:
        value: Any = self.module
        for part in path.split("."):
            value = getattr(value, part)
        return self.state.value(path, value) if isinstance(value, torch.Tensor) else value


def _reshaped(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    if x.known is not None or x.filled is not None:
        return x
    if isinstance(x, dequantized.Dequantized):
        return x.with_shape(shape)
    return Tensor.from_value(x.value, x.dtype, shape)


def _last_uses(graph: torch.fx.Graph) -> dict[Node, list[Node]]:
    """Which values each node is the last to use: they need not be kept."""
    uses: dict[Node, list[Node]] = {}
    seen: set[Node] = set()
    for node in reversed(graph.nodes):
        for used in node.all_input_nodes:
            if used not in seen:
                seen.add(used)
                uses.setdefault(node, []).append(used)
    return uses


def operator_name(node: Node) -> str:
    """The name by which the table knows a node's operator."""
    if isinstance(node.target, HigherOrderOperator):
        return f"higher_order.{node.target.name()}.default"
    return str(node.target)


def module_path(node: Node) -> str:
    """Where in the model a node stands: `encoder.layer.0.attention`."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path = list(stack.values())[-1][0]
    return re.sub(r"^L\['self'\]\.?|^L__self___?|^_empty_nn_module_stack.*", "", str(path)).strip(".")


def location_of(node: Node) -> ir.Location:
    """The module path and the node's name, and its line in the source."""
    path = module_path(node)
    name = f"{path}/{node.name}" if path else node.name
    line = _line_of(node)
    return ir.Location.name(name, ir.Location.file(*line, 0)) if line is not None else ir.Location.name(name)


def _line_of(node: Node) -> tuple[str, int] | None:
    """File and line of the model's source that made a node."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    return (frames[-1][0], int(frames[-1][1])) if frames else None


def describe(node: Node) -> str:
    """A node for messages: `node 'encoder.0/add' (aten.add.Tensor of float32[2, 3], float32[]) at net.py:7`."""
    path = module_path(node)
    name = f"{path}/{node.name}" if path else node.name
    kinds = [_kind(argument.meta.get("val")) for argument in node.all_input_nodes]
    line = _line_of(node)
    where = f" at {line[0]}:{line[1]}" if line is not None else ""
    return f"node {name!r} ({operator_name(node)} of {', '.join(filter(None, kinds)) or 'nothing'}){where}"


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_kind, value))})"
    return "" if value is None else type(value).__name__


def check_supported(modules: Sequence[torch.fx.GraphModule]) -> None:
    """Refuses graphs with operators that have no function, and names all of them.

    Raises:
      ImportFailure: there are some.
    """
    found: dict[str, list[Node]] = {}
    for module in modules:
        for name, nodes in _unsupported(module).items():
            found.setdefault(name, []).extend(nodes)
    if not found:
        return
    lines = ["the model holds operators that are not supported:"]
    for name, nodes in sorted(found.items()):
        shown = "; ".join(describe(node).removeprefix("node ") for node in nodes[:_SHOWN_NODES])
        more = f" and {len(nodes) - _SHOWN_NODES} more" if len(nodes) > _SHOWN_NODES else ""
        lines.append(f"  {name}: {shown}{more}")
    raise ImportFailure("\n".join(lines))


def _unsupported(module: torch.fx.GraphModule) -> dict[str, list[Node]]:
    """The operators, of this graph and those inside, that have no function, with their nodes."""
    found: dict[str, list[Node]] = {}
    known = operators()
    for graph_module in module.modules():
        if not isinstance(graph_module, torch.fx.GraphModule):
            continue
        for node in graph_module.graph.nodes:
            if node.op != "call_function":
                continue
            if isinstance(node.target, OpOverload | HigherOrderOperator):
                inner = [a for a in node.args if isinstance(a, OpOverload)]  # what `with_effects` calls
                supported = operator_name(node) in known and all(str(a) in known for a in inner)
            else:
                supported = symbol_function(node.target) is not None
            if not supported:
                found.setdefault(operator_name(node), []).append(node)
    return found
