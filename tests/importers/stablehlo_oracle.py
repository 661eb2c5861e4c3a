"""StableHLO's reference interpreter as an oracle, and the same programs through mlirage.

The interpreter is C++ that takes and gives no complex, 8-bit float or sub-byte arrays, and aborts at what it does not
define: it runs in a child process (`ModelRunner`), behind a function that converts such arguments and results.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tests.importers.model_runner import ModelRunner, RunFailure

Array = np.ndarray[Any, Any]

_BITS = ("ui8", "ui16", "ui64")
INTERPRETER = "tests.importers.stablehlo_oracle:interpret"
COMPILER = "tests.importers.stablehlo_oracle:compile_and_run_all"

ELEMENTS = {
    "bool": "i1", "int2": "i2", "int4": "i4", "uint2": "ui2", "uint4": "ui4",
    **{f"int{n}": f"i{n}" for n in (8, 16, 32, 64)}, **{f"uint{n}": f"ui{n}" for n in (8, 16, 32, 64)},
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
    "complex64": "complex<f32>", "complex128": "complex<f64>",
    "float8_e4m3": "f8E4M3", "float8_e3m4": "f8E3M4", "float8_e4m3fn": "f8E4M3FN", "float8_e5m2": "f8E5M2",
    "float8_e4m3fnuz": "f8E4M3FNUZ", "float8_e5m2fnuz": "f8E5M2FNUZ", "float8_e4m3b11fnuz": "f8E4M3B11FNUZ",
    "float8_e8m0fnu": "f8E8M0FNU", "float4_e2m1fn": "f4E2M1FN", "float6_e2m3fn": "f6E2M3FN",
    "float6_e3m2fn": "f6E3M2FN",
}  # fmt: skip
DTYPES = {mlir: name for name, mlir in ELEMENTS.items()}


def dtype_of(element: str) -> np.dtype[Any]:
    """The numpy type of an MLIR element type."""
    name = DTYPES[element]
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def type_of(array: Array) -> str:
    """The MLIR type of an array."""
    return "tensor<" + "".join(f"{n}x" for n in array.shape) + ELEMENTS[array.dtype.name] + ">"


@dataclasses.dataclass(frozen=True)
class Case:
    """A function `@main` of StableHLO, its arguments, and how near the results must be.

    The results are those of the interpreter on `reference`, the text itself if that is None (dynamic extents are beyond
    it), or what `expected` computes. An error of `ulps` units in the last place passes, or one of `atol`.
    """

    name: str
    text: str
    inputs: tuple[Array, ...] = ()
    expected: Callable[..., Any] | None = None
    reference: str | None = None
    ulps: float = 0.0
    atol: float = 0.0

    def wanted(self, interpreter: ModelRunner) -> list[Array]:
        """The right results.

        Raises:
          RunFailure: the interpreter does not define them.
        """
        if self.expected is None:
            return interpreter.run(self.reference or self.text, list(self.inputs))
        results = self.expected(*self.inputs)
        return [np.asarray(r) for r in (results if isinstance(results, (list, tuple)) else [results])]


def failures(
    cases: Sequence[Case], report: Callable[[str, str], Any] | None = None, batch_size: int = 24
) -> dict[str, str]:
    """What goes wrong with each case, by name; empty if all is well. `report` hears of it at once."""
    found: dict[str, str] = {}
    interpreter, compiler = ModelRunner(INTERPRETER), ModelRunner(COMPILER, timeout=300)
    try:
        for start in range(0, len(cases), batch_size):
            batch = cases[start : start + batch_size]
            wanted: dict[str, list[Array]] = {}
            for case in batch:
                try:
                    wanted[case.name] = case.wanted(interpreter)
                except RunFailure as error:
                    found[case.name] = f"the interpreter: {error}"
                    if report:
                        report(case.name, found[case.name])
            batch = [case for case in batch if case.name in wanted]
            for case, got in zip(batch, _run(compiler, batch), strict=True):
                problem = got if isinstance(got, str) else mismatch(case, wanted[case.name], got)
                if problem:
                    found[case.name] = problem
                    if report:
                        report(case.name, problem)
    finally:
        interpreter.close()
        compiler.close()
    return found


def _run(compiler: ModelRunner, batch: Sequence[Case]) -> list[list[Array] | str]:
    """The results of every case or what went wrong; cases of a batch that fails are tried one by one."""
    if not batch:
        return []
    try:
        return compiler.run([case.text for case in batch], [list(case.inputs) for case in batch])  # pyright: ignore
    except RunFailure as error:
        if len(batch) == 1:
            return [str(error)]
    half = len(batch) // 2
    return [*_run(compiler, batch[:half]), *_run(compiler, batch[half:])]


def mismatch(case: Case, wanted: Sequence[Array], got: Sequence[Array]) -> str | None:
    """How the results differ; None if they agree."""
    if len(wanted) != len(got):
        return f"{len(got)} results, not {len(wanted)}"
    for number, (want, have) in enumerate(zip(wanted, got, strict=True)):
        want, have = np.asarray(want), np.asarray(have)
        if want.shape != have.shape or want.dtype != have.dtype:
            return f"result {number} is {have.dtype}{list(have.shape)}, not {want.dtype}{list(want.shape)}"
        wrong = _wrong_elements(case, want, have)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            return (
                f"result {number} has {int(wrong.sum())} of {want.size} elements wrong; "
                f"{place}: {have[place]!r}, not {want[place]!r}{_arguments_at(case, want, place)}"
            )
    return None


def _arguments_at(case: Case, want: Array, place: tuple[int, ...]) -> str:
    same = [repr(x[place]) for x in case.inputs if x.shape == want.shape]
    return f" of ({', '.join(same)})" if same else ""


def _wrong_elements(case: Case, want: Array, have: Array) -> Array:
    if want.dtype.kind == "c":
        # Parts of a complex result may cancel: an error counts against the whole number.
        size = np.maximum(np.abs(want.real), np.abs(want.imag))
        sizes = [np.where(np.isfinite(size), size, part) for part in (want.real, want.imag)]
        return _wrong_reals(case, want.real, have.real, sizes[0]) | _wrong_reals(case, want.imag, have.imag, sizes[1])
    if _is_float(want.dtype):
        return _wrong_reals(case, want, have, want)
    return np.asarray(want != have)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def _wrong_reals(case: Case, want: Array, have: Array, size: Array) -> Array:
    info = ml_dtypes.finfo(want.dtype)
    w, h, s = (x.astype(np.float64) for x in (want, have, size))
    with np.errstate(all="ignore"):
        s = np.where(np.isfinite(s), np.abs(s), 0)
        unit = np.maximum(
            2.0 ** np.floor(np.log2(np.where(s > 0, s, 1e-300))) * float(info.eps), float(info.smallest_subnormal)
        )
        near = np.abs(w - h) <= np.maximum(case.ulps * unit, case.atol)
        if case.ulps > 0:  # overflow is a rounding too, next to it
            edge = float(info.max) * (1 - case.ulps * float(info.eps))
            near |= np.isinf(w) & (np.abs(h) >= edge) & (np.sign(w) == np.sign(h))
            near |= np.isinf(h) & (np.abs(w) >= edge) & (np.sign(w) == np.sign(h))
    both_nan = np.isnan(w) & np.isnan(h)
    same = (w == h) & ((np.signbit(w) == np.signbit(h)) | (case.ulps > 0))
    return ~(both_nan | same | near)


# --- In the children. ---


def compile_and_run_all(texts: list[str], inputs: list[list[Array]]) -> list[list[Array]]:
    """The results of each `@main`, all compiled as one module."""
    import mlirage

    functions = [re.sub(r"@(\w+)", rf"@c{i}_\1", text) for i, text in enumerate(texts)]
    module = mlirage.load(mlirage.compile("\n".join(functions), jobs=1, cache_dir="off"), device="local-sync")
    results: list[list[Array]] = []
    for i, arrays in enumerate(inputs):
        got = getattr(module, f"c{i}_main")(*arrays)
        results.append([np.asarray(x) for x in (got if isinstance(got, (tuple, list)) else [got])])
    return results


def interpret(text: str, inputs: list[Array]) -> list[Array]:
    """The results of `@main` by the reference interpreter."""
    from mlirage.mlir import ir, new_context, stablehlo_api

    with new_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        main = next(op for op in module.body.operations if str(op.attributes["sym_name"]) == '"main"')
        kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
        main.attributes["sym_name"] = ir.StringAttr.get("case")
        main.attributes["sym_visibility"] = ir.StringAttr.get("private")
        wrapper, elements, parts = _wrapper([type_of(x) for x in inputs], [str(t) for t in kind.inputs],
                                            [str(t) for t in kind.results])  # fmt: skip
        module = ir.Module.parse(f"{module}".rstrip().removesuffix("}") + wrapper + "}")
        arguments = [_attribute(part) for x in inputs for part in _parts(x)]
        results = stablehlo_api.eval_module(module, arguments)
        plain = [_array(attribute) for attribute in results]
    return _joined(plain, elements, parts)


def _carrier(element: str) -> str | None:
    """The integer type that carries a type which the interpreter's Python face does not know."""
    if element == "i1" or re.fullmatch(r"u?i[24]", element):
        return "i8" if not element.startswith("ui") else "ui8"
    if re.fullmatch(r"f8\w+|bf16|f16|f64", element):  # reading f64 rounds to f32
        return {"f64": "ui64", "bf16": "ui16", "f16": "ui16"}.get(element, "ui8")
    if re.fullmatch(r"f[46]\w+", element):
        return "f32"
    return None


