"""Strategy as data: what a schedule needs to know, kept on an op of the entry point.

    linalg.generic {hal.configuration = {kind = "elementwise", workgroup_tiles = [4096], …}} …

`executable-configurations` writes it, the schedules of a target read it, tuning replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlirage.mlir import func, ir, linalg, walk

ATTRIBUTE = "hal.configuration"
Datum = int | str | tuple[int, ...]


@dataclass(frozen=True)
class Configuration:
    """How one entry point is to be compiled.

    Attributes:
      kind: the schedule, by the name of its file.
      workgroup_tiles: tile of one workgroup in every loop of the root; 0: the loop is not distributed. Empty: the
        entry point runs as one workgroup.
      data: what else the schedule wants to know.
    """

    kind: str
    workgroup_tiles: tuple[int, ...] = ()
    data: Mapping[str, Datum] = field(default_factory=dict[str, Datum])

    def to_attribute(self) -> ir.DictAttr:
        """As an attribute."""
        entries = {"kind": ir.StringAttr.get(self.kind), "workgroup_tiles": _encode(self.workgroup_tiles)}
        return ir.DictAttr.get(entries | {name: _encode(value) for name, value in self.data.items()})

    @staticmethod
    def from_attribute(attribute: ir.Attribute) -> Configuration:
        """Inverse of `to_attribute`."""
        entries = {named.name: _decode(named.attr) for named in ir.DictAttr(attribute)}
        kind, tiles = entries.pop("kind"), entries.pop("workgroup_tiles")
        assert isinstance(kind, str)
        assert isinstance(tiles, tuple)
        return Configuration(kind, tiles, entries)


def _encode(value: Datum) -> ir.Attribute:
    i64 = ir.IntegerType.get_signless(64)
    if isinstance(value, int):
        return ir.IntegerAttr.get(i64, value)
    return ir.StringAttr.get(value) if isinstance(value, str) else ir.DenseI64ArrayAttr.get(list(value))


def _decode(attribute: ir.Attribute) -> Datum:
    match attribute:
        case ir.IntegerAttr():
            return attribute.value
        case ir.StringAttr():
            return attribute.value
        case _:
            return tuple(ir.DenseI64ArrayAttr(attribute))


class Entry:
    """An entry point under compilation: one function, alone in its module while it is translated."""

    def __init__(self, function: func.FuncOp) -> None:
        self.function = function

    @property
    def name(self) -> str:
        """Symbol of the entry point."""
        return self.function.name.value

    @property
    def operation(self) -> ir.Operation:
        """The function."""
        return self.function.operation

    def walk(self) -> Iterator[ir.Operation]:
        """Every op of the function."""
        return walk(self.operation)

    def structured_ops(self) -> list[ir.Operation]:
        """The linalg ops with loops of their own, in order, wherever they stand."""
        return [op for op in self.walk() if is_structured(op)]

    def configured(self) -> tuple[ir.Operation, Configuration]:
        """The op that carries the configuration (the function itself if no op is the root), and the configuration."""
        for op in (self.operation, *self.walk()):
            if ATTRIBUTE in op.attributes:
                return op, Configuration.from_attribute(op.attributes[ATTRIBUTE])
        raise ValueError(f"entry point @{self.name} has no configuration")

    def configure(self, root: ir.Operation, configuration: Configuration) -> None:
        """Writes `configuration` on `root`."""
        root.attributes[ATTRIBUTE] = configuration.to_attribute()


def is_structured(op: ir.Operation) -> bool:
    """Whether `op` is a linalg op with indexing maps."""
    return op.name.startswith("linalg.") and op.name not in (
        "linalg.yield",
        "linalg.index",
        "linalg.pack",
        "linalg.unpack",
    )


@dataclass(frozen=True)
class Structure:
    """The loops of a linalg op.

    Attributes:
      iterators: "parallel" or "reduction", one per loop.
      maps: one per operand: inputs, then outputs.
      inputs: number of inputs.
    """

    iterators: tuple[str, ...]
    maps: tuple[ir.AffineMap, ...]
    inputs: int

    @property
    def reductions(self) -> int:
        """How many loops reduce."""
        return self.iterators.count("reduction")


def structure(op: ir.Operation) -> Structure:
    """The loops of `op`, named ops included (their loops reduce unless they index a result)."""
    is_special = op.name.startswith("linalgx.")
    attributes = op.attributes["indexing_maps"] if is_special else linalg.get_indexing_maps(op)
    assert attributes is not None, f"{op.name} has no indexing maps"
    maps = tuple(ir.AffineMapAttr(m).value for m in attributes)
    inputs = len(maps) - len(results_of(op))
    if op.name == "linalg.generic":
        kinds = tuple("reduction" if "reduction" in str(i) else "parallel" for i in op.attributes["iterator_types"])
    else:
        written = {e.position for m in maps[inputs:] for e in map(_dim, m.results) if e is not None}
        kinds = tuple("parallel" if i in written else "reduction" for i in range(maps[0].n_dims))
    return Structure(kinds, maps, inputs)


def results_of(op: ir.Operation) -> list[ir.Value]:
    """The operands that `op` writes: its inits."""
    count = len(op.results) or 1
    return list(op.operands)[len(op.operands) - count :]


def _dim(expression: ir.AffineExpr) -> ir.AffineDimExpr | None:
    return expression if isinstance(expression, ir.AffineDimExpr) else None


def loop_extents(op: ir.Operation) -> tuple[int | None, ...]:
    """Static extent of every loop of `op`; None where it is dynamic."""
    loops = structure(op)
    extents: list[int | None] = [None] * len(loops.iterators)
    for operand, indexing in zip(op.operands, loops.maps, strict=True):
        if not isinstance(operand.type, ir.ShapedType):
            continue
        shaped = ir.ShapedType(operand.type)
        for position, expression in enumerate(map(_dim, indexing.results)):
            if expression is not None and not shaped.is_dynamic_dim(position):
                extents[expression.position] = shaped.get_dim_size(position)
    return tuple(extents)
