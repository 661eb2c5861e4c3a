"""Constants computed at compile time: values, splats, sizes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mlirage.compiler  # noqa: F401  (registers every pass)
from mlirage.mlir import ir, new_context, walk
from mlirage.passes import find_pass, run_passes
from mlirage.program import Program, is_splat

Arrays = dict[str, np.ndarray[Any, Any]]
IDENTITY = "affine_map<(i) -> (i)>"


def _hoisted(
    globals_: dict[str, str], body: str, results: str, arrays: Arrays, name: str = "hoist-constants"
) -> Program:
    declared = "\n".join(
        f"ml_program.global private @{g}(#ml_program.extern : {kind}) : {kind}" for g, kind in globals_.items()
    )
    loads = "\n".join(f"%{g} = ml_program.global_load_const @{g} : {kind}" for g, kind in globals_.items())
    with new_context():
        module = ir.Module.parse(f"{declared}\nfunc.func @main() -> ({results}) {{\n{loads}\n{body}\n}}")
    program = Program(module, constants=dict(arrays))
    step = find_pass(f"global-optimization-{name}")
    run_passes(program, (step, "canonicalize"))
    return program


def _returned(program: Program) -> list[np.ndarray[Any, Any]]:
    """The arrays that `main` returns; fails if it still computes anything."""
    ops = [op for op in walk(program.module.operation) if op.parent.name == "func.func"]
    assert {op.name for op in ops} <= {"ml_program.global_load_const", "func.return"}, str(program.module)
    names = [ir.SymbolRefAttr(value.owner.attributes["global"]).value[0] for value in ops[-1].operands]
    return [program.constants[name] for name in names]


def _elementwise(result: str, ins: list[tuple[str, str]], text: str, maps: str = IDENTITY, parallel: int = 1) -> str:
    element = result.rpartition("x")[2].rstrip(">")
    kinds = ", ".join(['"parallel"'] * parallel)
    arguments = ", ".join(f"%i{n}: {kind.rpartition('x')[2].rstrip('>')}" for n, (_, kind) in enumerate(ins))
    return (
        f"%e = tensor.empty() : {result}\n"
        f"%r = linalg.generic {{indexing_maps = [{', '.join([maps] * (len(ins) + 1))}], iterator_types = [{kinds}]}} "
        f"ins({', '.join(f'%{n}' for n, _ in ins)} : {', '.join(k for _, k in ins)}) outs(%e : {result}) {{\n"
        f"^bb0({arguments}, %o: {element}):\n{text}\n}} -> {result}\nreturn %r : {result}"
    )


@pytest.mark.parametrize("extent", [1, 7, 64])
def test_arithmetic(extent: int) -> None:
    """The results are those of the target, which are numpy's for single operations."""
    kind = f"tensor<{extent}xf32>"
    generator = np.random.default_rng(0)
    arrays = {name: generator.standard_normal(extent).astype(np.float32) + 3 for name in "ab"}
    body = _elementwise(kind, [("a", kind), ("b", kind)], "%s = arith.divf %i0, %i1 : f32\nlinalg.yield %s : f32")
    (result,) = _returned(_hoisted({"a": kind, "b": kind}, body, kind, arrays))
    np.testing.assert_array_equal(result, arrays["a"] / arrays["b"])


@pytest.mark.parametrize(
    ("element", "dtype"),
    [("f64", np.float64), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16), ("i8", np.int8), ("i64", np.int64)],
)
def test_element_types(element: str, dtype: Any) -> None:
    """Every element type that the runtime takes can be computed with."""
    kind = f"tensor<5x{element}>"
    op = "addf" if "f" in element else "addi"
    a = np.arange(5).astype(dtype)
    text = f"%s = arith.{op} %i0, %i0 : {element}\nlinalg.yield %s : {element}"
    (result,) = _returned(_hoisted({"a": kind}, _elementwise(kind, [("a", kind)], text), kind, {"a": a}))
    assert result.dtype == a.dtype
    np.testing.assert_array_equal(result, a + a)


