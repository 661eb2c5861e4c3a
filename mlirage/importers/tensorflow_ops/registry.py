"""The table of operations, and the call that a function of it gets.

@tf_op("MatrixDeterminant")
def determinant(call: Call, x: Tensor) -> Tensor: ...
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlirage.element_types import dtype_of
from mlirage.errors import ImportFailure
from mlirage.importers.tensorflow_ops.names import NAMES
from mlirage.input.builders import DType, Tensor, TensorBuilder, tensor_type
from mlirage.mlir import describe_location, ir
from mlirage.program import Array, Program

OperationFunction = Callable[..., Any]
_OPERATIONS: dict[str, OperationFunction] = {}
_FEW = 256  # elements of a constant that an operation may read while it is compiled


@dataclass(frozen=True)
class Call:
    """An operation while it is converted.

    Attributes:
      options: its attributes as text.
      results: dtypes of its results.
    """

    options: dict[str, str]
    results: tuple[DType, ...]

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean attribute."""
        return self.options.get(name, str(default).lower()) == "true"

    def numbers(self, name: str) -> list[int]:
        """A list of integers."""
        return [int(x) for x in re.findall(r"-?\d+", re.sub(r":.*", "", self.options.get(name, "")))]

    def text(self, name: str, default: str = "") -> str:
        """A word."""
        return self.options.get(name, default)


def tf_op(*names: str) -> Callable[[OperationFunction], OperationFunction]:
    """Registers a function for operations of TensorFlow."""

    def register(function: OperationFunction) -> OperationFunction:
        for name in names:
            assert name in NAMES, name
            _OPERATIONS[name] = function
        return function

    return register


def operations() -> dict[str, OperationFunction]:
    """All operations by name."""
    if not _OPERATIONS:
        package = importlib.import_module("mlirage.importers.tensorflow_ops")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return _OPERATIONS


def convert(program: Program, op: ir.Operation, name: str) -> Sequence[ir.Value[Any]]:
    """The values that a call of operation `name` makes, put before it.

    Raises:
      NotImplementedError: it is of a form that is not supported.
      ImportFailure: the function of the operation is wrong.
    """
    function = op.parent
    while function is not None and function.name != "func.func":
        function = function.parent
    assert function is not None
    builder = TensorBuilder(program.module, function.regions[0].blocks[0], program.constants)
    config = ir.StringAttr(op.attributes["backend_config"]).value if "backend_config" in op.attributes else ""
    options = {key: value.strip("'") for key, value in re.findall(r"(\w+) = ('[^']*'|\[[^\]]*\]|[^,]+)", config)}
    if "einsum_config" in op.attributes:  # of StableHLO's own op
        options["equation"] = ir.StringAttr(op.attributes["einsum_config"]).value
    kinds = _result_types(op)
    dtypes = tuple(dtype_of(kind.element_type) for kind in kinds)
    where = repr(describe_location(op.location))
    with builder.active():
        try:
            inputs = [_tensor(value) for value in op.operands]
            made = operations()[name](Call(options, dtypes), *inputs)
        except (ValueError, NotImplementedError) as error:
            raise NotImplementedError(f"tf.{name} at {where}: {error}") from error
        except (TypeError, LookupError, AttributeError, AssertionError, ArithmeticError) as error:
            raise ImportFailure(
                f"internal error at node {where} (tf.{name} of {', '.join(str(value.type) for value in op.operands)}): "
                f"{type(error).__name__}: {error}; the fault is mlirage's, please report it with this text"
            ) from error
        tensors: Sequence[Tensor] = made if isinstance(made, list | tuple) else [made]
        if len(tensors) < len(kinds):
            raise NotImplementedError(f"tf.{name} at {where}: {len(kinds)} results, of which {len(tensors)} are made")
        values = [_typed(x.value, kind) for x, kind in zip(tensors, kinds, strict=False)]
    for scratch in reversed(builder.scratch):
        scratch.erase()
    return values


def _result_types(op: ir.Operation) -> list[ir.RankedTensorType]:
    text = str(op.results[0].type)
    if not text.startswith("tuple<"):
        return [ir.RankedTensorType(value.type) for value in op.results]
    kind = ir.TupleType(op.results[0].type)
    return [ir.RankedTensorType(kind.get_type(i)) for i in range(kind.num_types)]


def _tensor(value: ir.Value[Any]) -> Tensor:
    kind = ir.RankedTensorType(value.type)
    dtype = dtype_of(kind.element_type)
    owner = value.owner
    few = dtype.kind in "iu" and kind.has_static_shape and math.prod(kind.shape) <= _FEW
    if few and not isinstance(owner, ir.Block) and owner.name in ("stablehlo.constant", "arith.constant"):
        attribute = ir.DenseIntElementsAttr(owner.attributes["value"])
        return Tensor.of(np.array([int(x) for x in attribute], dtype).reshape(kind.shape))
    return Tensor.from_value(_typed(value, tensor_type(kind.shape, dtype)), dtype)


def _typed(value: ir.Value[Any], kind: ir.RankedTensorType) -> ir.Value[Any]:
    """The value where signedness and what is known of the extents change."""
    have = ir.RankedTensorType(value.type)
    if have.element_type != kind.element_type:
        between = ir.RankedTensorType.get(have.shape, kind.element_type)
        value = ir.Operation.create("builtin.unrealized_conversion_cast", results=[between], operands=[value]).results[
            0
        ]
    return value


def constant(x: Tensor) -> Array | None:
    """The integers of an operand that is a constant."""
    return x.known if x.known is not None and x.known.dtype.kind in "iu" else None
