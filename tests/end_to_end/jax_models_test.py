"""Train steps of JAX models, donated state and all, against JAX: two by default, every one in jax_models_all.py."""

from __future__ import annotations

import pytest

pytest.importorskip("flax", reason="JAX models need flax, equinox and optax")
pytest.importorskip("equinox", reason="JAX models need flax, equinox and optax")
pytest.importorskip("optax", reason="JAX models need flax, equinox and optax")
from tests.end_to_end.jax_models import compare


@pytest.mark.parametrize("name", ["linen_cnn", "scanned_lstm"])
def test_losses_and_state(name: str) -> None:
    report = compare(name)
    assert report.difference < 1e-5
    assert report.state < 1e-3