def test_movement() -> None:
    """Transposes, reshapes and slices are done on the array."""
    body = """
%t = tensor.empty() : tensor<3x2xf32>
%u = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j, i)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]} ins(%a : tensor<2x3xf32>) outs(%t : tensor<3x2xf32>) {
^bb0(%x: f32, %o: f32):
  linalg.yield %x : f32
} -> tensor<3x2xf32>
%c = tensor.collapse_shape %u [[0, 1]] : tensor<3x2xf32> into tensor<6xf32>
%s = tensor.extract_slice %c[1] [3] [2] : tensor<6xf32> to tensor<3xf32>
return %s, %u : tensor<3xf32>, tensor<3x2xf32>"""
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    part, turned = _returned(_hoisted({"a": "tensor<2x3xf32>"}, body, "tensor<3xf32>, tensor<3x2xf32>", {"a": a}))
    np.testing.assert_array_equal(turned, a.T)
    np.testing.assert_array_equal(part, a.T.reshape(-1)[1:6:2])
    assert turned.flags.c_contiguous


def test_splat_stays_splat() -> None:
    """An elementwise op on splats costs one element, whatever the shape."""
    kind = "tensor<4096x4096xf32>"
    two = np.broadcast_to(np.float32(2), (4096, 4096))
    text = "%s = arith.mulf %i0, %i0 : f32\nlinalg.yield %s : f32"
    body = _elementwise(kind, [("a", kind)], text, "affine_map<(i, j) -> (i, j)>", 2)
    (result,) = _returned(_hoisted({"a": kind}, body, kind, {"a": two}))
    assert is_splat(result)
    assert result.shape == (4096, 4096)
    assert result[0, 0] == 4


def test_empty_tensor() -> None:
    """Nothing is computed of nothing."""
    kind = "tensor<0xf32>"
    text = "%s = arith.mulf %i0, %i0 : f32\nlinalg.yield %s : f32"
    (result,) = _returned(
        _hoisted({"a": kind}, _elementwise(kind, [("a", kind)], text), kind, {"a": np.zeros(0, np.float32)})
    )
    assert result.shape == (0,)


def test_division_by_zero_is_left_to_run_time() -> None:
    """What may trap is not run in the compiler."""
    kind = "tensor<4xi32>"
    text = "%s = arith.divsi %i0, %i1 : i32\nlinalg.yield %s : i32"
    body = _elementwise(kind, [("a", kind), ("b", kind)], text)
    arrays = {"a": np.arange(4, dtype=np.int32), "b": np.zeros(4, np.int32)}
    program = _hoisted({"a": kind, "b": kind}, body, kind, arrays)
    assert "arith.divsi" in str(program.module)


def test_growth_is_left_to_run_time() -> None:
    """A small constant is not blown up for the module."""
    body = """
%e = tensor.empty() : tensor<4096x1024xf32>
%r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]} ins(%a : tensor<1024xf32>) outs(%e : tensor<4096x1024xf32>) {
^bb0(%x: f32, %o: f32):
  linalg.yield %x : f32
} -> tensor<4096x1024xf32>
return %r : tensor<4096x1024xf32>"""
    a = np.arange(1024, dtype=np.float32)
    program = _hoisted({"a": "tensor<1024xf32>"}, body, "tensor<4096x1024xf32>", {"a": a})
    assert list(program.constants) == ["a"]


def test_expressions_of_one_form_share_a_function() -> None:
    """Shapes do not matter to elementwise expressions: they are arguments of one function."""
    from mlirage.global_optimization.constant_expressions import ConstantExpressions
    from mlirage.global_optimization.outline_expressions import outline_units

    text = """
ml_program.global private @a(#ml_program.extern : tensor<4xf32>) : tensor<4xf32>
ml_program.global private @b(#ml_program.extern : tensor<9xf32>) : tensor<9xf32>
func.func @main() -> (tensor<4xf32>, tensor<9xf32>) {
  %a = ml_program.global_load_const @a : tensor<4xf32>
  %b = ml_program.global_load_const @b : tensor<9xf32>
  %0 = math.absf %a : tensor<4xf32>
  %1 = math.absf %b : tensor<9xf32>
  return %0, %1 : tensor<4xf32>, tensor<9xf32>
}"""
    with new_context():
        module = ir.Module.parse(text)
    arrays: Arrays = {"a": -np.ones(4, np.float32), "b": -np.arange(9, dtype=np.float32)}
    program = Program(module, constants=dict(arrays))
    run_passes(program, ("convert-elementwise-to-linalg",))
    expressions = ConstantExpressions(program)
    for op in walk(program.module.operation):
        if op.parent.name == "func.func":
            expressions.visit(op)
    with program.context:
        assert [unit.flat for unit in outline_units(expressions, expressions.roots())] == [True, True]
    run_passes(program, (find_pass("global-optimization-hoist-constants"), "canonicalize"))
    for result, name in zip(_returned(program), "ab", strict=True):
        np.testing.assert_array_equal(result, np.abs(arrays[name]))


