"""What a model takes and gives: graph inputs become arguments of `main`, graph outputs its results, with their trees.

Tensors are arrays. A sequence is a list: of as many arrays as an example has, else of any number (then the function
takes and gives it packed, see `mlirage/runtime/trees.py`). An optional is there unless the example for it is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from mlirage.errors import ImportFailure, UsageError
from mlirage.importers.onnx_ops.registry import numpy_type
from mlirage.importers.onnx_values import Absent, DynamicOptional, RaggedSequence, Strings, TensorSequence, leaves
from mlirage.input.builders import DType, Tensor

Shape = list[int | str | None]
NOT_GIVEN = object()
"""Stands for the example of an input for which there is none."""


@dataclass(frozen=True)
class Leaf:
    """An array that crosses the boundary."""

    name: str
    dtype: DType
    shape: Shape

    def unnamed(self) -> Leaf:
        """With extents of its own: those of a sequence's elements differ though the model gives them one name."""
        return replace(self, shape=[dim if isinstance(dim, int) else None for dim in self.shape])

    def described(self) -> dict[str, Any]:
        """Its entry in the signature."""
        return {"name": self.name, "dtype": self.dtype.name, "shape": self.shape}


@dataclass(frozen=True)
class Input:
    """A graph input: the arrays that stand for it, their tree, and how they become its value again."""

    name: str
    leaves: list[Leaf]
    tree: Any
    make: Callable[[Iterator[Tensor]], Any]


def declared_inputs(
    values: Sequence[onnx.ValueInfoProto], examples: Sequence[Any], keywords: Mapping[str, Any]
) -> list[Input]:
    """The inputs of a model.

    Args:
      values: the graph's inputs.
      examples: for the first ones, in order.
      keywords: by name.

    Raises:
      ImportFailure: an input is of a type that cannot be passed, or its number of axes is not known.
      UsageError: examples for inputs that are not there.
    """
    names = [value.name for value in values]
    unknown = [name for name in keywords if name not in names]
    if len(examples) > len(values) or unknown:
        given = f"an example for {unknown[0]!r}" if unknown else f"{len(examples)} examples"
        raise UsageError(f"{given}, but the model's inputs are {', '.join(names) or 'none'}")
    by_name = dict(zip(names, examples, strict=False)) | dict(keywords)
    return [_input(value.name, value.type, by_name.get(value.name, NOT_GIVEN)) for value in values]


def _input(name: str, kind: onnx.TypeProto, example: Any) -> Input:
    match kind.WhichOneof("value"):
        case "tensor_type":
            leaf = _leaf(name, kind.tensor_type, example)
            return Input(name, [leaf], "*", next)
        case "optional_type":
            if example is None:
                return Input(name, [], {"none": 0}, lambda tensors: Absent())
            return _input(name, kind.optional_type.elem_type, example)
        case "sequence_type":
            return _sequence(name, kind.sequence_type.elem_type, example)
        case other:
            what = (other or "value without type").removesuffix("_type")
            raise ImportFailure(f"input {name!r} is a {what}, only tensors, sequences and optionals can be passed")


def _sequence(name: str, element: onnx.TypeProto, example: Any) -> Input:
    if element.WhichOneof("value") != "tensor_type":
        raise ImportFailure(
            f"input {name!r} is a sequence of {element.WhichOneof('value')}, only tensors can be in one"
        )
    dtype = _dtype(name, element.tensor_type)
    if example is not NOT_GIVEN:
        if not isinstance(example, list | tuple):
            raise UsageError(f"input {name!r} is a sequence: its example must be a list, not {type(example).__name__}")
        items: list[Any] = list(example)  # pyright: ignore[reportUnknownArgumentType]
        parts = [_leaf(f"{name}[{i}]", element.tensor_type, item).unnamed() for i, item in enumerate(items)]
        return Input(
            name,
            parts,
            {"list": ["*"] * len(parts)},
            lambda tensors: TensorSequence([next(tensors) for _ in parts], dtype),
        )
    if not element.tensor_type.HasField("shape"):
        raise ImportFailure(
            f"input {name!r} is a sequence of tensors whose number of axes the model does not tell: compile it with "
            "example_inputs= (a list for it), or with a shape in the model"
        )
    rank = len(element.tensor_type.shape.dim)
    packed = [Leaf(f"{name}.data", dtype, [None]), Leaf(f"{name}.shapes", np.dtype(np.int64), [None, rank])]
    tree = {"sequence": {"dtype": dtype.name, "rank": rank}}
    return Input(name, packed, tree, lambda tensors: RaggedSequence(next(tensors), next(tensors)))


