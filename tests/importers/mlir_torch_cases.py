# ruff: noqa: E501 - one case a line
"""Programs of the torch dialect as text: torch.export's graphs as torch-mlir writes them, compiled, beside eager.

    python -m tests.importers.mlir_torch_cases [PATTERN]

Nothing of mlirage's own importer of PyTorch takes part: the text goes the way of any MLIR.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.importers.model_runner import ModelRunner, RunFailure

RUN = "tests.importers.mlir_torch_cases:run"

# What torch-mlir does not lower, and what the error says.
EXPECTED_FAILURES = {
    "erfc": "torch.aten.erfc", "digamma": "torch.aten.digamma", "lgamma": "torch.aten.lgamma", "hypot": "torch.aten.hypot",
    "cdist": "torch.aten._cdist_forward", "isfinite": "torch.aten.isfinite", "erfinv": "torch.aten.erfinv",
    "signbit": "failed to legalize", "copysign": "failed to legalize", "fft": "failed to legalize",
    "adaptive_max_pool1d": "only support cases with fixed stride size",
    "u8-wrap": "torch-mlir's lowering of this program ended its process (SIGSEGV); its operations are torch.aten.mul.Scalar",
}  # fmt: skip


def _f(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape) + len(shape)))


def _p(*shape: int) -> torch.Tensor:
    """Between 0.1 and 1.1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) + 0.1


def _i(*shape: int, high: int = 10) -> torch.Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(sum(shape)))


def _b(*shape: int) -> torch.Tensor:
    return _f(*shape) > 0


_x, _y = _f(3, 4, 5), _f(3, 4, 5) * 2 + 1
_image, _square = _f(2, 3, 8, 9), _f(5, 5)

# Elementwise functions, of floats (any; positive) and of integers.
_FLOAT = (
    "abs acos asin atan acosh:1 asinh atanh ceil cos cosh:1 erf erfc exp exp2 expm1 floor log:1 log10:1 log1p:1 log2:1 "
    "neg reciprocal relu round rsqrt:1 sigmoid sign sin sinh sqrt:1 tan tanh trunc square isnan isinf isfinite logit:1 "
    "signbit deg2rad frac erfinv:1 digamma:1 lgamma:1"
).split()
_NN = "elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu6 selu silu softplus softshrink softsign tanhshrink celu".split()
_BINARY = "add sub mul div maximum minimum pow:1 atan2 fmod remainder eq ne lt le gt ge floor_divide hypot copysign logaddexp".split()
_INTEGER = "add sub mul bitwise_and bitwise_or bitwise_xor floor_divide remainder maximum minimum eq lt bitwise_left_shift bitwise_right_shift".split()

Function = Callable[..., Any]
_Case = tuple[Function | nn.Module, Sequence[torch.Tensor]]


def _elementwise() -> dict[str, _Case]:
    found: dict[str, _Case] = {}
    for entry in _FLOAT:
        name, _, positive = entry.partition(":")
        x = _p(3, 4) if positive or name in ("acos", "asin", "atanh") else _f(3, 4)
        if name in ("acos", "asin", "atanh", "logit", "erfinv"):
            x = x.clamp(-0.9, 0.9)
        if name == "acosh":
            x = x + 1
        found[name] = (getattr(torch, name), [x])
    for name in _NN:
        found[name] = (getattr(F, name), [_x * 2])
    for entry in _BINARY:
        name, _, positive = entry.partition(":")
        a, b = (_p(3, 4), _f(4)) if positive else (_f(3, 4), _f(4))
        found[name] = (getattr(torch, name), [a, b])
    for name in _INTEGER:
        found[f"{name}:int"] = (getattr(torch, name), [_i(3, 4) - (0 if "shift" in name else 5), _i(4, high=6) + 1])
    return found


