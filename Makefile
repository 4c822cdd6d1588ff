# make check   set up, then run the main job: every engine on the article's network and on real digits
# make test    set up, then run the tests, in two processes, those marked slow left out
# make tests   all of them
# make lint    set up, then ruff and mypy
# make bench   set up, then the pytest-benchmark suite, for each engine by itself
# make newest  the tests with the newest packages there are (torch's brings CUDA): make newest PYTHON=python3.13
# make oldest  the tests with the lowest versions that pyproject.toml allows (torch's brings CUDA)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
VERSIONS := --constraint constraints.txt

.PHONY: check test tests lint bench newest oldest clean

check: $(VENV)/users
	$(BIN)/crossgrad check

test: $(VENV)/developers
	$(PYTEST) -m "not slow"

tests: $(VENV)/developers
	$(PYTEST)

lint: $(VENV)/developers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict crossgrad

bench: $(VENV)/developers
	$(BIN)/python -m pytest -q benchmarks -k numpy
	$(BIN)/python -m pytest -q benchmarks -k torch
	$(BIN)/python -m pytest -q benchmarks -k jax

newest:
	$(MAKE) VENV=$(VENV)/newest VERSIONS=--upgrade test

# Packages that it does not name are those of constraints.txt: pip would try versions for hours.
oldest: $(VENV)/oldest.txt
	$(MAKE) VENV=$(VENV)/oldest VERSIONS="--constraint $<" test

$(VENV)/oldest.txt: constraints.txt constraints-oldest.txt | $(BIN)/python
	$(BIN)/python tests/lowest.py constraints.txt constraints-oldest.txt > $@

# A stamp file for each set of packages: installed again only when what it depends on has changed.
$(VENV)/users: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) $(VERSIONS) --editable ".[all]"
	@touch $@

$(VENV)/developers: pyproject.toml constraints.txt $(VENV)/users
	$(PIP) $(VERSIONS) --editable ".[all,dev]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crossgrad needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info
