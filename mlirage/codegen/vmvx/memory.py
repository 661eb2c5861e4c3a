"""memrefs become byte buffers: what the virtual machine has.

    func.func @e(%b: memref<1xf32>, %n: index, %workgroup: index, %scratch: memref<1xi8>) -> i32 {
      %m = memref.reinterpret_cast %b to offset: [0], sizes: [4, %n], strides: [%n, 1]
      %x = memref.load %m[%i, %j]
      ─>
    func.func @e(%b: !util.buffer, %n.low: i32, %n.high: i32, %id_x: i32, …, %count_z: i32) {
      %o = (%i * %n + %j) * 4
      %x = util.buffer_load %b, %o : f32

Every memref is a buffer with an offset, extents and strides, which are constants or index values; loads and stores are
at byte offsets, and checked when they run. Complex numbers are two scalars side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlirage.codegen.configuration import Entry
from mlirage.codegen.cpu.bufferize import byte_width
from mlirage.codegen.cpu.index_math import Index, add, mul, product, value
from mlirage.codegen.vmvx.microkernels import linear_steps
from mlirage.constants import read_dense
from mlirage.errors import CompileError
from mlirage.mlir import arith, complex_, func, ir
from mlirage.util_dialect import Buffer, BufferAllocOp, BufferConstantOp, BufferFillOp, BufferLoadOp, BufferStoreOp
from mlirage.vmvx_dialect import CallOp

ID_AND_COUNT = 6  # the workgroup's id and the number of workgroups, x y z each
_DYNAMIC = ir.ShapedType.get_dynamic_size()


@dataclass(frozen=True)
class Memory:
    """Where a memref's elements are.

    Attributes:
      buffer: the !util.buffer.
      offset, sizes, strides: in elements.
    """

    buffer: ir.Value
    offset: Index
    sizes: tuple[Index, ...]
    strides: tuple[Index, ...]

    def element(self, indices: Sequence[Index]) -> Index:
        """The number of the element at `indices`, from the start of the buffer."""
        position = self.offset
        for index, stride in zip(indices, self.strides, strict=True):
            position = add(position, mul(index, stride))
        return position


def memory_to_buffers(entry: Entry) -> None:
    """Rewrites the entry; the module keeps no memref.

    Raises:
      CompileError: an op on memrefs has no lowering.
    """
    _Conversion(entry).run()


def _is_memref(v: ir.Value) -> bool:
    return isinstance(v.type, ir.MemRefType)


class _Conversion:
    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.memories: dict[ir.Value, Memory] = {}
        self.globals = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in entry.operation.parent.regions[0].blocks[0].operations
            if op.operation.name == "memref.global"
        }

    def run(self) -> None:
        block = self.entry.function.entry_block
        old = list(block.arguments)
        self._convert_arguments(block, old)
        dead: list[ir.Operation] = []
        self._convert_block(block, dead)
        for op in reversed(dead):
            op.erase()
        for _ in old:
            block.erase_argument(0)
        for op in self.globals.values():
            op.erase()
        terminator = list(block.operations)[-1].operation
        with ir.InsertionPoint(terminator), terminator.location:
            func.return_([])
        terminator.erase()

    def _convert_arguments(self, block: ir.Block, old: list[ir.Value]) -> None:
        """New arguments after the old ones: buffers, words of the scalars, id and count; scalars come from words."""
        operation = self.entry.operation
        i32, location = ir.IntegerType.get_signless(32), operation.location
        interface = ir.DictAttr(operation.attributes["hal.interface"])
        bindings = ir.IntegerAttr(interface["bindings"]).value
        scalars = old[bindings:-2]
        words = [_word_count(scalar.type) for scalar in scalars]
        types: list[ir.Type] = [Buffer.get() for _ in range(bindings)]
        types += [i32 for _ in range(sum(words) + ID_AND_COUNT)]
        new = [block.add_argument(kind, location) for kind in types]
        for argument, buffer in zip(old[:bindings], new, strict=False):
            self.memories[argument] = Memory(buffer, 0, (1,), (1,))
        with ir.InsertionPoint.at_block_begin(block), location:
            at = bindings
            for scalar, count in zip(scalars, words, strict=True):
                scalar.replace_all_uses_with(_from_words(scalar.type, new[at : at + count]))
                at += count
            old[-2].replace_all_uses_with(arith.index_castui(ir.IndexType.get(), new[-ID_AND_COUNT]))
        operation.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, []))
        for name in [a if isinstance(a, str) else a.name for a in operation.attributes]:
            if name not in ("sym_name", "function_type"):
                del operation.attributes[name]

    def _convert_block(self, block: ir.Block, dead: list[ir.Operation]) -> None:
        for opview in list(block.operations):
            op = opview.operation
            if any(map(_is_memref, (*op.operands, *op.results))):
                handler = _HANDLERS.get(op.name)
                if handler is None:
                    raise CompileError(f"{op.location}: no code generation for {op.name} in @{self.entry.name}")
                with ir.InsertionPoint(op), op.location:
                    handler(self, op)
                dead.append(op)
            for region in op.regions:
                for inner in region.blocks:
                    if any(map(_is_memref, inner.arguments)):
                        raise CompileError(f"{op.location}: {op.name} of @{self.entry.name} carries memory")
                    self._convert_block(inner, dead)

    def put(self, result: ir.Value, memory: Memory) -> None:
        """What an op's result is."""
        self.memories[result] = memory

    # Ops.

    def allocate(self, op: ir.Operation) -> None:
        kind = ir.MemRefType(op.results[0].type)
        dims = iter(op.operands)
        sizes = [next(dims) if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)]
        size = mul(product(sizes), byte_width(kind.element_type))
        self.put(op.results[0], _row_major(BufferAllocOp(Buffer.get(), value(size)).result, sizes))

    def get_global(self, op: ir.Operation) -> None:
        kind = ir.MemRefType(op.results[0].type)
        source = self.globals[ir.FlatSymbolRefAttr(op.attributes["name"]).value]
        data = np.ascontiguousarray(read_dense(source, "initial_value")).reshape(-1).view(np.int8)
        attribute = ir.DenseElementsAttr.get(data)  # pyright: ignore[reportCallIssue, reportArgumentType]
        sizes = [kind.get_dim_size(i) for i in range(kind.rank)]
        self.put(op.results[0], _row_major(BufferConstantOp(Buffer.get(), attribute).result, sizes))

    def reinterpret_cast(self, op: ir.Operation) -> None:
        segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
        operands = list(op.operands)[segments[0] :]
        columns: list[list[Index]] = []
        for name, count in zip(("static_offsets", "static_sizes", "static_strides"), segments[1:], strict=True):
            dynamic, operands = iter(operands[:count]), operands[count:]
            static = ir.DenseI64ArrayAttr(op.attributes[name])
            columns.append([next(dynamic) if item == _DYNAMIC else item for item in static])
        (offset,), sizes, strides = columns
        buffer = self.memories[op.operands[0]].buffer
        self.put(op.results[0], Memory(buffer, offset, tuple(sizes), tuple(strides)))

    def extract_strided_metadata(self, op: ir.Operation) -> None:
        memory = self.memories[op.operands[0]]
        base, *rest = op.results
        self.put(base, Memory(memory.buffer, 0, (), ()))
        for result, index in zip(rest, (memory.offset, *memory.sizes, *memory.strides), strict=True):
            result.replace_all_uses_with(value(index))

    def forward(self, op: ir.Operation) -> None:
        self.put(op.results[0], self.memories[op.operands[0]])

    def ignore(self, op: ir.Operation) -> None:
        del op

    def dim(self, op: ir.Operation) -> None:
        owner = op.operands[1].owner
        if isinstance(owner, ir.Block) or owner.operation.name != "arith.constant":
            raise CompileError(f"{op.location}: the extent of a dimension that is computed")
        number = ir.IntegerAttr(owner.operation.attributes["value"]).value
        op.results[0].replace_all_uses_with(value(self.memories[op.operands[0]].sizes[number]))

    def select(self, op: ir.Operation) -> None:
        condition, *sides = op.operands
        left, right = (self.memories[side] for side in sides)

        def choose(a: Index, b: Index) -> Index:
            same = a == b
            return a if same else arith.select(condition, value(a), value(b))

        buffer = arith.select(condition, left.buffer, right.buffer)
        sizes, strides = (
            tuple(choose(a, b) for a, b in zip(x, y, strict=True))
            for x, y in ((left.sizes, right.sizes), (left.strides, right.strides))
        )
        self.put(op.results[0], Memory(buffer, choose(left.offset, right.offset), sizes, strides))

    def load(self, op: ir.Operation) -> None:
        source, *indices = op.operands
        memory, kind = self.memories[source], op.results[0].type
        offset = mul(memory.element(indices), byte_width(kind))
        if not isinstance(kind, ir.ComplexType):
            result = BufferLoadOp(_stored(kind), memory.buffer, value(offset)).result
            op.results[0].replace_all_uses_with(_from_stored(result, kind))
            return
        part = kind.element_type
        real = BufferLoadOp(part, memory.buffer, value(offset)).result
        imaginary = BufferLoadOp(part, memory.buffer, value(add(offset, byte_width(part)))).result
        op.results[0].replace_all_uses_with(complex_.CreateOp(kind, real, imaginary).result)

    def store(self, op: ir.Operation) -> None:
        stored, target, *indices = op.operands
        memory, kind = self.memories[target], stored.type
        offset = mul(memory.element(indices), byte_width(kind))
        if not isinstance(kind, ir.ComplexType):
            BufferStoreOp(_to_stored(stored), memory.buffer, value(offset))
            return
        part = kind.element_type
        BufferStoreOp(complex_.re(stored), memory.buffer, value(offset))
        BufferStoreOp(complex_.im(stored), memory.buffer, value(add(offset, byte_width(part))))

    def fill(self, op: ir.Operation) -> None:
        scalar, target = op.operands
        memory, size = self.memories[target], byte_width(scalar.type)
        length = mul(product(memory.sizes), size)
        BufferFillOp(memory.buffer, value(mul(memory.offset, size)), value(length), _to_stored(scalar))

    def contract(self, op: ir.Operation) -> None:
        """Offsets and steps of the loops in each operand, by the strides of its memory."""
        operands = list(op.operands)
        kernel = ir.StringAttr(op.attributes["kernel"]).value
        zeros = operands[3:5] if "8" in kernel else []
        extents = operands[3 + len(zeros) :]
        memories = [self.memories[v] for v in operands[:3]]
        offsets: list[Index] = []
        steps: list[list[Index]] = []
        for memory, attribute in zip(memories, ir.ArrayAttr(op.attributes["maps"]), strict=True):
            offset, per_loop = _steps(memory, ir.AffineMapAttr(attribute).value)
            offsets.append(offset)
            steps.append(per_loop)
        groups = [v for loop, extent in enumerate(extents) for v in (extent, *(step[loop] for step in steps))]
        call(f"contract_{kernel}", "ii" if zeros else "", zeros, [m.buffer for m in memories], offsets, groups)


