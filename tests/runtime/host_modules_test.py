"""Modules written in Python, modules that import from each other, bounds and tracing, through mlirage.load."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mlirage import runtime
from mlirage.errors import DeviceError, UsageError

sys.path.insert(0, str(Path(__file__).parents[1] / "vm"))
from compile_host import compile_host
from modules import make_module

from mlirage.module_file import Import


def _load(functions: dict[str, tuple[str, str]], imports: list[Import], *links: object, **settings: object) -> object:
    module = make_module(functions, imports=imports)
    return runtime.load(module.encode(), device="local-sync", imports=links, **settings)


def test_every_kind() -> None:
    seen: list[object] = []

    def swap(i: int, w: int, f: float, d: float) -> tuple[float, float, int, int]:
        seen.append((i, w, f, d))
        return d, f, w, i

    run = _load(
        {"f": ("iIfF_FfIi", "call_import t.swap [], s0, s1, s2, s3 -> s0, s1, s2, s3\nreturn s0, s1, s2, s3")},
        [Import("t.swap", "iIfF_FfIi")],
        runtime.Module("t", {"swap": ("iIfF_FfIi", swap)}),
    )
    assert run(-5, 2**40, 0.5, 1e300) == (1e300, 0.5, 2**40, -5)
    assert seen == [(-5, 2**40, 0.5, 1e300)]


def test_buffers_are_shared_and_lists_are_opaque() -> None:
    def fill(buffer: np.ndarray, nothing: None, groups: list[tuple[int, int]]) -> np.ndarray:
        assert nothing is None
        for position, number in groups:
            buffer[position] = number
        return np.array([9, 8], np.uint8)

    kept: list[object] = []
    code = """
      const_64_short 8 -> s0
      buffer_alloc s0 -> r0
      const_64_short 2 -> s1
      const_64_short 7 -> s2
      call_import t.fill [2], s1, s2, s2, s1, r0, r1 -> r2
      buffer_load_u8 r0, s1 -> s3
      buffer_load_u8 r0, s2 -> s4
      const_64_short 1 -> s5
      buffer_load_u8 r2, s5 -> s5
      list_create -> r1
      list_resize r1, s2
      call_import t.same [], r1 -> r3
      list_size r3 -> s6
      return s3, s4, s5, s6"""
    run = _load(
        {"f": ("_iiiI", code)},
        [Import("t.fill", "rr[II]_r"), Import("t.same", "r_r")],
        runtime.Module("t", {"fill": ("rr[II]_r", fill), "same": ("r_r", lambda x: kept.append(x) or x)}),
    )
    assert run() == (7, 2, 8, 7)
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("raised", "text"),
    [(ValueError("no"), "ValueError: no"), (NotImplementedError("x"), "NotImplementedError: x"),
     (IndexError("9"), "IndexError: 9"), (RuntimeError("broken"), "RuntimeError: broken"),
     (KeyboardInterrupt(), "KeyboardInterrupt: ")],
)  # fmt: skip
def test_exceptions_are_failures_with_their_text(raised: BaseException, text: str) -> None:
    def fail() -> None:
        raise raised

    run = _load(
        {"f": ("_", "call_import t.fail []\nreturn")},
        [Import("t.fail", "_")],
        runtime.Module("t", {"fail": ("_", fail)}),
    )
    with pytest.raises(DeviceError, match=f"{text}(.|\n)*at t.fail\n  at f"):
        run()


@pytest.mark.parametrize("value", [None, "text", (1, 2), 2**40])
def test_results_that_do_not_fit(value: object) -> None:
    run = _load(
        {"f": ("_i", "call_import t.g [] -> s0\nreturn s0")},
        [Import("t.g", "_i")],
        runtime.Module("t", {"g": ("_i", lambda: value)}),
    )
    with pytest.raises(DeviceError, match=r"the results do not fit '_i'"):
        run()


def test_wrong_modules_are_refused() -> None:
    with pytest.raises(UsageError, match=r"t\.f: 'x' is no calling convention"):
        runtime.Module("t", {"f": ("x", print)})
    with pytest.raises(UsageError, match=r"t\.f: expected a calling convention and a function"):
        runtime.Module("t", {"f": print})  # type: ignore[dict-item]
    functions = {"f": ("_", "call_import t.g []\nreturn")}
    with pytest.raises(DeviceError, match=r"imports what nothing provides: t\.g"):
        _load(functions, [Import("t.g", "_", version=3)], runtime.Module("t", {"g": ("_", print)}, version=2))
    with pytest.raises(DeviceError, match=r"import 't\.g' is called as '_' but provided as '_i'"):
        _load(functions, [Import("t.g", "_")], runtime.Module("t", {"g": ("_i", print)}))


def test_modules_import_from_each_other() -> None:
    inner = make_module({"twice": ("I_I", "add_i64 s0, s0 -> s0\nreturn s0")}, name="inner").encode()
    functions = {"f": ("I_I", "call_import inner.twice [], s0 -> s0\ncall_import t.g [], s0 -> s0\nreturn s0")}
    imports = [Import("inner.twice", "I_I"), Import("t.g", "I_I")]
    run = _load(functions, imports, inner, runtime.Module("t", {"g": ("I_I", lambda x: x + 1)}))
    assert run(20) == (41,)


def test_compiled_calls_of_other_modules() -> None:
    """A function without a body is another module's."""
    module = compile_host("""
      func.func private @t.scale(f64, i32) -> f64
      func.func @f(%x: f64) -> f64 {
        %n = arith.constant 3 : i32
        %y = func.call @t.scale(%x, %n) : (f64, i32) -> f64
        return %y : f64
      }
    """)
    host = runtime.Module("t", {"scale": ("Fi_F", lambda x, n: x * n)})
    assert runtime.load(module.encode(), device="local-sync", imports=[host])(1.5) == (4.5,)


def test_jump_limit_trace_and_cancel() -> None:
    lines: list[str] = []
    run = _load({"f": ("_", "L0:\nbranch L0")}, [], jump_limit=3, trace=lines.append)
    with pytest.raises(DeviceError, match="more than 3 calls and backward jumps"):
        run()
    assert lines == ["f+0 branch L0"] * 4
    endless = _load({"f": ("_", "L0:\nbranch L0")}, [], jump_limit=2**63)
    threading.Timer(0.1, endless.cancel).start()
    with pytest.raises(DeviceError, match="the call was cancelled"):
        endless()
