"""What users are told where JAX cannot trace a function: the place in their code, JAX's reason, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from mlirage.importers.tracing_errors import line_of_model

_HINTS = (
    ("TracerBoolConversion", "Python cannot branch on what arrays hold: use jnp.where, lax.cond or lax.while_loop"),
    (
        "NonConcreteBooleanIndex",
        "how many elements a mask takes is known only at run time: use jnp.where(mask, x, …), or size= of jnp.nonzero",
    ),
    ("TracerArrayConversion", "numpy's functions cannot be traced: use those of jax.numpy"),
    ("Concretization|TracerIntegerConversion", "use jnp's functions, or make the argument static"),
    (
        "host_callbacks",
        "callbacks into Python (jax.pure_callback, io_callback, jax.debug.print) cannot be compiled: leave them out",
    ),
    ("InconclusiveDimension", "say more of the symbolic dims: jax.export.symbolic_shape(…, constraints=…), or '2*b'"),
    (
        "interpreting argument|not a valid JAX type",
        "arguments are arrays and numbers; bind others with functools.partial",
    ),
)
_NOISE = re.compile(
    r"\n*See https://docs\.jax\.dev\S+|\n*The error occurred while tracing[^\n]*|\n*-{20,}.*", re.DOTALL
)


def why_not_traced(error: BaseException) -> str:
    """The reason, the line of the function where it shows, and what can be done."""
    import jax

    text = f"{type(error).__name__}: {error}"
    lines = [_NOISE.sub("", text).strip()]
    if place := line_of_model(error, Path(jax.__file__).parent):
        lines.append(f"  at {place}")
    lines += [f"  {hint}" for pattern, hint in _HINTS if re.search(pattern, text)][:1]
    return "\n".join(lines)
