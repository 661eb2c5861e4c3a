"""stream: tensors become resources with lifetimes, work becomes scheduled regions with timepoints, memory is planned."""

from mlirage.passes import Pass

PIPELINE: tuple[Pass, ...] = ()
