"""The C virtual machine driven by ctypes: what the tests of modules and code run on."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.module_file import ModuleFile

RUNTIME = Path(__file__).parents[2] / "runtime"
SOURCES = (
    [RUNTIME / "src" / "base" / f"{name}.c" for name in ("allocator", "error", "object", "string")]
    + [RUNTIME / "src" / "platform" / "allocator_libc.c"]
    + sorted((RUNTIME / "src" / "module").glob("*.c"))
    + sorted((RUNTIME / "src" / "vm").glob("*.c"))
)
WARNINGS = [f"-W{name}" for name in (
    "all", "extra", "pedantic", "shadow", "conversion", "strict-prototypes", "missing-prototypes", "vla", "undef",
    "double-promotion", "cast-qual", "write-strings", "error",
)]  # fmt: skip


def build(output: Path, *flags: str, sources: Sequence[Path] = ()) -> Path:
    """Compiles the VM, and `sources`, with every warning as an error."""
    includes = [f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
    command = ["gcc", "-std=c11", *WARNINGS, *includes, *flags, *map(str, [*SOURCES, *sources]), "-o", str(output)]
    subprocess.run(command, check=True)
    return output


class Failure(Exception):
    """A status other than OK: its name and text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class _Error(ctypes.Structure):
    _fields_ = (("status", c_int), ("text", c_char * 512))


class _Storage(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("size", c_size_t), ("self", c_void_p), ("release", c_void_p))


class _Allocator(ctypes.Structure):
    _fields_ = (("self", c_void_p), ("resize", c_void_p))


class _Options(ctypes.Structure):
    _fields_ = (
        ("stack_size", c_size_t),
        ("jump_limit", c_uint64),
        ("poll", c_void_p),
        ("poll_self", c_void_p),
        ("trace", c_void_p),
        ("trace_self", c_void_p),
    )


class _Convention(ctypes.Structure):
    _fields_ = tuple(
        (name, c_uint16) for name in ("scalar_arguments", "ref_arguments", "scalar_results", "ref_results", "groups")
    )


class _Function(ctypes.Structure):
    _fields_ = (("module", c_uint32), ("function", c_uint32), ("convention", _Convention))


class Call(ctypes.Structure):
    """mlirage_vm_call_t."""

    _fields_ = (
        ("self", c_void_p),
        ("scalars", POINTER(c_uint64)),
        ("refs", POINTER(c_void_p)),
        ("group_counts", POINTER(c_uint16)),
        ("scalar_results", POINTER(c_uint64)),
        ("ref_results", POINTER(c_void_p)),
        ("can_suspend", c_bool),
        ("pending", c_void_p),
        ("error", c_void_p),
        ("export_index", c_size_t),
        ("invocation", c_void_p),
    )


PENDING = 10  # mlirage_status_t

Poll = ctypes.CFUNCTYPE(c_int, c_void_p)
Trace = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)
NativeFunction = ctypes.CFUNCTYPE(c_int, POINTER(Call))


class _Export(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("convention", c_char_p), ("function", NativeFunction))


class _NativeModule(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        ("version", c_uint32),
        ("count", c_size_t),
        ("exports", POINTER(_Export)),
        ("self", c_void_p),
    )


class _Type(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("destroy", ctypes.CFUNCTYPE(None, c_void_p)))


class _Header(ctypes.Structure):
    _fields_ = (("type", POINTER(_Type)), ("count", c_size_t))


class Object:
    """A reference-counted object of the host; knows when it has been destroyed."""

    def __init__(self, type_name: str = "test.object") -> None:
        self.destroyed = False
        self._type = _Type(type_name.encode(), _Type._fields_[1][1](self._destroy))
        self._header = _Header(ctypes.pointer(self._type), 1)
        self.address = ctypes.addressof(self._header)

    def _destroy(self, _: int) -> None:
        self.destroyed = True

    @property
    def count(self) -> int:
        """References that are held."""
        return self._header.count

    def retain(self) -> int:
        """The address with one more reference, for giving away."""
        self._header.count += 1
        return self.address


