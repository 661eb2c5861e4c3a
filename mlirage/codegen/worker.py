"""Worker processes for code generation.

MLIR holds Python's lock while it compiles and takes the process with it when it fails badly, so entry points are
compiled elsewhere:

    compiler ──socket──> nursery: imports MLIR and LLVM once, then only forks
        └──────socket──> worker: a fork of the nursery; takes jobs, gives results

A worker that dies or hangs is one failed job. Nursery and workers end when the compiler closes its sockets.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
_STDERR_TAIL = 1500


# Messages ----------------------------------------------------------------------------------------------------------


def send_message(connection: socket.socket, value: Any) -> None:
    """Sends a Python value."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive_message(connection: socket.socket) -> Any:
    """Receives a Python value.

    Raises:
      EOFError: the other side is gone.
    """
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    return pickle.loads(_receive_exactly(connection, length))  # both ends are ours


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        try:
            part = connection.recv(min(length, 1 << 20))
        except ConnectionError as error:
            raise EOFError from error
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


# The other side ----------------------------------------------------------------------------------------------------


def nursery_main(descriptor: int) -> None:
    """Runs in the nursery: forks a worker for each pair of descriptors (its socket, its stderr) received."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the compiler decides what an interrupt ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps workers
    # The context is made here, without threads, so that each fork finds it ready.
    from mlirage.codegen.translation import WorkerState

    state = WorkerState()
    while True:
        message, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(2 * array.array("i").itemsize))
        if not message:
            return
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data)
        connection, errors = descriptors
        if os.fork() == 0:
            control.close()
            os.dup2(errors, 2)
            os.close(errors)
            _worker_main(socket.socket(fileno=connection), state)
            os._exit(0)
        os.close(connection)
        os.close(errors)


def _worker_main(connection: socket.socket, state: Any) -> None:
    """Runs in a worker: takes jobs until the compiler hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # subprocesses of ours are waited for
    send_message(connection, os.getpid())
    while True:
        try:
            task = receive_message(connection)
        except EOFError:
            return
        send_message(connection, state.run(task))


# Our side ----------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    connection: socket.socket
    errors: IO[bytes]
    pid: int
    task: int = -1
    deadline: float = 0.0

    def complaint(self) -> str:
        """The end of what the worker wrote to stderr."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _STDERR_TAIL))
        return self.errors.read().decode(errors="replace").strip()

    def close(self) -> None:
        self.connection.close()
        self.errors.close()


class WorkerPool:
    """The nursery and its idle workers; kept from one compilation to the next."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._control, theirs = socket.socketpair()
        root = str(Path(__file__).parent.parent.parent)
        program = (
            f"import sys; sys.path.insert(0, {root!r}); "
            f"from mlirage.codegen.worker import nursery_main; nursery_main({theirs.fileno()})"
        )
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", program], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()

    def is_usable(self) -> bool:
        """Whether the nursery lives and is this process's own."""
        return self._owner == os.getpid() and self._nursery.poll() is None

    def close(self) -> None:
        """Lets nursery and workers end."""
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        self._control.close()
        if self._owner == os.getpid():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._nursery.wait(5)

    def _hire(self) -> _Worker:
        if self._idle:
            return self._idle.pop()
        ours, theirs = socket.socketpair()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        with theirs:
            socket.send_fds(self._control, [b"w"], [theirs.fileno(), errors.fileno()])
        return _Worker(ours, errors, int(receive_message(ours)))

    def run(
        self, tasks: Sequence[Any], count: int, seconds: float, on_result: Callable[[int, Any], None]
    ) -> dict[int, str]:
        """Runs `tasks` on up to `count` workers; results come in any order.

        Returns:
          for each task whose worker died or hung, what is known about it.
        """
        failures: dict[int, str] = {}
        with self._lock:
            waiting = deque(range(len(tasks)))
            busy: dict[int, _Worker] = {}
            try:
                while waiting or busy:
                    while waiting and len(busy) < count:
                        self._start(tasks, waiting.popleft(), seconds, busy)
                    self._collect(busy, seconds, on_result, failures)
            finally:  # an interrupt or an error of ours: nobody waits for these any more
                for worker in busy.values():
                    _kill(worker)
        return failures

    def _start(self, tasks: Sequence[Any], number: int, seconds: float, busy: dict[int, _Worker]) -> None:
        worker = self._hire()
        worker.task, worker.deadline = number, time.monotonic() + seconds
        busy[worker.connection.fileno()] = worker
        send_message(worker.connection, tasks[number])

    def _collect(
        self, busy: dict[int, _Worker], seconds: float, on_result: Callable[[int, Any], None], failures: dict[int, str]
    ) -> None:
        """Waits until a worker answers, dies, or has taken too long."""
        first = min(worker.deadline for worker in busy.values())
        ready, _, _ = select.select(list(busy), [], [], max(0.0, first - time.monotonic()))
        for descriptor in ready:
            worker = busy[descriptor]
            try:
                result = receive_message(worker.connection)
            except EOFError:
                failures[worker.task] = f"the code generator crashed; it wrote: {worker.complaint() or 'nothing'}"
                worker.close()
            else:
                on_result(worker.task, result)
                self._idle.append(worker)
            del busy[descriptor]
        for descriptor, worker in list(busy.items()):
            if time.monotonic() >= worker.deadline:
                failures[worker.task] = f"the code generator took longer than {seconds:g} s"
                _kill(worker)
                del busy[descriptor]


def _kill(worker: _Worker) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
    worker.close()


_pool: WorkerPool | None = None
_pool_lock = threading.Lock()


def worker_pool() -> WorkerPool:
    """The pool of this process, started if need be; starting does not wait."""
    global _pool
    with _pool_lock:
        if _pool is None or not _pool.is_usable():
            if _pool is None:
                atexit.register(close_pool)
            _pool = WorkerPool()
        return _pool


def close_pool() -> None:
    """Ends the pool of this process."""
    global _pool
    with _pool_lock:
        if _pool is not None:
            _pool.close()
            _pool = None