def _leaf(name: str, kind: onnx.TypeProto.Tensor, example: Any) -> Leaf:
    dtype = _dtype(name, kind)
    if not kind.HasField("shape"):
        if example is NOT_GIVEN or example is None:
            raise ImportFailure(
                f"input {name!r} has no shape: its number of axes must be known (extents need not be); declare it in "
                "the model, or compile with example_inputs="
            )
        return Leaf(name, dtype, [None] * np.ndim(example))
    shape: Shape = [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
        for dim in kind.shape.dim
    ]
    return Leaf(name, dtype, shape)


def _dtype(name: str, kind: onnx.TypeProto.Tensor) -> DType:
    try:
        return numpy_type(kind.elem_type)
    except ValueError as error:
        raise ImportFailure(f"input {name!r}: {error}") from error


def result_leaves(value: onnx.ValueInfoProto, output: Any) -> tuple[list[Leaf], list[Tensor], Any]:
    """The arrays of a graph output, the tensors they are, and their tree.

    Raises:
      ImportFailure: the value is of a kind that cannot be given back.
    """
    _check_declared(value, output)
    tree = _tree(value.name, output)
    tensors = leaves(output)
    if tree == "*":
        return [Leaf(value.name, output.dtype, _result_shape(value, output))], tensors, tree
    return (
        [
            Leaf(f"{value.name}[{i}]", x.dtype, [d if isinstance(d, int) else None for d in x.shape])
            for i, x in enumerate(tensors)
        ],
        tensors,
        tree,
    )


def _tree(name: str, output: Any) -> Any:
    match output:
        case Tensor():
            return "*"
        case TensorSequence():
            return {"list": ["*"] * len(output)}
        case RaggedSequence():
            return {"sequence": {"dtype": output.dtype.name, "rank": output.rank}}
        case DynamicOptional():
            return {"optional": _tree(name, output.value)}
        case Absent():
            return {"none": 0}
        case _:
            raise ImportFailure(
                f"output {name!r}: {output} cannot be a result, only tensors, sequences and optionals can"
            )


def _check_declared(value: onnx.ValueInfoProto, output: Any) -> None:
    """The model's own word on an output's type must agree with what its nodes make."""
    kind = value.type.WhichOneof("value")
    if kind == "tensor_type" and not isinstance(output, Tensor | Strings):
        raise ImportFailure(f"output {value.name!r} is declared a tensor but its node makes {type(output).__name__}")
    if not isinstance(output, Tensor) or kind != "tensor_type" or not value.type.tensor_type.elem_type:
        return
    try:
        dtype = numpy_type(value.type.tensor_type.elem_type)
    except ValueError as error:
        raise ImportFailure(f"output {value.name!r} is declared a tensor of what cannot be one: {error}") from error
    if dtype != output.dtype:
        raise ImportFailure(f"output {value.name!r} is declared {dtype} but its node makes {output.dtype}")


def _result_shape(value: onnx.ValueInfoProto, output: Tensor) -> Shape:
    declared = list(value.type.tensor_type.shape.dim) if value.type.tensor_type.HasField("shape") else []
    names = [dim.dim_param or None for dim in declared] if len(declared) == output.rank else [None] * output.rank
    return [dim if isinstance(dim, int) else name for dim, name in zip(output.shape, names, strict=True)]


def signature(inputs: Sequence[Input], results: Sequence[Leaf], out_trees: Sequence[Any]) -> dict[str, Any]:
    """The signature of `main`; it has trees only where something is no plain array."""
    text: dict[str, Any] = {
        "arguments": [leaf.described() for value in inputs for leaf in value.leaves],
        "results": [leaf.described() for leaf in results],
        "source": "onnx",
    }
    if any(value.tree != "*" for value in inputs):
        text["in_tree"] = {"tuple": [{"tuple": [value.tree for value in inputs]}, {"dict": {}}]}
    if any(tree != "*" for tree in out_trees):
        text["out_tree"] = {"tuple": list(out_trees)}
    return text
