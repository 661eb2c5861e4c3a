"""Reductions, row chains, poolings, layout and data-movement entry points against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.codegen.abi import compile_entries


def tensor_type(shape: tuple[int, ...], kind: str = "f32", dynamic: bool = False) -> str:
    """`tensor<3x?xf32>`."""
    return "tensor<" + "".join("?x" if dynamic else f"{n}x" for n in shape) + f"{kind}>"


def generic(
    name: str,
    ins: list[tuple[str, str, str]],
    out: tuple[str, str, str],
    loops: str,
    iterators: str,
    body: str,
    kind: str = "f32",
) -> str:
    """A generic: operands are (value, type, map results), iterators one letter per loop (p or r)."""
    maps = ", ".join(f"affine_map<({loops}) -> ({m})>" for _, _, m in (*ins, out))
    kinds = ", ".join('"parallel"' if i == "p" else '"reduction"' for i in iterators)
    elements = [t.rsplit("x", 1)[-1].rstrip(">").replace("tensor<", "") for _, t, _ in (*ins, out)]
    block = ", ".join(f"%{n}: {e}" for n, e in zip([*"abcd"[: len(ins)], "o"], elements, strict=True))
    head = f"ins({', '.join(v for v, _, _ in ins)} : {', '.join(t for _, t, _ in ins)}) " if ins else ""
    del kind
    return f"""
  {name} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}}
      {head}outs({out[0]} : {out[1]}) {{
  ^bb0({block}):
{body}
    linalg.yield %v : {elements[-1]}
  }} -> {out[1]}"""


def chain(name: str, arguments: str, result: str, body: str, value: str = "%y") -> str:
    """An entry point."""
    return f"func.func @{name}({arguments}) -> {result} {{\n{body}\n  return {value} : {result}\n}}\n"


def _reduction(name: str, shape: tuple[int, ...], axes: tuple[int, ...], op: str, init: str, dynamic: bool) -> str:
    loops = [f"d{i}" for i in range(len(shape))]
    kept = [i for i in range(len(shape)) if i not in axes]
    source = tensor_type(shape, dynamic=dynamic)
    result = tensor_type(tuple(shape[i] for i in kept), dynamic=dynamic)
    dims = [f"%d{i}" for i in range(len(shape))] if dynamic else []
    results = [f"%r{i}" for i in kept] if dynamic else []
    arguments = ", ".join([f"%x: {source}", *(f"{d}: index" for d in (*dims, *results))])
    body = f"""  %z = arith.constant {init} : f32
  %e = tensor.empty({", ".join(results)}) : {result}
  %f = linalg.fill ins(%z : f32) outs(%e : {result}) -> {result}"""
    body += generic(
        "%y",
        [("%x", source, ", ".join(loops))],
        ("%f", result, ", ".join(loops[i] for i in kept)),
        ", ".join(loops),
        "".join("r" if i in axes else "p" for i in range(len(shape))),
        f"    %v = arith.{op} %a, %o : f32",
    )
    return chain(name, arguments, result, body)


_REDUCTIONS = [
    ((5, 37), (1,)), ((37, 5), (0,)), ((3, 7, 33), (1,)), ((2, 3, 5, 17), (1, 2)), ((1, 49, 64), (1,)), ((131,), (0,)),
    ((4, 0), (1,)), ((0, 4), (1,)), ((300, 1111), (1,)), ((1111, 300), (0,)), ((2, 8, 14, 14), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("dynamic", [False, True])
def test_reductions(dynamic: bool) -> None:
    texts: list[str] = []
    for number, (shape, axes) in enumerate(_REDUCTIONS):
        texts.append(_reduction(f"sum{number}", shape, axes, "addf", "0.0", dynamic))
        texts.append(_reduction(f"max{number}", shape, axes, "maximumf", "0xFF800000", dynamic))
    library = compile_entries("\n".join(texts), keep_files=False)
    for number, (shape, axes) in enumerate(_REDUCTIONS):
        x = np.random.default_rng(number).standard_normal(shape).astype(np.float32)
        kept = [shape[i] for i in range(len(shape)) if i not in axes] if dynamic else []
        (total,) = library.call(f"sum{number}", x, result_dims=kept)
        np.testing.assert_allclose(total, x.astype(np.float64).sum(axes), rtol=1e-4, atol=1e-4)
        if 0 not in shape:
            x.reshape(-1)[x.size // 2] = np.nan
            (greatest,) = library.call(f"max{number}", x, result_dims=kept)
            np.testing.assert_array_equal(greatest, x.max(axes))


def softmax(name: str, rows: tuple[int, ...], columns: int, dynamic: bool = False, kind: str = "f32") -> str:
    """A softmax over the last dimension."""
    shape = (*rows, columns)
    t, r = tensor_type(shape, kind, dynamic), tensor_type(rows, "f32", dynamic)
    loops = ", ".join(f"d{i}" for i in range(len(shape)))
    outer = ", ".join(f"d{i}" for i in range(len(rows)))
    p, q = "p" * len(shape), "p" * len(rows) + "r"
    dims = [f"%d{i}" for i in range(len(shape))] if dynamic else []
    results = [f"%r{i}" for i in range(len(shape))] if dynamic else []
    arguments = ", ".join([f"%x: {t}", *(f"{d}: index" for d in (*dims, *results))])
    f = tensor_type(shape, "f32", dynamic)
    widen = "" if kind == "f32" else f"    %w = arith.extf %a : {kind} to f32\n"
    first = "%a" if kind == "f32" else "%w"
    narrow = "    %v = arith.divf %a, %b : f32"
    if kind != "f32":
        narrow = f"    %q = arith.divf %a, %b : f32\n    %v = arith.truncf %q : f32 to {kind}"
    body = f"""  %ninf = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %er = tensor.empty({", ".join(dims[:-1])}) : {r}
  %fm = linalg.fill ins(%ninf : f32) outs(%er : {r}) -> {r}
  %fs = linalg.fill ins(%zero : f32) outs(%er : {r}) -> {r}
  %ee = tensor.empty({", ".join(dims)}) : {f}
  %e = tensor.empty({", ".join(results)}) : {t}"""
    body += generic(
        "%m", [("%x", t, loops)], ("%fm", r, outer), loops, q, f"{widen}    %v = arith.maximumf {first}, %o : f32"
    )
    body += generic("%p", [("%x", t, loops), ("%m", r, outer)], ("%ee", f, loops), loops, p,
                    f"{widen}    %s = arith.subf {first}, %b : f32\n    %v = math.exp %s : f32")  # fmt: skip
    body += generic("%s", [("%p", f, loops)], ("%fs", r, outer), loops, q, "    %v = arith.addf %a, %o : f32")
    body += generic("%y", [("%p", f, loops), ("%s", r, outer)], ("%e", t, loops), loops, p, narrow)
    return chain(name, arguments, t, body)


def _softmax_oracle(x: Any) -> Any:
    x = x.astype(np.float64)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("dynamic", [False, True])
def test_softmax(dynamic: bool) -> None:
    shapes = [(1, 1), (3, 10), (7, 131), (128, 1024), (5, 1)]
    text = "\n".join(softmax(f"s{i}", s[:-1], s[-1], dynamic) for i, s in enumerate(shapes))
    text += softmax("attention", (2, 3, 5), 33, dynamic)
    library = compile_entries(text, keep_files=False)
    assert set(library.kinds.values()) == ({"rows"} if dynamic else {"rows", "loops"})  # short rows are loops
    for number, shape in enumerate(shapes):
        x = np.random.default_rng(number).standard_normal(shape).astype(np.float32) * 4
        (result,) = library.call(f"s{number}", x)
        np.testing.assert_allclose(result, _softmax_oracle(x), rtol=3e-6, atol=1e-9)
    x = np.random.default_rng(9).standard_normal((2, 3, 5, 33)).astype(np.float32)
    np.testing.assert_allclose(library.call("attention", x)[0], _softmax_oracle(x), rtol=3e-6)


def test_softmax_of_half_precision_rows() -> None:
    library = compile_entries(softmax("s", (9,), 300, kind="f16"), keep_files=False)
    x = np.random.default_rng(0).standard_normal((9, 300)).astype(np.float16)
    np.testing.assert_allclose(library.call("s", x)[0], _softmax_oracle(x).astype(np.float16), rtol=2e-3)


def _layer_norm(name: str, rows: int, columns: int) -> str:
    t, r, c = tensor_type((rows, columns)), tensor_type((rows,)), tensor_type((columns,))
    head = f"""  %zero = arith.constant 0.0 : f32
  %n = arith.constant {float(columns)} : f32
  %eps = arith.constant 1.0e-5 : f32
  %er = tensor.empty() : {r}
  %e = tensor.empty() : {t}
  %f = linalg.fill ins(%zero : f32) outs(%er : {r}) -> {r}"""
    head += generic("%s", [("%x", t, "i, j")], ("%f", r, "i"), "i, j", "pr", "    %v = arith.addf %a, %o : f32")
    head += generic("%m", [("%s", r, "i")], ("%er", r, "i"), "i", "p", "    %v = arith.divf %a, %n : f32")
    head += generic("%q", [("%x", t, "i, j"), ("%m", r, "i")], ("%f", r, "i"), "i, j", "pr",
                    "    %d = arith.subf %a, %b : f32\n    %s2 = arith.mulf %d, %d : f32\n"
                    "    %v = arith.addf %s2, %o : f32")  # fmt: skip
    head += generic("%i", [("%q", r, "i")], ("%er", r, "i"), "i", "p",
                    "    %w = arith.divf %a, %n : f32\n    %u = arith.addf %w, %eps : f32\n"
                    "    %v = math.rsqrt %u : f32")  # fmt: skip
    head += generic(
        "%y", [("%x", t, "i, j"), ("%m", r, "i"), ("%i", r, "i"), ("%g", c, "j")], ("%e", t, "i, j"), "i, j", "pp",
        "    %d = arith.subf %a, %b : f32\n    %w = arith.mulf %d, %c : f32\n    %v = arith.mulf %w, %d_ : f32".replace(
            "%d_", "%d4"
        ),
    ).replace("%d: f32, %o", "%d4: f32, %o")  # fmt: skip
    return chain(name, f"%x: {t}, %g: {c}", t, head)


@pytest.mark.parametrize("columns", [1, 37, 768])
def test_layer_norm(columns: int) -> None:
    library = compile_entries(_layer_norm("norm", 65, columns), keep_files=False)
    library.check_kind("rows" if columns > 1 else "loops")
    random = np.random.default_rng(1)
    x, g = random.standard_normal((65, columns), np.float32), random.standard_normal(columns, np.float32)
    wide = x.astype(np.float64)
    variance = wide.var(-1, keepdims=True)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5) * g
    np.testing.assert_allclose(library.call("norm", x, g)[0], expected, rtol=1e-4, atol=1e-5)


def test_temporaries_of_run_time_size() -> None:
    """A row in f32 between f16 operands has no place in the result: it goes to scratch memory, if it fits."""
    text = softmax("s", (9,), 300, dynamic=True, kind="f16").replace("maximumf", "maxnumf")
    library = compile_entries(text, keep_files=False)
    library.check_kind("loops")
    for shape in ((9, 300), (1, 100_000), (0, 5)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
        (result,) = library.call("s", x)
        if shape[0]:
            np.testing.assert_allclose(result, _softmax_oracle(x).astype(np.float16), rtol=2e-3, atol=1e-6)
    with pytest.raises(AssertionError):  # the entry point refuses
        library.call("s", np.zeros((1, 40_000_000), np.float16))


def test_aggregates() -> None:
    """Ops that stand for several: softmax, pack, unpack."""
    text = """