def call(
    kernel: str,
    leading: str,
    scalars: Sequence[ir.Value],
    buffers: Sequence[ir.Value],
    offsets: Sequence[Index],
    groups: Sequence[Index],
) -> None:
    """A call of a strided microkernel: scalars, buffers, an offset for each, then loops (extent, a step for each)."""
    count = len(buffers)
    convention = f"{leading}{'r' * count}{'I' * count}[{'I' * (count + 1)}]_"
    arguments = [*scalars, *buffers, *map(value, offsets), *map(value, groups)]
    repetitions = ir.DenseI32ArrayAttr.get([len(groups) // (count + 1)])
    CallOp(arguments, ir.StringAttr.get(f"vmvx.{kernel}"), ir.StringAttr.get(convention), repetitions)


def _steps(memory: Memory, indexing: ir.AffineMap) -> tuple[Index, list[Index]]:
    """Where loops start in an operand and how far each moves, in elements."""
    offset = memory.offset
    steps: list[Index] = [0] * indexing.n_dims
    for expression, stride in zip(indexing.results, memory.strides, strict=True):
        linear = linear_steps(expression, indexing.n_dims)
        assert linear is not None, "microkernels are chosen for linear maps alone"
        offset = add(offset, mul(linear[1], stride))
        steps = [add(step, mul(factor, stride)) for step, factor in zip(steps, linear[0], strict=True)]
    return offset, steps


_HANDLERS: dict[str, Callable[[_Conversion, ir.Operation], None]] = {
    "memref.alloc": _Conversion.allocate,
    "memref.alloca": _Conversion.allocate,
    "memref.dealloc": _Conversion.ignore,
    "memref.get_global": _Conversion.get_global,
    "memref.reinterpret_cast": _Conversion.reinterpret_cast,
    "memref.extract_strided_metadata": _Conversion.extract_strided_metadata,
    "memref.cast": _Conversion.forward,
    "memref.dim": _Conversion.dim,
    "memref.load": _Conversion.load,
    "memref.store": _Conversion.store,
    "arith.select": _Conversion.select,
    "vmvx.fill": _Conversion.fill,
    "vmvx.contract": _Conversion.contract,
}


def _row_major(buffer: ir.Value, sizes: Sequence[Index]) -> Memory:
    strides = tuple(product(sizes[i + 1 :]) for i in range(len(sizes)))
    return Memory(buffer, 0, tuple(sizes), strides)


def _word_count(scalar: ir.Type) -> int:
    """32-bit words that a scalar takes among the constants of a dispatch (executable.h)."""
    if isinstance(scalar, ir.IndexType | ir.F64Type):
        return 2
    return 2 if isinstance(scalar, ir.IntegerType) and scalar.width > 32 else 1


def _from_words(kind: ir.Type, words: Sequence[ir.Value]) -> ir.Value:
    """A scalar of its words, low one first."""
    i64 = ir.IntegerType.get_signless(64)
    raw = words[0]
    if len(words) == 2:
        high = arith.shli(arith.extui(i64, words[1]), arith.constant(i64, 32))
        raw = arith.ori(arith.extui(i64, words[0]), high)
    if isinstance(kind, ir.IndexType):
        return arith.index_cast(kind, raw)
    integer = ir.IntegerType.get_signless(kind.width)  # pyright: ignore[reportAttributeAccessIssue]
    raw = raw if raw.type == integer else arith.trunci(integer, raw)
    return raw if kind == integer else arith.bitcast(kind, raw)


def _stored(kind: ir.Type) -> ir.Type:
    """The integer or float of whole bytes that an element is in memory."""
    if isinstance(kind, ir.IndexType):
        return ir.IntegerType.get_signless(64)
    if isinstance(kind, ir.IntegerType) and kind.width % 8 != 0:
        return ir.IntegerType.get_signless(8 * byte_width(kind))
    return kind


def _from_stored(loaded: ir.Value, kind: ir.Type) -> ir.Value:
    if isinstance(kind, ir.IndexType):
        return arith.index_cast(kind, loaded)
    return loaded if loaded.type == kind else arith.trunci(kind, loaded)


def _to_stored(scalar: ir.Value) -> ir.Value:
    kind = _stored(scalar.type)
    if isinstance(scalar.type, ir.IndexType):
        return arith.index_cast(kind, scalar)
    return scalar if scalar.type == kind else arith.extui(kind, scalar)
