"""PyTorch's operators on every type that they take, on strided memory, and without elements: a module per operator.

    python -m tests.importers.pytorch_types_cases WORD [PART OF]

runs the operators with WORD in their names (or each of so many parts) and prints what fails.
"""

from __future__ import annotations

import itertools
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from tests.importers.model_runner import ModelRunner, RunFailure
from tests.importers.pytorch_ops_cases import (
    _FREE,  # pyright: ignore[reportPrivateUsage]
    _RANDOM,  # pyright: ignore[reportPrivateUsage]
    _compare,  # pyright: ignore[reportPrivateUsage]
    call_module,
    expected_failures,
    operator_infos,
)

EXPECTED_FAILURES = Path(__file__).with_name("pytorch_types_expected_failures.txt")
_TYPES = (
    "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool", "complex64", "complex128",
)  # fmt: skip
# Operators that give places, too.
_TIES = frozenset(("sort", "topk", "kthvalue", "mode", "median", "nanmedian", "cummax", "cummin", "msort"))
_RESIZED = re.compile("interpolate|upsample")
_infos: dict[str, Any] = {}


def names() -> list[str]:
    """The operators whose results are determined, and that work on f32."""
    broken = {name.rpartition("/")[0] for name in expected_failures()}
    return [
        name
        for name, info in sorted(operator_infos().items())
        if not _RANDOM.search(name) and info.dtypes and name not in broken
    ]


def known_failures() -> dict[str, str]:
    """Reason by operator: lines `name  # reason`."""
    lines = EXPECTED_FAILURES.read_text().splitlines() if EXPECTED_FAILURES.exists() else []
    pairs = [line.split("#", 1) for line in lines if line and not line.startswith("#")]
    return {name.strip(): reason.strip() for name, reason in pairs}


def _strided(x: Any) -> Any:
    """The same tensor on memory with other strides."""
    import torch

    return torch.stack([x, x], -1)[..., 0] if isinstance(x, torch.Tensor) and x.dim() else x


def _samples(info: Any) -> list[tuple[str, Any, Any]]:
    """What is called: a name for it, the sample, and what makes its tensors."""
    import torch

    found: list[tuple[str, Any, Any]] = []
    available = {str(dtype).removeprefix("torch.") for dtype in info.dtypes}
    for name in _TYPES:
        if name in available:
            torch.manual_seed(0)
            for sample in itertools.islice(info.sample_inputs("cpu", getattr(torch, name)), 1):
                found.append((name, sample, lambda x: x.detach().contiguous()))
    if "float32" in available:
        torch.manual_seed(0)
        samples = list(itertools.islice(info.sample_inputs("cpu", torch.float32), 30))
        found += [("strided", sample, lambda x: _strided(x.detach())) for sample in samples[:1]]
        empty = [s for s in samples if isinstance(s.input, torch.Tensor) and not s.input.numel()]
        found += [("empty", sample, lambda x: x.detach().contiguous()) for sample in empty[:1]]
    return found


def _compare_all(name: str, got: Any, want: Any, inputs: tuple[Any, ...]) -> None:
    from torch.utils import _pytree as pytree

    if name in _FREE:
        got, want = _FREE[name](got), _FREE[name](want)
    elif name == "argsort":  # equal elements have no order; PyTorch's first argument is along the last axis, mostly
        return
    elif name in _TIES:  # which of equal elements is met is not said, only what it is
        got, want = got[0], want[0]
    flat_wanted = [x for x in pytree.tree_leaves(want) if x is not None]
    flat_got = [_as_tensor(x) for x in pytree.tree_leaves(got)]
    assert len(flat_got) == len(flat_wanted), f"{len(flat_got)} results, not {len(flat_wanted)}"
    for have, wish in zip(flat_got, flat_wanted, strict=True):
        if _RESIZED.search(name) and str(wish.dtype) == "torch.uint8":  # PyTorch's weights of bytes have 16 bits
            assert int((have.int() - wish.int()).abs().max()) <= 1
        else:
            _compare(have, wish)


def _as_tensor(x: Any) -> Any:
    """An array that a function without tensors gives, of a type that PyTorch does not take from numpy."""
    import numpy as np
    import torch

    if isinstance(x, np.ndarray) and x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return x


