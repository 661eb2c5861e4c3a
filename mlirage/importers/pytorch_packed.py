"""Sequences of different lengths (`pack_padded_sequence`) while a model is traced.

torch.export cannot follow them: the number of elements and of steps are known to a run only, and recurrent layers take
the batch out of a tensor. `PackedSequences` puts operators of our own in their place, whose results have the sizes that
PyTorch's have. `pytorch_ops/packed.py` imports them.
"""

from __future__ import annotations

from typing import Any

import torch
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
for _name in _RECURRENT[1:]:
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


def _fake_layers(data: torch.Tensor, sizes: torch.Tensor, states: Any, *settings: Any) -> Any:
    first = [states] if isinstance(states, torch.Tensor) else states
    width = first[0].shape[-1] * (2 if settings[-1] else 1)
    return data.new_empty(data.shape[0], width), *(torch.empty_like(v) for v in first)


def _real_layers(name: str) -> Any:
    return lambda *arguments: getattr(torch._VF, name)(*arguments)  # pyright: ignore[reportPrivateUsage]


_REAL: dict[str, Any] = {"pack_padded_sequence": _pack, "pad_packed_sequence": _pad}
_FAKE: dict[str, Any] = {"pack_padded_sequence": _fake_pack, "pad_packed_sequence": _fake_pad}
for _name in _RECURRENT:
    _REAL[f"{_name}_packed"], _FAKE[f"{_name}_packed"] = _real_layers(_name), _fake_layers
for _name, _function in _REAL.items():
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"mlirage::{_name}", _FAKE[_name], lib=_LIBRARY)


class PackedSequences(TorchFunctionMode):
    """While active, packed sequences are traced."""

    def __enter__(self) -> Any:
        """Recurrent layers look at the batch of packed sequences as a Python number, which would fix it: not here."""
        self._check = check = RNNBase.check_forward_args

        def check_unpacked(layers: Any, x: Any, states: Any, sizes: Any) -> None:
            if sizes is None:
                check(layers, x, states, sizes)

        RNNBase.check_forward_args = check_unpacked  # pyright: ignore[reportAttributeAccessIssue]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Puts the check back."""
        RNNBase.check_forward_args = self._check
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
            return getattr(ours, f"{name}_packed")(args[0], args[1], *args[2:])
        if name == "__getitem__" and hasattr(args[0], _BATCH) and args[1] == 0:
            return getattr(args[0], _BATCH)
        return func(*args, **(kwargs or {}))


def _batch(sizes: torch.Tensor) -> Any:
    if hasattr(sizes, _BATCH):
        return getattr(sizes, _BATCH)
    batch = sizes[0].item()
    torch._check(batch >= 0)  # pyright: ignore[reportPrivateUsage]
    return batch
