"""Functions that JAX cannot trace, and what the user is told: where, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlirage

jax = pytest.importorskip("jax", reason="needs the extra [jax]")

X = np.ones((2, 3), np.float32)


def failure(model: Any, inputs: Any = (X,), dynamic_shapes: Any = None) -> str:
    """The text of the error."""
    with pytest.raises((mlirage.ImportFailure, mlirage.UsageError)) as caught:
        mlirage.compile(model, inputs, dynamic_shapes=dynamic_shapes)
    return str(caught.value)


def branches(x: Any) -> Any:
    return x if x.sum() > 0 else -x


def masks(x: Any) -> Any:
    return x[x > 0]


def leaves(x: Any) -> Any:
    return np.sin(np.asarray(x))


@pytest.mark.parametrize(
    ("function", "line", "advice"),
    [
        (branches, "if x.sum() > 0", "lax.cond"),
        (masks, "x[x > 0]", "size= of jnp.nonzero"),
        (leaves, "np.asarray(x)", "use those of jax.numpy"),
    ],
)
def test_place_and_advice(function: Callable[[Any], Any], line: str, advice: str) -> None:
    text = failure(jax.jit(function))
    assert Path(__file__).name in text
    assert line in text
    assert advice in text
    assert "docs.jax.dev" not in text


def test_callbacks() -> None:
    def prints(x: Any) -> Any:
        jax.debug.print("{}", x)
        return x

    assert "callbacks into Python" in failure(jax.jit(prints))


def test_jit_names_the_line() -> None:
    with pytest.raises(mlirage.ImportFailure, match=r"jax_errors_test\.py:\d+: return x if x\.sum\(\) > 0"):
        mlirage.jit(branches)(X)


def test_dynamic_shapes_that_do_not_fit() -> None:
    assert "dynamic_shapes do not fit the example inputs" in failure(jax.jit(jax.numpy.sin), dynamic_shapes=("b, 4",))


def test_damaged_files(tmp_path: Path) -> None:
    data = jax.export.export(jax.jit(jax.numpy.sin))(X).serialize()
    path = tmp_path / "m.jax"
    for length in (0, 4, len(data) // 2):
        path.write_bytes(data[:length])
        assert f"{path}: no serialized jax.export.Exported, or cut short ({length} bytes)" in failure(path, ())
