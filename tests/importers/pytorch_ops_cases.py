"""PyTorch's own samples of its operators (`OpInfo`), and those of them that are known not to pass.

    python -m tests.importers.pytorch_ops_cases [WORKERS] [sampled|listed|all] [WORD]

runs all operators (or those of every test run, or those that are listed, or those with WORD in their names) and writes
the list of failures anew, each with its reason. Two samples of each operator are run, in float32 or the first type that
it takes.
"""

from __future__ import annotations

import itertools
import re
import sys
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.importers.model_runner import ModelRunner, RunFailure

EXPECTED_FAILURES = Path(__file__).with_name("pytorch_ops_expected_failures.txt")
_DTYPES = ("float32", "int64", "complex64", "bool")
_TOLERANCES = {"float16": (5e-3, 2e-3), "bfloat16": (2e-2, 2e-2), "float64": (1e-6, 1e-9), "complex64": (2e-4, 1e-4)}
# Results that are not determined: of random numbers, of memory, of factorizations with a free sign.
_RANDOM = re.compile(
    r"rand|bernoulli|multinomial|normal$|normal\.|uniform|dropout|exponential|empty|geometric|cauchy|log_normal|rrelu|"
    r"fractional_max_pool|jiterator|pca_lowrank|svd_lowrank|resize|to_sparse|sparse|jvp|vjp|_efficient_attention|"
    r"scaled_dot_product_attention_dropout|poisson|gumbel"
)


def _spectrum(results: Any) -> Any:
    """Of eigenvalues in any order, and vectors of any phase: what does not depend on those."""
    import torch

    values, *vectors = results if isinstance(results, tuple | list) else (results,)
    powers = [(values**k).sum(-1) for k in (1, 2, 3)]
    if not vectors:
        return powers
    (vectors,) = vectors
    return [*powers, vectors @ torch.diag_embed(values).to(vectors.dtype) @ torch.linalg.inv(vectors)]


# Operators with results that are compared by a function of them.
_FREE = {"linalg.eig": _spectrum, "linalg.eigvals": _spectrum, "linalg.eigh": _spectrum}


# Operators whose results in f32 lose so many digits in PyTorch that f64 says what is right.
_IN_DOUBLE = frozenset(("matrix_exp",))


@dataclass(frozen=True)
class Case:
    """An operator with a type: `nn.functional.relu/float32`."""

    name: str

    @property
    def is_sampled(self) -> bool:
        """Whether it is one of those that every test run takes: a twentieth."""
        return zlib.crc32(self.name.encode()) % 20 == 0

    def check(self, runner: ModelRunner) -> None:
        """Compiles, runs and compares.

        Raises:
          RunFailure: it fails, or a result is wrong.
        """
        runner.run(self.name, [])