func.func @softmax(%x: tensor<5x37xf32>) -> tensor<5x37xf32> {
  %e = tensor.empty() : tensor<5x37xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<5x37xf32>) outs(%e : tensor<5x37xf32>) -> tensor<5x37xf32>
  return %y : tensor<5x37xf32>
}
func.func @pack(%x: tensor<5x7xf32>) -> tensor<2x4x3x2xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4x3x2xf32>
  %y = linalg.pack %x padding_value(%zero : f32) inner_dims_pos = [0, 1] inner_tiles = [3, 2] into %e
      : tensor<5x7xf32> -> tensor<2x4x3x2xf32>
  return %y : tensor<2x4x3x2xf32>
}
func.func @unpack(%x: tensor<2x4x3x2xf32>) -> tensor<5x7xf32> {
  %e = tensor.empty() : tensor<5x7xf32>
  %y = linalg.unpack %x inner_dims_pos = [0, 1] inner_tiles = [3, 2] into %e : tensor<2x4x3x2xf32> -> tensor<5x7xf32>
  return %y : tensor<5x7xf32>
}"""
    library = compile_entries(text, keep_files=False)
    random = np.random.default_rng(6)
    x = random.standard_normal((5, 37), np.float32)
    np.testing.assert_allclose(library.call("softmax", x)[0], _softmax_oracle(x), rtol=3e-6)
    x = random.standard_normal((5, 7), np.float32)
    packed = np.pad(x, ((0, 1), (0, 1))).reshape(2, 3, 4, 2).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(library.call("pack", x)[0], packed)
    np.testing.assert_array_equal(library.call("unpack", np.ascontiguousarray(packed))[0], x)


def test_argmax() -> None:
    text = """
