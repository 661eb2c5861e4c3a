"""hal: executables become target binaries, the schedule becomes command buffers and queue operations."""

from mlirage.passes import Pass

EXECUTABLE_SOURCES: tuple[Pass, ...] = ()
EXECUTABLE_CONFIGURATIONS: tuple[Pass, ...] = ()
EXECUTABLE_TARGETS: tuple[Pass, ...] = ()
PIPELINE: tuple[Pass, ...] = ()
