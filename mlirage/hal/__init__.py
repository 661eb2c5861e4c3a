"""hal: executables become target binaries, the schedule becomes command buffers and queue operations."""

from mlirage.hal.collect_dispatch_statistics import collect_dispatch_statistics
from mlirage.hal.configure_executables import configure_executables
from mlirage.hal.convert_to_hal import convert_to_hal
from mlirage.hal.convert_to_hal_inline import convert_to_hal_inline
from mlirage.hal.link_executables import link_executables
from mlirage.hal.materialize_interfaces import materialize_interfaces
from mlirage.hal.translate_executables import translate_executables
from mlirage.hal.verify_hal import verify_hal
from mlirage.passes import Pass

EXECUTABLE_SOURCES: tuple[Pass, ...] = (materialize_interfaces,)
EXECUTABLE_CONFIGURATIONS: tuple[Pass, ...] = (configure_executables, collect_dispatch_statistics)
EXECUTABLE_TARGETS: tuple[Pass, ...] = (translate_executables, link_executables)
INLINE_PIPELINE: tuple[Pass, ...] = (
    convert_to_hal_inline,
    "canonicalize",
    "cse",
    verify_hal,
)
PIPELINE: tuple[Pass, ...] = (
    convert_to_hal,
    "canonicalize",
    "cse",
    verify_hal,
)
