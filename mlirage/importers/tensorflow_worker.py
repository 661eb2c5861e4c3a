"""TensorFlow's own lowering, which may end the process that runs it, in a process of its own.

The process serves one compilation after the other, as starting TensorFlow takes seconds; it ends with the process that
started it, or when nothing came for a minute. A request is the name of a folder in a line on its standard input, where
the functions lie; its answer is a line on the standard output, with the texts or an error.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from mlirage.errors import ImportFailure, missing_package
from mlirage.importers.tensorflow_lowering import Graph, lower
from mlirage.importers.tensorflow_nodes import nodes_of

_LIMIT = 1800.0  # seconds that a lowering may take
_IDLE = 60.0  # seconds after which the process ends if nothing comes
_DONE = "done"


class Worker:
    """The process, which is started when it is needed.

    Args:
      program: what Python runs.
    """

    def __init__(self, program: Sequence[str] = ("-m", "mlirage.importers.tensorflow_worker")) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._told: IO[bytes] | None = None

    def start(self) -> None:
        """Starts the process, so that it is there when it is asked."""
        with self._lock:
            self._running()

    def lower(self, graphs: Sequence[Graph]) -> list[str]:
        """The text of each function.

        Raises:
          ImportFailure: some hold what cannot be converted; or the process died, or took too long.
        """
        with self._lock, tempfile.TemporaryDirectory(prefix="mlirage-tensorflow-") as scratch:
            folder = Path(scratch)
            _write(folder, graphs)
            try:
                self._ask(folder, graphs)
            except BaseException:  # an answer that nobody waits for must not be read as that to the next question
                self._kill()
                raise
            answer = json.loads((folder / "answer.json").read_text())
            if answer["problems"]:
                raise ImportFailure("\n".join(answer["problems"]))
            return [(folder / f"{number}.mlir").read_text() for number in range(len(graphs))]

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # of a process that forked, the worker is the parent's
            self._process = None
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._owner = os.getpid()
            self._told = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
            self._process = subprocess.Popen(
                [sys.executable, *self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._told,
            )
        return self._process

    def _ask(self, folder: Path, graphs: Sequence[Graph]) -> None:
        """Returns when the answer is in the folder."""
        for _ in range(2):
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            overdue = threading.Timer(_LIMIT, process.kill)
            overdue.start()
            try:
                process.stdin.write(f"{folder}\n".encode())
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = b""
            finally:
                in_time = overdue.is_alive()
                overdue.cancel()
            if line.decode().strip() == _DONE:
                return
            code = process.wait()
            if not in_time:
                raise ImportFailure(f"TensorFlow did not lower {_names(graphs)} within {_LIMIT:.0f} s")
            if code:
                raise ImportFailure(self._died(folder, graphs, code))
            # It had been idle, and ended before it saw the question.
        raise ImportFailure("the process that runs TensorFlow's lowering ends without an answer")

    def _died(self, folder: Path, graphs: Sequence[Graph], code: int) -> str:
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        assert self._told is not None
        self._told.seek(0)
        last = [line for line in self._told.read().decode(errors="replace").splitlines() if line.strip()]
        at = folder / "at"
        graph = graphs[int(at.read_text())] if at.exists() else None
        if graph is None:
            return f"the process that runs TensorFlow's lowering ended with {how}:\n" + "\n".join(last[-5:])
        why = next((line for line in last if " F0000 " in line or "LLVM ERROR" in line or "Assert" in line), "")
        told = f"TensorFlow's own lowering ended its process ({how}); the fault is TensorFlow's, not the model's: {why}"
        return f"function {graph.name!r}: {nodes_of(graph.function, graph.library).explained(told)}"

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
        if self._told is not None:
            self._told.close()
            self._told = None


WORKER = Worker()
"""One for the whole process: what starting TensorFlow takes is paid once."""
atexit.register(WORKER.close)


def _names(graphs: Sequence[Graph]) -> str:
    return ", ".join(repr(graph.name) for graph in graphs)


def _write(folder: Path, graphs: Sequence[Graph]) -> None:
    index: list[dict[str, Any]] = []
    for number, graph in enumerate(graphs):
        (folder / f"{number}.function").write_bytes(graph.function)
        (folder / f"{number}.library").write_bytes(graph.library)
        index.append({"name": graph.name, "bound": list(graph.bound), "types": dict(graph.types)})
    (folder / "graphs.json").write_text(json.dumps(index))


def _answer(folder: Path) -> None:
    """Lowers what lies in a folder."""
    problems: list[str] = []
    for number, entry in enumerate(json.loads((folder / "graphs.json").read_text())):
        (folder / "at").write_text(str(number))
        function, library = ((folder / f"{number}.{part}").read_bytes() for part in ("function", "library"))
        try:
            text = lower(Graph(entry["name"], function, library, entry["bound"], entry["types"]))
        except ImportFailure as error:
            problems.append(str(error))
        except ModuleNotFoundError as error:
            problems.append(str(missing_package(error)))
        else:
            (folder / f"{number}.mlir").write_text(text)
    (folder / "answer.json").write_text(json.dumps({"problems": problems}))


def main() -> None:
    """Runs in the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this decides what an interrupt ends
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints to standard output prints no answers
    while select.select([0], [], [], _IDLE)[0]:
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(0, 1)
            if not piece:
                return
            line += piece
        _answer(Path(line.decode().rstrip("\n")))
        print(_DONE, file=answers, flush=True)


if __name__ == "__main__":
    main()
