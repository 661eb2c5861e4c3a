"""Single kernels against the machine's peaks, on one thread: `python -m benchmarks.kernels [MODEL|shapes|narrow]`.

    dispatch                                   count      µs   GF/s   of FMA peak
    main$4_conv_1x64x56x56x64x3x3_f32             16    1030  224.1         0.95

MODEL is one of `python -m benchmarks`, or an ONNX file. Every entry point of it is compiled alone, called through the
executable ABI on random data, workgroup by workgroup as the runtime does, and timed in turn with the peak, in processor
time of this thread. `shapes` runs a list
of matrix products instead: aligned, odd, prime, skinny, dynamic; those of few rows by weights that no cache holds are
judged by the bytes read per second, too. `narrow` runs products of bytes, of bf16, and of floats by weights of 16, 8
and 4 bits; their share is of the f32 peak, too. `--json FILE` writes what the table says.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import ml_dtypes
import numpy as np

from benchmarks.models import SETS, built
from benchmarks.roofline import fma_kernel, interleaved, read_kernel, workgroup_loop
from mlirage import structured_ops
from mlirage.codegen.register_shapes import panel_columns
from mlirage.codegen.target import parse_target
from mlirage.compiler import lower
from mlirage.global_optimization.pack_weights import into_panels
from mlirage.mlir import ir, new_context, walk
from mlirage.options import make_options
from tests.codegen.abi import CompiledLibrary, compile_entries


@dataclass(frozen=True)
class Measured:
    """One kernel.

    Attributes:
      name: entry point.
      kind: schedule.
      seconds: per call.
      share: of the FMA peak.
      flops: floating-point operations per call.
      of_read: share of the bytes per second that one thread reads from memory, where that is what counts.
    """

    name: str
    kind: str
    seconds: float
    share: float
    flops: int
    of_read: float | None = None


def measure_function(name: str, text: str, flops: int, arguments: Callable[[], list[np.ndarray]]) -> Measured:
    """Compiles and times one entry point with static shapes."""
    library = compile_entries(text, keep_files=False)
    return _timed(library, name, arguments(), flops)


def _timed(
    library: CompiledLibrary,
    name: str,
    arguments: Sequence[np.ndarray],
    flops: int,
    read: int = 0,
    result_dims: Sequence[int] = (),
) -> Measured:
    """Times a kernel beside the peak; beside reading memory, too, if it reads `read` bytes from there."""
    peak, peak_flops = fma_kernel()
    loop = workgroup_loop()
    times_per_call = max(1, _FLOPS_PER_CALL // max(flops, 1))

    def all_workgroups(entry: Any, dispatch: Any, workgroup: Any, count: int) -> int:
        return loop(entry, dispatch, workgroup, count, times_per_call)

    run, _ = library.prepare(name, *arguments, result_dims=result_dims, loop=all_workgroups)
    calls = {"peak": peak, "kernel": run}
    size = 0
    if read:
        calls["read"], size = read_kernel()
    times = interleaved(calls, 0.15)
    seconds = times["kernel"] / times_per_call
    share = flops / seconds / (peak_flops / times["peak"])
    of_read = read / seconds / (size / times["read"]) if read else None
    return Measured(name, library.kinds[name], seconds, share, flops, of_read)


def work_of(function: ir.Operation) -> int:
    """Multiplications and additions of the contractions and windows of an entry point."""
    total = 0
    for op in walk(function):
        if structured_ops.is_structured(op) and not all(structured_ops.parallel_loops(op)):
            factor = 2 if structured_ops.multiply_add(op) is not None else 1
            total += factor * math.prod(structured_ops.loop_extents(op))
    return total


_MODELS = [name for names in SETS.values() for name in names]


def measure_model(path: str) -> list[tuple[Measured, int]]:
    """Every entry point of a model, and how often it is dispatched."""
    program = lower(built(path)[0] if path in _MODELS else path, make_options(compile_to="flow"))
    dispatches = [op for op in walk(program.module.operation) if op.name == "flow.dispatch"]
    calls = Counter(str(op.attributes["entry"]).split("::@")[-1].strip('"') for op in dispatches)
    measured: list[tuple[Measured, int]] = []
    with program.context:
        for executable in program.module.body.operations:
            if "flow.executable" not in executable.operation.attributes:
                continue
            for op in executable.operation.regions[0].blocks[0].operations:
                function = op.operation
                name = ir.StringAttr(function.attributes["sym_name"]).value
                text = function.get_asm(print_generic_op_form=True, use_local_scope=True)
                types = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value).inputs
                result = measure_function(name, text, work_of(function), lambda types=types: _random(types))
                measured.append((result, calls.get(name, 1)))
    return measured


def _random(types: list[ir.Type]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [
        generator.uniform(0.5, 1, kind.shape).astype(_DTYPES[str(kind.element_type)])
        for kind in map(ir.RankedTensorType, types)
    ]


_DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "i8": np.int8,
    "i32": np.int32,
    "i64": np.int64,
    "bf16": ml_dtypes.bfloat16,
}


# (rows, columns, depth, whether the number of rows is known to the compiler)
_SHAPES = (
    # those of the models
    (512, 512, 512, True), (1024, 1024, 1024, True), (384, 768, 768, True), (128, 3072, 768, True),
    (197, 768, 3072, True), (1500, 384, 1536, True), (64, 2304, 768, True),
    # odd, prime, skinny
    (100, 1000, 300, True), (127, 1000, 300, True), (127, 127, 127, True), (257, 509, 769, True),
    (513, 511, 509, True), (1009, 61, 331, True), (2048, 17, 512, True), (67, 3001, 257, True),
    (33, 33, 4096, True), (4096, 64, 64, True), (16, 768, 768, True), (13, 1021, 769, True),
    # rows counted when it runs
    *((rows, 768, 768, False) for rows in (16, 127, 384)),
    # few rows: weights out of a cache, weights out of memory
    *((rows, 768, 768, known) for rows in (1, 3, 4, 7, 8) for known in (True, False)),
    *((rows, 4096, 4096, True) for rows in (1, 2, 4, 8)), (1, 11008, 4096, True),
)  # fmt: skip
_FEW_ROWS = 8
_FLOPS_PER_CALL = 10_000_000  # smaller kernels run several times per call from Python
_CACHED_BYTES = 40 << 20  # weights larger than that come from memory


def measure_shapes() -> list[tuple[Measured, int]]:
    """Matrix products with packed constants, bias and relu."""
    return [(_measure_matmul(*shape), 1) for shape in _SHAPES]


def _measure_matmul(rows: int, columns: int, depth: int, known: bool) -> Measured:
    width = panel_columns_of_host(columns)
    panels = -(-columns // width)
    m = str(rows) if known else "?"
    name = f"matmul_{m if known else f'D{rows}'}x{columns}x{depth}"
    left, right, result = (
        f"tensor<{m}x{depth}xf32>",
        f"tensor<{panels}x{depth}x{width}xf32>",
        f"tensor<{m}x{columns}xf32>",
    )
    dims = "" if known else ", %d0: index, %d1: index"
    text = f"""
    func.func @{name}(%a: {left}, %b: {right}, %bias: tensor<{columns}xf32>{dims}) -> {result} {{
      %zero = arith.constant 0.0 : f32
      %empty = tensor.empty({"" if known else "%d1"}) : {result}
      %init = linalg.fill ins(%zero : f32) outs(%empty : {result}) -> {result}
      %product = linalg.generic {{indexing_maps = [affine_map<(m, n, k) -> (m, k)>,
          affine_map<(m, n, k) -> (n floordiv {width}, k, n mod {width})>, affine_map<(m, n, k) -> (m, n)>],
          iterator_types = ["parallel", "parallel", "reduction"]}}
          ins(%a, %b : {left}, {right}) outs(%init : {result}) {{
      ^bb0(%x: f32, %y: f32, %sum: f32):
        %p = arith.mulf %x, %y : f32
        %s = arith.addf %sum, %p : f32
        linalg.yield %s : f32
      }} -> {result}
      %relu = linalg.generic {{indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>,
          affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}}
          ins(%product, %bias : {result}, tensor<{columns}xf32>) outs(%empty : {result}) {{
      ^bb0(%x: f32, %y: f32, %o: f32):
        %s = arith.addf %x, %y : f32
        %r = arith.maximumf %s, %zero : f32
        linalg.yield %r : f32
      }} -> {result}
      return %relu : {result}
    }}"""
    generator = np.random.default_rng(0)
    a, w = (generator.standard_normal(s, np.float32) for s in ((rows, depth), (depth, columns)))
    bias = generator.standard_normal(columns, np.float32)
    library = compile_entries(text, keep_files=False)
    arguments = (a, into_panels(np.ascontiguousarray(w.T), 0, width), bias)
    dims = [] if known else [rows]
    results = library.call(name, *arguments, result_dims=dims)
    np.testing.assert_allclose(results[0], np.maximum(a.astype(np.float64) @ w + bias, 0), rtol=1e-4, atol=1e-3)
    weights = 4 * columns * depth
    read = weights if rows <= _FEW_ROWS and weights > _CACHED_BYTES else 0
    return _timed(library, name, arguments, 2 * rows * columns * depth, read, dims)


# (rows, columns, depth)
_NARROW_SHAPES = ((512, 512, 512), (128, 768, 768), (3136, 64, 64), (100, 1000, 300), (1, 4096, 4096))


def measure_narrow() -> list[tuple[Measured, int]]:
    """Matrix products of u8 and s8 by s8, of bf16, and of f32 by weights of 8 bits per column and 4 per block of 32."""
    return [
        (replace(measured, name=f"{kind} {measured.name}"), count)
        for rows, columns, depth in _NARROW_SHAPES
        for kind in ("u8·s8", "s8·s8", "bf16·bf16", "f32·bf16", "f32·i8", "f32·i4")
        if not (kind == "f32·i4" and depth % 32)
        for measured, count in _measure_onnx(_narrow_product(kind, rows, columns, depth))
    ]


def _measure_onnx(model: Any) -> list[tuple[Measured, int]]:
    with tempfile.TemporaryDirectory(prefix="mlirage-kernels-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return measure_model(str(path))


def _narrow_product(kind: str, rows: int, columns: int, depth: int) -> Any:
    """An ONNX model of one product with constant weights."""
    from onnx import TensorProto, helper

    generator = np.random.default_rng(0)
    left, right = kind.split("·")
    if right == "bf16":
        return _brain_float_product(left, rows, columns, depth)
    low, high = (-8, 8) if right == "i4" else (-128, 128)
    weights = generator.integers(low, high, (depth, columns))
    inputs = {"u8": TensorProto.UINT8, "s8": TensorProto.INT8, "f32": TensorProto.FLOAT}
    stored = TensorProto.INT4 if right == "i4" else TensorProto.INT8
    constants = [helper.make_tensor("q", stored, weights.shape, weights.flatten().tolist())]
    if left == "f32":
        shape = (depth // 32, columns) if right == "i4" else (columns,)
        scales = generator.uniform(0.01, 0.02, shape)
        constants.append(helper.make_tensor("s", TensorProto.FLOAT, shape, scales.flatten().tolist()))
        attributes: dict[str, Any] = {"axis": 0, "block_size": 32} if right == "i4" else {"axis": 1}
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"], **attributes),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
    else:
        nodes = [helper.make_node("MatMulInteger", ["x", "q"], ["y"])]
    value = helper.make_tensor_value_info
    result = value("y", TensorProto.FLOAT if left == "f32" else TensorProto.INT32, [rows, columns])
    graph = helper.make_graph(nodes, "narrow", [value("x", inputs[left], [rows, depth])], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _brain_float_product(left: str, rows: int, columns: int, depth: int) -> Any:
    """The same with weights of bf16: those alone, or everything."""
    from onnx import TensorProto, helper, numpy_helper

    element = TensorProto.FLOAT if left == "f32" else TensorProto.BFLOAT16
    weights = np.random.default_rng(0).uniform(0.5, 1, (depth, columns)).astype(ml_dtypes.bfloat16)
    nodes = [
        helper.make_node("Cast", ["q"], ["w"], to=element),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    x, y = value("x", element, [rows, depth]), value("y", element, [rows, columns])
    graph = helper.make_graph(nodes, "narrow", [x], [y], [numpy_helper.from_array(weights, "q")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def panel_columns_of_host(columns: int) -> int:
    """Columns per packed panel for f32 on this machine."""
    with new_context():
        return panel_columns(columns, ir.F32Type.get(), parse_target("host"))


@click.command()
@click.argument("what", default="shapes")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the rows there, too.")
def main(what: str, file: Path | None) -> None:
    """Prints the table of WHAT: the name of a benchmark's model, an ONNX file, `shapes` or `narrow`."""
    if what == "shapes":
        rows = measure_shapes()
    elif what == "narrow":
        rows = measure_narrow()
    else:
        if what not in _MODELS and not Path(what).exists():
            raise click.UsageError(f"{what} is neither a file nor one of {', '.join(_MODELS)}")
        rows = measure_model(what)
    total = sum(m.seconds * n for m, n in rows)
    print(f"{'dispatch':60} {'kind':12} {'count':>5} {'µs':>9} {'GF/s':>7} {'of peak':>8} {'of time':>8} of read")
    for m, n in sorted(rows, key=lambda r: -r[0].seconds * r[1]):
        print(
            f"{m.name:60} {m.kind:12} {n:5} {m.seconds * 1e6:9.1f} {m.flops / m.seconds / 1e9:7.1f} {m.share:8.3f} "
            f"{m.seconds * n / total:8.3f}" + ("" if m.of_read is None else f" {m.of_read:8.3f}")
        )
    print(f"{'all':60} {'':12} {sum(n for _, n in rows):5} {total * 1e6:9.1f}")
    if what == "shapes":
        _summarize([m for m, _ in rows])
    if file is not None:
        file.write_text(json.dumps({"what": what, "kernels": [asdict(m) | {"count": n} for m, n in rows]}, indent=1))


def _summarize(rows: list[Measured]) -> None:
    """Median and worst: of the peak for those of many rows, of reading for those that wait for memory."""
    many = [m for m in rows if int(m.name.split("_")[1].split("x")[0].lstrip("D")) > _FEW_ROWS]
    read = [(m.of_read, m.name) for m in rows if m.of_read is not None]
    for what, shares in (("of peak", [(m.share, m.name) for m in many]), ("of read", read)):
        worst, name = min(shares)
        print(f"{what}: median {statistics.median(share for share, _ in shares):.3f}, worst {worst:.3f} {name}")


if __name__ == "__main__":
    main()
