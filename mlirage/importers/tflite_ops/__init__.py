"""TFLite operators, a function each, grouped by theme; `registry.py` finds them.

Integers are calculated with as LiteRT's reference kernels do it, bit by bit (`fixed_point.py`, `lookup.py`).
"""
