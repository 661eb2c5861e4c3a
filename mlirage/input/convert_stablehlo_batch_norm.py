"""input-convert-stablehlo-batch-norm: the three batch normalizations become the arithmetic that defines them.

    %y = "stablehlo.batch_norm_inference"(%x, %scale, %offset, %mean, %variance) <{epsilon, feature_index}>
    =>
    %y = (%x - mean) / sqrt(variance + epsilon) * scale + offset                  with the vectors broadcast

Training takes mean and variance over all dims but the features'; the gradient is the specification's formula. Sums of
floats narrower than f32 are f32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlirage.mlir import arith, ir, tensor, walk
from mlirage.passes import module_pass
from mlirage.program import Program
from mlirage.tensor_shapes import Extent, extents


@module_pass("input-convert-stablehlo-batch-norm")
def convert_stablehlo_batch_norm(program: Program) -> None:
    """Replaces batch_norm_inference, batch_norm_training and batch_norm_grad."""
    for op in [op for op in walk(program.module.operation) if op.name in _CONVERSIONS]:
        with op.location, ir.InsertionPoint(op):
            arithmetic = _Arithmetic.of(op)
            results = _CONVERSIONS[op.name](arithmetic, [arithmetic.widen(v) for v in op.operands])
            for old, new in zip(op.results, results, strict=True):
                old.replace_all_uses_with(arithmetic.narrow(new, old.type))
        op.erase()


@dataclass(frozen=True)
class _Arithmetic:
    """Ops on tensors of one shape and on vectors of their features."""

    shape: list[int]
    feature: int
    epsilon: float
    element: ir.Type
    sizes: list[Extent]  # as `shape`, with the values of those known at run time

    @staticmethod
    def of(op: ir.Operation) -> _Arithmetic:
        kind = ir.RankedTensorType(op.operands[0].type)
        narrow = isinstance(kind.element_type, ir.FloatType) and kind.element_type.width < 32
        return _Arithmetic(
            list(kind.shape),
            ir.IntegerAttr(op.attributes["feature_index"]).value,
            ir.FloatAttr(op.attributes["epsilon"]).value,
            ir.F32Type.get() if narrow else kind.element_type,
            extents(op.operands[0]),
        )

    def count(self, kind: ir.RankedTensorType) -> ir.Value:
        """The number of a feature's elements, everywhere in a tensor."""
        others = [extent for dim, extent in enumerate(self.sizes) if dim != self.feature]
        static = [extent for extent in others if isinstance(extent, int)]
        if len(static) == len(others):
            return self.constant(float(math.prod(static)), kind)
        total = arith.constant(ir.IndexType.get(), math.prod(static))
        for extent in others:
            total = arith.muli(total, extent) if isinstance(extent, ir.Value) else total
        number = arith.uitofp(self.element, arith.index_cast(ir.IntegerType.get_signless(64), total))
        return self._spread(tensor.from_elements(ir.RankedTensorType.get([], self.element), [number]), kind, [])

    def tensor(self) -> ir.RankedTensorType:
        return ir.RankedTensorType.get(self.shape, self.element)

    def vector(self) -> ir.RankedTensorType:
        return ir.RankedTensorType.get([self.shape[self.feature]], self.element)

    def widen(self, value: ir.Value) -> ir.Value:
        return self.narrow(value, ir.RankedTensorType.get(ir.RankedTensorType(value.type).shape, self.element))

    def narrow(self, value: ir.Value, kind: ir.Type) -> ir.Value:
        return value if value.type == kind else _create("convert", kind, value)

    def constant(self, number: float, kind: ir.RankedTensorType) -> ir.Value:
        if not kind.has_static_shape:
            return self._spread(self.constant(number, ir.RankedTensorType.get([], self.element)), kind, [])
        value = ir.DenseElementsAttr.get_splat(kind, ir.FloatAttr.get(self.element, number))
        return ir.Operation.create("stablehlo.constant", results=[kind], attributes={"value": value}).results[0]

    def broadcast(self, vector: ir.Value) -> ir.Value:
        return self._spread(vector, self.tensor(), [self.feature])

    def _spread(self, value: ir.Value, kind: ir.RankedTensorType, dims: list[int]) -> ir.Value:
        """`value` broadcast to the type of the operand or of its features."""
        attributes: dict[str, ir.Attribute] = {"broadcast_dimensions": ir.DenseI64ArrayAttr.get(dims)}
        if kind.has_static_shape:
            return ir.Operation.create("stablehlo.broadcast_in_dim", [kind], [value], attributes).results[0]
        index = ir.IndexType.get()
        sizes = self.sizes if kind.rank == len(self.sizes) else [self.sizes[self.feature]]
        values = [size if isinstance(size, ir.Value) else arith.constant(index, size) for size in sizes]
        shape = tensor.from_elements(ir.RankedTensorType.get([len(values)], index), values)
        return ir.Operation.create("stablehlo.dynamic_broadcast_in_dim", [kind], [value, shape], attributes).results[0]

    def sum(self, value: ir.Value) -> ir.Value:
        """Over everything but the features."""
        scalar = ir.RankedTensorType.get([], self.element)
        op = ir.Operation.create(
            "stablehlo.reduce",
            results=[self.vector()],
            operands=[value, self.constant(0.0, scalar)],
            attributes={
                "dimensions": ir.DenseI64ArrayAttr.get([i for i in range(len(self.shape)) if i != self.feature])
            },
            regions=1,
        )
        block = ir.Block.create_at_start(op.regions[0], [scalar, scalar], [op.location] * 2)
        with ir.InsertionPoint(block):
            total = _create("add", scalar, *block.arguments)
            ir.Operation.create("stablehlo.return", operands=[total])
        return op.results[0]

    def mean(self, value: ir.Value) -> ir.Value:
        return _create("divide", self.vector(), self.sum(value), self.count(self.vector()))

    def stable(self, variance: ir.Value) -> ir.Value:
        return _create("add", variance.type, variance, self.constant(self.epsilon, self.vector()))


