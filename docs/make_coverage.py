"""Writes the tables of docs/coverage.md from docs/coverage.json.

`python docs/make_coverage.py cases=FILE.xml[,FILE.xml…] models=FILE.jsonl[,…]` first takes over what a run of
`make test-all` said (pytest's JUnit form) and what `tests.end_to_end.framework_models` measured; `--check` only
compares.
"""

from __future__ import annotations

import collections
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from generated_parts import table, write

_PAGE = Path(__file__).with_name("coverage.md")
_FIGURES = Path(__file__).with_name("coverage.json")

# What each module of `make test-all` holds, and what it compares with.
_SUITES = {
    "importers.onnx_backend_all": ("ONNX", "all backend cases of the onnx package", "their expected outputs"),
    "importers.onnx_damaged_all": ("ONNX", "damaged files end in an error", "no crash"),
    "importers.onnx_dtypes_all": ("ONNX", "operators on every element type", "ONNX Runtime, ONNX's evaluator"),
    "importers.onnx_old_versions_all": ("ONNX", "older versions of every operator", "ONNX Runtime"),
    "importers.onnx_microsoft_all": ("ONNX", "operators of com.microsoft", "ONNX Runtime"),
    "importers.onnx_random_all": ("ONNX", "random graphs", "ONNX Runtime"),
    "importers.onnx_dynamic_all": ("ONNX", "models at extents 0 to 127", "ONNX Runtime"),
    "importers.pytorch_ops_all": ("PyTorch", "OpInfo operators in f32", "eager"),
    "importers.pytorch_types_all": ("PyTorch", "OpInfo operators on every type", "eager"),
    "importers.pytorch_special_all": ("PyTorch", "special values and sizes", "eager"),
    "end_to_end.transformers_all": ("PyTorch", "architectures of transformers", "eager"),
    "end_to_end.pytorch_compile_all": ("PyTorch", "torch.compile, inference and training", "eager"),
    "end_to_end.pytorch_dynamic_all": ("PyTorch", "models at extents 0 to 127", "eager"),
    "end_to_end.jax_functions_all": ("JAX", "jax.numpy, lax, linalg, special, nn, random, stats", "JAX"),
    "end_to_end.jax_models_all": ("JAX", "train steps with donated state", "JAX"),
    "end_to_end.jax_dynamic_all": ("JAX", "models at extents 1 to 127", "JAX"),
    "importers.tensorflow_functions_all": ("TensorFlow", "functions on every element type", "TensorFlow"),
    "importers.tensorflow_open_all": ("TensorFlow", "functions of open extents", "TensorFlow"),
    "importers.tensorflow_dynamic_all": ("TensorFlow", "models at extents 0 to 127", "TensorFlow"),
    "importers.keras_layers_all": ("TensorFlow", "layers, optimizers and files of Keras", "Keras"),
    "importers.tflite_ops_all": ("TFLite", "builtin operators, real and integer", "LiteRT's reference kernels"),
    "importers.tflite_models_all": ("TFLite", "networks in seven kinds of quantization", "LiteRT's reference kernels"),
    "importers.stablehlo_ops_all": ("MLIR", "StableHLO, every operation and type", "its interpreter, numpy"),
    "importers.chlo_ops_all": ("MLIR", "CHLO", "numpy and JAX in f64"),
    "importers.tosa_ops_all": ("MLIR", "TOSA 1.0", "the specification's pseudo-code"),
    "importers.linalg_ops_all": ("MLIR", "linalg's named operations", "numpy"),
    "importers.mlir_torch_all": ("MLIR", "torch dialect as text", "eager"),
    "importers.mlir_ops_all": ("MLIR", "operations of the other dialects", "numpy"),
    "importers.guarded_memory_all": ("MLIR", "memory beside the arrays is not touched", "guard pages"),
}
_FRAMEWORKS = {"pytorch": "PyTorch", "jax": "JAX", "keras": "Keras", "tflite": "TFLite"}


