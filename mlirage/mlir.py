"""The only door to the MLIR bindings: contexts, dialects, and the few IR helpers that everything uses.

Every other file of the compiler imports `ir`, dialect builders and `run_pipeline` from here, so that the
bindings (the `torch-mlir` wheel: full upstream MLIR, StableHLO, TOSA and torch) can change in one place.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType, UnionType
from typing import Any, Union, get_origin

import mlirage.mlir_libraries as _libraries  # before the bindings, which it loads

# isort: split
from torch_mlir import ir, rewrite
from torch_mlir._mlir_libs import (
    _stablehlo,  # pyright: ignore[reportPrivateUsage]
    _torchMlir,  # pyright: ignore[reportPrivateUsage]
)
from torch_mlir.dialects import (
    affine,
    arith,
    bufferization,
    builtin,
    cf,
    ext,
    func,
    linalg,
    llvm,
    math,
    memref,
    ml_program,
    quant,
    scf,
    tensor,
    transform,
    vector,
)
from torch_mlir.dialects import (
    complex as complex_,
)
from torch_mlir.dialects.transform import interpreter as transform_interpreter
from torch_mlir.passmanager import PassManager

__all__ = [
    "affine", "arith", "bufferization", "builtin", "cf", "complex_", "describe_location", "execution_engine", "ext",
    "func", "identity", "ir", "linalg", "llvm", "math", "memref", "ml_program", "new_context", "own_dialects",
    "quant", "rewrite", "run_pipeline", "scf", "stablehlo_api", "tensor", "transform", "transform_interpreter",
    "vector", "walk", "write_bytecode",
]  # fmt: skip

del _libraries
stablehlo_api = _stablehlo
_stablehlo.register_stablehlo_passes()

_MIXED_OPERANDS, _MIXED_RESULTS = 16, 8


def _is_mixed(item: ext.FieldDef) -> bool:
    """Whether a variadic field accepts elements of several types."""
    if not isinstance(item, (ext.OperandDef, ext.ResultDef)) or item.variadicity != ext.Variadicity.variadic:
        return False
    constraint = item.constraint
    one_type = (
        get_origin(constraint) is not None  # ir.IntegerType[32]
        or constraint in (ir.IndexType, ir.F32Type, ir.F64Type)
        or (hasattr(constraint, "type_name") and constraint.__module__.startswith("mlirage"))  # own types …
    ) and not getattr(constraint, "_fields", ())  # … without parameters
    return get_origin(constraint) in (Union, UnionType) or not one_type


def _group_count(cls: Any, item: ext.FieldDef) -> int:
    """How many IRDL lists a field is made of."""
    if not _is_mixed(item):
        return 1
    return getattr(cls, "mixed_limit", _MIXED_OPERANDS if isinstance(item, ext.OperandDef) else _MIXED_RESULTS)


def _expanded(cls: Any, fields: Sequence[ext.FieldDef]) -> list[ext.FieldDef]:
    return [
        dataclasses.replace(item, name=f"{item.name.strip('_')}_run{i}") if _is_mixed(item) else item
        for item in fields
        for i in range(_group_count(cls, item))
    ]


def _split_runs(cls: Any, item: ext.FieldDef, values: Any) -> list[Any]:
    """One element list per IRDL list of a field: runs of equal types for a mixed one."""
    if not _is_mixed(item):
        return [values]
    runs: list[list[Any]] = []
    last: ir.Type | None = None
    for value in values:
        kind = value if isinstance(value, ir.Type) else value.type
        if not runs or kind != last:
            runs.append([])
        runs[-1].append(value)
        last = kind
    limit = _group_count(cls, item)
    if len(runs) > limit:
        text = f"`{item.name}` may consist of {limit} runs of equal types, these are {len(runs)}"
        raise ValueError(f"{cls.OPERATION_NAME}: {text}")
    return runs + [[]] * (limit - len(runs))


def _allow_mixed_variadics() -> None:
    """Lets `Sequence[ext.Operand[Any]]` and `Sequence[ext.Result[Any]]` of our ops hold values of different types.

    IRDL binds a constraint to the first type that it meets, so that all elements of a variadic list must have one
    type. A list that may be mixed is therefore defined as several lists (16 for operands, 8 for results, or the class
    attribute `mixed_limit`), each for a run of equal types; constructors split and accessors join them. Only the text
    shows it: `operandSegmentSizes` and `resultSegmentSizes` count the runs.
    """
    base = ext.Operation
    class_attributes = base._generate_class_attributes.__func__  # pyright: ignore
    emit = base._emit_operation.__func__  # pyright: ignore

    def generate_class_attributes(cls: Any, dialect: str, name: str, fields: Any) -> None:
        class_attributes(cls, dialect, name, _expanded(cls, fields))

    def emit_operation(cls: Any) -> None:
        fields, cls._fields = cls._fields, _expanded(cls, cls._fields)
        try:
            emit(cls)
        finally:
            cls._fields = fields

    def generate_init_method(cls: Any, fields: Any) -> None:
        operands, attributes, results, regions = ext.partition_fields(fields)
        signature = cls._generate_init_signature(fields)

        def __init__(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            self = given["self"]
            types = [  # process_type takes an empty list for a missing type
                (item, given[item.name] if isinstance(given[item.name], list) else item.process_type(given[item.name]))
                for item in results
            ]
            super(ext.Operation, self).__init__(
                cls.OPERATION_NAME,
                self._ODS_REGIONS,
                self._ODS_OPERAND_SEGMENTS,
                self._ODS_RESULT_SEGMENTS,
                attributes={  # process_attr takes a false boolean attribute for a missing one
                    item.name: item.process_attr(None) if given[item.name] is None else given[item.name]
                    for item in attributes
                },
                results=[run for item, kinds in types for run in _split_runs(cls, item, kinds)],
                operands=[run for item in operands for run in _split_runs(cls, item, given[item.name])],
                successors=None,
                regions=len(regions) or None,
                loc=given["loc"],
                ip=given["ip"],
            )

        __init__.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
        cls.__init__ = __init__

    def generate_properties(cls: Any, items: Any, values: str, sizes: str, segmented: bool) -> None:
        first = 0
        for item in items:
            count = _group_count(cls, item)

            def getter(self: Any, item: Any = item, first: int = first, count: int = count) -> Any:
                everything = getattr(self.operation, values)
                if not segmented:
                    return everything[first]
                segments = list(ir.DenseI32ArrayAttr(self.operation.attributes[sizes]))
                start = sum(segments[:first])
                part = everything[start : start + sum(segments[first : first + count])]
                return ext.normalize_value_range(part, item.variadicity)

            setattr(cls, item.name, property(getter))
            first += count

    base._generate_class_attributes = classmethod(generate_class_attributes)  # pyright: ignore
    base._emit_operation = classmethod(emit_operation)  # pyright: ignore
    base._generate_init_method = classmethod(generate_init_method)  # pyright: ignore
    base._generate_operand_properties = classmethod(  # pyright: ignore
        lambda cls, items: generate_properties(
            cls,
            items,
            "operands",
            "operandSegmentSizes",
            bool(cls._ODS_OPERAND_SEGMENTS),  # pyright: ignore[reportAttributeAccessIssue]
        )
    )
    base._generate_result_properties = classmethod(  # pyright: ignore
        lambda cls, items: generate_properties(
            cls,
            items,
            "results",
            "resultSegmentSizes",
            bool(cls._ODS_RESULT_SEGMENTS),  # pyright: ignore[reportAttributeAccessIssue]
        )
    )


_allow_mixed_variadics()

# Dialects that no Python call can load by name become loaded as dependents of these passes.
_LOADERS = (
    "func.func(stablehlo-complex-math-expander)",  # chlo
    "func.func(tm-tensor-bufferize)",  # tm_tensor
    "torch-backend-to-linalg-on-tensors-backend-pipeline",  # torch_c, tm_tensor
)


# Upstream dialects of which the wheel has no Python module.
_WITHOUT_MODULES = ("chlo", "stablehlo", "tm_tensor", "torch_c", "vhlo")


def own_dialects() -> tuple[type[ext.Dialect], ...]:
    """The dialects defined by mlirage, in the order of the phases."""
    from mlirage.flow.dialect import Flow
    from mlirage.hal.dialect import Hal
    from mlirage.hal.inline_dialect import HalInline, HalLoader
    from mlirage.input.linalgx import Linalgx
    from mlirage.stream.dialect import Stream
    from mlirage.util_dialect import Util
    from mlirage.vm.dialect import Vm
    from mlirage.vmvx_dialect import Vmvx

    return (Util, Linalgx, Flow, Hal, HalInline, HalLoader, Stream, Vm, Vmvx)  # stream refers to types of hal


def _announce_dialects(names: Iterable[str]) -> None:
    """Spares the bindings the search for Python modules of dialects that have none.

    For every op and type of a dialect they import `torch_mlir.dialects.NAME`, and search for it anew each time that
    fails: tens of microseconds for each access to a value of ours.
    """
    for name in names:
        path = f"torch_mlir.dialects.{name}"
        if path not in sys.modules and importlib.util.find_spec(path) is None:
            sys.modules[path] = ModuleType(path)


def new_context() -> ir.Context:
    """A context with every dialect that a phase may print loaded, ours included.

    One context serves one compilation; contexts are not shared between threads.
    """
    context = ir.Context()
    _stablehlo.register_dialect(context)
    _torchMlir.register_dialect(context)
    with context:
        empty = ir.Module.create(ir.Location.unknown())
        for pipeline in _LOADERS:
            PassManager.parse(f"builtin.module({pipeline})").run(empty.operation)
        context.load_all_available_dialects()
        for dialect in own_dialects():
            dialect.load()
    _announce_dialects([dialect.DIALECT_NAMESPACE for dialect in own_dialects()])
    _announce_dialects(_WITHOUT_MODULES)
    return context


def run_pipeline(operation: ir.Operation, pipeline: str) -> None:
    """Runs upstream passes on `operation`, e.g. `run_pipeline(module.operation, "canonicalize,cse")`.

    Raises:
      ir.MLIRError: a pass failed; carries the diagnostics.
      ValueError: the pipeline text is wrong.
    """
    with operation.context:
        PassManager.parse(f"{operation.name}({pipeline})").run(operation)


def execution_engine(module: ir.Module) -> Any:
    """Upstream's JIT over a module of the LLVM dialect."""
    from torch_mlir.execution_engine import ExecutionEngine

    return ExecutionEngine(module, opt_level=2)


