"""JAX: functions (traced with example inputs), `jax.export.Exported` objects, and what they serialize to.

    mlirage.compile(f, [jax.ShapeDtypeStruct((8, 3), "float32")])      jit(f), or plain f
    mlirage.compile(jax.export.export(jax.jit(f))(x))                  symbolic dimensions become the signature's names
    mlirage.compile("model.jax")                                       the bytes of Exported.serialize()

All of them are StableHLO in the end, which importers/mlir.py reads. The signature gets the structure of the function's
arguments and results; nodes of classes that the runtime does not know (dataclasses, equinox modules) are lists of their
leaves there, as `jax.tree.leaves` gives them.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from mlirage.element_types import dtype_name, element_type
from mlirage.errors import ImportFailure, UsageError
from mlirage.importers import Model
from mlirage.importers.jax_messages import why_not_traced
from mlirage.importers.mlir import SIGNATURE, import_mlir, public_functions
from mlirage.mlir import arith, ir
from mlirage.options import CompileOptions
from mlirage.program import Program

PLATFORM = "cpu"


def import_jax(model: Model, options: CompileOptions) -> Program:
    """Imports a JAX function or export.

    Raises:
      ImportFailure: the function cannot be traced, the artefact cannot be read.
      UsageError: a function without example inputs, or an export with some.
    """
    return import_exported(exported_of(model), options)


def exported_of(model: Model) -> Any:
    """The `Exported` of a function, a file or bytes.

    Raises:
      ImportFailure, UsageError: as `import_jax`.
    """
    source = model.source
    what = str(source) if isinstance(source, Path) else "the given bytes"
    if isinstance(source, Path):
        try:
            source = source.read_bytes()
        except OSError as error:
            raise ImportFailure(f"{source}: {error.strerror}") from error
    if callable(source) and not _is_exported_object(source):
        return export_function(source, model.example_inputs, model.example_keywords, model.dynamic_shapes)
    if model.example_inputs or model.example_keywords or model.dynamic_shapes is not None:
        raise UsageError("JAX exports say their inputs themselves: no example inputs, no dynamic_shapes")
    return _deserialize(source, what) if isinstance(source, bytes) else source


def _is_exported_object(source: Any) -> bool:
    return type(source).__name__ == "Exported"


def _deserialize(data: bytes, what: str) -> Any:
    from jax import export

    try:
        return export.deserialize(bytearray(data))
    except Exception as error:  # whatever the flatbuffer's reader meets in damaged bytes
        raise ImportFailure(
            f"{what}: no serialized jax.export.Exported, or cut short ({len(data)} bytes): {error}"
        ) from error


def export_function(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any], shapes: Any = None
) -> Any:
    """The `Exported` of a function for this machine's arrays.

    Raises:
      UsageError: arguments that JAX does not take.
      ImportFailure: the function cannot be traced with them.
    """
    import jax
    from jax import export

    name = getattr(function, "__name__", type(function).__name__)
    if not arguments and not keywords and _needs_arguments(function):
        raise UsageError(
            f"compile({name}): a JAX function is traced with example inputs: "
            f"compile({name}, [jax.ShapeDtypeStruct((8, 3), 'float32')]), or arrays"
        )
    if shapes is not None:
        try:
            arguments = tuple(export.symbolic_args_specs(arguments, shapes))
        except ValueError as error:
            raise UsageError(f"compile({name}): dynamic_shapes do not fit the example inputs: {error}") from error
    is_jitted = hasattr(function, "lower") and hasattr(function, "trace")
    jitted: Any = (
        function if is_jitted else jax.jit(lambda *args, **kwargs: function(*args, **kwargs), keep_unused=True)
    )
    checks = [export.DisabledSafetyCheck.custom_call("ALL")]  # the compiler checks which ones it knows
    try:
        with _without_shardy():
            return export.export(jitted, platforms=[PLATFORM], disabled_checks=checks)(*arguments, **keywords)
    except Exception as error:  # the function's own errors as well as JAX's
        raise ImportFailure(f"JAX could not trace {name}: {why_not_traced(error)}") from error


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return True
    return False


@contextlib.contextmanager
def _without_shardy() -> Generator[None]:
    """Shardings as custom calls rather than ops of a dialect that the bindings lack."""
    import jax

    before = bool(jax.config.jax_use_shardy_partitioner)  # pyright: ignore
    jax.config.update("jax_use_shardy_partitioner", False)
    try:
        yield
    finally:
        jax.config.update("jax_use_shardy_partitioner", before)


def import_exported(exported: Any, options: CompileOptions) -> Program:
    """Imports an `Exported`.

    Raises:
      ImportFailure: it has effects or spans devices, or holds what importers/mlir.py cannot read.
    """
    name = exported.fun_name
    if exported.nr_devices > 1:
        raise ImportFailure(f"{name} was exported for {exported.nr_devices} devices; modules run on one")
    if exported.ordered_effects or exported.unordered_effects:
        effects = ", ".join(map(str, (*exported.ordered_effects, *exported.unordered_effects)))
        raise ImportFailure(
            f"{name} has effects that a module cannot have: {effects}; take out callbacks and jax.debug.print"
        )
    program = import_mlir(_artifact(exported), options)
    (main,) = public_functions(program.module)
    with program.context, ir.Location.unknown():
        if len(exported.platforms) > 1:
            _choose_platform(main, exported.platforms)
        _restore_unused(main, exported)
        main.attributes[SIGNATURE] = ir.StringAttr.get(json.dumps(_signature(main, exported)))
    return program


def _artifact(exported: Any) -> bytes:
    """The portable artifact, without ops and attributes of Shardy."""
    data: bytes = exported.mlir_module_serialized
    if b"sdy" not in data:
        return data
    from mlirage.importers.jax_sharding import without_sharding

    return without_sharding(data)


def _choose_platform(main: ir.Operation, platforms: tuple[str, ...]) -> None:
    """A module for several platforms takes the number of the one it runs on first: that becomes a constant."""
    if PLATFORM not in platforms:
        raise ImportFailure(f"exported for {', '.join(platforms)}, not for {PLATFORM}")
    block = main.regions[0].blocks[0]
    argument = block.arguments[0]
    kind = ir.RankedTensorType(argument.type)
    with ir.InsertionPoint.at_block_begin(block):
        number = ir.DenseElementsAttr.get_splat(kind, ir.IntegerAttr.get(kind.element_type, platforms.index(PLATFORM)))
        argument.replace_all_uses_with(arith.constant(kind, number))
    _set_arguments(main, list(range(1, len(block.arguments))), [a.type for a in list(block.arguments)[1:]])


def _restore_unused(main: ir.Operation, exported: Any) -> None:
    """Arguments that JAX left out because nothing reads them come back: callers pass them."""
    kept = list(exported.module_kept_var_idx)
    if len(kept) == len(exported.in_avals):
        return
    arguments = list(main.regions[0].blocks[0].arguments)
    types = [arguments[kept.index(i)].type if i in kept else _type(a) for i, a in enumerate(exported.in_avals)]
    _set_arguments(main, [kept.index(i) if i in kept else None for i in range(len(types))], types)


def _set_arguments(main: ir.Operation, sources: list[int | None], types: list[ir.Type]) -> None:
    """Makes the function take `types`; argument i replaces the present argument `sources[i]`."""
    block = main.regions[0].blocks[0]
    old = list(block.arguments)
    for source, kind in zip(sources, types, strict=True):
        new = block.add_argument(kind, old[source].location if source is not None else ir.Location.unknown())
        if source is not None:
            old[source].replace_all_uses_with(new)
    for _ in old:
        block.erase_argument(0)
    results = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value).results
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, results))
    if "arg_attrs" in main.attributes:
        del main.attributes["arg_attrs"]


def is_key(aval: Any) -> bool:
    """Whether an array is one of keys of random numbers, which are some words each in a module."""
    import jax.numpy as jnp
    from jax import dtypes

    return jnp.issubdtype(aval.dtype, dtypes.prng_key)


def _type(aval: Any) -> ir.Type:
    """The tensor type of an abstract array, as JAX lowers it."""
    import jax

    if is_key(aval):
        aval = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(aval.shape, aval.dtype))
    dynamic = ir.ShapedType.get_dynamic_size()
    shape = [d if isinstance(d, int) else dynamic for d in aval.shape]
    return ir.RankedTensorType.get(shape, element_type(aval.dtype.name))


def _signature(main: ir.Operation, exported: Any) -> dict[str, Any]:
    """What the function takes and gives, with the names of symbolic dimensions and the trees of the source."""
    import jax

    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(_skeleton(exported.in_tree))[0]]
    names = [_argument_name(path) for path in paths]
    arguments = [
        {"name": name, **_described(aval, value_type)}
        for name, aval, value_type in zip(names, exported.in_avals, kind.inputs, strict=True)
    ]
    results = [
        {"name": f"result{i}", **_described(aval, value_type)}
        for i, (aval, value_type) in enumerate(zip(exported.out_avals, kind.results, strict=True))
    ]
    return {
        "arguments": arguments,
        "results": results,
        "source": "jax",
        "in_tree": _tree(exported.in_tree),
        "out_tree": _tree(exported.out_tree),
    }


def _described(aval: Any, value_type: ir.Type) -> dict[str, Any]:
    kind = ir.RankedTensorType(value_type)
    # Keys of random numbers are arrays of integers in the module: extents behind the type's shape.
    shape: list[Any] = [_extent(d) for d in aval.shape]
    shape += list(kind.shape[len(shape) :])
    return {"dtype": dtype_name(kind.element_type), "shape": shape}


def _extent(dim: Any) -> int | str | None:
    """A symbol is a name; of an expression in symbols the module itself checks what it must be."""
    if isinstance(dim, int):
        return dim
    return str(dim) if str(dim).isidentifier() else None


def _skeleton(tree: Any) -> Any:
    return tree.unflatten(range(tree.num_leaves))


def _argument_name(path: tuple[Any, ...]) -> str:
    """`args[0].w` of the path (0, 0, 'w') in (positional, keywords)."""
    import jax

    group, *rest = path
    return ("args" if getattr(group, "idx", 0) == 0 else "kwargs") + jax.tree_util.keystr(tuple(rest))


def _tree(tree: Any) -> Any:
    """A JAX tree in the signature's form."""
    data: Any = tree.node_data()
    if data is None:
        return "*"
    kind, keys = data
    if kind is type(None):
        return {"none": 0}
    children = [_tree(child) for child in tree.children()]
    if kind is list:
        return {"list": children}
    if issubclass(kind, tuple):
        return {"tuple": children}
    if issubclass(kind, dict):
        # An OrderedDict's keys are all its data, a defaultdict's come behind its factory.
        names = keys[1] if len(keys) == 2 and isinstance(keys[1], list | tuple) else keys
        if all(isinstance(name, str) for name in names):
            return {"dict": dict(zip(names, children, strict=True))}
    return {"list": ["*"] * tree.num_leaves}
