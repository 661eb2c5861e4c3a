"""What code is generated for: one CPU, described by triple, processor and features.

    "host"                                        the machine that compiles
    "x86_64-unknown-linux-gnu"                    the architecture's baseline
    "x86_64-unknown-linux-gnu:x86-64-v3"          a processor or level
    "riscv64-unknown-linux-gnu:generic-rv64:+v"   processor and features
    "aarch64:generic:+sve256,+i8mm"               SVE registers of 256 bits or longer (without a length: NEON's)

Everything that a strategy may ask of a target is a property here, derived from the features, never from the host.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from mlirage.codegen import link, llvm
from mlirage.errors import UsageError

ARCHITECTURES = ("x86_64", "aarch64", "riscv64", "arm", "riscv32")
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64", "armv7": "arm", "armv7a": "arm", "thumbv7a": "arm"}
_DEFAULT_CPU = {
    "x86_64": "x86-64",
    "aarch64": "generic",
    "riscv64": "generic-rv64",
    "arm": "cortex-a9",
    "riscv32": "generic-rv32",
}
# What the ABI of the triple promises beside the processor's own features.
_DEFAULT_FEATURES = {
    "riscv64": ("+m", "+a", "+f", "+d", "+c"),
    "riscv32": ("+m", "+a", "+f", "+d", "+c"),
    "arm": ("+neon",),
}


@dataclass(frozen=True)
class CpuTarget:
    """A CPU.

    Attributes:
      triple: LLVM target triple.
      cpu: LLVM processor name.
      features: every feature that is on, as "+name", sorted.
      llvm_features: what LLVM is told beside the processor's name ("+name" and "-name").
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    llvm_features: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """One of ARCHITECTURES."""
        name = self.triple.split("-")[0]
        return _ALIASES.get(name, name)

    @property
    def pointer_bytes(self) -> int:
        """Size of a pointer and of `size_t`."""
        return 4 if self.architecture in ("arm", "riscv32") else 8

    def has(self, feature: str) -> bool:
        """Whether LLVM's `feature` is on."""
        return f"+{feature}" in self.features

    @property
    def vector_bytes(self) -> int:
        """Width of the vector registers to compute in."""
        match self.architecture:
            case "x86_64":
                return 64 if self.has("avx512f") else 32 if self.has("avx") else 16
            case "riscv64" | "riscv32":
                # Registers may be wider than a module promises (Zvl*b, in bits; V alone promises 128).
                promised = [bits for bits in _ZVL_BITS if self.has(f"zvl{bits}b")]
                return max([16, *(bits // 8 for bits in promised)]) if self.has("v") else 8
            case "aarch64":
                return max([16, *(bits // 8 for bits in SVE_BITS if self.has(f"sve{bits}"))])
            case _:
                return 16

    @property
    def uses_sve(self) -> bool:
        """Whether vectors live in SVE's registers."""
        return self.architecture == "aarch64" and self.vector_bytes > 16

    @property
    def vector_registers(self) -> int:
        """Number of vector registers."""
        if self.architecture == "x86_64":
            return 32 if self.has("avx512f") else 16
        return 16 if self.architecture == "arm" else 32

    @property
    def has_fma(self) -> bool:
        """Whether fused multiply-add of f32 and f64 is an instruction."""
        match self.architecture:
            case "x86_64":
                return self.has("fma") or self.has("avx512f")
            case "arm":
                return self.has("vfp4")
            case _:
                return True

    @property
    def has_rounding(self) -> bool:
        """Whether floor, ceil, trunc and roundeven of f32 and f64 are instructions."""
        match self.architecture:
            case "x86_64":
                return self.has("sse4.1")
            case "aarch64":
                return True
            case _:
                return False

    @property
    def l1_bytes(self) -> int:
        """First-level data cache of one core; a safe guess, not read from the host."""
        return 32 << 10

    @property
    def l2_bytes(self) -> int:
        """Second-level cache of one core; a safe guess, not read from the host."""
        return (1 << 20) if self.vector_bytes == 64 else (512 << 10)

    @property
    def format(self) -> str:
        """What a device must support to load the executable: `embedded-elf-x86_64:+avx2,+fma`.

        Only features that change what the loader must check are named.
        """
        checked = sorted(f for f in self.features if f[1:] in _CHECKED_FEATURES.get(self.architecture, ()))
        isa = "armv7" if self.architecture == "arm" else self.architecture
        return f"embedded-elf-{isa}" + (":" + ",".join(checked) if checked else "")

    @property
    def key(self) -> str:
        """A short text that differs between different targets."""
        text = f"{self.triple}\0{self.cpu}\0{','.join((*self.features, *self.llvm_features))}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


# Lengths of RISC-V's vector registers that kernels make use of.
_ZVL_BITS = (128, 256, 512)
# The same of SVE's. They are features here and in the runtime; LLVM is told by an attribute of functions.
SVE_BITS = (256, 512)

# Features that a device reports and a loader compares; tuning features (fast-…, slow-…) are not among them.
_CHECKED_FEATURES: dict[str, tuple[str, ...]] = {
    "x86_64": (
        "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "f16c", "fma", "avx2", "bmi", "bmi2", "lzcnt", "avx512f",
        "avx512cd", "avx512dq", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16", "avx512fp16", "avxvnni",
        "avx512vbmi", "avx512vbmi2", "avx512ifma", "avx512bitalg", "avx512vpopcntdq", "amx-tile", "amx-int8",
        "amx-bf16",
    ),
    "aarch64": ("fullfp16", "dotprod", "i8mm", "bf16", "sve", "sve2", "lse", *(f"sve{bits}" for bits in SVE_BITS)),
    "riscv64": ("m", "a", "f", "d", "c", "v", "zvfh", "zba", "zbb", *(f"zvl{bits}b" for bits in _ZVL_BITS)),
    "riscv32": ("m", "a", "f", "d", "c", "v", *(f"zvl{bits}b" for bits in _ZVL_BITS)),
    "arm": ("neon", "vfp4"),
}  # fmt: skip


@functools.cache
def parse_target(text: str) -> CpuTarget:
    """The target called `text`.

    Raises:
      UsageError: the triple, processor or a feature is not known.
    """
    if text in ("", "host"):
        cpu, features = llvm.host_cpu()
        return CpuTarget(llvm.host_triple(), cpu, features, features)
    triple, _, rest = text.partition(":")
    cpu, _, feature_text = rest.partition(":")
    if cpu.startswith(("+", "-")):
        cpu, feature_text = "", cpu
    architecture = _ALIASES.get(triple.split("-")[0], triple.split("-")[0])
    if architecture not in ARCHITECTURES:
        raise UsageError(f"target {text!r}: no code generator for {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    if "-" not in triple:
        suffix = "unknown-linux-gnueabihf" if architecture == "arm" else "unknown-linux-gnu"
        triple = f"{'armv7' if architecture == 'arm' else architecture}-{suffix}"
    asked = (*_DEFAULT_FEATURES.get(architecture, ()), *(f.strip() for f in feature_text.split(",") if f.strip()))
    for feature in asked:
        if feature[0] not in "+-":
            raise UsageError(f"target {text!r}: feature {feature!r} must start with + or -")
        if not _is_sve_length(architecture, feature):
            link.check_feature(architecture, feature[1:])
    cpu = cpu or _DEFAULT_CPU[architecture]
    features = set(link.cpu_features(architecture, cpu))
    for feature in asked:
        features.discard(f"+{feature[1:]}")
        if feature[0] == "+":
            features.add(feature)
    told = tuple("+sve" if _is_sve_length(architecture, feature) else feature for feature in asked)
    if told != asked:
        features.add("+sve")
    return CpuTarget(triple, cpu, tuple(sorted(features)), told)


def _is_sve_length(architecture: str, feature: str) -> bool:
    return architecture == "aarch64" and feature in [f"+sve{bits}" for bits in SVE_BITS]
