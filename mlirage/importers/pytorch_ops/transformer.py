"""Attention and encoder layers that PyTorch's `nn` modules call as single operators in evaluation."""

from __future__ import annotations

from mlirage.importers.pytorch_ops.contraction import attention, linear
from mlirage.importers.pytorch_ops.neural import layer_norm
from mlirage.importers.pytorch_ops.pointwise import gelu
from mlirage.importers.pytorch_ops.registry import Op, as_tensor, aten
from mlirage.input import builders as b
from mlirage.input.builders import Dim, Tensor
from mlirage.input.builders import scalar as s

_ATTENTION, _PADDING = 0, 1  # what a mask is for: pairs of positions, or keys of a batch


def _keep(mask: Tensor | None, kind: int | None) -> Tensor | None:
    """Where scores count, of a mask that is true where they do not."""
    if mask is None:
        return None
    if mask.dtype != b.BOOL:
        raise NotImplementedError(f"a mask of {mask.dtype}")
    keep = b.map_(lambda m: ~m, mask)
    if kind == _PADDING:
        return b.unsqueeze(keep, [1, 2])
    return keep


def _heads(x: Tensor, heads: int) -> Tensor:
    """[n, length, width] to [n, heads, length, width / heads]."""
    width = x.shape[2]
    assert isinstance(width, int)
    return b.transpose(b.reshape(x, [*x.shape[:2], heads, width // heads]), [0, 2, 1, 3])


def _attended(
    op: Op, inputs: tuple[Tensor, Tensor, Tensor], heads: int, weights: tuple[Tensor, Tensor, Tensor, Tensor],
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The result, and queries and keys for who wants the shares."""
    into, into_bias, out, out_bias = weights
    width = out.shape[1]

    def projected(x: Tensor, n: int) -> Tensor:
        weight, bias = (b.slice_axis(v, 0, width * n, width) for v in (into, into_bias))
        return _heads(linear(op, x, weight, bias), heads)

    parts = [projected(x, n) for n, x in enumerate(inputs)]
    result, _ = attention(parts[0], parts[1], parts[2], keep, False, None, False)
    joined = b.transpose(result, [0, 2, 1, 3])
    shape: list[Dim] = [*joined.shape[:2], width]
    return linear(op, b.reshape(joined, shape), out, out_bias), parts[0], parts[1]


@aten("_native_multi_head_attention")
def native_multi_head_attention(
    op: Op, query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, into: Tensor, into_bias: Tensor,
    out: Tensor, out_bias: Tensor, mask: Tensor | None = None, need_weights: bool = True, average: bool = True,
    kind: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    keep = _keep(mask, kind)
    result, q, k = _attended(op, (query, key, value), heads, (into, into_bias, out, out_bias), keep)
    if not need_weights:
        return result, b.fill([0], 0, query.dtype)
    size = (width // heads) ** -0.5
    scores = b.map_(lambda a: a * size, b.matmul(q, b.transpose(k, [0, 1, 3, 2])))
    if keep is not None:
        scores = b.map_(lambda a, m: s.select(m, a, s.coerce(float("-inf"), a.dtype)), scores, keep, dtype=scores.dtype)
    shares = b.softmax(scores, [-1])
    return result, b.mean(shares, [1]) if average else shares


@aten("_transformer_encoder_layer_fwd")
def transformer_encoder_layer(
    op: Op, x: Tensor, width: int, heads: int, into: Tensor, into_bias: Tensor, out: Tensor, out_bias: Tensor,
    use_gelu: bool, norm_first: bool, eps: float, weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor,
    up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, mask: Tensor | None = None, kind: int | None = None,
) -> Tensor:  # fmt: skip
    keep = _keep(mask, kind)

    def attended(v: Tensor) -> Tensor:
        return _attended(op, (v, v, v), heads, (into, into_bias, out, out_bias), keep)[0]

    def fed(v: Tensor) -> Tensor:
        inner = linear(op, v, up, up_bias)
        inner = gelu(op, inner) if use_gelu else b.map_(lambda a: s.maximum(a, 0), inner)
        return linear(op, inner, down, down_bias)

    def first(v: Tensor) -> Tensor:
        return layer_norm(op, v, [width], weight_1, bias_1, eps)

    def second(v: Tensor) -> Tensor:
        return layer_norm(op, v, [width], weight_2, bias_2, eps)

    if norm_first:
        x = b.add(x, attended(first(x)))
        return as_tensor(b.add(x, fed(second(x))), op.dtype)
    x = first(b.add(x, attended(x)))
    return as_tensor(second(b.add(x, fed(x))), op.dtype)
