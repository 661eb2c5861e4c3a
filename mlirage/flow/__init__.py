"""flow: the tensor program becomes dispatches of executables.

DISPATCH_CREATION groups ops into regions; PIPELINE outlines them into executables.
"""

from mlirage.passes import Pass

DISPATCH_CREATION: tuple[Pass, ...] = ()
PIPELINE: tuple[Pass, ...] = ()
