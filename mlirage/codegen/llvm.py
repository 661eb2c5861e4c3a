"""The only import of llvmlite: LLVM IR text becomes assembly and an object file for any CPU.

The bindings of MLIR print LLVM IR of a newer LLVM than llvmlite reads; `downgrade` rewrites the few forms that differ.
Nothing here looks at the host except `host_triple` and `host_cpu`.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.binding as binding
import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from mlirage.codegen.target import CpuTarget

VERSION = binding.llvm_version_info


@functools.cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()


def host_triple() -> str:
    """The triple of this process, as Linux: embedded ELF files are the same on every operating system."""
    _initialize()
    return f"{binding.get_process_triple().split('-')[0]}-unknown-linux-gnu"


def host_cpu() -> tuple[str, tuple[str, ...]]:
    """Name and features ("+name", sorted) of this machine's processor."""
    _initialize()
    features = binding.get_host_cpu_features()
    return binding.get_host_cpu_name(), tuple(sorted(f"+{name}" for name, on in features.items() if on))


@functools.cache
def _target_machine(triple: str, cpu: str, features: tuple[str, ...], opt_level: int) -> Any:
    _initialize()
    options: dict[str, Any] = {}
    if triple.startswith("riscv"):
        options["abiname"] = "lp64d" if triple.startswith("riscv64") else "ilp32d"
    return binding.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=",".join(features), opt=opt_level, reloc="pic", codemodel=_code_model(triple), **options
    )


def _code_model(triple: str) -> str:
    return "medium" if triple.startswith("riscv") else "small"


@dataclass(frozen=True)
class Compiled:
    """What LLVM made of a module."""

    object: bytes
    optimized_ir: str
    assembly: str


def compile_ir(
    text: str, target: CpuTarget, opt_level: int = 3, keep_text: bool = False, unroll: bool = True
) -> Compiled:
    """Optimizes and compiles LLVM IR for `target`.

    Args:
      unroll: whether LLVM unrolls loops that it did not vectorize itself.

    Raises:
      RuntimeError: LLVM does not read or verify the text.
    """
    machine = _target_machine(target.triple, target.cpu, target.llvm_features, opt_level)
    module = binding.parse_assembly(text, binding.create_context())
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    tuning = binding.create_pipeline_tuning_options(speed_level=opt_level)
    tuning.loop_vectorization = opt_level >= 2
    tuning.slp_vectorization = False  # kernels have loops and vectors: it finds nothing and takes a third of the time
    tuning.loop_unrolling = unroll and opt_level >= 2
    tuning.loop_interleaving = opt_level >= 2
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    optimized = str(module) if keep_text else ""
    # Code generation changes the module that it is given: the object comes first, the listing from a copy.
    copy = module.clone() if keep_text else None
    emitted = machine.emit_object(module)
    return Compiled(emitted, optimized, machine.emit_assembly(copy) if copy else "")


_TOKEN = re.compile(
    r'(?<![\w.%@$"])(bfloat|half|float|double)\b'
    r'|(?<![\w.%@$"-])([-+]?\d+\.\d*(?:[eE][-+]?\d+)?|[-+]inf|[-+](?:qnan|s?nan\(0x[0-9A-Fa-f]+\))|f0x[0-9A-Fa-f]+)(?![\w.])'
)
# total bits, exponent bits, mantissa bits
_FORMATS = {"float": (32, 8, 23), "double": (64, 11, 52), "half": (16, 5, 10), "bfloat": (16, 8, 7)}


def downgrade(text: str) -> str:
    """Rewrites float constants (`1.000000e-01`, `f0x3F8CCCCD`, `+inf`, `-nan(0x1)`) to hexadecimal ones that every
    LLVM reads. The type of a constant is the nearest float type before it on its line."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith(("!", ";", "source_filename")) and any(k in line for k in ("e", "inf", "nan", "f0x")):
            line = _rewrite_line(line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _rewrite_line(line: str) -> str:
    current: str | None = None

    def replace(match: re.Match[str]) -> str:
        nonlocal current
        if match.group(1):
            current = match.group(1)
        elif current is not None:
            return _hexadecimal(current, _constant_bits(current, match.group(2)))
        return match.group(0)

    return _TOKEN.sub(replace, line)


def _constant_bits(kind: str, token: str) -> int:
    width, exponent, mantissa = _FORMATS[kind]
    sign = 1 << (width - 1) if token.startswith("-") else 0
    infinity = ((1 << exponent) - 1) << mantissa
    if token.startswith("f0x"):
        return int(token[3:], 16)
    body = token.lstrip("+-")
    if body == "inf":
        return sign | infinity
    if body == "qnan":
        return sign | infinity | 1 << (mantissa - 1)
    if body.startswith("snan"):
        return sign | infinity | int(body[5:-1], 16)
    if body.startswith("nan"):
        return sign | infinity | 1 << (mantissa - 1) | int(body[4:-1], 16)
    value = float(token)
    if kind == "double":
        return struct.unpack("<Q", struct.pack("<d", value))[0]
    if kind == "float":
        return int(np.float32(value).view(np.uint32))
    dtype = np.float16 if kind == "half" else ml_dtypes.bfloat16
    return int(np.array(value, dtype).view(np.uint16))


def _hexadecimal(kind: str, bits: int) -> str:
    if kind == "double":
        return f"0x{bits:016X}"
    if kind == "half":
        return f"0xH{bits:04X}"
    if kind == "bfloat":
        return f"0xR{bits:04X}"
    if (bits >> 23) & 255 == 255:  # infinities and NaNs: widen by hand and keep the payload
        wide = (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
    else:
        wide = struct.unpack("<Q", struct.pack("<d", struct.unpack("<f", struct.pack("<I", bits))[0]))[0]
    return f"0x{wide:016X}"
