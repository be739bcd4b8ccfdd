# Everything runs in a virtual environment in .venv, which PYTHON makes.
PYTHON ?= python3
VENV ?= .venv
# The folder of the demonstration, and further options for it: make demo ARGS="--mnist mnist.npz"
OUT ?= runs/demo
ARGS ?=
# Finished runs to record for the tables of the documentation: make tables RUNS="runs/a runs/b"
RUNS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint format types tests test-slow test-cuda gpu docs docs-serve build benchmark tables clean

demo: $(INSTALLED)
	$(BIN)/python examples/train_mnist.py --out $(OUT) $(ARGS)

test: lint types tests docs

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED)
	$(BIN)/mypy

# One thread for each of two workers: tiny tensors gain nothing from more.
tests: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses 2

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

test-cuda: $(INSTALLED)
	$(BIN)/python -m pytest -m cuda

# NO_MKDOCS_2_WARNING: the theme's notice about its successor.
# What is left to run and to measure on a GPU; with SCALOR=folder, beside a checkout of the authors' code.
gpu: test-cuda
	$(BIN)/python benchmarks/gpu.py --json gpu.json
	$(if $(SCALOR),$(BIN)/python benchmarks/reference.py $(SCALOR) --videos 16 64 --json reference.json)

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

build: $(INSTALLED)
	$(BIN)/python -m build

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/step.py

tables: $(INSTALLED)
	$(BIN)/python benchmarks/tables.py $(RUNS) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