def _cases(files: list[str]) -> dict[str, Any]:
    """What ran of each module and what did not pass: expected failures with their reasons, and others.

    A test that runs many cases says how many by the property `cases`, and each that fails by a property `fails`
    of the form `name: reason`. `counted` in the figures, by reason, are failures of runs that kept no names.
    """
    tests: dict[tuple[str, str], ElementTree.Element] = {}
    for file in files:
        for case in ElementTree.parse(file).iter("testcase"):
            tests[case.get("classname", ""), case.get("name", "")] = case
    found: dict[str, Any] = {}
    for (module, name), case in tests.items():
        suite = found.setdefault(module.removeprefix("tests."), {"cases": 0, "fails": {}})
        said = [(item.get("name"), item.get("value", "")) for item in case.iter("property")]
        suite["cases"] += sum(int(value) for key, value in said if key == "cases") or 1
        suite["fails"] |= dict(value.split(": ", 1) for key, value in said if key == "fails")
        problem = next((item for kind in ("skipped", "failure", "error") for item in case.iter(kind)), None)
        if problem is not None:
            suite["fails"][name] = (problem.get("message") or "fails").strip().splitlines()[0][:200]
    return {module: found[module] for module in _SUITES if module in found}


def _models(files: list[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for file in files for line in Path(file).read_text().splitlines()]
    last = {(line["framework"], line["model"]): line for line in lines}
    kept = ("framework", "model", "failed")
    return [
        {key: value if key in kept else float(f"{value:.3g}") for key, value in line.items()} for line in last.values()
    ]


def _suite_table(suites: dict[str, Any]) -> str:
    rows: list[list[str]] = []
    for module, (framework, what, oracle) in _SUITES.items():
        if module in suites:
            cases, fails = suites[module]["cases"], len(suites[module]["fails"])
            fails += sum(suites[module].get("counted", {}).values())
            path = f"`{module.split('.')[1]}`"
            rows.append([framework, what, oracle, str(cases - fails), str(cases), path])
    return table(["", "cases", "compared with", "pass", "of", "module"], rows)


def _failures(suites: dict[str, Any]) -> str:
    """What does not pass, by reason."""
    parts: list[str] = []
    for module, (framework, what, _) in _SUITES.items():
        reasons: dict[str, list[str]] = collections.defaultdict(list)
        for name, reason in suites.get(module, {"fails": {}})["fails"].items():
            reasons[reason].append(re.sub(r"^test_\w+\[(.*)\]$", r"\1", name))
        counted = suites.get(module, {}).get("counted", {})
        if reasons or counted:
            lines = [
                f"* {reason.rstrip('.').replace('|', '/')}: "
                + (", ".join(f"`{name}`" for name in names) if len(names) < 7 else f"{len(names)} cases")
                for reason, names in reasons.items()
            ]
            lines += [f"* {reason}: {count} cases" for reason, count in counted.items()]
            parts.append(f"**{framework}: {what}**\n\n" + "\n".join(lines))
    return "\n\n".join(parts) or "Nothing."


def _model_table(models: list[dict[str, Any]]) -> str:
    rows: list[list[str]] = []
    for line in models:
        row = [_FRAMEWORKS[line["framework"]], line["model"].replace("_", " ")]
        if "failed" in line:
            rows.append([*row, f"fails: {line['failed']}", "", "", ""])
            continue
        double = f"{line['error_f64']:.0e} (framework {line['framework_error_f64']:.0e})" if "error_f64" in line else ""
        error = "exact" if line["error"] == 0 else f"{line['error']:.0e}"
        rows.append([*row, error, double, f"{line['compile_s']:.1f}", f"{line['peak_bytes'] / 2**20:.0f}"])
    return table(["", "model", "error", "error against f64", "compile s", "peak MiB"], rows)


def main() -> int:
    """Writes the page, or compares."""
    figures = json.loads(_FIGURES.read_text()) if _FIGURES.exists() else {"suites": {}, "models": []}
    given = {key: value.split(",") for key, value in (word.split("=", 1) for word in sys.argv[1:] if "=" in word)}
    if "cases" in given:
        figures["suites"] |= _cases(given["cases"])
    if "models" in given:
        figures["models"] = _models(given["models"])
    if given:
        _FIGURES.write_text(json.dumps(figures, indent=0) + "\n")
    parts = {
        "cases": _suite_table(figures["suites"]),
        "failures": _failures(figures["suites"]),
        "models": _model_table(figures["models"]),
    }
    return write(_PAGE, parts)


if __name__ == "__main__":
    sys.exit(main())
