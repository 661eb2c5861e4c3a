"""Runs the linalg program that an importer made, by upstream's plainest lowering: loops, no fusion, no schedule.

It shares nothing with mlirage's own back end (but the loops of linalgx ops), so it tells importer faults from compiler
faults: `ModelRunner("tests.importers.reference_runner:import_and_run")`. A failed `cf.assert` ends the process.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np

PIPELINE = (
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


def import_and_run(model: Any, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """The outputs of an ONNX model."""
    from mlirage.importers.onnx import import_onnx
    from mlirage.options import CompileOptions

    return run_program(import_onnx(model, CompileOptions()), inputs)


def run_program(program: Any, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Lowers `program` and calls its `main`."""
    from torch_mlir.execution_engine import ExecutionEngine

    from mlirage.mlir import ir, linalg, run_pipeline, walk
    from mlirage.program import numpy_dtype

    module = program.module
    with program.context, ir.Location.unknown():
        (main,) = [op for op in module.body.operations if op.operation.name == "func.func" and op.name.value == "main"]
        signature = json.loads(ir.StringAttr(main.attributes["mlirage.signature"]).value)
        weights = _weights_to_arguments(main, program)
        main.attributes["llvm.emit_c_interface"] = ir.UnitAttr.get()
        lower_linalgx_ops(program)
        for step in PIPELINE:
            run_pipeline(module.operation, step)
            if step.startswith("one-shot"):
                for op in list(walk(module.operation)):
                    if op.name == "memref.copy":
                        with ir.InsertionPoint(op):
                            linalg.copy(op.operands[0], outs=[op.operands[1]])
                        op.erase()
        engine = ExecutionEngine(module, opt_level=0)
    arrays = [np.ascontiguousarray(x).reshape(np.shape(x)) for x in inputs] + [
        np.ascontiguousarray(w).reshape(w.shape) for w in weights
    ]
    descriptors = [_descriptor(a) for a in arrays]
    results = [_memref(len(r["shape"])) for r in signature["results"]]
    holder = type("Results", (ctypes.Structure,), {"_fields_": [(f"r{i}", kind) for i, kind in enumerate(results)]})()
    pointers = [ctypes.pointer(ctypes.pointer(d)) for d in ([holder] if results else []) + descriptors]
    engine.invoke("main", *pointers)
    return [_array(getattr(holder, f"r{i}"), numpy_dtype(r["dtype"])) for i, r in enumerate(signature["results"])]


def lower_linalgx_ops(program: Any) -> None:
    """Replaces linalgx ops by loops, with mlirage's own lowering (upstream has none).

    Each out gets a `tensor.empty` of its own: upstream's bufferization shares the memory of one that two outs use.
    """
    from mlirage.codegen.linalgx import lower_linalgx
    from mlirage.mlir import ir, walk

    for op in list(walk(program.module.operation)):
        if op.name.startswith("linalgx."):
            for i, operand in enumerate(op.operands):
                if isinstance(operand.owner, ir.Operation) and operand.owner.name == "tensor.empty":
                    op.operands[i] = operand.owner.clone(ir.InsertionPoint(op)).results[0]
    for op in program.module.body.operations:
        if op.operation.name == "func.func":
            lower_linalgx(op.operation)


def _weights_to_arguments(main: Any, program: Any) -> list[np.ndarray[Any, Any]]:
    from mlirage.mlir import ir, walk

    entry = main.regions[0].blocks[0]
    arrays: list[np.ndarray[Any, Any]] = []
    for op in list(walk(main.operation)):
        if op.name == "ml_program.global_load_const":
            argument = entry.add_argument(op.results[0].type, op.location)
            op.results[0].replace_all_uses_with(argument)
            arrays.append(program.constants[ir.FlatSymbolRefAttr(op.attributes["global"]).value])
            op.erase()
    for op in list(program.module.body.operations):
        if op.operation.name == "ml_program.global":
            op.operation.erase()
    kinds = [argument.type for argument in entry.arguments]
    results = list(ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value).results)
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, results))
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


def _descriptor(array: np.ndarray[Any, Any]) -> Any:
    descriptor = _memref(array.ndim)()
    descriptor.allocated = descriptor.aligned = array.ctypes.data
    for i in range(array.ndim):
        descriptor.sizes[i] = array.shape[i]
        descriptor.strides[i] = array.strides[i] // array.itemsize
    return descriptor


def _array(descriptor: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    shape = tuple(getattr(descriptor, "sizes", ()))
    strides = tuple(s * dtype.itemsize for s in getattr(descriptor, "strides", ()))
    if 0 in shape:
        return np.empty(shape, dtype)
    extent = dtype.itemsize + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    address = descriptor.aligned + descriptor.offset * dtype.itemsize
    buffer = (ctypes.c_uint8 * extent).from_address(address)
    return np.ndarray(shape, dtype, buffer, 0, strides).copy()
