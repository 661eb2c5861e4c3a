"""Tensor builders against numpy, at static and dynamic extents, and the arithmetic of symbolic extents."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlirage.input import builders as b
from mlirage.input.builders import dims, ordering, scattering
from mlirage.input.builders import scalar as s
from mlirage.input.builders.dims import AtomTable
from mlirage.mlir import func, ir, new_context
from mlirage.program import Program
from tests.importers.reference_runner import run_program

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)


def program_of(build: Callable[..., list[b.Tensor]], inputs: list[Array], dynamic: bool) -> Program:
    """A program whose `main` is `build`, its extents all dynamic or all static."""
    program = Program(ir.Module.create(ir.Location.unknown(new_context())))
    unknown = ir.ShapedType.get_dynamic_size()
    with program.context, ir.Location.name("test"):
        kinds = [
            ir.RankedTensorType.get([unknown] * x.ndim if dynamic else x.shape, b.element_type(x.dtype)) for x in inputs
        ]
        with ir.InsertionPoint(program.module.body):
            main = func.FuncOp("main", ir.FunctionType.get(kinds, []))
        entry = main.add_entry_block()
        builder = b.TensorBuilder(program.module, entry, program.constants)
        with builder.active(), builder.block(entry):
            arguments = [b.Tensor.from_value(v, x.dtype) for v, x in zip(entry.arguments, inputs, strict=True)]
            results = build(*arguments)
            values = [r.value for r in results]
            func.ReturnOp(values)
            builder.finish()
        main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, [v.type for v in values]))
        entries = [
            f'{{"dtype": "{r.dtype.name}", "shape": {[None] * r.rank}}}'.replace("None", "null") for r in results
        ]
        main.attributes["mlirage.signature"] = ir.StringAttr.get(f'{{"results": [{", ".join(entries)}]}}')
    program.module.operation.verify()
    return program


def check(build: Callable[..., Any], wanted: Array, *inputs: Array, rtol: float = 1e-5) -> None:
    """The result equals numpy's, whether extents are known or not."""
    for dynamic in (False, True):
        (got,) = run_program(program_of(lambda *x: [build(*x)], list(inputs), dynamic), list(inputs))
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=1e-6)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 1), (1, 5)), ((2, 3, 1), (7,)), ((), (4,)), ((0, 3), (1, 3)), ((1,), (1,))],
)
def test_broadcasting(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = floats(*left), floats(*right)
    check(b.add, x + y, x, y)


def test_integer_division_rounds_towards_zero_and_never_traps() -> None:
    x = np.array([7, -7, 7, -7, 5, -(2**31)], np.int32)
    y = np.array([2, 2, -2, -2, 0, -1], np.int32)
    check(b.divide, np.array([3, -3, -3, 3, 0, -(2**31)], np.int32), x, y)


def test_nan_in_comparisons() -> None:
    x = np.array([np.nan, 1, np.inf, -np.inf, np.nan], np.float32)
    y = np.array([1, np.nan, np.nan, 2, np.nan], np.float32)
    check(b.maximum, np.maximum(x, y), x, y)
    check(b.minimum, np.minimum(x, y), x, y)
    check(b.less, x < y, x, y)
    check(lambda a, c: b.map_(lambda p, q: p.ne(q), a, c, dtype=b.BOOL), x != y, x, y)


@pytest.mark.parametrize(
    "source", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.uint8, np.int64]
)
def test_casts(source: Any) -> None:
    """To all kinds of types at once; negative numbers only to those that have them."""
    signed = np.dtype(source).kind != "u"
    x = np.array([0, -0.0, 1, -1.5, 3.5, 100.7, -7.9] if signed else [0, 1, 2, 3.5, 100.7, 65.5]).astype(source)
    targets: list[Any] = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int32, np.int8, np.bool_]
    targets += [] if signed else [np.uint16, np.uint64]
    results = run_program(program_of(lambda a: [b.cast(a, np.dtype(t)) for t in targets], [x], True), [x])
    for target, got in zip(targets, results, strict=True):
        assert got.dtype == target
        np.testing.assert_array_equal(got.astype(np.float64), x.astype(target).astype(np.float64))


