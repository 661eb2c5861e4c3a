"""Packed sequences: the rows of all sequences, longest first, step by step, and how many go on at each step.

lengths 4 2 1:  data = [a0 b0 c0 a1 b1 a2 a3],  sizes = [3 2 1 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlirage.importers.pytorch_ops.recurrent import CELLS, Cell, network
from mlirage.importers.pytorch_ops.registry import Number, Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Scalar, Tensor, loops, ordering
from mlirage.input.builders import scalar as s


def _before(lengths: Tensor, steps: Dim) -> Tensor:
    """Whether sequence n goes on at step t: [t, n]."""
    shape = (steps, lengths.shape[0])
    return b.map_(lambda n: s.cast(s.index_of(0), b.INT64) < n, b.unsqueeze(lengths, [0]), dtype=b.BOOL, shape=shape)


@aten("pack_padded_sequence", namespace="mlirage")
def pack_padded_sequence(op: Op, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    if batch_first:
        x = b.transpose(x, [1, 0, *range(2, x.rank)])
    lengths = as_tensor(lengths, b.INT64)
    count = lengths.shape[0]
    builder = b.TensorBuilder.current()
    builder.require_equal(count, x.shape[1], "pack_padded_sequence: a length for every sequence of the batch")
    _require_all(_descending(lengths), "pack_padded_sequence: lengths must be sorted, the longest first")
    _require_all(
        b.map_(lambda n: n > 0, lengths, dtype=b.BOOL), "pack_padded_sequence: every length must be at least 1"
    )
    (longest,) = b.map_(lambda n: s.maximum(n, 0), b.amax(lengths)).dims()
    builder.require_at_least(x.shape[0], longest, "pack_padded_sequence: lengths are at most the padded length")
    going = _before(lengths, longest)
    places = ordering.true_positions(going)
    rows = b.reshape(b.slice_axis(x, 0, 0, longest), [longest * count, *x.shape[2:]])
    sizes = b.sum_(b.cast(going, b.INT64), [1])
    return b.gather(rows, places, 0), sizes


def _require_all(holds: Tensor, message: str) -> None:
    everywhere = b.amin(b.cast(holds, b.INT64))
    condition = loops.scalar_condition(b.map_(lambda a: a.ne(0), everywhere, dtype=b.BOOL))
    b.TensorBuilder.current().require(condition, message)


def _descending(lengths: Tensor) -> Tensor:
    def body(position: Scalar) -> Scalar:
        before = s.select(position.eq(0), position, position - 1)
        return s.read(lengths, [before]) >= s.read(lengths, [position])

    return b.tabulate(lengths.shape, b.BOOL, body)


def _starts(sizes: Tensor) -> Tensor:
    """The row of each step's first element."""
    return ordering.scan(sizes, 0, 0, lambda total, a: total + a, True, False)


def _unpacked(data: Tensor, sizes: Tensor, steps: Dim, batch: Dim, padding: Number) -> Tensor:
    """[steps, batch, …] with padding where a sequence has ended."""
    starts = _starts(sizes)
    known = b.dim_scalar

    def body(*position: Scalar) -> Scalar:
        t, n, *rest = position
        there = s.select(t < known(sizes.shape[0]), t, known(sizes.shape[0]) - 1)
        inside = (t < known(sizes.shape[0])) & (s.cast(n, b.INT64) < s.read(sizes, [there]))
        row = s.cast(s.read(starts, [there]), b.INDEX) + s.select(inside, n, s.coerce(0, b.INDEX))
        row = s.clamp(row, 0, known(data.shape[0]) - 1)
        value = s.read(data, [row, *rest])
        return s.select(inside, value, s.coerce(padding, value.dtype))  # pyright: ignore[reportArgumentType]

    return b.tabulate((steps, batch, *data.shape[1:]), data.dtype, body)


@aten("pad_packed_sequence", namespace="mlirage")
def pad_packed_sequence(
    op: Op, data: Tensor, sizes: Tensor, batch_first: bool, padding: Number, batch: Dim, steps: Dim
) -> tuple[Tensor, Tensor]:
    padded = _unpacked(data, sizes, steps, batch, padding)
    shape = (batch, sizes.shape[0])
    going = b.map_(lambda n: s.cast(s.cast(s.index_of(0), b.INT64) < n, b.INT64), b.unsqueeze(sizes, [0]), shape=shape)
    lengths = b.sum_(going, [1])
    return b.transpose(padded, [1, 0, *range(2, padded.rank)]) if batch_first else padded, lengths


def _layers(
    cell: Cell, data: Tensor, sizes: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], biased: bool,
    layers: int, dropout: float, train: bool, both: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    batch, steps = states[0].shape[1], sizes.shape[0]
    padded = _unpacked(data, sizes, steps, batch, 0)
    results, *lasts = network(cell, padded, states, weights, biased, layers, dropout, train, both, False, sizes)
    shape = (steps, batch)
    going = b.map_(lambda n: s.cast(s.index_of(1), b.INT64) < n, b.unsqueeze(sizes, [1]), dtype=b.BOOL, shape=shape)
    places = ordering.true_positions(going)
    packed = b.gather(b.reshape(results, [steps * batch, results.shape[2]]), places, 0)
    return packed, *lasts


def _register(name: str) -> None:
    @aten(f"{name}_packed", namespace="mlirage")
    def function(op: Op, data: Tensor, sizes: Tensor, states: Any, *settings: Any) -> tuple[Tensor, ...]:
        return _layers(CELLS[name], data, sizes, [states] if isinstance(states, Tensor) else states, *settings)


for _name in CELLS:
    _register(_name)
