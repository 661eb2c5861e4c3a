"""Weights outside of the module: what lies in the file, how it is told in the IR, and writing it.

Phase stream puts all constants in one slab and notes what lies where; the file is the slab behind a header of
safetensors or .irpa that says so:

    module attributes {mlirage.parameters = {
        scope = "model", program = "5fe1…", constant = "__constants",
        tensors = [{key = "w", dtype = "F32", shape = array<i64: 64, 3>, offset = 0 : i64, length = 768 : i64}, …]}}

The slab stays in `Program.constants` until the file is written, after the last phase: every phase can be saved and
taken up again. `program` is a digest of everything that the weights are not: two files of one digest can be exchanged,
since all else that was compiled is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlirage.archives import irpa, safetensors
from mlirage.compiled_module import write_atomically
from mlirage.errors import CompileError, UsageError
from mlirage.mlir import ir
from mlirage.module_file import checksum
from mlirage.program import Array, Program

ATTRIBUTE = "mlirage.parameters"
SCOPE = "model"


@dataclass(frozen=True)
class Tensor:
    """A parameter: bytes `offset … offset + length` of the slab."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Parameters:
    """The attribute `mlirage.parameters`; `constant` names the slab in `Program.constants`."""

    scope: str
    program: str
    constant: str
    tensors: list[Tensor]


def tensor_of(key: str, offset: int, array: Array, length: int) -> Tensor:
    """The entry of a constant that is stored in `length` bytes."""
    dtype = safetensors.DTYPES.get(array.dtype.name)
    return Tensor(key, dtype or "U8", array.shape if dtype else (length,), offset, length)


def set_parameters(program: Program, constant: str, tensors: list[Tensor]) -> None:
    """Notes that the slab `constant`, which nobody else in the program has, is given at load."""
    with program.context:
        i64 = ir.IntegerType.get_signless(64)
        entries = [
            ir.DictAttr.get({
                "key": ir.StringAttr.get(tensor.key),
                "dtype": ir.StringAttr.get(tensor.dtype),
                "shape": ir.DenseI64ArrayAttr.get(list(tensor.shape)),
                "offset": ir.IntegerAttr.get(i64, tensor.offset),
                "length": ir.IntegerAttr.get(i64, tensor.length),
            })
            for tensor in tensors
        ]  # fmt: skip
        fields: dict[str, ir.Attribute] = {
            "scope": ir.StringAttr.get(SCOPE),
            "constant": ir.StringAttr.get(constant),
            "tensors": ir.ArrayAttr.get(entries),
        }
        attributes = program.module.operation.attributes
        attributes[ATTRIBUTE] = ir.DictAttr.get(fields)
        fields["program"] = ir.StringAttr.get(_digest(program, constant))
        attributes[ATTRIBUTE] = ir.DictAttr.get(fields)


def _digest(program: Program, slab: str) -> str:
    """Of the IR and the constants that stay in the module."""
    digest = hashlib.sha256(program.module.operation.get_asm().encode())
    for name, array in sorted(program.constants.items()):
        if name != slab:
            digest.update(f"\0{name} {array.dtype.name} {array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def get_parameters(module: ir.Operation) -> Parameters | None:
    """What `set_parameters` noted; None if the weights are in the module."""
    if ATTRIBUTE not in module.attributes:
        return None
    fields = ir.DictAttr(module.attributes[ATTRIBUTE])
    scope, program, constant = (ir.StringAttr(fields[name]).value for name in ("scope", "program", "constant"))
    tensors = [
        Tensor(
            ir.StringAttr(entry["key"]).value,
            ir.StringAttr(entry["dtype"]).value,
            tuple(ir.DenseI64ArrayAttr(entry["shape"])),
            ir.IntegerAttr(entry["offset"]).value,
            ir.IntegerAttr(entry["length"]).value,
        )
        for entry in map(ir.DictAttr, ir.ArrayAttr(fields["tensors"]))
    ]
    return Parameters(scope, program, constant, tensors)


def parameters_of(op: ir.Operation) -> Parameters | None:
    """The parameters that a `stream.resource_constant` stands for; None if it is read-only data of the module."""
    module = op.parent
    while module is not None and module.name != "builtin.module":
        module = module.parent
    assert module is not None
    parameters = get_parameters(module)
    if parameters is None or parameters.constant != ir.StringAttr(op.attributes["name"]).value:
        return None
    return parameters


def write_parameters(program: Program) -> None:
    """Writes the file that `options.parameters` names, if the program has parameters.

    Raises:
      UsageError: the program has them but no file is named, or the other way round, or it cannot be written.
      CompileError: the weights of the program are gone.
    """
    path, parameters = program.options.parameters, get_parameters(program.module.operation)
    if parameters is None:
        if path and program.options.compile_from in _PHASES_AFTER_STREAM:
            raise UsageError(
                f"parameters={path}: the program of phase {program.options.compile_from!r} was made without; give the "
                "option before phase stream"
            )
        if not path:
            return
        parameters = Parameters(SCOPE, "", "", [])  # a model without weights: a file without tensors
    elif not path:
        raise UsageError("the program keeps its weights outside of the module: give parameters=FILE.safetensors")
    elif parameters.constant not in program.constants:
        raise CompileError(f"the program's constants have no entry {parameters.constant!r}")
    slab = np.ascontiguousarray(program.constants.get(parameters.constant, np.zeros(0, np.uint8)))
    try:
        write_atomically(Path(path), _parts(Path(path), parameters, slab))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


_PHASES_AFTER_STREAM = (
    "stream", "executable-sources", "executable-configurations", "executable-targets", "hal", "vm", "end",
)  # fmt: skip


def _parts(path: Path, parameters: Parameters, slab: Array) -> Iterator[bytes | memoryview]:
    """The bytes of the file: what the format says of the slab, and the slab as it is."""
    if path.suffix == ".irpa":
        entries = [irpa.Entry(t.key, _irpa_metadata(t), t.offset, t.length) for t in parameters.tensors]
        program = parameters.program.encode()
        if program:
            entries.append(irpa.Entry(irpa.PROGRAM_KEY, "", slab.nbytes, len(program)))
        size = slab.nbytes + len(program)
        head = irpa.header(entries, size)
        yield from (head, slab.data, program, irpa.padding(len(head), size))
    else:
        metadata = {"mlirage.program": parameters.program, "mlirage.checksum": f"{checksum(slab):016x}"}
        tensors = [safetensors.Tensor(t.key, t.dtype, t.shape, t.offset, t.length) for t in parameters.tensors]
        yield from (safetensors.header(tensors, slab.nbytes, metadata), slab.data)


def _irpa_metadata(tensor: Tensor) -> str:
    name = next(name for name, text in safetensors.DTYPES.items() if text == tensor.dtype)
    return irpa.tensor_metadata(name, tensor.shape)
