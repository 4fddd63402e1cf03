# Goldwire's commands. Needs make and Python 3.11 or newer; the rest is set up in .venv.
# Paths are relative on purpose: the folder's own path may hold spaces. Written for GNU make 3.81 (macOS) and newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Which Python makes the environment; empty: python3, or else python3.14 to python3.11, the first that is new enough.
PYTHON ?=
# How many processes run the tests.
WORKERS ?= auto
# Passed on to pytest, the demo or the benchmark, e.g. make test ARGS="-k ledger"
ARGS ?=

BIN := .venv/bin
RUN := $(BIN)/python -m goldwire
# Two stamps: who only wants to see the demo need not download the tools of the tests.
CORE := .venv/.goldwire-core
DEV := .venv/.goldwire-dev
CODE := $(wildcard src tests bench scripts examples)

.PHONY: help setup demo test test-optional check format docs bench simulate clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: $(DEV) ## Make .venv and install Goldwire with all that its tests need

$(CORE): pyproject.toml $(wildcard src/*/pyproject.toml) scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh core

$(DEV): pyproject.toml $(wildcard src/*/pyproject.toml) scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh dev

demo: $(CORE) ## Run the whole path on real customers: four targets, two crashes, a proof
	@$(RUN) demo $(ARGS)

test: $(DEV) ## Run every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not optional" $(ARGS)

test-optional: $(DEV) ## Run the heavy tests too, and those that need a server which is not at hand
	@$(BIN)/python -m pytest -n $(WORKERS) -m optional $(ARGS)

check: $(DEV) ## Format, lint, types (strict), import direction
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m mypy
	$(BIN)/python -c "from importlinter.cli import lint_imports_command as lint; lint()"

format: $(DEV) ## Mend what a program can mend: format, order of imports
	$(BIN)/python -m ruff format $(CODE)
	$(BIN)/python -m ruff check --fix $(CODE)

docs: $(DEV) ## Write the pages and the schema that are made from the code
	@$(BIN)/python scripts/write_docs.py

bench: $(DEV) ## Measure throughput, recovery and memory beside the floor of this machine
	@$(RUN) bench $(ARGS)

simulate: $(DEV) ## Run the whole path under faults, 2,000 seeds
	@$(RUN) simulate --seeds 2000 $(ARGS)

clean: ## Remove the environment and everything that was generated
	rm -rf .venv build dist demo-out bench-out .goldwire .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} +
