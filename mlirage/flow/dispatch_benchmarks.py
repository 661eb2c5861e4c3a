"""Each dispatch of a program as a program of its own, to be measured and tuned apart from the others.

    %r = "flow.dispatch"(%x, %w, %batch, %batch) {entry = @main$0_…::@main$0_…}
      ─>
    module {
      builtin.module @main$0_… attributes {flow.executable} {…}
      func.func @main(%x: tensor<?x64xf32>, %w: tensor<64x8xf32>) -> tensor<?x8xf32> {
        %batch = tensor.dim %x, %c0
        %r = "flow.dispatch"(%x, %w, %batch, %batch) {…}
        return %r } }

Tensors are arguments, weights too (`Benchmark.constants` says which they are); so are scalars that are neither
constants nor extents of arguments. `--dump-ir` writes the programs as `executables/NAME/benchmark.mlir`, which
`--compile-from=flow` takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlirage.element_types import dtype_name
from mlirage.flow.dialect import DispatchOp
from mlirage.mlir import arith, func, ir, tensor, walk
from mlirage.program import Program

# Of each dim the first element and how many.
Part = tuple[tuple[int, int], ...]
# A function takes these as they are; every other scalar is made of an i64 or an f32.
_PASSED = ("i32", "i64", "f32", "f64")


@dataclass(frozen=True)
class Benchmark:
    """One dispatch.

    Attributes:
      name: of the executable.
      program: of phase flow, without constants; function `main`.
      constants: for each tensor argument of `main` the constant that the model passes there, or None.
      scalars: of the dispatch, in the order of its constants: how `main` gets them.
      written: for each result the parts that the dispatch writes, where others write the rest; None for all of it.
    """

    name: str
    program: Program
    constants: tuple[str | None, ...]
    scalars: tuple[Scalar, ...]
    written: tuple[tuple[Part, ...] | None, ...]


@dataclass(frozen=True)
class Scalar:
    """Where a scalar of the dispatch comes from in `main`.

    Attributes:
      type: its type in the dispatch, as text.
      argument: number of the argument of `main` that it is, or that it is an extent of; -1 for a constant.
      dim: which extent; -1 if it is none.
    """

    type: str
    argument: int = -1
    dim: int = -1


def dispatch_benchmarks(program: Program) -> Iterator[Benchmark]:
    """A benchmark for each executable of a program of phase flow, in order; of the first dispatch that runs it."""
    body = program.module.body
    executables = {
        ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
        for op in body.operations
        if "flow.executable" in op.operation.attributes
    }
    done: set[str] = set()
    for op in walk(program.module.operation):
        if op.name != "flow.dispatch":
            continue
        name = ir.SymbolRefAttr(op.attributes["entry"]).value[0]
        if name not in done:
            done.add(name)
            yield _benchmark(program, name, executables[name], op)


def _benchmark(program: Program, name: str, executable: ir.Operation, dispatch: ir.Operation) -> Benchmark:
    view = dispatch.opview
    assert isinstance(view, DispatchOp)
    with program.context, dispatch.location:
        module = ir.Module.create()
        executable.clone(ip=ir.InsertionPoint(module.body))
        builder = _Main(view)
        builder.build(module)
    alone = Program(module, {}, program.options)
    return Benchmark(name, alone, tuple(builder.constants), tuple(builder.scalars), _written_parts(executable))


def _written_parts(executable: ir.Operation) -> tuple[tuple[Part, ...] | None, ...]:
    """For each result what is inserted into a tensor without contents, as one branch of a concatenation is.

    Of parts whose place is not known until it runs nothing is said to be written.
    """
    (function,) = executable.regions[0].blocks[0].operations
    returned = list(function.regions[0].blocks[0].operations)[-1].operation.operands
    return tuple(_inserted_parts(value) for value in returned)


def _inserted_parts(value: ir.Value) -> tuple[Part, ...] | None:
    parts: list[Part] = []
    while not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.insert_slice":
        op = value.owner.operation
        offsets, sizes = (list(ir.DenseI64ArrayAttr(op.attributes[f"static_{name}"])) for name in ("offsets", "sizes"))
        if ir.ShapedType.get_dynamic_size() not in (*offsets, *sizes):
            parts.append(tuple(zip(offsets, sizes, strict=True)))
        value = op.operands[1]
    is_empty = not isinstance(value.owner, ir.Block) and value.owner.operation.name == "tensor.empty"
    return tuple(parts) if is_empty else None


class _Main:
    """Builds the function `main` around a dispatch."""

    def __init__(self, dispatch: DispatchOp) -> None:
        self.dispatch = dispatch
        operands = [*dispatch.arguments]
        self.tensors = [value for value in operands if isinstance(value.type, ir.RankedTensorType)]
        self.given = [value for value in operands if not isinstance(value.type, ir.RankedTensorType)]
        self.constants = [_constant(value) for value in self.tensors]
        self.scalars: list[Scalar] = []
        # Extents of arguments, by the host's value.
        self.extents: dict[ir.Value, tuple[int, int]] = {}
        places = [
            (number, dim)
            for number, value in enumerate(self.tensors)
            for dim in range(value.type.rank)
            if value.type.is_dynamic_dim(dim)
        ]
        for value, place in zip(dispatch.argument_dims, places, strict=True):
            self.extents.setdefault(value, place)

    def build(self, module: ir.Module) -> None:
        host = [*self.given, *self.dispatch.argument_dims, *self.dispatch.result_dims]
        apart = [v for v in dict.fromkeys(host) if v not in self.extents and not _is_number(v)]
        types = [value.type for value in self.tensors] + [_passed_as(value.type) for value in apart]
        results = [result.type for result in self.dispatch.operation.results]
        with ir.InsertionPoint(module.body):
            main = func.FuncOp("main", (types, results))
        main.operation.attributes["mlirage.signature"] = ir.StringAttr.get(json.dumps(self._signature(types, results)))
        block = main.add_entry_block()
        with ir.InsertionPoint(block):
            values: dict[ir.Value, ir.Value] = {}
            for number, value in enumerate(apart, len(self.tensors)):
                values[value] = _cast(block.arguments[number], value.type)
                self.extents[value] = (number, -1)
            for value in dict.fromkeys(host):
                if value in values:
                    continue
                if value in self.extents:
                    number, dim = self.extents[value]
                    values[value] = tensor.dim(block.arguments[number], arith.constant(ir.IndexType.get(), dim))
                else:
                    number_op = value.owner.operation  # pyright: ignore[reportAttributeAccessIssue] (_is_number)
                    values[value] = number_op.clone().operation.results[0]
            self._dispatch(block, values)
        self.scalars = [Scalar(str(value.type), *self.extents.get(value, (-1, -1))) for value in host]

    def _dispatch(self, block: ir.Block, values: dict[ir.Value, ir.Value]) -> None:
        tensors = iter(block.arguments)
        is_tensor = [isinstance(value.type, ir.RankedTensorType) for value in self.dispatch.arguments]
        arguments = [
            next(tensors) if kind else values[value]
            for kind, value in zip(is_tensor, self.dispatch.arguments, strict=True)
        ]
        op = DispatchOp(
            [result.type for result in self.dispatch.operation.results],
            self.dispatch.entry,
            self.dispatch.tied,
            arguments,
            [values[value] for value in self.dispatch.argument_dims],
            [values[value] for value in self.dispatch.result_dims],
        )
        func.return_(list(op.operation.results))

    def _signature(self, types: list[ir.Type], results: list[ir.Type]) -> dict[str, Any]:
        arguments = [{"name": f"arg{number}", **_described(kind)} for number, kind in enumerate(types)]
        for argument, name in zip(arguments, self.constants, strict=False):
            if name is not None:
                argument["name"] = name
        described = [{"name": f"result{number}", **_described(kind)} for number, kind in enumerate(results)]
        return {"arguments": arguments, "results": described, "source": "mlir"}


def _constant(value: ir.Value) -> str | None:
    """The name of the constant that a value of the host is."""
    if isinstance(value.owner, ir.Block) or value.owner.operation.name != "ml_program.global_load_const":
        return None
    return ir.SymbolRefAttr(value.owner.operation.attributes["global"]).value[0]


def _is_number(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "arith.constant"


def _passed_as(kind: ir.Type) -> ir.Type:
    if str(kind) in _PASSED:
        return kind
    return ir.F32Type.get() if isinstance(kind, ir.FloatType) else ir.IntegerType.get_signless(64)


def _cast(value: ir.Value, kind: ir.Type) -> ir.Value:
    if value.type == kind:
        return value
    if isinstance(kind, ir.IndexType):
        return arith.index_cast(kind, value)
    return arith.truncf(kind, value) if isinstance(kind, ir.FloatType) else arith.trunci(kind, value)


def _described(kind: ir.Type) -> dict[str, Any]:
    if not isinstance(kind, ir.RankedTensorType):
        return {"dtype": dtype_name(kind), "shape": []}
    shape = [None if kind.is_dynamic_dim(i) else kind.shape[i] for i in range(kind.rank)]
    return {"dtype": dtype_name(kind.element_type), "shape": shape}
