"""input: any imported dialect becomes linalg, tensor, arith, math and scf on tensors, and weights leave the IR.

PIPELINE converts dialects; ABI fixes the signature of public functions; PREPROCESSING raises and normalizes ops.
"""

from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = ()
ABI: tuple[Pass, ...] = ()
PREPROCESSING: tuple[Pass, ...] = ()
