"""Module files: round trips, determinism, splats, and that the runtime refuses what is malformed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import Context, Failure, Library
from modules import make_module

from mlirage.errors import DeviceError, UsageError
from mlirage.module_file import (
    Executable,
    Export,
    Function,
    Global,
    Import,
    Location,
    ModuleFile,
    Rodata,
    checksum,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
u32 = st.integers(0, 2**32 - 1)


@st.composite
def rodata_entries(draw: st.DrawFn) -> Rodata:
    if draw(st.booleans()):
        return Rodata.of(draw(texts), np.frombuffer(draw(st.binary(max_size=200)), np.uint8))
    value, size = np.float32(draw(st.floats(width=32))), draw(st.integers(2, 10**9))
    return Rodata.of(draw(texts), np.broadcast_to(value, (size,)), splat=True)


@st.composite
def modules(draw: st.DrawFn) -> ModuleFile:
    """Any contents of a module file; the code means nothing."""
    functions = [
        Function(
            draw(texts), draw(texts), np.array(draw(st.lists(st.integers(0, 65535), max_size=9)), np.uint16),
            draw(st.integers(0, 65535)), draw(st.integers(0, 65535)),
            [Location(pc, draw(texts)) for pc in sorted(draw(st.sets(u32, max_size=3)))],
        )
        for _ in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    rodata = draw(st.lists(rodata_entries(), max_size=4))
    globals_ = st.builds(Global, texts, st.sampled_from("iIfFr"), st.integers(0, 2**64 - 1))
    exports = st.builds(Export, texts, st.integers(0, 9), texts)
    return ModuleFile(
        name=draw(texts), version=draw(u32), functions=functions, rodata=rodata,
        imports=draw(st.lists(st.builds(Import, texts, texts, u32, st.booleans()), max_size=4)),
        exports=sorted(draw(st.lists(exports, max_size=4, unique_by=lambda e: e.name)), key=lambda e: e.name.encode()),
        globals=draw(st.lists(globals_, max_size=4)),
        executables=[Executable(draw(texts), draw(texts), i) for i in range(draw(st.integers(0, len(rodata))))],
    )  # fmt: skip


def contents(module: ModuleFile) -> Any:
    """Everything in a module as comparable values."""
    return (
        module.name, module.version, module.imports, module.exports, module.globals, module.executables,
        [(f.name, f.convention, f.code.tolist(), f.locations) for f in module.functions],
        [(f.scalar_registers, f.ref_registers) for f in module.functions],
        [(r.name, r.data.tobytes(), r.pattern_length, r.size) for r in module.rodata],
    )  # fmt: skip


@given(modules())
@settings(max_examples=150, deadline=None)
def test_decode_gives_what_encode_was_given(module: ModuleFile) -> None:
    encoded = module.encode()
    decoded = ModuleFile.decode(encoded)
    assert contents(decoded) == contents(module)
    assert decoded.encode() == encoded


def test_splats_are_never_expanded() -> None:
    module = ModuleFile(rodata=[Rodata.of("w", np.broadcast_to(np.float32(1), (1 << 40,)), splat=True)])
    encoded = module.encode()
    assert len(encoded) < 512
    (entry,) = ModuleFile.decode(encoded).rodata
    assert (entry.size, entry.pattern_length) == (4 << 40, 4)


def test_data_is_aligned(library: Library) -> None:
    sizes = (0, 1, 63, 64, 65, 1000)
    module = make_module(
        {"main": ("_", "return")}, rodata=[Rodata.of(str(n), np.full(n, n % 251, np.uint8)) for n in sizes]
    )
    encoded = module.encode()
    library.load(encoded, check_data=True)
    decoded = ModuleFile.decode(encoded)
    for size, entry in zip(sizes, decoded.rodata, strict=True):
        assert entry.data.tobytes() == bytes([size % 251]) * size
    assert struct.unpack_from("<Q", encoded, 32)[0] % 64 == 0


def test_checksums_find_every_change_of_a_word() -> None:
    data = np.random.default_rng(0).integers(0, 256, 1003, dtype=np.uint8)
    expected = checksum(data)
    words = np.concatenate([data, np.zeros(5, np.uint8)]).view("<u8").tolist()
    assert expected == sum(word * (2 * i + 1) for i, word in enumerate(words)) % 2**64
    for position in range(data.size):
        for bit in range(8):
            data[position] ^= 1 << bit
            assert checksum(data) != expected
            data[position] ^= 1 << bit


def test_texts_hold_no_zero() -> None:
    with pytest.raises(UsageError, match="holds a zero character"):
        ModuleFile(name="a\0b").encode()


def repair(data: bytearray) -> bytes:
    """Makes the checksum of the structure right again."""
    size = struct.unpack_from("<Q", data, 32)[0]
    struct.pack_into("<Q", data, 24, checksum(bytes(data[32:size])))
    return bytes(data)


def simple() -> ModuleFile:
    return make_module(
        {"main": ("Ir_I", "assert s0, 5, \"text\"\n global_load g -> s1\n call_import a.b, [1], s0 -> s1\n return s1")},
        imports=[Import("a.b", "[I]_I")], globals=[Global("g", "I"), Global("h", "r")],
        rodata=[Rodata.of("x", np.arange(9, dtype=np.uint8)), Rodata.of("s", np.broadcast_to(np.int32(3), (5,)), True)],
        executables=[Executable("e", "elf", 0)],
    )  # fmt: skip


def refuse(library: Library, data: bytes, text: str, check_data: bool = False) -> None:
    with pytest.raises(Failure, match=text) as failure:
        library.load(data, check_data)
    assert failure.value.status == "INVALID_MODULE"


def test_truncated_files_are_refused(library: Library) -> None:
    data = simple().encode()
    library.load(data)
    library.load(data + bytes(100))  # what follows is not ours
    for size in range(len(data)):
        refuse(library, data[:size], "too few|truncated")
        with pytest.raises(DeviceError):
            ModuleFile.decode(data[:size])


def test_every_flipped_bit_is_found(library: Library) -> None:
    """Except in the padding between data and in data that is not code, which is compared on demand."""
    data = simple().encode()
    structure = struct.unpack_from("<Q", data, 32)[0]
    for position in range(structure):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        refuse(library, bytes(damaged), "module file: ")
    executable = bytearray(data)
    executable[structure + 3] ^= 4
    refuse(library, bytes(executable), "corrupt: the checksum of read-only data 0 'x' differs")
    splat = bytearray(data)
    splat[structure + 64] ^= 4
    library.load(bytes(splat))
    refuse(library, bytes(splat), "corrupt: the checksum of read-only data 1 's' differs", check_data=True)


def section(data: bytes, kind: int) -> int:
    """Offset of the entry of a section in the table."""
    count = struct.unpack_from("<I", data, 40)[0]
    entries = (64 + 24 * number for number in range(count))
    return next(entry for entry in entries if struct.unpack_from("<I", data, entry)[0] == kind)


@pytest.mark.parametrize(
    ("offset", "layout", "value", "text"),
    [
        (0, "<B", 0, "wrong magic"),
        (8, "<I", 0, "format version 0"),
        (8, "<I", 2, r"format version 2; this runtime reads 1 to 1: use a newer runtime"),
        (12, "<I", 60, "sizes in the header"),
        (12, "<I", 1 << 31, "sizes in the header"),
        (16, "<Q", 2**64 - 1, "truncated"),
        (32, "<Q", 2**64 - 64, "sizes in the header"),
        (40, "<I", 2**32 - 1, "section table"),
        (44, "<I", 3, "name is no text"),
        (44, "<I", 2**32 - 1, "name is no text"),
    ],
)
def test_malformed_headers(library: Library, offset: int, layout: str, value: int, text: str) -> None:
    data = bytearray(simple().encode())
    struct.pack_into(layout, data, offset, value)
    refuse(library, bytes(data) if offset < 32 or value > 2**60 else repair(data), text)


# kind of the section, offset in its entry of the table (None: in its body), layout, value, text
@pytest.mark.parametrize(
    ("kind", "place", "text"),
    [
        (1, ("entry", 0, "<I", 77), "unknown section kind 77: use a newer runtime"),
        (3, ("entry", 0, "<I", 2), "two sections imports"),
        (2, ("entry", 8, "<Q", 1), "outside of its part"),
        (2, ("entry", 8, "<Q", 2**63), "outside of its part"),
        (4, ("entry", 16, "<Q", 2**64 - 8), "outside of its part"),
        (4, ("entry", 16, "<Q", 23), "wrong size"),
        (10, ("entry", 8, "<Q", 64), "outside of its part"),
        (1, ("entry", 16, "<Q", 3), "do not start and end with a terminator"),
        (1, ("body", 1, "<B", 0xFF), "not UTF-8"),
        (2, ("body", 4, "<I", 2), "calling convention is no text"),
        (2, ("body", 12, "<I", 2), "unknown flags"),
        (3, ("body", 4, "<I", 1), "names no function"),
        (4, ("body", 4, "<I", 0), "malformed calling convention ''"),
        (4, ("body", 8, "<I", 2**31), "outside of the code section"),
        (4, ("body", 16, "<H", 0), "fewer registers than arguments"),
        (4, ("body", 18, "<H", 0), "fewer registers than arguments"),
        (5, ("body", 4, "<I", 65), "unknown kind"),
        (5, ("body", 24, "<Q", 1), "reference global 1 has an initial value"),
        (6, ("body", 4, "<I", 3), "wrong pattern"),
        (6, ("body", 8, "<Q", 32), "outside of its place"),
        (6, ("body", 40, "<Q", 0), "outside of its place"),
        (6, ("body", 16, "<Q", 2**63), "too large"),
        (6, ("body", 16, "<Q", 4000), "outside of its place"),
        (6, ("body", 48, "<Q", 21), "wrong pattern"),
        (7, ("body", 8, "<I", 2), "executable 0 has no bytes"),
        (7, ("body", 8, "<I", 1), "executable 0 has no bytes"),
    ],
)
def test_malformed_sections(library: Library, kind: int, place: tuple[str, int, str, int], text: str) -> None:
    data = bytearray(simple().encode())
    part, offset, layout, number = place
    entry = section(data, kind)
    start = entry if part == "entry" else struct.unpack_from("<Q", data, entry + 8)[0]
    struct.pack_into(layout, data, start + offset, number)
    refuse(library, repair(data), text)


def test_sections_that_may_be_skipped(library: Library) -> None:
    data = bytearray(simple().encode())
    struct.pack_into("<I", data, section(data, 9 if b"debug" in data else 7), 1 << 15 | 77)
    library.load(repair(data))


def test_memory_must_be_aligned(library: Library) -> None:
    with pytest.raises(Failure, match="INVALID_ARGUMENT: the memory of a module must be aligned to 64 bytes"):
        library.load(simple().encode(), misalign=8)


@pytest.mark.parametrize(
    "convention", ["", "i", "_x", "x_", "i_[i]", "[i_", "i]_", "[[i]]_", "_i_", "[r]" * 17 + "_", "i" * 65536 + "_"]
)
def test_malformed_conventions(library: Library, convention: str) -> None:
    module = make_module({"main": ("_", "return")}, imports=[Import("a.b", convention)])
    refuse(library, module.encode(), "malformed calling convention|too long")


def test_functions_take_no_groups(library: Library) -> None:
    module = make_module({"main": ("[i]_", "return")})
    refuse(library, module.encode(), "malformed calling convention")


# Code of a function '(Ir_I)' with 4 scalar and 2 reference registers; exports, globals and so on as in `simple`.
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ([], "no code"),
        ([0], "unknown opcode"),
        ([255], "unknown opcode"),
        ([65535], "unknown opcode"),
        ([19, 0, 1], "runs off the end"),
        ([7, 4], "register out of range"),
        ([7], "registers missing"),
        ([19, 0, 4, 7, 0], "register out of range"),
        ([20, 0, 2, 7, 0], "register out of range"),
        ([16, 1], "immediate missing"),
        ([17, 1, 2, 3], "immediate missing"),
        ([1, 0], "branch target out of range"),
        ([1, 5, 0, 7, 0], "branch target out of range"),
        ([1, 0, 1, 7, 0], "branch target out of range"),
        ([1, 2, 0, 7, 0], "branch into the middle"),
        ([1, 4, 0, 7, 0], "branch into the middle"),
        ([2, 0, 0, 0, 1, 0], "branch into the middle"),
        ([3, 0, 0], "no targets"),
        ([3, 0, 2, 0, 0], "branch target out of range"),
        ([3, 0, 1, 4, 0], "branch into the middle|out of range"),
        ([4, 9], "ordinal out of range"),
        ([4, 0, 0, 0], "registers missing"),
        ([5, 1], "ordinal out of range"),
        ([5, 0, 1, 0], "call cut short"),
        ([5, 0, 2, 0, 1, 0, 0, 7, 0], "do not fit the calling convention"),
        ([5, 0, 1, 1, 1, 0, 0, 0, 7, 0], "do not fit the calling convention"),
        ([5, 0, 1, 0, 2, 0, 0, 7, 0], "do not fit the calling convention"),
        ([5, 0, 65535, 0, 65535, 0], "registers missing"),
        ([6, 1, 0, 7, 0], "ordinal out of range"),
        ([8, 1, 0, 2, 0], "no text"),
        ([8, 1, 0, 0, 1], "no text"),
        ([22, 2, 0, 7, 0], "ordinal out of range"),
        ([23, 3, 0, 1], "registers missing"),
        ([23, 1, 2, 7, 0], "register out of range"),
        ([27, 1, 0, 7, 0], "global of another kind"),
        ([27, 2, 0, 7, 0], "ordinal out of range"),
        ([29, 0, 0, 7, 0], "global of another kind"),
        ([7, 0, 19, 0, 1], "runs off the end"),
    ],
)  # fmt: skip
def test_malformed_code(library: Library, code: list[int], text: str) -> None:
    module = simple()
    module.functions[0].code = np.array(code, np.uint16)
    module.functions[0].scalar_registers, module.functions[0].ref_registers = 4, 2
    refuse(library, module.encode(), rf"function 'main', unit \d+: .*({text})")


def test_code_of_functions_does_not_overlap(library: Library) -> None:
    data = bytearray(make_module({"a": ("_", "return"), "b": ("_", "return")}).encode())
    functions = struct.unpack_from("<Q", data, section(data, 4) + 8)[0]
    struct.pack_into("<I", data, functions + 24 + 8, 0)
    refuse(library, repair(data), "code overlaps that of the function before")


def test_a_loaded_module_runs(library: Library) -> None:
    def native(call: Any) -> int:
        call.contents.scalar_results[0] = call.contents.scalars[0] * 2
        return 0

    context = Context(library, simple().encode(), natives={"a.b": ("[I]_I", native)})
    assert context.call("main", 21, refs=[None]) == [42]
