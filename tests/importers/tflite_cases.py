"""Models of one TFLite operator each, with inputs: what LiteRT's reference kernels make of them is the right answer.

Integers must agree to the last bit, real numbers within `tolerance`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.importers.model_runner import ModelRunner, difference
from tests.importers.tflite_models import ModelBuilder, Reference

Array = np.ndarray[Any, Any]
F, I8, U8, I16, I32, I64 = np.float32, np.int8, np.uint8, np.int16, np.int32, np.int64


@dataclass(frozen=True)
class Case:
    """A model and inputs.

    Attributes:
      name: of the case: the operator, then what is special.
      build: makes the file and its inputs, from a generator of random numbers.
      tolerance: relative and absolute, for real numbers.
      expected: makes the results of the inputs, for operators that LiteRT has no kernel for.
    """

    name: str
    build: Callable[[np.random.Generator], tuple[bytes, list[Array]]]
    tolerance: float = 2e-5
    expected: Callable[..., Sequence[Array]] | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether it is one of the sixth that every test run takes."""
        return zlib.crc32(self.name.encode()) % 6 == 0

    @property
    def seed(self) -> int:
        """Of the case's random numbers."""
        return zlib.crc32(self.name.encode())

    def check(self, runner: ModelRunner) -> None:
        """Compiles, runs and compares.

        Raises:
          AssertionError: a result is wrong.
          RunFailure: there is none.
        """
        data, inputs = self.build(np.random.default_rng(self.seed))
        # LiteRT's reference kernel for sums of signed integers reads memory that nobody wrote; the other one calculates
        # with f32, which may round to the next integer.
        rough = self.name.startswith(("SUM-int8", "SUM-int16"))
        expected = self.expected(*inputs) if self.expected else Reference(data, plain=rough)(*inputs)
        results = runner.run(data, inputs)
        assert len(results) == len(expected)
        for i, (want, got) in enumerate(zip(expected, results, strict=True)):
            if rough:
                assert np.abs(want.astype(np.int64) - got).max() <= 1
                continue
            wrong = difference(want, got, self.tolerance, self.tolerance)
            assert wrong is None, f"output {i}: {wrong}"


@dataclass(frozen=True)
class T:
    """A tensor of a case: `value` is an array, or None for random numbers."""

    shape: tuple[int, ...]
    dtype: Any = F
    scale: float | Sequence[float] = ()
    zero: int | Sequence[int] = 0
    axis: int = 0
    value: Any = None
    constant: bool = False
    low: float = -3.0
    high: float = 3.0

    def array(self, rng: np.random.Generator) -> Array:
        """Its elements."""
        if self.value is not None:
            return np.asarray(self.value, self.dtype).reshape(self.shape)
        dtype = np.dtype(self.dtype)
        if dtype == np.bool_:
            return rng.integers(0, 2, self.shape).astype(dtype)
        if dtype.kind in "iu":
            quantized = self.scale != ()
            info = np.iinfo(dtype)
            low, high = (info.min, int(info.max) + 1) if quantized else (int(self.low), int(self.high) + 1)
            return rng.integers(max(low, info.min), high, self.shape).astype(dtype)
        if dtype.kind == "c":
            return (rng.normal(size=self.shape) + 1j * rng.normal(size=self.shape)).astype(dtype)
        return rng.uniform(self.low, self.high, self.shape).astype(dtype)


def q8(*shape: int, scale: float = 0.05, zero: int = -3, **more: Any) -> T:
    """A tensor of int8."""
    return T(shape, I8, scale, zero, **more)


def qu8(*shape: int, scale: float = 0.05, zero: int = 120, **more: Any) -> T:
    """A tensor of uint8."""
    return T(shape, U8, scale, zero, **more)


def q16(*shape: int, scale: float = 0.001, **more: Any) -> T:
    """A tensor of int16."""
    return T(shape, I16, scale, 0, **more)


def f(*shape: int, **more: Any) -> T:
    """A tensor of f32."""
    return T(shape, F, **more)


def ints(*values: Any, dtype: Any = I32) -> T:
    """A constant of integers."""
    array = np.array(values, dtype)
    return T(array.shape, dtype, value=array, constant=True)


def scalar(value: Any, dtype: Any = I32) -> T:
    """A constant without axes."""
    return T((), dtype, value=value, constant=True)


def op(
    name: str,
    inputs: Sequence[T | None],
    outputs: Sequence[T],
    options: dict[str, dict[str, Any]] | None = None,
    label: str = "",
    tolerance: float = 2e-5,
    version: int = 1,
    custom: bytes = b"",
    subgraphs: Sequence[Callable[[ModelBuilder], None]] = (),
    expected: Callable[..., Sequence[Array]] | None = None,
) -> Case:
    """The case of one node; `subgraphs` add others, from number 1."""

    def build(rng: np.random.Generator) -> tuple[bytes, list[Array]]:
        builder = ModelBuilder()
        numbers: list[int] = []
        arrays: list[Array] = []
        for i, tensor in enumerate(inputs):
            if tensor is None:
                numbers.append(-1)
                continue
            array = tensor.array(rng)
            quantization = {"scale": tensor.scale, "zero": tensor.zero, "axis": tensor.axis}
            if tensor.constant:
                numbers.append(builder.constant(f"in{i}", array, **quantization))
            else:
                numbers.append(builder.input(f"in{i}", array.shape, tensor.dtype, **quantization))
                arrays.append(array)
        made = [
            builder.tensor(f"out{i}", t.shape, t.dtype, scale=t.scale, zero=t.zero, axis=t.axis)
            for i, t in enumerate(outputs)
        ]
        builder.node(name, numbers, made, version=version, custom=custom, **(options or {}))
        builder.outputs(*made)
        for i, subgraph in enumerate(subgraphs):
            builder.subgraph(f"function{i}")
            subgraph(builder)
        return builder.finish(), arrays

    return Case(f"{name}{'-' if label else ''}{label}", build, tolerance, expected)


def unary(
    name: str,
    *tensors: T,
    out: T | None = None,
    options: dict[str, dict[str, Any]] | None = None,
    label: str = "",
    tolerance: float = 2e-5,
) -> Iterator[Case]:
    """Cases of an operator of one tensor; `out` as the input unless given."""
    for tensor in tensors:
        result = out or T(tensor.shape, tensor.dtype, tensor.scale, tensor.zero)
        kind = np.dtype(tensor.dtype).name
        yield op(name, [tensor], [result], options, f"{kind}{label}", tolerance)


