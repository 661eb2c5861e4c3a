"""Arrays that stay in a device's memory between calls, and are exchanged with other libraries without copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlirage.errors import UsageError
from mlirage.runtime._runtime import Device, View

Array = np.ndarray[Any, Any]
# Type codes of DLPack (dlpack.h, 1.1): by kind of numpy, and by name where numpy has no kind.
_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
_NAMED_CODES = {
    "bfloat16": 4, "float8_e4m3fn": 10, "float8_e4m3fnuz": 11, "float8_e5m2": 12, "float8_e5m2fnuz": 13,
    "float8_e8m0fnu": 14, "float8_e3m4": 7, "float8_e4m3": 8, "float8_e4m3b11fnuz": 9,
}  # fmt: skip


class DeviceArray:
    """An array in the memory of a device. Given to a function it is used in place, and results are device arrays too.

    `np.asarray(x)` and `x.to_host()` give the elements, read-only; what `torch.from_dlpack(x)` and the like give shares
    the memory, and must not be written to.
    """

    __slots__ = ("_view", "dtype")

    def __init__(self, view: View, dtype: np.dtype[Any]) -> None:
        self._view = view
        self.dtype = dtype

    @property
    def view(self) -> View:
        """The runtime's buffer view."""
        return self._view

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents, outermost first."""
        return self._view.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    def to_host(self) -> Array:
        """The elements as a numpy array: read-only, and not copied where the host can read the device's memory."""
        return host_array(self._view, self.dtype, writable=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.to_host()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"{self!r} as {dtype} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        code = _NAMED_CODES.get(self.dtype.name, _CODES.get(self.dtype.kind))
        if code is None:
            raise BufferError(f"DLPack has no type {self.dtype.name}")
        return self._view.dlpack(code, self.dtype.itemsize * 8, options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU: memory that the host can use

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d array has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<mlirage array {self.dtype.name}[{', '.join(map(str, self.shape))}]>"


def host_array(view: View, dtype: np.dtype[Any], writable: bool) -> Array:
    """A numpy array over the memory of `view`."""
    return np.ndarray(view.shape, dtype, view.memory(writable))


def asdevicearray(value: Any, device: Device) -> DeviceArray:
    """The elements of `value` in memory of `device`; a device array as it is.

    Raises:
      UsageError: nothing that is an array, or elements that no device has.
    """
    from mlirage.runtime.arrays import ELEMENT_TYPES  # which knows this module

    if isinstance(value, DeviceArray):
        return value
    array = np.ascontiguousarray(value).reshape(np.shape(value))
    element_type = ELEMENT_TYPES.get(array.dtype.name)
    if element_type is None:
        raise UsageError(f"arrays of type {array.dtype} cannot be given to a device")
    return DeviceArray(device.array(array.reshape(-1).view(np.uint8), element_type, array.shape), array.dtype)
