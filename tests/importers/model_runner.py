"""Compiles and runs models in a child process, so that a crash or a hang is a failed test and nothing more."""

from __future__ import annotations

import importlib
import multiprocessing as mp
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

Arrays = list[np.ndarray[Any, Any]]


class RunFailure(Exception):
    """The model could not be compiled or run; the text says why."""


class ModelRunner:
    """A child process that runs models one after the other; when it dies, the next model gets a new one.

    Args:
      entry: `module:function` of the function that the child calls with a model and its inputs.
      timeout: seconds for one model.
    """

    def __init__(self, entry: str = "tests.importers.model_runner:compile_and_run", timeout: float = 300.0) -> None:
        self._entry = entry
        self._timeout = timeout
        self._process: Any = None
        self._pipe: Connection | None = None

    def run(self, model: Any, inputs: Arrays) -> Arrays:
        """The outputs of `model`.

        Raises:
          RunFailure: it failed, died or took too long.
        """
        if self._process is None or not self._process.is_alive():
            context = mp.get_context("spawn")
            self._pipe, far = context.Pipe()
            self._process = context.Process(target=_serve, args=(far, self._entry))
            self._process.start()
            far.close()
        assert self._pipe is not None
        self._pipe.send((model, inputs))
        if not self._pipe.poll(self._timeout):
            self.close()
            raise RunFailure(f"no answer within {self._timeout} s")
        try:
            failed, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(5)
            code = self._process.exitcode
            self.close()
            raise RunFailure(f"the child process died with exit code {code}") from None
        if failed:
            raise RunFailure(answer)
        return answer

    def close(self) -> None:
        """Ends the child."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Connection, entry: str) -> None:
    module, _, name = entry.partition(":")
    function = getattr(importlib.import_module(module), name)
    while True:
        try:
            model, inputs = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((False, function(model, inputs)))
        except Exception as error:  # the parent raises it again
            pipe.send((True, f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}"))


def compile_and_run(model: Any, inputs: list[Any]) -> list[Any]:
    """The model's outputs through mlirage; inputs that are no arrays say what the model is compiled for."""
    import mlirage

    plain = all(isinstance(x, np.ndarray) for x in inputs)
    module = mlirage.compile(model, () if plain else inputs, jobs=1, cache_dir="off")
    results = mlirage.load(module, device="local-sync")(*inputs)
    return [y if isinstance(y, list) or y is None else np.asarray(y) for y in results]


def difference(want: np.ndarray[Any, Any], got: np.ndarray[Any, Any], rtol: float, atol: float) -> str | None:
    """How `got` differs from `want`; None if it does not."""
    want = np.asarray(want)
    if want.shape != got.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype != got.dtype:
        return f"dtype {got.dtype}, not {want.dtype}"
    if want.dtype.kind in "biu" or want.dtype.name.startswith(("int", "uint")):
        wrong = int((want != got).sum())
        return f"{wrong} of {want.size} elements differ" if wrong else None
    if want.dtype.kind != "c":
        # Two units in the last place, as ONNX's own runner allows for bfloat16: its references round after every step.
        rtol = max(rtol, {"bfloat16": 2**-6, "float16": 2**-9}.get(want.dtype.name, 0))
        want, got = want.astype(np.float64), got.astype(np.float64)
    if np.allclose(got, want, rtol=rtol, atol=atol, equal_nan=True):
        return None
    return f"largest difference {np.nanmax(np.abs(want - got))}"
