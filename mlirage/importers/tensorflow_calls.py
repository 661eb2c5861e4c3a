"""Operations that TensorFlow's lowering leaves as they are, and its calls of XLA's own factorizations.

"tf.Reshape"(%x, %shape)              ->  stablehlo.dynamic_reshape, a -1 calculated
stablehlo.custom_call @Qr, @Eigh, …   ->  linalgx.factorize
"tf.EuclideanNorm"(%x, %axes)         ->  square, sum and root, before the lowering
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mlirage.importers.tensorflow_ops import registry
from mlirage.importers.tensorflow_ops.names import NAMES
from mlirage.input import linalgx
from mlirage.input.normalize_stablehlo import splits_open
from mlirage.mlir import arith, describe_location, ir, tensor, walk
from mlirage.program import Program
from mlirage.tensor_shapes import extents

_NORM = re.compile(
    r'(?P<result>%\w+) = "tf\.EuclideanNorm"\((?P<x>%[\w#]+), (?P<axes>%[\w#]+)\) (?:<\{(?P<first>.*?)\}>)? ?'
    r"(?:\{(?P<second>.*?)\})? ?: \((?P<kind>tensor<[^>]*>+), (?P<axes_kind>tensor<[^>]*>)\) -> (?P<out>tensor<[^>]*>+)"
)

_BESSEL = re.compile(
    r'(?P<result>%\w+) = "tf\.(?P<name>BesselI[01])"\((?P<x>%[\w#]+)\) (?:\{.*?\} )?: \((?P<kind>tensor<[^>]*>)\) '
    r"-> tensor<[^>]*>"
)


def expand(text: str) -> str:
    """TensorFlow's MLIR without the operations that its lowering does not know."""
    return _BESSEL.sub(_bessel, _NORM.sub(_euclidean_norm, text))


def _bessel(match: re.Match[str]) -> str:
    """The modified Bessel functions of the first kind by their scaled forms."""
    name, kind = f"%bessel_{match['result'][1:]}", match["kind"]
    return (
        f'{name}_size = "tf.Abs"({match["x"]}) : ({kind}) -> {kind}\n'
        f'    {name}_growth = "tf.Exp"({name}_size) : ({kind}) -> {kind}\n'
        f'    {name}_scaled = "tf.{match["name"]}e"({match["x"]}) : ({kind}) -> {kind}\n'
        f'    {match["result"]} = "tf.Mul"({name}_scaled, {name}_growth) : ({kind}, {kind}) -> {kind}'
    )


def _euclidean_norm(match: re.Match[str]) -> str:
    keep = "true" if "keep_dims = true" in f"{match['first']}{match['second']}" else "false"
    name, kind, out = f"%norm_{match['result'][1:]}", match["kind"], match["out"]
    absolute = f'"tf.ComplexAbs"({match["x"]})' if "complex" in kind else f'"tf.Abs"({match["x"]})'
    real = re.sub(r"complex<(f\d+)>", r"\1", kind)
    real_out = re.sub(r"complex<(f\d+)>", r"\1", out)
    if re.search(r"[x<]u?i\d+>$", kind):  # roots of integers are cut to integers
        real, real_out = (re.sub(r"u?i\d+>$", "f64>", k) for k in (kind, out))
        absolute = f'"tf.Cast"({match["x"]}) <{{Truncate = false}}>'
    end = f'"tf.Cast"({name}_root) <{{Truncate = false}}> : ({real_out}) -> {out}'
    return (
        f"{name}_size = {absolute} : ({kind}) -> {real}\n"
        f'    {name}_square = "tf.Mul"({name}_size, {name}_size) : ({real}, {real}) -> {real}\n'
        f'    {name}_sum = "tf.Sum"({name}_square, {match["axes"]}) <{{keep_dims = {keep}}}> : '
        f"({real}, {match['axes_kind']}) -> {real_out}\n"
        f'    {name}_root = "tf.Sqrt"({name}_sum) : ({real_out}) -> {real_out}\n'
        f"    {match['result']} = {end}"
    )


