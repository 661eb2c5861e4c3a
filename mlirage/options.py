"""Compiler options: one frozen dataclass; command-line flags, `--help` and docs derive from its fields."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlirage import debug
from mlirage.errors import UsageError

EXECUTION_MODELS = ("async-internal", "async-external", "inline-static", "inline-dynamic", "host-only")
OUTPUT_FORMATS = ("module", "c", "static-library", "asm")
_SHARED = ("target_backend", "execution_model", "outputs")
TARGET_BACKENDS = ("llvm-cpu", "vmvx", "vmvx-inline")


def option(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with the text of its flag's help."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class CompileOptions:
    """What a user may ask of the compiler. Every default is the fast, safe path."""

    target: str = option("host", "CPU to compile for: host, an LLVM triple, or triple:cpu[:+feature,…].")
    target_backend: str = option(
        "llvm-cpu",
        "Form of the kernels: machine code, code of the virtual machine, or that inlined into the module.",
        TARGET_BACKENDS,
    )
    execution_model: str = option(
        "async-internal",
        "Who waits for work, and whether there is a device: with fences inside or at the boundary of functions, all in "
        "the call with kernels loaded or linked in, or no kernels at all.",
        EXECUTION_MODELS,
    )
    output_format: str = option(
        "module",
        "What is made: a module for the runtime; the whole program as C; a static library with a header; a listing.",
        OUTPUT_FORMATS,
    )
    outputs: str = option("callee", "Who provides the memory of results and scratch.", ("callee", "caller"))
    winograd: str = option(
        "auto",
        "Convolutions of f32 by Winograd's algorithm: where it is faster, or never. It rounds a little more, and "
        "spreads infinities and NaN over neighbours.",
        ("auto", "off"),
    )
    opt_level: int = option(3, "Effort of LLVM on the kernels, 0 to 3; our own passes are the same at each.")
    input_type: str = option(
        "auto",
        "Kind of the input.",
        ("auto", "onnx", "pytorch", "jax", "tensorflow", "tflite", "mlir", "stablehlo", "tosa", "torch"),
    )
    compile_from: str = option("start", "Phase whose output the input already is; compilation goes on after it.")
    compile_to: str = option("end", "Phase after which to stop and print the program.")
    parameters: str = option("", "File (.safetensors, .irpa) that receives the weights instead of the module.")
    dump_ir: str = option("", "Folder that receives the program after every phase and every executable's files.")
    print_ir_after: str = option("", "Regular expression of pass names after which the program is printed.")
    check_vectorization: bool = option(False, "Print which dispatches have hot loops that compute on single elements.")
    timing: bool = option(False, "Print the time of every pass and phase.")
    verify_each: bool = option(False, "Verify the IR after every pass instead of after every phase.")
    jobs: int = option(0, "Worker processes for code generation; 0: one per core.")
    tuning: str = option("", "File of configurations that `mlirage tune` found.")
    cache_dir: str = option("", "Folder of the executable cache; empty: the user's cache folder; 'off': none.")

    @property
    def worker_count(self) -> int:
        """The number of code-generation workers."""
        return self.jobs or os.cpu_count() or 1

    def __post_init__(self) -> None:
        """Refuses values of the wrong type or outside the allowed ones."""
        for item in dataclasses.fields(self):
            value, kind = getattr(self, item.name), type(item.default)
            if type(value) is not kind:
                raise UsageError(f"option {item.name}={value!r}: expected {kind.__name__}")
            choices = item.metadata["choices"]
            if choices and value not in choices:
                raise UsageError(f"option {item.name}={value!r}: expected one of {', '.join(choices)}")
        self._check_models()
        if not 0 <= self.opt_level <= 3:
            raise UsageError(f"option opt_level={self.opt_level}: expected 0 to 3")
        if self.parameters and not self.parameters.endswith((".safetensors", ".irpa")):
            raise UsageError(f"option parameters={self.parameters!r}: .safetensors and .irpa files are written")
        try:
            re.compile(self.print_ir_after)
        except re.error as error:
            raise UsageError(f"option print_ir_after={self.print_ir_after!r}: {error}") from None
        if self.jobs < 0:
            raise UsageError(f"option jobs={self.jobs}: expected 0 or more")

    def _check_models(self) -> None:
        model, backend = self.execution_model, self.target_backend
        if backend == "vmvx-inline" and model != "inline-static":
            raise UsageError(f"target_backend=vmvx-inline is part of the module: execution_model={model} loads kernels")
        if backend == "vmvx" and model == "inline-static":
            raise UsageError(
                "execution_model=inline-static loads no kernels: target_backend is vmvx-inline or llvm-cpu"
            )

    @property
    def shared_flags(self) -> str:
        """The options that all phases must agree on, as flags, where they are not the default."""
        fields = [item for item in dataclasses.fields(self) if item.name in _SHARED]
        values = [(flag_name(item.name), getattr(self, item.name), item.default) for item in fields]
        return " ".join(f"{flag}={value}" for flag, value, default in values if value != default)


def flag_name(field_name: str) -> str:
    """The command-line spelling of an option: `compile_to` is `--compile-to`."""
    return "--" + field_name.replace("_", "-")


def make_options(**values: Any) -> CompileOptions:
    """Options from keywords over those in MLIRAGE_FLAGS over the defaults.

    Raises:
      UsageError: an unknown option or a value that it cannot have.
    """
    known = [item.name for item in dataclasses.fields(CompileOptions)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(f"no option is called {name!r}{hint}; options: {', '.join(known)}")
    return CompileOptions(**{**parse_flags(debug.flags()), **values})


def parse_flags(words: Sequence[str]) -> dict[str, Any]:
    """Option values from words like `--compile-to=flow`, `--opt-level=1`, `--timing`.

    Raises:
      UsageError: an unknown flag, a missing value, or a value of the wrong type.
    """
    fields = {flag_name(item.name): item for item in dataclasses.fields(CompileOptions)}
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        item = fields.get(name)
        if item is None:
            raise UsageError(f"MLIRAGE_FLAGS: no flag {name!r}; flags: {', '.join(fields)}")
        if isinstance(item.default, bool):
            if equals:
                raise UsageError(f"MLIRAGE_FLAGS: {name} takes no value")
            values[item.name] = True
        elif not equals:
            raise UsageError(f"MLIRAGE_FLAGS: {name} needs a value: {name}=…")
        elif isinstance(item.default, int):
            try:
                values[item.name] = int(text)
            except ValueError:
                raise UsageError(f"MLIRAGE_FLAGS: {word}: expected a whole number") from None
        else:
            values[item.name] = text
    return values