def _create(name: str, kind: ir.Type, *operands: ir.Value) -> ir.Value:
    return ir.Operation.create(f"stablehlo.{name}", results=[kind], operands=list(operands)).results[0]


def _binary(name: str, a: ir.Value, b: ir.Value) -> ir.Value:
    return _create(name, a.type, a, b)


def _inference(f: _Arithmetic, operands: list[ir.Value]) -> list[ir.Value]:
    x, scale, offset, mean, variance = operands
    centered = _binary("subtract", x, f.broadcast(mean))
    deviation = _create("sqrt", variance.type, f.stable(variance))
    normal = _binary("divide", centered, f.broadcast(deviation))
    return [_binary("add", _binary("multiply", normal, f.broadcast(scale)), f.broadcast(offset))]


def _training(f: _Arithmetic, operands: list[ir.Value]) -> list[ir.Value]:
    x, scale, offset = operands
    mean = f.mean(x)
    centered = _binary("subtract", x, f.broadcast(mean))
    variance = f.mean(_binary("multiply", centered, centered))
    return [*_inference(f, [x, scale, offset, mean, variance]), mean, variance]


def _gradient(f: _Arithmetic, operands: list[ir.Value]) -> list[ir.Value]:
    x, scale, mean, variance, grad = operands
    stable = f.stable(variance)
    deviation = _create("sqrt", stable.type, stable)
    centered = _binary("subtract", x, f.broadcast(mean))
    of_offset = f.sum(grad)
    products = f.sum(_binary("multiply", grad, centered))
    counted = _binary("multiply", grad, f.count(f.tensor()))
    slope = _binary("multiply", centered, f.broadcast(_binary("divide", products, stable)))
    inner = _binary("subtract", _binary("subtract", counted, f.broadcast(of_offset)), slope)
    factor = _binary("divide", _binary("divide", scale, deviation), f.count(f.vector()))
    return [_binary("multiply", inner, f.broadcast(factor)), _binary("divide", products, deviation), of_offset]


_CONVERSIONS: dict[str, Callable[[_Arithmetic, list[ir.Value]], list[ir.Value]]] = {
    "stablehlo.batch_norm_inference": _inference,
    "stablehlo.batch_norm_training": _training,
    "stablehlo.batch_norm_grad": _gradient,
}
