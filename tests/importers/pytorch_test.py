"""PyTorch programs: sources, arguments and results, state, control flow, sizes that vary, messages."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlirage
from mlirage.module_file import ModuleFile

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


def _load(source: Any, *arguments: Any, **keywords: Any) -> Any:
    return mlirage.load(mlirage.compile(source, *arguments, jobs=1, opt_level=1, **keywords), device="local-sync")


def _close(have: Any, want: Any, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(have, want, rtol=tolerance, atol=tolerance)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def test_module_program_file_and_function(tmp_path: Path) -> None:
    net, x = Net().eval(), torch.randn(5, 4)
    exported = torch.export.export(net, (x,))
    torch.export.save(exported, tmp_path / "net.pt2")

    def double(x: torch.Tensor) -> torch.Tensor:
        return net(x) * 2

    want = net(x).detach()
    for source, arguments in ((net, ((x,),)), (exported, ()), (tmp_path / "net.pt2", ())):
        _close(_load(source, *arguments)(x), want)
    _close(_load(double, (x,))(x), want * 2)


def test_nested_arguments_and_results() -> None:
    class Nested(nn.Module):
        def forward(self, pair: Any, scale: int, *, names: Any = None, mask: Any = None) -> Any:
            total = pair[0] * scale + names["a"]
            return {"sum": total, "parts": [pair[1], None, 7]}, total.shape[0]

    x, y = torch.randn(2, 3), torch.randn(3)
    run = _load(Nested(), ((x, y), 3), {"names": {"a": y}})
    result, count = run((x, y), 3, names={"a": y})
    _close(result["sum"], x * 3 + y)
    assert count == 2
    assert result["parts"][1:] == [None, 7]
    with pytest.raises(mlirage.UsageError, match="compiled for 3"):
        run((x, y), 4, names={"a": y})


def test_entry_points_share_weights_and_state() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(40, 40))
            self.register_buffer("steps", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.steps.add_(1)
            return x @ self.table

        def count(self, x: torch.Tensor) -> torch.Tensor:
            return self.steps + x @ self.table.sum(0)[:1] * 0

    model, x, y = Counter(), torch.randn(3, 40), torch.zeros(1)
    compiled = mlirage.compile({"step": (model, (x,)), "count": (model.count, (y,))}, jobs=1, opt_level=1)
    run = mlirage.load(compiled, device="local-sync")
    (slab,) = (entry for entry in ModuleFile.decode(compiled).rodata if entry.name == "__constants")
    assert slab.size < 2 * model.table.numel() * 4  # once, rows filled up to whole registers
    for _ in range(3):
        _close(run.step(x), x @ model.table.detach(), 1e-4)
    _close(run.count(y), torch.tensor([3.0]))


def test_arguments_that_change() -> None:
    class Changes(nn.Module):
        def forward(self, x: torch.Tensor, cache: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            cache.index_copy_(0, at, x)
            return cache.sum(0)

    x, at = torch.randn(1, 4), torch.tensor([2])
    mine, theirs = torch.zeros(5, 4), torch.zeros(5, 4)
    run = _load(Changes(), (x, mine.clone(), at))
    _close(run(x, mine, at), Changes()(x, theirs, at))
    _close(mine, theirs)


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x * 2, (x,))


class Loop(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch._higher_order_ops import while_loop

        return while_loop(lambda i, x: i < 5, lambda i, x: (i + 1, x * 2), (torch.tensor(0), x))[1]


class Masks(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return x[x > 0], torch.nonzero(x > 1), torch.masked_select(x, x < 0) * 2


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.fft.rfft(x).abs(), torch.fft.ifft(torch.fft.fft(x)).real


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return torch.sort(x, -1), torch.topk(x, 2), torch.unique(x.round(), return_counts=True), x.cumsum(-1)


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        y = x.clone()
        y[:, 1:3] = 5
        y[y < 0] = 0
        y.index_add_(0, torch.tensor([0, 0]), x[:2])
        return y, torch.zeros(4, 6).scatter_reduce(1, (x > 0).long()[:4], x[:4], "amax", include_self=False)


@pytest.mark.parametrize("module", [Branch, Loop, Masks, Spectrum, Sorted, Writes])
def test_programs(module: Callable[[], nn.Module]) -> None:
    torch.manual_seed(3)
    x = torch.randn(4, 6)
    run = _load(module(), (x,))
    for value in (x, -x, torch.randn(4, 6)):
        _close(run(value), module()(value), 1e-4)


def test_arguments_that_only_promise() -> None:
    """`output_size` says what is known anyway, `sparse_grad` is about training."""

    def program(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        twice = torch.repeat_interleave(x, 2, 1, output_size=6)
        return torch.gather(twice, 1, places, sparse_grad=True)

    x, places = torch.randn(2, 3), torch.tensor([[5, 0, 2], [1, 1, 3]])
    _close(_load(program, (x, places))(x, places), program(x, places))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.uint8, torch.bool])
def test_types(dtype: torch.dtype) -> None:
    class Types(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            y = x.to(torch.float32) * 0.5 + 1
            return x, y.to(dtype), (x == x).sum()

    x = (torch.randn(3, 5) * 4).abs().to(dtype)
    run = _load(Types(), (x,))
    _close(run(x), Types()(x), 1e-2 if dtype in (torch.float16, torch.bfloat16) else 1e-5)


def test_extents_that_vary() -> None:
    batch = torch.export.Dim("batch", max=64)
    run = _load(Net().eval(), (torch.randn(3, 4),), dynamic_shapes={"x": {0: batch}})
    for rows in (0, 1, 2, 3, 7, 16, 17, 64):
        x = torch.randn(rows, 4)
        _close(run(x), Net().eval()(x).detach())
    with pytest.raises(mlirage.DeviceError, match="at most 64"):
        run(torch.randn(65, 4))


def test_random_numbers_are_new_every_time() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x + torch.rand(1000), torch.randn(1000), torch.randint(0, 5, (1000,))

    run = _load(Noise(), (torch.zeros(1000),))
    (first, normal, integers), (second, *_) = run(torch.zeros(1000)), run(torch.zeros(1000))
    assert not torch.equal(first, second)
    assert 0 <= float(first.min()) < float(first.max()) < 1
    assert abs(float(first.mean()) - 0.5) < 0.05
    assert abs(float(normal.mean())) < 0.15
    assert abs(float(normal.std()) - 1) < 0.1
    assert integers.unique().tolist() == [0, 1, 2, 3, 4]


def test_messages_name_all_operators_and_where_they_are() -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return torch.linalg.ldl_factor_ex(x)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x), torch.hash_tensor(x)

    with pytest.raises(mlirage.ImportFailure) as caught:
        mlirage.compile(Outer(), (torch.randn(3, 3),))
    text = str(caught.value)
    assert "'inner/" in text
    assert "linalg_ldl_factor_ex" in text
    assert "hash_tensor" in text
    assert "float32[3, 3]" in text


def test_usage() -> None:
    with pytest.raises(mlirage.UsageError, match="example inputs"):
        mlirage.compile(Net())
    with pytest.raises(mlirage.ImportFailure, match=r"torch\.export"):
        mlirage.compile(Net(), (torch.randn(5, 7),))
    with pytest.raises(mlirage.UsageError, match="entry point"):
        mlirage.compile({"a": (Net(), 3)})