def _reductions() -> dict[str, _Case]:
    return {
        "sum": (lambda x: x.sum(), [_x]),
        "sum-dims": (lambda x: x.sum((0, 2), keepdim=True), [_x]),
        "sum-bf16": (lambda x: x.sum(0), [torch.ones(1000, 3, dtype=torch.bfloat16)]),
        "mean": (lambda x: x.mean(1), [_x]),
        "mean-f16": (lambda x: x.mean(0), [_p(3000, 2).half()]),
        "prod": (lambda x: x.prod(2), [_x]),
        "amax": (lambda x: x.amax((0, 1)), [_x]),
        "amin": (lambda x: x.amin(-1), [_x]),
        "max-dim": (lambda x: x.max(1), [_x]),
        "min-dim": (lambda x: x.min(0, keepdim=True), [_x]),
        "argmax": (lambda x: x.argmax(1), [_x]),
        "argmin": (lambda x: x.argmin(), [_x]),
        "any": (lambda x: x.any(1), [_b(3, 4)]),
        "all": (lambda x: x.all(), [_b(3, 4)]),
        "var": (lambda x: x.var(1), [_x]),
        "std": (lambda x: x.std((0, 2), correction=0), [_x]),
        "norm": (lambda x: torch.linalg.vector_norm(x, 2, 1), [_x]),
        "norm-inf": (lambda x: torch.linalg.vector_norm(x, float("inf"), 1), [_x]),
        "logsumexp": (lambda x: x.logsumexp(1), [_x]),
        "cumsum": (lambda x: x.cumsum(1), [_x]),
        "cumsum-bf16": (lambda x: x.cumsum(0), [torch.ones(700, 2, dtype=torch.bfloat16)]),
        "cumprod": (lambda x: x.cumprod(1), [_x]),
        "softmax": (lambda x: x.softmax(1), [_x]),
        "log_softmax": (lambda x: x.log_softmax(-1), [_x]),
        "count_nonzero": (lambda x: torch.count_nonzero(x, 1), [_i(4, 5, high=2)]),
        "sum-int": (lambda x: x.sum(0), [_i(7, 3)]),
        "topk": (lambda x: x.topk(3, 1), [_f(4, 9)]),
        "sort": (lambda x: torch.sort(x, dim=1), [_f(4, 9)]),
        "sort-down": (lambda x: torch.sort(x, dim=0, descending=True), [_f(4, 9)]),
    }


