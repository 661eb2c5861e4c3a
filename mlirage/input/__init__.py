"""input: any imported dialect becomes linalg, tensor, arith, math and scf on tensors, and weights leave the IR.

PIPELINE converts dialects; ABI fixes the signature of public functions; PREPROCESSING raises and normalizes ops.
"""

from mlirage.input.externalize_constants import externalize_constants
from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = (
    "canonicalize",
    "cse",
    externalize_constants,
)
ABI: tuple[Pass, ...] = ()
PREPROCESSING: tuple[Pass, ...] = ()
