"""Loading a module and calling its functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mlirage.errors import UsageError
from mlirage.runtime import _runtime, arrays
from mlirage.runtime.caller_memory import taking_memory
from mlirage.runtime.calls import Call
from mlirage.runtime.devices import Device, device
from mlirage.runtime.host import Module, contents_of, make_links
from mlirage.runtime.mutation import mutating
from mlirage.runtime.parameters import ParameterSource, make_parameters
from mlirage.runtime.profiling import Profile
from mlirage.runtime.signature import Signature, parse_signature
from mlirage.runtime.trees import flattener, unflattener

ModuleSource = str | os.PathLike[str] | bytes | bytearray | memoryview
_MODULE_SOURCES = (str, os.PathLike, bytes, bytearray, memoryview)


class LoadedModule(_runtime.Session):
    """A module on a device, with its state. Calling it calls `main`, or its only function.

    Functions are attributes and items: `run.encode(x)`, `run["encode"](x)`. A function takes arrays by position or by
    name and gives a tuple of arrays (PyTorch and JAX programs: what the source returned). numpy arrays are used in
    place and never written to; results own their memory.
    """

    device: Device
    signatures: dict[str, Signature]

    def __init__(
        self,
        source: ModuleSource,
        device: Device,
        parameters: ParameterSource | None = None,
        links: _runtime.Links | None = None,
    ) -> None:
        given = make_parameters(parameters).native
        if links is not None:
            super().__init__(device, contents_of(source), given, links)
        elif isinstance(source, str | os.PathLike):
            super().__init__(device, _path_text(source), given)
        elif isinstance(source, memoryview) and not source.c_contiguous:
            raise UsageError("load() takes the bytes of a module in one piece, got a memoryview with strides")
        else:
            super().__init__(device, source, given)
        self.device = device
        self.signatures = {}
        self._functions: dict[str, Any] = {}
        for name, convention, text in self.functions():
            signature = parse_signature(name, convention, text)
            self.signatures[name] = signature
            self._functions[name] = self._make_function(signature)
        main = self._functions.get("main")
        # Companions that tell of scratch memory are not what a call of the module means.
        callable_names = [name for name in self._functions if not name.endswith(".scratch_size")]
        if main is None and len(callable_names) == 1:
            main = self._functions[callable_names[0]]
        if main is not None:
            self.set_main(main)

    def _make_function(self, signature: Signature) -> Any:
        symbols: dict[str, int] = {}

        def extent(value: int | str | None) -> int:
            if isinstance(value, int):
                return value
            return -1 if value is None else -2 - symbols.setdefault(value, len(symbols))

        outputs = iter([number for number, result in enumerate(signature.results) if not result.scalar])
        takes_memory = any(argument.role for argument in signature.arguments)
        arguments = [
            (
                argument.name,
                arrays.OPAQUE if argument.dtype is None else arrays.ELEMENT_TYPES.get(argument.dtype, arrays.OPAQUE),
                None if argument.shape is None else [extent(value) for value in argument.shape],
                argument,
                next(outputs) if argument.role == "output" else None,
            )
            for argument in signature.arguments
        ]
        results = [None if r.scalar or r.dtype is None else arrays.dtype(r.dtype) for r in signature.results]
        function = self.function(
            signature.name,
            arguments,
            results,
            len(symbols),
            arrays.convert,
            arrays.dtype_of_element_type,
            None if signature.in_tree is None or takes_memory else flattener(signature.name, signature.in_tree),
            None if signature.out_tree is None or takes_memory else unflattener(signature.out_tree),
            Call,
        )
        if takes_memory:
            function = taking_memory(function, signature)
        return mutating(function, signature) if signature.mutated else function

    def __getitem__(self, name: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise UsageError(f"no function {name!r}; the module has {', '.join(self._functions) or 'none'}")
        return function

    def __getattr__(self, name: str) -> Any:
        functions: dict[str, Any] = self.__dict__.get("_functions", {})
        if name in functions:
            return functions[name]
        raise AttributeError(f"no function or attribute {name!r}; functions: {', '.join(functions) or 'none'}")

    def profile(self, capacity: int = 1 << 16) -> Profile:
        """A context in which the module's device records what it runs (that of other modules on it, too).

        Modules of the inline execution models run without a device: nothing is recorded.
        """
        return Profile(self.device, capacity)

    def __repr__(self) -> str:
        return f"<mlirage module on {self.device.name}: {', '.join(map(str, self.signatures.values()))}>"


def _path_text(path: str | os.PathLike[str]) -> str:
    """The path as the runtime, written in C, takes it.

    Raises:
      UsageError: it is not text in UTF-8, or ends before its end.
    """
    text = os.fsdecode(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the path {text!r} is not UTF-8; rename the file, or give load() its bytes") from None
    if "\0" in text:
        raise UsageError(f"the path {text!r} has a null character")
    return text


def load(
    source: ModuleSource,
    device: str | Device = "local-task",
    threads: int | None = None,
    parameters: ParameterSource | None = None,
    imports: Sequence[Module | ModuleSource] = (),
    jump_limit: int = 0,
    trace: Callable[[str], None] | None = None,
) -> LoadedModule:
    """Loads a compiled module: a path, or the bytes of one (`mlirage.compile` gives such).

    Args:
      source: a file is mapped, not read: it must not change while the module is used.
      device: "local-task" (a pool of threads), "local-sync" (the calling thread), "null" (runs nothing), or a
        `mlirage.runtime.Device`.
      threads: of local-task, the calling one included; None for all cores.
      parameters: the weights of a module compiled with `parameters=FILE`: such a file (mapped, not read), its bytes,
        a mapping of keys to arrays, or `mlirage.runtime.Parameters` of several.
      imports: modules that this one imports from: compiled ones, and `mlirage.runtime.Module`s of Python functions.
      jump_limit: calls and backward jumps after which a call fails; 0: no limit. For modules that are not trusted.
      trace: given a line for every instruction of the host program.

    Raises:
      DeviceError: the module or the parameter file is malformed, a parameter is missing, or the code is not for this
        machine.
      UsageError: no such device.
    """
    if not isinstance(source, _MODULE_SOURCES):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"load() takes a path or the bytes of a module, got {type(source).__name__}")
    links = make_links(imports, jump_limit, trace) if imports or jump_limit or trace else None
    if isinstance(device, Device):
        if threads is not None:
            raise UsageError("threads= belongs to the device: make it with mlirage.runtime.device(name, threads)")
        return LoadedModule(source, device, parameters, links)
    return LoadedModule(source, _device(device, threads), parameters, links)


_device = device  # `device` is the name of load()'s argument