func.func @argmax(%x: tensor<5x37xf32>) -> tensor<5xi64> {
  %ninf = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0 : i64
  %ev = tensor.empty() : tensor<5xf32>
  %ei = tensor.empty() : tensor<5xi64>
  %fv = linalg.fill ins(%ninf : f32) outs(%ev : tensor<5xf32>) -> tensor<5xf32>
  %fi = linalg.fill ins(%zero : i64) outs(%ei : tensor<5xi64>) -> tensor<5xi64>
  %r:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<5x37xf32>) outs(%fv, %fi : tensor<5xf32>, tensor<5xi64>) {
  ^bb0(%a: f32, %v: f32, %n: i64):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i64
    %c = arith.cmpf ogt, %a, %v : f32
    %s = arith.select %c, %a, %v : f32
    %t = arith.select %c, %k, %n : i64
    linalg.yield %s, %t : f32, i64
  } -> (tensor<5xf32>, tensor<5xi64>)
  return %r#1 : tensor<5xi64>
}"""
    library = compile_entries(text, keep_files=False)
    x = np.random.default_rng(2).standard_normal((5, 37), np.float32)
    np.testing.assert_array_equal(library.call("argmax", x)[0], x.argmax(1))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_pooling(layout: str, stride: int) -> None:
    h, w, c, k = 15, 13, 19, 3
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    shape, out = ((2, h, w, c), (2, oh, ow, c)) if layout == "nhwc" else ((2, c, h, w), (2, c, oh, ow))
    source, result = tensor_type(shape), tensor_type(out)
    body = f"""  %ninf = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : {result}
  %k = tensor.empty() : tensor<{k}x{k}xf32>
  %f = linalg.fill ins(%ninf : f32) outs(%e : {result}) -> {result}
  %y = linalg.pooling_{layout}_max {{strides = dense<{stride}> : tensor<2xi64>, dilations = dense<1> : tensor<2xi64>}}
      ins(%x, %k : {source}, tensor<{k}x{k}xf32>) outs(%f : {result}) -> {result}"""
    library = compile_entries(chain("pool", f"%x: {source}", result, body), keep_files=False)
    x = np.random.default_rng(3).standard_normal(shape, np.float32)
    axes = (1, 2) if layout == "nhwc" else (2, 3)
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axes)
    every = tuple(slice(None, None, stride) if i in axes else slice(None) for i in range(4))
    np.testing.assert_array_equal(library.call("pool", x)[0], windows[every].max((-2, -1)))


@pytest.mark.parametrize("kind", ["f32", "i8", "f64", "f16"])
@pytest.mark.parametrize(
    ("shape", "order"), [((37, 65), (1, 0)), ((3, 17, 33), (2, 0, 1)), ((2, 5, 7, 9), (0, 3, 1, 2))]
)
def test_transpose(shape: tuple[int, ...], order: tuple[int, ...], kind: str) -> None:
    source = tensor_type(shape, kind)
    result = tensor_type(tuple(shape[i] for i in order), kind)
    body = f"""  %e = tensor.empty() : {result}
  %y = linalg.transpose ins(%x : {source}) outs(%e : {result}) permutation = [{", ".join(map(str, order))}]"""
    library = compile_entries(chain("t", f"%x: {source}", result, body), keep_files=False)
    dtype = {"f32": np.float32, "i8": np.int8, "f64": np.float64, "f16": np.float16}[kind]
    x = (np.random.default_rng(4).standard_normal(shape) * 50).astype(dtype)
    np.testing.assert_array_equal(library.call("t", x)[0], x.transpose(order))


@pytest.mark.parametrize("order", [(0, 3, 4, 5, 1, 2), (5, 4, 3, 2, 1, 0), (0, 2, 1, 3, 5, 4)])
def test_open_axes_are_turned(order: tuple[int, ...]) -> None:
    """Blocks of the innermost loops fit into tiles of open extents, however small the tiles would be."""
    source = "tensor<?x5x?x?x?x?xf32>"
    kept = [i for i in order if i != 1]
    result = "tensor<" + "".join("5x" if i == 1 else "?x" for i in order) + "f32>"
    arguments = f"%x: {source}, " + ", ".join(f"%x{i}: index" for i in (0, 2, 3, 4, 5))
    arguments += ", " + ", ".join(f"%y{i}: index" for i in kept)
    body = f"""  %e = tensor.empty({", ".join(f"%y{i}" for i in kept)}) : {result}
  %y = linalg.transpose ins(%x : {source}) outs(%e : {result}) permutation = [{", ".join(map(str, order))}]"""
    pairs = ", ".join(f"[{k}, {5 + kept.index(i)}]" for k, i in enumerate((0, 2, 3, 4, 5)))
    text = f"func.func @t({arguments}) -> {result} attributes {{flow.equal_dims = [{pairs}]}} {{\n{body}\n"
    library = compile_entries(f"{text}  return %y : {result}\n}}\n", keep_files=False)
    for shape in ((2, 5, 17, 3, 2, 33), (1, 5, 3, 18, 40, 2), (1, 5, 0, 2, 3, 4)):
        x = np.random.default_rng(5).standard_normal(shape, np.float32)
        (got,) = library.call("t", x, result_dims=[shape[i] for i in kept])
        np.testing.assert_array_equal(got, x.transpose(order))


def test_data_movement() -> None:
    text = """
