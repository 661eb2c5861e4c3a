"""Finds, before anything is imported, every operator of a model that cannot be: all are reported in one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx

from mlirage.errors import ImportFailure
from mlirage.importers.onnx_ops.registry import find_operator, node_label

if TYPE_CHECKING:
    from mlirage.importers.onnx_graph import ModelContext


_STRINGS = "works on strings, which compiled code cannot compute with: do this before the model and pass its result"
_MAPS = "works on maps (dictionaries), which compiled code has not: remove the node and use the tensors it reads"
_MEANINGLESS = {
    **dict.fromkeys(("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "CategoryMapper"), _STRINGS),
    **dict.fromkeys(("CastMap", "DictVectorizer"), _MAPS),
    "ZipMap": f"{_MAPS} (exporters of scikit-learn models leave it out with zipmap=False)",
    "ImageDecoder": "decodes an image file: decode it before the model and pass the pixels",
}


@dataclass
class _Unsupported:
    reason: str
    nodes: list[str] = field(default_factory=list[str])


def check_supported(model: onnx.ModelProto, context: ModelContext) -> None:
    """Looks at all nodes, those of subgraphs and functions included.

    Raises:
      ImportFailure: names each unsupported operator with domain, opset, the number of its nodes and their names.
    """
    missing: dict[tuple[str, str, int], _Unsupported] = {}
    _visit(model.graph.node, context, context.opsets, missing, set())
    if not missing:
        return
    lines = ["the model holds operators that are not supported:"]
    for (domain, name, opset), entry in sorted(missing.items()):
        shown = ", ".join(entry.nodes[:5]) + (", …" if len(entry.nodes) > 5 else "")
        lines.append(
            f"  {domain or 'ai.onnx'}.{name} (opset {opset}), {len(entry.nodes)} nodes: {shown} — {entry.reason}"
        )
    raise ImportFailure("\n".join(lines))


def _visit(
    nodes: Iterable[onnx.NodeProto],
    context: ModelContext,
    opsets: dict[str, int],
    missing: dict[tuple[str, str, int], _Unsupported],
    seen: set[tuple[str, str, str]],
) -> None:
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        key = (node.domain, node.op_type, node.overload)
        if key in context.functions:
            if key not in seen:
                function = context.functions[key]
                imports = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in function.opset_import}
                _visit(function.node, context, imports, missing, seen | {key})
            else:
                _add(missing, domain, node, 0, "the function calls itself")
        elif domain not in opsets:
            _add(missing, domain, node, 0, "the model does not import this domain")
        elif find_operator(domain, node.op_type) is None:
            reason = _why(domain, node.op_type, opsets[domain])
            if reason:
                _add(missing, domain, node, opsets[domain], reason)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _visit(attribute.g.node, context, opsets, missing, seen)
            for graph in attribute.graphs:
                _visit(graph.node, context, opsets, missing, seen)


def _why(domain: str, name: str, opset: int) -> str | None:
    """Why an operator without function of ours cannot be imported; None if its schema has a body."""
    if domain.startswith("com.microsoft"):
        return "an operator of ONNX Runtime alone, not supported: export the model without ONNX Runtime's optimizations"
    try:
        schema: Any = onnx.defs.get_schema(name, opset, domain)
    except onnx.defs.SchemaError:
        return "no such operator is known; custom operators can be given as model-local functions"
    if schema.has_function or schema.has_context_dependent_function:
        return None
    return _MEANINGLESS.get(name, "not supported yet")


def _add(
    missing: dict[tuple[str, str, int], _Unsupported], domain: str, node: onnx.NodeProto, opset: int, reason: str
) -> None:
    missing.setdefault((domain, node.op_type, opset), _Unsupported(reason)).nodes.append(node_label(node))
