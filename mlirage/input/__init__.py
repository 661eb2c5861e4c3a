"""input: any imported dialect becomes linalg, tensor, arith, math and scf on tensors, and weights leave the IR.

PIPELINE converts dialects; ABI fixes the signature of public functions; PREPROCESSING raises and normalizes ops.
"""

from mlirage.input.center_quantized_products import center_quantized_products
from mlirage.input.convert_parallel_loops import convert_parallel_loops
from mlirage.input.convert_stablehlo_batch_norm import convert_stablehlo_batch_norm
from mlirage.input.convert_stablehlo_collectives import convert_stablehlo_collectives
from mlirage.input.convert_stablehlo_concatenate import convert_stablehlo_concatenate
from mlirage.input.convert_stablehlo_control_flow import convert_stablehlo_control_flow
from mlirage.input.convert_stablehlo_cumulative import convert_stablehlo_cumulative
from mlirage.input.convert_stablehlo_dynamism import convert_stablehlo_dynamism
from mlirage.input.convert_stablehlo_fft import convert_stablehlo_fft
from mlirage.input.convert_stablehlo_linear_algebra import convert_stablehlo_linear_algebra
from mlirage.input.convert_stablehlo_quantization import convert_stablehlo_quantization
from mlirage.input.convert_stablehlo_random import convert_stablehlo_random
from mlirage.input.convert_stablehlo_select_and_scatter import convert_stablehlo_select_and_scatter
from mlirage.input.convert_stablehlo_to_linalgx import convert_stablehlo_to_linalgx
from mlirage.input.convert_stablehlo_windows import convert_stablehlo_windows
from mlirage.input.convert_tm_tensor import convert_tm_tensor
from mlirage.input.convert_torch import convert_torch
from mlirage.input.decompose_dynamic_named_ops import decompose_dynamic_named_ops
from mlirage.input.decompose_winograd_transforms import decompose_winograd_transforms
from mlirage.input.expand_chlo_broadcasts import expand_chlo_broadcasts
from mlirage.input.expand_complex_functions import expand_complex_functions
from mlirage.input.expand_scalar_functions import expand_scalar_functions
from mlirage.input.externalize_constants import externalize_constants
from mlirage.input.inline_scalar_generics import inline_scalar_generics
from mlirage.input.legalize_signatures import legalize_signatures
from mlirage.input.normalize_stablehlo import normalize_stablehlo
from mlirage.input.normalize_tosa import normalize_tosa
from mlirage.input.strip_signedness import strip_signedness
from mlirage.input.verify_input import verify_input
from mlirage.input.widen_48_bits import widen_48_bits
from mlirage.input.widen_accumulators import widen_accumulators
from mlirage.input.widen_contractions import widen_contractions
from mlirage.input.widen_reductions import widen_reductions
from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = (
    "func.func(stablehlo-legalize-composite-to-call)",
    "inline",
    "func.func(lift-cf-to-scf)",
    normalize_tosa,
    # StableHLO and CHLO.
    convert_stablehlo_quantization,
    normalize_stablehlo,
    convert_stablehlo_collectives,
    convert_stablehlo_random,
    convert_stablehlo_batch_norm,
    convert_stablehlo_control_flow,
    convert_stablehlo_to_linalgx,
    convert_stablehlo_cumulative,
    convert_stablehlo_linear_algebra,  # before simplification drops the calls' configuration
    expand_chlo_broadcasts,
    "func.func(chlo-legalize-to-stablehlo)",
    "func.func(stablehlo-aggressive-simplification)",
    convert_stablehlo_fft,
    convert_stablehlo_select_and_scatter,
    convert_stablehlo_concatenate,
    widen_accumulators,
    convert_stablehlo_windows,
    "stablehlo-legalize-to-linalg",
    inline_scalar_generics,
    # TOSA.
    "tosa-to-scf",
    "func.func(tosa-infer-shapes,tosa-optional-decompositions,tosa-make-broadcastable)",
    "func.func(tosa-to-linalg-named{prefer-conv2d-kernel-layout-hwcf=true},tosa-to-linalg)",
    "func.func(tosa-to-arith{include-apply-rescale=true},tosa-to-tensor)",
    "tosa-to-mlprogram",
    widen_48_bits,
    # torch.
    convert_torch,
    convert_tm_tensor,
    # What all share.
    strip_signedness,
    convert_parallel_loops,
    convert_stablehlo_dynamism,
    expand_complex_functions,
    expand_scalar_functions,
    center_quantized_products,
    decompose_dynamic_named_ops,
    decompose_winograd_transforms,
    "resolve-ranked-shaped-type-result-dims",
    "lower-affine",  # extents of collapsed shapes
    "cse",  # equal extents become one value, which decides tests of their equality
    "canonicalize",
    "cse",
    externalize_constants,
    verify_input,
)
ABI: tuple[Pass, ...] = (legalize_signatures,)
PREPROCESSING: tuple[Pass, ...] = (widen_contractions, widen_reductions)
