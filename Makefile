# Goldwire's commands. Needs make and Python 3.11 or newer; the rest is set up in .venv.
# Paths are relative on purpose: the folder's own path may hold spaces. Written for GNU make 3.81 (macOS) and newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Which Python makes the environment; empty: python3, or else python3.14 to python3.11, the first that is new enough.
PYTHON ?=
# How many processes run the tests: three for each core, since most tests of other processes wait.
WORKERS ?= $(shell $(BIN)/python -c 'import os; print(3 * (os.cpu_count() or 1))')
# Tests start hundreds of Pythons, and each would compile all it imports anew where the environment forbids to keep what is compiled.
unexport PYTHONDONTWRITEBYTECODE
# Passed on to pytest, the demo or the benchmark, e.g. make test ARGS="-k ledger"
ARGS ?=

BIN := .venv/bin
RUN := $(BIN)/python -m goldwire
# Two stamps: who only wants to see the demo need not download the tools of the tests.
CORE := .venv/.goldwire-core
DEV := .venv/.goldwire-dev
# Tools that stand alone have environments of their own.
DOCS := .venv-docs/.goldwire-docs
LOCK := .venv-lock/.goldwire-lock
RELEASE := .venv-release/.goldwire-release
MUTANTS := .venv-mutants/.goldwire-mutants
PROJECTS := pyproject.toml $(wildcard src/*/pyproject.toml)
# Which tests coverage is measured with.
COVERED ?= tests/unit
CODE := $(wildcard src tests scripts examples)

.PHONY: help setup lock demo test unit slow test-optional coverage check format docs bench simulate mutants dist clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: $(DEV) ## Make .venv and install Goldwire with all that its tests need

$(CORE): requirements/core.txt $(PROJECTS) scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh core

$(DEV): requirements/dev.txt $(PROJECTS) scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh dev

$(DOCS): requirements/docs.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh docs

$(LOCK): requirements/lock.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh lock

$(RELEASE): requirements/release.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh release

$(MUTANTS): requirements/mutants.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh mutants

lock: $(LOCK) ## Lock what Goldwire needs of others anew; ARGS=--upgrade takes the newest of everything
	@.venv-lock/bin/python scripts/lock.py $(ARGS)

demo: $(CORE) ## Run the whole path on real customers: four targets, two crashes, a proof
	@$(RUN) demo $(ARGS)

test: $(DEV) ## Run every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist load --maxschedchunk 1 -m "not optional" $(ARGS)

unit: $(DEV) ## Run the unit tests that are quick, for a look after each change
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not optional" tests/unit $(ARGS)

slow: $(DEV) ## Run the unit tests that `make unit` leaves out
	@$(BIN)/python -m pytest -n $(WORKERS) --dist load --maxschedchunk 1 -m "slow and not optional" tests/unit $(ARGS)

test-optional: $(DEV) ## Run the heavy tests too, and those that need a server which is not at hand
	@$(BIN)/python -m pytest -n $(WORKERS) -m optional $(ARGS)

coverage: $(DEV) ## Run the quick unit tests and print their branch coverage by room; COVERED=tests takes those of all layers
	@$(BIN)/python -m pytest -n $(WORKERS) --dist load --maxschedchunk 1 -m "not slow and not optional" --cov --cov-report= $(ARGS) $(COVERED)
	@$(BIN)/python scripts/coverage_by_room.py

check: $(DEV) ## Format, lint, types (strict), import direction
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m mypy
	$(BIN)/python -c "from importlinter.cli import lint_imports_command as lint; lint()"

format: $(DEV) ## Mend what a program can mend: format, order of imports
	$(BIN)/python -m ruff format $(CODE)
	$(BIN)/python -m ruff check --fix $(CODE)

docs: $(DEV) $(DOCS) ## Write the pages that are made from the code, and build the site into site/
	@$(BIN)/python scripts/write_docs.py
	@.venv-docs/bin/python scripts/build_site.py

bench: $(DEV) ## Measure throughput, recovery and memory beside the floor of this machine
	@$(RUN) bench $(ARGS)

simulate: $(DEV) ## Run the whole path under faults, 2,000 seeds
	@$(RUN) simulate --seeds 2000 $(ARGS)

mutants: $(DEV) $(MUTANTS) ## Change the code at random, 600 times, and see whether a test notices; e.g. ARGS="--seed 7 --sample 60"
	@$(BIN)/python scripts/mutants/run.py $(ARGS)

dist: $(RELEASE) ## Build every wheel and sdist of the repository, and a bill of materials for each, into dist/
	@.venv-release/bin/python scripts/build_distributions.py $(ARGS)

clean: ## Remove the environment and everything that was generated
	rm -rf .venv .venv-docs .venv-lock .venv-mutants .venv-release build dist site demo-out bench-out .goldwire .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .cache
	find src tests scripts examples -name __pycache__ -type d -prune -exec rm -rf {} +
