"""`mlirage report`: the memory plan, the figures, and a page that stands alone."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mlirage import compiler
from mlirage.cli import main
from mlirage.codegen import strategy
from mlirage.options import make_options
from mlirage.report import charts, page
from mlirage.report.memory_plan import Access, Command, Execution, arena, dependencies, memory_plan

DIGITS = Path(__file__).parents[2] / "examples/digits/digits.onnx"
SECTIONS = ("Timeline of a call", "Dispatches", "Roofline", "Memory plan", "Graph", "Compile time")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("report") / "digits.json"
    arguments = ["report", str(DIGITS), "--dim=batch=5", "--seconds=0.05", "--threads=2"]
    assert main([*arguments, "--format=json", "-o", str(path)]) == 0
    return json.loads(path.read_text())


def test_memory_plan_for_given_shapes() -> None:
    program = compiler.lower(DIGITS, make_options(compile_to="stream"))
    for batch in (1, 7):
        (execution,) = memory_plan(program, "main", [[batch, 1, 8, 8]])
        assert execution.lifetimes == ("external", "external", "constant", "transient")
        assert execution.sizes[:2] == (batch * 64, batch * 40)
        # A chain: everything reads what the one before it wrote.
        count = len(execution.commands)
        assert dependencies(execution) == [(i, i + 1) for i in range(count - 1)]
        slices = arena(execution)
        assert len(slices) == count - 1
        for one in slices:
            assert one.offset + one.length <= execution.bytes_of("transient")
            for other in slices:
                apart = one.offset + one.length <= other.offset or other.offset + other.length <= one.offset
                assert one == other or apart or one.last < other.first or other.last < one.first
    (unknown,) = memory_plan(program, "main", [None])
    assert unknown.sizes[-1] is None
    assert arena(unknown) == []
    assert memory_plan(program, "nothing", []) == []


def test_dependencies_of_parts() -> None:
    """Of a tensor that two commands write, a reader of it depends on both; what is written over is forgotten."""

    def command(*accesses: tuple[int, int, str]) -> Command:
        return Command("x", 0, tuple(Access(0, offset, length, mode) for offset, length, mode in accesses))

    commands = (
        command((0, 100, "w")),
        command((20, 10, "w")),
        command((0, 100, "r"), (200, 8, "w")),
        command((25, 5, "r")),
        command((0, 100, "w")),
        command((0, 30, "r")),
        command((200, 8, "rw")),
        command((200, 8, "r")),
    )
    execution = Execution(("transient",), (300,), commands)
    assert dependencies(execution) == [(0, 2), (1, 2), (1, 3), (4, 5), (2, 6), (6, 7)]


def test_every_schedule_has_a_color() -> None:
    kinds = [kind.KIND for kind in strategy.KINDS]
    style = (Path(page.__file__).parent / "page.css").read_text()
    classes = [charts.kind_class(kind) for kind in kinds]
    assert len(set(classes)) == len(kinds)
    assert charts.kind_class("fill") not in classes
    for name in classes:
        assert style.count(f"--c{name[1:]}:") == 2  # light and dark
        assert f".{name} {{" in style
    assert "winograd" not in charts.legend(["loops"])


def test_figures(report: dict) -> None:
    assert report["module"]["entry_points"] == 8
    assert report["module"]["bytes"] > report["module"]["constants_bytes"] > 150_000
    assert [row["name"] for row in report["compile"]["phases"]][:2] == ["import", "input"]
    assert report["compile"]["phases"][-1]["name"] == "end"
    (memory,) = report["memory"]
    assert memory["arena_bytes"] >= memory["largest_live_bytes"] > 0
    assert memory["complete"]
    run = report["run"]
    assert run["threads"] == 2
    assert run["peaks"]["gflops"] > 1
    assert run["peaks"]["gigabytes"] > 0.1
    rows = {row["name"]: row for row in run["profile"]["dispatches"]}
    assert len(rows) == 8
    conv = next(row for name, row in rows.items() if "conv_Dx32x8x8x24x3x3" in name)
    assert conv["flops"] == 5 * 890880
    assert conv["nodes"] == ["conv2d_3", "batchnorm2d_4", "relu_5"]
    assert 0 < conv["roofline"] < 3
    events = run["timeline"]["events"]
    assert {event["name"] for event in events if event["kind"] == "dispatch"} == set(rows)
    assert all(event["start_us"] >= 0 and event["start_us"] + event["us"] <= run["timeline"]["us"] for event in events)


def test_page_stands_alone_and_is_well_formed(report: dict) -> None:
    from mlirage.report.page import render

    report["name"] = "a <model> & more"
    page = render(report)
    for section in SECTIONS:
        assert f"<summary>{section}</summary>" in page
    assert "a &lt;model&gt; &amp; more" in page
    # Nothing is loaded from anywhere.
    assert not re.search(r"(src|href)=|@import|url\(|https?://", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(pictures) == 5
    for picture in pictures:
        ElementTree.fromstring(picture)
    body = re.search(r"<main>.*</main>", page, re.S)
    assert body
    text = re.sub(r"(<input[^>]*)(?<!/)>", r"\1/>", body.group())
    ElementTree.fromstring(text)
    assert text.count("<tr ") == 8


def test_modules_and_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "digits.mlirage"
    assert main(["compile", str(DIGITS), "-o", str(module)]) == 0
    assert main(["report", str(module), "--dim=batch=3", "--seconds=0.02", "--device=local-sync"]) == 0
    page = module.with_suffix(".html").read_text()
    assert "<summary>Timeline of a call</summary>" in page
    assert "<summary>Memory plan</summary>" not in page
    capsys.readouterr()
    assert main(["report", str(DIGITS), "--seconds=0", "--format=text"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^entry points +8$", text, re.M)
    assert re.search(r"^ +[\d.]+  executable-targets$", text, re.M)
    assert main(["report", str(DIGITS), "--seconds=0", "-o", str(tmp_path / "still.html")]) == 0
    assert "<summary>Entry points</summary>" in (tmp_path / "still.html").read_text()
    assert main(["report", str(DIGITS), "--compile-to=flow"]) == 2
    assert main(["report", str(tmp_path / "nothing.onnx")]) == 2
    assert main(["report", str(DIGITS), "--seconds=-1"]) == 2
