"""ONNX Runtime's Python interface over mlirage: change the import, and programs written for it run as they are.

    from mlirage import onnxruntime as ort          # was: import onnxruntime as ort

    session = ort.InferenceSession("model.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x})

Sessions take ONNX models, which are compiled when the session is made, and modules that mlirage compiled before.
What programs use for inference is here; training, custom operators in shared libraries and profiling files are not.
"""

from __future__ import annotations

import ctypes
import enum
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mlirage
from mlirage import runtime
from mlirage.errors import UsageError
from mlirage.module_file import MAGIC
from mlirage.runtime.arrays import dtype as numpy_dtype
from mlirage.runtime.device_array import host_array
from mlirage.runtime.trees import leaf_count

__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "get_available_providers",
    "get_device",
]

_PROVIDER = "CPUExecutionProvider"
# ONNX's names of element types where numpy's differ.
_TYPE_NAMES = {"float32": "float", "float64": "double", "float8_e4m3fn": "float8e4m3fn", "float8_e5m2": "float8e5m2"}


def get_available_providers() -> list[str]:
    """The providers that sessions accept."""
    return [_PROVIDER]


def get_device() -> str:
    """The kind of device that sessions run on."""
    return "CPU"


class GraphOptimizationLevel(enum.IntEnum):
    """Accepted for compatibility: modules are always fully optimized, which changes no result."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Accepted for compatibility: independent work always runs in parallel."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


@dataclass
class SessionOptions:
    """What a session can be told. `intra_op_num_threads` is the number of threads, 0 for all cores."""

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    logid: str = ""
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    use_deterministic_compute: bool = True
    optimized_model_filepath: str = ""  # receives the compiled module
    config_entries: dict[str, str] = field(default_factory=dict[str, str])

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps the entry for `get_session_config_entry`; none changes what a session does."""
        self.config_entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """An entry that was added.

        Raises:
          UsageError: there is none.
        """
        if key not in self.config_entries:
            raise UsageError(f"no session configuration entry {key!r}")
        return self.config_entries[key]


@dataclass
class RunOptions:
    """Accepted for compatibility."""

    log_severity_level: int = 2
    log_verbosity_level: int = 0
    logid: str = ""
    terminate: bool = False


@dataclass(frozen=True)
class NodeArg:
    """An input or output: `type` as "tensor(float)", `shape` with a name or None where an extent may vary."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True)
class ModelMetadata:
    """What a model says of itself."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: dict[str, str] = field(default_factory=dict[str, str])


