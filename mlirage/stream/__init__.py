"""stream: tensors become resources with lifetimes, work becomes scheduled regions with timepoints, memory is planned.

    %y = flow.dispatch @ex::@f(%x) : tensor<?x4xf32>
      ─>
    %y = stream.resource_alloc %size
    %t = stream.cmd_execute(%now) with %x, %y {
      stream.cmd_dispatch @ex::@f(%n)(%x[0 for %size], %y[0 for %size]) }
    stream.timepoint_await %t

In: host functions of flow ops, scalars, structured control flow and global tensors. Out: what verify_stream.py says.
On the way values become memory: first every change in place works on a copy, then the copies that nobody can tell from
their source are taken away, then everything gets a place in an arena, a result, a constant slab or a variable.
"""

from mlirage.passes import Pass
from mlirage.stream.convert_to_stream import convert_to_stream
from mlirage.stream.elide_copies import elide_copies
from mlirage.stream.materialize_copy_on_write import materialize_copy_on_write
from mlirage.stream.order_work import order_work
from mlirage.stream.pack_constants import pack_constants
from mlirage.stream.pack_resources import pack_resources
from mlirage.stream.place_in_scratch import place_in_scratch
from mlirage.stream.place_results import place_results
from mlirage.stream.schedule_allocation import schedule_allocation
from mlirage.stream.schedule_concurrency import schedule_concurrency
from mlirage.stream.schedule_execution import schedule_execution
from mlirage.stream.verify_host_only import verify_host_only
from mlirage.stream.verify_stream import verify_stream

HOST_ONLY_PIPELINE: tuple[Pass, ...] = (verify_host_only,)
PIPELINE: tuple[Pass, ...] = (
    convert_to_stream,
    "func.func(convert-complex-to-standard)",  # scalars of the host, whose machine has real numbers alone
    "cse",
    order_work,
    materialize_copy_on_write,
    elide_copies,
    place_results,
    pack_constants,
    schedule_execution,
    schedule_concurrency,
    schedule_allocation,
    pack_resources,
    place_in_scratch,
    "canonicalize",
    "cse",
    verify_stream,
)