def test_scales_are_folded() -> None:
    """A factor per column moves into the weights; a splat is not multiplied by what is none."""
    body = """
%zero = arith.constant 0.0 : f32
%x = arith.constant dense<1.0> : tensor<2x3xf32>
%e = tensor.empty() : tensor<2x4xf32>
%z = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
%p = linalg.matmul ins(%x, %w : tensor<2x3xf32>, tensor<3x4xf32>) outs(%z : tensor<2x4xf32>) -> tensor<2x4xf32>
%r = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
    iterator_types = ["parallel", "parallel"]} ins(%p, %s : tensor<2x4xf32>, tensor<4xf32>) outs(%e : tensor<2x4xf32>) {
^bb0(%a: f32, %b: f32, %o: f32):
  %m = arith.mulf %a, %b : f32
  %n = arith.addf %m, %b : f32
  linalg.yield %n : f32
} -> tensor<2x4xf32>
return %r : tensor<2x4xf32>"""
    kinds = {"w": "tensor<3x4xf32>", "s": "tensor<4xf32>"}
    w = np.arange(12, dtype=np.float32).reshape(3, 4)
    s = np.array([1, 2, -3, 0.5], np.float32)
    program = _hoisted(kinds, body, "tensor<2x4xf32>", {"w": w, "s": s}, "fold-scales")
    np.testing.assert_array_equal(program.constants["w.scaled"], w * s)
    assert "w" not in program.constants
    assert "arith.mulf" not in str(program.module)

    splat = np.broadcast_to(np.float32(2), (3, 4))
    program = _hoisted(kinds, body, "tensor<2x4xf32>", {"w": splat, "s": s}, "fold-scales")
    assert set(program.constants) == {"w", "s"}


def _reversal(start: int, step: str) -> str:
    return f"""%e = tensor.empty() : tensor<3x5xf32>
%c0 = arith.constant 0 : index
%start = arith.constant {start} : index
%r = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}}
    outs(%e : tensor<3x5xf32>) {{
^bb0(%o: f32):
  %i = linalg.index 0 : index
  %j = linalg.index 1 : index
  %p = arith.{step} %start, %i : index
  %v = tensor.extract %w[%j, %c0, %p] : tensor<5x1x9xf32>
  linalg.yield %v : f32
}} -> tensor<3x5xf32>
return %r : tensor<3x5xf32>"""


@pytest.mark.parametrize(("start", "step"), [(2, "subi"), (8, "subi"), (6, "addi"), (0, "addi")])
def test_reversals_are_moved(start: int, step: str) -> None:
    """Every element is extracted from a place of its own: the array is turned round, or a part of it taken."""
    w = np.random.default_rng(0).standard_normal((5, 1, 9)).astype(np.float32)
    program = _hoisted({"w": "tensor<5x1x9xf32>"}, _reversal(start, step), "tensor<3x5xf32>", {"w": w})
    places = [start + (i if step == "addi" else -i) for i in range(3)]
    np.testing.assert_array_equal(_returned(program)[0], w[:, 0, places].T)


@pytest.mark.parametrize(("start", "step"), [(1, "subi"), (9, "subi"), (7, "addi"), (-1, "addi")])
def test_places_outside_stay(start: int, step: str) -> None:
    """What reads outside of a constant fails where it runs."""
    w = np.zeros((5, 1, 9), np.float32) + np.arange(9, dtype=np.float32)
    program = _hoisted({"w": "tensor<5x1x9xf32>"}, _reversal(start, step), "tensor<3x5xf32>", {"w": w})
    assert any(op.name == "tensor.extract" for op in walk(program.module.operation))


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_paddings_are_moved(value: float) -> None:
    """A padding that makes the module larger by little."""
    w = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    body = f"""%c = arith.constant {value} : f32
%r = tensor.pad %w low[1, 0] high[0, 2] {{
^bb0(%i: index, %j: index):
  tensor.yield %c : f32
}} : tensor<3x5xf32> to tensor<4x7xf32>
return %r : tensor<4x7xf32>"""
    program = _hoisted({"w": "tensor<3x5xf32>"}, body, "tensor<4x7xf32>", {"w": w})
    np.testing.assert_array_equal(_returned(program)[0], np.pad(w, ((1, 0), (0, 2)), constant_values=value))
