"""Profiles of devices: which thread ran what part of which dispatch, and when.

    with run.profile() as profile:
        run(x)
    for event in profile.events: …

Events are read when the block ends. `mlirage.profiling` makes tables and timelines of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from mlirage.runtime._runtime import Device

KINDS = ("dispatch", "fill", "copy", "update", "execute")


@dataclass(frozen=True, slots=True)
class Event:
    """What one thread ran of one command without a break.

    Attributes:
      name: of the entry point; empty for other commands.
      kind: one of KINDS; "execute" is a whole command buffer.
      execution: number of the command buffer's execution in the profile.
      command: position in the command buffer.
      worker: number of the thread in its device; 0 is the thread that executes.
      start_ns, end_ns: of the system's steady clock.
      first, end: the workgroups [first, end) of `units` that ran; of a fill or copy, pieces.
      bytes: that the whole command binds, or writes.
      grid: workgroups in x, y, z.
      constants: the first 32-bit words among the dispatch's constants.
    """

    name: str
    kind: str
    execution: int
    command: int
    worker: int
    start_ns: int
    end_ns: int
    first: int
    end: int
    units: int
    bytes: int
    grid: tuple[int, int, int]
    constants: tuple[int, ...]


def make_event(row: tuple[Any, ...]) -> Event:
    """An event of `Device.profiling_read`."""
    name, kind, *rest = row
    return Event(name, KINDS[kind], *rest)


@dataclass
class Profile:
    """What a device ran between entering and leaving a `with` block.

    Attributes:
      device: the device.
      capacity: events that are kept; what comes after is dropped.
      events: in the order in which they ended.
      dropped: how many were lost.
    """

    device: Device
    capacity: int = 1 << 16
    events: list[Event] = field(default_factory=list[Event])
    dropped: int = 0

    def __enter__(self) -> Profile:
        self.device.profiling_begin(self.capacity)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.read()
        finally:
            self.device.profiling_end()

    def read(self) -> None:
        """Moves the events so far from the device to `events`, which makes room for more."""
        rows, self.dropped = self.device.profiling_read()
        self.events.extend(map(make_event, rows))
