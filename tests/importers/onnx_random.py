"""Random ONNX graphs: nodes are drawn one by one and run by ONNX Runtime at once: each fits the values there are.

`model_of(seed)` is a model of up to a dozen nodes, inputs for it and what ONNX Runtime says that every value is. Values
that rounding may have changed are marked, and never decide anything (no comparison, rounding or sorting reads them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
OPSET = 19
LARGEST = 3000  # elements of a value
FLOATS = (np.float32, np.float32, np.float32, np.float64, np.float16)
INTEGERS = (np.int64, np.int32, np.uint8, np.int8, np.int16, np.uint16, np.uint32, np.uint64)


@dataclass
class Value:
    """A tensor of the graph: `exact` if every right implementation gives these very bits."""

    name: str
    array: Array
    exact: bool


class NoFit(Exception):
    """The values there are do not suit the operator that was drawn."""


@dataclass
class Graph:
    """A model while it grows."""

    rng: np.random.Generator
    inputs: list[Value] = field(default_factory=list[Value])
    values: list[Value] = field(default_factory=list[Value])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: dict[str, Array] = field(default_factory=dict[str, Array])

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def int_(self, low: int, high: int) -> int:
        """low … high."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.int_(0, len(options) - 1)]

    def random(self, dtype: Any, shape: Sequence[int]) -> Array:
        dtype = np.dtype(dtype)
        if dtype.kind == "b":
            return self.rng.random(shape) < 0.5
        if dtype.kind in "iu":
            return self.rng.integers(0 if dtype.kind == "u" else -9, 10, shape).astype(dtype)
        return (self.rng.normal(size=shape) * 2).astype(dtype)

    def take(self, kinds: str = "f", ranks: Sequence[int] = range(6), exact: bool = False, small: bool = True) -> Value:
        """A value whose type is of `kinds` (of numpy; F is float32 alone); a new input at times, or where none fits."""

        def fits(value: Value) -> bool:
            kind = value.array.dtype.kind
            good = value.array.dtype == np.float32 if kinds == "F" else kind in kinds
            return good and value.array.ndim in ranks and (value.exact or not exact) and (small or value.array.size > 0)

        found = [value for value in self.values if fits(value)]
        if found and self.chance(0.8):
            return self.one_of(found)
        dtypes = (
            [np.float32] if kinds == "F" else [t for t in (*FLOATS, *INTEGERS, np.bool_) if np.dtype(t).kind in kinds]
        )
        shape = [self.one_of([1, 2, 3, 5, 7]) for _ in range(self.one_of(list(ranks)))]
        if self.chance(0.04) and small and shape:
            shape[self.int_(0, len(shape) - 1)] = 0
        value = Value(f"x{len(self.inputs)}", self.random(self.one_of(dtypes), shape), True)
        self.inputs.append(value)
        self.values.append(value)
        return value

    def constant(self, array: Any) -> Value:
        value = Value(f"w{len(self.weights)}", np.asarray(array), True)
        self.weights[value.name] = value.array
        return value

    def like(self, value: Value, shape: Sequence[int]) -> Value:
        """Another operand: a weight or an input of the same type."""
        array = self.random(value.array.dtype, shape)
        if self.chance(0.6):
            return self.constant(array)
        new = Value(f"x{len(self.inputs)}", array, True)
        self.inputs.append(new)
        self.values.append(new)
        return new

    def broadcast(self, shape: Sequence[int]) -> list[int]:
        """A shape that broadcasts to `shape`."""
        short = list(shape[self.int_(0, len(shape)) if self.chance(0.3) else 0 :])
        return [1 if self.chance(0.25) else d for d in short]

    def node(
        self, op: str, inputs: Sequence[Value | None], outputs: int = 1, exact: bool = False, **attributes: Any
    ) -> None:
        """Adds a node if ONNX Runtime takes it and its values are of use."""
        names = [f"v{len(self.values)}_{i}" for i in range(outputs)]
        node = helper.make_node(
            op, [x.name if x else "" for x in inputs], names, f"{op}_{len(self.nodes)}", **attributes
        )
        given = {x.name: x.array for x in inputs if x is not None}
        given.update({x.name: x.array for x in self.values if any(a.HasField("g") for a in node.attribute)})
        arrays = _run([node], given, {}, names)
        if sum(x.size for x in arrays) > LARGEST:
            raise NoFit
        for x in arrays:
            with np.errstate(all="ignore"):
                if x.dtype.kind == "f" and x.size and not bool((np.abs(x.astype(np.float64)) < 1e4).all()):
                    raise NoFit
        self.nodes.append(node)
        exact = exact and all(x is None or x.exact for x in inputs)
        for name, x in zip(names, arrays, strict=True):
            self.values.append(Value(name, x, exact))


