"""The only use of ziglang: object files become one library with LLD; and what a processor's name implies.

A library is a shared ELF object that imports nothing, exports one symbol, has no relocation but RELATIVE ones, and
keeps code, constants and relocated data in separate segments. What its loader does not read is left out (elf.py).
"""

from __future__ import annotations

import difflib
import functools
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ziglang

from mlirage.codegen.elf import check_library, pack_library
from mlirage.errors import TargetError, UsageError

if TYPE_CHECKING:
    from mlirage.codegen.target import CpuTarget

ZIG = Path(ziglang.__file__).parent / "zig"
_SUPPORT = Path(__file__).parent / "support.c"
_EMULATION = {
    "x86_64": "elf_x86_64",
    "aarch64": "aarch64linux",
    "riscv64": "elf64lriscv",
    "riscv32": "elf32lriscv",
    "arm": "armelf_linux_eabi",
}


def link_library(objects: Sequence[bytes], target: CpuTarget, exported: str) -> bytes:
    """Links `objects` into a library that exports `exported` alone.

    Raises:
      TargetError: LLD failed, or the library breaks a promise (the text says which).
    """
    packed = pack_library(link_shared_object(objects, target, exported))
    check_library(packed, exported)
    return packed


def link_shared_object(objects: Sequence[bytes], target: CpuTarget, exported: str) -> bytes:
    """As `link_library`, before what a system's loader reads, and ours does not, is left out.

    Raises:
      TargetError: LLD failed, or the library breaks a promise (the text says which).
    """
    with tempfile.TemporaryDirectory(prefix="mlirage-link-") as folder_name:
        folder = Path(folder_name)
        names: list[str] = []
        support = [_support_object(target)] if target.pointer_bytes == 4 else []
        for number, data in enumerate([*objects, *support]):
            name = f"{number}.o"  # names without the folder: nothing of it may reach the output
            (folder / name).write_bytes(data)
            names.append(name)
        (folder / "version").write_text(f"{{ global: {exported}; local: *; }};\n")
        command = [
            str(ZIG), "ld.lld", "-m", _EMULATION[target.architecture], "-shared", "-o", "library.so", "--strip-all",
            "-O2", "--gc-sections", "--build-id=none", "--hash-style=sysv", "--no-undefined", "--pack-dyn-relocs=relr",
            "-z", "max-page-size=4096", "-z", "separate-code", "-z", "norelro", "-z", "text", "-Bsymbolic",
            "--version-script=version", "-u", exported, *names,
        ]  # fmt: skip
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise TargetError(f"the linker refused the executables for {target.triple}: {result.stderr.strip()}")
        data = (folder / "library.so").read_bytes()
    check_library(data, exported)
    return data


@functools.cache
def _support_object(target: CpuTarget) -> bytes:
    """support.c for `target`; what nobody calls is left out of the library."""
    return compile_c(_SUPPORT, target, ("-fno-builtin", "-ffunction-sections"))


def compile_c(source: Path, target: CpuTarget, flags: Sequence[str] = ()) -> bytes:
    """The object file of freestanding C.

    Raises:
      TargetError: the compiler refused it.
    """
    abi = {"arm": "musleabihf"}.get(target.architecture, "musl")
    # Of 64-bit processors the baseline does: what it computes is between kernels.
    cpu = "baseline" if target.pointer_bytes == 8 else _zig_name(target.cpu)
    features = "".join(f[0] + _zig_name(f[1:]) for f in target.llvm_features) if target.pointer_bytes == 4 else ""
    where = ["-target", f"{target.architecture}-linux-{abi}", f"-mcpu={cpu}{features}"]
    common = (
        "-c -std=c11 -O2 -g0 -ffreestanding -fPIC -fno-stack-protector -fno-unwind-tables "
        "-fno-asynchronous-unwind-tables -fomit-frame-pointer -fno-sanitize=all"
    )
    with tempfile.TemporaryDirectory(prefix="mlirage-c-") as folder:
        output = Path(folder) / "output.o"
        command = [str(ZIG), "cc", *where, *common.split(), *flags, str(source), "-o", str(output)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise TargetError(f"cannot compile {source.name} for {target.triple}: {result.stderr.strip()}")
        return output.read_bytes()


def archive(members: Mapping[str, bytes]) -> bytes:
    """A static library of object files.

    Raises:
      TargetError: the archiver refused them.
    """
    with tempfile.TemporaryDirectory(prefix="mlirage-archive-") as folder:
        for name, data in members.items():
            (Path(folder) / name).write_bytes(data)
        command = [str(ZIG), "ar", "rcsD", "library.a", *members]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise TargetError(f"cannot make a static library: {result.stderr.strip()}")
        return (Path(folder) / "library.a").read_bytes()


@functools.cache
def cpu_features(architecture: str, cpu: str) -> tuple[str, ...]:
    """The features ("+name", sorted) that a processor's name implies.

    Raises:
      UsageError: no such processor.
    """
    result = _show_builtin(architecture, _zig_name(cpu))
    match = re.search(r"featureSet\(&\.\{(.*?)\}\)", result.stdout, re.DOTALL)
    if result.returncode != 0 or match is None:
        raise UsageError(f"no processor of {architecture} is called {cpu!r}{_near(cpu, _listed(result.stderr))}")
    names = re.findall(r'\.(?:@")?([\w.-]+)"?,', match.group(1))
    return tuple(sorted(f"+{_llvm_feature(name)}" for name in names))


def check_feature(architecture: str, feature: str) -> None:
    """Refuses what LLVM would ignore.

    Raises:
      UsageError: the architecture has no such feature.
    """
    known = _known_features(architecture)
    if known and _zig_name(feature).replace(".", "_") not in known:
        raise UsageError(f"{architecture} has no feature {feature!r}{_near(feature, known)}")


@functools.cache
def _known_features(architecture: str) -> tuple[str, ...]:
    # Asked for a feature that does not exist, the tool lists those that do.
    return _listed(_show_builtin(architecture, "baseline+no_such_feature").stderr)


def _show_builtin(architecture: str, cpu: str) -> subprocess.CompletedProcess[str]:
    command = [str(ZIG), "build-obj", "--show-builtin", "-target", f"{architecture}-linux", f"-mcpu={cpu}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^ (\w+)", text, re.MULTILINE))


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(_zig_name(name), known, 3)
    return f"; did you mean {' or '.join(n.replace('_', '-') for n in map(_llvm_feature, near))}?" if near else ""


def _zig_name(cpu: str) -> str:
    return cpu.replace("-", "_")


def _llvm_feature(name: str) -> str:
    name = {"sse4_1": "sse4.1", "sse4_2": "sse4.2"}.get(name, name)
    return name.replace("_", "-")