_PLAIN = re.compile(
    r'"tf\.(?P<name>\w+)"\((?P<operands>[^)]*)\) (?:<\{(?P<first>.*?)\}> )?(?:\{(?P<second>.*?)\} )?: '
    r"(?P<inputs>\([^)]*\)) -> (?P<results>.*)"
)
_UNLOWERED = re.compile(
    r'"tf\.XlaCustomCallV2"(?P<operands>\([^)]*\)) <\{backend_config = (?P<config>"[^"]*"), '
    r'call_target_name = "(?P<name>[\w.]+)", has_side_effect = false, result_shapes = \[.*?\]\}> (?:\{.*?\} )?:'
)


# TensorFlow's lowering takes these where all extents are known, and folds what they do to shapes.
_OPEN_ONLY = frozenset(
    {
        "AdjustContrastv2", "AdjustHue", "AdjustSaturation", "BroadcastArgs", "Conv2D", "Conv3D",
        "DepthwiseConv2dNative", "HSVToRGB", "MaxPool", "MaxPool3D", "MirrorPad", "OneHot", "Pad", "PadV2", "RGBToHSV",
        "Range", "Roll", "ShapeN", "Slice", "Split", "SplitV", "StridedSlice", "Tile", "TopKV2", "Unpack",
    }
)  # fmt: skip


def hand_through(text: str, names: Collection[str]) -> str:
    """Operations that the lowering does not know (without the prefix `tf.`), as custom calls that pass through it."""

    def call(match: re.Match[str]) -> str:
        is_open = "?" in match["inputs"] + match["results"]
        if match["name"] not in names or (match["name"] in _OPEN_ONLY and not is_open):
            return match[0]
        shapes = ", ".join(
            f"#tf_type.shape<{extents.rstrip('x')}>"
            for extents in re.findall(r"tensor<((?:[0-9?]+x)*)[^>]*>", match["results"].replace("complex<", ""))
        )
        config = ", ".join(part for part in (match["first"], match["second"]) if part).replace('"', "'")
        return (
            f'"tf.XlaCustomCallV2"({match["operands"]}) <{{backend_config = "{config}", '
            f'call_target_name = "tf.{match["name"]}", has_side_effect = false, result_shapes = [{shapes}]}}> : '
            f"{match['inputs']} -> {match['results']}"
        )

    return _PLAIN.sub(call, text)


def _left_over(match: re.Match[str]) -> str:
    """An operation that the lowering left as it was, if we know it."""
    if match["name"] not in NAMES:
        return match[0]
    config = ", ".join(part for part in (match["first"], match["second"]) if part).replace('"', "'")
    return (
        f'stablehlo.custom_call @tf.{match["name"]}({match["operands"]}) {{backend_config = "{config}"}} : '
        f"{match['inputs']} -> {match['results']}"
    )


def as_calls(text: str) -> str:
    """Lowered text whose remaining operations are custom calls, so that it can be parsed."""
    text = _PLAIN.sub(_left_over, text)
    text = _UNLOWERED.sub(r"stablehlo.custom_call @\g<name>\g<operands> {backend_config = \g<config>} :", text)
    return re.sub(r'"(tf\.Reshape)"\((%[\w#]+, %[\w#]+)\) (?:\{.*?\} )?:', r"stablehlo.custom_call @\1(\2) :", text)


def convert_calls(program: Program) -> None:
    """Replaces the calls; others stay for input-verify to report.

    Raises:
      NotImplementedError: some are of forms that are not supported.
    """
    problems: list[str] = []
    for op in list(walk(program.module.operation)):
        if op.name == "stablehlo.custom_call":
            target = ir.StringAttr(op.attributes["call_target_name"]).value
        elif op.name in ("stablehlo.einsum", "stablehlo.unary_einsum"):
            target = "tf.Einsum"
        elif op.name == "stablehlo.bitcast_convert" and splits_open(op):
            problems.append(
                f"tf.Bitcast at {describe_location(op.location)!r} to elements of another width, open extents"
            )
            continue
        else:
            continue
        convert = _CONVERSIONS.get(target)
        if convert is None and target.removeprefix("tf.") not in NAMES:
            continue
        try:
            with ir.InsertionPoint(op), op.location:
                values = convert(op) if convert else registry.convert(program, op, target.removeprefix("tf."))
        except NotImplementedError as error:
            problems.append(str(error))
            continue
        if "tuple<" in str(op.results[0].type):
            for use in [use.owner.operation for use in op.results[0].uses]:
                if use.name != "stablehlo.get_tuple_element":
                    raise NotImplementedError(f"a tuple that is not taken apart: {op.location}")
                _replace(use, [values[ir.IntegerAttr(use.attributes["index"]).value]])
            op.erase()
        else:
            _replace(op, values)
    if problems:
        raise NotImplementedError("what is not supported:\n  " + "\n  ".join(problems))


