PYTHON ?= python3
BIN := .venv/bin
export MPLBACKEND ?= Agg

.PHONY: help setup demo test check test-slow test-oldest docs docs-test lint types clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: .venv/ready  ## a virtual environment with geogan and its tools

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: setup  ## the main job on the embedded synthetic archive: demo/ holds what it made
	$(BIN)/geogan demo

lint: setup  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## types
	$(BIN)/mypy

test: lint types  ## style, types, doctests, tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2

check: lint types  ## style, types, the tests of the rooms that changed
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 $$($(BIN)/python tests/changed_rooms.py)

docs-test: setup  ## run the blocks of the documentation
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m docs tests/integration/test_pages.py

test-slow: setup  ## tests that train for minutes, on images beside the repository
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m slow tests

docs: .venv/docs-ready  ## the documentation in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo open site/index.html

.venv/docs-ready: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	touch $@

test-oldest: .venv-oldest/ready  ## the tests, with the oldest version of each dependency
	OMP_NUM_THREADS=1 .venv-oldest/bin/pytest -q -n 2

.venv-oldest/ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --upgrade pip
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -e '.[dev]'
	touch $@

clean:  ## remove what was built
	rm -rf .venv .venv-oldest build dist demo site *.egg-info
