"""stream-place-in-scratch: what lives during a call lies in memory that the caller gives.

    func.func @main(%x, %output, %scratch) {              func.func @main(%x, %output, %scratch) {
      %arena, %t = stream.resource_alloca(%before) 4096     %arena = stream.tensor_import %scratch, 4096
      …                                                 ─>  …
      stream.resource_dealloca(%done) %arena }            func.func @main.scratch_size() -> i64 { return 4096 }

With option outputs=caller. The companion `@f.scratch_size` says how many bytes a call needs: without arguments where
that is one number, else of the arguments of `@f` (only their extents count). Arenas of loops and branches have places
of their own too; what loops carry from turn to turn, and sizes that are known only while it runs, stay with the
device's pool, which keeps memory from call to call.
"""

from __future__ import annotations

import json

from mlirage.mlir import arith, cf, func, identity, ir, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.stream import dialect as stream
from mlirage.stream.index_math import add, index_constant, static_index
from mlirage.stream.storage import functions

SUFFIX = ".scratch_size"
_SIGNATURE = "mlirage.signature"
_ALIGNMENT = 64


@module_pass("stream-place-in-scratch")
def place_in_scratch(program: Program) -> None:
    """Gives every public function its companion."""
    if program.options.outputs != "caller":
        return
    for function in functions(program.module):
        if "sym_visibility" not in function.attributes:
            _Scratch(function, program.options.execution_model == "async-external").place()


