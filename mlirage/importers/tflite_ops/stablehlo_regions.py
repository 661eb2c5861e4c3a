"""StableHLO's operators that have functions: a subgraph of the file becomes the region of the op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlirage.importers.tflite_ops.registry import Node, static_ints, tflite_op
from mlirage.importers.tflite_ops.stablehlo import (
    Made,
    as_type,
    declared,
    integer,
    longs,
    numbers,
    operand,
    pairs,
    real_only,
    result,
    signed_type,
)
from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Tensor, TensorBuilder, loops, tensor_type
from mlirage.mlir import ir


def _with_region(
    name: str,
    inputs: Sequence[Tensor],
    results: Sequence[Made],
    attributes: dict[str, ir.Attribute],
    arguments: Sequence[DType],
    body: Callable[[list[ir.Value[Any]]], Sequence[ir.Value[Any]]],
) -> list[Tensor]:
    kinds = [signed_type(tensor_type(list(shape), dtype), dtype) for shape, dtype in results]
    made = ir.Operation.create(
        f"stablehlo.{name}", results=kinds, operands=[operand(x) for x in inputs], attributes=attributes, regions=1
    )
    scalars: list[ir.Type] = [signed_type(tensor_type([], dtype), dtype) for dtype in arguments]
    location = ir.Location.current
    block = ir.Block.create_at_start(made.regions[0], scalars, [location] * len(scalars))
    with TensorBuilder.current().block(block):
        ir.Operation.create("stablehlo.return", operands=list(body(list(block.arguments))))
    made.verify()
    return [result(value, dtype, shape) for value, (shape, dtype) in zip(made.results, results, strict=True)]


def _subgraph(node: Node, option: str, dtypes: Sequence[DType]) -> Callable[[list[ir.Value[Any]]], list[ir.Value[Any]]]:
    """A subgraph as the body of a region.

    Raises:
      NotImplementedError: it holds anything but StableHLO's operators and constants.
    """
    number = node.option(option, -1)
    subgraphs = node.graph.context.file.subgraphs
    if not 0 <= number < len(subgraphs):
        raise ValueError(f"calls subgraph {number} of {len(subgraphs)}")
    for operator in subgraphs[number].operators:
        if not operator.name.startswith("STABLEHLO_"):
            raise NotImplementedError(f"a function with {operator.name}: only StableHLO's operators can be in it")

    def body(values: list[ir.Value[Any]]) -> list[ir.Value[Any]]:
        inputs = [
            Tensor([], dtype, value=as_type(value, tensor_type([], dtype)))
            for value, dtype in zip(values, dtypes, strict=True)
        ]
        return [operand(x) for x in node.graph.run_subgraph(number, inputs)]

    return body


def _halves(node: Node, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[DType]]:
    """Operands and initial values, as many of each, and their types twice."""
    if len(inputs) % 2 or not inputs:
        raise ValueError(f"{len(inputs)} inputs: as many initial values as tensors are needed")
    real_only(node)
    half = len(inputs) // 2
    dtypes = [x.dtype for x in inputs[:half]]
    return list(inputs), dtypes * 2


@tflite_op
def STABLEHLO_REDUCE(node: Node, *tensors: Tensor) -> list[Tensor]:
    inputs, dtypes = _halves(node, tensors)
    axes = numbers(node, "Dimensions")
    body = _subgraph(node, "BodySubgraphIndex", dtypes)
    made: list[Made] = []
    for x in inputs[: len(inputs) // 2]:
        made.append(([d for i, d in enumerate(x.shape) if i not in axes], x.dtype))
    return _with_region("reduce", inputs, made, {"dimensions": longs(axes)}, dtypes, body)


@tflite_op
def STABLEHLO_REDUCE_WINDOW(node: Node, *tensors: Tensor) -> list[Tensor]:
    inputs, dtypes = _halves(node, tensors)
    rank = inputs[0].rank
    attributes = {
        "window_dimensions": longs(numbers(node, "WindowDimensions")),
        "padding": pairs(numbers(node, "Padding") or [0] * (2 * rank)),
    }
    for name, option in (
        ("window_strides", "WindowStrides"),
        ("base_dilations", "BaseDilations"),
        ("window_dilations", "WindowDilations"),
    ):
        attributes[name] = longs(numbers(node, option) or [1] * rank)
    made = [declared(node, i) for i in range(len(inputs) // 2)]
    body = _subgraph(node, "BodySubgraphIndex", dtypes)
    return _with_region("reduce_window", inputs, made, attributes, dtypes, body)


_WINDOW_FUNCTIONS = {1: "add", 2: "multiply", 3: "minimum", 4: "maximum", 5: "and", 6: "or"}


@tflite_op
def REDUCE_WINDOW(
    node: Node, x: Tensor, start: Tensor, window: Tensor, strides: Tensor, dilations: Tensor
) -> list[Tensor]:
    """Windows without padding, combined by one of six functions."""
    real_only(node)
    function = _WINDOW_FUNCTIONS.get(node.option("ReduceFunction"))
    if function is None:
        raise ValueError(f"reduce function {node.option('ReduceFunction')}")
    if function in ("and", "or") and x.dtype.kind != "b":
        raise NotImplementedError(f"{function} of {x.dtype}")
    size, step, spread = (
        static_ints(t, name) for t, name in ((window, "the window"), (strides, "strides"), (dilations, "dilations"))
    )
    if len(size) != x.rank or len(step) != x.rank or len(spread) != x.rank or min([*size, *step, *spread]) < 1:
        raise ValueError(f"window {size}, strides {step}, dilations {spread} of {x}")
    shape: list[Dim] = [
        (d - ((w - 1) * k + 1)) // t + 1 for d, w, t, k in zip(x.shape, size, step, spread, strict=True)
    ]
    attributes = {
        "window_dimensions": longs(size),
        "window_strides": longs(step),
        "window_dilations": longs(spread),
        "padding": pairs([0] * (2 * x.rank)),
    }

    def body(values: list[ir.Value[Any]]) -> list[ir.Value[Any]]:
        return list(ir.Operation.create(f"stablehlo.{function}", results=[values[0].type], operands=values).results)

    return _with_region("reduce_window", [x, start], [(shape, x.dtype)], attributes, [x.dtype] * 2, body)


@tflite_op
def STABLEHLO_SCATTER(node: Node, x: Tensor, places: Tensor, updates: Tensor) -> list[Tensor]:
    real_only(node)
    dims = (
        f"#stablehlo.scatter<update_window_dims = {numbers(node, 'UpdateWindowDims')}, "
        f"inserted_window_dims = {numbers(node, 'InsertedWindowDims')}, "
        f"scatter_dims_to_operand_dims = {numbers(node, 'ScatterDimsToOperandDims')}, "
        f"index_vector_dim = {node.option('IndexVectorDim')}>"
    )
    attributes: dict[str, ir.Attribute] = {
        "scatter_dimension_numbers": ir.Attribute.parse(dims),
        "indices_are_sorted": ir.BoolAttr.get(bool(node.option("IndicesAreSorted"))),
        "unique_indices": ir.BoolAttr.get(bool(node.option("UniqueIndices"))),
    }
    dtypes = [x.dtype] * 2
    body = _subgraph(node, "UpdateComputationSubgraphIndex", dtypes)
    return _with_region("scatter", [x, places, updates], [(x.shape, x.dtype)], attributes, dtypes, body)


@tflite_op
def STABLEHLO_SORT(node: Node, *tensors: Tensor) -> list[Tensor]:
    real_only(node)
    if not tensors:
        raise ValueError("takes 1 or more inputs, 0 are given")
    dtypes = [x.dtype for x in tensors for _ in range(2)]
    attributes = {
        "dimension": integer(node.option("Dimension")),
        "is_stable": ir.BoolAttr.get(bool(node.option("IsStable"))),
    }
    body = _subgraph(node, "ComparatorSubgraphIndex", dtypes)
    return _with_region("sort", tensors, [(x.shape, x.dtype) for x in tensors], attributes, dtypes, body)


@tflite_op
def STABLEHLO_WHILE(node: Node, *inputs: Tensor) -> list[Tensor]:
    condition, body = (node.option(f"{k}SubgraphIndex", -1) for k in ("Cond", "Body"))

    def holds(values: list[Tensor]) -> Tensor:
        (made,) = node.graph.run_subgraph(condition, values)
        return made

    def step(_: Dim, values: list[Tensor]) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        following = node.graph.run_subgraph(body, values)
        return holds(following), following, []

    finals, _ = loops.loop(None, holds(list(inputs)), list(inputs), step)
    return finals


@tflite_op
def STABLEHLO_CASE(node: Node, index: Tensor, *inputs: Tensor) -> list[Tensor]:
    """One of several subgraphs, by number; the last one for numbers that there are not."""
    branches = numbers(node, "BranchSubgraphIndices")
    if not branches:
        raise ValueError("it has no branches")

    def chosen(position: int) -> list[Tensor]:
        if position == len(branches) - 1:
            return node.graph.run_subgraph(branches[position], inputs)
        here = b.map_(lambda i: i.eq(position), index, dtype=b.BOOL)
        return loops.if_(
            here, lambda: node.graph.run_subgraph(branches[position], inputs), lambda: chosen(position + 1)
        )

    return chosen(0)
