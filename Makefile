# make eval        set everything up and evaluate the embedded tiny world (no GPU, minutes; network for the set-up only)
# make demo        set everything up and segment a picture: make demo ARGS='photo.jpg --classes "horse; grass; sky"'
# make web         the same on a page in the browser
# make train       set everything up and train a small student on the tiny world: make train ARGS="CONFIG --data-root DIR"
# make test        set everything up and run all tests, in two processes
# make test-fast   the tests of an edit: no slow ones, none of the documents; under 90 s
# make lint        formatter, linter and type checker
#
# The first of them makes the environment in .venv, later ones reuse it. PYTHON chooses the interpreter it is made
# with; ARGS is handed on:  make eval ARGS="--limit 4"   make test ARGS="-k proxy"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input -q
# the packages of an extra of pyproject.toml
extra = $$(sed -n 's/^$(1) = \[\(.*\)\]/\1/p' pyproject.toml | sed 's/", *"/ /g; s/"//g')

# An environment whose Python no longer starts is made anew.
$(shell $(BIN)/python -c '' 2>/dev/null || rm -f $(VENV)/.installed*)

.PHONY: eval demo web train test test-fast lint setup setup-web setup-dev clean

eval: setup
	$(BIN)/python eval.py $(ARGS)

demo: setup
	$(BIN)/python demo.py $(ARGS)

web: setup-web
	$(BIN)/python demo.py --web $(ARGS)

train: setup
	$(BIN)/python train.py $(ARGS)

test: setup-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: setup-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not docs" $(ARGS)

lint: setup-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	MYPYPATH=datasets $(BIN)/python -m mypy --explicit-package-bases datasets/*.py
	MYPYPATH=benchmarks $(BIN)/python -m mypy --explicit-package-bases benchmarks/*.py

setup: $(VENV)/.installed
setup-web: $(VENV)/.installed-web
setup-dev: $(VENV)/.installed-dev

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

# The stamps are written last: an installation that was broken off is taken up again by the next call.
$(VENV)/.installed: requirements.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing requirements.txt into $(VENV): some minutes and gigabytes the first time"
	$(INSTALL) -r requirements.txt
	touch $@

$(VENV)/.installed-web: $(VENV)/.installed pyproject.toml
	$(INSTALL) $(call extra,web)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-web pyproject.toml
	$(INSTALL) $(call extra,dev)
	touch $@
