"""What this machine can do at most, measured: operations on f32 per second, and bytes per second from memory.

One thread runs independent chains of fused multiply-adds in registers, or sums up more memory than the caches hold;
several threads do so at the same time.
"""

from __future__ import annotations

import ctypes
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlirage.codegen import llvm
from mlirage.codegen.link import link_shared_object
from mlirage.codegen.target import CpuTarget, parse_target

_CHAINS, _STEPS = 12, 8
_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True)
class Peaks:
    """Of all threads together.

    Attributes:
      gflops: billions of f32 operations per second.
      gigabytes: billions of bytes read per second.
    """

    threads: int
    gflops: float
    gigabytes: float


def measure_peaks(threads: int, seconds: float = 0.3) -> Peaks:
    """Measures this machine; takes about two times `seconds`.

    Raises:
      TargetError: the kernel cannot be built.
    """
    target = parse_target("host")
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(link_shared_object([llvm.compile_ir(_kernel(target), target).object], target, "peak"))
        file.flush()
        function = ctypes.CDLL(file.name).peak
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p]
        lanes, rounds = target.vector_bytes // 4, 20_000
        data = np.zeros(4 * target.vector_bytes, np.uint8)
        flops = 2 * lanes * _CHAINS * _STEPS * rounds
        compute = _rate(lambda: lambda: function(rounds, data.ctypes.data), threads, flops, seconds)

    def reader() -> Callable[[], object]:
        source = np.ones(_MEMORY_BYTES // 4, np.float32)
        return source.max

    return Peaks(threads, compute * 1e-9, _rate(reader, threads, _MEMORY_BYTES, seconds) * 1e-9)


def _kernel(target: CpuTarget) -> str:
    """LLVM IR of `void peak(rounds, memory)`."""
    lanes = target.vector_bytes // 4
    kind = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32" if target.has_fma else f"@llvm.fmuladd.v{lanes}f32"
    sums = [f"%sum{c}" for c in range(_CHAINS)]
    lines = [
        f"define void @peak(i64 %rounds, ptr %memory) {{\n  %x = load {kind}, ptr %memory, align 4\n  br label %loop"
    ]
    lines.append("loop:\n  %i = phi i64 [0, %0], [%next, %loop]")
    lines += [f"  {name} = phi {kind} [zeroinitializer, %0], [{name}.{_STEPS}, %loop]" for name in sums]
    for step in range(_STEPS):
        for name in sums:
            old = name if step == 0 else f"{name}.{step}"
            lines.append(f"  {name}.{step + 1} = call {kind} {fma}({kind} %x, {kind} %x, {kind} {old})")
    lines.append(
        "  %next = add i64 %i, 1\n  %more = icmp ult i64 %next, %rounds\n  br i1 %more, label %loop, label %end"
    )
    lines.append("end:")
    total = f"{sums[0]}.{_STEPS}"
    for name in sums[1:]:
        lines.append(f"  {name}.t = fadd {kind} {total}, {name}.{_STEPS}")
        total = f"{name}.t"
    lines.append(
        f"  store {kind} {total}, ptr %memory, align 4\n  ret void\n}}\ndeclare {kind} {fma}({kind}, {kind}, {kind})"
    )
    width = f'"prefer-vector-width"="{target.vector_bytes * 8}"'
    return "\n".join(lines).replace("%memory) {", f"%memory) {width} {{") + "\n"


def _rate(make: Callable[[], Callable[[], object]], threads: int, amount: int, seconds: float) -> float:
    """Amount per second of a call, of the fastest fifth of what all threads did at the same time."""
    rates = np.zeros(threads)
    start = threading.Barrier(threads)

    def work(number: int) -> None:
        call = make()
        call()
        start.wait()
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        rates[number] = amount / float(np.quantile(times, 0.2))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return float(rates.sum())