def _is_nearer(module: Any, inputs: tuple[Any, ...], got: Any, want: Any) -> bool:
    """Whether a result of a 16-bit float is about as near to what f32 gives as eager PyTorch's is, or nearer."""
    import torch
    from torch.utils import _pytree as pytree

    try:
        right = pytree.tree_leaves(module(*(x.float() if x.dtype.is_floating_point else x for x in inputs)))
    except (RuntimeError, ValueError, TypeError, NotImplementedError):
        return False
    for mine, theirs, best in zip(pytree.tree_leaves(got), pytree.tree_leaves(want), right, strict=True):
        if not isinstance(best, torch.Tensor) or not best.dtype.is_floating_point:
            continue
        mine, theirs = (torch.as_tensor(x).float() for x in (mine, theirs))
        finite = torch.isfinite(best) & torch.isfinite(theirs) & torch.isfinite(mine)
        if not bool((torch.isfinite(best) == torch.isfinite(mine))[torch.isfinite(theirs)].all()):
            return False
        scale = best.abs().clamp_min(1.0)[finite]
        allowed = ((theirs - best).abs()[finite] / scale).max().item() if finite.any() else 0.0
        if finite.any() and ((mine - best).abs()[finite] / scale).max().item() > 1.5 * allowed + 1e-3:
            return False
    return True


def check_in_child(name: str, _: Any) -> list[Any]:
    """Every sample of an operator through mlirage equals PyTorch.

    Raises:
      AssertionError: some do not; all are named.
    """
    import torch
    from torch.utils import _pytree as pytree

    import mlirage

    warnings.simplefilter("ignore")
    if not _infos:
        _infos.update(operator_infos())
    info = _infos[name]
    kinds: list[str] = []
    modules: list[Any] = []
    inputs: list[tuple[Any, ...]] = []
    wanted: list[Any] = []
    failed: list[str] = []
    for kind, sample, prepared in _samples(info):
        leaves, spec = pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        given = tuple(prepared(leaves[i]) for i in places)
        module = call_module(info.op, leaves, spec, places)
        try:
            results = module(*(x.clone() for x in given))
        except (RuntimeError, ValueError, TypeError, NotImplementedError):
            continue  # PyTorch itself cannot
        if any(getattr(x, "dtype", None) == torch.complex32 for x in pytree.tree_leaves(results)):
            continue  # which numpy has no word for
        kinds.append(kind), modules.append(module), inputs.append(given), wanted.append(results)

    def run(chosen: list[int]) -> Any:
        class All(torch.nn.Module):
            def forward(self, *groups: Any) -> Any:
                return [modules[i](*group) for i, group in zip(chosen, groups, strict=True)]

        given = tuple(inputs[i] for i in chosen)
        compiled = mlirage.compile(All(), given, jobs=1, cache_dir="off", opt_level=1)
        return mlirage.load(compiled, device="local-sync")(*given)

    try:
        groups = [*zip(range(len(kinds)), run(list(range(len(kinds)))), strict=True)]
    except mlirage.MlirageError:  # one after the other, to know which
        groups = []
        for i, kind in enumerate(kinds):
            try:
                groups.append((i, run([i])[0]))
            except mlirage.MlirageError as error:
                failed.append(f"{kind}: {' '.join(str(error).split())[:150]}")
    for i, got in groups:
        try:
            _compare_all(name, got, wanted[i], inputs[i])
        except AssertionError as error:
            if kinds[i] not in ("float16", "bfloat16") or not _is_nearer(modules[i], inputs[i], got, wanted[i]):
                failed.append(f"{kinds[i]}: {error}")
    assert not failed, " | ".join(failed)
    return []


def new_runner(timeout: float = 180.0) -> ModelRunner:
    """A child that runs cases."""
    return ModelRunner("tests.importers.pytorch_types_cases:check_in_child", timeout)


def main(word: str, part: int, parts: int) -> None:
    """Runs operators and prints how each fares."""
    runner = new_runner()
    for name in [name for name in names() if word in name][part::parts]:
        try:
            runner.run(name, [])
            answer = "ok"
        except RunFailure as error:
            answer = str(error).splitlines()[0][:400]
        sys.stdout.write(f"{name}: {answer}\n")
        sys.stdout.flush()
    runner.close()


if __name__ == "__main__":
    main((sys.argv[1:] or [""])[0], *(int(n) for n in ([*sys.argv[2:4]] or ["0", "1"])))