def operator_infos() -> dict[str, Any]:
    """PyTorch's descriptions by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return {info.name + (f".{info.variant_test_name}" if info.variant_test_name else ""): info for info in op_db}


def cases() -> Iterator[Case]:
    """A case per operator whose results are determined, and type."""
    for name, info in sorted(operator_infos().items()):
        if _RANDOM.search(name) or not info.dtypes:
            continue
        names = {str(dtype).removeprefix("torch.") for dtype in info.dtypes}
        for dtype in [dtype for dtype in _DTYPES if dtype in names][:1]:
            yield Case(f"{name}/{dtype}")


def check_in_child(name: str, _: Any) -> list[Any]:
    """What the runner's child does with a case: every sample through mlirage equals PyTorch.

    Raises:
      AssertionError: it does not.
    """
    import torch
    from torch.utils import _pytree as pytree

    import mlirage

    warnings.simplefilter("ignore")
    operator, _, dtype_name = name.rpartition("/")
    info = _infos()[operator]
    torch.manual_seed(0)
    samples = list(itertools.islice(info.sample_inputs("cpu", getattr(torch, dtype_name)), 12))
    # The first sample and one from further on: later ones exercise the options.
    chosen = [samples[0], *samples[len(samples) // 2 :][:1]] if len(samples) > 1 else samples
    for sample in chosen:
        leaves, spec = pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        inputs = tuple(leaves[i].detach().contiguous() for i in places)
        module = call_module(info.op, leaves, spec, places)
        wanted = module(*(x.clone() for x in inputs))
        if operator in _IN_DOUBLE:
            wanted = pytree.tree_map(lambda y, x: y.to(x.dtype), module(*(x.double() for x in inputs)), wanted)
        compiled = mlirage.compile(module, inputs, jobs=1, cache_dir="off", opt_level=1)
        got = mlirage.load(compiled, device="local-sync")(*inputs)
        if operator in _FREE:
            wanted, got = _FREE[operator](wanted), _FREE[operator](got)
        flat_wanted, flat_got = pytree.tree_leaves(wanted), pytree.tree_leaves(got)
        flat_wanted = [x for x in flat_wanted if x is not None]
        assert len(flat_got) == len(flat_wanted), f"{len(flat_got)} results, not {len(flat_wanted)}"
        for have, want in zip(flat_got, flat_wanted, strict=True):
            _compare(have, want)
    return []


_cache: dict[str, Any] = {}


def _infos() -> dict[str, Any]:
    if not _cache:
        _cache.update(operator_infos())
    return _cache


def _compare(have: Any, want: Any) -> None:
    import torch

    if not isinstance(want, torch.Tensor):  # a number
        assert float(have) == pytest.approx(float(want), rel=1e-5, nan_ok=True)
        return
    have = torch.as_tensor(have)
    assert tuple(have.shape) == tuple(want.shape), f"shape {tuple(have.shape)}, not {tuple(want.shape)}"
    assert have.dtype == want.dtype, f"type {have.dtype}, not {want.dtype}"
    relative, absolute = _TOLERANCES.get(str(want.dtype).removeprefix("torch."), (1e-4, 2e-5))
    want, have = want.detach().resolve_conj().resolve_neg(), have.detach()
    if want.dtype.is_floating_point or want.dtype.is_complex:
        close = torch.isclose(have, want, rtol=relative, atol=absolute, equal_nan=True)
        assert bool(close.all()), f"largest difference {float((have - want).abs().nan_to_num().max())}"
    else:
        wrong = int((have != want).sum())
        assert not wrong, f"{wrong} of {want.numel()} elements differ"


def call_module(function: Any, leaves: list[Any], spec: Any, places: list[int]) -> Any:
    """A module that calls a function with its tensors."""
    import torch
    from torch.utils import _pytree as pytree

    class Call(torch.nn.Module):
        def forward(self, *tensors: Any) -> Any:
            values = list(leaves)
            for place, tensor in zip(places, tensors, strict=True):
                values[place] = tensor
            args, kwargs = pytree.tree_unflatten(values, spec)
            return function(*args, **kwargs)

    return Call()


def parameters(sampled_only: bool) -> list[Any]:
    """Pytest parameters; known failures are strict xfails."""
    reasons = expected_failures()
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.xfail(reason=reasons[case.name], strict=True)] if case.name in reasons else [],
        )
        for case in cases()
        if case.is_sampled or not sampled_only
    ]


def expected_failures() -> dict[str, str]:
    """Reason by case name: lines `name  # reason`."""
    lines = EXPECTED_FAILURES.read_text().splitlines() if EXPECTED_FAILURES.exists() else []
    pairs = [line.split("#", 1) for line in lines if line and not line.startswith("#")]
    return {name.strip(): reason.strip() for name, reason in pairs}


def new_runner(timeout: float = 120.0) -> ModelRunner:
    """A child that runs cases."""
    return ModelRunner("tests.importers.pytorch_ops_cases:check_in_child", timeout)


def _failure(case: Case, runner: ModelRunner) -> str | None:
    """Why the case fails, in one line; None if it passes."""
    try:
        case.check(runner)
    except RunFailure as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith("not supported:")]
        return re.sub(r"0x[0-9a-f]+|@\S+|loc\(.*?\): ", "", " ".join(lines[0].split()))[:200]
    return None


def write_expected_failures(workers: int, which: str, word: str) -> None:
    """Runs the cases in child processes and rewrites the list; lines of cases that were not run stay."""
    known = expected_failures()
    listed = set(known)
    chosen = [
        case
        for case in cases()
        if word in case.name and (which == "all" or (case.is_sampled if which == "sampled" else case.name in listed))
    ]
    runners = [new_runner(90.0) for _ in range(workers)]

    def run(number: int) -> dict[str, str | None]:
        results: dict[str, str | None] = {}
        for case in chosen[number::workers]:
            results[case.name] = _failure(case, runners[number])
            sys.stdout.write(f"{case.name}: {results[case.name] or 'ok'}\n")
            sys.stdout.flush()
        return results

    with ThreadPoolExecutor(workers) as pool:
        for results in pool.map(run, range(workers)):
            for name, reason in results.items():
                known.pop(name, None)
                if reason is not None:
                    known[name] = reason
    for runner in runners:
        runner.close()
    head = "# What does not pass, and why: name  # reason. Written by python -m tests.importers.pytorch_ops_cases"
    EXPECTED_FAILURES.write_text("\n".join([head, *(f"{name}  # {known[name]}" for name in sorted(known)), ""]))
    failed = sum(case.name in known for case in chosen)
    sys.stdout.write(f"{len(chosen) - failed} of {len(chosen)} pass, {len(known)} are listed\n")


if __name__ == "__main__":
    write_expected_failures(int((sys.argv[1:] or ["1"])[0]), (sys.argv[2:] or ["all"])[0], "".join(sys.argv[3:4]))
