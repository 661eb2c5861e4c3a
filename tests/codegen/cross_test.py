"""Kernels of every kind on other architectures, under qemu; `cross_all.py` runs more on more of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlirage
from mlirage.codegen.link import ZIG
from mlirage.codegen.target import parse_target
from tests.codegen.cross import ARCHITECTURES, Machine, Work, check_cases
from tests.importers.onnx_backend_cases import cases

SAMPLE = {
    "test_add", "test_add_uint8", "test_add_int16", "test_add_uint64", "test_sub_int8", "test_div_int32_trunc",
    "test_mod_mixed_sign_int64", "test_mod_uint64", "test_mod_mixed_sign_float32", "test_cast_FLOAT_to_FLOAT16",
    "test_cast_FLOAT16_to_DOUBLE", "test_cast_BFLOAT16_to_FLOAT", "test_cast_DOUBLE_to_FLOAT", "test_erf",
    "test_exp", "test_round", "test_sin", "test_softmax_axis_1", "test_layer_normalization_2d_axis1",
    "test_matmul_3d", "test_matmulinteger", "test_gemm_all_attributes", "test_basic_conv_with_padding",
    "test_qlinearconv", "test_convtranspose", "test_maxpool_2d_default", "test_averagepool_2d_default",
    "test_reduce_sum_keepdims_random", "test_reduce_prod_keepdims_random", "test_argmax_keepdims_random",
    "test_cumsum_1d", "test_top_k", "test_unique_sorted_with_axis", "test_gather_1",
    "test_scatter_elements_with_axis", "test_lstm_with_peepholes", "test_gru_with_initial_bias", "test_loop11",
    "test_resize_upsample_scales_linear", "test_dft", "test_pow_types_int64_float32", "test_bitshift_left_uint64",
    "test_isnan", "test_where_example", "test_nonzero_example",
}  # fmt: skip
ABSOLUTE = """
func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
  %y = math.absf %x : tensor<2xf32>
  return %y : tensor<2xf32>
}"""
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


def digits_on(name: str) -> None:
    """The digits model gives the numbers that it gives here."""
    machine = Machine.get(name)
    images = np.load(DIGITS / "held_out.npz")["images"][:5]
    (expected,) = mlirage.load(mlirage.compile(DIGITS / "digits.onnx"))(images)
    module = mlirage.compile(DIGITS / "digits.onnx", target=machine.architecture.target)
    for device in ("local-sync", "local-task"):
        (results,) = machine.run([Work(module, [images])], device)
        assert not isinstance(results, str), results
        np.testing.assert_allclose(results[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["aarch64", "armv7"])
def test_sample(name: str) -> None:
    Machine.get(name)
    chosen = [case for case in cases() if case.name in SAMPLE]
    assert len(chosen) == len(SAMPLE)
    assert check_cases(name, chosen) == []
    digits_on(name)


@pytest.mark.parametrize(
    ("name", "target", "emulator", "lacks"),
    [
        ("aarch64", "aarch64:generic:+sve2", ("qemu-aarch64-static", "-cpu", "cortex-a53"), "+sve2"),
        ("aarch64", "aarch64:generic:+sve256", ("qemu-aarch64-static", "-cpu", "cortex-a53"), "+sve256"),
        ("aarch64-sve256", "aarch64:generic:+sve512", None, "+sve512"),
        ("riscv64v", "riscv64:generic-rv64:+v,+zvl512b", None, "+zvl512b"),
    ],
)
def test_formats_are_checked(name: str, target: str, emulator: tuple[str, ...] | None, lacks: str) -> None:
    """What the processor lacks, longer vector registers too, is refused when the module is loaded."""
    module = mlirage.compile(ABSOLUTE, target=target)
    machine = ARCHITECTURES[name]
    (result,) = Machine(replace(machine, emulator=emulator or machine.emulator)).run(
        [Work(module, [np.float32([-1, 2])])]
    )
    assert "supports none of the formats" in result
    assert lacks in result


@pytest.mark.parametrize("name", ["aarch64-dotprod", "aarch64-sve256", "aarch64-sve256-in-512", "aarch64-sve512"])
def test_dot_products_of_arm(name: str) -> None:
    """Products with constant weights: signed and unsigned bytes exactly, bf16 within rounding."""
    machine = Machine.get(name)
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (37, 19)).astype(np.int8)
    works: list[Work] = []
    for kind in (np.uint8, np.int8):
        x = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, (5, 37)).astype(kind)
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "g",
            [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
            [helper.make_tensor_value_info("y", TensorProto.INT32, (5, 19))], [numpy_helper.from_array(weights, "w")],
        )  # fmt: skip
        works.append(Work(mlirage.compile(helper.make_model(graph), target=machine.architecture.target), [x]))
    narrow = weights.astype(np.float32) / 16
    text = f"""
    func.func @main(%x: tensor<5x37xbf16>) -> tensor<5x19xf32> {{
      %w = arith.constant dense<{narrow.tolist()}> : tensor<37x19xbf16>
      %0 = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
        : (tensor<5x37xbf16>, tensor<37x19xbf16>) -> tensor<5x19xf32>
      return %0 : tensor<5x19xf32>
    }}"""
    x = rng.standard_normal((5, 37)).astype(ml_dtypes.bfloat16)
    works.append(Work(mlirage.compile(text, target=machine.architecture.target), [x]))
    results = machine.run(works)
    assert not any(isinstance(result, str) for result in results), results
    for work, result in zip(works[:2], results, strict=False):
        np.testing.assert_array_equal(result[0], work.inputs[0].astype(np.int32) @ weights.astype(np.int32))
    np.testing.assert_allclose(results[2][0], x.astype(np.float64) @ narrow, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("target", ["arm", "arm:cortex-a15", "riscv32"])
def test_support_functions(target: str, tmp_path: Path) -> None:
    """Division and conversion as the host's processor does them, bit by bit."""
    name = {"arm": "armv7"}.get(target.split(":")[0], target)
    machine = Machine.get(name)
    chosen = parse_target(target)
    program = Path(__file__).with_name("support_functions.c")
    support = Path(sys.modules["mlirage.codegen.link"].__file__ or "").with_name("support.c")
    host, cross = tmp_path / "host", tmp_path / "cross"
    subprocess.run(["gcc", "-O1", str(program), "-o", str(host)], check=True)
    where = ["-target", machine.architecture.zig]
    cpu = chosen.cpu.replace("-", "_") + ("+m+a+f+d+c" if chosen.architecture == "riscv32" else "")
    objects: list[str] = []
    for source in (program, support):  # for the processor; linked without naming it, for Zig builds musl anew for each
        objects.append(str(tmp_path / f"{source.stem}.o"))
        flags = [*where, f"-mcpu={cpu}", "-O1", "-fno-builtin", "-fno-sanitize=all", "-c", str(source)]
        subprocess.run([str(ZIG), "cc", *flags, "-o", objects[-1]], check=True)
    subprocess.run([str(ZIG), "cc", *where, "-s", "-static", *objects, "-o", str(cross)], check=True)
    emulator = [machine.architecture.emulator[0]]
    results = [
        subprocess.run([*c, str(p)], capture_output=True, check=True).stdout for c, p in (([], host), (emulator, cross))
    ]
    assert results[0] == results[1]
    assert len(results[0].splitlines()) > 1000
