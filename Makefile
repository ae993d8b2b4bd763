# make demo  : set up, analyse a simulated case, write its report
# make test  : set up, then ruff, mypy and the tests
# PYTHON=... : another Python 3.11 or later

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup demo lint test test-slow
.DELETE_ON_ERROR:

setup: $(STAMP)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone: resolved together with the rest, pip may fetch another build of it.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt torch==2.13.0
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,interop,dev]'
	touch $@

demo: setup
	$(BIN)/tomodx demo --out demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: setup
	$(BIN)/python -m pytest -m slow
