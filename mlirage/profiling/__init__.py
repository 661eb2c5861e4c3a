"""What a profile says: time, arithmetic and traffic by dispatch (`summary`), and a timeline (`trace`).

    run ── mlirage.runtime.Profile ──> events ─┬─ summary ──> tables, reports
    module file ──> facts of the dispatches ───┘
                                   events ──── trace ────> a file for Perfetto

Needs numpy alone, as the runtime does.
"""

from mlirage.profiling.summary import Row, Summary, summarize
from mlirage.profiling.trace import chrome_trace

__all__ = ["Row", "Summary", "chrome_trace", "summarize"]