class OrtValue:
    """An array in the memory of a session's device; `numpy()` shows it without a copy."""

    def __init__(self, array: runtime.DeviceArray) -> None:
        self.array = array

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: Any, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        """The elements of `numpy_obj`, copied."""
        _check_device(device_type, device_id)
        return OrtValue(runtime.asdevicearray(numpy_obj, runtime.device()))

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int], element_type: Any = np.float32, device_type: str = "cpu", device_id: int = 0
    ) -> OrtValue:
        """Zeros."""
        return OrtValue.ortvalue_from_numpy(np.zeros(shape, element_type), device_type, device_id)

    def numpy(self) -> Any:
        """The elements, read-only."""
        return self.array.to_host()

    def shape(self) -> list[int]:
        """Extents, outermost first."""
        return list(self.array.shape)

    def data_type(self) -> str:
        """As "tensor(float)"."""
        return f"tensor({_type_name(self.array.dtype.name)})"

    def device_name(self) -> str:
        """The kind of device that has the memory."""
        return "cpu"

    def data_ptr(self) -> int:
        """Address of the first element."""
        return self.array.to_host().__array_interface__["data"][0]

    def tensor_size_in_bytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes

    def has_value(self) -> bool:
        """Always: there is none without."""
        return True

    def is_tensor(self) -> bool:
        """Always: sequences are lists of arrays."""
        return True

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class InferenceSession:
    """A model, ready to run. `run` may be called from several threads; they take turns."""

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes | Any,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        **compile_options: Any,
    ) -> None:
        """Compiles and loads a model, or loads a compiled module.

        Args:
          path_or_bytes: an ONNX model or a module of mlirage: its path, its bytes, or an onnx.ModelProto.
          sess_options: number of threads, mainly.
          providers: must have CPUExecutionProvider among them, if given.
          provider_options: of no use to the CPU.
          compile_options: of `mlirage.compile`.

        Raises:
          UsageError, ImportFailure, CompileError, DeviceError: see `mlirage.compile` and `mlirage.load`.
        """
        del provider_options
        names = [p if isinstance(p, str) else p[0] for p in providers or [_PROVIDER]]
        if _PROVIDER not in names:
            raise UsageError(f"providers={names}: available are {get_available_providers()}")
        self._options = sess_options or SessionOptions()
        self._source = path_or_bytes
        module = path_or_bytes if _is_module(path_or_bytes) else mlirage.compile(path_or_bytes, **compile_options)
        if self._options.optimized_model_filepath:
            data = module if isinstance(module, bytes | bytearray) else Path(module).read_bytes()
            Path(self._options.optimized_model_filepath).write_bytes(data)
        threads = self._options.intra_op_num_threads
        device = runtime.device("local-sync") if threads == 1 else runtime.device("local-task", threads or None)
        self._module = runtime.load(module, device)
        names_of_functions = list(self._module.signatures)
        name = "main" if "main" in names_of_functions else names_of_functions[0]
        self._function = self._module[name]
        signature = self._module.signatures[name]
        in_tree = signature.in_tree["tuple"][0]["tuple"] if signature.in_tree is not None else None
        self._has_trees = signature.out_tree is not None
        out_tree = signature.out_tree["tuple"] if self._has_trees else None
        self._inputs = list(_node_args(signature.arguments, in_tree))
        self._outputs = list(_node_args(signature.results, out_tree))

    def get_inputs(self) -> list[NodeArg]:
        """The inputs, in order."""
        return list(self._inputs)

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in order."""
        return list(self._outputs)

    def get_overridable_initializers(self) -> list[NodeArg]:
        """None: weights are part of the module."""
        return []

    def get_providers(self) -> list[str]:
        """What the session runs on."""
        return [_PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Options by provider."""
        return {_PROVIDER: {}}

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        """What the model says of itself; nothing if the session was made of a compiled module."""
        return _metadata(self._source)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: RunOptions | None = None
    ) -> list[Any]:
        """Runs the model.

        Args:
          output_names: which outputs to give, in this order; all for None or [].
          input_feed: an array for each input's name; a list of arrays for a sequence.
          run_options: not used.

        Raises:
          UsageError: an unknown or a missing name, a wrong type or shape.
          DeviceError: the model failed.
        """
        del run_options
        return self._chosen(output_names, self._call(input_feed))

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any] | None, Any, str], None],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """`run` in another thread; then calls `callback(results, user_data, error text)` there."""
        del run_options
        self._wanted(output_names)

        def work() -> None:
            try:
                results = self.run(output_names, input_feed)
            except mlirage.MlirageError as error:
                callback(None, user_data, str(error))
            else:
                callback(results, user_data, "")

        threading.Thread(target=work, name="mlirage-run-async", daemon=True).start()

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        """`run` with arrays that stay on the device."""
        del run_options
        feed = {name: value.array for name, value in input_dict_ort_values.items()}
        return [OrtValue(result) for result in self._chosen(output_names, self._call(feed))]

    def io_binding(self) -> IOBinding:
        """A table of inputs and outputs to run with."""
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """Runs with what is bound; `iobinding` has the outputs then."""
        del run_options
        iobinding.run()

    def _call(self, feed: Mapping[str, Any]) -> Sequence[Any]:
        unknown = [name for name in feed if all(name != known.name for known in self._inputs)]
        missing = [known.name for known in self._inputs if known.name not in feed]
        if unknown or missing:
            problem = f"no input is called {', '.join(map(repr, unknown))}" if unknown else ""
            problem = problem or f"input {', '.join(map(repr, missing))} is missing"
            raise UsageError(f"{problem}; the model has {', '.join(known.name for known in self._inputs)}")
        values = [feed[known.name] for known in self._inputs]
        return self._function(*(value.array if isinstance(value, OrtValue) else value for value in values))

    def _wanted(self, names: Sequence[str] | None) -> list[int]:
        known = [output.name for output in self._outputs]
        for name in names or []:
            if name not in known:
                raise UsageError(f"no output is called {name!r}; the model has {', '.join(known)}")
        return [known.index(name) for name in names or known]

    def _chosen(self, names: Sequence[str] | None, results: Sequence[Any]) -> list[Any]:
        return [results[index] for index in self._wanted(names)]