def _movement() -> dict[str, _Case]:
    index = torch.tensor([2, 0, 1, 1])
    return {
        "reshape": (lambda x: x.reshape(5, -1), [_x]),
        "permute": (lambda x: x.permute(2, 0, 1), [_x]),
        "transpose": (lambda x: x.transpose(0, 1) + 1, [_x]),
        "expand": (lambda x: x[:, None].expand(3, 7, 5), [_f(3, 5)]),
        "cat": (lambda a, b: torch.cat([a, b, a], 1), [_x, _f(3, 2, 5)]),
        "stack": (lambda a, b: torch.stack([a, b], -1), [_x, _y]),
        "slice": (lambda x: x[1:, ::2, -3:], [_x]),
        "select": (lambda x: x[:, -1], [_x]),
        "narrow": (lambda x: x.narrow(1, 1, 2), [_x]),
        "squeeze": (lambda x: x.unsqueeze(1).squeeze(1).unsqueeze(-1), [_x]),
        "split": (lambda x: x.split([1, 3], 1), [_x]),
        "chunk": (lambda x: x.chunk(2, 2), [_x]),
        "unbind": (lambda x: x.unbind(0), [_x]),
        "flip": (lambda x: x.flip(0, 2), [_x]),
        "roll": (lambda x: x.roll((1, -2), (0, 2)), [_x]),
        "repeat": (lambda x: x.repeat(2, 1, 3), [_x]),
        "tile": (lambda x: x.tile(2, 2), [_x]),
        "pad": (lambda x: F.pad(x, (1, 2, 0, 3), value=7.0), [_x]),
        "pad-reflect": (lambda x: F.pad(x, (2, 1), mode="reflect"), [_x]),
        "pad-replicate": (lambda x: F.pad(x, (2, 1, 1, 1), mode="replicate"), [_image]),
        "tril": (torch.tril, [_square]),
        "triu": (lambda x: x.triu(1), [_square]),
        "diagonal": (lambda x: x.diagonal(1), [_square]),
        "where": (torch.where, [_b(3, 4, 5), _x, _y]),
        "masked_fill": (lambda x, m: x.masked_fill(m, -1.0), [_x, _b(3, 4, 5)]),
        "index_select": (lambda x, i: x.index_select(1, i), [_x, index]),
        "gather": (lambda x, i: x.gather(1, i), [_x, _i(3, 2, 5, high=4)]),
        "scatter": (lambda x, i, y: x.scatter(1, i, y), [_x, torch.argsort(_f(3, 4, 5), 1)[:, :2], _f(3, 2, 5)]),
        "scatter_add": (lambda x, i, y: x.scatter_add(1, i, y), [_x, _i(3, 6, 5, high=4), _f(3, 6, 5)]),
        "index": (lambda x, i: x[:, i], [_x, index]),
        "index-two": (lambda x, i, j: x[i, :, j], [_x, index, index + 1]),
        "index_put": (lambda x, i, y: x.index_put((i,), y), [_f(5, 4), torch.tensor([3, 0]), _f(2, 4)]),
        "index_put-add": (
            lambda x, i, y: x.index_put((i,), y, accumulate=True),
            [_f(5, 4), torch.tensor([3, 0, 3]), _f(3, 4)],
        ),
        "slice_scatter": (lambda x, y: x.slice_scatter(y, 1, 1, 3), [_x, _f(3, 2, 5)]),
        "select_scatter": (lambda x, y: x.select_scatter(y, 1, 2), [_x, _f(3, 5)]),
        "embedding": (F.embedding, [_i(2, 6), _f(10, 5)]),
        "one_hot": (lambda i: F.one_hot(i, 10), [_i(7)]),
        "arange": (lambda x: x + torch.arange(5), [_x]),
        "arange-step": (lambda x: x + torch.arange(1.0, 3.5, 0.5), [_x]),
        "full": (lambda x: torch.full((3, 5), 2.5) + x[:, 0], [_x]),
        "full_like": (lambda x: torch.full_like(x, 3), [_x]),
        "zeros_like": (lambda x: torch.zeros_like(x) + torch.ones_like(x), [_x]),
        "eye": (lambda x: torch.eye(5) + x, [_square]),
        "meshgrid": (lambda a, b: torch.meshgrid(a, b, indexing="ij"), [_f(3), _f(4)]),
        "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [_f(2, 8, 3, 5)]),
        "unfold": (lambda x: x.unfold(1, 2, 1), [_x]),
        "im2col": (lambda x: F.unfold(x, (3, 2), padding=1), [_image]),
        "constant": (lambda x: x + torch.tensor([1.0, 2, 3, 4, 5]), [_x]),
    }


