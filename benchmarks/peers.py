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
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Call = Callable[[], list[Array]]


@dataclass(frozen=True)
class Request:
    """What a contender is asked for.

    Attributes:
      path: the model.
      inputs: what it is called with.
      threads: numbers of threads; it is made ready for each of them.
      tuning: file of `mlirage tune`, for the contender that is tuned.
      cache_dir: of our compiler; "off" so that its time is honest.
    """

    path: Path
    inputs: dict[str, Array]
    threads: tuple[int, ...]
    tuning: Path | None = None
    cache_dir: str = "off"


@dataclass(frozen=True)
class Compiled:
    """A model ready to be called.

    Attributes:
      calls: by number of threads; runs it once on the benchmark's inputs, returns its outputs as numpy arrays.
      compile_seconds: from the file to something that runs; ONNX Runtime's and OpenVINO's is the making of a session.
      facts: what else is worth knowing: module bytes, dispatches, operations and bytes of a call.
    """

    calls: dict[int, Call]
    compile_seconds: float
    facts: dict[str, float] = field(default_factory=dict[str, float])


def mlirage(request: Request) -> Compiled:
    """Ours with default options."""
    return _ours(request, cache_dir=request.cache_dir)


def mlirage_tuned(request: Request) -> Compiled:
    """Ours with what `mlirage tune` found for the model; kernels may come from the cache."""
    assert request.tuning is not None, "`takes_part` says when"
    return _ours(request, tuning=str(request.tuning))


def _ours(request: Request, **options: Any) -> Compiled:
    import mlirage as ours
    from mlirage.module_file import ModuleFile
    from mlirage.profiling import summarize

    start = time.perf_counter()
    module = ours.compile(request.path, **options)
    seconds = time.perf_counter() - start
    runs = {count: ours.load(module, device="local-task", threads=count) for count in request.threads}
    arguments = list(request.inputs.values())
    content = bytes(module)
    facts: dict[str, float] = {"module_bytes": len(content)}
    run = runs[request.threads[-1]]
    with run.profile() as profile:
        run(*arguments)
    summary = summarize(profile.events, ModuleFile.read_dispatches(content))
    rows = [row for row in summary.rows if row.grid != (0, 0, 0)]
    facts |= {"dispatches": sum(row.runs for row in rows), "flops": sum(row.flops or 0 for row in rows)}

    def call(run: Any) -> Call:
        def once() -> list[Array]:
            results = run(*arguments)
            return list(results) if isinstance(results, (list, tuple)) else [results]

        return once

    return Compiled({count: call(run) for count, run in runs.items()}, seconds, facts)


def onnxruntime(request: Request) -> Compiled:
    """ONNX Runtime's CPU provider, all optimizations."""
    import onnxruntime as ort

    def session(threads: int) -> Call:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        made = ort.InferenceSession(str(request.path), options, ["CPUExecutionProvider"])
        return lambda: [np.asarray(value) for value in made.run(None, request.inputs)]

    return _each(request, session)


def openvino(request: Request) -> Compiled:
    """OpenVINO's CPU plugin, tuned for latency, in f32 as the others compute (its default may be bf16)."""
    import openvino as ov

    # By position, since it may rename inputs; arrays are lent and results are read where they are made.
    tensors = [ov.Tensor(np.ascontiguousarray(value), shared_memory=True) for value in request.inputs.values()]

    def session(threads: int) -> Call:
        core = ov.Core()
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        made = core.compile_model(core.read_model(request.path), "CPU", settings).create_infer_request()

        def once() -> list[Array]:
            results = made.infer(tensors, share_inputs=True, share_outputs=True)
            return [results[index] for index in range(len(results))]

        return once

    return _each(request, session)


def _each(request: Request, session: Callable[[int], Call]) -> Compiled:
    """A session for each number of threads; the time is the last one's."""
    calls: dict[int, Call] = {}
    seconds = 0.0
    for count in request.threads:
        start = time.perf_counter()
        calls[count] = session(count)
        seconds = time.perf_counter() - start
    return Compiled(calls, seconds)


def compile_iree(path: Path, flags: list[str]) -> bytes:
    """What IREE's importer and compiler make of an ONNX file for this machine, at -O3."""
    import iree.compiler as compiler

    with tempfile.TemporaryDirectory() as folder:
        imported = Path(folder) / "model.mlir"
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
    assert binary is not None
    return binary


def load_iree(binary: bytes, path: Path, inputs: dict[str, Array], threads: int) -> Call:
    """A call of what `compile_iree` made. A process has one number of threads: the first that is asked for."""
    import iree.runtime as runtime
    import onnx

    runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    config = runtime.Config("local-task" if threads > 1 else "local-sync")
    context = runtime.SystemContext(config=config)
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, binary))
    function = context.modules.module[onnx.load(path, load_external_data=False).graph.name]
    arguments = [runtime.asdevicearray(config.device, value) for value in inputs.values()]

    def call() -> list[Array]:
        results = function(*arguments)
        return [np.asarray(r) for r in (results if isinstance(results, (list, tuple)) else [results])]

    return call


def _iree(request: Request, flags: list[str]) -> Compiled:
    start = time.perf_counter()
    binary = compile_iree(request.path, flags)
    seconds = time.perf_counter() - start
    calls = {count: load_iree(binary, request.path, request.inputs, count) for count in request.threads}
    return Compiled(calls, seconds, {"module_bytes": len(binary)})


def iree(request: Request) -> Compiled:
    """IREE for the host CPU at -O3, data tiling as its defaults set it."""
    return _iree(request, [])


def iree_untiled(request: Request) -> Compiled:
    """IREE for the host CPU at -O3 without data tiling."""
    return _iree(request, ["--iree-opt-data-tiling=false"])


def xla(request: Request) -> Compiled:
    """XLA for the CPU, through JAX; its threads are as many as the cores that the process may use when it starts.

    So it has one number of them in a process: the last that is asked for.
    """
    import jax
    from jax import export

    threads = request.threads[-1]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        jax.devices()
    finally:
        os.sched_setaffinity(0, allowed)
    exported = export.deserialize(bytearray(request.path.read_bytes()))
    start = time.perf_counter()
    function = jax.jit(exported.call).lower(*request.inputs.values()).compile()
    seconds = time.perf_counter() - start
    return Compiled(
        {threads: lambda: [np.asarray(a) for a in jax.tree.leaves(function(*request.inputs.values()))]}, seconds
    )


# The files that a peer reads, where it doesn't read all.
READS: dict[str, str] = {
    "onnxruntime": ".onnx",
    "openvino": ".onnx",
    "iree": ".onnx",
    "iree_untiled": ".onnx",
    "xla": ".jax",
}

PEERS: dict[str, Callable[[Request], Compiled]] = {
    "mlirage": mlirage,
    "mlirage_tuned": mlirage_tuned,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "iree": iree,
    "iree_untiled": iree_untiled,
    "xla": xla,
}

OURS = ("mlirage", "mlirage_tuned")


def takes_part(contender: str, request: Request) -> bool:
    """Whether a contender can be asked at all: a peer reads such files, a tuned one has its tuning file."""
    if contender == "mlirage_tuned":
        return request.tuning is not None and request.tuning.exists()
    return READS.get(contender, request.path.suffix) == request.path.suffix
