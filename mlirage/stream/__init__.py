"""stream: tensors become resources with lifetimes, work becomes scheduled regions with timepoints, memory is planned."""

from mlirage.passes import Pass
from mlirage.stream.convert_to_stream import convert_to_stream
from mlirage.stream.elide_copies import elide_copies
from mlirage.stream.materialize_copy_on_write import materialize_copy_on_write
from mlirage.stream.pack_constants import pack_constants
from mlirage.stream.pack_resources import pack_resources
from mlirage.stream.place_results import place_results
from mlirage.stream.schedule_allocation import schedule_allocation
from mlirage.stream.schedule_concurrency import schedule_concurrency
from mlirage.stream.schedule_execution import schedule_execution

PIPELINE: tuple[Pass, ...] = (
    convert_to_stream,
    "cse",
    materialize_copy_on_write,
    elide_copies,
    place_results,
    pack_constants,
    schedule_execution,
    schedule_concurrency,
    schedule_allocation,
    pack_resources,
    "canonicalize",
    "cse",
)
