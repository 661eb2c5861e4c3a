"""vm: the host program becomes register code of the runtime's virtual machine."""

from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = ()