def test_f64_to_f16_rounds_once() -> None:
    x = np.array([1 + 2**-11 + 2**-40, 1 + 2**-11, 1 + 3 * 2**-11 - 2**-40, 65519.999, 1e-8, -1e300])
    with np.errstate(over="ignore"):
        check(lambda a: b.cast(a, np.dtype(np.float16)), x.astype(np.float16), x)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_every_8_bit_float(name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    codes = np.arange(256, dtype=np.uint8).view(dtype)
    check(lambda a: b.cast(a, b.FLOAT32), codes.astype(np.float32), codes)
    largest = float(ml_dtypes.finfo(dtype).max)
    x = np.concatenate([RNG.standard_normal(500), [0, largest, largest / 2, 1e-3, 2**-9, 2**-10, 3 * 2**-11]])
    x = x.astype(np.float32)
    check(lambda a: b.cast(a, dtype), x.astype(dtype), x)


@pytest.mark.parametrize(
    ("shape", "target"),
    [((6, 4), (3, 8)), ((2, 3, 4), (24,)), ((24,), (2, 1, 12)), ((1, 1), ()), ((), (1, 1)), ((4, 1, 6), (2, 2, 3, 2))],
)
def test_reshape(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    x = floats(*shape)
    check(lambda a: b.reshape(a, target), x.reshape(target), x)


def test_reshape_splits_symbolic_extents_without_checks() -> None:
    x = floats(2, 5, 24)

    def build(a: b.Tensor) -> list[b.Tensor]:
        batch, length, _ = a.shape
        return [b.reshape(b.transpose(b.reshape(a, (batch, length, 4, 6)), [0, 2, 1, 3]), (batch * 4, length, 6))]

    program = program_of(lambda a: build(b.Tensor.from_value(a.value, a.dtype, [*a.shape[:2], 24])), [x], True)
    assert "cf.assert" not in str(program.module)
    (got,) = run_program(program, [x])
    np.testing.assert_array_equal(got, x.reshape(2, 5, 4, 6).transpose(0, 2, 1, 3).reshape(8, 5, 6))


def test_movement() -> None:
    x = floats(3, 4, 5)
    check(lambda a: b.transpose(a, [2, 0, 1]), x.transpose(2, 0, 1), x)
    check(lambda a: b.reverse(a, [0, 2]), np.flip(x, (0, 2)), x)
    check(lambda a: b.tile(a, [2, 1, 3]), np.tile(x, (2, 1, 3)), x)
    check(lambda a: b.concatenate([a, a, a], 1), np.concatenate([x, x, x], 1), x)
    check(lambda a: b.slice_(a, [1, 0, 2], [2, 2, 2], [1, 3, 2]), x[1:3, 0:4:3, 2:5:2], x)
    check(
        lambda a: b.pad(a, [1, -1, 0], [0, 2, -2], 1.5),
        np.pad(x[:, 1:, :3], ((1, 0), (0, 2), (0, 0)), constant_values=1.5),
        x,
    )
    for mode in ("edge", "reflect", "wrap"):
        wanted = np.pad(x, ((0, 0), (2, 3), (1, 0)), mode=mode)  # pyright: ignore[reportCallIssue,reportArgumentType]
        check(lambda a, mode=mode: b.pad_by_position(a, [0, 2, 1], [0, 3, 0], mode), wanted, x)


def test_dynamic_fills_stay_symbolic() -> None:
    x = floats(3, 4)

    def build(a: b.Tensor) -> list[b.Tensor]:
        zero = b.fill((2, *a.shape), 0, a.dtype)
        return [b.add(a, b.squeeze(b.slice_axis(zero, 0, 1, 1), [0]))]

    program = program_of(build, [x], True)
    assert "linalg.fill" not in str(program.module)
    np.testing.assert_array_equal(run_program(program, [x])[0], x)


@pytest.mark.parametrize("axes", [[0], [1], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 7, 1), (2, 0, 3)])
def test_reductions(axes: list[int], shape: tuple[int, ...]) -> None:
    x = floats(*shape)
    where = tuple(axes)
    check(lambda a: b.sum_(a, axes), x.sum(where), x, rtol=1e-4)
    check(lambda a: b.prod(a, axes, keepdims=True), x.prod(where, keepdims=True), x, rtol=1e-4)
    check(lambda a: b.amax(a, axes), x.max(where, initial=-np.inf), x)


@pytest.mark.parametrize(("largest", "last"), list(itertools.product([True, False], repeat=2)))
def test_position_of_the_extreme(largest: bool, last: bool) -> None:
    x = np.array([[1, 3, 3, 0], [2, np.nan, 1, np.nan], [-np.inf, -np.inf, -np.inf, -np.inf]], np.float32)
    pick = np.argmax if largest else np.argmin
    wanted = x.shape[1] - 1 - pick(x[:, ::-1], 1) if last else pick(x, 1)
    check(lambda a: b.arg_extreme(a, 1, largest, last, keepdims=False), wanted.astype(np.int64), x)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (7, 4, 5)),
        ((3, 0), (0, 5)),
        ((1, 3, 4), (2, 4, 5)),
    ],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = floats(*left), floats(*right)
    check(b.matmul, np.matmul(x, y), x, y, rtol=1e-4)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)]),
        ("bij,bkj->bik", [(2, 3, 4), (2, 5, 4)]),
        ("ii->i", [(4, 4)]),
        ("ii", [(4, 4)]),
        ("...ij,...jk", [(2, 3, 4), (4, 5)]),
        ("i,j->ij", [(3,), (4,)]),
        ("abc->ca", [(2, 3, 4)]),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
        ("bhqd,bkd->bhqk", [(2, 3, 4, 5), (2, 6, 5)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    inputs = [floats(*shape) for shape in shapes]
    check(lambda *x: b.einsum(equation, x), np.asarray(np.einsum(equation, *inputs)), *inputs, rtol=1e-4)


def test_softmax_of_rows_with_infinities() -> None:
    x = np.array([[1, 2, 3], [-np.inf, 0, -np.inf], [1000, 1000, -1000]], np.float32)
    shifted = np.exp(x - x.max(1, keepdims=True))
    check(lambda a: b.softmax(a, [1]), shifted / shifted.sum(1, keepdims=True), x)


def test_gather_and_scatter() -> None:
    x = floats(5, 4)
    indices = np.array([[0, -1], [3, 2]], np.int64)
    check(lambda a, i: b.gather(a, i, 0), np.take(x, indices, 0), x, indices)
    along = np.array([[0, 1, 2, 3], [4, 0, 1, 2]], np.int64)
    check(lambda a, i: b.gather_elements(a, i, 0), np.take_along_axis(x, along, 0), x, along)
    updates = floats(2, 4)
    wanted = x.copy()
    np.put_along_axis(wanted, along, updates, 0)
    check(lambda a, i, u: scattering.scatter_elements(a, i, u, 0), wanted, x, along, updates)


def test_positions_out_of_range_stay_inside() -> None:
    x, indices = floats(3), np.array([7, -9, 2], np.int64)
    check(lambda a, i: b.gather(a, i, 0), x[[2, 0, 2]], x, indices)


def test_ordering() -> None:
    x = np.array([[3, 1, 2, 1], [0, 5, 5, -1]], np.float32)
    check(lambda a: ordering.topk(a, 2, 1, True)[1], np.array([[0, 2], [1, 2]]), x)
    check(lambda a: ordering.sort_with_positions(a, 1)[1], np.argsort(x, 1, kind="stable"), x)
    check(lambda a: ordering.scan(a, 1, 0, lambda t, e: t + e, False, False), np.cumsum(x, 1), x)
    check(lambda a: ordering.true_positions(b.map_(lambda e: e > 1.0, a, dtype=b.BOOL)), np.flatnonzero(x > 1), x)


def test_bodies_in_narrow_floats_calculate_in_f32() -> None:
    x = floats(17).astype(np.float16)
    wanted = (np.exp(x.astype(np.float32)) * np.float32(3) + np.float32(1)).astype(np.float16)
    check(lambda a: b.map_(lambda e: s.exp(e) * 3.0 + 1.0, a), wanted, x, rtol=1e-3)


# Symbolic extents.

TABLE = AtomTable()
SYMBOLS = [TABLE.symbol("value", name, nonnegative=True) for name in "xyz"]
TERMS = st.recursive(
    st.one_of(st.integers(-4, 4), st.sampled_from(SYMBOLS)),
    lambda inner: st.tuples(st.sampled_from(["+", "-", "*", "//", "max", "min"]), inner, inner),
    max_leaves=6,
)


def as_dim(term: Any) -> dims.Dim | None:
    """The term as a dim; None where it divides by zero."""
    if not isinstance(term, tuple):
        return term
    sign, left, right = term[0], as_dim(term[1]), as_dim(term[2])
    if left is None or right is None or (sign == "//" and isinstance(right, int) and right == 0):
        return None
    functions: dict[str, Any] = {"max": dims.maximum, "min": dims.minimum, "+": lambda p, q: p + q}
    functions |= {"-": lambda p, q: p - q, "*": lambda p, q: p * q, "//": lambda p, q: p // q}
    return functions[sign](left, right)


def as_number(term: Any, values: dict[str, int]) -> int | None:
    """The term evaluated directly."""
    if isinstance(term, dims.Sym):
        ((atom,),) = term.terms
        return values[atom.args[0]]
    if not isinstance(term, tuple):
        return term
    left, right = as_number(term[1], values), as_number(term[2], values)
    if left is None or right is None or (term[0] == "//" and right == 0):
        return None
    functions: dict[str, Any] = {"max": max, "min": min, "+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    return (functions | {"//": int.__floordiv__})[term[0]](left, right)


def evaluate(dim: dims.Dim, values: dict[str, int]) -> int:
    """A dim at given numbers."""
    if isinstance(dim, int):
        return dim
    total = 0
    for atoms, factor in dim.terms.items():
        part = factor
        for atom in atoms:
            if atom.kind == "value":
                part *= values[atom.args[0]]
            else:
                left, right = (evaluate(argument, values) for argument in atom.args[:2])
                part *= {"floordiv": lambda p, q: p // q, "max": max, "min": min}[atom.kind](left, right)
        total += part
    return total


@given(TERMS, st.fixed_dictionaries({name: st.integers(0, 9) for name in "xyz"}))
@settings(max_examples=300, deadline=None)
def test_dims_calculate_as_numbers_do(term: Any, values: dict[str, int]) -> None:
    dim, number = as_dim(term), as_number(term, values)
    if dim is None or number is None:
        return
    assert evaluate(dim, values) == number
    if dims.is_nonnegative(dim):
        assert number >= 0


def test_equal_dims_are_found_equal() -> None:
    x, y, _ = SYMBOLS
    assert (x * y * 768) // (x * y * 12) == 64
    assert (x + 1) * (x - 1) == x * x - 1
    assert (x * y + y) // (x + 1) == y
    assert dims.exact_quotient(x * 3, 2) is None
    assert dims.maximum(x, x + 2) == x + 2
    assert dims.select("slt", x, 0, y, x) == x
    assert len({x * y, y * x, x + y, y + x}) == 2
