"""Targets and options that do not exist: said before anything is compiled, with what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlirage
from mlirage.errors import UsageError

IDENTITY = "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n  return %x : tensor<2xf32>\n}\n"
X86 = "x86_64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("foo", "no code generator for 'foo'; known: x86_64, aarch64"),
        ("a\0b", "no code generator for"),
        (f"{X86}:skylaek", "no processor of x86_64 is called 'skylaek'; did you mean .*skylake"),
        (f"{X86}:skylake:+avx9", r"x86_64 has no feature 'avx9'; did you mean .*avx"),
        (f"{X86}:skylake:avx2", r"feature 'avx2' must start with \+ or -"),
        (f"{X86}:skylake:+avx;+fma", r"x86_64 has no feature 'avx;\+fma'"),
    ],
)
def test_targets(target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mlirage.compile(IDENTITY, target=target)


@pytest.mark.parametrize(
    "target",
    [f"{X86}:skylake:+avx2,-avx512f,+sse4.1,+prefer-256-bit", "aarch64:generic:+dotprod,+i8mm", "riscv64:+v,+zvfh"],
)
def test_features_that_exist(target: str) -> None:
    assert mlirage.compile(IDENTITY, target=target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dump_ir": "FILE/below"}, "option dump_ir='.*below': Not a directory"),
        ({"dump_ir": "FILE"}, "option dump_ir='.*': File exists"),
        ({"print_ir_after": "("}, r"option print_ir_after='\(': missing \)"),
    ],
)
def test_options(options: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    options = {name: text.replace("FILE", str(tmp_path / "file")) for name, text in options.items()}
    with pytest.raises(UsageError, match=message):
        mlirage.compile(IDENTITY, **options)


def test_names_that_are_too_long() -> None:
    with pytest.raises(UsageError, match=r"cannot read 'aaa.*': File name too long"):
        mlirage.compile("a" * 5000 + ".mlir")


@pytest.mark.parametrize("source", ["", b"", bytearray()])
def test_empty_models(source: object) -> None:
    with pytest.raises(UsageError, match="the model is empty; accepted: "):
        mlirage.compile(source)