def _products() -> dict[str, _Case]:
    weight = _f(6, 3, 3, 2)
    return {
        "mm": (torch.mm, [_f(3, 4), _f(4, 5)]),
        "mm-bf16": (torch.mm, [_f(3, 400).bfloat16(), _f(400, 5).bfloat16()]),
        "mm-int": (torch.mm, [_i(3, 4), _i(4, 5)]),
        "bmm": (torch.bmm, [_f(2, 3, 4), _f(2, 4, 5)]),
        "matmul": (torch.matmul, [_f(2, 1, 3, 4), _f(5, 4, 2)]),
        "matmul-vector": (torch.matmul, [_f(3, 4), _f(4)]),
        "dot": (torch.dot, [_f(9), _f(9)]),
        "addmm": (lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2), [_f(5), _f(3, 4), _f(4, 5)]),
        "baddbmm": (torch.baddbmm, [_f(2, 3, 5), _f(2, 3, 4), _f(2, 4, 5)]),
        "linear": (F.linear, [_f(2, 3, 4), _f(5, 4), _f(5)]),
        "einsum": (lambda a, b: torch.einsum("bij,bkj->bik", a, b), [_f(2, 3, 4), _f(2, 5, 4)]),
        "conv1d": (lambda x, w: F.conv1d(x, w, stride=2, padding=1), [_f(2, 3, 9), _f(4, 3, 3)]),
        "conv2d": (
            lambda x, w, b: F.conv2d(x, w, b, stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
            [_image, weight, _f(6)],
        ),
        "conv2d-groups": (lambda x, w: F.conv2d(x, w, groups=3, padding=1), [_image, _f(6, 1, 3, 3)]),
        "conv3d": (lambda x, w: F.conv3d(x, w, padding=1), [_f(1, 2, 4, 5, 3), _f(3, 2, 3, 3, 3)]),
        "conv_transpose2d": (
            lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
            [_image, _f(3, 4, 3, 3)],
        ),
        "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, stride=3), [_f(2, 3, 5), _f(3, 2, 4)]),
        "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), [_image]),
        "max_pool2d-indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), [_image]),
        "avg_pool2d": (lambda x: F.avg_pool2d(x, (2, 3), stride=2, padding=1), [_image]),
        "avg_pool2d-inside": (lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False), [_image]),
        "avg_pool1d": (lambda x: F.avg_pool1d(x, 3), [_f(2, 3, 11)]),
        "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), [_image]),
        "adaptive_avg_pool2d-3": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), [_image]),
        "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 3), [_f(2, 3, 11)]),
        "upsample-nearest": (lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), [_image]),
        "upsample-bilinear": (lambda x: F.interpolate(x, size=(11, 5), mode="bilinear"), [_image]),
        "upsample-corners": (lambda x: F.interpolate(x, size=(11, 5), mode="bilinear", align_corners=True), [_image]),
        "grid_sample": (lambda x, g: F.grid_sample(x, g, align_corners=False), [_image, _f(2, 4, 5, 2) / 2]),
        "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), [_x, _f(5), _f(1, 5)[0]]),
        "group_norm": (lambda x: F.group_norm(x, 2), [_f(2, 6, 4)]),
        "instance_norm": (lambda x: F.instance_norm(x), [_image]),
        "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), [_x, _f(5)]),
        "batch_norm": (lambda x, m, v: F.batch_norm(x, m, v), [_image, _f(3), _p(3)]),
        "attention": (F.scaled_dot_product_attention, [_f(2, 3, 7, 4), _f(2, 3, 9, 4), _f(2, 3, 9, 4)]),
        "attention-causal": (
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            [_f(2, 3, 7, 4)] * 3,
        ),
        "cdist": (torch.cdist, [_f(3, 4), _f(5, 4)]),
        "cross_entropy": (F.cross_entropy, [_f(6, 10), _i(6)]),
        "mse_loss": (F.mse_loss, [_x, _y]),
        "bce": (F.binary_cross_entropy_with_logits, [_x, _p(3, 4, 5) - 0.1]),
        "kl_div": (F.kl_div, [_x, _p(3, 4, 5)]),
        "det": (torch.linalg.det, [_square]),
        "fft": (lambda x: torch.view_as_real(torch.fft.fft(x)), [_f(3, 8)]),
        "rfft": (lambda x: torch.view_as_real(torch.fft.rfft(x)), [_f(3, 8)]),
        "complex": (lambda x: torch.view_as_real(torch.view_as_complex(x) * torch.view_as_complex(x)), [_f(3, 2)]),
    }


