"""A representative part of jax_cases.py; `make test-all` runs all of it (jax_functions_all.py)."""

from __future__ import annotations

import pytest

from tests.end_to_end import jax_runner
from tests.importers.model_runner import ModelRunner

pytest.importorskip("jax", reason="needs the extra [jax]")

BATCHES = {
    "numbers": (
        "jnp.log1p jnp.expm1:f64 jnp.sqrt:c64 jnp.arctan2 jnp.remainder jnp.floor_divide:i8 jnp.right_shift:u32 "
        "jnp.power:f16 jnp.maximum:c64 jnp.bitwise:b casts:f32 narrow_casts:f32 special.betainc nn.gelu"
    ),
    "arrays": (
        "jnp.nanmean:axis jnp.nanvar jnp.median jnp.cumprod jnp.histogram jnp.searchsorted jnp.sort:c64 jnp.unique "
        "jnp.take jnp.at:u8 jnp.at:drop jnp.select jnp.pad:reflect jnp.einsum jnp.kaiser jnp.fft:31 jnp.fft.irfft2"
    ),
    "matrices": (
        "linalg.cholesky:f32 linalg.inv:c64 linalg.qr:f64 linalg.eigh:c64 linalg.svd:f32 linalg.singular "
        "linalg.tridiagonal_solve:f32"
    ),
    "random": "random.normal random.permutation random.gamma random.categorical random.rbg random.randint",
}


@pytest.mark.parametrize("batch", BATCHES)
def test_functions(batch: str) -> None:
    runner = ModelRunner(jax_runner.ENTRY, timeout=240)
    try:
        assert jax_runner.failures(BATCHES[batch].split(), runner) == {}
    finally:
        runner.close()
