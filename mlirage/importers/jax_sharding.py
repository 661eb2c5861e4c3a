"""Takes Shardy out of a portable artifact: modules run on one device, and the MLIR bindings lack its dialect.

JAX's own bindings read the artifact: meshes and sharding attributes go, a sharding constraint is its operand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlirage.errors import ImportFailure


def without_sharding(data: bytes) -> bytes:
    """The artifact without ops and attributes of dialect `sdy`.

    Raises:
      ImportFailure: it computes per device (`sdy.manual_computation`: shard_map), or cannot be read.
    """
    import jax._src.interpreters.mlir as jax_mlir  # the only maker of contexts that know all of JAX's dialects
    from jaxlib.mlir.dialects import stablehlo

    context: Any = jax_mlir.make_ir_context()
    with context:
        try:
            module: Any = stablehlo.deserialize_portable_artifact(context, data)
        except Exception as error:
            raise ImportFailure(f"JAX cannot read this StableHLO artifact: {error}") from error
        for op in list(_walk(module.operation)):
            _strip_attributes(op)
            if op.name == "sdy.sharding_constraint":
                op.results[0].replace_all_uses_with(op.operands[0])
                op.erase()
            elif op.name == "sdy.mesh":
                op.erase()
            elif op.name.startswith("sdy."):
                raise ImportFailure(f"{op.name} at {op.location}: programs over several devices are not supported")
        return stablehlo.serialize_portable_artifact(module, stablehlo.get_minimum_version())


def _walk(operation: Any) -> Iterator[Any]:
    yield operation
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                yield from _walk(op.operation)


def _strip_attributes(op: Any) -> None:
    from jaxlib.mlir import ir

    for name in list(op.attributes):
        if name.startswith("sdy."):
            del op.attributes[name]
        elif name in ("arg_attrs", "res_attrs"):
            kept = [
                ir.DictAttr.get({a.name: a.attr for a in entry if not a.name.startswith("sdy.")})  # pyright: ignore
                for entry in op.attributes[name]
            ]
            op.attributes[name] = ir.ArrayAttr.get(kept)
