# The project's commands. Each sets up what it needs; second runs are quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench setup
setup: $(STAMP)

$(STAMP): pyproject.toml runtime/CMakeLists.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check scikit-build-core==1.1.2 nanobind==3.1.0
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[compiler,onnx,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python examples/digits/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest tests -q -n 2

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(MAKE) test

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks
