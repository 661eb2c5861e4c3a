"""Tensor, the value that builders take and return, and TensorBuilder, the place where their IR goes.

A tensor is known in one of these ways, and becomes an SSA value only when needed:
* `known`: its elements, as a numpy array — of numbers, or (dtype object, for shape arithmetic) of `Dim`s; a weight is
  `known` too, and becomes an external global, by reference;
* `filled`: one number for all elements, where some extent is dynamic;
* `value`: SSA.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlirage.input.builders.dims import AtomTable, Dim, Sym
from mlirage.input.builders.element_types import (
    BOOL,
    INDEX,
    INT64,
    DType,
    element_type,
    is_complex,
    scalar_attribute,
)
from mlirage.mlir import arith, cf, complex_, ir, linalg, ml_program, tensor
from mlirage.program import Array, is_splat

FOLD_LIMIT = 4096
"""Integer tensors of up to so many elements are calculated at import: they are shapes, axes and indices."""

_INLINE_LIMIT = 16
_COMPARED_LIMIT = 1 << 20
_CURRENT: contextvars.ContextVar[TensorBuilder] = contextvars.ContextVar("tensor_builder")

Shape = tuple[Dim, ...]


@dataclass
class TensorBuilder:
    """The function being built: where constants go, which dims have values.

    Attributes:
      module: holds the globals of weights.
      entry: first block of the function; constants stand at its head.
      constants: the arrays of the weights by symbol name (`Program.constants`).
      scratch: ops that only held blocks while these were built; `finish` erases them.
    """

    module: ir.Module
    entry: ir.Block
    constants: dict[str, Array]
    atoms: AtomTable = field(default_factory=AtomTable)
    scratch: list[ir.Operation] = field(default_factory=list[ir.Operation])
    _index_scopes: list[dict[Dim, ir.Value[Any]]] = field(default_factory=lambda: [{}])
    _constant_values: dict[tuple[Any, ...], tuple[ir.Value[Any], Array]] = field(
        default_factory=dict[tuple[Any, ...], tuple[ir.Value[Any], Array]]
    )
    _last_constant: ir.Operation | None = None
    _last_global: ir.Operation | None = None
    _globals: dict[Any, tuple[Array, str]] = field(default_factory=dict[Any, tuple[Array, str]])

    @staticmethod
    def current() -> TensorBuilder:
        """The innermost builder in a `with builder.active()`."""
        return _CURRENT.get()

    @contextlib.contextmanager
    def active(self) -> Generator[TensorBuilder]:
        """Makes this the builder that tensor functions use."""
        token = _CURRENT.set(self)
        try:
            yield self
        finally:
            _CURRENT.reset(token)

    @contextlib.contextmanager
    def block(self, block: ir.Block | None) -> Generator[None]:
        """Puts IR at the end of `block`; index values made there are forgotten afterwards (they do not dominate)."""
        assert block is not None
        self._index_scopes.append({})
        try:
            with ir.InsertionPoint(block):
                yield
        finally:
            self._index_scopes.pop()

    @contextlib.contextmanager
    def head(self) -> Generator[None]:
        """Puts IR at the head of the function, after the constants that are there already."""
        point = (
            ir.InsertionPoint.after(self._last_constant)
            if self._last_constant is not None
            else ir.InsertionPoint.at_block_begin(self.entry)
        )
        with point:
            yield

    def finish(self) -> None:
        """Erases what was needed only while building."""
        for op in reversed(self.scratch):
            op.erase()
        self.scratch.clear()
        # Weights that only erased code used leave the program; other functions may use them too, and state stays.
        for op in [op.operation for op in self.entry.operations]:
            if op.name == "ml_program.global_load_const" and not list(op.results[0].uses):
                op.erase()
        used = {
            ir.FlatSymbolRefAttr(op.attributes["global"]).value
            for function in self.module.body.operations
            if function.operation.name == "func.func" and function.operation.regions[0].blocks
            for op in (op.operation for op in function.operation.regions[0].blocks[0].operations)
            if op.name == "ml_program.global_load_const"
        }
        for op in [op.operation for op in self.module.body.operations]:
            if op.name == "ml_program.global" and "is_mutable" not in op.attributes:
                symbol = ir.StringAttr(op.attributes["sym_name"]).value
                if symbol not in used:
                    op.erase()
                    del self.constants[symbol]

    def share_weights(self, other: TensorBuilder) -> None:
        """Lets two functions of a module load the same globals for the same arrays; each is finished for itself."""
        self._globals = {key: entry for key, entry in other._globals.items() if entry[1] in self.constants}

    # Dims.

    def index(self, dim: Dim) -> ir.Value[Any]:
        """The index value of a dim, made here unless a dominating one exists."""
        for scope in self._index_scopes:
            if dim in scope:
                return scope[dim]
        value = self._make_index(dim)
        self._index_scopes[-1][dim] = value
        return value

    def _make_index(self, dim: Dim) -> ir.Value[Any]:
        if isinstance(dim, int):
            return arith.constant(ir.IndexType.get(), dim)
        total: ir.Value[Any] | None = None
        for atoms, factor in dim.terms.items():
            part: ir.Value[Any] | None = None
            for atom in atoms:
                value = self._make_atom(atom.kind, atom.args)
                part = value if part is None else arith.muli(part, value)
            if part is None:
                part = self.index(factor)
            elif factor != 1:
                part = arith.muli(part, self.index(factor))
            total = part if total is None else arith.addi(total, part)
        assert total is not None
        return total

    def _make_atom(self, kind: str, args: tuple[Any, ...]) -> ir.Value[Any]:
        if kind == "value":
            return args[0]
        key: Any = (kind, *args)
        for scope in self._index_scopes:
            if key in scope:
                return scope[key]
        if kind == "extent":
            value = tensor.dim(args[0], self.index(args[1]))
        elif kind.startswith("select_"):
            left, right, if_true, if_false = (self.index(dim) for dim in args)
            predicate = getattr(arith.CmpIPredicate, kind.removeprefix("select_"))
            value = arith.select(arith.cmpi(predicate, left, right), if_true, if_false)
        else:
            make = {
                "floordiv": arith.floordivsi,
                "truncdiv": arith.divsi,
                "max": arith.maxsi,
                "min": arith.minsi,
            }[kind]
            value = make(self.index(args[0]), self.index(args[1]))
        self._index_scopes[-1][key] = value
        return value

    def runtime_dim(self, value: ir.Value[Any], nonnegative: bool = False) -> Dim:
        """An index value as a dim."""
        return self.atoms.symbol("value", value, nonnegative=nonnegative)

    def require(self, condition: ir.Value[Any], message: str) -> None:
        """Makes the program fail with `message` where `condition` (i1) does not hold."""
        cf.AssertOp(condition, message)

    def require_equal(self, left: Dim, right: Dim, message: str) -> None:
        """Makes the program fail unless two dims are equal; nothing if they provably are.

        Raises:
          ValueError: they provably differ.
        """
        if left == right:
            return
        if isinstance(left - right, int):
            raise ValueError(f"{message}: {left} is not {right}")
        self.require(arith.cmpi(arith.CmpIPredicate.eq, self.index(left), self.index(right)), message)

    def require_at_least(self, left: Dim, right: Dim, message: str) -> None:
        """Makes the program fail unless `left` ≥ `right`."""
        from mlirage.input.builders.dims import is_nonnegative

        difference = left - right
        if is_nonnegative(difference):
            return
        if isinstance(difference, int):
            raise ValueError(f"{message}: {left} is less than {right}")
        self.require(arith.cmpi(arith.CmpIPredicate.sge, self.index(left), self.index(right)), message)

    # Constants.

    def scalar_constant(self, value: Any, dtype: DType) -> ir.Value[Any]:
        """`arith.constant` (or `complex.constant`) here."""
        if is_complex(dtype):
            return complex_.constant(element_type(dtype), ir.ArrayAttr(scalar_attribute(value, dtype)))
        return arith.constant(element_type(dtype), scalar_attribute(value, dtype))

    def constant_value(self, array: Array, name: str) -> ir.Value[Any]:
        """The SSA value of a constant: inline if small or a splat, otherwise an external global's."""
        splat = is_splat(array)
        inline = splat or array.size <= _INLINE_LIMIT
        content = (array.shape, array.dtype.name, np.asarray(array.reshape(-1)[:1] if splat else array).tobytes())
        key = content if inline else ("global", id(array))
        if key not in self._constant_values:
            with self.head():
                value = _inline_constant(array) if inline else self._load_global(array, name)
                self._last_constant = value.owner
            # The array too: another one could have its id once it is gone.
            self._constant_values[key] = (value, array)
        return self._constant_values[key][0]

    def _load_global(self, array: Array, name: str) -> ir.Value[Any]:
        kind = ir.RankedTensorType.get(array.shape, element_type(array.dtype))
        key: Any = id(array)
        if array.nbytes <= _COMPARED_LIMIT:  # a loop's body is built more than once, its constants are stored once
            key = (array.shape, array.dtype.name, array.tobytes())
        if key not in self._globals:
            symbol = name
            number = 0
            while symbol in self.constants:
                number += 1
                symbol = f"{name}_{number}"
            self.constants[symbol] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
            point = (
                ir.InsertionPoint.after(self._last_global)
                if self._last_global is not None
                else ir.InsertionPoint.at_block_begin(self.module.body)
            )
            with point:
                self._last_global = ml_program.GlobalOp(
                    symbol,
                    kind,
                    value=ir.Attribute.parse(f"#ml_program.extern<{kind}>"),
                    sym_visibility="private",
                ).operation
            self._globals[key] = (array, symbol)
        return ml_program.GlobalLoadConstOp(kind, self._globals[key][1]).result


