# Everything here needs Python 3.10 to 3.14 and a package index, nothing else.
#   PYTHON=python3.10   the interpreter that .venv is made of
#   ARGS='-k folding'   further arguments of the tests or the demo
#   JOBS=0              how many processes run the tests; 0 for this one

PYTHON ?= python3
ARGS ?=
JOBS ?= logical
FUZZ ?= 60
VENV_PYTHON := .venv/bin/python
PAGES := $(wildcard *.md docs/*.md configs/*.md)
# A process a core, with one thread: they would fight over the cores.
PYTEST := OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n $(JOBS) \
	--maxprocesses 8 --dist loadfile

# What the caller's own environment is about must not reach into .venv.
unexport PYTHONHOME PYTHONPATH
# albumentations would otherwise ask a server for its newest version.
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: help demo test test-all verify mutations fuzz lint types coverage docs venv clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       set up, then the whole story on generated images'
	@echo 'make test       set up, then the tests'
	@echo 'make test-all   set up, then the tests on each Python found, and on'
	@echo '                the older stack; see tox.ini'
	@echo 'make verify     set up, then every form of every model: the errors'
	@echo 'make mutations  set up, then break the folding: tests must notice'
	@echo 'make fuzz       set up, then thousands of hostile inputs, counted'
	@echo 'make lint       set up, then ruff, codespell and proselint'
	@echo 'make types      set up, then mypy on the public interfaces'
	@echo 'make coverage   set up, then the tests and what they reach'
	@echo 'make docs       set up, then the site of the documentation'
	@echo 'make venv       set up only: .venv with the tested versions'
	@echo 'make clean      remove what builds and tests leave behind'
	@echo 'make distclean  remove .venv too'
	@echo
	@echo "PYTHON=...      another Python 3.10 to 3.14 (now: $(PYTHON))"
	@echo "ARGS='...'      further arguments, such as ARGS='-k folding -x'"
	@echo "JOBS=...        processes for the tests, 0 for none but the first"

demo: venv
	@$(VENV_PYTHON) tools/demo.py $(ARGS)

test: venv
	@$(PYTEST) $(ARGS)

# Interpreters of pyenv count as found, whether it shows them or not.
test-all: venv
	@PATH="$$PATH:$$(ls -d "$$(pyenv root 2> /dev/null)"/versions/*/bin \
		2> /dev/null | paste -sd : -)" $(VENV_PYTHON) -m tox $(ARGS)

verify: venv
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) tests/verify.py $(ARGS)

mutations: venv
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) tests/mutations.py $(ARGS)

# FUZZ is how many times as many inputs as in the tests.
fuzz: venv
	@YWR_FUZZ=$(FUZZ) OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest \
		tests/test_robustness -q -m '' $(ARGS)

lint: venv
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m codespell_lib
	@$(VENV_PYTHON) -m proselint check --config proselint.json $(PAGES)

types: venv
	@$(VENV_PYTHON) -m mypy

coverage: venv
	@$(PYTEST) --cov --cov-report=term $(ARGS)

docs: venv
	@NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict $(ARGS)

venv:
	@"$(PYTHON)" -c 'import sys; \
		sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' \
		> /dev/null 2>&1 || { echo "error: '$(PYTHON)' is not a working\
	 Python 3.10 to 3.14; name one: make $(or $(MAKECMDGOALS),venv)\
	 PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" requirements/make_venv.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis \
		.mypy_cache .coverage .coverage.*
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune \
		-exec rm -rf {} +

distclean: clean
	rm -rf .venv .tox
