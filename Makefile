# Two commands do everything on a machine with python3 (3.11 or newer), pip, git and make:
#   make repro   the whole pipeline on the embedded data, then a table of results and the path of the report
#   make test    the tests
# Both make .venv and install the pinned packages first.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# One BLAS thread: a second one makes parallel recordings slower, not faster.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
# Stages and tests run the tools of .venv, whether or not it is activated.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install repro test lint results eegmat clean-venv

help:
	@sed -n 's/^#   \(make.*\)/\1/p' Makefile

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("eegpipe needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

repro: install
	dvc repro
	@eegpipe results
	@echo "Report: $(CURDIR)/reports/index.html"

#   make eegmat RAW=/path/to/eegmat   the same on the real recordings of PhysioNet EEGMAT, as an experiment
eegmat: install
	@test -n "$(RAW)" || { echo "Say where the EDF files are: make eegmat RAW=/path/to/eegmat" >&2; exit 2; }
	dvc exp run --name eegmat --set-param '+raw.eegmat=$(abspath $(RAW))' --set-param 'targets=[eegmat]'
	@eegpipe results

test: install
	python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	ruff check .
	ruff format --check .
	mypy
	mypy benchmarks
