"""What users are told where PyTorch cannot trace a model: the place in their code, PyTorch's reason, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mlirage.importers.tracing_errors import line_of_model

_TORCH = Path(torch.__file__).parent
_LAYERS = _TORCH / "nn/modules"

_HINTS = (
    (
        "GuardOnDataDependent|DataDependentOutput|DynamicOutputShape|Eager execution is required",
        "Python decides here by what a tensor holds, which is known only at run time: use torch.where, torch.cond or "
        "torch.while_loop, or say what holds of the number with torch._check",
    ),
    (r"\.numpy\(\)|numpy\.ndarray", "numpy's arrays cannot be traced: pass and use tensors (torch.from_numpy)"),
    (
        "quantized nyi|PackedParams|quantized::",
        "models that torch.ao.quantization converted in eager mode keep their weights out of sight: quantize by PT2E "
        "(torchao.quantization.pt2e), or export to ONNX with QuantizeLinear",
    ),
    ("ScriptModule", "TorchScript is not traced: give the nn.Module that it was made of"),
    (
        "Constraints violated|ConstraintViolation|dynamic_shapes|list assignment index out of range",
        "dynamic_shapes must fit the model and the example inputs: a dim per axis that may vary, example extents of 2 "
        "or more and within the dim's range, no axis whose extent the model's weights fix",
    ),
    ("DeviceMismatch", "the model and the example inputs must be on one device: model.cpu()"),
)
_NOISE = re.compile(
    r"\n+(consider using data-dependent|Caused by:|For more information|For C\+\+ stack trace|The error above occurred"
    r"|The following call raised)|For more information about this error, see: \S+| For more information, run with \S+",
)


def why_not_traced(error: BaseException) -> str:
    """The reason, the line of the model where it shows, and what can be done."""
    text = str(error)
    end = next((m.start() for m in _NOISE.finditer(text) if m[0].startswith("\n")), len(text))
    lines = [f"{type(error).__name__}: {_NOISE.sub('', text[:end]).strip()}"]
    if place := line_of_model(error, _TORCH, _LAYERS):
        lines.append(f"  at {place}")
    searched = f"{type(error).__name__}: {text}"
    lines += [f"  {hint}" for pattern, hint in _HINTS if re.search(pattern, searched)][:1]
    return "\n".join(lines)