def _elementwise() -> Iterator[Case]:
    act = {n: {"FusedActivationFunction": k} for k, n in enumerate(("none", "relu", "n1", "relu6"))}
    for name, table in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions")):
        for kind, fused in act.items():
            yield op(name, [f(2, 3, 5), f(3, 1)], [f(2, 3, 5)], {table: fused}, f"float-{kind}")
        yield op(name, [T((7,), I32, low=-99, high=99), T((7,), I32)], [T((7,), I32)], {table: {}}, "int32")
        yield op(name, [T((7,), I64, low=-99, high=99), T((7,), I64)], [T((7,), I64)], {table: {}}, "int64")
        for kind, fused in act.items():
            yield op(
                name,
                [q8(2, 31, scale=0.03), q8(2, 31, scale=0.0471, zero=7)],
                [q8(2, 31, scale=0.0613, zero=-20)],
                {table: fused},
                f"int8-{kind}",
            )
        yield op(
            name,
            [q8(2, 31, scale=0.03), q8(31, scale=0.0471, zero=7)],
            [q8(2, 31, scale=0.0613)],
            {table: {}},
            "int8-broadcast",
        )
        yield op(
            name,
            [qu8(2, 31, scale=0.03), qu8(1, 31, scale=0.0471, zero=7)],
            [qu8(2, 31, scale=0.0613)],
            {table: act["relu"]},
            "uint8",
        )
        yield op(
            name,
            [q16(3, 41), q16(3, 41, scale=0.0021)],
            [q16(3, 41, scale=0.0033)],
            {table: {"PotScaleInt16": False} if name != "MUL" else {}},
            "int16",
            version=3,
        )
    yield op("DIV", [f(2, 3, 5), f(3, 1, low=1.0)], [f(2, 3, 5)], {"DivOptions": act["relu6"]}, "float")
    yield op(
        "DIV",
        [T((9,), I32, low=-99, high=99), T((9,), I32, low=1, high=9)],
        [T((9,), I32)],
        {"DivOptions": {}},
        "int32",
    )
    yield op(
        # Quotients near 0 shift by more than 31 bits in the kernel, which means anything.
        "DIV",
        [qu8(97, scale=0.1, zero=20, value=np.arange(150, 247)), qu8(97, scale=0.2, zero=0, value=np.arange(1, 98))],
        [qu8(97, scale=0.03, zero=3)],
        {"DivOptions": {}},
        "uint8",
    )
    yield op("FLOOR_DIV", [f(31), f(31, low=0.5)], [f(31)], {"FloorDivOptions": {}}, "float")
    for name, table in (("FLOOR_DIV", "FloorDivOptions"), ("FLOOR_MOD", "FloorModOptions")):
        divisor = T((8,), I32, value=[3, -3, 2, -2, 7, -7, 1, -1])
        yield op(name, [T((8,), I32, low=-20, high=20), divisor], [T((8,), I32)], {table: {}}, "int32")
    yield op("FLOOR_MOD", [f(31), f(31, low=0.5)], [f(31)], {"FloorModOptions": {}}, "float")
    yield op("POW", [f(31, low=0.1), f(31)], [f(31)], {"PowOptions": {}}, "float")
    yield op("POW", [T((9,), I32), T((9,), I32, low=0, high=7)], [T((9,), I32)], {"PowOptions": {}}, "int32")
    yield op("ATAN2", [f(31), f(31)], [f(31)], {"ATan2Options": {}})
    for name in ("MAXIMUM", "MINIMUM"):
        yield op(name, [f(2, 31), f(31)], [f(2, 31)], {"MaximumMinimumOptions": {}}, "float")
        yield op(name, [T((9,), I32), T((9,), I32)], [T((9,), I32)], {"MaximumMinimumOptions": {}}, "int32")
        yield op(name, [q8(31), q8(31)], [q8(31)], {"MaximumMinimumOptions": {}}, "int8")
    yield op("SQUARED_DIFFERENCE", [f(2, 31), f(31)], [f(2, 31)], {"SquaredDifferenceOptions": {}}, "float")
    yield op(
        "SQUARED_DIFFERENCE", [T((9,), I32), T((9,), I32)], [T((9,), I32)], {"SquaredDifferenceOptions": {}}, "int32"
    )
    yield op(
        "SQUARED_DIFFERENCE",
        [q8(211), q8(211, scale=0.031, zero=7)],
        [q8(211, scale=0.2, zero=-128)],
        {"SquaredDifferenceOptions": {}},
        "int8",
    )
    yield op("ADD_N", [f(3, 5), f(3, 5), f(3, 5)], [f(3, 5)], {"AddNOptions": {}})
    for name, table in (
        ("NEG", "NegOptions"), ("ABS", "AbsOptions"), ("SQUARE", "SquareOptions"), ("SIGN", "SignOptions"),
        ("EXP", "ExpOptions"), ("COS", "CosOptions"),
    ):  # fmt: skip
        yield op(name, [f(3, 37)], [f(3, 37)], {table: {}}, "float")
    for name in ("SIN", "FLOOR", "CEIL"):
        yield op(name, [f(3, 37)], [f(3, 37)], label="float")
    yield op("ROUND", [f(9, value=[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4, -0.6, 3.0])], [f(9)])
    for name in ("LOG", "SQRT", "RSQRT"):
        yield op(name, [f(3, 37, low=0.1)], [f(3, 37)], label="float")
    yield op("ABS", [T((5,), I32)], [T((5,), I32)], {"AbsOptions": {}}, "int32")
    yield op("NEG", [T((5,), I32)], [T((5,), I32)], {"NegOptions": {}}, "int32")
    every8 = {"value": np.arange(-128, 128)}
    every16 = {"value": np.arange(-32768, 32768)}
    yield op("ABS", [q8(256, **every8)], [q8(256, scale=0.08, zero=-128)], {"AbsOptions": {}}, "int8")
    yield op("ABS", [q16(65536, **every16)], [q16(65536, scale=0.002)], {"AbsOptions": {}}, "int16")
    yield op("EXP", [q8(256, **every8)], [q8(256, scale=0.7, zero=-128)], {"ExpOptions": {}}, "int8")
    yield op("EXP", [q16(65536, scale=0.0001, **every16)], [q16(65536, scale=0.001)], {"ExpOptions": {}}, "int16")
    yield op("LOG", [q8(256, zero=-128, **every8)], [q8(256, scale=0.04, zero=20)], label="int8")
    yield op("SQRT", [q8(256, zero=-128, **every8)], [q8(256, scale=0.02, zero=-128)], label="int8")
    yield op("RSQRT", [q8(255, zero=-128, value=np.arange(-127, 128))], [q8(255, scale=0.04, zero=-100)], label="int8")
    yield op("RSQRT", [q16(32767, value=np.arange(1, 32768))], [q16(32767, scale=0.001)], label="int16")


