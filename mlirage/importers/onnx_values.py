"""What ONNX names can mean besides tensors: sequences and optionals, and how these pass through If, Loop and Scan.

A sequence whose length the compiler knows is a list of tensors (`TensorSequence`); any other is *ragged*: the elements
one after the other in a flat tensor, and a table with the shape of each. An optional is its value or `Absent` where the
compiler knows, else a flag and a value (`DynamicOptional`).

Control flow moves tensors only: a value is taken apart into tensors (`leaves`) and put together again (`rebuild`) by
its *form*; the forms of two branches, or of a loop's value before and after its body, have a common one (`join`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlirage.input import builders as b
from mlirage.input.builders import Dim, DType, Tensor
from mlirage.input.builders import scalar as s

ABSENT_AXIS = -1
"""Stands in the table of shapes for an axis that an element does not have, where others have more."""


class TensorSequence(list[Tensor]):
    """A sequence of known length."""

    def __init__(self, elements: Sequence[Tensor] = (), dtype: DType | None = None) -> None:
        super().__init__(elements)
        self._dtype = dtype

    @property
    def dtype(self) -> DType:
        """Of the elements."""
        return self[0].dtype if self else self._dtype or b.FLOAT32

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class Absent:
    """An optional that holds nothing."""


@dataclass(frozen=True)
class Strings:
    """A tensor of strings: nothing can be done with it, but an output that nobody uses may be one."""

    what: str

    def __str__(self) -> str:
        return f"a tensor of strings ({self.what})"


@dataclass(frozen=True)
class DynamicOptional:
    """An optional of which the program knows, when it runs, whether it holds `value`."""

    present: Tensor
    value: Any


@dataclass(frozen=True)
class RaggedSequence:
    """A sequence whose length is known when the program runs.

    Attributes:
      data: all elements, flat, one after the other.
      table: the shape of each: int64 [length, rank].
    """

    data: Tensor
    table: Tensor

    @property
    def dtype(self) -> DType:
        """Of the elements."""
        return self.data.dtype

    @property
    def rank(self) -> int:
        """The most axes an element has."""
        extent = self.table.shape[1]
        assert isinstance(extent, int)
        return extent

    @property
    def length(self) -> Dim:
        """The number of elements."""
        return self.table.shape[0]

    def place(self, index: Dim, what: str, past_end: bool = False) -> Dim:
        """The position that `index` means, negative ones counted from the end; checked when the program runs."""
        builder = b.TensorBuilder.current()
        place = b.dims.select("slt", index, 0, index + self.length, index)
        builder.require_at_least(place, 0, f"{what}: no such position in the sequence")
        builder.require_at_least(
            self.length, place if past_end else place + 1, f"{what}: no such position in the sequence"
        )
        return place

    def at(self, place: Dim) -> Tensor:
        """The element at a position that is there."""
        builder = b.TensorBuilder.current()
        row = b.reshape(b.slice_axis(self.table, 0, place, 1), [self.rank])
        extents: list[Dim] = []
        for extent in row.dims():
            builder.require_at_least(extent, 0, "an element of the sequence has fewer axes than others")
            extents.append(extent if isinstance(extent, int) else b.dims.maximum(extent, 0))
        start = self.start(place)
        size = b.product(extents)
        builder.require_at_least(self.data.shape[0], start + size, "a sequence has less data than its shapes say")
        return b.reshape(b.slice_axis(self.data, 0, start, size), extents)

    def start(self, place: Dim) -> Dim:
        """Where in `data` the element begins."""
        if isinstance(place, int) and place == 0:
            return 0

        def count(size: b.Scalar) -> b.Scalar:
            return s.select(s.index_of(0) < b.dim_scalar(place), size, 0)

        sizes = self._sizes()
        (start,) = b.sum_(b.tabulate(sizes.shape, b.INT64, lambda i: count(s.read(sizes, [i]))), [0]).dims()
        return start if isinstance(start, int) else b.dims.maximum(start, 0)

    def _sizes(self) -> Tensor:
        """The number of elements of each tensor."""
        if self.rank == 0:
            return b.fill([self.length], 1, b.INT64)
        return b.prod(b.map_(lambda extent: s.select(extent.eq(ABSENT_AXIS), 1, extent), self.table), [1])

    def replaced(self, place: Dim, removed: Dim, elements: Sequence[Tensor]) -> RaggedSequence:
        """With `elements` in place of the `removed` ones from `place` on."""
        new = ragged(TensorSequence(elements, self.dtype), max([self.rank, *(x.rank for x in elements)]))
        old = self.widened(new.rank)
        after = place + removed
        start, end = old.start(place), old.start(after)
        data = b.concatenate(
            [
                b.slice_axis(old.data, 0, 0, start),
                new.data,
                b.slice_axis(old.data, 0, end, old.data.shape[0] - end),
            ],
            0,
        )
        table = b.concatenate(
            [
                b.slice_axis(old.table, 0, 0, place),
                new.table,
                b.slice_axis(old.table, 0, after, old.length - after),
            ],
            0,
        )
        return RaggedSequence(data, table)

    def widened(self, rank: int) -> RaggedSequence:
        """With room for shapes of `rank` axes."""
        if rank == self.rank:
            return self
        more = b.fill([self.length, rank - self.rank], ABSENT_AXIS, b.INT64)
        return RaggedSequence(self.data, b.concatenate([self.table, more], 1))


def ragged(sequence: TensorSequence | RaggedSequence, rank: int | None = None) -> RaggedSequence:
    """A sequence as a ragged one, with shapes of (at least) `rank` axes.

    Raises:
      ValueError: its elements are of different types.
    """
    if isinstance(sequence, RaggedSequence):
        return sequence.widened(max(rank or 0, sequence.rank))
    rank = max([rank or 0, *(x.rank for x in sequence)])
    for x in sequence:
        if x.dtype != sequence.dtype:
            raise ValueError(f"a sequence of {sequence.dtype} with an element of {x.dtype}")
    if not sequence:
        return RaggedSequence(b.fill([0], 0, sequence.dtype), b.fill([0, rank], 0, b.INT64))
    data = b.concatenate([b.reshape(x, [b.product(x.shape)]) for x in sequence], 0)
    rows = [[*x.shape, *[ABSENT_AXIS] * (rank - x.rank)] for x in sequence]
    if rank == 0:
        return RaggedSequence(data, b.fill([len(sequence), 0], 0, b.INT64))
    flat = np.empty((len(sequence), rank), object)
    for i, row in enumerate(rows):
        flat[i, :] = row
    return RaggedSequence(data, Tensor.of_dims(flat))


@dataclass(frozen=True)
class Form:
    """What a value is made of.

    Attributes:
      kind: `tensor`, `list`, `ragged`, `optional`, `absent`.
      dtype: of tensors and ragged sequences, of the (absent) elements of a list.
      rank: of tensors, of the tables of ragged sequences.
      parts: of lists and optionals.
    """

    kind: str
    dtype: DType | None = None
    rank: int = 0
    parts: tuple[Form, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case "tensor":
                return f"a tensor of {self.dtype} with {self.rank} axes"
            case "list" | "ragged":
                return f"a sequence of {self.dtype}"
            case "optional":
                return f"an optional that may hold {self.parts[0]}"
            case _:
                return "an empty optional"


def form_of(value: Any) -> Form:
    """The form of a value."""
    match value:
        case Tensor():
            return Form("tensor", value.dtype, value.rank)
        case TensorSequence():
            return Form("list", value.dtype, parts=tuple(map(form_of, value)))
        case RaggedSequence():
            return Form("ragged", value.dtype, value.rank)
        case DynamicOptional():
            return Form("optional", parts=(form_of(value.value),))
        case Absent():
            return Form("absent")
        case _:
            raise NotImplementedError(f"a {type(value).__name__} cannot pass through control flow")


def join(left: Form, right: Form, any_rank: bool = False) -> Form:
    """The form that values of both forms can take.

    With `any_rank`, of two tensors the one with more axes stands for both: a program that makes the other one fails
    (`coerce`), for what follows is compiled for one number of axes.

    Raises:
      ValueError: there is none.
    """
    if left == right:
        return left
    if "absent" in (left.kind, right.kind):
        held = right if left.kind == "absent" else left
        return held if held.kind == "optional" else Form("optional", parts=(held,))
    if "optional" in (left.kind, right.kind):
        a, c = (form.parts[0] if form.kind == "optional" else form for form in (left, right))
        return Form("optional", parts=(join(a, c),))
    if {left.kind, right.kind} <= {"list", "ragged"}:
        if (
            (left.parts or left.kind == "ragged")
            and (right.parts or right.kind == "ragged")
            and left.dtype != right.dtype
        ):
            raise ValueError(f"{left} and {right}: the types must agree")
        if left.kind == right.kind == "list" and left.parts == right.parts:
            return left
        filled = next((f for f in (left, right) if f.parts or f.kind == "ragged"), left)
        rank = max(
            form.rank if form.kind == "ragged" else max([0, *(p.rank for p in form.parts)]) for form in (left, right)
        )
        return Form("ragged", filled.dtype, rank)
    if any_rank and left.kind == right.kind == "tensor" and left.dtype == right.dtype:
        return max(left, right, key=lambda form: form.rank)
    raise ValueError(f"{left} and {right}: type and number of axes must agree")


def coerce(value: Any, form: Form) -> Any:
    """The value in a form that `join` found for it."""
    if form.kind == "optional":
        if isinstance(value, Absent):
            return DynamicOptional(Tensor.of(False), _nothing(form.parts[0]))
        if isinstance(value, DynamicOptional):
            return DynamicOptional(value.present, coerce(value.value, form.parts[0]))
        return DynamicOptional(Tensor.of(True), coerce(value, form.parts[0]))
    if form.kind == "ragged":
        if isinstance(value, TensorSequence) and not value:
            value = TensorSequence((), form.dtype)
        return ragged(value, form.rank)
    if form.kind == "tensor" and isinstance(value, Tensor) and value.rank != form.rank:
        builder = b.TensorBuilder.current()
        builder.require(
            builder.scalar_constant(False, b.BOOL),
            f"a branch made a tensor with {value.rank} axes where the other branch's has {form.rank}: what follows was "
            "compiled for the latter",
        )
        return _nothing(form)
    return value


def _nothing(form: Form) -> Any:
    """Some value of a form, for an optional that holds none."""
    match form.kind:
        case "tensor":
            return b.fill([0] * form.rank, 0, form.dtype or b.FLOAT32)
        case "list":
            return TensorSequence([_nothing(part) for part in form.parts], form.dtype)
        case "ragged":
            return ragged(TensorSequence((), form.dtype), form.rank)
        case "optional":
            return DynamicOptional(Tensor.of(False), _nothing(form.parts[0]))
        case _:
            return Absent()


def leaves(value: Any) -> list[Tensor]:
    """The tensors of a value."""
    match value:
        case Tensor():
            return [value]
        case TensorSequence():
            return list(value)
        case RaggedSequence():
            return [value.data, value.table]
        case DynamicOptional():
            return [value.present, *leaves(value.value)]
        case _:
            return []


def rebuild(form: Form, tensors: Iterator[Tensor]) -> Any:
    """The value of a form whose tensors come next."""
    match form.kind:
        case "tensor":
            return next(tensors)
        case "list":
            return TensorSequence([rebuild(part, tensors) for part in form.parts], form.dtype)
        case "ragged":
            data, table = next(tensors), next(tensors)
            return RaggedSequence(data, table)
        case "optional":
            present = next(tensors)
            return DynamicOptional(present, rebuild(form.parts[0], tensors))
        case _:
            return Absent()


def rebuild_all(forms: Sequence[Form], tensors: Sequence[Tensor]) -> list[Any]:
    """The values of these forms."""
    remaining = iter(tensors)
    return [rebuild(form, remaining) for form in forms]
