"""Calls that return before their work is done.

call = run.main.start(x)               # a module compiled with execution_model="async-external"
next = run.main.start(*call.arrays)    # begins when the first is done; the host waits for neither
(y,) = next.result()                   # or: (y,) = await next
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from mlirage.runtime._runtime import Fence, View
from mlirage.runtime.device_array import DeviceArray, host_array


class Call:
    """A call that has begun. Its results can be given to further calls at once, which begin when they are there."""

    __slots__ = ("_unflatten", "_wrap", "arrays", "fence")

    def __init__(
        self,
        fence: Fence,
        results: list[Any],
        wrap: Callable[[View, np.dtype[Any]], Any] | None,
        unflatten: Callable[[tuple[Any, ...]], Any] | None,
    ) -> None:
        self.fence = fence
        self.arrays: tuple[Any, ...] = tuple(
            DeviceArray(*result) if isinstance(result, tuple) else result for result in results
        )
        self._wrap = wrap
        self._unflatten = unflatten

    def done(self) -> bool:
        """Whether the work is over, with success or without."""
        return self.fence.done()

    def wait(self, timeout: float | None = None) -> None:
        """Waits for the end of the work.

        Args:
          timeout: seconds; None for as long as it takes.

        Raises:
          DeviceError: the work failed.
          TimeoutError: it is not done.
        """
        self.fence.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Waits, then gives what the function returns, in the caller's kind of arrays.

        Raises:
          DeviceError, TimeoutError: as `wait`.
        """
        self.wait(timeout)
        results = tuple(self._array(x) if isinstance(x, DeviceArray) else x for x in self.arrays)
        return results if self._unflatten is None else self._unflatten(results)

    def _array(self, array: DeviceArray) -> Any:
        return self._wrap(array.view, array.dtype) if self._wrap else host_array(array.view, array.dtype, writable=True)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done():
            yield from self._signalled().__await__()
        return self.result()

    async def _signalled(self) -> None:
        """Returns when the fence is signalled; the event loop goes on meanwhile."""
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        over: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            loop.remove_reader(reader)
            if not over.done():
                over.set_result(None)

        loop.add_reader(reader, ready)
        try:
            self.fence.notify(writer)  # which closes it
            await over
        finally:
            loop.remove_reader(reader)
            os.close(reader)

    def __repr__(self) -> str:
        return f"<mlirage call, {'done' if self.done() else 'running'}: {', '.join(map(repr, self.arrays))}>"