def _replace(op: ir.Operation, values: Sequence[ir.Value[Any]]) -> None:
    for result, value in zip(op.results, values, strict=False):
        made = value
        if value.type != result.type:
            with ir.InsertionPoint(op), op.location:
                made = tensor.cast(result.type, value)
        result.replace_all_uses_with(made)
    op.erase()


def _empty(x: ir.Value[Any], removed: int, *added: int, element: ir.Type | None = None) -> ir.Value[Any]:
    """An empty tensor with the extents of `x` but the last ones, which are `added`."""
    kind = ir.RankedTensorType(x.type)
    return tensor.empty([*extents(x)[: kind.rank - removed], *added], element or kind.element_type)


def _batch(x: ir.Value[Any]) -> int:
    return ir.RankedTensorType(x.type).rank - 2


def _qr(op: ir.Operation) -> Sequence[ir.Value[Any]]:
    (x,) = op.operands
    rows, columns = ir.RankedTensorType(x.type).shape[-2:]
    outs = [_empty(x, 0), _empty(x, 2, min(rows, columns))]
    return linalgx.factorize("qr", [x], outs, _batch(x))


def _householder_product(op: ir.Operation) -> Sequence[ir.Value[Any]]:
    x = op.operands[0]
    return linalgx.factorize("householder_product", list(op.operands), [_empty(x, 0)], _batch(x))


def _eigh(op: ir.Operation) -> Sequence[ir.Value[Any]]:
    """Vectors and values; XLA's call says in text whether the lower half counts and the values are sorted."""
    (x,) = op.operands
    kind = ir.RankedTensorType(x.type)
    element = kind.element_type
    real = ir.ComplexType(element).element_type if isinstance(element, ir.ComplexType) else element
    lower = ir.StringAttr(op.attributes["backend_config"]).value.startswith("1")
    integer = ir.IntegerType.get_signless(32)
    outs = [_empty(x, 0), _empty(x, 2, kind.shape[-1], element=real), _empty(x, 2, element=integer), _empty(x, 0)]
    return linalgx.factorize("eigh", [x], outs, _batch(x), ["lower"] if lower else [])[:2]


def _reshape(op: ir.Operation) -> Sequence[ir.Value[Any]]:
    x, shape = op.operands
    result = ir.RankedTensorType(op.results[0].type)
    index = ir.IndexType.get()

    def number(n: int) -> ir.Value[Any]:
        return arith.constant(index, n)

    sizes: list[ir.Value[Any]] = []
    for i in range(result.rank):
        if not result.is_dynamic_dim(i):
            sizes.append(number(result.get_dim_size(i)))
        else:
            sizes.append(arith.index_cast(index, tensor.extract(shape, [number(i)])))
    # One size may be -1: what is left of the elements.
    minus = number(-1)
    total, product = number(1), number(1)
    for extent in extents(x):
        total = arith.muli(total, number(extent) if isinstance(extent, int) else extent)
    unknown = [arith.cmpi(arith.CmpIPredicate.eq, size, minus) for size in sizes]
    for size, is_open in zip(sizes, unknown, strict=True):
        product = arith.muli(product, arith.select(is_open, number(1), size))
    is_empty = arith.cmpi(arith.CmpIPredicate.eq, product, number(0))
    rest = arith.divui(total, arith.select(is_empty, number(1), product))
    rest = arith.select(is_empty, number(0), rest)
    made = [arith.select(is_open, rest, size) for size, is_open in zip(sizes, unknown, strict=True)]
    elements = tensor.from_elements(ir.RankedTensorType.get([result.rank], index), made)
    return [ir.Operation.create("stablehlo.dynamic_reshape", results=[result], operands=[x, elements]).results[0]]


_CONVERSIONS: dict[str, Callable[[ir.Operation], Sequence[ir.Value[Any]]]] = {
    "Qr": _qr,
    "ProductOfElementaryHouseholderReflectors": _householder_product,
    "Eigh": _eigh,
    "tf.Reshape": _reshape,
}
