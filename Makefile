# Every target sets up what it needs in .venv; a machine needs only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
BENCH_STAMP := $(VENV)/.installed-bench

.PHONY: check evidence test test-full lint bench docs venv
.DELETE_ON_ERROR:

check: $(STAMP)
	$(BIN)/holdfast check

# What the kill matrix says holds for one state of the code: this stores it anew, and checks everything with it.
evidence: $(STAMP)
	$(BIN)/holdfast defects
	cp holdfast-report/kills.json properties/defects/kills.json
	$(BIN)/holdfast check --profile full

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The tests that try everything of what `make test` tries a sample of: crash points, drawn programs.
test-full: lint
	HOLDFAST_FULL=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BENCH_STAMP)
	@short=0; for f in benchmarks/bench_*.py; do \
	  echo "== $$f"; $(BIN)/python "$$f" || short=1; \
	done; exit $$short

docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

venv: $(STAMP)

# `--group` needs pip 25.1, and a fresh 3.11 environment has 23.2: hence pip first.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

$(DOCS_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(BENCH_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@
