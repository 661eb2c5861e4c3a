"""ai.onnx.preview.training.Gradient becomes nodes: those of the graph again, and backwards a few for each of them.

    d = Mul(Add(a, b), a);  g = Gradient<xs = ["a"], y = "d">(a)    ->    … Mul(one, a) …, Mul(one, c) …, Add(…)

Since gradients are nodes like others, gradients of gradients need nothing more. A rule per operator says what the
gradients of its inputs are, given that of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mlirage.importers.onnx_ops.registry import attribute_value, node_label
from mlirage.input.builders import Tensor

if TYPE_CHECKING:
    from mlirage.importers.onnx_graph import GraphImporter

OPSET = 18
"""The operator set that the rules speak; where one needs more, the operator itself is at fault."""

HistoryEntry = tuple[onnx.NodeProto, int]
Rule = Callable[["Tape", onnx.NodeProto, str], Sequence[str | None]]
_RULES: dict[str, Rule] = {}


class Tape:
    """Writes nodes and imports each at once, so that the shapes of what they make are known.

    Args:
      graph: the scope in which the values lie.
      prefix: of the names of new values.
    """

    def __init__(self, graph: GraphImporter, prefix: str) -> None:
        self.graph = graph
        self.prefix = prefix
        self.count = 0
        self.opset = OPSET  # of the node whose gradient is made

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the result of a new node."""
        self.count += 1
        name = f"{self.prefix}/{kind}_{self.count}"
        self.graph.run_nodes([helper.make_node(kind, list(inputs), [name], name, **attributes)])
        return name

    def ops(self, kind: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """As `op`, of a node with several results."""
        self.count += 1
        name = f"{self.prefix}/{kind}_{self.count}"
        names = [f"{name}_{i}" for i in range(results)]
        self.graph.run_nodes([helper.make_node(kind, list(inputs), names, name, **attributes)])
        return names

    def as_written(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """As `op`, of the operator set of the node whose gradient is made."""
        ours = self.graph.opsets
        self.graph.opsets = {**ours, "": self.opset}
        try:
            return self.op(kind, *inputs, **attributes)
        finally:
            self.graph.opsets = ours

    def constant(self, value: Any, like: str | None = None) -> str:
        """A constant; of the type of a value, or int64."""
        dtype = np.dtype(np.int64) if like is None else self.tensor(like).dtype
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def tensor(self, name: str) -> Tensor:
        """The value of a name.

        Raises:
          NotImplementedError: it is no tensor.
        """
        value = self.graph.values[name]
        if not isinstance(value, Tensor):
            raise NotImplementedError(f"{name!r} is no tensor: it has no gradient")
        return value

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """The attributes of a node, by name."""
        return {a.name: attribute_value(a, self.graph.context.weights.read) for a in node.attribute}

    def like(self, gradient: str, name: str) -> str:
        """A gradient summed over the axes along which `name` was broadcast."""
        source, target = self.tensor(gradient), self.tensor(name)
        if source.shape == target.shape:
            return gradient
        extra = source.rank - target.rank
        axes = list(range(extra))
        for axis, (have, want) in enumerate(zip(source.shape[extra:], target.shape, strict=True)):
            if have == want:
                continue
            if want != 1:
                raise NotImplementedError(
                    f"whether axis {axis} of {name!r} is broadcast is only known when the program runs"
                )
            axes.append(axis + extra)
        if axes:
            gradient = self.op("ReduceSum", gradient, self.constant(axes), keepdims=1)
        return self.op("Reshape", gradient, self.op("Shape", name), allowzero=1)

    def axes(self, node: onnx.NodeProto, rank: int) -> list[int]:
        """The axes of a reduction, Squeeze or Unsqueeze: an attribute or, later, an input."""
        axes = self.attributes(node).get("axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            axes = [int(d) for d in self.tensor(node.input[1]).dims() if isinstance(d, int)]
        return [a % rank for a in axes] if axes is not None else list(range(rank))


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of operators."""

    def register(function: Rule) -> Rule:
        for name in names:
            _RULES[name] = function
        return function

    return register


def expand_gradient(graph: GraphImporter, node: onnx.NodeProto, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a Gradient node: of `y` by each of `xs`, at the inputs given.

    Raises:
      NotImplementedError: an operator between them has no rule.
      ValueError: the node names values that are not there.
    """
    attributes = {a.name: attribute_value(a, graph.context.weights.read) for a in node.attribute}
    xs: list[str] = attributes.get("xs", [])
    names, y = [*xs, *attributes.get("zs", [])], attributes.get("y", "")
    if len(inputs) != len(names) or y not in graph.values:
        raise ValueError(f"{len(inputs)} inputs for xs and zs {names}, y is {y!r}")
    label = node_label(node)
    nodes = _between(graph.history, names, y)
    tape, y, names = _copy(graph, nodes, names, y, inputs, label)
    if not tape.graph.history and y not in names:
        return [_zeros_like(tape, x) for x in names[: len(xs)]]
    gradients = {y: tape.op("ConstantOfShape", tape.op("Shape", y), value=_one(tape.tensor(y)))}
    for step, opset in reversed(tape.graph.history[: tape.graph.copied]):
        tape.opset = opset
        outputs = [name for name in step.output if name in gradients]
        if not outputs:
            continue
        if step.op_type not in _RULES:
            raise NotImplementedError(f"node {node_label(step)!r}: {step.op_type} has no rule for its gradient")
        if outputs != [step.output[0]]:
            raise NotImplementedError(f"node {node_label(step)!r}: the gradient of a further output of {step.op_type}")
        parts = _RULES[step.op_type](tape, step, gradients[step.output[0]])
        for name, part in zip(step.input, parts, strict=False):
            if name and part is not None:
                gradients[name] = tape.op("Add", gradients[name], part) if name in gradients else part
    results = [tape.graph.values[gradients[x]] if x in gradients else _zeros_like(tape, x) for x in names[: len(xs)]]
    # What a gradient of this gradient will go through.
    graph.history += [(helper.make_node("Identity", [a], [x]), OPSET) for a, x in zip(node.input, names, strict=True)]
    graph.history += tape.graph.history
    for x, output in zip(names, node.output, strict=False):
        if output and x in gradients:
            graph.history.append((helper.make_node("Identity", [gradients[x]], [output]), OPSET))
    graph.values.update({k: v for k, v in tape.graph.values.items() if k.startswith(label)})
    return results


def _one(like: Tensor) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(1, like.dtype))


def _zeros_like(tape: Tape, name: str) -> Any:
    zero = numpy_helper.from_array(np.zeros(1, tape.tensor(name).dtype))
    return tape.graph.values[tape.op("ConstantOfShape", tape.op("Shape", name), value=zero)]


def _between(nodes: Sequence[HistoryEntry], sources: Sequence[str], target: str) -> list[HistoryEntry]:
    """The nodes on the ways from `sources` to `target`, in order."""
    reached = set(sources)
    forward: list[HistoryEntry] = []
    for node, opset in nodes:
        if any(name in reached for name in node.input) and not any(name in sources for name in node.output):
            forward.append((node, opset))
            reached.update(node.output)
    needed = {target}
    kept: list[HistoryEntry] = []
    for node, opset in reversed(forward):
        if any(name in needed for name in node.output):
            kept.append((node, opset))
            needed.update(node.input)
    return kept[::-1]


def _copy(
    graph: GraphImporter, nodes: Sequence[HistoryEntry], names: Sequence[str], y: str, inputs: Sequence[Any], label: str
) -> tuple[Tape, str, list[str]]:
    """Imports the nodes once more, at the inputs given, under names of their own."""
    scope = graph.scope(OPSET)
    renamed = {name: f"{label}/{name}" for name in names}
    scope.values.update({renamed[name]: value for name, value in zip(names, inputs, strict=True)})
    for node, opset in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(node.input):
            copy.input[i] = renamed.get(name, name)
        for i, name in enumerate(node.output):
            renamed[name] = f"{label}/{name}" if name else ""
            copy.output[i] = renamed[name]
        scope.opsets = {**graph.opsets, "": opset}
        scope.run_nodes([copy])
    scope.copied = len(scope.history)
    scope.opsets = {**graph.opsets, "": OPSET}
    return Tape(scope, label), renamed.get(y, y), [renamed[name] for name in names]


# Rules: the tape, the node, the name of the gradient of its (first) output -> gradients of its inputs.


@rule("Add", "Sum")
def _add(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.like(g, name) for name in node.input]


@rule("Mean")
def _mean(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    share = tape.op("Div", g, tape.constant(len(node.input), g))
    return [tape.like(share, name) for name in node.input]


@rule("Sub")
def _sub(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.like(g, node.input[0]), tape.like(tape.op("Neg", g), node.input[1])]


@rule("Mul")
def _mul(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    a, c = node.input
    return [tape.like(tape.op("Mul", g, c), a), tape.like(tape.op("Mul", g, a), c)]


@rule("Div")
def _div(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    a, c = node.input
    by_c = tape.op("Neg", tape.op("Div", tape.op("Mul", g, node.output[0]), c))
    return [tape.like(tape.op("Div", g, c), a), tape.like(by_c, c)]


@rule("Pow")
def _pow(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    a, n = node.input
    exponent = tape.op("CastLike", n, a)
    less = tape.op("Pow", a, tape.op("Sub", exponent, tape.constant(1, a)))
    by_a = tape.like(tape.op("Mul", g, tape.op("Mul", exponent, less)), a)
    if tape.tensor(n).known is not None:
        return [by_a, None]
    by_n = tape.op("Mul", g, tape.op("Mul", node.output[0], tape.op("Log", a)))
    return [by_a, tape.like(tape.op("CastLike", by_n, n), n)]


@rule("Identity", "Dropout")
def _identity(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    if node.op_type == "Dropout" and len(node.input) > 2:
        raise NotImplementedError("the gradient of Dropout in training mode")
    return [g]


@rule("Cast")
def _cast(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.op("CastLike", g, node.input[0])]


@rule("Shape", "Size", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Not", "ConstantOfShape", "Sign")
def _constant(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    """What does not change, or jumps, as its inputs do."""
    return [None] * len(node.input)


@rule("CastLike")
def _cast_like(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.op("CastLike", g, node.input[0]), None]


def _elementwise(name: str, slope: Callable[[Tape, str, str], str]) -> None:
    """A rule for an operator of one input: `slope(tape, x, y)` is its derivative."""

    def function(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
        return [tape.op("Mul", g, slope(tape, node.input[0], node.output[0]))]

    _RULES[name] = function


def _one_minus_square(tape: Tape, y: str) -> str:
    return tape.op("Sub", tape.constant(1, y), tape.op("Mul", y, y))


def _positive(tape: Tape, x: str) -> str:
    """1 where x > 0, else 0."""
    return tape.op("CastLike", tape.op("Greater", x, tape.constant(0, x)), x)


_elementwise("Neg", lambda t, x, y: t.constant(-1, x))
_elementwise("Exp", lambda t, x, y: y)
_elementwise("Log", lambda t, x, y: t.op("Reciprocal", x))
_elementwise("Sqrt", lambda t, x, y: t.op("Div", t.constant(0.5, x), y))
_elementwise("Reciprocal", lambda t, x, y: t.op("Neg", t.op("Mul", y, y)))
_elementwise("Sin", lambda t, x, y: t.op("Cos", x))
_elementwise("Cos", lambda t, x, y: t.op("Neg", t.op("Sin", x)))
_elementwise("Tanh", lambda t, x, y: _one_minus_square(t, y))
_elementwise("Sigmoid", lambda t, x, y: t.op("Mul", y, t.op("Sub", t.constant(1, y), y)))
_elementwise("Relu", lambda t, x, y: _positive(t, x))
_elementwise("Abs", lambda t, x, y: t.op("Sign", x))
_elementwise("Softplus", lambda t, x, y: t.op("Sigmoid", x))
_elementwise(
    "Erf",
    lambda t, x, y: t.op("Mul", t.constant(2 / np.sqrt(np.pi), x), t.op("Exp", t.op("Neg", t.op("Mul", x, x)))),
)


@rule("LeakyRelu")
def _leaky_relu(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x = node.input[0]
    alpha = tape.constant(tape.attributes(node).get("alpha", 0.01), x)
    slope = tape.op("Where", tape.op("Greater", x, tape.constant(0, x)), tape.constant(1, x), alpha)
    return [tape.op("Mul", g, slope)]


@rule("MatMul")
def _matmul(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    a, c = node.input
    ranks = [tape.tensor(name).rank for name in (a, c)]
    if min(ranks) < 2:
        raise NotImplementedError("the gradient of a product with a vector: give it a unit axis")
    turned = [tape.op("Transpose", n, perm=[*range(r - 2), r - 1, r - 2]) for n, r in zip((a, c), ranks, strict=True)]
    return [tape.like(tape.op("MatMul", g, turned[1]), a), tape.like(tape.op("MatMul", turned[0], g), c)]


@rule("Gemm")
def _gemm(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    settings = tape.attributes(node)
    alpha, beta = settings.get("alpha", 1.0), settings.get("beta", 1.0)
    over_a, over_b = settings.get("transA", 0), settings.get("transB", 0)
    a, c = node.input[:2]
    by_a = (
        tape.op("Gemm", c, g, alpha=alpha, transA=over_b, transB=1)
        if over_a
        else tape.op("Gemm", g, c, alpha=alpha, transB=1 - over_b)
    )
    by_b = (
        tape.op("Gemm", g, a, alpha=alpha, transA=1, transB=over_a)
        if over_b
        else tape.op("Gemm", a, g, alpha=alpha, transA=1 - over_a)
    )
    parts: list[str | None] = [by_a, by_b]
    if len(node.input) > 2 and node.input[2]:
        parts.append(tape.like(tape.op("Mul", g, tape.constant(beta, g)), node.input[2]))
    return parts


@rule("Transpose")
def _transpose(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    rank = tape.tensor(node.input[0]).rank
    order = tape.attributes(node).get("perm", list(range(rank))[::-1])
    return [tape.op("Transpose", g, perm=[int(i) for i in np.argsort(order)])]


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.op("Reshape", g, tape.op("Shape", node.input[0]), allowzero=1)]


@rule("Expand")
def _expand(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    return [tape.like(g, node.input[0])]


@rule("ReduceSum", "ReduceMean")
def _reduce(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x = node.input[0]
    axes = tape.axes(node, tape.tensor(x).rank)
    if not tape.attributes(node).get("keepdims", 1) and axes:
        g = tape.op("Unsqueeze", g, tape.constant(axes))
    g = tape.op("Expand", g, tape.op("Shape", x))
    if node.op_type == "ReduceMean":
        count = tape.op("Div", tape.op("Size", x), tape.op("Size", node.output[0]))
        g = tape.op("Div", g, tape.op("CastLike", count, g))
    return [g]


@rule("Softmax", "LogSoftmax")
def _softmax(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    y = node.output[0]
    axis = tape.attributes(node).get("axis", -1 if tape.graph.softmax_is_of_one_axis else 1)
    if not tape.graph.softmax_is_of_one_axis and axis not in (-1, tape.tensor(y).rank - 1):
        raise NotImplementedError("the gradient of a Softmax over several axes, as before opset 13")
    axes = tape.constant([axis])
    if node.op_type == "LogSoftmax":
        total = tape.op("ReduceSum", g, axes, keepdims=1)
        return [tape.op("Sub", g, tape.op("Mul", tape.op("Exp", y), total))]
    total = tape.op("ReduceSum", tape.op("Mul", g, y), axes, keepdims=1)
    return [tape.op("Mul", y, tape.op("Sub", g, total))]


@rule("Where")
def _where(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    condition, a, c = node.input
    zero = tape.constant(0, g)
    return [
        None,
        tape.like(tape.op("Where", condition, g, zero), a),
        tape.like(tape.op("Where", condition, zero, g), c),
    ]


@rule("HardSigmoid")
def _hard_sigmoid(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    y = node.output[0]
    zero, one = tape.constant(0, y), tape.constant(1, y)
    inside = tape.op("And", tape.op("Greater", y, zero), tape.op("Less", y, one))
    alpha = tape.constant(tape.attributes(node).get("alpha", 0.2), y)
    return [tape.op("Where", inside, tape.op("Mul", g, alpha), zero)]


@rule("Elu")
def _elu(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    x, y = node.input[0], node.output[0]
    alpha = tape.constant(tape.attributes(node).get("alpha", 1.0), x)
    slope = tape.op("Where", tape.op("Greater", x, tape.constant(0, x)), tape.constant(1, x), tape.op("Add", y, alpha))
    return [tape.op("Mul", g, slope)]


@rule("Concat")
def _concat(tape: Tape, node: onnx.NodeProto, g: str) -> list[str | None]:
    axis = tape.attributes(node)["axis"] % tape.tensor(g).rank
    extents = [tape.op("Shape", name, start=axis, end=axis + 1) for name in node.input]
    start, parts = tape.constant([0]), list[str | None]()
    for extent in extents:
        end = tape.op("Add", start, extent)
        parts.append(tape.op("Slice", g, start, end, tape.constant([axis])))
        start = end
    return parts
