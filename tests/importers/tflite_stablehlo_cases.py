"""Cases of StableHLO's operators inside flatbuffers, against JAX's functions of the same meaning.

JAX is imported when a case is checked, not when the cases are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tests.importers.tflite_cases import I8, I32, I64, U8, Array, Case, F, T, f, op, scalar
from tests.importers.tflite_models import ModelBuilder

BOOL, F64 = np.bool_, np.float64


def _lax() -> Any:
    import jax

    return jax.lax


def _case(
    name: str,
    inputs: Sequence[T],
    outputs: Sequence[T],
    expected: Callable[..., Any],
    label: str = "",
    subgraphs: Sequence[Callable[[ModelBuilder], None]] = (),
    **options: Any,
) -> Case:
    """A case whose options are those of the operator's one table; `expected` may use JAX's `lax` (first argument)."""
    table = {_table(name): options} if options else None

    def results(*arrays: Array) -> list[Array]:
        import jax

        with jax.enable_x64(True):
            # Constants of the model are no inputs of it, but `expected` gets them too.
            given, rest = [], iter(arrays)
            for tensor in inputs:
                given.append(np.asarray(tensor.value, tensor.dtype) if tensor.constant else next(rest))
            made = expected(_lax(), *given)
            return [np.asarray(x) for x in (made if isinstance(made, list | tuple) else [made])]

    return op(f"STABLEHLO_{name}", inputs, outputs, table, label, subgraphs=subgraphs, expected=results)


def _table(name: str) -> str:
    return f"Stablehlo{name.title().replace('_', '')}Options"


def _function(name: str, dtype: Any, *also: str, **options: Any) -> Callable[[ModelBuilder], None]:
    """A subgraph of two scalars and one node."""

    def build(builder: ModelBuilder) -> None:
        x, y = builder.input("x", (), dtype), builder.input("y", (), dtype)
        made = builder.tensor("z", (), BOOL if name == "COMPARE" else dtype)
        table = {_table(name): options} if options else {}
        builder.node(f"STABLEHLO_{name}", [x, y], [made], **table)
        builder.outputs(made)

    return build


def _elementwise() -> Iterator[Case]:
    positive = {"low": 0.3, "high": 3.0}
    unary: dict[str, tuple[str, list[T]]] = {
        "ABS": ("abs", [f(3, 5), T((5,), I32)]), "CBRT": ("cbrt", [f(3, 5)]), "COSINE": ("cos", [f(3, 5)]),
        "EXPONENTIAL": ("exp", [f(3, 5)]), "FLOOR": ("floor", [f(3, 5)]), "LOG": ("log", [f(3, 5, **positive)]),
        "LOGISTIC": ("logistic", [f(3, 5)]), "NEGATE": ("neg", [f(3, 5), T((5,), I8)]),
        "RSQRT": ("rsqrt", [f(3, 5, **positive)]), "TANH": ("tanh", [f(0, 5), f(3, 5), T((5,), F64)]),
    }  # fmt: skip
    for name, (function, tensors) in unary.items():
        for x in tensors:
            label = f"{np.dtype(x.dtype).name}-{x.shape[0]}"
            yield _case(name, [x], [x], lambda lax, a, g=function: getattr(lax, g)(a), label)
    numbers = [f(3, 5), T((5,), I32), T((5,), U8, low=1, high=255)]
    binary = {
        "ADD": "add", "DIVIDE": "div", "MAXIMUM": "max", "MINIMUM": "min", "MULTIPLY": "mul", "REMAINDER": "rem",
        "SUBTRACT": "sub",
    }  # fmt: skip
    for name, function in binary.items():
        for x in numbers:
            y = T(x.shape, x.dtype, low=1.0, high=9.0)
            label = np.dtype(x.dtype).name
            yield _case(name, [x, y], [x], lambda lax, p, q, g=function: getattr(lax, g)(p, q), label)
    yield _case("POWER", [f(7, **positive), f(7)], [f(7)], lambda lax, p, q: lax.pow(p, q))
    for name, function in (("AND", "bitwise_and"), ("OR", "bitwise_or")):
        for dtype in (BOOL, I32):
            x = T((9,), dtype)
            label = np.dtype(dtype).name
            yield _case(name, [x, x], [x], lambda lax, p, q, g=function: getattr(lax, g)(p, q), label)
    amounts = T((9,), I32, low=0, high=40)
    yield _case("SHIFT_LEFT", [T((9,), I32), amounts], [amounts], lambda lax, p, q: lax.shift_left(p, q))
    yield _case(
        "CLAMP", [f(9, low=-2, high=-1), f(9), f(9, low=0, high=1)], [f(9)], lambda lax, a, x, c: lax.clamp(a, x, c)
    )
    yield _case("SELECT", [T((9,), BOOL), f(9), f(9)], [f(9)], lambda lax, c, p, q: lax.select(c, p, q))
    for number, name in enumerate(("eq", "ne", "ge", "gt", "le", "lt")):
        for kind, x in ((1, f(17)), (3, T((17,), I32)), (4, T((17,), U8, low=0, high=255)), (0, T((17,), BOOL))):
            yield _case(
                "COMPARE", [x, x], [T((17,), BOOL)], lambda lax, p, q, g=name: getattr(lax, g)(p, q),
                f"{name}-{np.dtype(x.dtype).name}", ComparisonDirection=number, CompareType=kind,
            )  # fmt: skip
    for source, target in ((F, I32), (I32, F), (F, BOOL), (U8, F), (I8, I64), (F, np.float16)):
        yield _case(
            "CONVERT", [T((3, 5), source)], [T((3, 5), target)],
            lambda lax, x, t=target: lax.convert_element_type(x, t), f"{np.dtype(source).name}-{np.dtype(target).name}",
        )  # fmt: skip


def _shapes() -> Iterator[Case]:
    for axis in (0, 1):
        made = T((3, 5), I32)
        yield _case(
            "IOTA", [], [made], lambda lax, a=axis: lax.broadcasted_iota(I32, (3, 5), a), f"{axis}", IotaDimension=axis
        )
    yield _case("RESHAPE", [f(3, 4)], [f(2, 6)], lambda lax, x: x.reshape(2, 6))
    yield _case(
        "TRANSPOSE", [f(3, 4, 5)], [f(5, 3, 4)], lambda lax, x: lax.transpose(x, (2, 0, 1)), Permutation=[2, 0, 1]
    )
    yield _case(
        "BROADCAST_IN_DIM", [f(1, 5)], [f(2, 3, 5)], lambda lax, x: lax.broadcast_in_dim(x, (2, 3, 5), (1, 2)),
        BroadcastDimensions=[1, 2],
    )  # fmt: skip
    yield _case(
        "CONCATENATE", [f(2, 3), f(2, 1), f(2, 0)], [f(2, 4)], lambda lax, *x: lax.concatenate(x, 1), Dimension=1
    )
    yield _case(
        "SLICE", [f(7, 9)], [f(2, 3)], lambda lax, x: lax.slice(x, (1, 0), (5, 9), (2, 3)),
        StartIndices=[1, 0], LimitIndices=[5, 9], Strides=[2, 3],
    )  # fmt: skip
    yield _case(
        "PAD", [f(3, 4), scalar(7.5, F)], [f(6, 5)], lambda lax, x, v: lax.pad(x, v, ((1, 0, 1), (-1, 2, 0))),
        EdgePaddingLow=[1, -1], EdgePaddingHigh=[0, 2], InteriorPadding=[1, 0],
    )  # fmt: skip
    start = T((), I32, low=0, high=9)
    yield _case(
        "DYNAMIC_SLICE", [f(7, 9), start, start], [f(3, 4)], lambda lax, x, i, j: lax.dynamic_slice(x, (i, j), (3, 4)),
        SliceSizes=[3, 4],
    )  # fmt: skip
    yield _case(
        "DYNAMIC_UPDATE_SLICE", [f(7, 9), f(3, 4), start, start], [f(7, 9)],
        lambda lax, x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)),
    )  # fmt: skip

    def gather(lax: Any, x: Array, i: Array) -> Any:
        dims = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
        return lax.gather(x, i, dims, (1, 3), mode="clip")

    yield _case(
        "GATHER", [f(7, 5), T((4, 1), I32, low=-2, high=9)], [f(4, 3)], gather,
        OffsetDims=[1], CollapsedSliceDims=[0], StartIndexMap=[0], IndexVectorDim=1, SliceSizes=[1, 3],
    )  # fmt: skip


def _products() -> Iterator[Case]:
    yield _case(
        "DOT_GENERAL", [f(2, 3, 5), f(2, 5, 4)], [f(2, 3, 4)],
        lambda lax, x, y: lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,)))),
        LhsBatchingDimensions=[0], RhsBatchingDimensions=[0],
        LhsContractingDimensions=[2], RhsContractingDimensions=[1],
    )  # fmt: skip
    yield _case(
        "CONVOLUTION", [f(2, 9, 8, 4), f(3, 2, 2, 6)], [f(2, 4, 8, 6)],
        lambda lax, x, w: lax.conv_general_dilated(
            x, w, (2, 1), ((0, 0), (1, 1)), (1, 1), (1, 2), ("NHWC", "HWIO", "NHWC"), feature_group_count=2
        ),
        "grouped",
        WindowStrides=[2, 1], Padding=[0, 0, 1, 1], LhsDilation=[1, 1], RhsDilation=[1, 2],
        InputBatchDimension=0, InputFeatureDimension=3, InputSpatialDimensions=[1, 2],
        KernelInputFeatureDimension=2, KernelOutputFeatureDimension=3, KernelSpatialDimensions=[0, 1],
        OutputBatchDimension=0, OutputFeatureDimension=3, OutputSpatialDimensions=[1, 2],
        FeatureGroupCount=2, BatchGroupCount=1,
    )  # fmt: skip
    yield _case(
        "CONVOLUTION", [f(1, 3, 7), f(5, 3, 4)], [f(1, 5, 16)],
        lambda lax, x, w: lax.conv_general_dilated(
            x, w, (1,), ((3, 3),), (2,), (1,), ("NCH", "OIH", "NCH"), feature_group_count=1
        ),
        "transposed",
        WindowStrides=[1], Padding=[3, 3], LhsDilation=[2], RhsDilation=[1],
        InputBatchDimension=0, InputFeatureDimension=1, InputSpatialDimensions=[2],
        KernelInputFeatureDimension=1, KernelOutputFeatureDimension=0, KernelSpatialDimensions=[2],
        OutputBatchDimension=0, OutputFeatureDimension=1, OutputSpatialDimensions=[2],
        FeatureGroupCount=1, BatchGroupCount=1,
    )  # fmt: skip


def _with_functions() -> Iterator[Case]:
    sums = {"ADD": "add", "MULTIPLY": "mul", "MAXIMUM": "max", "MINIMUM": "min"}
    starts = {"ADD": 0, "MULTIPLY": 1, "MAXIMUM": -9, "MINIMUM": 9}
    for name, function in sums.items():
        for dtype in (F, I32):
            start = scalar(starts[name], dtype)
            yield _case(
                "REDUCE", [T((3, 5, 4), dtype), start], [T((3, 4), dtype)],
                lambda lax, x, v, g=function: lax.reduce(x, v, getattr(lax, g), (1,)),
                f"{name.lower()}-{np.dtype(dtype).name}", [_function(name, dtype)],
                Dimensions=[1], BodySubgraphIndex=1,
            )  # fmt: skip
            yield _case(
                "REDUCE_WINDOW", [T((1, 7, 8, 2), dtype), start], [T((1, 3, 8, 2), dtype)],
                lambda lax, x, v, g=function: lax.reduce_window(
                    x, v, getattr(lax, g), (1, 3, 2, 1), (1, 2, 1, 1), ((0, 0), (0, 0), (1, 0), (0, 0))
                ),
                f"{name.lower()}-{np.dtype(dtype).name}", [_function(name, dtype)],
                WindowDimensions=[1, 3, 2, 1], WindowStrides=[1, 2, 1, 1], BaseDilations=[1] * 4,
                WindowDilations=[1] * 4, Padding=[0, 0, 0, 0, 1, 0, 0, 0], BodySubgraphIndex=1,
            )  # fmt: skip
    yield _case(
        "REDUCE", [T((3, 9), U8, low=0, high=255), scalar(0, U8)], [T((3,), U8)],
        lambda lax, x, v: lax.reduce(x, v, lax.max, (1,)), "max-uint8", [_function("MAXIMUM", U8)],
        Dimensions=[1], BodySubgraphIndex=1,
    )  # fmt: skip

    def scatter(lax: Any, x: Array, i: Array, u: Array) -> Any:
        dims = lax.ScatterDimensionNumbers(
            update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
        )
        return lax.scatter_add(x, i, u, dims, mode="drop")

    yield _case(
        "SCATTER", [f(7, 5), T((4, 1), I32, low=-2, high=9), f(4, 5)], [f(7, 5)], scatter, "add",
        [_function("ADD", F)], UpdateWindowDims=[1], InsertedWindowDims=[0], ScatterDimsToOperandDims=[0],
        IndexVectorDim=1, UpdateComputationSubgraphIndex=1,
    )  # fmt: skip

    def pairs(builder: ModelBuilder) -> None:
        """The comparator of two tensors: by the first."""
        x, y = builder.input("x", (), F), builder.input("y", (), F)
        builder.input("i", (), I32), builder.input("j", (), I32)
        made = builder.tensor("z", (), BOOL)
        table = {"StablehloCompareOptions": {"ComparisonDirection": 5, "CompareType": 1}}
        builder.node("STABLEHLO_COMPARE", [x, y], [made], **table)
        builder.outputs(made)

    yield _case(
        "SORT", [f(3, 17), T((3, 17), I32)], [f(3, 17), T((3, 17), I32)],
        lambda lax, x, i: lax.sort((x, i), dimension=1, num_keys=1), "pairs", [pairs],
        Dimension=1, IsStable=True, ComparatorSubgraphIndex=1,
    )  # fmt: skip
    yield _case(
        "SORT", [T((9, 4), I32)], [T((9, 4), I32)], lambda lax, x: lax.sort(x, dimension=0), "int32",
        [_function("COMPARE", I32, ComparisonDirection=5, CompareType=3)],
        Dimension=0, IsStable=False, ComparatorSubgraphIndex=1,
    )  # fmt: skip

    def below(builder: ModelBuilder) -> None:
        x, limit = builder.input("x", (), F), builder.constant("limit", np.array(50, F))
        made = builder.tensor("z", (), BOOL)
        table = {"StablehloCompareOptions": {"ComparisonDirection": 5, "CompareType": 1}}
        builder.node("STABLEHLO_COMPARE", [x, limit], [made], **table)
        builder.outputs(made)

    def doubled(builder: ModelBuilder) -> None:
        x = builder.input("x", (), F)
        made = builder.tensor("z", (), F)
        builder.node("STABLEHLO_ADD", [x, x], [made])
        builder.outputs(made)

    yield _case(
        "WHILE", [T((), F, value=3.0)], [T((), F)], lambda lax, x: np.asarray(96.0, F), "", [below, doubled],
        CondSubgraphIndex=1, BodySubgraphIndex=2,
    )  # fmt: skip


def _branches() -> Iterator[Case]:
    def scaled(factor: float) -> Callable[[ModelBuilder], None]:
        def build(builder: ModelBuilder) -> None:
            x, k = builder.input("x", (3,), F), builder.constant("k", np.full(3, factor, F))
            made = builder.tensor("z", (3,), F)
            builder.node("STABLEHLO_MULTIPLY", [x, k], [made])
            builder.outputs(made)

        return build

    factors = (2.0, -3.0, 5.0)
    for number in (-1, 0, 1, 2, 7):
        factor = factors[number] if 0 <= number < 3 else factors[-1]
        yield _case(
            "CASE", [T((), I32, value=number), f(3)], [f(3)], lambda lax, i, x, k=factor: x * F(k), f"{number}",
            [scaled(k) for k in factors], BranchSubgraphIndices=[1, 2, 3],
        )  # fmt: skip


def _bits() -> Iterator[Case]:
    """LiteRT has a kernel for these."""
    for algorithm, words in ((1, 3), (1, 2), (2, 2), (0, 2)):
        state = T((words,), np.uint64, value=np.arange(5, 5 + words))
        for count in (8, 7):
            for dtype in (np.uint32, I32, np.uint64):
                made = [T((words,), np.uint64), T((count,), dtype)]
                options = {"StablehloRngBitGeneratorOptions": {"Algorithm": algorithm}}
                name = f"{algorithm}-{words}-{count}-{np.dtype(dtype).name}"
                yield op("STABLEHLO_RNG_BIT_GENERATOR", [state], made, options, name)


def cases() -> Iterator[Case]:
    """All of them."""
    for group in (_elementwise, _shapes, _products, _with_functions, _branches, _bits):
        yield from group()
