"""Lowerings of StableHLO's custom calls that users register: MLIR text, a JAX function, or a function that writes MLIR.

    mlirage.register_custom_call("acme.gelu", jax=jax.nn.gelu)
    mlirage.register_custom_call("acme.swap", mlir="func.func @swap(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {…}")
    mlirage.register_custom_call("acme.scale", build=lambda call: f"func.func @scale(%x: {call.operands[0]}) …")

A call of a registered target becomes a call of the lowering's function when a module is imported; what nobody
registered and the compiler does not know is reported by phase `input`, all targets at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlirage.element_types import dtype_of
from mlirage.errors import ImportFailure, UsageError
from mlirage.mlir import describe_location, ir, stablehlo_api, tensor, walk
from mlirage.program import Program

_OP = "stablehlo.custom_call"
_DEEPEST = 8
"""How often a lowering may hold a call whose lowering holds a call, and so on."""


@dataclass(frozen=True)
class CustomCall:
    """What a lowering may depend on: types as text (`tensor<?x3xf32>`), attributes as Python values."""

    target: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class _Lowering:
    mlir: str | None
    jax: Callable[..., Any] | None
    build: Callable[[CustomCall], str] | None


_LOWERINGS: dict[str, _Lowering] = {}


def register_custom_call(
    target: str,
    *,
    mlir: str | None = None,
    jax: Callable[..., Any] | None = None,
    build: Callable[[CustomCall], str] | None = None,
) -> None:
    """Says what calls of `target` compute; a later registration replaces an earlier one.

    Args:
      target: the call's `call_target_name`.
      mlir: text of a module with one public function of the call's operands and results, in any dialect that
        `mlirage.compile` takes; private functions may stand beside it.
      jax: a function of JAX arrays; the call's attributes are its keyword arguments.
      build: gives such text for a `CustomCall`.

    Raises:
      UsageError: not exactly one lowering is given.
    """
    if sum(form is not None for form in (mlir, jax, build)) != 1:
        raise UsageError(f"register_custom_call({target!r}): give one of mlir=, jax= and build=")
    _LOWERINGS[target] = _Lowering(mlir, jax, build)


def expand_custom_calls(program: Program) -> None:
    """Replaces calls of registered targets, those in lowerings too, by calls of functions.

    Raises:
      ImportFailure: a lowering cannot be parsed, does not fit its call, or calls itself.
    """
    if not _LOWERINGS:
        return
    numbers = itertools.count()
    for _ in range(_DEEPEST):
        found = _registered(program.module.operation)
        if not found:
            return
        for op in found:
            _expand(program, op, next(numbers))
    if left := _registered(program.module.operation):
        raise ImportFailure(f"the lowering of custom call {_target(left[0])!r} calls itself")


def _registered(module: ir.Operation) -> list[ir.Operation]:
    return [op for op in walk(module) if op.name == _OP and _target(op) in _LOWERINGS]


def _target(op: ir.Operation) -> str:
    return ir.StringAttr(op.attributes["call_target_name"]).value


def _expand(program: Program, op: ir.Operation, number: int) -> None:
    where = f"{describe_location(op.location)}: custom call {_target(op)!r}"
    call = CustomCall(
        _target(op),
        tuple(str(v.type) for v in op.operands),
        tuple(str(v.type) for v in op.results),
        _attributes(op),
    )
    lowering = _parse(program, _text(call, op, where), where)
    function = _adopt(program, lowering, f"{call.target}.{number}", where)
    kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    wanted = [v.type for v in op.operands], [v.type for v in op.results]
    if [len(kind.inputs), len(kind.results)] != [len(group) for group in wanted]:
        raise ImportFailure(f"{where}: the lowering is a {kind}, the call has {_types(op)}")
    with op.location, ir.InsertionPoint(op):
        operands = [_cast(v, t, where) for v, t in zip(op.operands, kind.inputs, strict=True)]
        name = ir.FlatSymbolRefAttr.get(ir.StringAttr(function.attributes["sym_name"]).value)
        new = ir.Operation.create("func.call", list(kind.results), operands, {"callee": name})
        for old, result in zip(op.results, new.results, strict=True):
            old.replace_all_uses_with(_cast(result, old.type, where))
    op.erase()


def _types(op: ir.Operation) -> str:
    return f"({', '.join(str(v.type) for v in op.operands)}) -> ({', '.join(str(v.type) for v in op.results)})"


def _cast(value: ir.Value, kind: ir.Type, where: str) -> ir.Value:
    """`value` in a type that knows more or less of its extents."""
    if value.type == kind:
        return value
    if not (isinstance(value.type, ir.RankedTensorType) and isinstance(kind, ir.RankedTensorType)):
        raise ImportFailure(f"{where}: the lowering has a {value.type} where the call has a {kind}")
    pairs = zip(value.type.shape, kind.shape, strict=False)
    unknown = ir.ShapedType.get_dynamic_size()
    fits = value.type.rank == kind.rank and all(a == b or unknown in (a, b) for a, b in pairs)
    if not fits or value.type.element_type != kind.element_type:
        raise ImportFailure(f"{where}: the lowering has a {value.type} where the call has a {kind}")
    return tensor.cast(kind, value)


def _attributes(op: ir.Operation) -> dict[str, Any]:
    """The call's configuration: JAX's dictionary, or the text of another."""
    for key in ("mhlo.backend_config", "backend_config"):
        if key not in op.attributes:
            continue
        attribute = op.attributes[key]
        if isinstance(attribute, ir.DictAttr):
            return {entry.name: _value(entry.attr) for entry in (attribute[i] for i in range(len(attribute)))}
        if isinstance(attribute, ir.StringAttr) and attribute.value:
            return {"backend_config": attribute.value}
    return {}


def _value(attribute: ir.Attribute) -> Any:
    if isinstance(attribute, ir.ArrayAttr):
        return [_value(item) for item in attribute]
    if isinstance(attribute, (ir.BoolAttr, ir.IntegerAttr, ir.FloatAttr, ir.StringAttr)):
        return attribute.value
    return str(attribute)


def _text(call: CustomCall, op: ir.Operation, where: str) -> str | bytes:
    lowering = _LOWERINGS[call.target]
    if lowering.mlir is not None:
        return lowering.mlir
    if lowering.build is not None:
        text: Any = lowering.build(call)
        if not isinstance(text, str):
            raise ImportFailure(f"{where}: build= gave a {type(text).__name__}, not MLIR text")
        return text
    assert lowering.jax is not None
    return _traced(lowering.jax, call, op)


def _traced(function: Callable[..., Any], call: CustomCall, op: ir.Operation) -> bytes:
    """The artifact of a JAX function for the operands' types; every open extent is a symbol of its own."""
    import jax
    from jax import export

    from mlirage.importers.jax import export_function

    specs: list[Any] = []
    kinds = [ir.RankedTensorType(value.type) for value in op.operands]
    names = iter([f"d{i}" for i in range(sum(kind.rank for kind in kinds))])
    scope = export.SymbolicScope()
    for kind in kinds:
        dims = ", ".join(next(names) if kind.is_dynamic_dim(i) else str(n) for i, n in enumerate(kind.shape))
        specs.append(jax.ShapeDtypeStruct(export.symbolic_shape(dims, scope=scope), dtype_of(kind.element_type)))
    fixed = dict(call.attributes)
    exported = export_function(lambda *arrays: function(*arrays, **fixed), tuple(specs), {})
    return exported.mlir_module_serialized


