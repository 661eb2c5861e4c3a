"""flow: the tensor program becomes dispatches of executables.

DISPATCH_CREATION groups ops into regions; PIPELINE outlines them into executables.
"""

from mlirage.flow.clone_producers import clone_producers
from mlirage.flow.convert_host_ops import convert_host_ops
from mlirage.flow.deduplicate_executables import deduplicate_executables
from mlirage.flow.expand_paddings import expand_paddings
from mlirage.flow.form_dispatch_regions import form_dispatch_regions
from mlirage.flow.legalize_boundary_types import legalize_boundary_types
from mlirage.flow.order_insertions import order_insertions
from mlirage.flow.outline_dispatches import outline_dispatches
from mlirage.flow.unroll_loops import unroll_loops
from mlirage.passes import Pass

DISPATCH_CREATION: tuple[Pass, ...] = (
    "canonicalize",
    "cse",
    expand_paddings,
    order_insertions,
    form_dispatch_regions,
    clone_producers,
)
PIPELINE: tuple[Pass, ...] = (
    legalize_boundary_types,
    outline_dispatches,
    deduplicate_executables,
    convert_host_ops,
    "canonicalize",
    unroll_loops,
    "canonicalize",
    "cse",
)
