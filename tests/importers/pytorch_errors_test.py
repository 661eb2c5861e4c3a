"""Models that PyTorch cannot trace, and what the user is told: where, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage

torch = pytest.importorskip("torch", reason="needs the extra [torch]")

X = torch.ones(2, 3)


def failure(model: Any, inputs: Any = (X,), dynamic_shapes: Any = None) -> str:
    """The text of the error."""
    with pytest.raises((mlirage.ImportFailure, mlirage.UsageError)) as caught:
        mlirage.compile(model, inputs, dynamic_shapes=dynamic_shapes)
    return str(caught.value)


def branches(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


def counts(x: Any) -> Any:
    return x * int(x.sum().item())


def leaves(x: Any) -> Any:
    return torch.from_numpy(x.numpy() * 2)


@pytest.mark.parametrize(
    ("model", "line", "advice"),
    [
        (branches, "if x.sum() > 0", "torch.cond"),
        (counts, "int(x.sum().item())", "torch._check"),
        (leaves, "x.numpy() * 2", "numpy's arrays cannot be traced"),
    ],
)
def test_place_and_advice(model: Callable[[Any], Any], line: str, advice: str) -> None:
    text = failure(model)
    assert Path(__file__).name in text
    assert line in text
    assert advice in text
    assert "TORCH_LOGS" not in text


@pytest.mark.parametrize("shapes", [{"z": {0: "n"}}, ({1: torch.export.Dim("n")},), ({4: torch.export.Dim("n")},)])
def test_dynamic_shapes_that_do_not_fit(shapes: Any) -> None:
    assert "dynamic_shapes must fit the model" in failure(torch.nn.Linear(3, 4), dynamic_shapes=shapes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (X.to_sparse(), "example input [0] is a tensor of layout torch.sparse_coo: give x.to_dense()"),
        (np.ones((2, 3), np.float32), "example input [0] is an array of numpy"),
    ],
)
def test_inputs_of_other_kinds(value: Any, message: str) -> None:
    assert message in failure(torch.nn.ReLU(), (value,))


def test_models_of_other_kinds(tmp_path: Path) -> None:
    assert "Linear is a class: make an instance of it" in failure(torch.nn.Linear)
    assert "pytorch_errors_test" not in failure(torch.nn.Linear(5, 4))  # no line of the model's own
    assert "linear.py" in failure(torch.nn.Linear(5, 4))
    for name in ("model.pt", "model.pth"):
        torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / name)
        assert "holds weights, not a program" in failure(tmp_path / name, ())
