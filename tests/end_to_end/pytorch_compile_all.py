"""torch.compile(backend=mlirage) on twenty nets: inference, other shapes, training with the losses of eager.

pytest tests/end_to_end/pytorch_compile_all.py, ten minutes
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import torch.nn.functional as F
    from torch import nn

    from mlirage.torch_backend import mlirage_backend
    from tests.end_to_end.pytorch_models import Call, UNet

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations
OPTIONS: Any = {"device": "local-sync", "jobs": 1, "opt_level": 1}
Batch = Callable[[int], tuple[Any, ...]]


class Attention(nn.Module):
    """A decoder layer with rotary positions and a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.parts, self.out = nn.RMSNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.parts(self.norm(x)).chunk(3, -1))
        angle = torch.arange(x.shape[1])[:, None] * torch.logspace(0, -2, 4)
        c, s = angle.cos(), angle.sin()
        q, k = (torch.cat([t[..., :4] * c - t[..., 4:] * s, t[..., :4] * s + t[..., 4:] * c], -1) for t in (q, k))
        return x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Graph(nn.Module):
    """Messages along the edges of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(10, 6), nn.GRUCell(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes = x.shape[0]
        edges = torch.stack([torch.arange(nodes), (torch.arange(nodes) * 3 + 1) % nodes])
        sent = self.message(torch.cat([x[edges[0]], x[edges[1]]], 1)).relu()
        return self.update(torch.zeros(nodes, 6).index_add(0, edges[1], sent), x)


class Experts(nn.Module):
    """Two of four experts for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(8, 4), nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, chosen = self.gate(x).softmax(-1).topk(2)
        every = torch.stack([expert(x) for expert in self.experts], 1)
        return (every.gather(1, chosen[..., None].expand(-1, -1, 8)) * weight[..., None]).sum(1)


class Selective(nn.Module):
    """A scan with state that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, u, g = self.into(x).chunk(3, -1)
        a, u = a.sigmoid(), u.tanh()
        state, states = torch.zeros_like(u[:, 0]), []
        for step in range(x.shape[1]):
            state = a[:, step] * state + u[:, step]
            states.append(state)
        return self.out(torch.stack(states, 1) * F.silu(g))


class Tied(nn.Module):
    """An embedding that is also the head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(20, 12), nn.TransformerEncoderLayer(12, 3, 24, 0.0, batch_first=True)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.body(self.words(words)) @ self.words.weight.t()


