"""Language models that generate: GPT-2 and Llama shapes, a whole prompt or one token with what came before.

Written out as exporters write them, with past keys and values as arguments and the longer ones as results, so that
every contender runs the same graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.models.built import Built
from benchmarks.models.exported import to_onnx


@dataclass(frozen=True)
class Shape:
    """Extents of a decoder.

    Attributes:
      layers: how many.
      width: of the residual stream; heads divide it.
      heads: query heads.
      shared: key and value heads.
      inner: of the feed-forward part.
      words: in the vocabulary.
      llama: RMS norm, rotary positions, gated feed-forward; else GPT-2's layer norm, learned positions and GELU.
    """

    layers: int
    width: int
    heads: int
    shared: int
    inner: int
    words: int
    llama: bool = True


GPT2_SMALL = Shape(12, 768, 12, 12, 3072, 50257, llama=False)
LLAMA_110M = Shape(12, 768, 12, 12, 2048, 32000)
LLAMA_1B_4_LAYERS = Shape(4, 2048, 32, 8, 8192, 32000)  # layers as Llama 3.2 1B has them; fewer, to fit in memory


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.depth = shape, shape.width // shape.heads
        norm = nn.RMSNorm if shape.llama else nn.LayerNorm
        biased, narrow = not shape.llama, shape.shared * self.depth
        self.before, self.between = norm(shape.width), norm(shape.width)
        self.query, self.out = (nn.Linear(shape.width, shape.width, bias=biased) for _ in range(2))
        self.key, self.value = (nn.Linear(shape.width, narrow, bias=biased) for _ in range(2))
        self.up = nn.Linear(shape.width, shape.inner, bias=biased)
        self.down = nn.Linear(shape.inner, shape.width, bias=biased)
        self.gate = nn.Linear(shape.width, shape.inner, bias=False) if shape.llama else None

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, self.depth)).transpose(1, 2)

    def forward(
        self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], past: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        normal = self.before(x)
        query, key, value = (self._heads(part(normal)) for part in (self.query, self.key, self.value))
        if self.shape.llama:
            query, key = (_rotated(part, *angles) for part in (query, key))
        if past:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        copies = self.shape.heads // self.shape.shared
        keys, values = (part.repeat_interleave(copies, 1) if copies > 1 else part for part in (key, value))
        scores = query @ keys.transpose(2, 3) * self.depth**-0.5
        length = scores.shape[2]
        if length > 1:
            scores = scores + torch.full((length, length), float("-inf")).triu(1)
        mixed = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        normal = self.between(x)
        if self.gate is not None:
            return x + self.down(F.silu(self.gate(normal)) * self.up(normal)), key, value
        return x + self.down(F.gelu(self.up(normal), approximate="tanh")), key, value


def _rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


class Decoder(nn.Module):
    """(words [1, length], position, past keys and values of every layer) -> logits of the last word, new ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.words, shape.width)
        self.places = None if shape.llama else nn.Embedding(1024, shape.width)
        self.layers = nn.ModuleList([_Layer(shape) for _ in range(shape.layers)])
        self.norm = nn.RMSNorm(shape.width) if shape.llama else nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.words, bias=False)

    def forward(self, words: torch.Tensor, position: torch.Tensor, *past: torch.Tensor) -> list[torch.Tensor]:
        x = self.words(words)
        places = position + torch.arange(words.shape[1])
        depth = self.shape.width // self.shape.heads
        rates = 10000.0 ** (-torch.arange(0, depth, 2) / depth)
        phase = (places[:, None] * rates).repeat(1, 2)
        if self.places is not None:
            x = x + self.places(places)
        kept: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, (phase.cos(), phase.sin()), list(past[2 * index : 2 * index + 2]))
            kept += [key, value]
        return [self.head(self.norm(x[:, -1:])), *kept]


def decoder(shape: Shape, length: int, past: int) -> Built:
    """A decoder run on `length` words after `past` others."""

    def make() -> tuple[nn.Module, list[torch.Tensor]]:
        cached = [
            torch.randn(1, shape.shared, past, shape.width // shape.heads)
            for _ in range(2 * shape.layers if past else 0)
        ]
        words = torch.randint(0, shape.words, (1, length))
        return Decoder(shape), [words, torch.tensor([past]), *cached]

    names = [f"past_{kind}_{layer}" for layer in range(shape.layers) for kind in ("key", "value")] if past else []
    return to_onnx(make, ["words", "position", *names])


MODELS: dict[str, Callable[[], Built]] = {
    "gpt2_prefill_64": lambda: decoder(GPT2_SMALL, 64, 0),
    "gpt2_decode": lambda: decoder(GPT2_SMALL, 1, 255),
    "llama_110m_prefill_64": lambda: decoder(LLAMA_110M, 64, 0),
    "llama_110m_decode": lambda: decoder(LLAMA_110M, 1, 255),
    "llama_1b_4_layers_decode": lambda: decoder(LLAMA_1B_4_LAYERS, 1, 255),
}
