"""Products of real numbers with weights of 4 and 8 bits, which stay as small in the module."""

from __future__ import annotations

import numpy as np
import torch

from mlirage.importers.pytorch_ops.registry import Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Scalar, Tensor
from mlirage.input.builders import scalar as s


@aten("_weight_int8pack_mm")
def weight_int8pack_mm(op: Op, x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """x · weightᵀ of bytes [n, k] with a scale for each n; the product widens the bytes as it reads them."""
    wide = b.compute_dtype(x.dtype)
    product = b.matmul(as_tensor(x, wide), b.transpose(b.cast(weight, wide), [1, 0]))
    return b.map_(lambda a, f: s.cast(a * f, wide), product, as_tensor(scales, wide), dtype=x.dtype)


def _numbers(packed: np.ndarray, depth: int) -> np.ndarray:
    """The numbers 0 … 15 [n, depth] of a weight in the order of PyTorch's kernel for this processor.

    That order is the kernel's own business: it is asked for the products with unit vectors.
    """
    weight = torch.from_numpy(np.ascontiguousarray(packed))
    rows = weight.shape[0]
    plain = torch.zeros(depth // 32, rows, 2)
    plain[..., 0] = 1
    columns = [
        torch.ops.aten._weight_int4pack_mm_for_cpu(torch.eye(depth)[first : first + 512], weight, 32, plain)
        for first in range(0, depth, 512)
    ]
    return torch.cat(columns).t().add(8).to(torch.uint8).contiguous().numpy()


@aten("_weight_int4pack_mm_for_cpu")
def weight_int4pack_mm(op: Op, x: Tensor, packed: Tensor, group: int, scales_and_zeros: Tensor) -> Tensor:
    """x · wᵀ of w = (number - 8) · scale + zero, with a scale and a zero for each group of columns and each row."""
    depth = x.shape[-1]
    if packed.known is None or not isinstance(depth, int):
        raise NotImplementedError("4-bit weights that are not constant")
    numbers = _numbers(np.asarray(packed.known), depth)
    pairs = Tensor.of(numbers[:, 0::2] | numbers[:, 1::2] << 4, name=packed.name)
    wide = b.compute_dtype(x.dtype)

    def element(n: Scalar, k: Scalar) -> Scalar:
        byte = s.cast(s.read(pairs, [n, k / 2]), b.INT32)
        low = (k % 2).eq(0)
        number = s.select(low, byte & 15, s.cast(byte / 16, b.INT32) & 15) - 8
        place = [k / group, n]
        scale, zero = (s.read(scales_and_zeros, [*place, s.coerce(i, b.INDEX)]) for i in (0, 1))
        return s.cast(number, scale.dtype) * scale + zero

    weight = b.tabulate([numbers.shape[0], depth], wide, element)
    return b.cast(b.matmul(as_tensor(x, wide), b.transpose(weight, [1, 0])), x.dtype)
