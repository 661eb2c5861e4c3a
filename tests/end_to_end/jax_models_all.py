"""Every model of jax_models.py against JAX (`make test-all`)."""

from __future__ import annotations

import pytest

pytest.importorskip("flax", reason="JAX models need flax, equinox and optax")
pytest.importorskip("equinox", reason="JAX models need flax, equinox and optax")
pytest.importorskip("optax", reason="JAX models need flax, equinox and optax")
from tests.end_to_end.jax_models import MODELS, compare


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_state(name: str) -> None:
    report = compare(name)
    in_bf16 = name == "nnx_autoencoder"  # where sums are rounded differently
    assert report.difference < (1e-2 if in_bf16 else 1e-5)
    assert report.state < (2e-2 if in_bf16 else 1e-3)
