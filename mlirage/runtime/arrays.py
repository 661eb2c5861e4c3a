"""Arrays of other kinds, and what numpy arrays need before the runtime takes them.

The binding (native/) takes numpy arrays of the right type and shape as they are. Everything else comes here, once
per argument: lists and numbers, arrays that are not contiguous, types that numpy lacks, tensors of other libraries.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from mlirage.errors import DeviceError, UsageError
from mlirage.runtime._runtime import View
from mlirage.runtime.device_array import DeviceArray, host_array
from mlirage.runtime.signature import Argument

Array = np.ndarray[Any, Any]
Wrap = Callable[[View, np.dtype[Any]], Any]  # of results

# numpy's and ml_dtypes' names of the runtime's element types (runtime/include/mlirage/hal.h).
ELEMENT_TYPES = {
    "bool": 0x01000008,
    "int8": 0x03000008,
    "int16": 0x03000010,
    "int32": 0x03000020,
    "int64": 0x03000040,
    "uint8": 0x04000008,
    "uint16": 0x04000010,
    "uint32": 0x04000020,
    "uint64": 0x04000040,
    "float16": 0x05000010,
    "float32": 0x05000020,
    "float64": 0x05000040,
    "bfloat16": 0x06000010,
    "float8_e4m3fn": 0x07000008,
    "float8_e5m2": 0x08000008,
    "float8_e4m3fnuz": 0x09000008,
    "float8_e5m2fnuz": 0x0A000008,
    "float8_e8m0fnu": 0x0B000008,
    "complex64": 0x0C000040,
    "complex128": 0x0C000080,
    "float8_e4m3": 0x0D000008,
    "float8_e3m4": 0x0E000008,
    "float8_e4m3b11fnuz": 0x0F000008,
    # Less than 8 bits: a byte each, the code in its low bits, as ml_dtypes has them.
    **dict.fromkeys(("int2", "uint2", "int4", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"), 0x04000008),
}
# Signless integers: what modules without a signature give.
_NAMES = {code: name for name, code in reversed(ELEMENT_TYPES.items())} | {
    0x00000008: "uint8",
    0x02000008: "int8",
    0x02000010: "int16",
    0x02000020: "int32",
    0x02000040: "int64",
}
OPAQUE = 0x00000008
_SMALL_INTEGERS = frozenset(("int2", "uint2", "int4", "uint4"))
_NUMPY_LACKS = _SMALL_INTEGERS | {
    name for name in ELEMENT_TYPES if name.startswith(("bfloat", "float8_", "float6_", "float4_"))
}


def dtype(name: str) -> np.dtype[Any]:
    """The numpy type `name`.

    Raises:
      DeviceError: a type that needs the package ml_dtypes, or none that arrays can have.
    """
    if name not in ELEMENT_TYPES:
        raise DeviceError(
            f"arrays of type {name!r} cannot leave or enter a module; known are {', '.join(ELEMENT_TYPES)}"
        )
    if name not in _NUMPY_LACKS:
        return np.dtype(name)
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ModuleNotFoundError as error:
        raise DeviceError(f"arrays of type {name} need the package ml_dtypes: pip install ml_dtypes") from error
    return np.dtype(getattr(ml_dtypes, name))


def dtype_of_element_type(element_type: int) -> np.dtype[Any]:
    """The numpy type of a result whose type the module's signature does not tell.

    Raises:
      DeviceError: no array type.
    """
    name = _NAMES.get(element_type)
    if name is None:
        raise DeviceError(f"a result has element type 0x{element_type:08x}, which no array has")
    return dtype(name)


def convert(value: Any, argument: Argument) -> tuple[Array | View, int, Wrap | None]:
    """`value` as an array for `argument`: contiguous, aligned, of the right type and shape, viewed as bytes' integers
    where the buffer protocol lacks its type; its element type; how results are given back in the caller's kind.
    A device array is the view that it stands for.

    Raises:
      UsageError: a wrong type or shape, or nothing that is an array.
    """
    if isinstance(value, DeviceArray):
        if argument.dtype not in (None, value.dtype.name):
            raise UsageError(f"{_where(argument)} expects {argument.type_text}, got {value!r}")
        _check_shape(value, argument)
        return value.view, 0, DeviceArray
    array, wrap = _as_numpy(value, argument)
    if argument.dtype is not None:
        array = _check_type(value, array, argument)
    _check_shape(array, argument)
    element_type = ELEMENT_TYPES.get(array.dtype.name)
    if element_type is None:
        raise UsageError(f"{_where(argument)}: arrays of type {array.dtype} cannot be given to a module")
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C", copy=True)
    if array.dtype.name in _NUMPY_LACKS:
        array = array.view(np.dtype(f"uint{array.dtype.itemsize * 8}"))
    return array, element_type, wrap


def _where(argument: Argument) -> str:
    return f"{argument.function}(): argument {argument.name!r}"


def _as_numpy(value: Any, argument: Argument) -> tuple[Array, Wrap | None]:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(cast(Any, value)), None
    library = type(value).__module__.partition(".")[0]
    if library == "torch" and hasattr(value, "detach"):
        return _from_torch(value)
    if library in ("jax", "jaxlib") and hasattr(value, "__array__"):
        return np.asarray(value), _to_jax
    if library == "tensorflow" and hasattr(value, "__array__"):
        return np.asarray(value), _to_tensorflow
    refusal = f"{_where(argument)} expects {argument.type_text}, got {type(value).__name__}"
    try:
        array = np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:  # whatever another library's conversion raises
        raise UsageError(f"{refusal}: {error}") from error
    if array.dtype.kind not in "biufc":
        raise UsageError(refusal)
    return array, None


def _from_torch(tensor: Any) -> tuple[Array, Wrap]:
    torch = importlib.import_module("torch")
    host = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    name = str(host.dtype).removeprefix("torch.")
    if name in _NUMPY_LACKS:
        bits = host.element_size() * 8
        array = np.from_dlpack(host.view(torch.uint8 if bits == 8 else torch.int16)).view(dtype(name))
    else:
        array = np.from_dlpack(host)
    return array, _to_torch


def _to_torch(view: View, element: np.dtype[Any]) -> Any:
    torch = importlib.import_module("torch")
    result = host_array(view, element, writable=True)
    if element.name not in _NUMPY_LACKS:
        return torch.from_numpy(result)
    integers = torch.from_numpy(result.view(np.dtype(f"int{element.itemsize * 8}")))
    return integers.view(getattr(torch, element.name))


def _to_jax(view: View, element: np.dtype[Any]) -> Any:
    if element.name in _NUMPY_LACKS and element.name != "bfloat16":
        return importlib.import_module("jax.numpy").asarray(host_array(view, element, writable=False))
    return importlib.import_module("jax.dlpack").from_dlpack(DeviceArray(view, element))


def _to_tensorflow(view: View, element: np.dtype[Any]) -> Any:
    return importlib.import_module("tensorflow").convert_to_tensor(host_array(view, element, writable=False))


def _check_type(value: Any, array: Array, argument: Argument) -> Array:
    """Arrays must have the type exactly. Numbers and lists of them have none of their own: they take it."""
    wanted = dtype(argument.dtype or "")
    if array.dtype == wanted and array.dtype.isnative:
        return array
    plain = isinstance(value, bool | int | float | complex | list | tuple)
    # A float may round to a narrower one; an integer that does not fit would become another number.
    integer = wanted.kind in "iu" or wanted.name in _SMALL_INTEGERS
    rounds = not integer and np.can_cast(array.dtype, wanted, "same_kind")
    if plain and (rounds or _lossless(array, wanted)):
        return array.astype(wanted)
    given = _type_text(array)
    hint = "" if plain else f"; convert it first, for example with x.astype({argument.dtype!r})"
    raise UsageError(f"{_where(argument)} expects {argument.type_text}, got {given}{hint}")


def _lossless(array: Array, wanted: np.dtype[Any]) -> bool:
    """Do the (few) numbers keep their value? [1, 2] as uint8 does, [-1] or [0.5] does not."""
    if wanted.kind == "b" or array.dtype.kind == "c":
        return False
    with np.errstate(all="ignore"):
        converted = array.astype(wanted)
        return bool(np.all(converted.astype(np.float64) == array.astype(np.float64)))


def _check_shape(array: Array | DeviceArray, argument: Argument) -> None:
    shape = argument.shape
    if shape is None:
        return
    fits = array.ndim == len(shape) and all(
        not isinstance(want, int) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise UsageError(f"{_where(argument)} expects {argument.type_text}, got {_type_text(array)}")


def _type_text(array: Array | DeviceArray) -> str:
    order = "" if array.dtype.isnative else " of foreign byte order"
    return f"{array.dtype.name}[{', '.join(map(str, array.shape))}]{order}"
