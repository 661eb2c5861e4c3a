"""Ours and the peers under one face: compile a model, then call it with the same arrays and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from benchmarks.models import Array


@dataclass(frozen=True)
class Compiled:
    """A model ready to be called.

    Attributes:
      call: runs it once on the benchmark's inputs; returns its outputs as numpy arrays.
      compile_seconds: from the file to something that runs; ONNX Runtime's and OpenVINO's is the making of a session.
      facts: what else is worth knowing: module bytes, dispatches, operations and bytes of a call.
    """

    call: Callable[[], list[Array]]
    compile_seconds: float
    facts: dict[str, float] = field(default_factory=dict[str, float])


def mlirage(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """Ours with default options; the executable cache is off so that compile time is honest."""
    import mlirage as ours
    from mlirage.module_file import ModuleFile
    from mlirage.profiling import summarize

    start = time.perf_counter()
    module = ours.compile(path, cache_dir="off")
    seconds = time.perf_counter() - start
    run = ours.load(module, device="local-task", threads=threads)
    arguments = list(inputs.values())
    content = bytes(module)
    facts: dict[str, float] = {"module_bytes": len(content)}
    with run.profile() as profile:
        run(*arguments)
    summary = summarize(profile.events, ModuleFile.read_dispatches(content))
    rows = [row for row in summary.rows if row.grid != (0, 0, 0)]
    facts |= {"dispatches": sum(row.runs for row in rows), "flops": sum(row.flops or 0 for row in rows)}

    def call() -> list[Array]:
        results = run(*arguments)
        return list(results) if isinstance(results, (list, tuple)) else [results]

    return Compiled(call, seconds, facts)


def onnxruntime(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """ONNX Runtime's CPU provider, all optimizations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    start = time.perf_counter()
    session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    return Compiled(lambda: [np.asarray(value) for value in session.run(None, inputs)], seconds)


def openvino(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """OpenVINO's CPU plugin, tuned for latency, in f32 as the others compute (its default may be bf16)."""
    import openvino as ov

    start = time.perf_counter()
    core = ov.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    seconds = time.perf_counter() - start
    # By position, since it may rename inputs; arrays are lent and results are read where they are made.
    tensors = [ov.Tensor(np.ascontiguousarray(value), shared_memory=True) for value in inputs.values()]

    def call() -> list[Array]:
        results = request.infer(tensors, share_inputs=True, share_outputs=True)
        return [results[index] for index in range(len(results))]

    return Compiled(call, seconds)


def _iree(path: Path, inputs: dict[str, Array], threads: int, flags: list[str]) -> Compiled:
    import iree.compiler as compiler
    import iree.runtime as runtime

    with tempfile.TemporaryDirectory() as folder:
        imported = Path(folder) / "model.mlir"
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "iree.compiler.tools.import_onnx", path, "-o", imported, "--opset-version=17"],
            check=True,
            capture_output=True,
        )
        binary = compiler.compile_file(
            str(imported),
            target_backends=["llvm-cpu"],
            input_type="onnx",
            extra_args=["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", *flags],
        )
        seconds = time.perf_counter() - start
    assert binary is not None
    runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    config = runtime.Config("local-task" if threads > 1 else "local-sync")
    context = runtime.SystemContext(config=config)
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, binary))
    function = context.modules.module[onnx.load(path, load_external_data=False).graph.name]
    arguments = [runtime.asdevicearray(config.device, value) for value in inputs.values()]

    def call() -> list[Array]:
        results = function(*arguments)
        return [np.asarray(r) for r in (results if isinstance(results, (list, tuple)) else [results])]

    return Compiled(call, seconds, {"module_bytes": len(binary)})


def xla(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """XLA for the CPU, through JAX; its threads are as many as the cores that the process may use when it starts."""
    import jax
    from jax import export

    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        jax.devices()
    finally:
        os.sched_setaffinity(0, allowed)
    exported = export.deserialize(bytearray(path.read_bytes()))
    start = time.perf_counter()
    function = jax.jit(exported.call).lower(*inputs.values()).compile()
    seconds = time.perf_counter() - start
    return Compiled(lambda: [np.asarray(a) for a in jax.tree.leaves(function(*inputs.values()))], seconds)


def iree(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """IREE for the host CPU at -O3, data tiling as its defaults set it."""
    return _iree(path, inputs, threads, [])


def iree_untiled(path: Path, inputs: dict[str, Array], threads: int) -> Compiled:
    """IREE for the host CPU at -O3 without data tiling."""
    return _iree(path, inputs, threads, ["--iree-opt-data-tiling=false"])


# The files that a peer reads, where it doesn't read all.
READS: dict[str, str] = {
    "onnxruntime": ".onnx",
    "openvino": ".onnx",
    "iree": ".onnx",
    "iree_untiled": ".onnx",
    "xla": ".jax",
}

PEERS: dict[str, Callable[[Path, dict[str, Array], int], Compiled]] = {
    "mlirage": mlirage,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "iree": iree,
    "iree_untiled": iree_untiled,
    "xla": xla,
}