def _activations() -> Iterator[Case]:
    every8 = {"value": np.arange(-128, 128)}
    everyu8 = {"value": np.arange(256)}
    every16 = {"value": np.arange(-32768, 32768)}
    for name in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "ELU"):
        yield op(name, [f(3, 37, low=-8.0, high=8.0)], [f(3, 37)], label="float")
    for name in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"):
        yield op(name, [q8(256, **every8)], [q8(256, scale=0.041, zero=5)], label="int8")
        yield op(name, [qu8(256, **everyu8)], [qu8(256, scale=0.041, zero=15)], label="uint8")
    yield op("ELU", [q8(256, **every8)], [q8(256, scale=0.041, zero=-90)], label="int8")
    for scale in (0.05, 0.0311, 0.2):
        yield op(
            "LOGISTIC", [q8(256, scale=scale, **every8)], [q8(256, scale=1 / 256, zero=-128)], label=f"int8-{scale}"
        )
        yield op("TANH", [q8(256, scale=scale, **every8)], [q8(256, scale=1 / 128, zero=0)], label=f"int8-{scale}")
    yield op("LOGISTIC", [qu8(256, **everyu8)], [qu8(256, scale=1 / 256, zero=0)], label="uint8")
    yield op("TANH", [qu8(256, **everyu8)], [qu8(256, scale=1 / 128, zero=128)], label="uint8")
    for scale in (2.0**-12, 0.0003, 0.00011):
        yield op(
            "LOGISTIC", [q16(65536, scale=scale, **every16)], [q16(65536, scale=1 / 32768)], label=f"int16-{scale}"
        )
    for scale in (2.0**-12, 2.0**-11, 0.0003):
        yield op("TANH", [q16(65536, scale=scale, **every16)], [q16(65536, scale=1 / 32768)], label=f"int16-{scale}")
    hard = {"HardSwishOptions": {}}
    yield op("HARD_SWISH", [f(3, 37, low=-8.0, high=8.0)], [f(3, 37)], hard, "float")
    for scale in (0.05, 0.011, 0.3):
        yield op(
            "HARD_SWISH", [q8(256, scale=scale, **every8)], [q8(256, scale=0.041, zero=-90)], hard, f"int8-{scale}"
        )
    yield op("HARD_SWISH", [qu8(256, **everyu8)], [qu8(256, scale=0.041, zero=9)], hard, "uint8")
    for approximate in (False, True):
        gelu = {"GeluOptions": {"Approximate": approximate}}
        yield op("GELU", [f(3, 37)], [f(3, 37)], gelu, f"float-{approximate}")
        yield op("GELU", [q8(256, **every8)], [q8(256, scale=0.041, zero=-90)], gelu, f"int8-{approximate}")
    leaky = {"LeakyReluOptions": {"Alpha": 0.17}}
    yield op("LEAKY_RELU", [f(3, 37)], [f(3, 37)], leaky, "float")
    yield op("LEAKY_RELU", [q8(256, **every8)], [q8(256, scale=0.041, zero=5)], leaky, "int8")
    yield op("LEAKY_RELU", [qu8(256, **everyu8)], [qu8(256, scale=0.041, zero=15)], leaky, "uint8")
    yield op("LEAKY_RELU", [q16(65536, **every16)], [q16(65536, scale=0.0017)], leaky, "int16")
    yield op("PRELU", [f(2, 4, 5, 3), f(1, 1, 3)], [f(2, 4, 5, 3)], label="float")
    yield op("PRELU", [q8(2, 4, 5, 3), q8(1, 1, 3, scale=0.01)], [q8(2, 4, 5, 3, scale=0.041, zero=5)], label="int8")
    yield op(
        "PRELU", [qu8(2, 4, 5, 3), qu8(1, 1, 3, scale=0.01)], [qu8(2, 4, 5, 3, scale=0.041, zero=15)], label="uint8"
    )


def _normalizations() -> Iterator[Case]:
    for beta in (1.0, 0.7):
        options = {"SoftmaxOptions": {"Beta": beta}}
        yield op("SOFTMAX", [f(3, 4, 37)], [f(3, 4, 37)], options, f"float-{beta}")
        yield op("SOFTMAX", [q8(9, 37)], [q8(9, 37, scale=1 / 256, zero=-128)], options, f"int8-{beta}")
        yield op("SOFTMAX", [qu8(9, 37)], [qu8(9, 37, scale=1 / 256, zero=0)], options, f"uint8-{beta}")
        yield op("SOFTMAX", [q16(9, 37)], [q16(9, 37, scale=1 / 32768)], options, f"int16-{beta}")
        yield op(
            "SOFTMAX",
            [q8(5, 1000, scale=0.11)],
            [q8(5, 1000, scale=1 / 256, zero=-128)],
            options,
            f"int8-wide-{beta}",
        )
    yield op("LOG_SOFTMAX", [f(3, 4, 37)], [f(3, 4, 37)], {"LogSoftmaxOptions": {}}, "float")
    yield op("LOG_SOFTMAX", [q8(9, 37)], [q8(9, 37, scale=16 / 256, zero=127)], {"LogSoftmaxOptions": {}}, "int8")
    yield op("LOG_SOFTMAX", [qu8(9, 37)], [qu8(9, 37, scale=16 / 256, zero=255)], {"LogSoftmaxOptions": {}}, "uint8")
    yield op("L2_NORMALIZATION", [f(3, 37)], [f(3, 37)], {"L2NormOptions": {}}, "float")
    yield op("L2_NORMALIZATION", [q8(13, 37)], [q8(13, 37, scale=1 / 128, zero=0)], {"L2NormOptions": {}}, "int8")
    yield op("L2_NORMALIZATION", [q8(13, 2)], [q8(13, 2, scale=1 / 128, zero=0)], {"L2NormOptions": {}}, "int8-short")
    yield op("L2_NORMALIZATION", [qu8(13, 37)], [qu8(13, 37, scale=1 / 128, zero=128)], {"L2NormOptions": {}}, "uint8")
    lrn = {"LocalResponseNormalizationOptions": {"Radius": 2, "Bias": 1.0, "Alpha": 0.5, "Beta": 0.75}}
    yield op("LOCAL_RESPONSE_NORMALIZATION", [f(2, 3, 4, 9)], [f(2, 3, 4, 9)], lrn)


