# Every target sets up what it needs: a virtual environment, pinned dependencies, the compiled engine.
# Needs Python >= 3.10, make and a C++ compiler. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

ENVIRONMENT := $(VENV)/.environment
INSTALLED := $(VENV)/.installed
PEERS := $(BENCH_VENV)/.installed
MODULES := $(VENV)/.modules
ENGINE := CMakeLists.txt $(shell find kernels src/ostinato/cells src/ostinato/compiler -name '*.py' -o -name '*.h' -o -name '*.cpp')

.DEFAULT_GOAL := help
.PHONY: help install demo examples test test-slow lint format docs bench bench-quick experiments clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(ENVIRONMENT): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Ostinato needs Python >= 3.10; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; install its venv module (Debian, Ubuntu: python3-venv)" >&2; exit 1; }
	@echo "Installing the pinned dependencies into $(VENV)"
	@$(PIP_INSTALL) torch scikit-build-core nanobind cmake ninja
	@touch $@

# An editable installation knows the modules that were there when it was made: a new one asks for another.
.PHONY: modules
modules:
$(MODULES): $(ENVIRONMENT) modules
	@find src -name '*.py' | sort | cmp -s - $@ || find src -name '*.py' | sort > $@

$(INSTALLED): $(ENVIRONMENT) $(MODULES) pyproject.toml $(ENGINE)
	@echo "Compiling the engine and installing ostinato into $(VENV)"
	@PATH="$(abspath $(BIN)):$$PATH" $(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

$(PEERS): benchmarks/requirements.txt
	@test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	@echo "Installing JAX and TensorFlow into $(BENCH_VENV)"
	@$(BENCH_VENV)/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

install: $(INSTALLED)  ## Set up .venv with the package, editable

demo: $(INSTALLED)  ## Forecast the embedded share prices; writes demo/
	$(BIN)/ostinato forecast --output demo --overwrite
	@echo "Look at demo/forecast.png; the numbers are in demo/forecast.csv"

examples: $(INSTALLED)  ## Run every program of examples/ for a few epochs
	@mkdir -p build/examples
	@cd build/examples && for program in $(CURDIR)/examples/*.py; do \
	  echo "== $$(basename $$program) --epochs 3"; $(abspath $(BIN))/python $$program --epochs 3 || exit 1; \
	done

test: $(INSTALLED)  ## Run the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

test-slow: $(INSTALLED)  ## Run the slow tests
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(INSTALLED)  ## Format the Python sources
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED)  ## Write the pages, tables and pictures of docs/ that programs make
	$(BIN)/python docs/tables.py
	OMP_NUM_THREADS=1 $(BIN)/python docs/notebook.py docs/guide.md

bench: $(INSTALLED) $(PEERS)  ## Measure every cell against PyTorch, and Keras on torch, JAX and TensorFlow
	$(BIN)/python -m benchmarks

bench-quick: $(INSTALLED)  ## The same, smaller and without the peers of .venv-bench
	$(BIN)/python -m benchmarks --quick

experiments: $(INSTALLED)  ## Repeat the experiments of docs/experiments.md; writes build/experiments/
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments all

clean:  ## Remove everything that make has made
	rm -rf $(VENV) $(BENCH_VENV) build demo
