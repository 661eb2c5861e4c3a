"""The backend cases of single nodes in every older form of their operators, beside ONNX Runtime.

    python -m tests.importers.onnx_old_versions [PART OF]

A case is written down once more for each version of its operator from 7 on whose schema differs: inputs that were
attributes then become attributes with the values of the case, attributes that were not there are left out. ONNX Runtime
says what that model gives; forms that it refuses, too, are no cases.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper

from tests.importers.model_runner import ModelRunner, RunFailure, difference
from tests.importers.onnx_backend_cases import Case
from tests.importers.onnx_backend_cases import cases as backend_cases

OLDEST = 7
_PER_FORM = 2  # cases of each operator, version, and set of attributes
# Where ONNX Runtime gives something else than the case says in its newest form, too; by name.
DIFFERENT = {
    "test_dropout_default_mask": "the mask of a Dropout that drops nothing is false everywhere there",
    "test_dropout_default_mask_ratio": "the mask of a Dropout that drops nothing is false everywhere there",
    "test_maxunpool_export_with_output_shape": "places count in the input's shape there, not in the output's",
    "test_resize_downsample_scales_linear_align_corners": "the resized length is a whole number there",
}


@dataclass(frozen=True)
class OldCase:
    """A case in an older form."""

    name: str
    model: bytes
    inputs: list[Any]
    wanted: list[Any]
    rtol: float
    atol: float

    def check(self, runner: ModelRunner) -> None:
        """Compiles, runs and compares.

        Raises:
          AssertionError: a result is wrong.
          RunFailure: there is none.
        """
        results = runner.run(self.model, self.inputs)
        assert len(results) == len(self.wanted)
        for i, (want, result) in enumerate(zip(self.wanted, results, strict=True)):
            got = np.asarray(result)
            if want.dtype == np.uint8 and got.dtype.name.startswith("float8"):  # which it has no type for
                want = want.view(got.dtype)
            size = float(np.abs(want).max()) if want.dtype.kind in "fc" and want.size else 0.0
            size = size if np.isfinite(size) else 0.0
            wrong = difference(want, got, max(self.rtol, 1e-4), max(self.atol, 1e-5, 2e-5 * size))
            assert wrong is None, f"output {i}: {wrong}"


@functools.cache
def _schemas() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema)
    return {name: sorted(schemas, key=lambda s: s.since_version) for name, schemas in found.items()}


def _versions(name: str, newest: int) -> list[Any]:
    """The schemas that were in force from opset `OLDEST` on, without the one of the case."""
    schemas = [s for s in _schemas().get(name, []) if s.since_version <= newest]
    first = max((i for i, s in enumerate(schemas) if s.since_version <= OLDEST), default=0)
    return [s for s in schemas[first:-1] if not s.deprecated]


def _in_form(case: Case, schema: Any) -> tuple[bytes, list[Any]] | None:
    """The case's model and inputs in the form of an older schema."""
    model = onnx.load_from_string(case.model)
    (node,) = model.graph.node
    newest = defs.get_schema(node.op_type, model.opset_import[0].version, "")
    inputs, _ = case.runs[0]
    values = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
    old_names = [parameter.name for parameter in schema.inputs]
    variadic = bool(schema.inputs) and schema.inputs[-1].option == defs.OpSchema.FormalParameterOption.Variadic
    kept: list[str] = []
    for i, name in enumerate(list(node.input)):
        formal = newest.inputs[min(i, len(newest.inputs) - 1)].name
        if i < len(old_names) or variadic:
            kept.append(name)
        elif formal in schema.attributes and name in values:
            value = np.asarray(values.pop(name))
            kind = schema.attributes[formal].type
            single = kind in (defs.OpSchema.AttrType.INT, defs.OpSchema.AttrType.FLOAT)
            if not value.size:
                return None
            node.attribute.append(
                helper.make_attribute(formal, value.reshape(-1)[0].item() if single else value.reshape(-1).tolist())
            )
        elif name:
            return None
    formals = [parameter.name for parameter in newest.inputs]
    if any(formals[i] in schema.attributes for i in range(min(len(kept), len(formals), len(old_names)))):
        return None  # the same place was something else
    del node.input[:]
    node.input.extend(kept)
    for attribute in list(node.attribute):
        if attribute.name not in schema.attributes:
            node.attribute.remove(attribute)
    if len(node.output) > len(schema.outputs) and not (
        schema.outputs and schema.outputs[-1].option == defs.OpSchema.FormalParameterOption.Variadic
    ):
        return None
    used = [value for value in model.graph.input if value.name in values and value.name in kept]
    del model.graph.input[:]
    model.graph.input.extend(used)
    for output in model.graph.output:
        output.ClearField("type")
    version = max(schema.since_version, OLDEST)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    model.ir_version = min(model.ir_version, 9)
    arrays = [values[value.name] for value in used]
    if not all(isinstance(x, np.ndarray) or np.isscalar(x) for x in arrays):
        return None
    return model.SerializeToString(), [np.asarray(x) for x in arrays]


def _oracle(data: bytes, inputs: list[Any]) -> list[Any] | None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnx.checker.check_model(onnx.load_from_string(data))
    except onnx.checker.ValidationError as error:
        if "type" not in str(error):  # outputs have none here
            return None
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        results = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception:  # whatever it does not know
        return None
    return results if all(isinstance(x, np.ndarray) for x in results) else None


@functools.cache
def _single_nodes() -> dict[str, list[tuple[Case, int]]]:
    """The backend cases of one node by operator, with their opset."""
    found: dict[str, list[tuple[Case, int]]] = {}
    for case in backend_cases():
        if "/" in case.name or len(case.runs) != 1 or case.is_random:
            continue
        model = onnx.load_from_string(case.model)
        if len(model.graph.node) == 1 and not model.graph.node[0].domain and not model.opset_import[0].domain:
            found.setdefault(model.graph.node[0].op_type, []).append((case, model.opset_import[0].version))
    return found


def cases(operator: str) -> Iterator[OldCase]:
    """The cases of an operator; a few of each form."""
    seen: Counter[Any] = Counter()
    for case, opset in _single_nodes().get(operator, ()):
        for schema in _versions(operator, opset):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = _in_form(case, schema)
            if made is None or case.name in DIFFERENT:
                continue
            node = onnx.load_from_string(made[0]).graph.node[0]
            form = (schema.since_version, tuple(sorted(a.name for a in node.attribute)), len(node.input))
            if seen[form] >= _PER_FORM:
                continue
            wanted = _oracle(*made)
            if wanted is None:
                continue
            seen[form] += 1
            yield OldCase(f"{case.name}-{max(schema.since_version, OLDEST)}", *made, wanted, case.rtol, case.atol)


def operator_names() -> list[str]:
    """The operators with older versions."""
    return sorted(name for name, schemas in _schemas().items() if len(schemas) > 1)


def main(part: int, parts: int) -> None:
    """Runs all cases of every `parts`-th operator and prints those that fail."""
    runner = ModelRunner(timeout=60.0)
    count = failed = 0
    for case in (case for name in operator_names()[part::parts] for case in cases(name)):
        count += 1
        try:
            case.check(runner)
        except (RunFailure, AssertionError) as error:
            failed += 1
            sys.stdout.write(f"{case.name}: {' '.join(str(error).split())[:250]}\n")
            sys.stdout.flush()
    runner.close()
    sys.stdout.write(f"{count - failed} of {count} pass\n")


if __name__ == "__main__":
    main(*(int(n) for n in ([*sys.argv[1:3]] or ["0", "1"])))
