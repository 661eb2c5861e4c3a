"""Custom calls: registered lowerings of every form are what the calls compute; what nobody knows is named at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import mlirage
from mlirage.errors import CompileError, ImportFailure, UsageError
from mlirage.importers import custom_calls

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
TEXT = """
func.func @main(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %a = stablehlo.custom_call @acme.twice(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %b = stablehlo.custom_call @acme.twice(%a) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  return %a, %b : tensor<2x3xf32>, tensor<2x3xf32>
}"""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    yield
    custom_calls._LOWERINGS.clear()  # pyright: ignore[reportPrivateUsage]


def test_text_with_helpers_and_open_extents() -> None:
    mlirage.register_custom_call(
        "acme.twice",
        mlir="""
func.func private @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %y = stablehlo.add %x, %x : tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
func.func @twice(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %y = func.call @main(%x) : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}""",
    )
    twice, four = mlirage.load(mlirage.compile(TEXT))(X)
    np.testing.assert_array_equal(twice, 2 * X)
    np.testing.assert_array_equal(four, 4 * X)


def test_built_text_and_lowerings_that_call() -> None:
    seen: list[custom_calls.CustomCall] = []

    def build(call: custom_calls.CustomCall) -> str:
        seen.append(call)
        kind = call.operands[0]
        return (
            f"func.func @f(%x: {kind}) -> {kind} {{\n"
            f'  %y = stablehlo.custom_call @acme.negate(%x) {{backend_config = "three"}} : ({kind}) -> {kind}\n'
            f"  %z = stablehlo.subtract %x, %y : {kind}\n  return %z : {kind}\n}}"
        )

    mlirage.register_custom_call("acme.twice", build=build)
    mlirage.register_custom_call(
        "acme.negate",
        mlir="func.func @f(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {\n"
        "  %y = arith.negf %x : tensor<2x3xf32>\n  return %y : tensor<2x3xf32>\n}",
    )
    twice, four = mlirage.load(mlirage.compile(TEXT))(X)
    np.testing.assert_array_equal(twice, 2 * X)
    np.testing.assert_array_equal(four, 4 * X)
    assert [(call.target, call.operands, call.results) for call in seen] == [
        ("acme.twice", ("tensor<2x3xf32>",), ("tensor<2x3xf32>",))
    ] * 2


def test_jax_functions_get_attributes() -> None:
    jax = pytest.importorskip("jax", reason="needs the extra [jax]")
    mlirage.register_custom_call("acme.scaled", jax=lambda x, by, name: (x * by, x.sum(0)))

    def model(x):  # type: ignore[no-untyped-def]
        results = [jax.ShapeDtypeStruct((2, 3), "float32"), jax.ShapeDtypeStruct((3,), "float32")]
        return jax.ffi.ffi_call("acme.scaled", results)(x + 1, by=np.float32(3), name="n")

    scaled, total = mlirage.load(mlirage.compile(model, [X]))(X)
    np.testing.assert_array_equal(scaled, (X + 1) * 3)
    np.testing.assert_array_equal(total, (X + 1).sum(0))


def test_unknown_targets_are_all_named() -> None:
    text = TEXT.replace("acme.twice(%a)", "acme.thrice(%a)")
    with pytest.raises(CompileError) as caught:
        mlirage.compile(text)
    assert '"acme.twice" at' in str(caught.value)
    assert '"acme.thrice" at' in str(caught.value)
    assert "register_custom_call" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func @f(", "cannot be parsed"),
        ("func.func @f() {\n  return\n}", r"the lowering is a \(\) -> \(\), the call has"),
        ("func.func private @f()", "one public function, not 0"),
        (
            "func.func @f(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {\n  return %x : tensor<2x4xf32>\n}",
            r"the lowering has a tensor<2x3xf32> where the call has a tensor<2x4xf32>",
        ),
    ],
)
def test_lowerings_that_do_not_fit(text: str, message: str) -> None:
    mlirage.register_custom_call("acme.twice", mlir=text)
    with pytest.raises(ImportFailure, match=rf"'acme\.twice'.*{message}"):
        mlirage.compile(TEXT)


def test_a_lowering_that_calls_itself() -> None:
    call = "stablehlo.custom_call @acme.twice(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>"
    text = (
        f"func.func @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {{\n  %y = {call}\n  return %y : tensor<2x3xf32>\n}}"
    )
    mlirage.register_custom_call("acme.twice", mlir=text)
    with pytest.raises(ImportFailure, match=r"'acme\.twice' calls itself"):
        mlirage.compile(TEXT)


def test_one_lowering_is_given() -> None:
    with pytest.raises(UsageError, match="give one of mlir=, jax= and build="):
        mlirage.register_custom_call("acme.twice")
