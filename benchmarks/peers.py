"""Ours and the peers under one face: compile a model, then call it with the same arrays and threads."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Compiled:
    """A model ready to be called.

    Attributes:
      call: runs it once on the benchmark's inputs; returns its outputs.
      compile_seconds: from ONNX bytes to something that runs; ONNX Runtime's is session creation.
      facts: what else is worth knowing: module bytes, dispatches, arena bytes.
    """

    call: Callable[[], list[Array]]
    compile_seconds: float
    facts: dict[str, int] = field(default_factory=dict[str, int])


def mlirage(model: onnx.ModelProto, inputs: dict[str, Array], threads: int) -> Compiled:
    """Ours with default options; the executable cache is off so that compile time is honest."""
    import mlirage as ours

    start = time.perf_counter()
    module = ours.compile(model, cache_dir="off")
    seconds = time.perf_counter() - start
    run = ours.load(module, device="local-task", threads=threads)
    arguments = list(inputs.values())
    return Compiled(lambda: list(run(*arguments)), seconds, {"module_bytes": len(bytes(module))})


def onnxruntime(model: onnx.ModelProto, inputs: dict[str, Array], threads: int) -> Compiled:
    """ONNX Runtime's CPU provider, all optimizations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    start = time.perf_counter()
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    return Compiled(lambda: session.run(None, inputs), seconds)


def iree(model: onnx.ModelProto, inputs: dict[str, Array], threads: int) -> Compiled:
    """IREE for the host CPU at -O3 with data tiling as its defaults set it."""
    import iree.compiler as compiler
    import iree.runtime as runtime

    with tempfile.TemporaryDirectory() as folder:
        source, imported = Path(folder) / "model.onnx", Path(folder) / "model.mlir"
        onnx.save(model, source)
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "iree.compiler.tools.import_onnx", source, "-o", imported, "--opset-version=17"],
            check=True,
            capture_output=True,
        )
        binary = compiler.compile_file(
            str(imported),
            target_backends=["llvm-cpu"],
            input_type="onnx",
            extra_args=["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"],
        )
        seconds = time.perf_counter() - start
    runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    config = runtime.Config("local-task" if threads > 1 else "local-sync")
    context = runtime.SystemContext(config=config)
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, binary))
    function = context.modules.module[model.graph.name]
    arguments = [runtime.asdevicearray(config.device, value) for value in inputs.values()]

    def call() -> list[Array]:
        results = function(*arguments)
        return [np.asarray(r) for r in (results if isinstance(results, (list, tuple)) else [results])]

    return Compiled(call, seconds, {"module_bytes": len(binary)})


PEERS: dict[str, Callable[[onnx.ModelProto, dict[str, Array], int], Compiled]] = {
    "mlirage": mlirage,
    "onnxruntime": onnxruntime,
    "iree": iree,
}
