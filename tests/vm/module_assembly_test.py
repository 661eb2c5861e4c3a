"""Modules as text and back: the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzz_test import make_corpus
from modules import make_module

from mlirage.cli import main
from mlirage.errors import UsageError
from mlirage.module_file import Executable, Export, Global, Import, ModuleFile, Rodata
from mlirage.vm.module_assembly import parse_module, print_module


def test_modules_come_back_byte_for_byte(tmp_path: Path) -> None:
    """The corpus of the fuzzer: every feature, kernels of the virtual machine included; and files of all versions."""
    files = [*make_corpus(tmp_path), *sorted((Path(__file__).parent / "corpus").rglob("*.mlirage"))]
    for path in files:
        contents = path.read_bytes()
        text = print_module(ModuleFile.decode(contents))
        assert parse_module(text).encode() == contents, path.name
        assert print_module(parse_module(text)) == text


def test_what_is_rare() -> None:
    """Two members of one name, odd names, splats, empty data, locations, texts in another order than code needs."""
    module = make_module(
        {
            'odd "name"; x': ("i_i", 'assert s0, 8, "no; \\"way\\" \\n"\nreturn s0'),
            "f": ("_", "call_import a.b [], s0\nglobal_store g, s0\nreturn"),
        },
        name="m [1]",
        version=7,
        imports=[Import("a.b", "i_", 3, True), Import("c.d", "[iI]r_")],
        globals=[Global("g", "i", 5), Global("h", "r")],
        rodata=[Rodata("", np.zeros(0, np.uint8)), Rodata.of("z", np.broadcast_to(np.int16(7), (9,)), splat=True)],
        executables=[Executable("e", "vmvx-bytecode", 0)],
    )
    module.imports.append(Import("a.b", "f_"))  # named by number from here on
    module.exports.append(Export("zz", 1, '{"arguments": ["x"]}'))
    module.strings.add("nobody mentions this")
    contents = module.encode()
    text = print_module(ModuleFile.decode(contents))
    assert text.startswith('strings ["", "no; ')
    assert "call_import @0" in text
    assert parse_module(text).encode() == contents


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('function "f" "_" scalars=0 refs=0\n  return', "line 1: .*no end"),
        ('function "f" "_" scalars=0 refs=0\n  jump L1\nend', "line 2: 'jump L1'"),
        ('global "g" i', "line 1: .*no such line"),
        ("\nimport x y", "line 2: 'import x y'"),
        ('rodata "x" zz', "line 1"),
    ],
)
def test_mistakes_are_told(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_module(text)


def test_command(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`mlirage dump --format=vm-asm`, and back."""
    path, text = tmp_path / "m.mlirage", tmp_path / "m.asm"
    path.write_bytes(make_module({"f": ("I_I", "add_i64 s0, s0 -> s0\nreturn s0")}, name="tiny").encode())
    assert main(["dump", str(path), "--format=vm-asm"]) == 0
    text.write_bytes(capfdbinary.readouterr().out)
    assert text.read_text().splitlines()[1:3] == ['function "f" "I_I" scalars=8 refs=4', "  add_i64 s0, s0 -> s0"]
    assert main(["dump", str(text), "--format=module"]) == 0
    assert capfdbinary.readouterr().out == path.read_bytes()


def test_trace_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`mlirage run --trace`."""
    path = tmp_path / "m.mlirage"
    path.write_bytes(make_module({"f": ("I_I", "add_i64 s0, s0 -> s0\nreturn s0")}).encode())
    assert main(["run", str(path), "--input=i64=21", "--trace", "--device=local-sync"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["f+0 add_i64 s0=21 s0=21 -> s0", "f+4 return s0=0x2a"]
    assert "42" in captured.out
