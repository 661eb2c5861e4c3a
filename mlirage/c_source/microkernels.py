"""Microkernels of vmvx (runtime/src/vmvx_module) as C functions: sums of products over strided loops."""

from __future__ import annotations

from dataclasses import dataclass

_TEMPLATE = """
// out[…] += lhs[…] * rhs[…]; |loops| are extents with the strides of lhs, rhs, out.
static int contract_{types}(model_t* self, ref_t lhs, ref_t rhs, ref_t out, uint32_t lhs_zero, uint32_t rhs_zero,
                            const uint64_t* offsets, uint32_t count, const int64_t* loops) {{
  int64_t at[{limit}] = {{0}};
  int64_t l = (int64_t)offsets[0], r = (int64_t)offsets[1], o = (int64_t)offsets[2];
  (void)lhs_zero;
  (void)rhs_zero;
  for (uint32_t i = 0; i < count; ++i) {{
    if (loops[4 * i] <= 0) return MODEL_OK;
  }}
  if (!loops_fit(count, loops, 0, l, lhs.length / {lhs_size}) ||
      !loops_fit(count, loops, 1, r, rhs.length / {rhs_size}) ||
      !loops_fit(count, loops, 2, o, out.writable / {out_size})) {{
    return fail(self, MODEL_OUT_OF_RANGE, "an operand of a kernel is outside of its buffer");
  }}
  // The innermost loop; one that runs once if there is none.
  const int64_t once[4] = {{1, 0, 0, 0}};
  const int64_t* const inner = count != 0 ? loops + (size_t)4 * (count - 1) : once;
  const uint32_t outer = count != 0 ? count - 1 : 0;
  for (;;) {{
    for (int64_t k = 0; k < inner[0]; ++k) {{
      const uint8_t* const a = lhs.data + (size_t)(l + k * inner[1]) * {lhs_size};
      const uint8_t* const b = rhs.data + (size_t)(r + k * inner[2]) * {rhs_size};
      uint8_t* const sum = out.data + (size_t)(o + k * inner[3]) * {out_size};
      {body}
    }}
    uint32_t i = outer;
    for (; i > 0; --i) {{
      const int64_t* const loop = loops + (size_t)4 * (i - 1);
      l += loop[1];
      r += loop[2];
      o += loop[3];
      if (++at[i - 1] < loop[0]) break;
      l -= loop[1] * loop[0];
      r -= loop[2] * loop[0];
      o -= loop[3] * loop[0];
      at[i - 1] = 0;
    }}
    if (i == 0) return MODEL_OK;
  }}
}}
"""
MAX_LOOPS = 12


@dataclass(frozen=True)
class _Kernel:
    sizes: tuple[int, int, int]
    lhs: str
    rhs: str
    is_float: str = ""  # the type of a sum of floats


_F32, _I32 = "f32_of_bits(load_32({}))", "load_32({})"
_SIGNED, _UNSIGNED = "(uint32_t)(int32_t)(int8_t)*{}", "(uint32_t)*{}"
_KERNELS = {
    "f32": _Kernel((4, 4, 4), _F32, _F32, "f32"),
    "f64": _Kernel((8, 8, 8), "f64_of_bits(load_64({}))", "f64_of_bits(load_64({}))", "f64"),
    "i32": _Kernel((4, 4, 4), _I32, _I32),
    "i64": _Kernel((8, 8, 8), "load_64({})", "load_64({})"),
    "f16_f32": _Kernel((2, 2, 4), "f16_to_f32(load_16({}))", "f16_to_f32(load_16({}))", "f32"),
    "bf16_f32": _Kernel((2, 2, 4), "f32_of_bits(load_16({}) << 16)", "f32_of_bits(load_16({}) << 16)", "f32"),
    **{
        f"{a}8{b}8_i32": _Kernel(
            (1, 1, 4),
            f"({_SIGNED if a == 's' else _UNSIGNED} - lhs_zero)",
            f"({_SIGNED if b == 's' else _UNSIGNED} - rhs_zero)",
        )
        for a in "su"
        for b in "su"
    },
}


def contraction(types: str) -> str:
    """The function `contract_<types>`.

    Raises:
      KeyError: there is no such microkernel.
    """
    kernel = _KERNELS[types]
    bits = 8 * kernel.sizes[2]
    product = f"{kernel.lhs.format('a')} * {kernel.rhs.format('b')}"
    if kernel.is_float:
        total = f"bits_of_{kernel.is_float}({kernel.is_float}_of_bits(load_{bits}(sum)) + {product})"
    else:
        total = f"load_{bits}(sum) + {product}"
    sizes = dict(zip(("lhs_size", "rhs_size", "out_size"), kernel.sizes, strict=True))
    return _TEMPLATE.format(types=types, limit=MAX_LOOPS, body=f"store_{bits}(sum, {total});", **sizes).lstrip()


def is_contraction(function: str) -> bool:
    """Whether the import is a microkernel that this module has."""
    return function.removeprefix("vmvx.contract_") in _KERNELS