class Library:
    """A built VM."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.mlirage_allocator_system.restype = _Allocator
        self.c.mlirage_status_name.restype = c_char_p
        self.c.mlirage_vm_pending.restype = c_void_p
        self.c.mlirage_vm_cancel.restype = None

    def check(self, status: int, error: _Error) -> None:
        """Raises what a function returned."""
        if status:
            raise Failure(self.c.mlirage_status_name(status).decode(), error.text.decode())

    def load(self, contents: bytes, check_data: bool = False, misalign: int = 0) -> Module:
        """A verified module."""
        return Module(self, contents, check_data, misalign)


class Module:
    """A loaded module file."""

    def __init__(self, library: Library, contents: bytes, check_data: bool, misalign: int) -> None:
        self.library = library
        block = np.zeros(len(contents) + 128, np.uint8)
        start = -block.ctypes.data % 64 + misalign
        self.memory = block[start : start + len(contents)]
        self.memory[:] = np.frombuffer(contents, np.uint8)
        storage = _Storage(self.memory.ctypes.data, len(contents), None, None)
        self.pointer, error = c_void_p(), _Error()
        allocator, create = library.c.mlirage_allocator_system(), library.c.mlirage_module_create
        status = create(allocator, storage, int(check_data), byref(self.pointer), byref(error))
        library.check(status, error)

    def __del__(self) -> None:
        self.library.c.mlirage_module_release(self.pointer)


class Context:
    """Linked modules and one stack.

    `natives` maps 'module.function' to (convention, Python function of a Call that returns a status).
    """

    def __init__(
        self,
        library: Library,
        *contents: bytes | ModuleFile,
        natives: dict[str, tuple[str, Any]] | None = None,
        stack_size: int = 0,
        jump_limit: int = 0,
        poll: Callable[[], int] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.library = library
        # Kept: C holds their addresses.
        self._poll = Poll(lambda _: poll()) if poll is not None else Poll()
        self._trace = Trace(lambda _, line: trace(line.decode())) if trace is not None else Trace()
        self.pointer, self.invocation = c_void_p(), c_void_p()
        files = [file.encode() if isinstance(file, ModuleFile) else file for file in contents]
        self.modules = [library.load(file) for file in files]
        array = (c_void_p * len(files))(*(module.pointer for module in self.modules))
        self.natives = self._native_modules(natives or {})
        options, error = (
            _Options(
                stack_size,
                jump_limit,
                ctypes.cast(self._poll, c_void_p),
                None,
                ctypes.cast(self._trace, c_void_p),
                None,
            ),
            _Error(),
        )
        allocator = library.c.mlirage_allocator_system()
        status = library.c.mlirage_vm_context_create(
            allocator, byref(options), self.natives, c_size_t(len(self.natives)), array, c_size_t(len(files)),
            byref(self.pointer), byref(error),
        )  # fmt: skip
        library.check(status, error)
        library.check(library.c.mlirage_vm_invocation_create(self.pointer, byref(self.invocation), byref(error)), error)

    def _native_modules(self, natives: dict[str, tuple[str, Any]]) -> Any:
        modules: dict[str, list[_Export]] = {}
        for name, (convention, function) in natives.items():
            module, _, short = name.partition(".")
            export = _Export(short.encode(), convention.encode(), NativeFunction(function))
            modules.setdefault(module, []).append(export)
        self.exports = {name: (_Export * len(items))(*items) for name, items in modules.items()}
        return (_NativeModule * len(modules))(
            *(_NativeModule(name.encode(), 1, len(items), items, None) for name, items in self.exports.items())
        )

    def lookup(self, name: str, module: int = 0) -> _Function:
        """An export."""
        function, error = _Function(), _Error()
        lookup = self.library.c.mlirage_vm_context_lookup
        self.library.check(lookup(self.pointer, c_size_t(module), name.encode(), byref(function), byref(error)), error)
        return function

    def call(self, name: str, *scalars: int, refs: Sequence[int | None] = (), module: int = 0) -> list[int]:
        """Calls an export with 64-bit slots; gives the scalar results (the references are in `self.refs`)."""
        function, error = self.lookup(name, module), _Error()
        arguments = (c_uint64 * len(scalars))(*(value % 2**64 for value in scalars))
        objects = (c_void_p * len(refs))(*refs)
        results = (c_uint64 * function.convention.scalar_results)()
        self.refs = (c_void_p * function.convention.ref_results)()
        invoke = self.library.c.mlirage_vm_invoke
        status = invoke(self.invocation, byref(function), arguments, objects, results, self.refs, byref(error))
        self.library.check(status, error)
        return list(results)

    def begin(self, name: str, *scalars: int, refs: Sequence[int | None] = ()) -> bool:
        """Starts a call that may suspend; whether it has finished."""
        self.function, error = self.lookup(name), _Error()
        arguments = (c_uint64 * len(scalars))(*scalars)
        objects = (c_void_p * len(refs))(*refs)
        begin = self.library.c.mlirage_vm_begin
        return self._step(begin(self.invocation, byref(self.function), arguments, objects, byref(error)), error)

    def resume(self) -> bool:
        """Goes on with a suspended call; whether it has finished."""
        error = _Error()
        return self._step(self.library.c.mlirage_vm_resume(self.invocation, byref(error)), error)

    def _step(self, status: int, error: _Error) -> bool:
        if status == PENDING:
            return False
        self.library.check(status, error)
        return True

    def pending(self) -> int | None:
        """Address of the object that a suspended call waits for."""
        return self.library.c.mlirage_vm_pending(self.invocation)

    def finish(self) -> list[int]:
        """The scalar results of a finished call; the references are in `self.refs`."""
        results = (c_uint64 * self.function.convention.scalar_results)()
        self.refs = (c_void_p * self.function.convention.ref_results)()
        self.library.check(self.library.c.mlirage_vm_finish(self.invocation, results, self.refs), _Error())
        return list(results)

    def cancel_calls(self) -> None:
        """Makes calls in progress fail."""
        self.library.c.mlirage_vm_context_cancel(self.pointer)

    def reset(self) -> None:
        """Puts all modules back into their first state."""
        error = _Error()
        self.library.check(self.library.c.mlirage_vm_context_reset(self.pointer, byref(error)), error)

    def cancel(self) -> None:
        """Gives up a suspended call."""
        self.library.c.mlirage_vm_cancel(self.invocation)

    def __del__(self) -> None:
        self.library.c.mlirage_vm_invocation_release(self.invocation)
        self.library.c.mlirage_vm_context_release(self.pointer)
