"""Tuning: what may be changed, what counts as faster, files, and that later compiles use them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

import mlirage
from mlirage.codegen.configuration import Configuration
from mlirage.codegen.tuned import Tuned, TuningFile
from mlirage.module_file import ModuleFile
from mlirage.options import make_options
from mlirage.tuning.knobs import Knob
from mlirage.tuning.model import ModelTuner
from mlirage.tuning.search import Search, gain_of, is_faster
from mlirage.tuning.timer import Arguments, Timer, Timing

ROWS, DEPTH, COLUMNS = 97, 160, 192
MODEL = f"""
#row = affine_map<(i, j) -> (i, j)>
func.func @main(%a: tensor<?x{DEPTH}xf32>, %b: tensor<{DEPTH}x{COLUMNS}xf32>) -> tensor<?x{COLUMNS}xf32> {{
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %a, %c0 : tensor<?x{DEPTH}xf32>
  %empty = tensor.empty(%m) : tensor<?x{COLUMNS}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x{COLUMNS}xf32>) -> tensor<?x{COLUMNS}xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x{DEPTH}xf32>, tensor<{DEPTH}x{COLUMNS}xf32>)
      outs(%init : tensor<?x{COLUMNS}xf32>) -> tensor<?x{COLUMNS}xf32>
  return %c : tensor<?x{COLUMNS}xf32>
}}
"""


def _arguments(signature: Any = None) -> list[np.ndarray[Any, Any]]:
    del signature
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(np.float32) for shape in ((ROWS, DEPTH), (DEPTH, COLUMNS))]


@pytest.fixture(scope="module")
def tuner() -> ModelTuner:
    return ModelTuner(MODEL, make_options(), _arguments, "local-sync", None)


def _pairs(*ratios: float) -> Timing:
    return Timing(tuple((ratio, 1.0) for ratio in ratios), "")


def test_noise_is_not_faster() -> None:
    assert is_faster(_pairs(*[1.1] * 9, 0.9))
    assert not is_faster(_pairs(*[1.02] * 10)), "too little"
    assert not is_faster(_pairs(*[1.5] * 7, *[0.5] * 3)), "too seldom"
    assert not is_faster(Timing((), "other results"))
    assert gain_of(Timing((), "other results")) == 0.0


class _FakeTimer:
    """Times modules that are numbers: the second is as much faster as it is nearer to 40."""

    def __init__(self) -> None:
        self.wrong = {b"64"}

    def compare(self, first: bytes, second: bytes, seconds: float, least: int) -> Timing:
        del seconds
        if second in self.wrong:
            return Timing((), "element [0] is 1, expected is 2")
        if second == b"1":
            raise mlirage.DeviceError("it hung")
        a, b = (1.0 + abs(int(module) - 40) for module in (first, second))
        return Timing(((a, b),) * least, "")


def test_search_walks_to_the_best_and_leaves_out_what_is_wrong() -> None:
    default = Configuration("contraction", (8, 0), {"rows": 1})
    knobs = [Knob("tile 0", (1, 2, 4, 8, 16, 32, 48, 64, 0), loop=0), Knob("rows", (1, 2), datum="rows")]
    tried: list[int] = []
    search = Search(default, knobs, lambda c: str(c.workgroup_tiles[0]).encode(), _FakeTimer())  # type: ignore[arg-type]
    outcome = search.run(time.monotonic() + 60, lambda c, gain: tried.append(c.workgroup_tiles[0]))
    assert outcome.configuration.workgroup_tiles in ((32, 0), (48, 0))
    assert outcome.gain == (1 + 32) / (1 + 8)
    assert {c.workgroup_tiles[0] for c in outcome.wrong} == {64}
    assert 1 not in tried or outcome.refused
    late = Search(default, knobs, lambda c: str(c.workgroup_tiles[0]).encode(), _FakeTimer())  # type: ignore[arg-type]
    assert late.run(time.monotonic() - 1, lambda c, gain: None).configuration == default


def test_a_bad_default_is_improved(tuner: ModelTuner, tmp_path: Path) -> None:
    """Measured: one row at a time is several times slower than eight."""
    (share,) = tuner.shares()
    assert share.share > 0.9
    text = share.benchmark.program.module.operation.get_asm(enable_debug_info=True)
    default, key, knobs = tuner._default(text)
    assert {"rows", "columns", "tile 0", "tile 1"} == {knob.name for knob in knobs}
    rows = next(knob for knob in knobs if knob.name == "rows")
    bad = rows.set(default, 1)
    path = tmp_path / "candidate"

    def compile_(configuration: Configuration) -> bytes:
        TuningFile({key: Tuned("x", configuration, 1.0)}).write(path)
        return tuner._compile(text, {}, str(path))

    with Timer("local-sync", None) as timer:
        timer.call_with(Arguments(_arguments(), [1], 1 << 20))
        outcome = Search(bad, [rows], compile_, timer).run(time.monotonic() + 120, lambda c, gain: None)
    assert not outcome.wrong
    assert outcome.gain > 1.2
    assert rows.get(outcome.configuration) > 1


def test_later_compiles_use_the_file(tuner: ModelTuner, tmp_path: Path) -> None:
    (share,) = tuner.shares()
    default, key, knobs = tuner._default(share.benchmark.program.module.operation.get_asm(enable_debug_info=True))
    plain = mlirage.compile(MODEL)
    a, b = _arguments()
    for knob in knobs:
        for value in (knob.values[0], knob.values[-1]):
            path = tmp_path / f"{knob.name}{value}"
            chosen = knob.set(default, value)
            TuningFile({key: Tuned("main$0", chosen, 1.5)}).write(path)
            assert TuningFile.read(path).dispatches[key].configuration == chosen
            module = mlirage.compile(MODEL, tuning=str(path))
            assert module == mlirage.compile(MODEL, tuning=str(path))
            assert (module == plain) == (chosen == default)
            (facts,) = ModuleFile.read_dispatches(module).values()
            assert facts["tiles"] == list(chosen.workgroup_tiles)
            (result,) = mlirage.load(module)(a, b)
            np.testing.assert_allclose(result, a @ b, rtol=1e-4, atol=1e-4)


def test_winograd_blocks_may_be_turned(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.normal(size=(64, 32, 3, 3)).astype(np.float32) / 16, "w")
    x, y = (helper.make_tensor_value_info(name, 1, [1, n, 26, 26]) for name, n in (("x", 32), ("y", 64)))
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    image = random.normal(size=(1, 32, 26, 26)).astype(np.float32)
    tuner = ModelTuner(model, make_options(), lambda _: [image], "local-sync", None)
    wanted = np.asarray(tuner.run(image))
    (benchmark,) = (one for one in tuner.benchmarks if "winograd" in one.name)
    text = benchmark.program.module.operation.get_asm(enable_debug_info=True)
    default, key, knobs = tuner._default(text)
    assert {knob.name for knob in knobs} == {"tile 1", "tile 2", "tile 3"}
    tile = min(knob.values[0] for knob in knobs if knob.loop == 1)
    assert all(value % tile == 0 for knob in knobs if knob.loop < 3 for value in knob.values)
    chosen = default
    for knob in knobs:  # ragged blocks in every loop
        chosen = knob.set(chosen, knob.values[len(knob.values) // 2])
    assert chosen != default
    path = tmp_path / "x.tuning"
    TuningFile({key: Tuned("x", chosen, 1.0)}).write(path)
    got = np.asarray(mlirage.load(tuner.compile_model(str(path)), device="local-sync")(image))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_keys_depend_on_what_is_computed_and_for_what(tuner: ModelTuner, tmp_path: Path) -> None:
    def key_of(model: str, **options: Any) -> str:
        other = ModelTuner(model, make_options(**options), _arguments, "local-sync", None)
        (benchmark,) = other.benchmarks
        return other._default(benchmark.program.module.operation.get_asm(enable_debug_info=True))[1]

    key = key_of(MODEL)
    assert key == key_of(MODEL.replace("%c ", "%other ").replace("return %c", "return %other"))
    assert key != key_of(MODEL.replace(f"{COLUMNS}", "191"))
    with pytest.raises(mlirage.UsageError, match="only target=host"):
        ModelTuner(MODEL, make_options(target="aarch64"), _arguments, "local-sync", None)
    with pytest.raises(mlirage.UsageError, match="llvm-cpu"):
        ModelTuner(MODEL, make_options(target_backend="vmvx"), _arguments, "local-sync", None)
    # A file of another machine is of no effect.
    path = tmp_path / "other"
    (share,) = tuner.shares()
    default, _, _ = tuner._default(share.benchmark.program.module.operation.get_asm(enable_debug_info=True))
    TuningFile({"0" * 24: Tuned("main$0", default, 1.5)}).write(path)
    assert mlirage.compile(MODEL, tuning=str(path)) == mlirage.compile(MODEL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "no JSON"),
        ("[]", "malformed"),
        ('{"version": 2, "dispatches": {}}', "version 2, this reads 1; tune again"),
        ('{"version": 1, "dispatches": {"x": {"name": "y"}}}', "malformed"),
        (
            '{"version": 1, "dispatches": {"x": {"name": "y", "kind": "k", "workgroup_tiles": [], "data": {"a": null}, '
            '"gain": 1}}}',
            "malformed",
        ),
    ],
)
def test_wrong_files(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    with pytest.raises(mlirage.UsageError, match=message):
        mlirage.compile(MODEL, tuning=str(path))


def test_a_file_of_another_compiler_says_so(tuner: ModelTuner, tmp_path: Path) -> None:
    (share,) = tuner.shares()
    default, key, _ = tuner._default(share.benchmark.program.module.operation.get_asm(enable_debug_info=True))
    others = (
        Configuration("loops", default.workgroup_tiles, default.data),
        Configuration(default.kind, (*default.workgroup_tiles, 1), default.data),
        Configuration(default.kind, default.workgroup_tiles, {**default.data, "depth": 4}),
    )
    for number, other in enumerate(others):
        path = tmp_path / f"{number}"
        TuningFile({key: Tuned("x", other, 1.5)}).write(path)
        with pytest.raises(mlirage.UsageError, match="run `mlirage tune` again"):
            mlirage.compile(MODEL, tuning=str(path))


def test_a_crash_of_the_timer_is_told(tuner: ModelTuner) -> None:
    with Timer("local-sync", None) as timer:
        timer.call_with(Arguments(_arguments()))
        with pytest.raises(mlirage.DeviceError, match=r"wrong magic|not a mlirage"):
            timer.compare(b"nonsense" * 20, tuner.module, 0.01, 1)
        assert timer._process is not None
        timer._process.kill()
        with pytest.raises(mlirage.DeviceError, match="died"):
            timer.compare(tuner.module, tuner.module, 0.01, 1)
        # The next process has the arguments again.
        assert len(timer.compare(tuner.module, tuner.module, 0.01, 3).pairs) >= 3


def test_only_what_is_written_is_compared(tuner: ModelTuner) -> None:
    """The rest is what the memory held before."""
    other = ModelTuner(
        MODEL.replace("arith.constant 0.0", "arith.constant 1.0"), make_options(), _arguments, "local-sync", None
    )
    with Timer("local-sync", None) as timer:
        for written, differ in ((None, True), ((((0, ROWS), (0, 1)),), True), (((),), True), ((), False)):
            timer.call_with(Arguments(_arguments(), written=[written]))
            assert bool(timer.compare(tuner.module, other.module, 0.01, 1).difference) == differ


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlirage.cli import main

    model = tmp_path / "model.mlir"
    model.write_text(MODEL)
    arguments = ["tune", str(model), "--budget=1", "--device=local-sync", f"--input={ROWS}x{DEPTH}xf32=1"]
    arguments.append(f"--input={DEPTH}x{COLUMNS}xf32=0.5")
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["dispatches"]
    assert row["tried"] > 0
    assert not row["wrong"]
    assert row["default_us"] > 0
    assert main(arguments) == 0
    assert "of 1 dispatches are faster" in capsys.readouterr().out
    module = tmp_path / "model.mlirage"
    assert main(["compile", str(model), "-o", str(module), f"--tuning={tmp_path / 'model.tuning'}"]) == 0
    assert main(["tune", str(model), "--budget=0"]) == 2