def _inline_constant(array: Array) -> ir.Value[Any]:
    kind = ir.RankedTensorType.get(array.shape, element_type(array.dtype))
    if array.size == 0:
        return tensor.empty(list(array.shape), kind.element_type)
    flat = array.reshape(-1) if not is_splat(array) else array.reshape(-1)[:1]
    if is_complex(array.dtype):
        splat = [complex_.constant(kind.element_type, ir.ArrayAttr(scalar_attribute(x, array.dtype))) for x in flat]
        return tensor.splat(kind, splat[0], []) if len(flat) == 1 else tensor.from_elements(kind, splat)
    attributes = [scalar_attribute(x, array.dtype) for x in flat.tolist()]
    if len(attributes) == 1:
        return arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, attributes[0]))
    return arith.constant(kind, ir.DenseElementsAttr.get(attributes, kind))


class Tensor:
    """A tensor of the program being built.

    Attributes:
      shape: its extents.
      dtype: numpy dtype of the elements.
      known: its elements where the compiler knows them.
      filled: the number that all elements are, for a tensor with dynamic extents that is not `known`.
      name: where it comes from, for the symbol names of weights.
    """

    __slots__ = ("_value", "dtype", "filled", "known", "name", "shape")

    def __init__(
        self,
        shape: Sequence[Dim],
        dtype: DType,
        value: ir.Value[Any] | None = None,
        known: Array | None = None,
        name: str = "constant",
        filled: Any = None,
    ) -> None:
        self.filled = filled
        self.shape: Shape = tuple(shape)
        self.dtype = dtype
        self.known = known
        self.name = name
        self._value = value

    @staticmethod
    def of(array: Array | Any, dtype: DType | None = None, name: str = "constant") -> Tensor:
        """A constant; equal elements become a splat."""
        array = np.asarray(array, dtype)
        if not array.flags.c_contiguous and not is_splat(array):
            array = np.ascontiguousarray(array).reshape(array.shape)
        return Tensor(array.shape, array.dtype, known=array, name=name)

    @staticmethod
    def of_dims(dims: Any, dtype: DType = INT64) -> Tensor:
        """An integer tensor whose elements are dims (a sequence, nested sequences, or one dim)."""
        elements = np.array(dims, dtype=object) if not isinstance(dims, np.ndarray) else dims
        if all(isinstance(x, int | np.integer) for x in elements.reshape(-1).tolist()):
            return Tensor.of(elements.astype(dtype))
        return Tensor(elements.shape, dtype, known=elements)

    @staticmethod
    def from_value(value: ir.Value[Any], dtype: DType, shape: Sequence[Dim] | None = None) -> Tensor:
        """An SSA tensor; its type is made to say what `shape` knows."""
        kind = ir.RankedTensorType(value.type)
        if shape is None:
            atoms = TensorBuilder.current().atoms
            shape = [
                atoms.extent(value, i) if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)
            ]
        wanted = tensor_type(shape, dtype)
        if kind != wanted:
            value = tensor.cast(wanted, value)
        return Tensor(shape, dtype, value=value)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def value(self) -> ir.Value[Any]:
        """The SSA value, made now if the tensor is a constant."""
        if self._value is not None:
            return self._value
        builder = TensorBuilder.current()
        if self.filled is not None:
            number = builder.scalar_constant(self.filled, self.dtype)
            return linalg.fill(number, outs=[empty(self.shape, self.dtype)])
        assert self.known is not None
        if self.known.dtype == object:
            kind = element_type(self.dtype)
            elements = [arith.index_cast(kind, builder.index(dim)) for dim in self.known.reshape(-1).tolist()]
            return tensor.from_elements(tensor_type(self.shape, self.dtype), elements)
        self._value = builder.constant_value(self.known, self.name)
        return self._value

    @property
    def is_foldable(self) -> bool:
        """Whether functions of this tensor should be calculated by the compiler now."""
        known = self.known
        return known is not None and (
            known.dtype == object or (known.dtype.kind in "iub" and (known.size <= FOLD_LIMIT))
        )

    def splat(self) -> Any | None:
        """The one value of all elements, as a numpy scalar, if known."""
        known = self.known
        if self.filled is not None:
            return self.filled
        if known is None or known.dtype == object or known.size == 0:
            return None
        return known.reshape(-1)[0] if known.size == 1 or is_splat(known) else None

    def dims(self) -> list[Dim]:
        """The elements of an integer tensor of rank ≤ 1 as dims; those not known are read at run time."""
        if self.dtype.kind not in "iub":
            raise TypeError(f"a list of extents or positions must be integers, not {self.dtype}")
        if self.known is not None:
            return [int(x) if not isinstance(x, Sym) else x for x in self.known.reshape(-1).tolist()]
        if self.rank > 1 or any(isinstance(dim, Sym) for dim in self.shape):
            raise ValueError(f"a list of extents must have a known length, not shape {self.shape}")
        builder = TensorBuilder.current()
        count = self.shape[0] if self.rank else 1
        positions = [[builder.index(i)] for i in range(int(count))] if self.rank else [[]]  # pyright: ignore
        dims: list[Dim] = []
        for position in positions:
            element = tensor.extract(self.value, position)
            if self.dtype != INT64:
                element = (arith.extui if self.dtype.kind == "u" or self.dtype == BOOL else arith.extsi)(
                    element_type(INT64), element
                )
            dims.append(builder.runtime_dim(arith.index_cast(element_type(INDEX), element)))
        return dims

    def __repr__(self) -> str:
        return f"Tensor({list(self.shape)}, {self.dtype}{', known' if self.known is not None else ''})"


def tensor_type(shape: Sequence[Dim], dtype: DType) -> ir.RankedTensorType:
    """The MLIR type of a tensor with these extents."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([d if isinstance(d, int) else dynamic for d in shape], element_type(dtype))


def empty(shape: Sequence[Dim], dtype: DType) -> ir.Value[Any]:
    """`tensor.empty`."""
    builder = TensorBuilder.current()
    sizes = [d if isinstance(d, int) else builder.index(d) for d in shape]
    return tensor.empty(sizes, element_type(dtype))
