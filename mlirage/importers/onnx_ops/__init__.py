"""ONNX operators, a function each, grouped by theme; `registry.py` finds them."""
