"""Runs programs by MLIR's plainest lowering: every operation a loop nest of its own, no fusion, no schedule.

    start ──phase input──> linalg ──bufferize, loops, LLVM──> machine code in a process of its own

It shares nothing with mlirage's phases after `input` but the loops of `linalgx` ops, which upstream does not know: what
differs is a fault of those phases. Slow, and only for functions without state. A failed `cf.assert` ends the process
that runs it, which is an error here.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlirage import compiler
from mlirage.checking import Inside
from mlirage.codegen.linalgx import lower_linalgx
from mlirage.element_types import dtype_name
from mlirage.errors import ImportFailure
from mlirage.importers.mlir import SIGNATURE
from mlirage.mlir import describe_location, execution_engine, func, ir, linalg, run_pipeline, walk
from mlirage.options import CompileOptions
from mlirage.program import Array, Program, numpy_dtype

_PIPELINE = (
    "canonicalize",
    "convert-tensor-to-linalg",
    "one-shot-bufferize{bufferize-function-boundaries=true allow-return-allocs-from-loops=true"
    " function-boundary-type-conversion=identity-layout-map}",
    "func.func(convert-linalg-to-loops)",
    "canonicalize",
    "func.func(convert-complex-to-standard)",
    "expand-strided-metadata",
    "lower-affine",
    "func.func(math-expand-ops{ops=ipowi,fpowi})",
    "convert-math-to-llvm",
    "convert-math-to-libm",
    "convert-scf-to-cf",
    "func.func(arith-expand{include-bf16=true})",
    "convert-complex-to-llvm",
    "convert-to-llvm",
    "reconcile-unrealized-casts",
)
_TIME_LIMIT = 600.0  # seconds
_PLUMBING = ("tensor.empty", "tensor.dim", "tensor.cast", "arith.constant", "linalg.fill")


def execute(program: Program, function: str, arguments: Sequence[Array]) -> list[Array]:
    """The results of a function of an imported program, which is used up.

    Raises:
      ImportFailure: the program holds what upstream cannot lower, or running it failed.
    """
    _take_through_input(program)
    return _execute(program, function, arguments)


def inside_of_program(program: Program, function: str, arguments: Sequence[Array]) -> Inside:
    """The values of every operation of a function, after phase `input`.

    Raises:
      ImportFailure: as `execute`.
    """
    _take_through_input(program)
    values = _return_all_values(program, function)
    wanted = _execute(program, function, arguments)
    program.options = replace(program.options, compile_from="input")
    return Inside(program, values, wanted)


def _take_through_input(program: Program) -> None:
    program.options = replace(program.options, compile_to="input", dump_ir="")
    compiler.run_phases(program)


def _return_all_values(program: Program, name: str) -> list[tuple[str, str]]:
    """Makes a function return what each of its operations makes: the name and the place of each."""
    function = _function(program, name)
    block = function.regions[0].blocks[0]
    values: list[tuple[str, str]] = []
    returned: list[ir.Value] = []
    told: list[dict[str, Any]] = []
    with program.context, ir.Location.unknown():
        for op in block.operations:
            if op.operation.name in _PLUMBING or op.operation.name.startswith("ml_program."):
                continue
            for result in op.operation.results:
                if not isinstance(result.type, ir.RankedTensorType) or result.type.element_type == ir.IndexType.get():
                    continue
                place = describe_location(op.operation.location)
                values.append((place, f"{place!r} ({op.operation.name})"))
                returned.append(result)
                kind = result.type
                shape = [None if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)]
                told.append({"name": place, "dtype": dtype_name(kind.element_type), "shape": shape})
        end = list(block.operations)[-1]
        with ir.InsertionPoint(end):
            func.ReturnOp(returned)
        end.operation.erase()
        kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
        changed = ir.FunctionType.get(list(kind.inputs), [value.type for value in returned])
        function.attributes["function_type"] = ir.TypeAttr.get(changed)
        if "res_attrs" in function.attributes:
            del function.attributes["res_attrs"]
        signature: dict[str, Any] = json.loads(ir.StringAttr(function.attributes[SIGNATURE]).value)
        signature["results"] = told
        for tree in ("in_tree", "out_tree", "mutated"):
            signature.pop(tree, None)
        function.attributes[SIGNATURE] = ir.StringAttr.get(json.dumps(signature))
    return values


def _function(program: Program, name: str) -> ir.Operation:
    return next(
        op.operation
        for op in program.module.body.operations
        if op.operation.name == "func.func" and ir.StringAttr(op.operation.attributes["sym_name"]).value == name
    )


def _execute(program: Program, function: str, arguments: Sequence[Array]) -> list[Array]:
    """In a process of its own."""
    with tempfile.TemporaryDirectory(prefix="mlirage-check-") as scratch:
        folder = Path(scratch)
        program.save(folder / "program.mlir")
        _save(folder / "arguments", arguments)
        (folder / "function").write_text(function)
        command = [sys.executable, "-m", "mlirage.plain_execution", scratch]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise ImportFailure(f"MLIR's own lowering took longer than {_TIME_LIMIT:.0f} s") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise ImportFailure(f"MLIR's own lowering fails: {lines[-1] if lines else f'code {done.returncode}'}")
        return _load(folder / "results")


def _save(folder: Path, arrays: Sequence[Any]) -> None:
    folder.mkdir()
    told: list[dict[str, Any]] = []
    for i, array in enumerate(map(np.asarray, arrays)):
        (folder / f"{i}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        told.append({"dtype": array.dtype.name, "shape": list(array.shape)})
    (folder / "arrays.json").write_text(json.dumps(told))


def _load(folder: Path) -> list[Array]:
    told = json.loads((folder / "arrays.json").read_text())
    return [
        np.frombuffer((folder / f"{i}.bin").read_bytes(), numpy_dtype(entry["dtype"])).reshape(entry["shape"])
        for i, entry in enumerate(told)
    ]


def run_by_loops(program: Program, name: str, arguments: Sequence[Array]) -> list[Array]:
    """Lowers a program of linalg and calls a function of it, here; the program is used up.

    Raises:
      ImportFailure: the program holds state.
      ir.MLIRError: upstream cannot lower it.
    """
    module = program.module
    function = _function(program, name)
    signature: dict[str, Any] = json.loads(ir.StringAttr(function.attributes[SIGNATURE]).value)
    with program.context, ir.Location.unknown():
        run_pipeline(module.operation, "inline")
        function = _function(program, name)
        weights = _weights_to_arguments(program, function)
        function.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
        _lower_linalgx_ops(program)
        for step in _PIPELINE:
            run_pipeline(module.operation, step)
            if step.startswith("one-shot"):
                _copies_as_loops(module.operation)
        engine = execution_engine(module)
    arrays = [np.array(x, order="C") for x in (*arguments, *weights)]
    descriptors = [_descriptor(array) for array in arrays]
    results = [_memref(len(told["shape"])) for told in signature["results"]]
    fields = {"_fields_": [(f"r{i}", kind) for i, kind in enumerate(results)]}
    holder = type("Results", (ctypes.Structure,), fields)()
    pointers = [ctypes.pointer(ctypes.pointer(d)) for d in ([holder] if results else []) + descriptors]
    engine.invoke(name, *pointers)
    return [_array(getattr(holder, f"r{i}"), numpy_dtype(told["dtype"])) for i, told in enumerate(signature["results"])]


def _lower_linalgx_ops(program: Program) -> None:
    """Replaces linalgx ops by loops, with mlirage's own lowering (upstream has none).

    Each out gets a `tensor.empty` of its own: upstream's bufferization shares the memory of one that two outs use.
    """
    for op in list(walk(program.module.operation)):
        if op.name.startswith("linalgx."):
            for i, operand in enumerate(op.operands):
                if isinstance(operand.owner, ir.Operation) and operand.owner.name == "tensor.empty":
                    op.operands[i] = operand.owner.clone(ir.InsertionPoint(op)).results[0]
    for op in program.module.body.operations:
        if op.operation.name == "func.func":
            lower_linalgx(op.operation)


def _copies_as_loops(module: ir.Operation) -> None:
    """`memref.copy` would be a call of a function that nobody here has."""
    for op in list(walk(module)):
        if op.name == "memref.copy":
            with ir.InsertionPoint(op), op.location:
                linalg.copy(op.operands[0], outs=[op.operands[1]])
            op.erase()


def _weights_to_arguments(program: Program, function: ir.Operation) -> list[Array]:
    """Constants become arguments behind the others; these arrays are what they are called with."""
    arrays: list[Array] = []
    entry = function.regions[0].blocks[0]
    for op in list(walk(program.module.operation)):
        if op.name in ("ml_program.global_load", "ml_program.global_store", "ml_program.global_load_const"):
            symbol = ir.SymbolRefAttr(op.attributes["global"]).value[0]
            if op.name != "ml_program.global_load_const" or op.parent != function:
                raise ImportFailure(f"{symbol!r} is state, which MLIR's own lowering of loops does not know")
            argument = entry.add_argument(op.results[0].type, op.location)
            op.results[0].replace_all_uses_with(argument)
            arrays.append(program.constants[symbol])
            op.erase()
    for op in list(program.module.body.operations):
        if op.operation.name == "ml_program.global":
            op.operation.erase()
    kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    inputs = [argument.type for argument in entry.arguments]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, list(kind.results)))
    if "arg_attrs" in function.attributes:
        del function.attributes["arg_attrs"]
    return arrays


def _memref(rank: int) -> Any:
    fields: list[tuple[str, Any]] = [
        ("allocated", ctypes.c_void_p),
        ("aligned", ctypes.c_void_p),
        ("offset", ctypes.c_int64),
    ]
    if rank:
        fields += [("sizes", ctypes.c_int64 * rank), ("strides", ctypes.c_int64 * rank)]
    return type(f"MemRef{rank}", (ctypes.Structure,), {"_fields_": fields})


def _descriptor(array: Array) -> Any:
    descriptor = _memref(array.ndim)()
    descriptor.allocated = descriptor.aligned = array.ctypes.data
    for i in range(array.ndim):
        descriptor.sizes[i] = array.shape[i]
        descriptor.strides[i] = array.strides[i] // array.itemsize
    return descriptor


def _array(descriptor: Any, dtype: np.dtype[Any]) -> Array:
    shape: tuple[int, ...] = tuple(getattr(descriptor, "sizes", ()))
    strides: tuple[int, ...] = tuple(s * dtype.itemsize for s in getattr(descriptor, "strides", ()))
    if any(extent == 0 for extent in shape):
        return np.empty(shape, dtype)
    extent = dtype.itemsize + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    address = descriptor.aligned + descriptor.offset * dtype.itemsize
    buffer: Any = (ctypes.c_uint8 * extent).from_address(address)
    return np.ndarray(shape, dtype, buffer, 0, strides).copy()


def main() -> None:
    """Runs what `_execute` left in the folder of the first argument."""
    folder = Path(sys.argv[1])
    program = Program.load(folder / "program.mlir", CompileOptions())
    _save(folder / "results", run_by_loops(program, (folder / "function").read_text(), _load(folder / "arguments")))


if __name__ == "__main__":
    main()
