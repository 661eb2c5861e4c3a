"""global optimization: whole-program rewrites on linalg before dispatches are formed."""

from mlirage.global_optimization.fuse_elementwise import fuse_elementwise
from mlirage.global_optimization.generalize_elementwise import generalize_elementwise
from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = (
    "convert-elementwise-to-linalg",
    generalize_elementwise,
    "canonicalize",
    "cse",
    fuse_elementwise,
    "canonicalize",
    "cse",
)