def _convolutions() -> Iterator[Case]:
    rng = np.random.default_rng(7)

    def filters(*shape: int, axis: int = 0, **more: Any) -> T:
        scales = rng.uniform(0.002, 0.02, shape[axis])
        return T(shape, I8, [float(v) for v in scales], [0] * shape[axis], axis, constant=True, **more)

    def bias(count: int, dtype: Any = I32) -> T:
        return T((count,), dtype, constant=True, low=-3000, high=3000)

    for stride, padding, dilation, fused in ((1, 0, 1, 0), (2, 0, 1, 3), (2, 1, 1, 1), (1, 1, 2, 0), (3, 0, 1, 0)):
        names = {"StrideW": stride, "StrideH": stride, "Padding": padding, "FusedActivationFunction": fused}
        names |= {"DilationWFactor": dilation, "DilationHFactor": dilation}
        h, w = ((-(-d // stride) if padding == 0 else (d - 2 * dilation - 1) // stride + 1) for d in (11, 9))
        label = f"s{stride}p{padding}d{dilation}a{fused}"
        conv = {"Conv2DOptions": names}
        deep = {"DepthwiseConv2DOptions": {**names, "DepthMultiplier": 2}}
        weight = f(7, 3, 3, 4, constant=True, low=-1.0, high=1.0)
        yield op("CONV_2D", [f(2, 11, 9, 4), weight, f(7, constant=True)], [f(2, h, w, 7)], conv, f"float-{label}")
        out = q8(2, h, w, 7, scale=0.21, zero=9)
        yield op("CONV_2D", [q8(2, 11, 9, 4), filters(7, 3, 3, 4), bias(7)], [out], conv, f"int8-{label}")
        out16 = q16(2, h, w, 7, scale=0.005)
        yield op("CONV_2D", [q16(2, 11, 9, 4), filters(7, 3, 3, 4), bias(7, I64)], [out16], conv, f"int16-{label}")
        outu = qu8(2, h, w, 7, scale=0.4, zero=99)
        flat = qu8(7, 3, 3, 4, scale=0.013, zero=131, constant=True)
        yield op("CONV_2D", [qu8(2, 11, 9, 4), flat, bias(7)], [outu], conv, f"uint8-{label}")
        deep_weight = f(1, 3, 3, 8, constant=True)
        yield op(
            "DEPTHWISE_CONV_2D",
            [f(2, 11, 9, 4), deep_weight, f(8, constant=True)],
            [f(2, h, w, 8)],
            deep,
            f"float-{label}",
        )
        out = q8(2, h, w, 8, scale=0.11, zero=9)
        yield op(
            "DEPTHWISE_CONV_2D", [q8(2, 11, 9, 4), filters(1, 3, 3, 8, axis=3), bias(8)], [out], deep, f"int8-{label}"
        )
        out16 = q16(2, h, w, 8, scale=0.005)
        yield op(
            "DEPTHWISE_CONV_2D",
            [q16(2, 11, 9, 4), filters(1, 3, 3, 8, axis=3), bias(8, I64)],
            [out16],
            deep,
            f"int16-{label}",
        )
        outu = qu8(2, h, w, 8, scale=0.4, zero=99)
        flat = qu8(1, 3, 3, 8, scale=0.013, zero=131, constant=True)
        yield op("DEPTHWISE_CONV_2D", [qu8(2, 11, 9, 4), flat, bias(8)], [outu], deep, f"uint8-{label}")
    one = {"Conv2DOptions": {"StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}}
    yield op(
        "CONV_2D",
        [f(1, 5, 6, 8), f(6, 3, 3, 4, constant=True), f(6, constant=True)],
        [f(1, 5, 6, 6)],
        one,
        "float-groups",
    )
    yield op("CONV_2D", [q8(1, 5, 6, 8), filters(6, 3, 3, 4), bias(6)], [q8(1, 5, 6, 6, scale=0.2)], one, "int8-groups")
    yield op("CONV_2D", [f(1, 5, 6, 8), filters(6, 3, 3, 8), f(6, constant=True)], [f(1, 5, 6, 6)], one, "hybrid", 1e-4)
    deep_one = {"DepthwiseConv2DOptions": {"StrideW": 1, "StrideH": 1, "DepthMultiplier": 1}}
    deep_one["DepthwiseConv2DOptions"] |= {"DilationWFactor": 1, "DilationHFactor": 1}
    yield op(
        "DEPTHWISE_CONV_2D",
        [f(2, 5, 6, 8), filters(1, 3, 3, 8, axis=3), f(8, constant=True)],
        [f(2, 5, 6, 8)],
        deep_one,
        "hybrid",
        1e-4,
    )
    for stride, padding, h, w in ((2, 0, 10, 8), (2, 1, 11, 9), (1, 0, 5, 4), (3, 0, 15, 11), (2, 0, 9, 7)):
        names = {"TransposeConvOptions": {"StrideW": stride, "StrideH": stride, "Padding": padding}}
        weight = f(6, 3, 3, 4, constant=True)
        label = f"s{stride}p{padding}-{h}"
        shape = ints(2, h, w, 6)
        ih, iw = ((-(-d // stride) if padding == 0 else (d - 3) // stride + 1) for d in (h, w))
        yield op("TRANSPOSE_CONV", [shape, weight, f(2, ih, iw, 4)], [f(2, h, w, 6)], names, f"float-{label}")
        yield op(
            "TRANSPOSE_CONV",
            [shape, filters(6, 3, 3, 4), q8(2, ih, iw, 4), bias(6)],
            [q8(2, h, w, 6, scale=0.2)],
            names,
            f"int8-{label}",
            version=3,
        )
    yield op(
        "TRANSPOSE_CONV",
        [ints(1, 8, 8, 6), filters(6, 3, 3, 4), q16(1, 4, 4, 4), bias(6, I64)],
        [q16(1, 8, 8, 6, scale=0.005)],
        {"TransposeConvOptions": {"StrideW": 2, "StrideH": 2}},
        "int16",
        version=3,
    )
    for stride, padding in ((1, 0), (2, 1)):
        names = {f"Stride{a}": stride for a in "DHW"} | {f"Dilation{a}Factor": 1 for a in "DHW"} | {"Padding": padding}
        d, h, w = ((-(-n // stride) if padding == 0 else (n - 2) // stride + 1) for n in (5, 6, 7))
        yield op(
            "CONV_3D",
            [f(1, 5, 6, 7, 3), f(2, 2, 2, 3, 4, constant=True), f(4, constant=True)],
            [f(1, d, h, w, 4)],
            {"Conv3DOptions": names},
            f"s{stride}p{padding}",
        )
    yield op(
        "CONV_3D_TRANSPOSE",
        [ints(1, 6, 8, 10, 2), f(2, 2, 2, 2, 3, constant=True), f(1, 3, 4, 5, 3)],
        [f(1, 6, 8, 10, 2)],
        {"Conv3DOptions": {f"Stride{a}": 2 for a in "DHW"} | {f"Dilation{a}Factor": 1 for a in "DHW"}},
    )
    full = {"FullyConnectedOptions": {"FusedActivationFunction": 1}}
    # -128 is no weight of a dynamic-range model: the vectorized kernels take its absolute value in 8 bits.
    narrow = q8(11, 37, zero=0, constant=True, value=rng.integers(-127, 128, (11, 37)))
    keep = {"FullyConnectedOptions": {"KeepNumDims": True}}
    yield op("FULLY_CONNECTED", [f(5, 37), f(11, 37, constant=True), f(11, constant=True)], [f(5, 11)], full, "float")
    yield op("FULLY_CONNECTED", [f(2, 5, 37), f(11, 37, constant=True), None], [f(2, 5, 11)], keep, "float-keep")
    yield op("FULLY_CONNECTED", [f(2, 5, 37), f(11, 37)], [f(10, 11)], full, "float-flat")
    yield op(
        "FULLY_CONNECTED",
        [q8(5, 37), q8(11, 37, zero=0, constant=True), bias(11)],
        [q8(5, 11, scale=0.6)],
        full,
        "int8",
        version=4,
    )
    yield op(
        "FULLY_CONNECTED",
        [q8(5, 37), filters(11, 37), bias(11)],
        [q8(5, 11, scale=0.1)],
        full,
        "int8-channels",
        version=4,
    )
    yield op(
        "FULLY_CONNECTED",
        [qu8(5, 37), qu8(11, 37, zero=101, constant=True), bias(11)],
        [qu8(5, 11, scale=0.9)],
        full,
        "uint8",
    )
    yield op(
        "FULLY_CONNECTED",
        [q16(5, 37), q8(11, 37, zero=0, constant=True), bias(11, I64)],
        [q16(5, 11, scale=0.01)],
        full,
        "int16",
        version=7,
    )
    yield op("FULLY_CONNECTED", [f(5, 37), narrow, f(11, constant=True)], [f(5, 11)], full, "hybrid", 1e-4)
    asymmetric = {"FullyConnectedOptions": {"AsymmetricQuantizeInputs": True}}
    yield op(
        "FULLY_CONNECTED",
        [f(5, 37), narrow, f(11, constant=True)],
        [f(5, 11)],
        asymmetric,
        "hybrid-asymmetric",
        1e-4,
        version=9,
    )
    for adjoint in (False, True):
        names = {"BatchMatMulOptions": {"AdjX": adjoint, "AdjY": adjoint}}
        left, right = ((5, 3), (4, 5)) if adjoint else ((3, 5), (5, 4))
        yield op("BATCH_MATMUL", [f(2, *left), f(2, *right)], [f(2, 3, 4)], names, f"float-{adjoint}")
        yield op("BATCH_MATMUL", [q8(2, *left), q8(1, *right)], [q8(2, 3, 4, scale=0.3)], names, f"int8-{adjoint}")
        yield op("BATCH_MATMUL", [q16(2, *left), q16(2, *right)], [q16(2, 3, 4)], names, f"int16-{adjoint}")
    yield op(
        "BATCH_MATMUL",
        [f(2, 3, 5), q8(5, 4, zero=0, constant=True)],
        [f(2, 3, 4)],
        {"BatchMatMulOptions": {}},
        "hybrid",
        1e-4,
    )


def _pools() -> Iterator[Case]:
    for stride, padding, fused in ((1, 0, 0), (2, 0, 1), (2, 1, 0), (3, 1, 3)):
        names = {"StrideW": stride, "StrideH": stride, "FilterWidth": 3, "FilterHeight": 2}
        names |= {"Padding": padding, "FusedActivationFunction": fused}
        h = -(-11 // stride) if padding == 0 else (11 - 2) // stride + 1
        w = -(-9 // stride) if padding == 0 else (9 - 3) // stride + 1
        pool = {"Pool2DOptions": names}
        for name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
            label = f"s{stride}p{padding}a{fused}"
            yield op(name, [f(2, 11, 9, 5)], [f(2, h, w, 5)], pool, f"float-{label}")
            yield op(name, [q8(2, 11, 9, 5)], [q8(2, h, w, 5)], pool, f"int8-{label}")
            yield op(name, [qu8(2, 11, 9, 5)], [qu8(2, h, w, 5)], pool, f"uint8-{label}")
            yield op(name, [q16(2, 11, 9, 5)], [q16(2, h, w, 5)], pool, f"int16-{label}", version=3)
        yield op("L2_POOL_2D", [f(2, 11, 9, 5)], [f(2, h, w, 5)], pool, f"s{stride}p{padding}")


def _reductions() -> Iterator[Case]:
    for axes, keep in (([1, 2], True), ([1, 2], False), ([-1], False), ([0, 3], True), ([0, 1, 2, 3], False)):
        kept = [d for i, d in enumerate((2, 4, 5, 3)) if i not in [a % 4 for a in axes]]
        shape = [1 if i in [a % 4 for a in axes] else d for i, d in enumerate((2, 4, 5, 3))] if keep else kept
        options = {"ReducerOptions": {"KeepDims": keep}}
        label = "".join(map(str, axes)) + ("k" if keep else "")
        for name in ("MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN"):
            yield op(name, [f(2, 4, 5, 3), ints(*axes)], [f(*shape)], options, f"float-{label}", 1e-4)
            if name in ("MEAN", "SUM"):
                out = q8(*shape, scale=0.061 if name == "MEAN" else 0.31, zero=5)
                yield op(name, [q8(2, 4, 5, 3), ints(*axes)], [out], options, f"int8-{label}")
                out = qu8(*shape, scale=0.061 if name == "MEAN" else 0.31, zero=115)
                yield op(name, [qu8(2, 4, 5, 3), ints(*axes)], [out], options, f"uint8-{label}")
                out = q16(*shape, scale=0.0011 if name == "MEAN" else 0.0071)
                yield op(name, [q16(2, 4, 5, 3), ints(*axes)], [out], options, f"int16-{label}")
            elif name != "REDUCE_PROD":
                yield op(name, [q8(2, 4, 5, 3), ints(*axes)], [q8(*shape)], options, f"int8-{label}")
    product = q8(7, 3, scale=0.02, zero=4)
    yield op("REDUCE_PROD", [product, ints(1)], [q8(7, scale=0.1, zero=-3)], {"ReducerOptions": {}}, "int8")
    yield op("MEAN", [q8(2, 4, 5, 3), ints(1, 2)], [q8(2, 3)], {"ReducerOptions": {}}, "int8-same-scale")
    yield op("MEAN", [T((3, 5), I32, low=-90, high=90), ints(1)], [T((3,), I32)], {"ReducerOptions": {}}, "int32")
    yield op("SUM", [T((3, 5), I32, low=-90, high=90), ints(1)], [T((3,), I32)], {"ReducerOptions": {}}, "int32")
    for name in ("REDUCE_ANY", "REDUCE_ALL"):
        yield op(name, [T((9, 3), np.bool_), ints(1)], [T((9,), np.bool_)], {"ReducerOptions": {}})


def _shapes() -> Iterator[Case]:
    yield op("RESHAPE", [f(2, 6), ints(3, -1)], [f(3, 4)], {"ReshapeOptions": {"NewShape": [3, -1]}})
    yield op("RESHAPE", [f(2, 6)], [f(3, 4)], {"ReshapeOptions": {"NewShape": [3, 4]}}, "option")
    yield op("SQUEEZE", [f(1, 3, 1, 2)], [f(3, 1, 2)], {"SqueezeOptions": {"SqueezeDims": [0]}})
    yield op("SQUEEZE", [f(1, 3, 1, 2)], [f(3, 2)], {"SqueezeOptions": {}}, "all")
    yield op("EXPAND_DIMS", [f(3, 2), scalar(-1)], [f(3, 2, 1)], {"ExpandDimsOptions": {}})
    yield op("TRANSPOSE", [f(2, 3, 4), ints(2, 0, 1)], [f(4, 2, 3)], {"TransposeOptions": {}})
    yield op("TRANSPOSE", [q8(2, 3, 4), ints(2, 0, 1)], [q8(4, 2, 3)], {"TransposeOptions": {}}, "int8")
    yield op("SHAPE", [f(2, 3, 4)], [T((3,), I32)], {"ShapeOptions": {"OutType": 2}})
    yield op("RANK", [f(2, 3, 4)], [T((), I32)], {"RankOptions": {}})
    concat = {"ConcatenationOptions": {"Axis": -1}}
    yield op("CONCATENATION", [f(2, 3), f(2, 1), f(2, 4)], [f(2, 8)], concat, "float")
    yield op("CONCATENATION", [q8(2, 3), q8(2, 5)], [q8(2, 8)], concat, "int8")
    scaled = [qu8(2, 33, scale=0.013, zero=3), qu8(2, 55, scale=0.044, zero=77)]
    yield op("CONCATENATION", scaled, [qu8(2, 88, scale=0.039, zero=12)], concat, "uint8-scales")
    yield op("PACK", [f(2, 3), f(2, 3)], [f(2, 2, 3)], {"PackOptions": {"ValuesCount": 2, "Axis": 1}})
    yield op("UNPACK", [f(2, 3)], [f(2), f(2), f(2)], {"UnpackOptions": {"Num": 3, "Axis": -1}})
    yield op("SPLIT", [scalar(1), f(2, 6)], [f(2, 2), f(2, 2), f(2, 2)], {"SplitOptions": {"NumSplits": 3}})
    yield op(
        "SPLIT_V",
        [f(2, 6), ints(1, -1, 2), scalar(1)],
        [f(2, 1), f(2, 3), f(2, 2)],
        {"SplitVOptions": {"NumSplits": 3}},
    )
    yield op("TILE", [f(2, 3), ints(2, 3)], [f(4, 9)], {"TileOptions": {}})
    yield op("BROADCAST_TO", [f(3, 1), ints(2, 3, 4)], [f(2, 3, 4)], {"BroadcastToOptions": {}}, version=3)
    yield op("BROADCAST_ARGS", [ints(3, 1), ints(2, 1, 4)], [T((3,), I32)])
    yield op("FILL", [ints(2, 3), T((), F)], [f(2, 3)], {"FillOptions": {}})
    yield op("ZEROS_LIKE", [f(2, 3)], [f(2, 3)], {"ZerosLikeOptions": {}})
    yield op("RANGE", [scalar(2), scalar(11), scalar(3)], [T((3,), I32)], {"RangeOptions": {}}, "int32")
    yield op("RANGE", [scalar(9), scalar(2), scalar(-2)], [T((4,), I32)], {"RangeOptions": {}}, "int32-down")
    yield op("RANGE", [scalar(0.5, F), scalar(3.1, F), scalar(0.3, F)], [f(9)], {"RangeOptions": {}}, "float")
    yield op("SLICE", [f(4, 5), ints(1, 2), ints(2, -1)], [f(2, 3)], {"SliceOptions": {}})
    strided = (
        ([1, 0], [3, 5], [1, 2], {}, (2, 3)),
        ([-1, 4], [0, 0], [-1, -2], {"EndMask": 1}, (4, 2)),
        ([1, 1], [2, 4], [1, 1], {"ShrinkAxisMask": 1}, (3,)),
        ([0, 1], [0, 3], [1, 1], {"EllipsisMask": 1}, (4, 2)),
        ([0, 1, 1], [0, 3, 4], [1, 1, 1], {"NewAxisMask": 1}, (1, 2, 3)),
        ([9, 0], [9, 9], [1, 1], {"BeginMask": 1, "EndMask": 2}, (4, 5)),
        ([-3, 1], [2, 2], [1, 1], {"Offset": True}, (2, 2)),
        ([1, -2], [2, -1], [1, 1], {"ShrinkAxisMask": 3}, ()),
    )
    for i, (begin, end, step, masks, shape) in enumerate(strided):
        sizes = [ints(*v) for v in (begin, end, step)]
        yield op("STRIDED_SLICE", [f(4, 5), *sizes], [f(*shape)], {"StridedSliceOptions": masks}, str(i), version=8)
    amounts = ints([1, 2], [0, 3])
    yield op("PAD", [f(2, 3), amounts], [f(5, 6)], {"PadOptions": {}}, "float")
    yield op("PAD", [q8(2, 3), amounts], [q8(5, 6)], {"PadOptions": {}}, "int8")
    yield op("PADV2", [f(2, 3), amounts, scalar(1.5, F)], [f(5, 6)], {"PadV2Options": {}})
    for mode in (0, 1):
        mirror = {"MirrorPadOptions": {"Mode": mode}}
        yield op("MIRROR_PAD", [f(3, 4), ints([1, 2], [2, 3])], [f(6, 9)], mirror, str(mode))
    yield op("REVERSE_V2", [f(2, 3, 4), ints(1)], [f(2, 3, 4)], {"ReverseV2Options": {}})
    reverse = {"ReverseSequenceOptions": {"SeqDim": 1, "BatchDim": 0}}
    yield op("REVERSE_SEQUENCE", [f(3, 5, 2), ints(1, 4, 5, dtype=I64)], [f(3, 5, 2)], reverse)
    yield op("SPACE_TO_DEPTH", [f(1, 4, 6, 3)], [f(1, 2, 3, 12)], {"SpaceToDepthOptions": {"BlockSize": 2}})
    yield op("DEPTH_TO_SPACE", [f(1, 2, 3, 12)], [f(1, 4, 6, 3)], {"DepthToSpaceOptions": {"BlockSize": 2}})
    padding = ints([0, 1], [1, 0])
    yield op("SPACE_TO_BATCH_ND", [f(2, 3, 5, 4), ints(2, 3), padding], [f(12, 2, 2, 4)], {"SpaceToBatchNDOptions": {}})
    yield op(
        "SPACE_TO_BATCH_ND",
        [q8(2, 3, 5, 4), ints(2, 3), padding],
        [q8(12, 2, 2, 4)],
        {"SpaceToBatchNDOptions": {}},
        "int8",
    )
    yield op("BATCH_TO_SPACE_ND", [f(12, 2, 2, 4), ints(2, 3), padding], [f(2, 3, 5, 4)], {"BatchToSpaceNDOptions": {}})
    yield op("DILATE", [f(2, 3), ints(2, 3), scalar(-1.0, F)], [f(3, 7)], {"DilateOptions": {}})
    for source, target in (
        (F, I32),
        (F, I64),
        (I32, F),
        (np.bool_, F),
        (F, np.bool_),
        (I64, I32),
        (I8, F),
        (F, U8),
        (I32, I16),
    ):
        names = {"CastOptions": {}}
        low = 0.0 if target == U8 else -3.0
        label = f"{np.dtype(source).name}-{np.dtype(target).name}"
        yield op("CAST", [T((3, 5), source, low=low)], [T((3, 5), target)], names, label)
    yield op("BITCAST", [f(3, 5)], [T((3, 5), I32)], {"BitcastOptions": {}})


def _indexing() -> Iterator[Case]:
    for axis in (0, 1, -1):
        count = (4, 5, 3)[axis]
        indices = T((2, 3), I32, low=0, high=count - 1)
        shape = [4, 5, 3]
        shape[axis : axis + 1 or None] = [2, 3]
        yield op("GATHER", [f(4, 5, 3), indices], [f(*shape)], {"GatherOptions": {"Axis": axis}}, str(axis))
    batched = {"GatherOptions": {"Axis": 1, "BatchDims": 1}}
    yield op("GATHER", [f(2, 5, 3), T((2, 4), I32, low=0, high=4)], [f(2, 4, 3)], batched, "batch")
    yield op("GATHER_ND", [f(4, 5, 3), T((6, 2), I32, low=0, high=3)], [f(6, 3)], {"GatherNdOptions": {}})
    yield op("EMBEDDING_LOOKUP", [T((6,), I32, low=0, high=9), f(10, 5)], [f(6, 5)])
    yield op("EMBEDDING_LOOKUP", [T((6,), I32, low=0, high=9), q8(10, 5, zero=0)], [f(6, 5)], label="hybrid")
    scattered = [T((6, 1), I32, low=0, high=3), f(6, 3), ints(4, 3)]
    yield op("SCATTER_ND", scattered, [f(4, 3)], {"ScatterNdOptions": {}})
    dense = [ints([0, 1], [2, 3]), ints(4, 5), ints(7, 9), scalar(-1)]
    yield op("SPARSE_TO_DENSE", dense, [T((4, 5), I32)], {"SparseToDenseOptions": {}})
    sliced = [f(4, 5), f(2, 3), T((2,), I32, value=[1, 9])]
    yield op("DYNAMIC_UPDATE_SLICE", sliced, [f(4, 5)], {"DynamicUpdateSliceOptions": {}})
    for axis, shape in ((-1, (7, 4)), (0, (4, 7))):
        hot = [T((7,), I32, low=-1, high=5), scalar(4), scalar(2.0, F), scalar(-1.0, F)]
        yield op("ONE_HOT", hot, [f(*shape)], {"OneHotOptions": {"Axis": axis}}, str(axis))
    yield op("TOPK_V2", [f(3, 17), scalar(5)], [f(3, 5), T((3, 5), I32)], {"TopKV2Options": {}})
    ties = T((2, 9), F, value=[[1, 2, 2, 0, 2, 1, 0, 1, 2], [0] * 9])
    yield op("TOPK_V2", [ties, scalar(4)], [f(2, 4), T((2, 4), I32)], {"TopKV2Options": {}}, "ties")
    for name, table in (("ARG_MAX", "ArgMaxOptions"), ("ARG_MIN", "ArgMinOptions")):
        for kind in (I32, I64):
            names = {table: {"OutputType": 2 if kind == I32 else 4}}
            yield op(name, [f(3, 17), scalar(-1)], [T((3,), kind)], names, np.dtype(kind).name)
        yield op(name, [q8(9, 17), scalar(0)], [T((17,), I32)], {table: {"OutputType": 2}}, "int8")
    for exclusive in (False, True):
        for backwards in (False, True):
            names = {"CumsumOptions": {"Exclusive": exclusive, "Reverse": backwards}}
            yield op("CUMSUM", [f(3, 7), scalar(1)], [f(3, 7)], names, f"{exclusive}-{backwards}")
    yield op(
        "UNIQUE", [T((19,), I32, low=0, high=9)], [T((10,), I32), T((19,), I32)], {"UniqueOptions": {"IdxOutType": 2}}
    )
    yield op("WHERE", [T((5, 7), np.bool_)], [T((35, 2), I64)], {"WhereOptions": {}})
    yield op("SEGMENT_SUM", [f(7, 3), ints(0, 0, 1, 1, 1, 2, 2)], [f(3, 3)], {"SegmentSumOptions": {}})
    for name in ("SUM", "PROD", "MAX", "MIN"):
        label = f"UNSORTED_SEGMENT_{name}"
        table = f"UnsortedSegment{name.capitalize()}Options"
        yield op(label, [f(7, 3), ints(2, 0, 1, 3, 1, 3, 0), scalar(5)], [f(5, 3)], {table: {}})
    yield op("MATRIX_DIAG", [f(3, 4)], [f(3, 4, 4)], {"MatrixDiagOptions": {}})
    yield op("MATRIX_SET_DIAG", [f(3, 4, 5), f(3, 4)], [f(3, 4, 5)], {"MatrixSetDiagOptions": {}})
    yield op("BUCKETIZE", [f(31)], [T((31,), I32)], {"BucketizeOptions": {"Boundaries": [-2.0, -0.5, 1.0, 2.5]}})
    table = [ints(11, 5, 7), ints(3, 5, 7, 9), f(4, 6)]
    yield op("HASHTABLE_LOOKUP", table, [f(3, 6), T((3,), U8)])


def _logic() -> Iterator[Case]:
    for name, table in (
        ("EQUAL", "EqualOptions"), ("NOT_EQUAL", "NotEqualOptions"), ("LESS", "LessOptions"),
        ("LESS_EQUAL", "LessEqualOptions"), ("GREATER", "GreaterOptions"), ("GREATER_EQUAL", "GreaterEqualOptions"),
    ):  # fmt: skip
        result = T((3, 17), np.bool_)
        yield op(name, [T((3, 17), I32), T((17,), I32)], [result], {table: {}}, "int32")
        yield op(name, [f(3, 17), f(17)], [result], {table: {}}, "float")
        yield op(name, [q8(3, 17, scale=0.1, low=0), q8(17, scale=0.07, zero=5)], [result], {table: {}}, "int8")
    for name, table in (("LOGICAL_AND", "LogicalAndOptions"), ("LOGICAL_OR", "LogicalOrOptions")):
        yield op(name, [T((3, 17), np.bool_), T((17,), np.bool_)], [T((3, 17), np.bool_)], {table: {}})
    yield op("LOGICAL_NOT", [T((17,), np.bool_)], [T((17,), np.bool_)], {"LogicalNotOptions": {}})
    wide = T((17,), I32, low=-(2**30), high=2**30)
    yield op("BITWISE_XOR", [wide, wide], [T((17,), I32)], {"BitwiseXorOptions": {}})
    yield op("RIGHT_SHIFT", [wide, T((17,), I32, low=0, high=31)], [T((17,), I32)], {"RightShiftOptions": {}})
    chosen = [T((3, 5), np.bool_), f(3, 5), f(3, 5)]
    yield op("SELECT", chosen, [f(3, 5)], {"SelectOptions": {}})
    yield op("SELECT", [T((3,), np.bool_), f(3, 5), f(3, 5)], [f(3, 5)], {"SelectOptions": {}}, "rows")
    yield op("SELECT_V2", [T((3, 1), np.bool_), f(3, 5), f(5)], [f(3, 5)], {"SelectV2Options": {}})


def _resizing() -> Iterator[Case]:
    for corners, centers in ((False, False), (True, False), (False, True)):
        flags = {"AlignCorners": corners, "HalfPixelCenters": centers}
        for h, w in ((7, 11), (3, 2)):
            size = ints(h, w)
            label = f"{corners}-{centers}-{h}"
            linear = {"ResizeBilinearOptions": flags}
            yield op("RESIZE_BILINEAR", [f(2, 5, 4, 3), size], [f(2, h, w, 3)], linear, f"float-{label}")
            yield op("RESIZE_BILINEAR", [q8(2, 5, 4, 3), size], [q8(2, h, w, 3)], linear, f"int8-{label}")
            yield op("RESIZE_BILINEAR", [qu8(2, 5, 4, 3), size], [qu8(2, h, w, 3)], linear, f"uint8-{label}")
            yield op("RESIZE_BILINEAR", [q16(2, 5, 4, 3), size], [q16(2, h, w, 3)], linear, f"int16-{label}")
            near = {"ResizeNearestNeighborOptions": flags}
            yield op("RESIZE_NEAREST_NEIGHBOR", [f(2, 5, 4, 3), size], [f(2, h, w, 3)], near, f"float-{label}")
            yield op("RESIZE_NEAREST_NEIGHBOR", [q8(2, 5, 4, 3), size], [q8(2, h, w, 3)], near, f"int8-{label}")


def _quantization() -> Iterator[Case]:
    wide = {"low": -9.0, "high": 9.0}
    yield op("QUANTIZE", [f(3, 97, **wide)], [q8(3, 97)], {"QuantizeOptions": {}}, "int8")
    yield op("QUANTIZE", [f(3, 97, **wide)], [qu8(3, 97)], {"QuantizeOptions": {}}, "uint8")
    yield op("QUANTIZE", [f(3, 97, **wide)], [q16(3, 97)], {"QuantizeOptions": {}}, "int16")
    edges = [1e6, -1e6, 300.0, -300.0, 0.025, -0.025, 0.075, 6.4, -6.4, 0.0]
    yield op("QUANTIZE", [f(10, value=edges)], [q8(10, zero=0)], {"QuantizeOptions": {}}, "edges")
    for source in (
        q8(256, value=np.arange(-128, 128)),
        qu8(256, value=np.arange(256)),
        q16(65536, value=np.arange(-32768, 32768)),
    ):
        count = source.shape[0]
        for target in (q8(count, scale=0.071, zero=9), qu8(count, scale=0.03, zero=77), q16(count, scale=0.0007)):
            label = f"{np.dtype(source.dtype).name}-{np.dtype(target.dtype).name}"
            if {"uint8", "int16"} != {np.dtype(source.dtype).name, np.dtype(target.dtype).name}:
                yield op("QUANTIZE", [source], [target], {"QuantizeOptions": {}}, f"again-{label}")
    yield op("QUANTIZE", [q8(99, zero=-3)], [qu8(99, zero=125)], {"QuantizeOptions": {}}, "again-sign")
    yield op("DEQUANTIZE", [q8(3, 97)], [f(3, 97)], {"DequantizeOptions": {}}, "int8")
    yield op("DEQUANTIZE", [qu8(3, 97)], [f(3, 97)], {"DequantizeOptions": {}}, "uint8")
    yield op("DEQUANTIZE", [q16(3, 97)], [f(3, 97)], {"DequantizeOptions": {}}, "int16")
    yield op("DEQUANTIZE", [T((3, 97), np.float16, constant=True)], [f(3, 97)], {"DequantizeOptions": {}}, "float16")
    channels = T((3, 97), I8, [0.1, 0.2, 0.3], [1, -2, 3], 0, constant=True)
    yield op("DEQUANTIZE", [channels], [f(3, 97)], {"DequantizeOptions": {}}, "channels", version=5)
    fake = {"FakeQuantOptions": {"Min": -1.7, "Max": 2.1, "NumBits": 8}}
    yield op("FAKE_QUANT", [f(3, 97)], [f(3, 97)], fake)


GROUPS = (
    _elementwise, _activations, _normalizations, _convolutions, _pools, _reductions, _shapes, _indexing, _logic,
    _resizing, _quantization,
)  # fmt: skip


def cases() -> Iterator[Case]:
    """All cases."""
    from tests.importers import tflite_detection_cases, tflite_random_cases, tflite_stablehlo_cases

    for group in GROUPS:
        yield from group()
    for module in (tflite_detection_cases, tflite_random_cases, tflite_stablehlo_cases):
        yield from module.cases()


def parameters(sampled_only: bool) -> list[Any]:
    """Cases as parameters of a test."""
    return [pytest.param(case, id=case.name) for case in cases() if case.is_sampled or not sampled_only]
