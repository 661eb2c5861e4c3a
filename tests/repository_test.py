"""The structure rules of the repository, as tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlirage import compiler
from mlirage.mlir import own_dialects
from mlirage.passes import REGISTRY

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mlirage"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PASS_TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.mlir"))

# The way of a model: a layer imports the dialects of the others, and the leaves.
ORDER = ("importers", "input", "global_optimization", "flow", "stream", "hal", "vm")
LEAVES = {"module_file", "mlir", "program", "passes", "options", "errors", "debug", "util_dialect"}
MAY_USE_CODEGEN = {"hal", "global_optimization", "codegen", "cli", "compiler"}
FOREIGN = {"torch_mlir": "mlir.py", "llvmlite": "codegen/llvm.py", "ziglang": "codegen/link.py"}


def _imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from mlirage.flow import dialect` imports mlirage.flow.dialect
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _layer(dotted: str) -> str:
    return dotted.split(".")[1] if dotted.startswith("mlirage.") else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_import_direction(path: Path) -> None:
    """Layers import in the order of the data's way; foreign packages have one door each."""
    relative = path.relative_to(PACKAGE)
    layer = relative.parts[0].removesuffix(".py")
    for name in sorted(_imports(path)):
        package = name.split(".")[0]
        if package in FOREIGN:
            assert str(relative) == FOREIGN[package], f"{package} is imported in {FOREIGN[package]} alone"
        target = _layer(name)
        if not target or target == layer or target in LEAVES or layer not in (*ORDER, "codegen", "runtime", *LEAVES):
            continue
        if layer == "runtime":
            assert target in ("errors", "runtime"), "the runtime's face knows nothing of the compiler"
        elif layer in ORDER and target in ORDER:
            earlier = ORDER.index(target) < ORDER.index(layer)
            dialect = name.split(".")[2:3] in (["dialect"], ["inline_dialect"], ["linalgx"], ["builders"])
            importer_uses_input = layer == "importers" and target == "input"
            assert importer_uses_input or (earlier and dialect) or dialect, f"{relative} may not import {name}"
        elif target == "codegen":
            assert layer in MAY_USE_CODEGEN, f"{relative} may not import {name}"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_pass_is_documented_used_and_tested(name: str) -> None:
    """A pass has a docstring, a place in a pipeline, and a FileCheck test."""
    assert REGISTRY[name].__doc__, f"pass {name} has no docstring"
    pipelines = [p for phase in compiler.PHASES for p in (phase.pipeline, *phase.other_pipelines.values())]
    used = {step for pipeline in pipelines for step in pipeline if not isinstance(step, str)}
    assert REGISTRY[name] in used, f"pass {name} is in no pipeline"
    assert re.search(rf"--passes=\S*{re.escape(name)}\b", PASS_TESTS), f"pass {name} has no FileCheck test"


def test_ops_are_documented() -> None:
    """Every op of our dialects says what it does."""
    undocumented = [
        f"{dialect.DIALECT_NAMESPACE}.{operation.__name__}"
        for dialect in own_dialects()
        for operation in dialect.Operation.__subclasses__()
        if operation.__module__.startswith("mlirage") and not operation.__doc__
    ]
    assert not undocumented


def test_runtime_alone_needs_only_numpy() -> None:
    """`import mlirage` and loading work without any of the compiler's packages."""
    blocked = ["torch_mlir", "llvmlite", "ziglang", "onnx", "click", "rich", "safetensors", "ml_dtypes"]
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import mlirage; mlirage.load"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_foreign_traces() -> None:
    """No path of a developer's machine and no package registry host stands in the repository."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/(?:work|root|home)/[a-z]|pypi\.org|files\.pythonhosted")
    texts = [
        p for p in tracked if (ROOT / p).suffix in {".py", ".md", ".c", ".h", ".cpp", ".toml", ".txt", ".mlir", ""}
    ]
    found = [
        f"{p}: {match.group()}"
        for p in texts
        if p != "tests/repository_test.py"
        for match in [pattern.search((ROOT / p).read_text(errors="replace"))]
        if match
    ]
    assert not found
