"""Tuning: tries other configurations of each dispatch on this machine and keeps those that are faster.

    model ─ phase flow ─ flow.dispatch_benchmarks ──> a program per dispatch
                              knobs (what may be turned) ──> candidates ── compiled ──> timer (a process of its own)
                                                                 └──── search <── times beside the default's ──┘
                                                                          └──> tuning file (codegen/tuned.py)

A candidate is taken only if it beats the default by more than noise (`search.is_faster`) and gives the same results.
"""
