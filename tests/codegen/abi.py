"""Calls entry points of a compiled library directly, as a runtime does: for tests of code generation.

    library = compile_entries('func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {…}')
    (result,) = library.call("f", a)

`compile_entries` takes the text of entry points in the form of flow executables (tensor functions, calling order of
`mlirage/flow/dialect.py`). `call` takes arrays and scalars in order, derives dynamic extents, allocates the results.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mlirage.codegen import llvm as llvm_backend
from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.abi import QUERY, EntryInterface, build_table
from mlirage.codegen.cpu.translate import translate_entry
from mlirage.codegen.link import link_shared_object
from mlirage.codegen.target import CpuTarget, parse_target
from mlirage.codegen.vmvx import lower as vmvx_lower
from mlirage.codegen.vmvx.library import build_library
from mlirage.hal.configure_executables import configure_executables, entry_points
from mlirage.hal.materialize_interfaces import executables, materialize_interfaces
from mlirage.mlir import func, ir, new_context
from mlirage.options import CompileOptions
from mlirage.passes import run_passes
from mlirage.program import Program

Array = np.ndarray[Any, np.dtype[Any]]
_DTYPES: dict[str, Any] = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i64": np.int64,
    "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.bool_, "index": np.int64, "i4": ml_dtypes.int4,
    "complex<f32>": np.complex64, "complex<f64>": np.complex128, "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E5M2": ml_dtypes.float8_e5m2, "f8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "f8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "f8E4M3B11FNUZ": ml_dtypes.float8_e4m3b11fnuz,
}  # fmt: skip


class DispatchState(ctypes.Structure):
    """mlirage_dispatch_state_t."""

    _fields_ = [
        ("constants", ctypes.c_void_p),
        ("binding_pointers", ctypes.c_void_p),
        ("binding_lengths", ctypes.c_void_p),
        ("workgroup_count_x", ctypes.c_uint32),
        ("workgroup_count_y", ctypes.c_uint32),
        ("workgroup_count_z", ctypes.c_uint32),
        ("constant_count", ctypes.c_uint16),
        ("binding_count", ctypes.c_uint16),
    ]


class WorkgroupState(ctypes.Structure):
    """mlirage_workgroup_state_t."""

    _fields_ = [
        ("workgroup_id_x", ctypes.c_uint32),
        ("workgroup_id_y", ctypes.c_uint32),
        ("workgroup_id_z", ctypes.c_uint32),
        ("worker_id", ctypes.c_uint32),
        ("scratch", ctypes.c_void_p),
        ("scratch_length", ctypes.c_size_t),
    ]


class _Attributes(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("constant_count", ctypes.c_uint32),
        ("binding_count", ctypes.c_uint32),
        ("scratch_size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class _Library(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("entry_count", ctypes.c_uint32),
        ("entries", ctypes.POINTER(ctypes.c_void_p)),
        ("attributes", ctypes.POINTER(_Attributes)),
    ]


_EntryPoint = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(DispatchState), ctypes.POINTER(WorkgroupState))


@dataclass(frozen=True)
class Signature:
    """Types of an entry point as a flow executable has it: ("4x?xf32" | "f32"), without the trailing dims."""

    arguments: tuple[ir.Type, ...]
    results: tuple[ir.Type, ...]
    tied: tuple[int, ...]


@dataclass
class CompiledLibrary:
    """A library: entry points by name. It is loaded when it is first called; those of other processors never are."""

    data: bytes
    signatures: dict[str, Signature]
    counts: dict[str, Callable[[Sequence[int]], int]]
    files: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @functools.cached_property
    def table(self) -> _Library:
        """What the library says of itself."""
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(self.data)
            file.flush()
            self._handle = ctypes.CDLL(file.name)
        query = self._handle[QUERY]
        query.restype = ctypes.POINTER(_Library)
        assert not query(0)
        return query(1).contents

    @functools.cached_property
    def entries(self) -> dict[str, tuple[Any, _Attributes]]:
        """Entry points and what the table says of them, by name."""
        return {
            self.table.attributes[i].name.decode(): (_EntryPoint(self.table.entries[i]), self.table.attributes[i])
            for i in range(self.table.entry_count)
        }

    def check_kind(self, expected: str) -> None:
        """All entry points must have been compiled with this strategy."""
        assert set(self.kinds.values()) == {expected}

    def prepare(
        self,
        name: str,
        *arguments: Any,
        result_dims: Sequence[int] = (),
        loop: Callable[[Any, Any, Any, int], int] | None = None,
    ) -> tuple[Callable[[], None], list[Array]]:
        """A call without its set-up, for timing: (run all workgroups, results).

        Args:
          result_dims: the dynamic extents of the results, in order; by default those of the arguments are tried.
          loop: calls an entry point with a dispatch state and a workgroup state, for so many workgroups; returns 0 or
            an error. By default a loop in Python, which takes longer than small workgroups do.
        """
        signature = self.signatures[name]
        entry, attributes = self.entries[name]
        buffers: list[Array] = []
        words: list[int] = []
        argument_dims: list[int] = []
        scalars: list[int] = []
        for value, kind in zip(arguments, signature.arguments, strict=True):
            if isinstance(kind, ir.RankedTensorType):
                array = np.array(value, order="C", copy=None)
                assert array.dtype.itemsize == _numpy_dtype(kind.element_type).itemsize, (array.dtype, str(kind))
                assert array.ndim == kind.rank, (array.shape, str(kind))
                buffers.append(array.copy() if len(buffers) in signature.tied else array)
                argument_dims += [array.shape[i] for i in range(kind.rank) if kind.is_dynamic_dim(i)]
            else:
                words += _scalar_words(value, kind)
                scalars.append(value)
        dynamic_results = sum(
            sum(t.is_dynamic_dim(i) for i in range(t.rank)) for t in map(ir.RankedTensorType, signature.results)
        )
        dims = list(result_dims) or argument_dims[:dynamic_results]
        assert len(dims) == dynamic_results, "give result_dims"
        results: list[Array] = []
        remaining = iter(dims)
        for kind, tied in zip(map(ir.RankedTensorType, signature.results), signature.tied, strict=True):
            shape = [next(remaining) if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)]
            if tied >= 0:
                results.append(buffers[tied])
                continue
            dtype = _numpy_dtype(kind.element_type)
            # results start as garbage: nothing may rely on zeros
            raw = np.full(int(np.prod(shape)) * dtype.itemsize, 0xCD, np.uint8)
            results.append(raw.view(dtype).reshape(shape))
            buffers.append(results[-1])
        for extent in (*argument_dims, *dims):
            words += [extent & 0xFFFFFFFF, extent >> 32]
        assert len(words) == attributes.constant_count
        assert len(buffers) == attributes.binding_count
        count = self.counts[name]([*scalars, *argument_dims, *dims])
        constants = (ctypes.c_uint32 * max(1, len(words)))(*words)
        pointers = (ctypes.c_void_p * max(1, len(buffers)))(*[b.ctypes.data for b in buffers])
        lengths = (ctypes.c_size_t * max(1, len(buffers)))(*[b.nbytes for b in buffers])
        scratch = _aligned_scratch(attributes.scratch_size)
        dispatch = DispatchState(
            ctypes.addressof(constants), ctypes.addressof(pointers), ctypes.addressof(lengths), count, 1, 1,
            len(words), len(buffers),
        )  # fmt: skip
        workgroup = WorkgroupState(0, 0, 0, 0, scratch.ctypes.data, scratch.nbytes)
        keep = (constants, pointers, lengths, scratch, buffers)
        d, w = ctypes.byref(dispatch), ctypes.byref(workgroup)

        def run() -> None:
            assert keep
            if loop is not None:
                assert loop(entry, d, w, count) == 0
                return
            for number in range(count):
                workgroup.workgroup_id_x = number
                assert entry(d, w) == 0

        return run, results

    def call(self, name: str, *arguments: Any, result_dims: Sequence[int] = ()) -> list[Array]:
        """Runs all workgroups of entry point `name`; returns its results."""
        run, results = self.prepare(name, *arguments, result_dims=result_dims)
        run()
        return results


class VmvxLibrary(CompiledLibrary):
    """A library of the virtual machine, loaded by the runtime's own loader."""

    def check_kind(self, expected: str) -> None:
        """Strategies are CPUs'."""

    @functools.cached_property
    def _library(self) -> ctypes.c_void_p:
        loader = _vmvx_loader()
        library, error = ctypes.c_void_p(), (ctypes.c_char * 1024)()
        status = loader.vmvx_library_load(
            self.data, ctypes.c_size_t(len(self.data)), ctypes.c_uint64(0), ctypes.byref(library), error
        )
        assert status == 0, error.raw[4:].split(b"\0")[0]
        weakref.finalize(self, loader.vmvx_library_release, library)
        return library

    @functools.cached_property
    def table(self) -> _Library:
        """What the library says of itself."""
        query = _vmvx_loader().vmvx_library_table
        query.restype = ctypes.POINTER(_Library)
        return query(self._library).contents

    @functools.cached_property
    def entries(self) -> dict[str, tuple[Any, _Attributes]]:
        """Entry points and what the table says of them, by name."""
        run = _vmvx_loader().vmvx_library_run
        return {
            self.table.attributes[i].name.decode(): (
                functools.partial(run, self._library, i),
                self.table.attributes[i],
            )
            for i in range(self.table.entry_count)
        }