def _types() -> dict[str, _Case]:
    kinds = {"f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64, "i8": torch.int8, "i32": torch.int32,
             "u8": torch.uint8, "bool": torch.bool, "i64": torch.int64}  # fmt: skip
    found: dict[str, _Case] = {
        f"to-{name}": (lambda x, k=kind: x.to(k), [_p(3, 4) * 9]) for name, kind in kinds.items()
    }
    found |= {f"from-{name}": (lambda x: x.to(torch.float32), [_i(3, 4).to(kind)]) for name, kind in kinds.items()}
    found |= {f"add-{name}": (lambda x: x + x, [_i(3, 4).to(kind)]) for name, kind in kinds.items() if name != "bool"}
    found |= {
        "logical": (lambda a, b: torch.logical_and(a, b) | ~a ^ b, [_b(3, 4), _b(4)]),
        "bitwise_not": (torch.bitwise_not, [_i(3, 4)]),
        "clamp": (lambda x: x.clamp(-0.5, 1.0), [_x]),
        "clamp-int": (lambda x: x.clamp(2, 7), [_i(3, 4)]),
        "true_divide-int": (torch.div, [_i(3, 4), _i(4) + 1]),
        "scalars": (lambda x: (x + 1) * 2.5 - x / 3 + (2 - x), [_x]),
        "empty": (lambda x: (x + 1, x.sum(0), x @ x.T), [_f(0, 3)]),
        "zero-d": (lambda x: x * 2 + x.sum(), [torch.tensor(3.0)]),
        "u8-wrap": (lambda x: x * 3, [torch.tensor([100, 200, 255], dtype=torch.uint8)]),
        "item": (lambda x: x * x.sum(), [_x]),
        "lerp": (torch.lerp, [_x, _y, _p(3, 4, 5)]),
        "addcmul": (lambda a, b, c: torch.addcmul(a, b, c, value=0.5), [_x, _y, _x]),
        "addcdiv": (lambda a, b, c: torch.addcdiv(a, b, c, value=2), [_x, _y, _p(3, 4, 5)]),
        "prelu": (F.prelu, [_x, torch.tensor([0.25])]),
        "glu": (lambda x: F.glu(x, 1), [_x]),
        "isclose": (torch.isclose, [_x, _x + 1e-9]),
        "nan_to_num": (lambda x: x.nan_to_num(1.0, 2.0, -3.0), [torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])]),
        "bucketize": (torch.bucketize, [_x, torch.tensor([-1.0, 0.0, 0.5])]),
        "unflatten": (lambda x: x.unflatten(1, (2, 2)).flatten(2), [_x]),
        "linspace": (lambda x: x + torch.linspace(0, 1, 5), [_x]),
        "outer": (torch.outer, [_f(3), _f(4)]),
        "cross": (lambda a, b: torch.linalg.cross(a, b), [_f(4, 3), _f(4, 3) + 1]),
        "masked_scatter": (lambda x, m, y: torch.masked_scatter(x, m, y), [_f(3, 4), _b(3, 4), _f(12)]),
        "heaviside": (torch.heaviside, [_x, _y]),
        "xlogy": (torch.xlogy, [_x.abs(), _p(3, 4, 5)]),
        "trace": (torch.trace, [_square]),
        "renorm": (lambda x: x / x.norm(dim=1, keepdim=True).clamp(min=1), [_x]),
        "mode-train-dropout": (lambda x: F.dropout(x, 0.5, training=False), [_x]),
        "diff": (lambda x: x.diff(dim=1), [_x]),
        "nonzero": (lambda x: x.nonzero(), [_i(3, 4, high=2)]),
    }  # fmt: skip
    return found


class _Recurrent(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(5, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x)[0]


def _models() -> dict[str, _Case]:
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, groups=8),
        nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    return {
        "mlp": (nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3)), [_f(7, 4)]),
        "cnn": (cnn, [_image]),
        "encoder": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0), [_f(2, 5, 8)]),
        "multihead": (nn.MultiheadAttention(8, 2, batch_first=True), [_f(2, 5, 8)] * 3),
        "lstm": (_Recurrent("LSTM"), [_f(2, 4, 5)]),
        "gru": (_Recurrent("GRU"), [_f(2, 4, 5)]),
        "rnn": (_Recurrent("RNN"), [_f(2, 4, 5)]),
        "embedding-bag": (nn.Sequential(nn.Embedding(10, 6), nn.Flatten(), nn.Linear(24, 2)), [_i(3, 4)]),
        "upsampling": (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.SiLU(), nn.Upsample(scale_factor=2)), [_image]),
    }


# With an open first dim; a few sizes are tried.
_DYNAMIC = (
    "add", "gelu", "sum-dims", "softmax", "argmax", "cumsum", "cat", "pad", "mm", "bmm", "linear", "conv2d",
    "max_pool2d", "avg_pool2d", "layer_norm", "reshape-open", "expand-open", "gather", "index_select", "topk", "where",
    "embedding", "mlp", "cnn", "encoder", "attention-open", "flip", "one_hot", "arange-open", "batch_norm",
)  # fmt: skip


def _open() -> dict[str, _Case]:
    return {
        "reshape-open": (lambda x: x.reshape(x.shape[0], -1), [_x]),
        "expand-open": (lambda x: x[:, None].expand(-1, 7, 5), [_f(3, 5)]),
        "arange-open": (lambda x: x + torch.arange(x.shape[0])[:, None, None], [_x]),
        "attention-open": (F.scaled_dot_product_attention, [_f(3, 2, 7, 4)] * 3),
    }


