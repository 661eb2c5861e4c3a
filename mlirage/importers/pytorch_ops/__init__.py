"""ATen operators, a function each, by families."""
