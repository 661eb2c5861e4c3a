"""Configurations that tuning found: a file of them, keyed by what they are for.

    {"version": 1, "dispatches": {"1f3a…": {"name": "main$3_conv_…", "kind": "contraction",
                                            "workgroup_tiles": [0, 64, 0], "data": {"rows": 8, "columns": 32},
                                            "gain": 1.12}}}

The key of an entry point is a hash of its IR (without names and locations) and of the target, so that a file serves any
model that has the dispatch, and none that has not.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mlirage.codegen.configuration import Configuration, Datum, Entry
from mlirage.codegen.target import CpuTarget
from mlirage.errors import UsageError

VERSION = 1


@dataclass(frozen=True)
class Tuned:
    """What tuning found for one dispatch.

    Attributes:
      name: of the dispatch that was measured, for people.
      configuration: the fastest.
      gain: how many times faster it was than the default.
    """

    name: str
    configuration: Configuration
    gain: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        chosen = self.configuration
        data = {name: list(value) if isinstance(value, tuple) else value for name, value in sorted(chosen.data.items())}
        tiles = list(chosen.workgroup_tiles)
        return {"name": self.name, "kind": chosen.kind, "workgroup_tiles": tiles, "data": data, "gain": self.gain}


@dataclass
class TuningFile:
    """The contents of a tuning file."""

    dispatches: dict[str, Tuned] = field(default_factory=dict[str, Tuned])

    @staticmethod
    def read(path: Path) -> TuningFile:
        """The file `path`.

        Raises:
          UsageError: it cannot be read, or is no tuning file of this version.
        """
        try:
            content = json.loads(path.read_text())
        except OSError as error:
            raise UsageError(f"tuning file {path}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"tuning file {path}: no JSON: {error}") from error
        try:
            if content["version"] != VERSION:
                raise UsageError(f"tuning file {path}: version {content['version']}, this reads {VERSION}; tune again")
            return TuningFile({key: _tuned(row) for key, row in content["dispatches"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"tuning file {path}: malformed: {error!r}") from error

    def write(self, path: Path) -> None:
        """Writes the file; the same contents give the same bytes.

        Raises:
          UsageError: it cannot be written.
        """
        rows = {key: tuned.to_json() for key, tuned in sorted(self.dispatches.items())}
        try:
            path.write_text(json.dumps({"version": VERSION, "dispatches": rows}, indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _tuned(row: Mapping[str, Any]) -> Tuned:
    data: dict[str, Datum] = {name: _datum(value) for name, value in row["data"].items()}
    return Tuned(
        str(row["name"]), Configuration(str(row["kind"]), tuple(map(int, row["workgroup_tiles"])), data), row["gain"]
    )


def _datum(value: Any) -> Datum:
    if isinstance(value, list):
        return tuple(map(int, cast(list[Any], value)))
    if not isinstance(value, int | str):
        raise TypeError(f"{value!r} in a configuration")
    return value


def dispatch_key(entry: Entry, target: CpuTarget) -> str:
    """What names `entry` (in interface form, not yet configured) in tuning files."""
    text = entry.operation.get_asm(use_local_scope=True).replace(entry.name, "")
    return hashlib.sha256(f"{target.key}\n{text}".encode()).hexdigest()[:24]


def tuned_configuration(path: str, entry: Entry, default: Configuration, key: str) -> Configuration | None:
    """What the file `path` says of an entry point; None if it says nothing.

    Raises:
      UsageError: the file is not for this compiler: its schedules want other facts.
    """
    found = _read(path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0).dispatches.get(key)
    if found is None:
        return None
    chosen = found.configuration
    same_data = {name: type(value) for name, value in chosen.data.items()} == {
        name: type(value) for name, value in default.data.items()
    }
    same_loops = len(chosen.workgroup_tiles) == len(default.workgroup_tiles)
    if chosen.kind != default.kind or not same_data or not same_loops:
        raise UsageError(
            f"tuning file {path}: what it says of @{entry.name} ({chosen}) is for another version of the compiler, "
            f"which chooses {default} now; run `mlirage tune` again"
        )
    return chosen


@functools.lru_cache(maxsize=4)
def _read(path: str, changed: int) -> TuningFile:
    del changed  # another file of the same name is another key
    return TuningFile.read(Path(path))