@functools.cache
def _vmvx_loader() -> ctypes.CDLL:
    """The virtual machine with its microkernels and the loader of vmvx executables."""
    runtime = Path(__file__).parents[2] / "runtime"
    folders = ("module", "vm", "vmvx_module")
    sources = [path for folder in folders for path in sorted((runtime / "src" / folder).glob("*.c"))]
    sources += [runtime / "src" / "base" / f"{name}.c" for name in ("allocator", "error", "object", "string")]
    sources += [runtime / "src" / "platform" / "allocator_libc.c", runtime / "tests" / "vm" / "vmvx_library.c"]
    folder = tempfile.mkdtemp(prefix="mlirage-vmvx-")
    atexit.register(shutil.rmtree, folder)
    output = Path(folder) / "vmvx.so"
    includes = [f"-I{runtime / 'include'}", f"-I{runtime / 'src'}"]
    flags = ["-std=c11", "-O2", "-g", "-fPIC", "-shared", *includes]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(output)], check=True)
    return ctypes.CDLL(str(output))


def _aligned_scratch(size: int) -> Array:
    raw = np.full(size + 64, 0xCD, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def _numpy_dtype(element: ir.Type) -> np.dtype[Any]:
    return np.dtype(_DTYPES[str(element)])


def _scalar_words(value: Any, kind: ir.Type) -> list[int]:
    match str(kind):
        case "f64":
            return list(struct.unpack("<II", struct.pack("<d", value)))
        case "f32":
            return [struct.unpack("<I", struct.pack("<f", value))[0]]
        case "f16" | "bf16":
            return [int(np.array(value, _DTYPES[str(kind)]).view(np.uint16))]
        case "index" | "i64":
            return [int(value) & 0xFFFFFFFF, int(value) >> 32 & 0xFFFFFFFF]
        case text:
            return [int(value) & (1 << int(text[1:])) - 1]


def _evaluate_count(function: func.FuncOp) -> Callable[[Sequence[int]], int]:
    """An interpreter for `@e_workgroup_count`; takes all scalars, returns x (y and z are 1)."""
    steps: list[tuple[str, int, list[int], int | None]] = []
    numbers: dict[Any, int] = {a: i for i, a in enumerate(function.arguments)}
    returned: list[int] = []
    for op in function.entry_block.operations:
        operands = [numbers[o] for o in op.operation.operands]
        if op.operation.name == "func.return":
            returned = operands
            continue
        constant = None
        if op.operation.name == "arith.constant":
            constant = ir.IntegerAttr(op.operation.attributes["value"]).value
        numbers[op.operation.results[0]] = len(numbers)
        predicate = op.operation.attributes["predicate"].value if op.operation.name == "arith.cmpi" else constant
        steps.append((op.operation.name, numbers[op.operation.results[0]], operands, predicate))
    binary: dict[str, Callable[[int, int], int]] = {
        "arith.addi": lambda a, b: a + b,
        "arith.subi": lambda a, b: a - b,
        "arith.muli": lambda a, b: a * b,
        "arith.ceildivui": lambda a, b: -(-a // b),
        "arith.ceildivsi": lambda a, b: -(-a // b),
        "arith.divui": lambda a, b: a // b,
        "arith.divsi": lambda a, b: a // b,
        "arith.floordivsi": lambda a, b: a // b,
        "arith.remui": lambda a, b: a % b,
        "arith.remsi": lambda a, b: a % b,
        "arith.maxsi": max,
        "arith.minsi": min,
        "arith.maxui": max,
        "arith.minui": min,
    }
    compare: list[Callable[[int, int], bool]] = [
        lambda a, b: a == b, lambda a, b: a != b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b,
        lambda a, b: a >= b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b, lambda a, b: a >= b,
    ]  # fmt: skip

    def count(scalars: Sequence[int]) -> int:
        values = dict(enumerate(scalars))
        for name, target, operands, extra in steps:
            if name == "arith.constant":
                assert extra is not None
                values[target] = extra
            elif name == "arith.cmpi":
                assert extra is not None
                values[target] = int(compare[extra](*(values[o] for o in operands)))
            elif name == "arith.select":
                values[target] = values[operands[1]] if values[operands[0]] else values[operands[2]]
            else:
                values[target] = binary[name](*(values[o] for o in operands))
        x, y, z = (values[r] for r in returned)
        assert y == z == 1
        return x

    return count


def _signature(function: func.FuncOp) -> Signature:
    results = tuple(function.type.results)
    tied = (
        tuple(ir.IntegerAttr(t).value for t in function.operation.attributes["flow.tied"])
        if "flow.tied" in function.operation.attributes
        else (-1,) * len(results)
    )
    types = list(function.type.inputs)
    tensors = [ir.RankedTensorType(t) for t in (*types, *results) if isinstance(t, ir.RankedTensorType)]
    dims = sum(sum(t.is_dynamic_dim(i) for i in range(t.rank)) for t in tensors)
    return Signature(tuple(types[: len(types) - dims]), results, tied)


def compile_entries(
    text: str,
    target: str | CpuTarget = "host",
    opt_level: int = 3,
    keep_files: bool = True,
    configure: Callable[[Entry], None] | None = None,
) -> CompiledLibrary:
    """Compiles and loads the entry points in `text`.

    Args:
      target: of the CPU, or "vmvx" for the virtual machine.
      configure: sets a configuration by hand before the strategy is asked.
    """
    is_vmvx = target == "vmvx"
    target = "host" if is_vmvx else target
    cpu = target if isinstance(target, CpuTarget) else parse_target(target)
    context = new_context()
    with context, ir.Location.unknown():
        module = ir.Module.parse(
            f'module {{ module @executable attributes {{flow.executable, sym_visibility = "private"}} {{\n{text}\n}} }}'
            if not text.lstrip().startswith(("#", "!"))
            else _wrap_with_aliases(text)
        )
        program = Program(module, options=CompileOptions(target=target if isinstance(target, str) else "host"))
        executable = executables(module)[0]
        signatures = {
            op.name.value: _signature(op)
            for op in executable.regions[0].blocks[0].operations
            if isinstance(op, func.FuncOp)
        }
        run_passes(program, [materialize_interfaces])
        configure = vmvx_lower.configure if is_vmvx else configure
        if configure is not None:
            for function in entry_points(executable):
                configure(Entry(function))
        run_passes(program, [configure_executables])
        module.operation.verify()
        counts = {
            op.name.value.removesuffix("_workgroup_count"): _evaluate_count(op)
            for op in executable.regions[0].blocks[0].operations
            if isinstance(op, func.FuncOp) and op.name.value.endswith("_workgroup_count")
        }
        if is_vmvx:
            kernels = ir.Module.create()
            names = [function.name.value for function in entry_points(executable)]
            for function in entry_points(executable):
                function.operation.clone(ip=ir.InsertionPoint(kernels.body))
            vmvx_lower.lower_entry_points(kernels)
            text = str(kernels)
            return VmvxLibrary(build_library(kernels, names), signatures, counts, {"": {"lowered.mlir": text}})
        rows: list[EntryInterface] = []
        objects: list[bytes] = []
        library_files: dict[str, dict[str, str]] = {}
        kinds: dict[str, str] = {}
        for function in entry_points(executable):
            name = function.name.value
            kinds[name] = Entry(function).configured()[1].kind
            alone = ir.Module.create(ir.Location.unknown())
            function.operation.clone(ip=ir.InsertionPoint(alone.body))
            translated = translate_entry(alone, name, cpu, opt_level, keep_files)
            rows.append(translated.interface)
            objects.append(translated.object)
            library_files[name] = translated.files
    table = llvm_backend.compile_ir(build_table(rows), cpu)
    data = link_shared_object([*objects, table.object], cpu, QUERY)
    return CompiledLibrary(
        data, signatures, counts, library_files, kinds, dict(zip([r.name for r in rows], objects, strict=True))
    )


def _wrap_with_aliases(text: str) -> str:
    """Attribute aliases must stay outside the module."""
    lines = text.strip().splitlines()
    aliases = [line for line in lines if line.startswith(("#", "!"))]
    body = [line for line in lines if not line.startswith(("#", "!"))]
    head = 'module { module @executable attributes {flow.executable, sym_visibility = "private"} {'
    return "\n".join([*aliases, head, *body, "} }"])


def write_library(library: CompiledLibrary, path: Path) -> None:
    """Saves the library for a look with other tools."""
    path.write_bytes(library.data)
