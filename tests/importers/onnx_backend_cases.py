"""The backend test cases that the onnx package ships, and those of them that are known not to pass.

    python -m tests.importers.onnx_backend_cases [WORKERS] [sampled|listed]

runs all cases (or those of every test run, or those that are listed) and writes the list of failures anew, each with
its reason.
"""

from __future__ import annotations

import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from tests.importers.model_runner import ModelRunner, RunFailure, difference

DATA = Path(onnx.__file__).parent / "backend/test/data"
FOLDERS = ("simple", "pytorch-operator", "pytorch-converted")
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
EXPECTED_FAILURES = Path(__file__).with_name("onnx_backend_expected_failures.txt")


@dataclass(frozen=True)
class Case:
    """A model and what it must make of given inputs.

    Attributes:
      name: in the onnx package.
      model: serialized.
      runs: inputs and outputs; a thing that is no tensor (a sequence, an optional) stays as it is.
      rtol: relative tolerance.
      atol: absolute tolerance; at least 1e-6, as much as sums of f32 in another order differ by.
    """

    name: str
    model: bytes
    runs: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def is_random(self) -> bool:
        """Whether its outputs are what one generator drew: only their types and shapes are told by ONNX."""
        nodes = list(onnx.load_from_string(self.model).graph.node)
        ratio_is_zero = any(node.op_type == "Dropout" for node in nodes) and "zero_ratio" in self.name
        training = any(node.op_type == "Dropout" and len(node.input) == 3 for node in nodes)
        return any(node.op_type in RANDOM for node in nodes) or (training and not ratio_is_zero)

    @property
    def is_sampled(self) -> bool:
        """Whether it is one of the seventh that every test run takes."""
        return zlib.crc32(self.name.encode()) % 7 == 0

    def check(self, runner: ModelRunner) -> None:
        """Compiles, runs and compares.

        Raises:
          AssertionError: a result is wrong.
          RunFailure: there is none.
        """
        for inputs, outputs in self.runs:
            results = runner.run(self.model, inputs)
            assert len(results) == len(outputs)
            for i, (want, got) in enumerate(zip(outputs, results, strict=True)):
                tolerance = np.inf if self.is_random else self.atol
                wrong = _difference(want, got, self.rtol, tolerance)
                assert wrong is None, f"output {i}: {wrong}"


def _difference(want: Any, got: Any, rtol: float, atol: float) -> str | None:
    """How a result differs, which may be a list or None; None if it does not."""
    if want is None or got is None:
        return None if want is got else f"{got}, not {want}"
    if not isinstance(want, list) and np.isinf(atol):
        return None if (got.shape, got.dtype) == (want.shape, want.dtype) else f"{got.dtype}{got.shape}"
    if not isinstance(want, list):
        return "a list" if isinstance(got, list) else difference(np.asarray(want), got, rtol, atol)
    if not isinstance(got, list) or len(got) != len(want):
        return f"{len(got)} elements, not {len(want)}"
    parts = [_difference(a, b, rtol, atol) for a, b in zip(want, got, strict=True)]
    return next((f"element {i}: {part}" for i, part in enumerate(parts) if part), None)


def cases() -> Iterator[Case]:
    """All cases: of single nodes, simple models, and old PyTorch exports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            runs = [([_array(x) for x in inputs], [_array(y) for y in outputs]) for inputs, outputs in case.data_sets]
            yield Case(case.name, case.model.SerializeToString(), runs, case.rtol, max(case.atol, 1e-6))
        for folder in FOLDERS:
            for path in sorted((DATA / folder).glob("*/model.onnx")):
                runs = [
                    (_arrays(data, "input"), _arrays(data, "output"))
                    for data in sorted(path.parent.glob("test_data_set_*"))
                ]
                yield Case(f"{folder}/{path.parent.name}", path.read_bytes(), runs, 1e-3, 1e-5)


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
    lines = EXPECTED_FAILURES.read_text().splitlines()
    pairs = [line.split("#", 1) for line in lines if line and not line.startswith("#")]
    return {name.strip(): reason.strip() for name, reason in pairs}


def _array(value: Any) -> Any:
    """A test's input or output as the runtime takes and gives it: arrays, lists of arrays, None."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    if isinstance(value, list):
        return [np.asarray(_array(x)) for x in value]
    return value if value is None else np.asarray(value)


def _arrays(folder: Path, role: str) -> list[Any]:
    count = len(list(folder.glob(f"{role}_*.pb")))
    return [_read(folder / f"{role}_{i}.pb") for i in range(count)]


def _read(path: Path) -> Any:
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return numpy_helper.to_array(tensor)
    except Exception:  # not a tensor: a sequence or optional
        return path


def _failure(case: Case, runner: ModelRunner) -> str | None:
    """Why the case fails, in one line; None if it passes."""
    try:
        case.check(runner)
    except (RunFailure, AssertionError) as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith("not supported:")]
        return re.sub(r"0x[0-9a-f]+|@\S+|loc\(.*?\): ", "", " ".join(lines[0].split()))[:160]
    return None


def write_expected_failures(workers: int, which: str) -> None:
    """Runs the cases in child processes and rewrites the list; lines of cases that were not run stay."""
    known = expected_failures()
    picks: dict[str, Callable[[Case], bool]] = {
        "all": lambda case: True,
        "sampled": lambda case: case.is_sampled,
        "listed": lambda case: case.name in listed,
    }
    listed = set(known)
    chosen = [case for case in cases() if picks[which](case)]
    runners = [ModelRunner(timeout=60.0) for _ in range(workers)]

    def run(number: int) -> dict[str, str | None]:
        return {case.name: _failure(case, runners[number]) for case in chosen[number::workers]}

    with ThreadPoolExecutor(workers) as pool:
        for results in pool.map(run, range(workers)):
            for name, reason in results.items():
                known.pop(name, None)
                if reason is not None:
                    known[name] = reason
    for runner in runners:
        runner.close()
    head = "# Cases that do not pass, and why: name  # reason. Written by python -m tests.importers.onnx_backend_cases"
    EXPECTED_FAILURES.write_text("\n".join([head, *(f"{name}  # {known[name]}" for name in sorted(known)), ""]))
    failed = sum(case.name in known for case in chosen)
    sys.stdout.write(f"{len(chosen) - failed} of {len(chosen)} pass, {len(known)} are listed\n")


if __name__ == "__main__":
    write_expected_failures(int((sys.argv[1:] or ["2"])[0]), (sys.argv[2:] or ["all"])[0])