def _parse(program: Program, text: str | bytes, where: str) -> ir.Module:
    try:
        if isinstance(text, bytes):
            return stablehlo_api.deserialize_portable_artifact(program.context, text)
        return ir.Module.parse(text, program.context)
    except ir.MLIRError as error:
        raise ImportFailure(f"{where}: its lowering cannot be parsed: {error}") from error


def _adopt(program: Program, lowering: ir.Module, prefix: str, where: str) -> ir.Operation:
    """Moves the functions of a lowering into the program under names of their own; gives the public one."""
    functions = [op.operation for op in lowering.body.operations]
    if any(op.name != "func.func" for op in functions):
        raise ImportFailure(f"{where}: a lowering consists of functions alone")
    public = [op for op in functions if _visibility(op) == "public"]
    if len(public) != 1:
        raise ImportFailure(f"{where}: a lowering has one public function, not {len(public)}")
    for op in functions:
        name = ir.StringAttr(op.attributes["sym_name"]).value
        ir.SymbolTable.replace_all_symbol_uses(name, f"{prefix}.{name}", lowering.operation)
        op.attributes["sym_name"] = ir.StringAttr.get(f"{prefix}.{name}")
        op.attributes["sym_visibility"] = ir.StringAttr.get("private")
    adopted = [op.clone(ip=ir.InsertionPoint(program.module.body)) for op in functions]
    return next(copy for op, copy in zip(functions, adopted, strict=True) if op is public[0])


def _visibility(op: ir.Operation) -> str:
    return ir.StringAttr(op.attributes["sym_visibility"]).value if "sym_visibility" in op.attributes else "public"
