"""The executable cache: object files by the content of what they were made from.

A file is named by a hash of everything that shapes the object: the entry point's IR, target, options, the versions of
MLIR and LLVM, and the sources of the code generator. It holds a hash of its own contents, so that a file cut short or
changed is no hit. Writers rename complete files into place; any number of processes may share a folder.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path

from mlirage.codegen.cpu.abi import EntryInterface
from mlirage.codegen.cpu.translate import Translated
from mlirage.errors import UsageError

_LIMIT_BYTES = 1 << 30
_SUFFIX = ".object"


def default_folder() -> Path:
    """The user's cache folder of this operating system."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mlirage" / "executables"


@functools.cache
def compiler_key() -> str:
    """Changes whenever the code generator may generate other code."""
    digest = hashlib.sha256()
    for package in ("torch-mlir", "llvmlite"):
        digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    root = Path(__file__).parent.parent
    for source in sorted([*root.glob("*.py"), *(root / "codegen").rglob("*.py")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def content_key(*parts: str | bytes) -> str:
    """The name of what is made from `parts`."""
    digest = hashlib.sha256(compiler_key().encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class Cache:
    """A folder of objects; or nothing, if caching is off."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._stored = False

    @staticmethod
    def open(option: str) -> Cache:
        """The cache that the option `cache_dir` names: a folder, "" for the user's, "off" for none.

        Raises:
          UsageError: the folder cannot be made. The user's folder may be missing or read-only: then nothing is kept.
        """
        if option == "off":
            return Cache(None)
        try:
            folder = Path(option) if option else default_folder()
        except RuntimeError:  # a user without a home, as in containers that run under any number
            return Cache(None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            usable = os.access(folder, os.W_OK | os.X_OK)
        except OSError as error:
            if option:
                raise UsageError(f"cache folder {option!r}: {error.strerror}") from error
            usable = False
        if option and not usable:
            raise UsageError(f"cache folder {option!r} is not writable; give another or cache_dir='off'")
        return Cache(folder if usable else None)

    def load(self, key: str) -> Translated | None:
        """What is stored under `key`; None if nothing intact is."""
        if self.folder is None:
            return None
        path = self.folder / (key + _SUFFIX)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        checksum, body = data[:32], data[32:]
        if hashlib.sha256(body).digest() != checksum:
            return None
        header, _, object_file = body.partition(b"\n")
        row = json.loads(header)
        row["scalars"] = tuple(row["scalars"])
        return Translated(object_file, EntryInterface(**row))

    def store(self, key: str, result: Translated) -> None:
        """Keeps `result` under `key`. A full disk loses the entry, not the compilation."""
        if self.folder is None:
            return
        row = result.interface
        header = json.dumps(
            {
                "symbol": row.symbol, "name": row.name, "bindings": row.bindings, "scalars": row.scalars,
                "scratch_size": row.scratch_size,
            }
        )  # fmt: skip
        body = header.encode() + b"\n" + result.object
        try:
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                os.replace(name, self.folder / (key + _SUFFIX))
            except OSError:
                Path(name).unlink(missing_ok=True)
                return
        except OSError:
            return
        self._stored = True

    def prune(self, limit: int = _LIMIT_BYTES) -> None:
        """Removes the entries not used for the longest time until the folder is a fifth below `limit`."""
        if self.folder is None or not self._stored:
            return
        entries: list[tuple[float, int, Path]] = []
        try:
            found = list(os.scandir(self.folder))
        except OSError:  # somebody cleared the cache meanwhile
            return
        for entry in found:
            if entry.name.endswith(_SUFFIX):
                try:
                    status = entry.stat()
                except OSError:  # another process pruned it
                    continue
                entries.append((status.st_mtime, status.st_size, Path(entry.path)))
        total = sum(size for _, size, _ in entries)
        if total <= limit:
            return
        for _, size, path in sorted(entries):
            try:
                path.unlink(missing_ok=True)
            except OSError:  # another user's, in a shared folder
                continue
            total -= size
            if total <= limit * 4 // 5:
                return