def describe_location(location: ir.Location) -> str:
    """A location for people: `relu_3 (model.mlir:7:5)` of `loc("relu_3"("model.mlir":7:5))`.

    Of call stacks and fused locations the name and the first place remain.
    """
    text = str(location)
    text = text.removeprefix("loc(").removesuffix(")") if text.startswith("loc(") else text
    files = re.findall(r'"((?:[^"\\]|\\.)*)":(\d+):(\d+)', text)
    names = re.findall(r'"((?:[^"\\]|\\.)*)"(?!:\d)', text)
    place = ":".join(files[0]) if files else ""
    if not names:
        return place or text
    return f"{names[0]} ({place})" if place else names[0]


def identity(operation: ir.Operation | ir.OpView) -> int:
    """A key for an operation in sets and dictionaries while it exists.

    `hash(operation)` is of no use for that: it is the hash of its contents and changes with its operands.
    """
    return _capsule_pointer(operation.operation._CAPIPtr, b"torch_mlir.ir.Operation._CAPIPtr")  # pyright: ignore


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def walk(operation: ir.Operation) -> Iterator[ir.Operation]:
    """Every operation nested in `operation`, in order, excluding itself.

    The walk sees a snapshot of each block: the visited op may be erased or replaced by the caller, but ops nested
    in an erased op must not be touched afterwards.
    """
    for region in operation.regions:
        for block in region.blocks:
            for op in list(block.operations):
                has_regions = len(op.operation.regions) > 0
                yield op.operation
                if has_regions and not _is_erased(op.operation):
                    yield from walk(op.operation)


def _is_erased(operation: ir.Operation) -> bool:
    try:
        return not operation.attached
    except RuntimeError:  # "the operation has been invalidated"
        return True


def write_bytecode(operation: ir.Operation) -> bytes:
    """`operation` as MLIR bytecode, locations included."""
    buffer = io.BytesIO()
    operation.write_bytecode(buffer)
    return buffer.getvalue()
