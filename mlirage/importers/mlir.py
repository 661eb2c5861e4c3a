"""MLIR text and bytecode: linalg, tensor, StableHLO (portable artifacts included), CHLO, TOSA, torch, mixed.

Importing parses, takes weights out of the IR and writes down the public functions' signatures while the types still
say which integers are unsigned; converting the dialects is the work of phase `input`.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from mlirage.constants import add_global, extern, replace_constant
from mlirage.element_types import dtype_name, dtype_of, signless
from mlirage.errors import ImportFailure
from mlirage.importers.custom_calls import expand_custom_calls
from mlirage.importers.mlir_resources import MAGIC, Blobs, bytecode_blobs, split_text
from mlirage.importers.worker import try_text
from mlirage.input.convert_stablehlo_quantization import quantized_storage
from mlirage.input.externalize_constants import CONSTANT_OPS, MAX_INLINE_ELEMENTS
from mlirage.mlir import describe_location, ir, ml_program, new_context, stablehlo_api, walk
from mlirage.options import CompileOptions
from mlirage.passes import explain
from mlirage.program import Array, Program

SIGNATURE = "mlirage.signature"

# Constants that a lowering must see as attributes (shapes, paddings, quantization parameters) have at most this many.
_MAX_DENSE_ELEMENTS = 4096


def import_mlir(source: str | bytes | Path, options: CompileOptions) -> Program:
    """Imports an MLIR module.

    Raises:
      ImportFailure: it does not parse or verify, or holds constants of types that numpy lacks.
    """
    name, data = _contents(source)
    module, blobs = _parse(name, data)
    program = Program(module, options=options)
    with module.context, ir.Location.unknown():
        expand_custom_calls(program)
        _take_out_blobs(program, blobs)
        for function in public_functions(module):
            if SIGNATURE not in function.attributes:
                function.attributes[SIGNATURE] = ir.StringAttr.get(json.dumps(_signature(function)))
    return program


def parse_program(source: str | Path, options: CompileOptions) -> Program:
    """The program that `Program.save` wrote, or MLIR text of a later phase that needs no weights.

    Raises:
      ImportFailure: it does not parse or verify.
    """
    try:
        if isinstance(source, Path):
            try_text(str(source), source.read_bytes().decode(errors="replace"))
            return Program.load(source, options)
        try_text("<text>", source)
        return Program(ir.Module.parse(source, new_context()), options=options)
    except ir.MLIRError as error:
        raise _parse_failure(str(source) if isinstance(source, Path) else "<text>", error) from error


def public_functions(module: ir.Module) -> list[ir.Operation]:
    """The functions with a body that callers of the module can see."""
    return [
        op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
        and op.operation.regions[0].blocks
        and _text_attribute(op.operation, "sym_visibility") in ("", "public")
    ]


def _contents(source: str | bytes | Path) -> tuple[str, str | bytes]:
    if not isinstance(source, Path):
        return ("<bytes>" if isinstance(source, bytes) else "<text>"), source
    try:
        data = source.read_bytes()
        return str(source), data if data.startswith(MAGIC) else data.decode()
    except UnicodeDecodeError:
        raise ImportFailure(f"{source}: neither MLIR text nor MLIR bytecode") from None
    except OSError as error:
        raise ImportFailure(f"{source}: {error.strerror}") from error


def _parse(name: str, data: str | bytes) -> tuple[ir.Module, Blobs]:
    context = new_context()
    try:
        if isinstance(data, str):
            text, blobs = split_text(data)
            try_text(name, text)
            if blobs or name.startswith("<"):
                return ir.Module.parse(text, context), blobs
            return ir.Module.parseFile(name, context), blobs  # keeps the file's name in locations
        if data[len(MAGIC) + 1 :].startswith(b"StableHLO_v"):  # the producer named in a portable artifact
            with context:
                module = stablehlo_api.deserialize_portable_artifact(context, data)
        else:
            module = ir.Module.parse(data, context)
        return module, bytecode_blobs(data)
    except ir.MLIRError as error:
        raise _parse_failure(name, error) from error
    except ValueError as error:  # "failed to deserialize module"
        raise ImportFailure(f"{name}: {error}; {_versions()}") from error


def _versions() -> str:
    return (
        f"StableHLO artifacts from version {stablehlo_api.get_minimum_version()} "
        f"to {stablehlo_api.get_current_version()} are accepted"
    )


def _parse_failure(name: str, error: ir.MLIRError) -> ImportFailure:
    text = re.sub(r"^-:", f"{name}:", explain(error), flags=re.MULTILINE)
    hint = ""
    if "unknown" in text and "sdy" in text:
        hint = "\nJAX: export with jax.config.update('jax_use_shardy_partitioner', False)"
    elif "custom op" in text or "expected" in text:
        hint = "\nText of another MLIR version may differ in its custom forms: print it with --mlir-print-op-generic"
    return ImportFailure(f"{text}{hint}")


def _take_out_blobs(program: Program, blobs: Blobs) -> None:
    """Replaces `dense_resource` attributes: weights leave the IR, small ones become `dense`."""
    for op in walk(program.module.operation):
        key = "values" if op.name == "tosa.const" else "value"
        attribute = op.attributes[key] if op.name in (*CONSTANT_OPS, "ml_program.global") and _has(op, key) else None
        resource = re.match(r'dense_resource<("?)(.*)\1> : ', str(attribute)) if attribute is not None else None
        if resource is None:
            continue
        name = resource[2]
        if name not in blobs:
            raise ImportFailure(
                f"{describe_location(op.location)}: the module names the resource {name!r} but does not contain it"
            )
        assert attribute is not None
        array = _array(op, ir.ShapedType(attribute.type), blobs[name], name)
        if op.name == "ml_program.global":
            program.constants[_text_attribute(op, "sym_name")] = array
            op.attributes["value"] = extern(ir.TypeAttr(op.attributes["type"]).value)
        elif array.size <= (_MAX_DENSE_ELEMENTS if op.name == "tosa.const" else MAX_INLINE_ELEMENTS):
            op.attributes[key] = _dense(array, ir.ShapedType(attribute.type))
        elif op.name == "torch.vtensor.literal":
            _replace_torch_literal(program, op, array, name, ir.RankedTensorType(attribute.type))
        else:
            replace_constant(program, op, array, name=re.sub(r"[^\w$.]", "_", name))


def _replace_torch_literal(
    program: Program, op: ir.Operation, array: Array, name: str, kind: ir.RankedTensorType
) -> None:
    """The torch dialect has tensor types of its own: the load of a global becomes one of them."""
    plain = signless(kind)
    symbol = add_global(program, plain, array, re.sub(r"[^\w$.]", "_", name))
    with op.location, ir.InsertionPoint(op):
        load = ml_program.global_load_const(plain, ir.FlatSymbolRefAttr.get(symbol))
        own = ir.Operation.create("torch_c.from_builtin_tensor", results=[op.results[0].type], operands=[load])
    op.results[0].replace_all_uses_with(own.results[0])
    op.erase()


def _has(op: ir.Operation, key: str) -> bool:
    try:
        return key in op.attributes and isinstance(op.attributes[key], ir.Attribute)
    except TypeError:  # a dense complex attribute, which the bindings cannot hand out, is no resource
        return False


def _array(op: ir.Operation, shaped: ir.ShapedType, blob: memoryview, name: str) -> Array:
    try:
        dtype = dtype_of(shaped.element_type)
    except KeyError:
        raise ImportFailure(
            f"{describe_location(op.location)}: constants of type {shaped.element_type} are not supported"
        ) from None
    count = math.prod(shaped.shape)
    if len(blob) != count * dtype.itemsize:
        raise ImportFailure(
            f"{describe_location(op.location)}: resource {name!r} has {len(blob)} bytes, "
            f"{shaped} needs {count * dtype.itemsize}"
        )
    return np.frombuffer(blob, dtype).reshape(shaped.shape)


def _dense(array: Array, shaped: ir.ShapedType) -> ir.Attribute:
    data = np.ascontiguousarray(array).tobytes().hex().upper()
    return ir.Attribute.parse(f'dense<"0x{data}"> : {shaped}' if data else f"dense<> : {shaped}")


def _signature(function: ir.Operation) -> dict[str, Any]:
    kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    names = [_name_of(argument) for argument in function.regions[0].blocks[0].arguments]
    unique = len(set(names)) == len(names)
    return {
        "arguments": [
            {"name": name if name and unique else f"arg{number}", **_described(function, value_type)}
            for number, (name, value_type) in enumerate(zip(names, kind.inputs, strict=True))
        ],
        "results": [
            {"name": f"result{number}", **_described(function, value_type)}
            for number, value_type in enumerate(kind.results)
        ],
        "source": "mlir",
    }


def _described(function: ir.Operation, value_type: ir.Type) -> dict[str, Any]:
    value_type = quantized_storage(value_type)
    shaped = isinstance(value_type, ir.RankedTensorType)
    element = value_type.element_type if isinstance(value_type, ir.RankedTensorType) else value_type
    match = re.fullmatch(r"!torch\.vtensor<\[(.*)\],(.*)>", str(value_type))
    if match:  # the torch dialect has tensor types of its own, always with a sign
        with function.context:
            element = ir.Type.parse(match[2])
        shape = [int(dim) if dim != "?" else None for dim in match[1].split(",") if dim]
    else:
        shape = (
            [None if value_type.is_dynamic_dim(i) else value_type.get_dim_size(i) for i in range(value_type.rank)]
            if isinstance(value_type, ir.RankedTensorType)
            else []
        )
    try:
        dtype = dtype_name(element)
    except KeyError:
        raise ImportFailure(
            f"{describe_location(function.location)}: function @{_text_attribute(function, 'sym_name')} has an "
            "argument or result of type "
            f"{value_type}, which cannot cross the boundary of a module"
        ) from None
    described: dict[str, Any] = {"dtype": dtype, "shape": shape}
    return described if shaped or match else {**described, "scalar": True}


def _name_of(argument: ir.BlockArgument) -> str:
    """The name in the location of an argument, as JAX writes it."""
    match = re.match(r'loc\("((?:[^"\\]|\\.)*)"(?!:\d)', str(argument.location))
    return match[1] if match else ""


def _text_attribute(op: ir.Operation, name: str) -> str:
    return ir.StringAttr(op.attributes[name]).value if name in op.attributes else ""