def cases() -> dict[str, _Case]:
    """All of them by name."""
    parts = (_elementwise, _reductions, _movement, _products, _types, _models, _open)
    static = {name: case for part in parts for name, case in part().items()}
    return static | {f"{name}:dynamic": static[name] for name in _DYNAMIC}


def failures(names: Sequence[str], report: Callable[[str, str], Any] | None = None) -> dict[str, str]:
    """What goes wrong with each case, by name."""
    found: dict[str, str] = {}
    runner = ModelRunner(RUN, timeout=120)
    try:
        for name in names:
            try:
                problem: Any = runner.run(name, [])
            except RunFailure as error:
                problem = str(error)
            if problem:
                found[name] = problem
                if report:
                    report(name, problem)
    finally:
        runner.close()
    return found


class _Module(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: torch.Tensor) -> Any:
        return self.function(*arguments)


# --- In the child. ---


def run(name: str, _inputs: list[Any]) -> str:
    """What goes wrong with a case; empty if nothing does."""
    import mlirage

    function, inputs = cases()[name]
    model = function.eval() if isinstance(function, nn.Module) else _Module(function)
    dynamic = name.endswith(":dynamic")
    text = torch_text(model, inputs, dynamic)
    module = mlirage.load(mlirage.compile(text, jobs=1, cache_dir="off"), device="local-sync")
    for size in (0, 1, 2, 7) if dynamic else (None,):
        given = [x if size is None else _resized(x, size, inputs) for x in inputs]
        try:
            with torch.no_grad():
                wanted = model(*given)
        except (RuntimeError, ValueError, IndexError):
            if size != 0:
                raise
            continue  # no such thing as an empty one
        got = module(*[_array(x) for x in given])
        problem = _difference(_flat(wanted), list(got) if isinstance(got, (tuple, list)) else [got])
        if problem:
            return f"{problem}{'' if size is None else f' at size {size}'}"
    return ""


def torch_text(model: nn.Module, inputs: Sequence[torch.Tensor], dynamic: bool) -> str:
    """The model in the torch dialect, as torch-mlir's front end writes it."""
    from torch_mlir import fx

    shapes = None
    if dynamic:
        batch, extent = torch.export.Dim("batch", min=0, max=1024), inputs[0].shape[0]
        per = tuple({0: batch} if x.shape[0] == extent else None for x in inputs)
        shapes = {"arguments": per} if isinstance(model, _Module) else per
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(model, tuple(inputs), dynamic_shapes=shapes)
        return str(fx.export_and_import(program, output_type="raw"))


def _resized(x: torch.Tensor, size: int, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    if x.shape[0] != inputs[0].shape[0]:
        return x
    return torch.cat([x] * 3)[:size].contiguous()


def _flat(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [x for part in value for x in _flat(part)] if isinstance(value, (tuple, list)) else []


def _array(x: torch.Tensor) -> np.ndarray[Any, Any]:
    if x.dtype == torch.bfloat16:
        import ml_dtypes

        return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.contiguous().numpy()


def _difference(wanted: Sequence[torch.Tensor], got: Sequence[Any]) -> str:
    if len(wanted) != len(got):
        return f"{len(got)} results, not {len(wanted)}"
    for number, (want, have) in enumerate(zip(wanted, got, strict=True)):
        w, h = _array(want), np.asarray(have)
        if w.shape != h.shape or w.dtype != h.dtype:
            return f"result {number} is {h.dtype}{list(h.shape)}, not {w.dtype}{list(w.shape)}"
        if w.dtype.kind in "biu":
            wrong = int((w != h).sum())
            if wrong:
                return f"result {number}: {wrong} of {w.size} elements differ"
            continue
        rtol = {"bfloat16": 2**-7, "float16": 2**-10}.get(w.dtype.name, 2e-5)
        a, b = w.astype(np.complex128), h.astype(np.complex128)
        if not np.allclose(b, a, rtol=rtol, atol=2e-5, equal_nan=True):
            return f"result {number}: largest difference {np.nanmax(np.abs(a - b))}"
    return ""


def main() -> None:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [name for name in cases() if pattern.search(name)]
    found = failures(chosen, lambda name, problem: print(f"{name}: {problem[:700]}", flush=True))
    print(f"{len(chosen) - len(found)} of {len(chosen)} pass")


if __name__ == "__main__":
    main()