def _info(name: str, array: Array, is_open: bool = False) -> onnx.ValueInfoProto:
    shape = [f"{name}_{axis}" if is_open else d for axis, d in enumerate(array.shape)]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def _model(
    nodes: Sequence[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], outputs: Sequence[str],
    is_open: bool = False,
) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(
        list(nodes), "random", [_info(name, x, is_open) for name, x in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(x, name) for name, x in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def _run(
    nodes: Sequence[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], outputs: Sequence[str]
) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        model = _model(nodes, inputs, weights, outputs).SerializeToString()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return list(session.run(None, inputs))
    except Exception as error:  # whatever ONNX Runtime raises: it does not take the node
        raise NoFit from error


# ---- operators ------------------------------------------------------------------------------------------------------

Maker = Callable[[Graph], None]
MAKERS: dict[str, Maker] = {}


def maker(function: Maker) -> Maker:
    MAKERS[function.__name__] = function
    return function


@maker
def unary(g: Graph) -> None:
    op = g.one_of(
        "Relu Tanh Sigmoid Erf Neg Abs Sin Cos Atan Softplus Softsign Elu Selu HardSwish Gelu LeakyRelu".split()
    )
    g.node(op, [g.take("f")], exact=op in ("Relu", "Neg", "Abs"))


@maker
def exact_unary(g: Graph) -> None:
    op = g.one_of("Floor Ceil Round Sign IsNaN IsInf".split())
    g.node(op, [g.take("f", exact=True)], exact=True)


@maker
def integer_unary(g: Graph) -> None:
    g.node(g.one_of(["Abs", "Neg", "Sign", "BitwiseNot"]), [g.take("iu")], exact=True)


@maker
def logic(g: Graph) -> None:
    x = g.take("b")
    op = g.one_of(["Not", "And", "Or", "Xor"])
    g.node(op, [x] if op == "Not" else [x, g.like(x, g.broadcast(x.array.shape))], exact=True)


@maker
def binary(g: Graph) -> None:
    x = g.take(g.one_of(["f", "f", "iu"]))
    y = g.like(x, g.broadcast(x.array.shape))
    pair = [x, y] if g.chance(0.5) else [y, x]
    g.node(g.one_of(["Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum"]), pair, exact=x.array.dtype.kind in "iu")


@maker
def integer_binary(g: Graph) -> None:
    x = g.take("iu")
    y = g.constant(np.maximum(np.abs(g.random(x.array.dtype, g.broadcast(x.array.shape))), 1))
    op = g.one_of(["Div", "Mod", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "Mod"])
    attributes = {"direction": g.one_of(["LEFT", "RIGHT"])} if op == "BitShift" else {}
    if op == "Mod" and g.chance(0.4):
        attributes = {"fmod": 1}
    g.node(op, [x, y], exact=True, **attributes)


@maker
def compare(g: Graph) -> None:
    x = g.take("fiu", exact=True)
    other = g.like(x, g.broadcast(x.array.shape))
    g.node(g.one_of("Less Greater Equal LessOrEqual GreaterOrEqual".split()), [x, other], exact=True)


@maker
def where(g: Graph) -> None:
    x = g.take("fiu")
    condition = g.like(Value("", np.zeros(0, np.bool_), True), g.broadcast(x.array.shape))
    g.node("Where", [condition, x, g.like(x, g.broadcast(x.array.shape))], exact=True)


@maker
def cast(g: Graph) -> None:
    x = g.take("fiub", exact=True)
    target = np.dtype(g.one_of((*FLOATS, *INTEGERS, np.bool_)))
    if x.array.dtype.kind == "f" and target.kind == "u" and (x.array < 0).any():
        raise NoFit  # undefined
    g.node("Cast", [x], exact=True, to=helper.np_dtype_to_tensor_dtype(target))


@maker
def clip(g: Graph) -> None:
    x = g.take("fiu")
    low, high = sorted(g.random(x.array.dtype, (2,)).tolist())
    dtype = x.array.dtype
    bounds = [g.constant(np.array(v, dtype)) if g.chance(0.8) else None for v in (low, high)]
    g.node("Clip", [x, *bounds], exact=True)


@maker
def reduce(g: Graph) -> None:
    x = g.take(g.one_of(["f", "f", "i"]), range(1, 6))
    rank = x.array.ndim
    axes = sorted(set(g.rng.integers(0, rank, g.int_(1, rank)).tolist()))
    op = g.one_of("Sum Mean Max Min Prod L1 L2 SumSquare LogSumExp LogSum".split())
    if op == "LogSum" or (x.array.size == 0 and op in ("Max", "Min", "Mean", "LogSumExp")):
        raise NoFit
    keep = g.int_(0, 1)
    if op == "Sum":
        given = [g.constant(np.array([a - rank if g.chance(0.3) else a for a in axes]))] if g.chance(0.8) else []
        g.node("ReduceSum", [x, *given], keepdims=keep, exact=x.array.dtype.kind == "i")
    else:
        # Attributes until opset 18, inputs from then on.
        g.node(f"Reduce{op}", [x, g.constant(np.array(axes))], keepdims=keep, exact=x.array.dtype.kind == "i")


@maker
def arg_extreme(g: Graph) -> None:
    x = g.take("fi", range(1, 5), exact=True, small=False)
    g.node(g.one_of(["ArgMax", "ArgMin"]), [x], axis=g.int_(-x.array.ndim, x.array.ndim - 1), keepdims=g.int_(0, 1),
           select_last_index=g.int_(0, 1), exact=True)  # fmt: skip


@maker
def top_k(g: Graph) -> None:
    x = g.take("fi", range(1, 5), exact=True, small=False)
    axis = g.int_(0, x.array.ndim - 1)
    g.node("TopK", [x, g.constant(np.array([g.int_(0, x.array.shape[axis])]))], 2, axis=axis, largest=g.int_(0, 1),
           exact=True)  # fmt: skip


@maker
def softmax(g: Graph) -> None:
    x = g.take("f", range(1, 5), small=False)
    g.node(g.one_of(["Softmax", "LogSoftmax"]), [x], axis=g.int_(-x.array.ndim, x.array.ndim - 1))


@maker
def hardmax(g: Graph) -> None:
    x = g.take("F", range(1, 5), exact=True, small=False)
    g.node("Hardmax", [x], axis=g.int_(-x.array.ndim, x.array.ndim - 1), exact=True)


@maker
def cum_sum(g: Graph) -> None:
    x = g.take("fi", range(1, 5))
    g.node("CumSum", [x, g.constant(np.array(g.int_(-x.array.ndim, x.array.ndim - 1)))], exclusive=g.int_(0, 1),
           reverse=g.int_(0, 1), exact=x.array.dtype.kind == "i")  # fmt: skip


@maker
def concat(g: Graph) -> None:
    x = g.take("fiub", range(1, 5))
    axis = g.int_(0, x.array.ndim - 1)
    other = [g.int_(0, 4) if i == axis else d for i, d in enumerate(x.array.shape)]
    parts = [x, g.like(x, other), x][: g.int_(2, 3)]
    g.node("Concat", parts, axis=axis - x.array.ndim if g.chance(0.3) else axis, exact=True)


@maker
def split(g: Graph) -> None:
    x = g.take("fiu", range(1, 5))
    axis = g.int_(0, x.array.ndim - 1)
    first = g.int_(0, x.array.shape[axis])
    if g.chance(0.6):
        g.node("Split", [x, g.constant(np.array([first, x.array.shape[axis] - first]))], 2, axis=axis, exact=True)
    else:
        g.node("Split", [x], 2, axis=axis, num_outputs=2, exact=True)


@maker
def slice_(g: Graph) -> None:
    x = g.take("fiub", range(1, 6))
    axes = sorted(set(g.rng.integers(0, x.array.ndim, g.int_(1, x.array.ndim)).tolist()))
    steps = [g.one_of([1, 1, 2, 3, -1, -2]) for _ in axes]
    starts, ends = ([g.int_(-8, 8) for _ in axes] for _ in range(2))
    g.node("Slice", [x, *(g.constant(np.array(v)) for v in (starts, ends, axes, steps))], exact=True)


@maker
def gather(g: Graph) -> None:
    x = g.take("fiub", range(1, 5), small=False)
    axis = g.int_(0, x.array.ndim - 1)
    extent = x.array.shape[axis]
    shape = [g.int_(0, 3) for _ in range(g.int_(0, 2))]
    g.node("Gather", [x, g.constant(g.rng.integers(-extent, extent, shape))], axis=axis, exact=True)


@maker
def gather_elements(g: Graph) -> None:
    x = g.take("fiu", range(1, 5), small=False)
    axis = g.int_(0, x.array.ndim - 1)
    extent = x.array.shape[axis]
    shape = [g.int_(1, 4) if i == axis else d for i, d in enumerate(x.array.shape)]
    g.node("GatherElements", [x, g.constant(g.rng.integers(-extent, extent, shape))], axis=axis, exact=True)


@maker
def gather_nd(g: Graph) -> None:
    x = g.take("fiu", range(1, 5), small=False)
    depth = g.int_(1, x.array.ndim)
    shape = [g.int_(0, 3) for _ in range(g.int_(0, 2))]
    indices = np.stack([g.rng.integers(-d, d, shape) for d in x.array.shape[:depth]], -1)
    g.node("GatherND", [x, g.constant(indices)], exact=True)


@maker
def scatter_elements(g: Graph) -> None:
    x = g.take("fi", range(1, 4), small=False)
    axis = g.int_(0, x.array.ndim - 1)
    extent = x.array.shape[axis]
    reduction = g.one_of(["none", "add", "max", "min", "mul"])
    count = g.int_(1, extent) if reduction == "none" else g.int_(0, 4)
    shape = [count if i == axis else d for i, d in enumerate(x.array.shape)]
    if reduction == "none":  # what is written twice is undefined
        order = np.argsort(g.rng.random([extent if i == axis else d for i, d in enumerate(shape)]), axis)
        indices = np.take(order, np.arange(count), axis)
    else:
        indices = g.rng.integers(-extent, extent, shape)
    g.node("ScatterElements", [x, g.constant(indices), g.like(x, shape)], axis=axis, reduction=reduction,
           exact=x.array.dtype.kind == "i" or reduction in ("none", "max", "min"))  # fmt: skip


@maker
def scatter_nd(g: Graph) -> None:
    x = g.take("fi", range(1, 4), small=False)
    extent = x.array.shape[0]
    reduction = g.one_of(["none", "add", "max"])
    rows = g.rng.permutation(extent)[: g.int_(1, extent)] if reduction == "none" else g.rng.integers(0, extent, 3)
    updates = g.like(x, [len(rows), *x.array.shape[1:]])
    g.node("ScatterND", [x, g.constant(rows[:, None]), updates], reduction=reduction,
           exact=x.array.dtype.kind == "i" or reduction != "add")  # fmt: skip


@maker
def pad(g: Graph) -> None:
    x = g.take("fi", range(1, 5), small=False)
    mode = g.one_of(["constant", "reflect", "edge", "wrap"])
    low = -1 if mode == "constant" else 0
    pads = [g.int_(low, 2 if mode != "reflect" else min(2, d - 1)) for d in x.array.shape * 2]
    value = [g.constant(g.random(x.array.dtype, ()))] if mode == "constant" and g.chance(0.5) else []
    g.node("Pad", [x, g.constant(np.array(pads)), *value], mode=mode, exact=True)


@maker
def expand(g: Graph) -> None:
    x = g.take("fiub", range(4))
    shape = [g.int_(1, 3) if d == 1 else d for d in x.array.shape]
    g.node("Expand", [x, g.constant(np.array([2, *shape] if g.chance(0.4) else shape, np.int64))], exact=True)


@maker
def tile(g: Graph) -> None:
    x = g.take("fiu", range(1, 4))
    g.node("Tile", [x, g.constant(np.array([g.int_(0, 3) for _ in x.array.shape]))], exact=True)


@maker
def transpose(g: Graph) -> None:
    x = g.take("fiub", range(2, 6))
    g.node("Transpose", [x], perm=g.rng.permutation(x.array.ndim).tolist(), exact=True)


@maker
def reshape(g: Graph) -> None:
    x = g.take("fiub", range(6))
    shape = list(x.array.shape)
    match g.int_(0, 3):
        case 0:
            shape = [-1] if x.array.size else [0]
        case 1:
            shape = [0, -1] if len(shape) > 1 and x.array.size else shape
        case 2:
            shape = [1, *shape]
        case _:
            shape = [*shape[:-2], -1] if len(shape) > 1 and x.array.size else shape
    g.node("Reshape", [x, g.constant(np.array(shape, np.int64))], exact=True)


@maker
def shape_ops(g: Graph) -> None:
    x = g.take("fiub", range(1, 5))
    rank = x.array.ndim
    match g.int_(0, 3):
        case 0:
            g.node("Unsqueeze", [x, g.constant(np.array([g.int_(-rank - 1, rank)]))], exact=True)
        case 1:
            g.node("Flatten", [x], axis=g.int_(-rank, rank), exact=True)
        case 2:
            g.node("Shape", [x], start=g.int_(-2, 1), exact=True)
        case _:
            units = [i for i, d in enumerate(x.array.shape) if d == 1]
            g.node("Squeeze", [x, g.constant(np.array(units, np.int64))] if units else [x], exact=True)


@maker
def resize(g: Graph) -> None:
    x = g.take("F", [4], small=False)
    mode = g.one_of(["nearest", "linear", "cubic"])
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": g.one_of(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    }
    if mode == "nearest":
        attributes["nearest_mode"] = g.one_of(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    scales = [1.0, 1.0, g.one_of([0.5, 1.5, 2.0, 1.0]), g.one_of([0.6, 1.0, 2.0, 3.0])]
    if attributes["coordinate_transformation_mode"] == "align_corners":
        # The operator takes the product of extent and scale as the length, ONNX Runtime what is left of it.
        scales = [1.0 if extent * scale % 1 else scale for extent, scale in zip(x.array.shape, scales, strict=True)]
    if g.chance(0.5):
        g.node("Resize", [x, None, g.constant(np.array(scales, np.float32))], **attributes)
    else:
        sizes = [*x.array.shape[:2], g.int_(1, 7), g.int_(1, 7)]
        g.node("Resize", [x, None, None, g.constant(np.array(sizes))], **attributes)


@maker
def conv(g: Graph) -> None:
    x = g.take("F", [3, 4, 5], small=False)
    spatial, channels = x.array.ndim - 2, x.array.shape[1]
    group = channels if g.chance(0.3) else 1
    outputs = group * g.int_(1, 4)
    kernel = [g.int_(1, 3) for _ in range(spatial)]
    attributes: dict[str, Any] = {"group": group, "strides": [g.int_(1, 3) for _ in kernel]}
    if g.chance(0.3):
        attributes["auto_pad"] = g.one_of(["SAME_UPPER", "SAME_LOWER", "VALID"])
    else:
        attributes["pads"] = [g.int_(0, 2) for _ in kernel * 2]
        attributes["dilations"] = [g.int_(1, 2) for _ in kernel]
    bias = [g.constant(g.random(np.float32, (outputs,)))] if g.chance(0.5) else []
    g.node("Conv", [x, g.like(x, [outputs, channels // group, *kernel]), *bias], **attributes)


@maker
def conv_transpose(g: Graph) -> None:
    x = g.take("F", [3, 4], small=False)
    kernel = [g.int_(1, 3) for _ in x.array.shape[2:]]
    strides = [g.int_(1, 3) for _ in kernel]
    extra = [g.int_(0, stride - 1) for stride in strides]
    pads = [g.int_(0, k - 1) for k in kernel * 2]
    g.node("ConvTranspose", [x, g.like(x, [x.array.shape[1], g.int_(1, 3), *kernel])], strides=strides,
           output_padding=extra, pads=pads)  # fmt: skip


@maker
def pool(g: Graph) -> None:
    x = g.take("F", [3, 4, 5], small=False)
    op = g.one_of(["MaxPool", "AveragePool", "LpPool", "MaxPool"])
    kernel = [g.int_(1, 3) for _ in x.array.shape[2:]]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": [g.int_(1, 3) for _ in kernel]}
    attributes["pads"] = [g.int_(0, k // 2) for k in kernel * 2]
    attributes["ceil_mode"] = g.int_(0, 1)
    dilations = [g.int_(1, 2) for _ in kernel] if op != "LpPool" else [1] * len(kernel)
    if op != "LpPool":
        attributes["dilations"] = dilations
    pads = attributes["pads"]
    padded = [d + p + q for d, p, q in zip(x.array.shape[2:], pads, pads[len(kernel) :], strict=False)]
    if any(n < (k - 1) * dilation + 1 for n, k, dilation in zip(padded, kernel, dilations, strict=True)):
        raise NoFit  # a window that does not fit: ONNX Runtime reads past the end
    if op == "AveragePool":
        attributes["count_include_pad"] = g.int_(0, 1)
    g.node(op, [x], **attributes)


@maker
def global_pool(g: Graph) -> None:
    g.node(g.one_of(["GlobalAveragePool", "GlobalMaxPool"]), [g.take("F", [3, 4, 5], small=False)])


@maker
def norm(g: Graph) -> None:
    x = g.take("F", [3, 4], small=False)
    channels = x.array.shape[1]

    def vector(*shape: int) -> Value:
        return g.constant(g.random(np.float32, shape))

    match g.int_(0, 5):
        case 0:
            variance = g.constant(np.abs(g.random(np.float32, (channels,))) + np.float32(0.1))
            g.node("BatchNormalization", [x, vector(channels), vector(channels), vector(channels), variance])
        case 1:
            g.node("InstanceNormalization", [x, vector(channels), vector(channels)], epsilon=0.01)
        case 2:
            axis = g.int_(1, x.array.ndim - 1)
            shape = x.array.shape[axis:]
            g.node("LayerNormalization", [x, vector(*shape), vector(*shape)], axis=axis, epsilon=0.01)
        case 3:
            g.node("LRN", [x], size=g.one_of([1, 3]), alpha=0.1)
        case 4:
            g.node("MeanVarianceNormalization", [x], axes=[0, *range(2, x.array.ndim)])
        case _:
            g.node("LpNormalization", [x], axis=g.int_(0, x.array.ndim - 1), p=g.int_(1, 2))


@maker
def product(g: Graph) -> None:
    x = g.take("F", range(1, 5), small=False)
    inner = x.array.shape[-1]
    batch = g.broadcast(x.array.shape[:-2]) if x.array.ndim > 2 and g.chance(0.5) else []
    shape = [inner] if g.chance(0.1) else [*batch, inner, g.int_(1, 6)]
    g.node("MatMul", [x, g.like(x, shape)])


@maker
def gemm(g: Graph) -> None:
    x = g.take("F", [2], small=False)
    a, b = g.int_(0, 1), g.int_(0, 1)
    inner, n = x.array.shape[0 if a else 1], g.int_(1, 6)
    bias = [g.like(x, g.one_of([[n], [1], [], [1, n]]))] if g.chance(0.7) else []
    g.node("Gemm", [x, g.like(x, [n, inner] if b else [inner, n]), *bias], transA=a, transB=b, alpha=0.5, beta=1.5)


@maker
def einsum(g: Graph) -> None:
    x = g.take("F", [3], small=False)
    p, q, r = x.array.shape
    equation, shape = g.one_of([("bij,bjk->bik", (p, r, 3)), ("bij,kj->bki", (2, r)), ("bij,bij->b", (p, q, r)),
                                ("...ij,...j->...i", (p, r)), ("bij,b->ij", (p,))])  # fmt: skip
    g.node("Einsum", [x, g.like(x, shape)], equation=equation)


@maker
def quantize(g: Graph) -> None:
    x = g.take("F", range(1, 5), exact=True)
    dtype = g.one_of([np.uint8, np.int8])
    axis = g.int_(0, x.array.ndim - 1)
    count = x.array.shape[axis]
    shape = (count,) if g.chance(0.5) else ()
    scale = g.constant(np.exp2(g.rng.integers(-4, 1, shape)).astype(np.float32))  # no ties by rounding
    zero = g.constant(g.random(dtype, shape))
    g.node("QuantizeLinear", [x, scale, zero], axis=axis, exact=True)
    g.node("DequantizeLinear", [g.values[-1], scale, zero], axis=axis, exact=True)


@maker
def integer_product(g: Graph) -> None:
    dtypes = g.one_of([np.uint8, np.int8]), g.one_of([np.uint8, np.int8])
    m, k, n = (g.int_(1, 7) for _ in range(3))
    x = Value(f"x{len(g.inputs)}", g.random(dtypes[0], (m, k)), True)
    g.inputs.append(x)
    g.values.append(x)
    weight = g.constant(g.random(dtypes[1], (k, n)))
    zeros = [g.constant(g.random(d, ())) for d in dtypes]
    if g.chance(0.5):
        g.node("MatMulInteger", [x, weight, *zeros], exact=True)
        return
    scales = [g.constant(np.float32(v)) for v in (0.25, 0.125, 2.0)]
    zero = g.constant(g.random(dtypes[0], ()))
    g.node("QLinearMatMul", [x, scales[0], zeros[0], weight, scales[1], zeros[1], scales[2], zero])


@maker
def integer_conv(g: Graph) -> None:
    x = Value(f"x{len(g.inputs)}", g.random(np.uint8, (1, g.int_(1, 3), g.int_(3, 7), g.int_(3, 7))), True)
    g.inputs.append(x)
    g.values.append(x)
    weight = g.constant(g.random(np.uint8, (2, x.array.shape[1], 2, 3)))
    zeros = [g.constant(np.uint8(v)) for v in (3, 4)]
    attributes = {"pads": [1, 0, 1, 2], "strides": [g.int_(1, 2)] * 2}
    if g.chance(0.5):
        g.node("ConvInteger", [x, weight, *zeros], exact=True, **attributes)
        return
    scales = [g.constant(np.float32(v)) for v in (0.25, 0.125, 4.0)]
    bias = [g.constant(g.random(np.int32, (2,)))] if g.chance(0.5) else []
    zero = g.constant(np.uint8(9))
    g.node("QLinearConv", [x, scales[0], zeros[0], weight, scales[1], zeros[1], scales[2], zero, *bias], **attributes)


@maker
def recurrent(g: Graph) -> None:
    x = g.take("F", [3], small=False)
    steps, batch, width = x.array.shape
    op = g.one_of(["RNN", "GRU", "LSTM"])
    gates, hidden = {"RNN": 1, "GRU": 3, "LSTM": 4}[op], g.int_(1, 5)
    direction = g.one_of(["forward", "reverse", "bidirectional"])
    n = 2 if direction == "bidirectional" else 1
    weights = [
        g.constant(g.random(np.float32, s) / 4) for s in ((n, gates * hidden, width), (n, gates * hidden, hidden))
    ]
    bias = g.constant(g.random(np.float32, (n, 2 * gates * hidden))) if g.chance(0.6) else None
    lengths = g.constant(g.rng.integers(0, steps + 1, batch).astype(np.int32)) if g.chance(0.4) else None
    attributes: dict[str, Any] = {"linear_before_reset": g.int_(0, 1)} if op == "GRU" else {}
    g.node(op, [x, *weights, bias, lengths], 3 if op == "LSTM" else 2, hidden_size=hidden, direction=direction,
           **attributes)  # fmt: skip


@maker
def data_dependent(g: Graph) -> None:
    x = g.take("fib", range(1, 4), exact=True)
    match g.int_(0, 3):
        case 0:
            g.node("NonZero", [x], exact=True)
        case 1:
            axis = g.int_(0, x.array.ndim - 1)
            g.node("Compress", [x, g.constant(g.random(np.bool_, (x.array.shape[axis],)))], axis=axis, exact=True)
        case 2:
            g.node("Unique", [x], 4, sorted=g.int_(0, 1), exact=True)
        case _:
            k = g.constant(np.array(g.int_(-2, 2)))
            g.node("Trilu", [g.take("fi", range(2, 5)), k], upper=g.int_(0, 1), exact=True)


@maker
def rearrange(g: Graph) -> None:
    match g.int_(0, 2):
        case 0:
            x = g.like(Value("", np.zeros(0, np.float32), True), [g.int_(1, 2), 4 * g.int_(1, 2), 2, 3])
            g.node("DepthToSpace", [x], blocksize=2, mode=g.one_of(["DCR", "CRD"]), exact=True)
        case 1:
            x = g.like(Value("", np.zeros(0, np.float32), True), [1, 2, 4, 6])
            g.node("SpaceToDepth", [x], blocksize=2, exact=True)
        case _:
            x = g.take("F", range(2, 5), small=False)
            steps, batch = x.array.shape[:2]
            lengths = g.constant(g.rng.integers(1, steps + 1, batch))
            g.node("ReverseSequence", [x, lengths], time_axis=0, batch_axis=1, exact=True)


@maker
def one_hot(g: Graph) -> None:
    x = Value(f"x{len(g.inputs)}", g.rng.integers(-6, 6, [g.int_(0, 3) for _ in range(g.int_(0, 2))]), True)
    g.inputs.append(x)
    g.values.append(x)
    g.node("OneHot", [x, g.constant(np.array(5)), g.constant(np.array([0.5, 2.0], np.float32))], exact=True)


@maker
def branch(g: Graph) -> None:
    x = g.take("F", range(1, 4))
    condition = g.like(Value("", np.zeros(0, np.bool_), True), [])

    def body(op: str) -> onnx.GraphProto:
        node = helper.make_node(op, [x.name], ["y"])
        return helper.make_graph([node], op, [], [onnx.ValueInfoProto(name="y")])

    g.node("If", [condition], then_branch=body("Relu"), else_branch=body("Tanh"))


@maker
def loop(g: Graph) -> None:
    x = g.take("F", range(1, 4))
    trips = g.like(Value("", np.zeros(0, np.int64), True), [])
    if not -3 <= int(trips.array) <= 9:
        raise NoFit
    inputs = [helper.make_tensor_value_info(n, t, s) for n, t, s in (
        ("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("a", TensorProto.FLOAT, None))]  # fmt: skip
    nodes = [
        helper.make_node("Identity", ["c"], ["c_out"]),
        helper.make_node("Tanh", ["a"], ["t"]),
        helper.make_node("Add", ["t", x.name], ["a_out"]),
        helper.make_node("Cast", ["i"], ["seen"], to=TensorProto.FLOAT),
    ]
    outputs = [helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
               helper.make_tensor_value_info("a_out", TensorProto.FLOAT, None),
               helper.make_tensor_value_info("seen", TensorProto.FLOAT, [])]  # fmt: skip
    body = helper.make_graph(nodes, "body", inputs, outputs)
    g.node("Loop", [trips, None, x], 2, body=body)


@maker
def scan(g: Graph) -> None:
    x = g.take("F", range(2, 4))
    state = g.like(x, x.array.shape[1:])
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("s", "e")]
    nodes = [helper.make_node("Add", ["s", "e"], ["s_out"]), helper.make_node("Mul", ["s", "e"], ["y"])]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("s_out", "y")]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    g.node("Scan", [state, x], 2, body=body, num_scan_inputs=1, scan_input_directions=[g.int_(0, 1)],
           scan_output_directions=[g.int_(0, 1)])  # fmt: skip


def graph_of(seed: int, length: int = 10) -> Graph:
    """The graph of a seed."""
    graph = Graph(np.random.default_rng(seed))
    names = list(MAKERS)
    while len(graph.nodes) < length:
        before = len(graph.inputs), len(graph.values), len(graph.weights)
        try:
            MAKERS[graph.one_of(names)](graph)
        except NoFit:
            del graph.inputs[before[0] :], graph.values[before[1] :]
            for name in list(graph.weights)[before[2] :]:
                del graph.weights[name]
    return graph


def model_of(seed: int, is_open: bool) -> tuple[bytes, list[Array], list[tuple[str, Array, bool]]]:
    """A model with an output per node's value, its inputs, and (name, what ONNX Runtime gives, whether it is exact)."""
    graph = graph_of(seed)
    made = [name for node in graph.nodes for name in node.output]
    wanted = [value for value in graph.values if value.name in made]
    inputs = {value.name: value.array for value in graph.inputs}
    model = _model(graph.nodes, inputs, graph.weights, [value.name for value in wanted], is_open)
    return model.SerializeToString(), list(inputs.values()), [(v.name, v.array, v.exact) for v in wanted]