func.func @pad(%x: tensor<5x7xf32>, %p: f32) -> tensor<9x10xf32> {
  %y = tensor.pad %x low[1, 2] high[3, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %p : f32
  } : tensor<5x7xf32> to tensor<9x10xf32>
  return %y : tensor<9x10xf32>
}
func.func @slice(%x: tensor<9x10xf32>) -> tensor<3x4xf32> {
  %y = tensor.extract_slice %x[1, 2] [3, 4] [2, 2] : tensor<9x10xf32> to tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
func.func @concat(%a: tensor<3x4xf32>, %b: tensor<3x6xf32>) -> tensor<3x10xf32> {
  %y = tensor.concat dim(1) %a, %b : (tensor<3x4xf32>, tensor<3x6xf32>) -> tensor<3x10xf32>
  return %y : tensor<3x10xf32>
}
func.func @insert(%a: tensor<9x10xf32>, %b: tensor<2x3xf32>, %at: index) -> tensor<9x10xf32>
    attributes {flow.tied = [0]} {
  %y = tensor.insert_slice %b into %a[%at, 1] [2, 3] [1, 1] : tensor<2x3xf32> into tensor<9x10xf32>
  return %y : tensor<9x10xf32>
}
func.func @gather(%x: tensor<20x8xf32>, %i: tensor<5xi32>) -> tensor<5x8xf32> {
  %e = tensor.empty() : tensor<5x8xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%i : tensor<5xi32>) outs(%e : tensor<5x8xf32>) {
  ^bb0(%n: i32, %o: f32):
    %j = linalg.index 1 : index
    %k = arith.index_cast %n : i32 to index
    %v = tensor.extract %x[%k, %j] : tensor<20x8xf32>
    linalg.yield %v : f32
  } -> tensor<5x8xf32>
  return %y : tensor<5x8xf32>
}
func.func @reverse_in_place(%a: tensor<7xf32>) -> tensor<7xf32> attributes {flow.tied = [0]} {
  %e = tensor.empty() : tensor<7xf32>
  %c = linalg.copy ins(%a : tensor<7xf32>) outs(%e : tensor<7xf32>) -> tensor<7xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (6 - i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]} ins(%c : tensor<7xf32>) outs(%a : tensor<7xf32>) {
  ^bb0(%x: f32, %o: f32):
    linalg.yield %x : f32
  } -> tensor<7xf32>
  return %y : tensor<7xf32>
}
func.func @two(%a: tensor<6x5xf32>) -> (tensor<6x5xf32>, tensor<6xf32>) {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<6x5xf32>
  %er = tensor.empty() : tensor<6xf32>
  %f = linalg.fill ins(%z : f32) outs(%er : tensor<6xf32>) -> tensor<6xf32>
  %s = linalg.reduce ins(%a : tensor<6x5xf32>) outs(%f : tensor<6xf32>) dimensions = [1]
    (%x: f32, %o: f32) { %v = arith.addf %x, %o : f32
      linalg.yield %v : f32 }
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%a, %s : tensor<6x5xf32>, tensor<6xf32>) outs(%e : tensor<6x5xf32>) {
  ^bb0(%x: f32, %t: f32, %o: f32):
    %v = arith.subf %x, %t : f32
    linalg.yield %v : f32
  } -> tensor<6x5xf32>
  return %y, %s : tensor<6x5xf32>, tensor<6xf32>
}
func.func @loop(%a: tensor<6xf32>, %n: index) -> tensor<6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y = scf.for %i = %c0 to %n step %c1 iter_args(%t = %a) -> (tensor<6xf32>) {
    %e = tensor.empty() : tensor<6xf32>
    %u = linalg.add ins(%t, %a : tensor<6xf32>, tensor<6xf32>) outs(%e : tensor<6xf32>) -> tensor<6xf32>
    scf.yield %u : tensor<6xf32>
  }
  return %y : tensor<6xf32>
}
func.func @scalar(%a: tensor<f32>) -> tensor<3xf32> {
  %e = tensor.empty() : tensor<3xf32>
  %v = tensor.extract %a[] : tensor<f32>
  %y = linalg.fill ins(%v : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}"""
    library = compile_entries(text, keep_files=False)
    random = np.random.default_rng(5)
    x, big = random.standard_normal((5, 7), np.float32), random.standard_normal((9, 10), np.float32)
    np.testing.assert_array_equal(
        library.call("pad", x, 2.5)[0], np.pad(x, ((1, 3), (2, 1)), constant_values=np.float32(2.5))
    )
    np.testing.assert_array_equal(library.call("slice", big)[0], big[1:7:2, 2:10:2])
    a, b = random.standard_normal((3, 4), np.float32), random.standard_normal((3, 6), np.float32)
    np.testing.assert_array_equal(library.call("concat", a, b)[0], np.concatenate([a, b], 1))
    patch = random.standard_normal((2, 3), np.float32)
    expected = big.copy()
    expected[4:6, 1:4] = patch
    np.testing.assert_array_equal(library.call("insert", big, patch, 4)[0], expected)
    table, rows = random.standard_normal((20, 8), np.float32), np.array([3, 19, 0, 3, 7], np.int32)
    np.testing.assert_array_equal(library.call("gather", table, rows)[0], table[rows])
    line = random.standard_normal(7, np.float32)
    np.testing.assert_array_equal(library.call("reverse_in_place", line)[0], line[::-1])
    both = random.standard_normal((6, 5), np.float32)
    difference, total = library.call("two", both)
    np.testing.assert_allclose(total, both.sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(difference, both - both.sum(1, keepdims=True), rtol=1e-5, atol=1e-6)
    six = random.standard_normal(6, np.float32)
    np.testing.assert_allclose(library.call("loop", six, 4)[0], six * 5, rtol=1e-6)
    np.testing.assert_array_equal(library.call("scalar", np.float32(3.5))[0], np.full(3, 3.5, np.float32))


def test_reduction_that_gathers() -> None:
    """Elements found by position: a kernel of vectors cannot make them."""
    body = """  %z = arith.constant 0 : i32
  %e = tensor.empty() : tensor<3x12xi32>
  %f = linalg.fill ins(%z : i32) outs(%e : tensor<3x12xi32>) -> tensor<3x12xi32>"""
    body += generic(
        "%y",
        [("%x", "tensor<3x12xi32>", "d0, d1"), ("%w", "tensor<12x33xi8>", "d1, d2")],
        ("%f", "tensor<3x12xi32>", "d0, d1"),
        "d0, d1, d2",
        "ppr",
        """    %i = arith.index_cast %a : i32 to index
    %j = linalg.index 2 : index
    %g = tensor.extract %t[%i, %j] : tensor<50x33xi8>
    %p = arith.extsi %g : i8 to i32
    %q = arith.extsi %b : i8 to i32
    %r = arith.muli %p, %q : i32
    %v = arith.addi %r, %o : i32""",
        "i32",
    )
    arguments = "%x: tensor<3x12xi32>, %w: tensor<12x33xi8>, %t: tensor<50x33xi8>"
    library = compile_entries(chain("gathered", arguments, "tensor<3x12xi32>", body), keep_files=False)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (3, 12)).astype(np.int32)
    w, t = rng.integers(-9, 10, (12, 33)).astype(np.int8), rng.integers(-9, 10, (50, 33)).astype(np.int8)
    (got,) = library.call("gathered", x, w, t)
    np.testing.assert_array_equal(got, (t[x].astype(np.int32) * w).sum(-1))
