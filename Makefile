# Everything runs in a virtual environment of the project's own; PYTHON makes it.
PYTHON ?= python3
VENV ?= .venv
# Where the demonstration is kept, and further options for it: make demo ARGS="--mnist mnist.npz"
OUT ?= runs/demo
ARGS ?=
# Finished runs to record for the tables of docs/results.md: make tables RUNS="runs/a runs/b"
RUNS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint format types tests test-slow test-cuda benchmark tables clean

demo: $(INSTALLED)
	$(BIN)/python examples/train_mnist.py --out $(OUT) $(ARGS)

test: lint types tests

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

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/step.py

tables: $(INSTALLED)
	$(BIN)/python benchmarks/tables.py $(RUNS) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
