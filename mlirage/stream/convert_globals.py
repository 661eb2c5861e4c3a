"""How stream-convert-to-stream converts global tensors: constants, variables, and the initializer."""

from __future__ import annotations

import math

from mlirage.constants import read_dense
from mlirage.errors import CompileError
from mlirage.mlir import arith, func, ir
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.convert_flow_ops import Converter, Tensor, all_dims
from mlirage.stream.element_types import bit_pattern, byte_size, element_bits
from mlirage.util_dialect import GlobalLoadOp, GlobalOp, GlobalStoreOp

INITIALIZER = "mlirage.initializer"


def initializer(module: ir.Module) -> func.FuncOp | None:
    """The function that runs once when a module is loaded, if there is one."""
    for op in module.body.operations:
        if isinstance(op, func.FuncOp) and INITIALIZER in op.operation.attributes:
            return op
    return None


def ensure_initializer(module: ir.Module) -> func.FuncOp:
    """The function that runs once when a module is loaded."""
    existing = initializer(module)
    if existing is not None:
        return existing
    with ir.InsertionPoint(module.body), ir.Location.name("initializer", context=module.context):
        function = func.FuncOp("__init", ([], []), visibility="private")
        function.operation.attributes[INITIALIZER] = ir.UnitAttr.get()
        with ir.InsertionPoint(function.add_entry_block()):
            func.ReturnOp([])
    return function


class Globals:
    """The globals of a program while its functions are rebuilt."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.old: dict[str, ir.Operation] = {}
        self.variables: list[ir.Operation] = []
        for op in list(program.module.body.operations):
            if op.operation.name == "ml_program.global":
                self._declare(op.operation)

    def _declare(self, op: ir.Operation) -> None:
        name = _symbol(op, "sym_name")
        self.old[name] = op
        value_type = ir.TypeAttr(op.attributes["type"]).value
        is_mutable = "is_mutable" in op.attributes
        if isinstance(value_type, ir.RankedTensorType):
            if not value_type.has_static_shape:
                raise CompileError(f"{op.location}: global @{name} of type {value_type}: state needs a static shape")
            if not is_mutable:
                return
            self.variables.append(op)
            new_type = stream.resource_type("variable")
        else:
            new_type = value_type
        with ir.InsertionPoint(op), op.location:
            flag = ir.BoolAttr.get(is_mutable and not isinstance(value_type, ir.RankedTensorType))
            new = GlobalOp(ir.StringAttr.get(name), ir.TypeAttr.get(new_type), flag)
            if isinstance(value_type, ir.RankedTensorType):
                bits = math.prod(value_type.shape) * element_bits(value_type.element_type)
                new.operation.attributes["size"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), -(-bits // 8))
            if new_type == value_type and "value" in op.attributes:
                new.operation.attributes["initial_value"] = op.attributes["value"]
        op.attributes["sym_name"] = ir.StringAttr.get(f"{name}__old")

    def convert(self, op: ir.Operation, convert: Converter) -> None:
        """Converts a load or store of a global."""
        name = _symbol(op, "global")
        if op.name == "ml_program.global_store":
            self._convert_store(op, name, convert)
            return
        result = op.results[0]
        if not isinstance(result.type, ir.RankedTensorType):
            convert.values[result] = GlobalLoadOp(result.type, ir.FlatSymbolRefAttr.get(name)).result
            return
        dims = all_dims(result.type, [])
        size = byte_size(result.type.element_type, dims)
        if "is_mutable" in self.old[name].attributes:
            resource = GlobalLoadOp(stream.resource_type(), ir.FlatSymbolRefAttr.get(name)).result
        else:
            resource = self._contents(self.old[name], result.type, size)
        convert.define(result, Tensor(result.type, resource, dims, size))

    def _convert_store(self, op: ir.Operation, name: str, convert: Converter) -> None:
        symbol = ir.FlatSymbolRefAttr.get(name)
        if isinstance(op.operands[0].type, ir.RankedTensorType):
            value = convert.tensor(op.operands[0])
            stream.VariableStoreOp(value.resource, value.size, symbol)
        else:
            GlobalStoreOp(convert.scalar(op.operands[0]), symbol)

    def _contents(self, op: ir.Operation, tensor_type: ir.RankedTensorType, size: ir.Value) -> ir.Value:
        """The first contents of a global."""
        name = _symbol(op, "sym_name").removesuffix("__old")
        if "value" not in op.attributes:
            return stream.AsyncAllocaOp(stream.resource_type(), size).result
        if name not in self.program.constants:  # not extern: the contents stand in the IR
            value = None if isinstance(tensor_type.element_type, ir.ComplexType) else op.attributes["value"]
            if isinstance(value, ir.DenseElementsAttr) and value.is_splat:
                scalar = arith.ConstantOp(tensor_type.element_type, value.get_splat_value()).result  # pyright: ignore[reportArgumentType]
                return stream.AsyncSplatOp(stream.resource_type(), bit_pattern(scalar), size).result
            if "extern" not in op.get_asm(large_elements_limit=16):
                self.program.constants[name] = read_dense(op, "value")
        if name not in self.program.constants:
            raise CompileError(f"{op.location}: the program has no constant called {name!r} for global @{name}")
        return stream.AsyncConstantOp(stream.resource_type(), size, ir.StringAttr.get(name)).result

    def build_initializer(self) -> None:
        """Gives variables their first contents and erases the old globals."""
        if self.variables:
            function = ensure_initializer(self.program.module)
            with ir.InsertionPoint(function.entry_block.operations[len(function.entry_block.operations) - 1]):
                for op in self.variables:
                    with op.location:
                        self._initialize(op)
        for op in self.old.values():
            op.erase()

    def _initialize(self, op: ir.Operation) -> None:
        tensor_type = ir.RankedTensorType(ir.TypeAttr(op.attributes["type"]).value)
        size = byte_size(tensor_type.element_type, all_dims(tensor_type, []))
        contents = self._contents(op, tensor_type, size)
        name = _symbol(op, "sym_name").removesuffix("__old")
        owned = stream.AsyncCloneOp(stream.resource_type(), contents, size).result
        GlobalStoreOp(owned, ir.FlatSymbolRefAttr.get(name))


def _symbol(op: ir.Operation, attribute: str) -> str:
    value = op.attributes[attribute]
    if isinstance(value, ir.FlatSymbolRefAttr | ir.StringAttr):
        return value.value
    return ir.SymbolRefAttr(value).value[0]