class Scaled(nn.Module):
    """Standardized weights, and norms of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 8, 3), nn.InstanceNorm2d(8, affine=True)
        self.linear = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.conv.weight
        weight = (weight - weight.mean((1, 2, 3), True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-3)
        return self.linear(F.elu(self.norm(F.conv2d(x, weight, self.conv.bias))).amax((2, 3)))


def _image(channels: int, size: int) -> Batch:
    return lambda n: (torch.randn(n, channels, size, size),)


def _rows(*shape: int) -> Batch:
    return lambda n: (torch.randn(n, *shape),)


def _words(length: int) -> Batch:
    return lambda n: (torch.randint(0, 20, (n, length)),)


def _first(model: nn.Module) -> nn.Module:
    return Call(model, lambda m, x: m(x)[0])


NETS: dict[str, tuple[Callable[[], nn.Module], Batch]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(7, 16), nn.GELU(), nn.Linear(16, 3)), _rows(7)),
    "batch-norm": (lambda: nn.Sequential(nn.Linear(7, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Linear(16, 3)), _rows(7)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.Flatten(),
            nn.Linear(100, 5),
        ),
        _image(3, 16),
    ),
    "depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 5, 2, 2, groups=8), nn.Hardswish(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        _image(4, 11),
    ),
    "residual": (
        lambda: Call(nn.Conv1d(5, 5, 3, padding=1), lambda m, x: F.relu(x + m(F.relu(m(x))))), _rows(5, 9),
    ),
    "auto-encoder": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, 2, 1), nn.LeakyReLU(), nn.ConvTranspose2d(6, 2, 3, 2, 1, output_padding=1), nn.Sigmoid()
        ),
        _image(2, 12),
    ),
    "unet": (lambda: UNet(4), _image(3, 16)),
    "group-norm": (lambda: nn.Sequential(nn.GroupNorm(2, 6), nn.PReLU(6), nn.AvgPool2d(3, 2)), _image(6, 9)),
    "layer-norm": (lambda: nn.Sequential(nn.LayerNorm(9), nn.Linear(9, 9), nn.Softplus()), _rows(4, 9)),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True), _rows(6, 16),
    ),
    "attention": (Attention, _rows(7, 16)),
    "lstm": (lambda: _first(nn.LSTM(5, 6, 2, batch_first=True, bidirectional=True)), _rows(4, 5)),
    "gru": (lambda: _first(nn.GRU(5, 6, batch_first=True)), _rows(4, 5)),
    "graph": (Graph, _rows(5)),
    "experts": (Experts, _rows(8)),
    "selective": (Selective, _rows(5, 6)),
    "tied": (Tied, _words(6)),
    "bag": (lambda: nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(40, 4), nn.Tanh()), _words(5)),
    "scaled": (Scaled, _image(4, 8)),
    "spectrum": (
        lambda: Call(nn.Linear(9, 4), lambda m, x: m(torch.fft.rfft(x).abs().log1p())), _rows(16),
    ),
}  # fmt: skip


def _compiled(net: nn.Module, dynamic: bool | None = None) -> Any:
    torch._dynamo.reset()
    return torch.compile(net, backend=mlirage_backend, options=OPTIONS, dynamic=dynamic)


@pytest.mark.parametrize("name", NETS)
def test_inference(name: str) -> None:
    torch.manual_seed(0)
    make, batch = NETS[name]
    net = make().eval()
    compiled = _compiled(net, dynamic=True)
    with torch.no_grad():
        for rows in (4, 6, 3):
            inputs = batch(rows)
            torch.testing.assert_close(compiled(*inputs), net(*inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_training(name: str) -> None:
    """Five steps of Adam: the losses are eager's."""
    torch.manual_seed(0)
    make, batch = NETS[name]
    net = make().train()
    twin = copy.deepcopy(net)
    compiled = _compiled(net)
    inputs = batch(4)
    losses: list[list[float]] = []
    for model, parameters in ((compiled, net.parameters()), (twin, twin.parameters())):
        optimizer = torch.optim.Adam(parameters, 0.01)
        losses.append([])
        for _ in range(5):
            loss = (model(*inputs) - 0.3).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(float(loss))
    assert losses[0] == pytest.approx(losses[1], rel=2e-4, abs=1e-6)
    assert losses[1][-1] < losses[1][0]


def test_graph_breaks() -> None:
    """Python that looks at data splits the graph; each part is compiled."""

    def function(x: torch.Tensor) -> torch.Tensor:
        y = (x * 2).sin()
        if float(y.sum()) > 0:
            return y.cumsum(0)
        return y @ y.t()

    compiled = _compiled(function)  # pyright: ignore[reportArgumentType]
    for x in (torch.ones(3, 3) * 0.4, -torch.ones(3, 3) * 0.4):
        torch.testing.assert_close(compiled(x), function(x), rtol=1e-5, atol=1e-5)


def test_open_extents() -> None:
    """With dynamic=True one graph takes all sizes from 2 on."""
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    graphs: list[Any] = []

    def counting(graph: Any, inputs: Any, **settings: Any) -> Any:
        graphs.append(graph)
        return mlirage_backend(graph, inputs, options=OPTIONS)

    torch._dynamo.reset()
    compiled = torch.compile(net, backend=counting, dynamic=True)
    with torch.no_grad():
        for rows in (2, 3, 7, 16, 17, 64, 127):
            x = torch.randn(rows, 5)
            torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-5)
    assert len(graphs) == 1