class IOBinding:
    """Inputs and outputs by name. Outputs that are bound to an array are written to it, others stay on the device."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._inputs: dict[str, Any] = {}
        self._targets: dict[str, Any] = {}
        self._results: list[Any] = []

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """An input is `arr_on_cpu`, which is used where it lies."""
        self._inputs[name] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """An input is an array on the device."""
        self._inputs[name] = ortvalue

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """An input is the memory at the address `buffer_ptr`, which must stay until the run is over."""
        _check_device(device_type, device_id)
        self._inputs[name] = _array_at(element_type, shape, buffer_ptr)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """An output is wanted; it is written to the memory at `buffer_ptr`, if given."""
        _check_device(device_type, device_id)
        self._session._wanted([name])  # pyright: ignore[reportPrivateUsage]
        if buffer_ptr is not None and shape is None:
            raise UsageError(f"output {name!r}: memory without a shape")
        self._targets[name] = None if buffer_ptr is None else _array_at(element_type, shape or (), buffer_ptr)

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """An output is written to an array on the device."""
        self._session._wanted([name])  # pyright: ignore[reportPrivateUsage]
        self._targets[name] = host_array(ortvalue.array.view, ortvalue.array.dtype, writable=True)

    def clear_binding_inputs(self) -> None:
        """Forgets all inputs."""
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets all outputs."""
        self._targets.clear()
        self._results = []

    def synchronize_inputs(self) -> None:
        """Nothing to wait for."""

    def synchronize_outputs(self) -> None:
        """Nothing to wait for: runs are complete when they return."""

    def get_outputs(self) -> list[OrtValue]:
        """The outputs of the last run, in the order in which they were bound."""
        device = runtime.device()
        return [OrtValue(runtime.asdevicearray(result, device)) for result in self._results]

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The outputs of the last run as numpy arrays."""
        return [np.array(result) for result in self._results]

    def run(self) -> None:
        """Runs the session with what is bound."""
        names = list(self._targets) or [output.name for output in self._session.get_outputs()]
        self._results = self._session.run(names, self._inputs)
        for index, name in enumerate(names):
            target = self._targets.get(name)
            if target is None:
                continue
            result = np.asarray(self._results[index])
            if target.shape != result.shape or target.dtype != result.dtype:
                raise UsageError(
                    f"output {name!r} is {result.dtype.name}{list(result.shape)}, the memory bound to it is "
                    f"{target.dtype.name}{list(target.shape)}"
                )
            target[...] = result
            self._results[index] = target


def _is_module(source: Any) -> bool:
    """Whether it is a module of mlirage, or its path, and no model."""
    if isinstance(source, bytes | bytearray):
        return source.startswith(MAGIC)
    if not isinstance(source, str | os.PathLike) or not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _node_args(leaves: Sequence[runtime.Argument], trees: Sequence[Any] | None) -> Iterator[NodeArg]:
    """A model's inputs or outputs: each is a leaf, or the leaves of a tree."""
    position = 0
    for tree in trees if trees is not None else ["*"] * len(leaves):
        count = leaf_count(tree)
        parts = leaves[position : position + count]
        position += count
        if not parts:
            continue
        first = parts[-1] if isinstance(tree, dict) and "optional" in tree else parts[0]
        kind = f"tensor({_type_name(first.dtype or '')})"
        kind = kind if tree == "*" else f"optional({kind})" if "optional" in tree else f"seq({kind})"
        shape = list(first.shape or ()) if tree == "*" else []
        yield NodeArg(re.sub(r"(\.data|\.present|\[0\])$", "", parts[0].name), kind, shape)


def _type_name(dtype: str) -> str:
    return _TYPE_NAMES.get(dtype, dtype)


def _check_device(device_type: str, device_id: int) -> None:
    if device_type != "cpu" or device_id != 0:
        raise UsageError(f"device {device_type}:{device_id}: sessions run on cpu:0")


def _array_at(element_type: Any, shape: Sequence[int], pointer: int) -> Any:
    """The array at an address of this process."""
    dtype = numpy_dtype(np.dtype(element_type).name)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not size:
        return np.zeros(shape, dtype)
    memory: Any = (ctypes.c_uint8 * size).from_address(pointer)
    return np.frombuffer(memory, dtype).reshape(shape)


def _metadata(source: Any) -> ModelMetadata:
    if _is_module(source):
        return ModelMetadata()
    import onnx

    model: Any = source
    if isinstance(source, str | os.PathLike):
        model = onnx.load(os.fspath(source), load_external_data=False)
    elif isinstance(source, bytes):
        model = onnx.load_from_string(source)
    return ModelMetadata(
        model.producer_name,
        model.graph.name,
        model.domain,
        model.doc_string,
        model.graph.doc_string,
        model.model_version,
        {entry.key: entry.value for entry in model.metadata_props},
    )
