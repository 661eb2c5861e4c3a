"""Writes the part of docs/pytorch.md that says which operators are missing: `python docs/make_pytorch_operators.py`.

Operators are those that the torch dialect of torch-mlir names, and all of ATen; an operator is there if the importer
has a function for it, or PyTorch decomposes it to operators that have one.
"""

from __future__ import annotations

import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generated_parts import write

_PAGE = Path(__file__).with_name("pytorch.md")
# Not a program's: devices, memory, autograd, sparse and nested tensors, the old quantized tensors, other back ends.
_ELSEWHERE = re.compile(
    r"cuda|cudnn|miopen|mkldnn|mps|xpu|vulkan|sparse|nested|jagged|quantize|qint|q_|fbgemm|fused|foreach|_amp_|"
    r"coo|csr|crow|ccol|named|rename|align_|backward_|_debug|_test|pin|storage|record_stream|set_data|retain|requires|"
    r"autocast|_version|dlpack|cpu_|flash|efficient_attention|cslt|mixed_dtypes|wrapped|observed|_slow_conv|thnn|"
    r"generator|triton|_foobar|_dual|_fw_primal|_lazy|dep_token|_print|_efficientzero|_resize|is_set_to|set\\.|"
    r"batch_norm_(?:elemt|gather|stats|update)|feature_meta|_copy_from|nnpack|overrideable|_helper|_combination|"
    r"from_file|data$|to_padded|_philox|_jagged|vitals|flattened_dense|_values|indices$|indices_copy$|bsr|bsc"
)


def _torch_mlir() -> set[str]:
    spec = find_spec("torch_mlir.dialects._torch_ops_gen")
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text()
    found = re.findall(r'OPERATION_NAME = "torch\.((?:aten|prims)\.[^"]+)"', text)
    return {name if name.count(".") > 1 else f"{name}.default" for name in found}


def _writes(operator: Any) -> bool:
    """In-place forms and those with `out=`: PyTorch makes them functional before the importer sees them."""
    return any(a.alias_info is not None and a.alias_info.is_write for a in operator._schema.arguments)


def missing(names: set[str]) -> tuple[list[str], int]:
    """Those without a function or decomposition, and how many there are in all that PyTorch still has."""
    import torch

    from mlirage.importers.pytorch_export import decompositions
    from mlirage.importers.pytorch_ops.registry import operators

    known = set(operators()) | {str(operator) for operator in decompositions()}
    absent: list[str] = []
    count = 0
    for name in sorted(names):
        namespace, operator, overload = name.split(".")
        found = getattr(getattr(getattr(torch.ops, namespace), operator, None), overload, None)
        # TorchScript's own operators on numbers and lists have no dispatcher.
        if found is None or _writes(found) or not torch._C._dispatch_has_kernel(found.name()):
            continue
        count += 1
        implicit = torch._C._dispatch_has_kernel_for_dispatch_key(found.name(), "CompositeImplicitAutograd")
        if name not in known and not implicit:
            absent.append(name)
    return absent, count


def _aten() -> set[str]:
    import torch

    every: set[str] = set()
    for schema in torch._C._jit_get_all_schemas():
        if schema.name.startswith("aten::"):
            every.add(f"aten.{schema.name[6:]}.{schema.overload_name or 'default'}")
    return {name for name in every if not _ELSEWHERE.search(name)}


def section() -> str:
    """The part of the page."""
    lines = [""]
    for title, names in (("torch-mlir's torch dialect", _torch_mlir()), ("ATen", _aten())):
        absent, count = missing(names)
        lines += [f"Of the {count} functional operators of {title}, {count - len(absent)} are there. Missing:", ""]
        text = ", ".join(f"`{name.removeprefix('aten.').removesuffix('.default')}`" for name in absent)
        lines += [text or "none", ""]
    return "\n".join(lines)


def main() -> int:
    """Writes or checks the page."""
    warnings.simplefilter("ignore")
    return write(_PAGE, {"operators": section()})


if __name__ == "__main__":
    sys.exit(main())
