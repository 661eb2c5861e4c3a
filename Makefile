# The project's commands. Each sets up what it needs; second runs are quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all check bench setup
setup: $(STAMP)

# Whatever the compiled part is made of: a change installs anew.
NATIVE := $(shell find runtime/src runtime/include mlirage/runtime -name '*.[ch]' -o -name '*.def' -o -name '*.cpp')

$(STAMP): pyproject.toml CMakeLists.txt runtime/CMakeLists.txt $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check scikit-build-core==1.1.2 nanobind==3.1.0 cmake ninja
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[compiler,onnx,torch,jax,tf,tflite,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python examples/digits/demo.py

# Kernels of other processors are run by qemu. Where it cannot be installed those tests say so and are skipped.
.PHONY: emulators
emulators:
	@command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null || \
	  (apt-get install -y -qq qemu-user-static >/dev/null 2>&1 && echo "installed qemu-user-static") || \
	  echo "qemu-user-static cannot be installed here: tests of other processors will be skipped"

test: $(STAMP) emulators
	$(BIN)/python -m pytest tests -q -n 2 -rs

# What takes too long for every change: all cases and functions of every framework, all processors. For a nightly run.
test-all: test
	$(BIN)/python -m pytest $(sort $(wildcard tests/*/*_all.py)) -q -n 2 -rs --junitxml=build/test-all.xml

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python .ci/mlir_stubs.py
	$(BIN)/pyright
	$(BIN)/clang-format --dry-run -Werror $(shell git ls-files 'runtime/*.c' 'runtime/*.h' 'mlirage/runtime/native/*')
	$(BIN)/python -m pytest tests/runtime/c_runtime_test.py -q -k 'no_writable_globals or compiles_alone'
	$(MAKE) test

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[bench]'
	$(BIN)/python -m benchmarks
