"""stream-convert-to-stream: tensors become resources of bytes, flow ops become async work.

    func.func @main(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
      %r = flow.dispatch %x, %d {entry = @ex::@e, tied = [-1]}
      ─>
    func.func @main(%view: !hal.buffer_view) -> !hal.buffer_view {
      hal.buffer_view_assert %view, %message, f32, -1, 4
      %d = hal.buffer_view_dim %view, 0
      %x = stream.tensor_import %view, %size
      %r = stream.async_dispatch @ex::@e(%d)(%x[0 for %size]) -> %size
      %result = stream.tensor_export %r, %size, %d

A tensor is its resource and its dynamic extents wherever it crosses a region or a call of a private function; byte
sizes are computed from extents. Global tensors become constants or variables; variables get their first contents in the
initializer.

Who gets a resource from another region or function owns it, may change it in place and pass it on: what is yielded,
returned, exported, or given to a loop is a clone (stream-elide-copies removes those that are not needed). Arguments of
private functions alone are lent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlirage.errors import CompileError
from mlirage.flow import dialect as flow
from mlirage.hal.dialect import BufferView, BufferViewAssertDistinctOp, BufferViewAssertOp, BufferViewDimOp, Fence
from mlirage.mlir import arith, func, ir
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.convert_flow_ops import CONVERSIONS, Tensor
from mlirage.stream.convert_globals import Globals
from mlirage.stream.element_types import byte_size, element_type_number
from mlirage.stream.index_math import index_constant
from mlirage.stream.storage import attribute_names
from mlirage.util_dialect import Buffer, RodataOp

_CONTROL_FLOW = ("scf.for", "scf.if", "scf.while", "scf.index_switch", "scf.execute_region")
_SIGNATURE = "mlirage.signature"


@module_pass("stream-convert-to-stream")
def convert_to_stream(program: Program) -> None:
    """Rebuilds every host function and global."""
    globals_ = Globals(program)
    functions = [op for op in program.module.body.operations if isinstance(op, func.FuncOp)]
    public = {f.name.value for f in functions if _is_public(f)}
    called = {ir.FlatSymbolRefAttr(call.attributes["callee"]).value for f in functions for call in _calls(f.operation)}
    internal_names = {name: f"{name}__internal" for name in sorted(public & called)}
    for function in functions:
        name = function.name.value
        for is_public in (True, False) if name in internal_names else (name in public,):
            new_name = name if is_public or name not in internal_names else internal_names[name]
            _Function(program, globals_, internal_names, function, is_public).build(new_name)
        function.operation.erase()
    globals_.build_initializer()


def _is_public(function: func.FuncOp) -> bool:
    attributes = function.operation.attributes
    return "sym_visibility" not in attributes or ir.StringAttr(attributes["sym_visibility"]).value == "public"


def _calls(operation: ir.Operation) -> Iterator[ir.Operation]:
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                if op.operation.name == "func.call":
                    yield op.operation
                yield from _calls(op.operation)


@dataclass
class _Argument:
    """What the signature says of an argument."""

    name: str
    dims: list[str | None]


class _Function:
    """Rebuilds one function."""

    def __init__(
        self, program: Program, globals_: Globals, internal_names: dict[str, str], old: func.FuncOp, is_public: bool
    ) -> None:
        self.program = program
        self.globals = globals_
        self.internal_names = internal_names
        self.old = old
        self.is_public = is_public
        self.has_fences = is_public and program.options.execution_model == "async-external"
        self.has_storage = is_public and program.options.outputs == "caller"
        self.signal: ir.Value | None = None
        self.storage: dict[int, int] = {}  # the argument that a result is written to
        self.values: dict[ir.Value, ir.Value | Tensor] = {}

    def build(self, name: str) -> None:
        old_type = self.old.type
        if self.is_public:
            inputs, results = ([self._boundary_type(t) for t in types] for types in (old_type.inputs, old_type.results))
            inputs += self._storage_types() + [Fence.get()] * (2 if self.has_fences else 0)
        else:
            inputs, results = flat_types(old_type.inputs), flat_types(old_type.results)
        with ir.InsertionPoint(self.old), self.old.location:
            new = func.FuncOp(name, (inputs, results), visibility=None if self.is_public else "private")
        for key in attribute_names(self.old.operation):
            if key not in ("sym_name", "sym_visibility", "function_type", "arg_attrs", "res_attrs"):
                new.operation.attributes[key] = self.old.operation.attributes[key]
        self._describe_abi(new.operation)
        if self.old.is_external:
            raise CompileError(
                f"{self.old.location}: function @{name} has no body; programs cannot import functions yet"
            )
        block = new.add_entry_block()
        self.arguments = list(block.arguments)
        with ir.InsertionPoint(block), self.old.location:
            if self.is_public:
                self._import_arguments(block)
                if self.has_storage:
                    self._check_storage(block)
                if self.has_fences:
                    wait, self.signal = list(block.arguments)[-2:]
                    stream.TimepointImportOp(stream.Timepoint.get(), wait)
            else:
                self._bind(self.old.arguments, block.arguments)
            self._convert_block(self.old.entry_block)

    def _describe_abi(self, function: ir.Operation) -> None:
        """Tells callers in the signature what they have to give beside the arguments."""
        if _SIGNATURE not in function.attributes or not (self.has_fences or self.has_storage):
            return
        signature = json.loads(ir.StringAttr(function.attributes[_SIGNATURE]).value)
        if self.has_fences:
            signature["abi"] = "coarse-fences"
        if self.has_storage:
            arguments = [*signature["arguments"], *storage_arguments(signature["results"], self.old.type.results)]
            signature["arguments"] = arguments
        function.attributes[_SIGNATURE] = ir.StringAttr.get(json.dumps(signature))

    # Storage: a view for each tensor result, then one of bytes for what lives during the call.

    def _storage_types(self) -> list[ir.Type]:
        results = [t for t in self.old.type.results if isinstance(t, ir.RankedTensorType)]
        return [BufferView.get()] * (len(results) + 1) if self.has_storage else []

    def _check_storage(self, block: ir.Block) -> None:
        """Asserts that what the caller gives for the results fits, as far as that is known, and lies apart."""
        tensors = [number for number, t in enumerate(self.old.type.results) if isinstance(t, ir.RankedTensorType)]
        first = len(self.old.arguments)
        views = [a for a in block.arguments if isinstance(a.type, BufferView)]
        for place, number in enumerate(tensors):
            view, kind = block.arguments[first + place], ir.RankedTensorType(self.old.type.results[number])
            dims = [index_constant(-1 if kind.is_dynamic_dim(i) else kind.get_dim_size(i)) for i in range(kind.rank)]
            self._assert_view(view, f"output {number}", kind, dims)
            BufferViewAssertDistinctOp(view, self._message(f"output {number}"), [v for v in views if v != view])
            self.storage[number] = first + place
        byte = ir.RankedTensorType.get([ir.ShapedType.get_dynamic_size()], ir.IntegerType.get_signless(8))
        scratch = block.arguments[first + len(tensors)]
        self._assert_view(scratch, "scratch", byte, [index_constant(-1)])
        arguments = [a for a in list(block.arguments)[:first] if isinstance(a.type, BufferView)]
        BufferViewAssertDistinctOp(scratch, self._message("scratch"), arguments)

    def _assert_view(self, view: ir.Value, name: str, kind: ir.RankedTensorType, dims: list[ir.Value]) -> None:
        i32 = ir.IntegerType.get_signless(32)
        number = ir.IntegerAttr.get(i32, element_type_number(kind.element_type))
        element_type = arith.ConstantOp(i32, number).result  # pyright: ignore[reportArgumentType]
        BufferViewAssertOp(view, self._message(name), element_type, dims)

    def _boundary_type(self, old: ir.Type) -> ir.Type:
        return BufferView.get() if isinstance(old, ir.RankedTensorType) else old

    # Public boundary.

    def _import_arguments(self, block: ir.Block) -> None:
        named: dict[str, ir.Value] = {}
        arguments = self._signature_arguments()
        for number, (old, new) in enumerate(zip(self.old.arguments, block.arguments, strict=False)):
            if isinstance(old.type, ir.RankedTensorType):
                argument = arguments[number] if number < len(arguments) else _Argument(f"argument {number}", [])
                dims = self._check_view(new, old.type, argument, named)
                size = byte_size(old.type.element_type, dims)
                resource = stream.TensorImportOp(stream.resource_type(), new, size).result
                self.values[old] = Tensor(old.type, resource, dims, size)
            else:
                self.values[old] = new

    def _signature_arguments(self) -> list[_Argument]:
        attributes = self.old.operation.attributes
        if _SIGNATURE not in attributes:
            return []
        signature = json.loads(ir.StringAttr(attributes[_SIGNATURE]).value)
        return [
            _Argument(
                argument.get("name") or f"argument {number}",
                [dim if isinstance(dim, str) else None for dim in argument.get("shape", [])],
            )
            for number, argument in enumerate(signature.get("arguments", []))
        ]

    def _check_view(
        self, view: ir.Value, old: ir.RankedTensorType, argument: _Argument, named: dict[str, ir.Value]
    ) -> list[ir.Value]:
        """Asserts element type, rank, static and already known named extents; gives all extents."""
        names = argument.dims if len(argument.dims) == old.rank else [None] * old.rank
        expected: list[ir.Value] = []
        for axis, name in enumerate(names):
            if not old.is_dynamic_dim(axis):
                expected.append(index_constant(old.get_dim_size(axis)))
                if name:
                    named.setdefault(name, expected[-1])
            else:
                expected.append(named.get(name or "") or index_constant(-1))
        i32 = ir.IntegerType.get_signless(32)
        self._assert_view(view, argument.name, old, expected)
        dims: list[ir.Value] = []
        before, repeats = set(named), False
        for axis, name in enumerate(names):
            if not old.is_dynamic_dim(axis) or (name and name in before):
                dims.append(expected[axis])
            elif name and name in named:  # for the second time in this argument
                dims.append(named[name])
                repeats = True
            else:
                dims.append(BufferViewDimOp(ir.IndexType.get(), view, arith.ConstantOp(i32, axis).result).result)
                if name:
                    named[name] = dims[-1]
        if repeats:
            self._assert_view(view, argument.name, old, dims)
        return dims

    def _message(self, argument: str) -> ir.Value:
        text = f"{self.old.name.value}: {argument}"
        name = f"message: {text}"
        self.program.constants[name] = np.frombuffer(text.encode(), np.uint8)
        return RodataOp(Buffer.get(), ir.StringAttr.get(name)).result

    # Bodies.

    def _convert_block(self, old: ir.Block) -> None:
        for op in old.operations:
            with op.operation.location:
                self._convert(op.operation)

    def _convert(self, op: ir.Operation) -> None:
        if op.name in CONVERSIONS:
            CONVERSIONS[op.name](op, self)
        elif op.name.startswith("ml_program."):
            self.globals.convert(op, self)
        elif op.name in _CONTROL_FLOW:
            self._convert_control_flow(op)
        elif op.name in ("scf.yield", "scf.condition"):
            ir.Operation.create(op.name, operands=self.flatten(op.operands, owned=True))
        elif op.name == "func.return":
            self._convert_return(op)
        elif op.name == "func.call":
            self._convert_call(op)
        else:
            self._clone_scalar(op)

    def _clone_scalar(self, op: ir.Operation) -> None:
        types = [value.type for value in (*op.operands, *op.results)]
        if any(isinstance(t, ir.ShapedType) for t in types) or len(op.regions):
            raise CompileError(f"{op.location}: {op.name} cannot run on the host; it should be part of a dispatch")
        new = op.clone()
        for number, operand in enumerate(op.operands):
            new.operation.operands[number] = self.scalar(operand)
        for old_result, result in zip(op.results, new.operation.results, strict=True):
            self.values[old_result] = result

    def _convert_control_flow(self, op: ir.Operation) -> None:
        new = ir.Operation.create(
            op.name,
            results=flat_types([r.type for r in op.results]),
            operands=self.flatten(op.operands, owned=True),
            attributes={name: op.attributes[name] for name in attribute_names(op)},
            regions=len(op.regions),
        )
        for region, new_region in zip(op.regions, new.regions, strict=True):
            for block in region.blocks:
                types = flat_types([a.type for a in block.arguments])
                new_block = new_region.blocks.append(*types, arg_locs=[op.location] * len(types))
                with ir.InsertionPoint(new_block):
                    self._bind(block.arguments, new_block.arguments)
                    self._convert_block(block)
        self._bind(op.results, new.results)

    def _convert_return(self, op: ir.Operation) -> None:
        if not self.is_public:
            func.ReturnOp(self.flatten(op.operands, owned=True))
            return
        # All copies come before all exports: the host waits once.
        values = [self.values[operand] for operand in op.operands]
        self._check_result_dims(values)
        owned = [value.clone() if isinstance(value, Tensor) else value for value in values]
        results = [
            _export(value, clone, self.storage.get(number)) if isinstance(value, Tensor) else clone
            for number, (value, clone) in enumerate(zip(values, owned, strict=True))
        ]
        if self.signal is not None:
            stream.TimepointSignalOp(stream.TimepointImmediateOp(stream.Timepoint.get()).result, self.signal)
        func.ReturnOp(results)

    def _check_result_dims(self, values: list[ir.Value | Tensor]) -> None:
        """Asserts the extents of what the caller gives for results where they were not known before."""
        for number, argument in self.storage.items():
            value = values[number]
            assert isinstance(value, Tensor)
            if value.dynamic_dims:
                self._assert_view(self.arguments[argument], f"output {number}", value.type, value.dims)

    def _convert_call(self, op: ir.Operation) -> None:
        callee = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
        callee = self.internal_names.get(callee, callee)
        types = flat_types([r.type for r in op.results])
        new = func.CallOp(types, ir.FlatSymbolRefAttr.get(callee), self.flatten(op.operands))
        self._bind(op.results, new.operation.results)

    # Values.

    def scalar(self, old: ir.Value) -> ir.Value:
        """The new form of a scalar."""
        value = self.values[old]
        assert not isinstance(value, Tensor), "a tensor where a scalar is expected"
        return value

    def tensor(self, old: ir.Value) -> Tensor:
        """The new form of a tensor."""
        value = self.values[old]
        assert isinstance(value, Tensor), "a scalar where a tensor is expected"
        return value

    def define(self, old: ir.Value, tensor: Tensor) -> None:
        """`tensor` is the new form of `old`."""
        self.values[old] = tensor

    def flatten(self, old_values: Iterable[ir.Value], owned: bool = False) -> list[ir.Value]:
        """Tensors as resource and dynamic extents, scalars as they are; `owned`: the receiver gets copies."""
        flat: list[ir.Value] = []
        for old in old_values:
            value = self.values[old]
            if isinstance(value, Tensor):
                flat += [value.clone() if owned else value.resource, *value.dynamic_dims]
            else:
                flat.append(value)
        return flat

    def _bind(self, old_values: Iterable[ir.Value], new_values: Iterable[ir.Value]) -> None:
        new = iter(new_values)
        for old in old_values:
            if not isinstance(old.type, ir.RankedTensorType):
                self.values[old] = next(new)
                continue
            resource = next(new)
            dynamic = [next(new) for axis in range(old.type.rank) if old.type.is_dynamic_dim(axis)]
            self.values[old] = Tensor.build(old.type, resource, dynamic)


def _export(tensor: Tensor, resource: ir.Value, storage: int | None) -> ir.Value:
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), element_type_number(tensor.type.element_type))
    export = stream.TensorExportOp(
        BufferView.get(), resource, tensor.size, tensor.dynamic_dims, ir.TypeAttr.get(tensor.type), number
    )
    if storage is not None:
        export.operation.attributes[stream.STORAGE] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), storage)
    return export.result


def storage_arguments(results: Sequence[dict[str, Any]], types: Sequence[ir.Type]) -> list[dict[str, Any]]:
    """What the signature says of the storage that the caller gives: as the results, and bytes of any number."""
    outputs = [
        {**result, "name": f"output {result.get('name') or number}", "role": "output"}
        for number, (result, kind) in enumerate(zip(results, types, strict=True))
        if isinstance(kind, ir.RankedTensorType)
    ]
    return [*outputs, {"name": "scratch", "dtype": "uint8", "shape": [None], "role": "scratch"}]


def flat_types(types: Sequence[ir.Type]) -> list[ir.Type]:
    """Types of values after the conversion: a resource and an index per dynamic extent for each tensor."""
    flat: list[ir.Type] = []
    for old in types:
        if isinstance(old, ir.RankedTensorType):
            flat.append(stream.resource_type())
            flat += [ir.IndexType.get()] * flow.dynamic_dim_count([old])
        else:
            flat.append(old)
    return flat
