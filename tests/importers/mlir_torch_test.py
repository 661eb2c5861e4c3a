"""A sample of the cases of the torch dialect as text; `make test-all` runs all of them (mlir_torch_all.py)."""

from __future__ import annotations

from tests.importers.mlir_torch_cases import EXPECTED_FAILURES, failures

# Weights that are resources, types without ops, narrow sums, scans, sorts, state of a recurrent net, open extents.
_NAMES = ("mlp", "mode-train-dropout", "sum-bf16", "cumsum", "topk", "index_put-add", "lstm", "cnn:dynamic")


def test_sample() -> None:
    assert failures(_NAMES) == {}


def test_a_lowering_that_ends_its_process_is_an_error() -> None:
    assert EXPECTED_FAILURES["u8-wrap"] in failures(["u8-wrap"])["u8-wrap"]