class _Scratch:
    """The scratch memory of one function."""

    def __init__(self, function: ir.Operation, has_fences: bool) -> None:
        self.function = function
        self.entry = function.regions[0].blocks[0]
        last = len(self.entry.arguments) - (2 if has_fences else 0)
        self.view = self.entry.arguments[last - 1]
        views = sum(1 for op in walk(function) if stream.STORAGE in op.attributes)
        self.inputs = list(self.entry.arguments)[: last - 1 - views]

    def place(self) -> None:
        """Takes the arenas out of the pool."""
        arenas: list[tuple[ir.Operation, ir.Operation]] = []
        for alloca in [op for op in walk(self.function) if op.name == "stream.resource_alloca"]:
            dealloca = next(
                (use.owner.operation for use in alloca.results[0].uses if use.owner.name == "stream.resource_dealloca"),
                None,
            )
            if dealloca is not None and dealloca.block == alloca.block and self._is_known(alloca.operands[1]):
                arenas.append((alloca, dealloca))
        sizes = self._sizes([alloca for alloca, _ in arenas])
        offsets, total = self._lay_out(sizes)
        self._build_companion(total)
        if not arenas:
            return
        with ir.InsertionPoint(self._after_asserts(total)), self.function.location:
            self._check_size(total)
            scratch = stream.TensorImportOp(stream.resource_type("external"), self.view, total).result
        for (alloca, dealloca), offset, size in zip(arenas, offsets, sizes, strict=True):
            with ir.InsertionPoint(alloca), alloca.location:
                part = stream.ResourceSubviewOp(scratch.type, scratch, total, offset, size).result
                memory = stream.ResourceCastOp(stream.resource_type("transient"), part).result
            alloca.results[0].replace_all_uses_with(memory)
            alloca.results[1].replace_all_uses_with(alloca.operands[0])
            dealloca.erase()
            alloca.erase()

    def _is_known(self, size: ir.Value) -> bool:
        """Whether a size depends on nothing but the extents of the arguments."""
        return self._slice(size) is not None

    def _slice(self, value: ir.Value) -> list[ir.Operation] | None:
        """The ops that compute `value`, in order; None if other things than arithmetic and extents are among them."""
        found: dict[int, ir.Operation] = {}

        def visit(value: ir.Value) -> bool:
            if isinstance(value.owner, ir.Block):
                return value in self.inputs
            op = value.owner.operation
            if identity(op) in found:
                return True
            is_pure = op.name.startswith("arith.") or op.name == "hal.buffer_view_dim"
            if not is_pure or len(op.regions) or not all(visit(operand) for operand in op.operands):
                return False
            found[identity(op)] = op
            return True

        return list(found.values()) if visit(value) else None

    def _sizes(self, allocas: list[ir.Operation]) -> list[ir.Value]:
        """The sizes, computed in the entry block."""
        sizes: list[ir.Value] = []
        for alloca in allocas:
            size = alloca.operands[1]
            constant = static_index(size)
            if constant is not None:
                with ir.InsertionPoint.at_block_begin(self.entry), alloca.location:
                    size = index_constant(constant)
            elif size.owner.operation.block != self.entry:
                size = self._copy(size, ir.InsertionPoint(self._top_of(alloca)), {})
            sizes.append(size)
        return sizes

    def _copy(self, value: ir.Value, place: ir.InsertionPoint, values: dict[ir.Value, ir.Value]) -> ir.Value:
        """`value` computed again at `place`; `values` has the new forms of arguments, and gets those of results."""
        for op in self._slice(value) or []:
            new = op.clone(ip=place)
            for number, operand in enumerate(op.operands):
                new.operation.operands[number] = values.get(operand, operand)
            for old, result in zip(op.results, new.operation.results, strict=True):
                values[old] = result
        return values.get(value, value)

    def _top_of(self, op: ir.Operation) -> ir.Operation:
        while op.block != self.entry:
            assert op.parent is not None
            op = op.parent.operation
        return op

    def _lay_out(self, sizes: list[ir.Value]) -> tuple[list[ir.Value], ir.Value]:
        """Offsets one behind the other, and what all need."""
        offsets: list[ir.Value] = []
        place = ir.InsertionPoint(self._last_of(sizes))
        with place, self.function.location:
            total = index_constant(0)
            for size in sizes:
                offsets.append(total)
                total = add(total, _align(size))
        return offsets, total

    def _last_of(self, values: list[ir.Value]) -> ir.Operation:
        """The op of the entry block in front of which all `values` are known."""
        operations = [op.operation for op in self.entry.operations]
        positions = {identity(op): number for number, op in enumerate(operations)}
        known = [positions[identity(v.owner.operation)] for v in values if not isinstance(v.owner, ir.Block)]
        return operations[max(known, default=-1) + 1]

    def _after_asserts(self, total: ir.Value) -> ir.Operation:
        return self._last_of([total])

    def _check_size(self, total: ir.Value) -> None:
        zero = arith.ConstantOp(ir.IntegerType.get_signless(32), 0).result
        given = ir.Operation.create("hal.buffer_view_dim", [ir.IndexType.get()], [self.view, zero]).result
        name = ir.StringAttr(self.function.attributes["sym_name"]).value
        fits = arith.CmpIOp(arith.CmpIPredicate.ule, total, given).result
        cf.AssertOp(fits, f"{name}: scratch has not the bytes that {name}{SUFFIX} tells")

    def _build_companion(self, total: ir.Value) -> None:
        """`@f.scratch_size`."""
        name = ir.StringAttr(self.function.attributes["sym_name"]).value
        i64 = ir.IntegerType.get_signless(64)
        constant = static_index(total)
        inputs = [] if constant is not None else self.inputs
        with ir.InsertionPoint(self.function), self.function.location:
            companion = func.FuncOp(name + SUFFIX, ([value.type for value in inputs], [i64]))
        block = companion.add_entry_block()
        with ir.InsertionPoint(block), self.function.location:
            if constant is not None:
                size = arith.ConstantOp(i64, constant).result
                func.ReturnOp([size])
            else:
                end = func.ReturnOp([arith.ConstantOp(i64, 0).result]).operation
                values = dict(zip(inputs, block.arguments, strict=True))
                size = self._copy(total, ir.InsertionPoint(end), values)
                with ir.InsertionPoint(end):
                    end.operands[0] = arith.IndexCastOp(i64, size).result
        self._describe(companion.operation, len(inputs))

    def _describe(self, companion: ir.Operation, count: int) -> None:
        if _SIGNATURE not in self.function.attributes:
            return
        signature = json.loads(ir.StringAttr(self.function.attributes[_SIGNATURE]).value)
        text = {
            "arguments": signature["arguments"][:count],
            "results": [{"name": "bytes", "dtype": "int64", "shape": []}],
            "source": signature.get("source"),
        }
        companion.attributes[_SIGNATURE] = ir.StringAttr.get(json.dumps(text))


def _align(size: ir.Value) -> ir.Value:
    constant = static_index(size)
    if constant is not None:
        return index_constant(-(-constant // _ALIGNMENT) * _ALIGNMENT)
    rounded = arith.AddIOp(size, index_constant(_ALIGNMENT - 1)).result
    return arith.MulIOp(arith.DivUIOp(rounded, index_constant(_ALIGNMENT)).result, index_constant(_ALIGNMENT)).result
