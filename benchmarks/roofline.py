"""What this machine can do at most, measured: multiply-adds per second of one core, and bytes copied per second.

Kernels are judged against these figures, taken in the same run, because a shared machine is never the same twice.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlirage.codegen import llvm
from mlirage.codegen.link import link_shared_object
from mlirage.codegen.target import CpuTarget, parse_target

_CHAINS, _UNROLLED, _ITERATIONS = 14, 8, 20_000
_KEEP: list[object] = []


def fma_kernel(element: str = "float", target: CpuTarget | None = None) -> tuple[Callable[[], None], int]:
    """Independent chains of fused multiply-adds in registers.

    Returns:
      a call that runs them, and how many floating-point operations it does.
    """
    target = target or parse_target("host")
    lanes = target.vector_bytes // (4 if element == "float" else 8)
    kind = f"<{lanes} x {element}>"
    name = f"llvm.fma.v{lanes}f{32 if element == 'float' else 64}"
    lines = [
        "define void @peak(i64 %n, ptr %p) {", "entry:", f"  %c = load {kind}, ptr %p, align 4",
        f"  %q = getelementptr i8, ptr %p, i64 {target.vector_bytes}", f"  %d = load {kind}, ptr %q, align 4",
        "  br label %loop", "loop:", "  %i = phi i64 [0, %entry], [%j, %loop]",
    ]  # fmt: skip
    lines += [f"  %s{c}_0 = phi {kind} [zeroinitializer, %entry], [%s{c}_{_UNROLLED}, %loop]" for c in range(_CHAINS)]
    lines += [
        f"  %s{c}_{u + 1} = call {kind} @{name}({kind} %c, {kind} %d, {kind} %s{c}_{u})"
        for u in range(_UNROLLED)
        for c in range(_CHAINS)
    ]
    lines += ["  %j = add i64 %i, 1", "  %more = icmp ult i64 %j, %n", "  br i1 %more, label %loop, label %end", "end:"]
    total = f"%s0_{_UNROLLED}"
    for c in range(1, _CHAINS):
        lines.append(f"  %t{c} = fadd {kind} {total}, %s{c}_{_UNROLLED}")
        total = f"%t{c}"
    lines += [f"  store {kind} {total}, ptr %p, align 4", "  ret void", "}"]
    lines.append(f"declare {kind} @{name}({kind}, {kind}, {kind})")
    attribute = f'"prefer-vector-width"="{target.vector_bytes * 8}"'
    text = "\n".join(lines).replace("ptr %p) {", f"ptr %p) {attribute} {{") + "\n"
    function = _loaded(llvm.compile_ir(text, target).object, target, "peak")
    function.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    data = np.zeros(4 * target.vector_bytes, np.uint8)
    _KEEP.append(data)
    return lambda: function(_ITERATIONS, data.ctypes.data), 2 * lanes * _CHAINS * _UNROLLED * _ITERATIONS


def workgroup_loop() -> Callable[[object, object, object, int, int], int]:
    """Calls all workgroups of an entry point, as a runtime does: a call of ctypes takes as long as a small workgroup.

    Returns:
      (entry point, dispatch state, workgroup state, workgroups, times) -> 0, or the sum of the errors.
    """
    target = parse_target("host")
    text = """
define i32 @run(ptr %entry, ptr %dispatch, ptr %workgroup, i32 %count, i32 %times) {
start:
  br label %outer
outer:
  %t = phi i32 [0, %start], [%u, %next]
  %failed = phi i32 [0, %start], [%sum, %next]
  br label %inner
inner:
  %i = phi i32 [0, %outer], [%j, %inner]
  %errors = phi i32 [%failed, %outer], [%sum, %inner]
  store i32 %i, ptr %workgroup
  %status = call i32 %entry(ptr %dispatch, ptr %workgroup)
  %sum = add i32 %errors, %status
  %j = add i32 %i, 1
  %more = icmp ult i32 %j, %count
  br i1 %more, label %inner, label %next
next:
  %u = add i32 %t, 1
  %again = icmp ult i32 %u, %times
  br i1 %again, label %outer, label %end
end:
  ret i32 %sum
}
"""
    function = _loaded(llvm.compile_ir(text, target).object, target, "run")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
    return function


def _loaded(code: bytes, target: CpuTarget, name: str) -> Any:
    """A function of an object file; the library stays loaded as long as the process lives."""
    file = tempfile.NamedTemporaryFile(suffix=".so")  # noqa: SIM115 (lives as long as the process)
    file.write(link_shared_object([code], target, name))
    file.flush()
    _KEEP.append(file)
    return ctypes.CDLL(file.name)[name]


def copy_kernel(size: int = 64 << 20) -> tuple[Callable[[], None], int]:
    """A copy of `size` bytes from memory to memory; returns a call and the bytes that it reads and writes."""
    source, target = np.ones(size // 8), np.zeros(size // 8)
    return lambda: np.copyto(target, source), 2 * size


def read_kernel(size: int = 64 << 20) -> tuple[Callable[[], None], int]:
    """A sum over `size` bytes of memory; returns a call and the bytes that it reads."""
    source = np.ones(size // 4, np.float32)
    return lambda: source.max(), size


def interleaved(
    calls: Mapping[str, Callable[[], object]], seconds: float = 0.5, clock: Callable[[], float] = time.thread_time
) -> dict[str, float]:
    """Median time per call, the calls taking turns; by default processor time of this thread."""
    repeats: dict[str, int] = {}
    for name, call in calls.items():
        call()
        start = clock()
        call()
        repeats[name] = max(1, int(0.004 / max(clock() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(map(len, times.values())) < 3:
        for name, call in calls.items():
            start = clock()
            for _ in range(repeats[name]):
                call()
            times[name].append((clock() - start) / repeats[name])
    return {name: float(np.median(samples)) for name, samples in times.items()}
