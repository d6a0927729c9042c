# Everything runs in .venv/ at the root. Each target makes it when it is missing, with the versions of constraints.txt.
#
#   make test PYTEST_ARGS="-k video"     make venv PYTHON=/opt/python3.12/bin/python3

SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := $(PY) -m pip install --disable-pip-version-check $(if $(CI),--quiet --quiet)
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
DEMO_ARGS ?=

# The first of these that runs, is 3.11 or 3.12 and can make virtual environments (a name may be an empty shim).
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c "$(SUITABLE)" >/dev/null 2>&1 && { command -v $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv with the pinned versions, or bring it up to date

demo: $(STAMP) ## code, measure and compare on the synthetic clips: the BD-rate table, plots and a report
	@$(VENV)/bin/pvc demo $(DEMO_ARGS)

test: $(STAMP) ## run the tests
	@$(PY) -m pytest -q -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP) ## check style and format
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

format: $(STAMP) ## repair style and format
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(STAMP) ## run the benchmarks
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(PY) $$script; done

clean: ## remove caches and builds (keeps .venv, runs and checkpoints)
	@rm -rf build dist .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Build tools come first and pinned: pvc is built with them, and so is antlr4-python3-runtime, which has no wheel.
# The stamp is written last, so an installation that was cut off is taken up again.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -c "$(SUITABLE)" >/dev/null 2>&1 || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c "$(SUITABLE)" >/dev/null 2>&1; then \
			echo "pvc needs Python 3.11 or 3.12 with its venv module: install one, or name it with make PYTHON=..." >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $(PYTHON)"; \
		"$(PYTHON)" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "installing the versions of constraints.txt into $(VENV) (some minutes the first time)"
	@$(PIP) -c constraints.txt hatchling editables setuptools wheel
	@$(PIP) -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@
