"""What torch.export cannot follow by itself is traced in another form.

* Sequences of different lengths (`pack_padded_sequence`): the numbers of elements and steps are known to a run only,
  and recurrent layers take the batch out of a tensor. Operators of our own stand for them, whose results have the sizes
  that PyTorch's have; `pytorch_ops/packed.py` imports them.
* Recurrent layers over sequences of an open length: PyTorch's own tracing runs their loop.
* Functions that look at data on their way (`cov`, `lstsq`, `histogramdd`, `one_hot` of as many classes as there are,
  `narrow` from a tensor on, `gaussian_nll_loss`) are written out in functions that do not.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import torch
from torch.nn.modules import transformer
from torch.nn.modules.rnn import RNNBase
from torch.overrides import TorchFunctionMode

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_BATCH = "_mlirage_batch"  # attribute of the sizes of steps: the batch, which is the first of them

_LIBRARY = torch.library.Library("mlirage", "DEF")
_LIBRARY.define("pack_padded_sequence(Tensor x, Tensor lengths, bool batch_first) -> (Tensor, Tensor)")
_LIBRARY.define(
    "pad_packed_sequence(Tensor data, Tensor sizes, bool batch_first, Scalar value, SymInt batch, SymInt steps)"
    " -> (Tensor, Tensor)"
)
_LIBRARY.define(
    "lstm_packed(Tensor data, Tensor sizes, Tensor[] states, Tensor[] weights, bool biased, int layers, float dropout,"
    " bool train, bool both) -> (Tensor, Tensor, Tensor)"
)
_LIBRARY.define(
    "lstm_whole(Tensor x, Tensor[] states, Tensor[] weights, bool biased, int layers, float dropout, bool train,"
    " bool both, bool batch_first) -> (Tensor, Tensor, Tensor)"
)
for _name in _RECURRENT[1:]:
    _LIBRARY.define(
        f"{_name}_whole(Tensor x, Tensor state, Tensor[] weights, bool biased, int layers, float dropout, bool train,"
        " bool both, bool batch_first) -> (Tensor, Tensor)"
    )
    _LIBRARY.define(
        f"{_name}_packed(Tensor data, Tensor sizes, Tensor state, Tensor[] weights, bool biased, int layers,"
        " float dropout, bool train, bool both) -> (Tensor, Tensor)"
    )


def _pack(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> Any:
    return torch._VF._pack_padded_sequence(x, lengths, batch_first)  # pyright: ignore


def _pad(data: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, batch: int, steps: int) -> Any:
    del batch
    return torch._VF._pad_packed_sequence(data, sizes, batch_first, value, steps)  # pyright: ignore


def _fake_pack(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> Any:
    context = torch.library.get_ctx()
    steps = context.new_dynamic_size(min=0)
    torch._check(steps <= x.shape[1 if batch_first else 0])  # pyright: ignore[reportPrivateUsage]
    return x.new_empty(context.new_dynamic_size(min=0), *x.shape[2:]), lengths.new_empty(steps)


def _fake_pad(data: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, batch: int, steps: int) -> Any:
    shape = (batch, steps) if batch_first else (steps, batch)
    return data.new_empty(*shape, *data.shape[1:]), sizes.new_empty(batch)


def _fake_layers(data: torch.Tensor, states: Any, both: bool) -> Any:
    first = [states] if isinstance(states, torch.Tensor) else states
    width = first[0].shape[-1] * (2 if both else 1)
    return data.new_empty(*data.shape[:-1], width), *(torch.empty_like(v) for v in first)


def _fake_packed(data: torch.Tensor, sizes: torch.Tensor, states: Any, *settings: Any) -> Any:
    return _fake_layers(data, states, settings[-1])


def _fake_whole(x: torch.Tensor, states: Any, *settings: Any) -> Any:
    return _fake_layers(x, states, settings[-2])


def _real_layers(name: str) -> Any:
    return lambda *arguments: getattr(torch._VF, name)(*arguments)  # pyright: ignore[reportPrivateUsage]


_REAL: dict[str, Any] = {"pack_padded_sequence": _pack, "pad_packed_sequence": _pad}
_FAKE: dict[str, Any] = {"pack_padded_sequence": _fake_pack, "pad_packed_sequence": _fake_pad}
for _name in _RECURRENT:
    _REAL[f"{_name}_packed"], _FAKE[f"{_name}_packed"] = _real_layers(_name), _fake_packed
    _REAL[f"{_name}_whole"], _FAKE[f"{_name}_whole"] = _real_layers(_name), _fake_whole
for _name, _function in _REAL.items():
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"mlirage::{_name}", _FAKE[_name], lib=_LIBRARY)


def _cov(
    input: torch.Tensor,
    *,
    correction: int = 1,
    fweights: torch.Tensor | None = None,
    aweights: torch.Tensor | None = None,
) -> torch.Tensor:
    x = input.reshape(1, -1) if input.dim() < 2 else input
    x = x if x.is_floating_point() or x.is_complex() else x.to(torch.get_default_dtype())
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    if weights is None:
        norm: Any = x.new_full((), x.shape[1] - correction)
        average, shares = x.mean(1, keepdim=True), x.new_ones(())
    else:
        shares = weights.to(x.dtype)
        total = weights.sum()
        average = (x * shares).sum(1, keepdim=True) / total
        squares = total if aweights is None else (weights * aweights).sum() / total
        norm = total - correction * (1 if aweights is None else squares)
    centered = x - average
    return (centered @ (centered * shares).t().conj() / norm.clamp(min=0)).squeeze()


def _corrcoef(input: torch.Tensor) -> torch.Tensor:
    c = _cov(input)
    if c.dim() == 0:
        return c / c
    size = c.diagonal().sqrt()
    c = c / size[:, None] / size[None]
    if not c.is_complex():
        return c.clamp(-1, 1)
    return torch.complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))


def _lstsq(A: torch.Tensor, B: torch.Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """By the pseudo-inverse, which all drivers agree with; residuals are those of matrices of full rank."""
    a, b = A, B
    m, n = a.shape[-2:]
    limit = torch.finfo(a.dtype).eps * max(m, n) if rcond is None else rcond
    vector = a.dim() == b.dim() + 1
    right = b.unsqueeze(-1) if vector else b
    solution = torch.linalg.pinv(a, rtol=limit) @ right
    residuals = rank = a.new_empty(0)
    if driver == "gels":
        rank = rank.to(torch.int64)
    else:
        rank = torch.linalg.matrix_rank(a, rtol=limit)
    if m > n and driver in ("gels", "gelsd", "gelss"):
        residuals = (a @ solution - right).abs().square().sum(-2)
    values = torch.empty(0, dtype=a.abs().dtype)
    if driver in ("gelsd", "gelss"):
        values = torch.linalg.svdvals(a)
    kind: Any = torch.return_types.linalg_lstsq  # pyright: ignore[reportAttributeAccessIssue]
    return kind((solution.squeeze(-1) if vector else solution, residuals, rank, values))


def _histogramdd(
    input: torch.Tensor,
    bins: Any,
    range: list[float] | None = None,
    weight: torch.Tensor | None = None,
    density: bool = False,
) -> Any:
    """The cell of every point by its place among the edges of each axis; a point on the last edge is inside."""
    points = input.reshape(-1, input.shape[-1])
    count = points.shape[1]
    bins = [bins] * count if isinstance(bins, int) else list(bins)
    edges: list[torch.Tensor] = []
    for axis, given in enumerate(bins):
        if isinstance(given, torch.Tensor):
            edges.append(given)
            continue
        column = points[:, axis]
        low, high = (
            (column.new_tensor(range[2 * axis]), column.new_tensor(range[2 * axis + 1]))
            if range is not None
            else (column.amin(), column.amax())
        )
        single = low == high
        low, high = torch.where(single, low - 0.5, low), torch.where(single, high + 0.5, high)
        steps = torch.arange(given + 1, dtype=points.dtype)
        edges.append(torch.where(steps == given, high, low + (high - low) * steps / given))
    cell = torch.zeros(points.shape[0], dtype=torch.int64)
    inside = torch.ones(points.shape[0], dtype=torch.bool)
    for axis, edge in enumerate(edges):
        column = points[:, axis].contiguous()
        cells = edge.shape[0] - 1
        place = torch.searchsorted(edge.contiguous(), column, right=True) - 1
        place = torch.where(column == edge[-1], cells - 1, place)
        inside = inside & (place >= 0) & (place < cells)
        cell = cell * cells + place.clamp(0, cells - 1)
    sizes = [edge.shape[0] - 1 for edge in edges]
    shares = points.new_ones(points.shape[0]) if weight is None else weight.reshape(-1).to(points.dtype)
    total = points.new_zeros(math.prod(sizes)).index_add(0, cell, torch.where(inside, shares, 0)).reshape(sizes)
    if density:
        total = total / total.sum()
        for axis, edge in enumerate(edges):
            total = total / edge.diff().reshape([-1 if i == axis else 1 for i in builtins.range(count)])
    kind: Any = torch.return_types.histogramdd  # pyright: ignore[reportAttributeAccessIssue]
    return kind((total, tuple(edges)))


def _linear_cross_entropy(*args: Any, **kwargs: Any) -> torch.Tensor:
    """Whole, not in chunks: those are for memory that a gradient would need."""
    return torch.nn.functional.linear_cross_entropy(*args, **{**kwargs, "options": None})


def _one_hot(tensor: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
    count: Any = num_classes
    if num_classes == -1:
        count = tensor.max().item() + 1
        torch._check(count >= 0)  # pyright: ignore[reportPrivateUsage]
    return (tensor.unsqueeze(-1) == torch.arange(count)).to(torch.int64)


def _narrow(input: torch.Tensor, dim: int, start: Any, length: int) -> torch.Tensor:
    if not isinstance(start, torch.Tensor):
        return torch.narrow(input, dim, start, length)
    return input.index_select(dim, torch.remainder(start, input.shape[dim]) + torch.arange(length))


def _masked_select(input: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """PyTorch takes the number of elements of `input` for the most that there can be, broadcast or not."""
    return torch.masked_select(*torch.broadcast_tensors(input, mask))


def _gaussian_nll_loss(
    input: torch.Tensor,
    target: torch.Tensor,
    var: torch.Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> torch.Tensor:
    """Without the look for negative variances."""
    if not isinstance(var, torch.Tensor):
        var = torch.full_like(input, var)
    elif var.shape != input.shape and input.shape[:-1] == var.shape:
        var = var.unsqueeze(-1)
    held = var.clamp(min=eps)
    loss = 0.5 * (held.log() + (input - target).square() / held)
    loss = loss + 0.5 * math.log(2 * math.pi) if full else loss
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


# They are called with the names that PyTorch's parameters have.
_WRITTEN_OUT: dict[Any, Any] = {
    torch.cov: _cov,
    torch.Tensor.cov: _cov,
    torch.corrcoef: _corrcoef,
    torch.Tensor.corrcoef: _corrcoef,
    torch.histogramdd: _histogramdd,
    torch.linalg.lstsq: _lstsq,
    torch.nn.functional.linear_cross_entropy: _linear_cross_entropy,
    torch.nn.functional.gaussian_nll_loss: _gaussian_nll_loss,
    torch.nn.functional.one_hot: _one_hot,
    torch.narrow: _narrow,
    torch.Tensor.narrow: _narrow,
    torch.masked_select: _masked_select,
    torch.Tensor.masked_select: _masked_select,
}


class Tracing(TorchFunctionMode):
    """While active, what this module is about is traced."""

    def __enter__(self) -> Any:
        """Two checks of PyTorch's look at data, or fix the batch, for nothing that changes results: not here."""
        self._check = check = RNNBase.check_forward_args
        self._detect = transformer._detect_is_causal_mask  # pyright: ignore[reportPrivateUsage]

        def check_unpacked(layers: Any, x: Any, states: Any, sizes: Any) -> None:
            if sizes is None:
                check(layers, x, states, sizes)

        def is_causal(mask: Any, known: Any = None, size: Any = None) -> bool:
            return known is True  # else the mask itself says what is seen

        RNNBase.check_forward_args = check_unpacked  # pyright: ignore[reportAttributeAccessIssue]
        transformer._detect_is_causal_mask = is_causal  # pyright: ignore
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Puts the checks back."""
        RNNBase.check_forward_args = self._check
        transformer._detect_is_causal_mask = self._detect  # pyright: ignore[reportPrivateUsage]
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls `func`, or what stands for it."""
        name = getattr(func, "__name__", "")
        ours: Any = torch.ops.mlirage
        if name == "_pack_padded_sequence":
            x, lengths, batch_first = args
            data, sizes = ours.pack_padded_sequence(x, lengths, batch_first)
            setattr(sizes, _BATCH, x.shape[0 if batch_first else 1])
            return data, sizes
        if name == "_pad_packed_sequence":
            data, sizes, batch_first, value, steps = args
            return ours.pad_packed_sequence(data, sizes, batch_first, value, _batch(sizes), steps)
        if name in _RECURRENT and len(args) > 1 and isinstance(args[1], torch.Tensor) and isinstance(args[3], list):
            return getattr(ours, f"{name}_packed")(*args)
        if name in _RECURRENT and len(args) == 9:
            return getattr(ours, f"{name}_whole")(*args)
        if name == "__getitem__" and hasattr(args[0], _BATCH) and args[1] == 0:
            return getattr(args[0], _BATCH)
        call: Any = _WRITTEN_OUT.get(func, func)
        return call(*args, **(kwargs or {}))


def _batch(sizes: torch.Tensor) -> Any:
    if hasattr(sizes, _BATCH):
        return getattr(sizes, _BATCH)
    batch = sizes[0].item()
    torch._check(batch >= 0)  # pyright: ignore[reportPrivateUsage]
    return batch
