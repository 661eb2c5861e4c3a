"""The report of a model: everything that is known of it, as plain data, and a page that shows it.

model ── compiler ──> times of phases, memory plan (memory_plan), module
module ── runtime ──> profile ── profiling.summary ──> dispatches
machine ── peaks ──> what it can do at most
             └── collect ──> data ──┬── JSON, text (text)
                                    └── page (charts, graph) ──> one HTML file
"""
