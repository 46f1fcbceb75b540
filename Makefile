# Every target works from a fresh clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Whole runs share two processes; who has done its half takes from the other's.
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses 2 --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off
# A lock is whole: nothing is resolved at install, so no release of today can break it.
LOCKED := --no-deps --require-hashes --requirement
PACKAGES := actors bot config storage supervisors xray_api

.PHONY: help install install-dev demo test test-deep test-browser prove bench lint format proto lock clean

help:
	@echo "make demo          the whole product on this machine: prints the address of a chat page"
	@echo "make test          the test suite, with a real PostgreSQL and a real Xray"
	@echo "make test-deep     the rest of what CI runs: the chat page in a real browser"
	@echo "make prove         every row of the failure matrix, and ten thousand simulated stories"
	@echo "make bench         what actors and a node cost, and what others feel meanwhile"
	@echo "make lint          format, lints, types, directions of imports, lock files"
	@echo "make install       the environment alone, in $(VENV); then: $(BIN)/tollgate --help"

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Tollgate needs Python 3.11 or newer; '$(PYTHON)' is none. Try: make PYTHON=python3.12"; \
	  exit 1; }
	@echo "Making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "This Python cannot make environments. On Debian: apt install python3-venv"; \
	  rm -rf $(VENV); exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing what the program needs: about 60 packages, 250 MB, half a minute or more"
	$(PIP) $(LOCKED) requirements.txt
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests need: about 30 packages more"
	$(PIP) $(LOCKED) requirements-dev.txt
	@$(BIN)/python -m pip check
	@touch $@

demo: install
	@exec $(BIN)/tollgate demo

test: install-dev
	$(PYTEST) $(PARALLEL) -m "not browser and not deep and not prove"

test-deep: install-dev
	$(PYTEST) $(PARALLEL) -m "browser or deep"

test-browser: install-dev
	$(PYTEST) -m browser

# By hand: some twenty minutes of both cores.
prove: install-dev
	$(PYTEST) -m prove
	$(BIN)/tollgate matrix --jobs 2
	$(BIN)/python -m tests.simulation --seeds 10000

bench: install-dev
	$(BIN)/python -m tests.benchmarks.runtime
	$(BIN)/python -m tests.benchmarks.serialisation
	$(BIN)/python -m tests.benchmarks.node
	$(BIN)/python -m tests.benchmarks.reconcile
	$(BIN)/python -m tests.benchmarks.expiry
	$(BIN)/python -m tests.benchmarks.outage

lint: install-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -n '://' requirements.txt requirements-dev.txt || { \
	  echo "A lock file names a registry."; exit 1; }

format: install-dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

proto: install-dev
	$(BIN)/python -m xray_api.proto.generate

# uv resolves for every platform at once and writes no registry's name into the files.
LOCK = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet
lock: install-dev
	$(PIP) --quiet uv==0.13.9
	$(LOCK) --extra build -o requirements.txt
	$(LOCK) --extra build --extra dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
