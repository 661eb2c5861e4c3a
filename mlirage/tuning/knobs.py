"""What may be changed in the configuration of a dispatch, by the kind of its schedule.

A knob has a few values in an order in which neighbours are alike, so that a search may walk along it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlirage import structured_ops
from mlirage.attention import extents_of
from mlirage.codegen.configuration import Configuration, Datum, Entry
from mlirage.codegen.cpu import attention, contraction, loops, planes, rows, window, winograd
from mlirage.codegen.cpu.window_op import Window
from mlirage.mlir import ir

# A dynamic extent's blocks.
_DYNAMIC_TILES = tuple(1 << power for power in range(13))
_MOST_BLOCKS = 64
_MOST_ROWS = 14
_MOST_NEIGHBOURS = 12


@dataclass(frozen=True)
class Knob:
    """One number of a configuration.

    Attributes:
      name: for people: "tile 2", "rows".
      loop: the loop whose workgroup tile it is; -1 if it is a datum.
      datum: the datum, or "".
      position: the element of the datum, if that is several numbers; -1 if not.
      values: in order; the default's is among them.
    """

    name: str
    values: tuple[int, ...]
    loop: int = -1
    datum: str = ""
    position: int = -1

    def get(self, configuration: Configuration) -> int:
        """The value in a configuration."""
        if self.loop >= 0:
            return configuration.workgroup_tiles[self.loop]
        value = configuration.data[self.datum]
        number = value if self.position < 0 else value[self.position]  # pyright: ignore[reportIndexIssue]
        assert isinstance(number, int)
        return number

    def set(self, configuration: Configuration, value: int) -> Configuration:
        """The configuration with another value."""
        if self.loop >= 0:
            return replace(configuration, workgroup_tiles=_with(configuration.workgroup_tiles, self.loop, value))
        data: dict[str, Datum] = dict(configuration.data)
        old = data[self.datum]
        data[self.datum] = value if not isinstance(old, tuple) else _with(old, self.position, value)
        return replace(configuration, data=data)


def _with(values: tuple[int, ...], position: int, value: int) -> tuple[int, ...]:
    return (*values[:position], value, *values[position + 1 :])


def knobs(entry: Entry) -> list[Knob]:
    """The knobs of a configured entry point, those with the largest effect first; none if nothing may be changed."""
    root, configuration = entry.configured()
    match configuration.kind:
        case contraction.KIND:
            return _contraction_knobs(entry, configuration)
        case window.KIND:
            return _window_knobs(window.root_window(entry), configuration)
        case planes.KIND:
            return _window_knobs(planes.root_window(entry), configuration)
        case winograd.KIND:
            return _winograd_knobs(root, configuration)
        case attention.KIND:
            return _attention_knobs(root, configuration)
        case loops.KIND | rows.KIND:
            return _loops_knobs(root, configuration)
        case _:
            return []


def _contraction_knobs(entry: Entry, configuration: Configuration) -> list[Knob]:
    found = contraction.root_contraction(entry)
    assert found is not None, "configured as a contraction"
    extents = structured_ops.loop_extents(found.op)
    columns = configuration.data["columns"]
    assert isinstance(columns, int)
    tiles = [_tile(configuration, extents, loop) for loop in (*found.rows, *found.outer)]
    tiles.insert(0, _tile(configuration, extents, found.column, columns))
    data = [_number(configuration, "rows", range(1, _MOST_ROWS + 1))]
    if not found.panel:  # packed constants have the width that they were packed with
        data.append(_number(configuration, "columns", [columns // 2, columns, 2 * columns]))
    return _turnable([*tiles, *data])


def _window_knobs(found: Window | None, configuration: Configuration) -> list[Knob]:
    assert found is not None, "configured as a window"
    extents = structured_ops.loop_extents(found.op)
    tiles = [_tile(configuration, extents, loop) for loop in found.outer]
    data = [_number(configuration, name, values) for name, values in _WINDOW_DATA.items() if name in configuration.data]
    return _turnable([*tiles, *data])


_WINDOW_DATA: Mapping[str, Sequence[int]] = {"neighbours": range(1, _MOST_NEIGHBOURS + 1)}


def _winograd_knobs(root: ir.Operation, configuration: Configuration) -> list[Knob]:
    """Blocks of rows and columns of tiles, and of filters in whole panels."""
    extents = ir.RankedTensorType(root.operands[2].type).shape
    tile = ir.IntegerAttr(root.attributes["tile"]).value
    panel = ir.RankedTensorType(root.operands[1].type).shape[-1]
    filters = len(extents) - 1
    units = {1: tile, filters: panel, 2: tile}
    return _turnable([_tile(configuration, extents, loop, unit) for loop, unit in units.items()])


def _attention_knobs(root: ir.Operation, configuration: Configuration) -> list[Knob]:
    """Blocks of rows, and how many batches a workgroup computes."""
    op: Any = root.opview
    known = extents_of(list(root.operands), op.maps)
    extents = [structured_ops.DYNAMIC if extent is None else extent for extent in known]
    return _turnable([_tile(configuration, extents, loop) for loop in (*op.loops.rows[-1:], *reversed(op.loops.batch))])


def _loops_knobs(root: ir.Operation, configuration: Configuration) -> list[Knob]:
    # Of loops that are not distributed it is not known whether they may be.
    extents = structured_ops.loop_extents(root) if structured_ops.is_structured(root) else []
    found = [_tile(configuration, extents, loop) for loop, tile in enumerate(configuration.workgroup_tiles) if tile]
    row_tiles = configuration.data.get("row_tiles", ())
    assert isinstance(row_tiles, tuple)
    for position, tile in enumerate(row_tiles):
        if tile > 0:
            values = sorted({max(1, tile * 2**power // 4) for power in range(5)})
            found.append(Knob(f"row tile {position}", tuple(values), datum="row_tiles", position=position))
    return _turnable(found)


def _turnable(found: list[Knob]) -> list[Knob]:
    return [knob for knob in found if len(knob.values) > 1]


def _number(configuration: Configuration, name: str, values: Sequence[int]) -> Knob:
    default = configuration.data[name]
    assert isinstance(default, int)
    return Knob(name, tuple(sorted({default, *(value for value in values if value > 0)})), datum=name)


def _tile(configuration: Configuration, extents: Sequence[int], loop: int, unit: int = 1) -> Knob:
    """Blocks of a loop, smallest first: as many sizes as there are numbers of blocks; 0 is the whole loop, at the end.

    Args:
      unit: what blocks are multiples of.
    """
    default, extent = configuration.workgroup_tiles[loop], extents[loop]
    if extent == structured_ops.DYNAMIC:
        sizes = {size * unit for size in _DYNAMIC_TILES}
    else:
        counts = range(2, min(_MOST_BLOCKS, max(1, extent // unit)) + 1)
        sizes = {-(-extent // (count * unit)) * unit for count in counts}
        sizes |= {unit}
        sizes = {size for size in sizes if size < extent}
    if default:
        sizes.add(default)
    return Knob(f"tile {loop}", (*sorted(sizes), 0), loop=loop)
