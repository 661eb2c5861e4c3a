"""Convolutions by Winograd's algorithm against direct ones in f64: tiles, paddings, ragged edges, groups, epilogues."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlirage.codegen.target import parse_target
from mlirage.codegen.winograd_blocks import Convolution, Plan, choose_blocks, choose_plan
from mlirage.global_optimization.use_winograd import pack_filters
from mlirage.winograd import transforms
from tests.codegen.abi import compile_entries

Array = np.ndarray[Any, np.dtype[Any]]
# Of the largest result; direct sums of f32 in order stay below 1e-6 for these depths.
_TOLERANCE = 4e-6


@pytest.mark.parametrize(("tile", "window"), [(2, 3), (4, 3), (2, 5)])
def test_transforms_are_exact(tile: int, window: int) -> None:
    """Aᵀ ((G w) · (Bᵀ x)) is the convolution, in fractions; what is multiplied at run time is exact in f32."""
    found = transforms(tile, window)
    for k, i in itertools.product(range(window), range(tile + window - 1)):
        # w = e_k, x = e_i
        middle = [g[k] * b[i] for g, b in zip(found.weights, found.image, strict=True)]
        y = [sum(a * m for a, m in zip(row, middle, strict=True)) for row in found.result]
        assert y == [int(i == j + k) for j in range(tile)]
    for number in (c for matrix in (found.image, found.result) for row in matrix for c in row):
        assert float(np.float32(float(number))) == number


def test_unknown_transforms_are_refused() -> None:
    """F(m, r) needs points."""
    with pytest.raises(ValueError, match="not among"):
        transforms(9, 3)


def _direct(x: Array, w: Array, out: tuple[int, int], padding: tuple[int, int]) -> Array:
    """x [n, h, w, g, c] by w [g, f, c, r, r] as [n, oh, ow, g, f] in f64."""
    window = w.shape[-1]
    after = [max(0, o + window - 1 - p - s) for o, p, s in zip(out, padding, x.shape[1:3], strict=True)]
    pads = [(0, 0), *zip(padding, after, strict=True), (0, 0), (0, 0)]
    wide = np.pad(x.astype(np.float64), pads)
    result = np.zeros((x.shape[0], *out, w.shape[0], w.shape[1]))
    for i, j in itertools.product(range(window), repeat=2):
        part = wide[:, i : i + out[0], j : j + out[1]]
        result += np.einsum("nhwgc,gfc->nhwgf", part, w[..., i, j].astype(np.float64))
    return result


def _program(
    image: tuple[int, ...], weights: Array, out: tuple[int, ...], plan: Plan, window: int, padding: tuple[int, int],
    epilogue: str, dynamic: tuple[int, ...],
) -> str:  # fmt: skip
    def shown(shape: tuple[int, ...]) -> str:
        return "x".join("?" if d in dynamic else str(e) for d, e in enumerate(shape))

    source, result = f"tensor<{shown(image)}xf32>", f"tensor<{shown(out)}xf32>"
    packed = f"tensor<{'x'.join(map(str, weights.shape))}xf32>"
    rank = len(out)
    loops = [f"d{i}" for i in range(rank + 3)]
    n, h, w, *group = loops[: rank - 1]
    f, c, kh, kw = loops[-4:]
    width = weights.shape[-1]
    places = [
        [n, f"{h} + {kh}", f"{w} + {kw}", *group, c],
        [*group, "0", f"{f} floordiv {width}", c, f"{f} mod {width}"],
        [n, h, w, *group, f],
    ]
    maps = ", ".join(f"affine_map<({', '.join(loops)}) -> ({', '.join(p)})>" for p in places)
    dims = ", ".join(f"d{i}" for i in range(rank))
    identity = f"affine_map<({dims}) -> ({dims})>"
    parallel = ", ".join(['"parallel"'] * rank)
    count = 2 * len(dynamic) + (len(dynamic) if epilogue == "residual" else 0)
    extents = "".join(f", %x{i}: index" for i in range(count))
    sizes = ", ".join(f"%x{count - len(dynamic) + i}" for i in range(len(dynamic)))
    residual = f", %r: {result}" if epilogue == "residual" else ""
    attributes = (
        f"indexing_maps = [{maps}], padding = [{padding[0]}, {padding[1]}], tile = {plan.tile} : i64, "
        f"window = {window} : i64"
    )
    body = {
        "none": "linalg.yield %a : f32",
        "relu": "%s = arith.addf %a, %b : f32\n %m = arith.maximumf %s, %zero : f32\n linalg.yield %m : f32",
        "residual": "%s = arith.addf %a, %b : f32\n %t = arith.addf %s, %q : f32\n linalg.yield %t : f32",
        "swish": "%s = arith.addf %a, %b : f32\n %n = arith.negf %s : f32\n %p = math.exp %n : f32\n"
        "%one = arith.constant 1.0 : f32\n %d = arith.addf %p, %one : f32\n %v = arith.divf %s, %d : f32\n"
        "linalg.yield %v : f32",
    }[epilogue]
    extra = (f", {identity}", ", %r", f", {result}", ", %q: f32") if residual else ("", "", "", "")
    return f"""
    func.func @f(%x: {source}, %w: {packed}, %bias: tensor<{out[-1]}xf32>{residual}{extents}) -> {result} {{
      %zero = arith.constant 0.0 : f32
      %e = tensor.empty({sizes}) : {result}
      %y = "linalgx.winograd"(%x, %w, %e) {{{attributes}}} : ({source}, {packed}, {result}) -> {result}
      %e2 = tensor.empty({sizes}) : {result}
      %z = linalg.generic {{
          indexing_maps = [{identity}, affine_map<({dims}) -> (d{rank - 1})>{extra[0]}, {identity}],
          iterator_types = [{parallel}]}}
          ins(%y, %bias{extra[1]} : {result}, tensor<{out[-1]}xf32>{extra[2]}) outs(%e2 : {result}) {{
        ^bb0(%a: f32, %b: f32{extra[3]}, %o: f32):
          {body}
      }} -> {result}
      return %z : {result}
    }}"""


def _check(
    batch: int, space: tuple[int, int], channels: int, filters: int, plan: Plan, *, window: int = 3,
    padding: tuple[int, int] = (1, 1), after: tuple[int, int] | None = None, groups: int = 0, epilogue: str = "relu",
    dynamic: tuple[int, ...] = (),
) -> None:  # fmt: skip
    after = padding if after is None else after
    generator = np.random.default_rng(batch * 1000 + channels * 10 + filters)
    count = max(groups, 1)
    x = generator.standard_normal((batch, *space, count, channels)).astype(np.float32)
    w = generator.standard_normal((count, filters, channels, window, window)).astype(np.float32)
    w /= np.float32(np.sqrt(channels * window * window))
    out = space[0] + padding[0] + after[0] - window + 1, space[1] + padding[1] + after[1] - window + 1
    width = 32 if filters > 16 else 16
    packed = pack_filters(w if groups else w[0], plan, width, grouped=bool(groups))
    image = x if groups else x[:, :, :, 0]
    shape = (batch, *out, *([groups] if groups else []), filters)
    bias = generator.standard_normal(filters).astype(np.float32)
    residual = generator.standard_normal(shape).astype(np.float32)
    text = _program(image.shape, packed, shape, plan, window, padding, epilogue, dynamic)
    library = compile_entries(text, keep_files=False)
    library.check_kind("winograd")
    arguments = [image, packed, bias, *([residual] if epilogue == "residual" else [])]
    (result,) = library.call("f", *arguments, result_dims=[shape[d] for d in dynamic])
    wanted = _direct(x, w, out, padding).reshape(shape)
    if epilogue != "none":
        wanted = wanted + bias
    match epilogue:
        case "relu":
            wanted = np.maximum(wanted, 0)
        case "residual":
            wanted = wanted + residual
        case "swish":
            wanted = wanted / (1 + np.exp(-wanted))
        case _:
            pass
    np.testing.assert_allclose(result, wanted, rtol=0, atol=_TOLERANCE * np.abs(wanted).max())


_PLANS = [Plan(tile, plain) for tile in (2, 4) for plain in (False, True)]


@pytest.mark.parametrize("plan", _PLANS, ids=lambda plan: f"{plan.tile}{'plain' if plan.transforms_weights else ''}")
@pytest.mark.parametrize(
    ("batch", "space", "channels", "filters", "padding", "epilogue"),
    [
        (1, (14, 14), 16, 32, (1, 1), "relu"),  # whole vectors, a ragged last tile of 4
        (2, (7, 5), 19, 45, (1, 1), "residual"),  # remainders everywhere
        (1, (3, 10), 150, 70, (0, 0), "none"),  # one row of results; channels in chunks
        (3, (4, 4), 5, 3, (2, 2), "swish"),  # more padding than the window needs; a long epilogue
    ],
)
def test_tiles(
    plan: Plan, batch: int, space: tuple[int, int], channels: int, filters: int, padding: tuple[int, int], epilogue: str
) -> None:
    """Extents, channels and filters that nothing divides; sums in several chunks of channels."""
    _check(batch, space, channels, filters, plan, padding=padding, epilogue=epilogue)


@pytest.mark.parametrize("plan", [Plan(2, False), Plan(4, True)], ids=["2", "4plain"])
def test_uneven_padding(plan: Plan) -> None:
    """Zeros before and behind differ, in both dims; a result of one element."""
    _check(1, (9, 8), 8, 16, plan, padding=(0, 2), after=(1, 0))
    _check(1, (1, 1), 12, 40, plan)


@pytest.mark.parametrize("plan", [Plan(2, False), Plan(2, True)], ids=["2", "2plain"])
def test_windows_of_five(plan: Plan) -> None:
    """5x5 windows take the six points of F(4x4, 3x3)."""
    _check(1, (9, 11), 17, 33, plan, window=5, padding=(2, 2))


@pytest.mark.parametrize("plan", [Plan(2, True), Plan(4, False)], ids=["2plain", "4"])
def test_groups(plan: Plan) -> None:
    """Channels in groups, each with filters of its own."""
    _check(2, (6, 9), 10, 20, plan, groups=3, epilogue="residual")


@pytest.mark.parametrize("plan", [Plan(2, False), Plan(4, True)], ids=["2", "4plain"])
@pytest.mark.parametrize(("batch", "space"), [(1, (1, 1)), (3, (5, 70)), (2, (61, 3))])
def test_dynamic_extents(plan: Plan, batch: int, space: tuple[int, int]) -> None:
    """Batch, height and width that are known at run time only."""
    _check(batch, space, 20, 40, plan, dynamic=(0, 1, 2), epilogue="residual")


def test_large_blocks() -> None:
    """Several workgroups along every loop."""
    _check(2, (40, 37), 32, 100, Plan(4, True), epilogue="residual")
    _check(5, (7, 7), 64, 64, Plan(4, False))


def test_infinities_stay_in_their_tile() -> None:
    """A tile that holds an infinity or NaN is NaN wherever sums meet it; other tiles are as without it."""
    plan = Plan(4, False)
    x = np.random.default_rng(0).standard_normal((1, 12, 12, 8)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((16, 8, 3, 3)).astype(np.float32)
    packed = pack_filters(w, plan, 16, grouped=False)
    library = compile_entries(_program(x.shape, packed, (1, 12, 12, 16), plan, 3, (1, 1), "none", ()), keep_files=False)
    bias = np.zeros(16, np.float32)
    (plain,) = library.call("f", x, packed, bias)
    for number in (np.inf, np.nan):
        x[0, 1, 1, 3] = number
        (result,) = library.call("f", x, packed, bias)
        # what the direct form makes infinite or NaN is not finite here
        assert not np.isfinite(result[0, :3, :3]).any()
        # the pixel lies in the windows of the first tile of 4 x 4 only
        np.testing.assert_array_equal(result[0, 4:], plain[0, 4:])
        np.testing.assert_array_equal(result[0, :, 4:], plain[0, :, 4:])


def test_plans() -> None:
    """Few channels and tiny images keep the direct form; blocks fit scratch memory and cover the filters in panels."""
    target = parse_target("x86_64-unknown-linux-gnu:x86-64-v4")
    assert choose_plan(Convolution(1, 224, 224, 1, 3, 64, 3), 32, target) is None
    assert choose_plan(Convolution(1, 2, 2, 1, 64, 64, 3), 32, target) is None
    assert choose_plan(Convolution(1, 56, 56, 1, 64, 64, 3), 32, parse_target("x86_64-unknown-linux-gnu")) is None
    assert choose_plan(Convolution(1, 56, 56, 1, 64, 64, 3), 32, target) == Plan(4, False)
    large = choose_plan(Convolution(1, 28, 28, 1, 512, 512, 3), 32, target)
    assert large is not None
    assert large.transforms_weights
    for shape in (Convolution(None, None, None, 1, 512, 2048, 3), Convolution(64, 7, 7, 4, 100, 300, 3)):
        blocks, cycles = choose_blocks(shape, 4, 32, target, transforms_weights=True)
        assert blocks.filters % 32 == 0
        assert 4 * 36 * blocks.tiles * (shape.channels + blocks.filters) <= 6 << 20
        assert cycles > 0