def _parts(array: Array) -> list[Array]:
    element = ELEMENTS[array.dtype.name]
    if array.dtype.kind == "c":
        return [part for half in (array.real, array.imag) for part in _parts(half)]
    carrier = _carrier(element)
    if carrier is None:
        return [array]
    if carrier in _BITS and not re.fullmatch(r"u?i\d", element):
        return [np.asarray(array, order="C").view(dtype_of(carrier))]
    with np.errstate(all="ignore"):
        return [array.astype(dtype_of(carrier))]


def _attribute(array: Array) -> Any:
    from mlirage.mlir import ir

    data = np.asarray(array, order="C")
    text = f'dense<"0x{data.tobytes().hex().upper()}">' if data.size else "dense<>"
    return ir.Attribute.parse(f"{text} : {type_of(array)}")


def _array(attribute: Any) -> Array:
    from mlirage.mlir import ir

    kind = ir.RankedTensorType(attribute.type)
    dtype = dtype_of(str(kind.element_type))
    if 0 in kind.shape:
        return np.zeros(kind.shape, dtype)
    return np.array(attribute).astype(dtype).reshape(kind.shape)


def _wrapper(given: list[str], inner: list[str], results: list[str]) -> tuple[str, list[str], list[int]]:
    """The text of a `@main` on plain types that calls `@case`, the element types of the results, parts of each."""
    lines, arguments, operands = [], [], []
    for i, kind in enumerate(given):
        shape, element = _split(kind)
        if element.startswith("complex"):
            real = shape + element[8:-1] + ">"
            plain = real.replace("f64", "ui64")
            arguments += [f"%a{i}rc: {plain}", f"%a{i}ic: {plain}"]
            for part in "ri":
                lines.append(f"%a{i}{part} = stablehlo.bitcast_convert %a{i}{part}c : ({plain}) -> {real}")
            lines.append(f"%a{i} = stablehlo.complex %a{i}r, %a{i}i : {kind}")
        elif (carrier := _carrier(element)) is not None:
            arguments.append(f"%a{i}c: {shape}{carrier}>")
            lines.append(f"%a{i} = {_conversion(element, carrier)} %a{i}c : ({shape}{carrier}>) -> {kind}")
        else:
            arguments.append(f"%a{i}: {kind}")
        operands.append(f"%a{i}")
    names = ", ".join(f"%r{i}" for i in range(len(results)))
    lines.append(f"{names} = func.call @case({', '.join(operands)}) : ({', '.join(inner)}) -> ({', '.join(results)})")
    returned, kinds, elements, parts = [], [], [], []
    for i, kind in enumerate(results):
        shape, element = _split(kind)
        elements.append(element)
        parts.append(2 if element.startswith("complex") else 1)
        if element.startswith("complex"):
            real = shape + element[8:-1] + ">"
            plain = real.replace("f64", "ui64")
            for part, name in (("r", "real"), ("i", "imag")):
                lines.append(f"%r{i}{part}c = stablehlo.{name} %r{i} : ({kind}) -> {real}")
                lines.append(f"%r{i}{part} = stablehlo.bitcast_convert %r{i}{part}c : ({real}) -> {plain}")
            returned += [f"%r{i}r", f"%r{i}i"]
            kinds += [plain, plain]
        elif (carrier := _carrier(element)) is not None:
            lines.append(f"%r{i}c = {_conversion(carrier, element)} %r{i} : ({kind}) -> {shape}{carrier}>")
            returned.append(f"%r{i}c")
            kinds.append(f"{shape}{carrier}>")
        else:
            returned.append(f"%r{i}")
            kinds.append(kind)
    body = "\n  ".join(lines)
    text = (
        f"\nfunc.func @main({', '.join(arguments)}) -> ({', '.join(kinds)}) {{\n  {body}\n"
        f"  return {', '.join(returned)} : {', '.join(kinds)}\n}}\n"
    )
    return text, elements, parts


def _split(kind: str) -> tuple[str, str]:
    match = re.fullmatch(r"(tensor<(?:[\d?]+x)*)(.*)>", kind)
    assert match, kind
    return match[1], match[2]


def _conversion(result: str, source: str) -> str:
    bits = re.compile(r"f8\w+|bf16|f16|f64")
    return "stablehlo." + ("bitcast_convert" if bits.fullmatch(result) or bits.fullmatch(source) else "convert")


def _joined(plain: list[Array], elements: list[str], parts: list[int]) -> list[Array]:
    results: list[Array] = []
    for element, count in zip(elements, parts, strict=True):
        taken, plain = plain[:count], plain[count:]
        dtype = dtype_of(element)
        if count == 2:
            value = np.empty(taken[0].shape, dtype)
            value.real, value.imag = (np.asarray(part).view(value.real.dtype) for part in taken)
            results.append(value)
        elif _carrier(element) in _BITS and not re.fullmatch(r"u?i\d", element):
            results.append(np.asarray(taken[0]).view(dtype))
        else:
            results.append(taken[0].astype(dtype))
    return results
