"""global optimization: whole-program rewrites on linalg before dispatches are formed."""

from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = ()
