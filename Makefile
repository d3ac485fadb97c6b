# `make demo` and `make test` do all the set-up themselves. Needed: Python 3.11 to 3.13 with venv, a C compiler, make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
OUT ?= runs/demo
# The pages that teach; the two quick_* pages are studies of an hour each: make tutorials TUTORIALS=quick_sts MINUTES=240
TUTORIALS ?= $(notdir $(wildcard nbs/tutorials/[0-9]*.ipynb))
MINUTES ?= 30
# PYTHONPATH and MPLBACKEND of the caller would change what is tested.
unexport PYTHONPATH PYTHONHOME MPLBACKEND

.PHONY: help setup setup-newest test tutorials demo lab browser bench docs docs-check readme pins clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# The first Python that fits and can make environments; PYTHON=/path/to/python decides otherwise.
FIND_PYTHON = fits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; found=; \
	for p in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  if command -v "$$p" >/dev/null && "$$p" -c "$$fits" >/dev/null 2>&1; then found="$$p"; break; fi; done; \
	if [ -z "$$found" ]; then echo "setup: no Python 3.11 to 3.13 with venv and ensurepip among: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python). Install one (Debian: python3-venv too), or name it: make setup PYTHON=/path/to/python" >&2; exit 1; fi

setup: ## make .venv with the tested set of packages; skipped when nothing changed
	@$(FIND_PYTHON); "$$found" tools/setup_env.py

setup-newest: ## the same with the newest version of every dependency
	@$(FIND_PYTHON); "$$found" tools/setup_env.py --newest

test: setup ## set-up, then every notebook as a test
	@$(BIN)/python tools/test_notebooks.py

tutorials: setup ## set-up, then every tutorial top to bottom, with its trainings; prints the time of each
	@$(BIN)/python tools/test_notebooks.py $(TUTORIALS) --flags slow --workers 1 --minutes $(MINUTES)

demo: setup ## set-up, then the main job on a synthetic cohort; ends with the path of its report
	@$(BIN)/bonemets demo --out "$(OUT)"
	@test -s "$(OUT)/report.html" || { echo "demo: $(OUT)/report.html was not written" >&2; exit 1; }

lab: setup ## JupyterLab on the notebooks
	@$(BIN)/jupyter lab --notebook-dir=nbs

browser: setup ## the widgets in JupyterLab, driven in Chromium; skips where there is none
	@$(BIN)/python tools/browser_test.py

bench: setup ## every script of benchmarks/
	@shopt -s nullglob; scripts=(benchmarks/*.py); \
	if [ $${#scripts[@]} -eq 0 ]; then echo "bench: benchmarks/ holds no script" >&2; exit 1; fi; \
	for s in "$${scripts[@]}"; do echo "== $$s"; $(BIN)/python "$$s"; done

docs: setup ## the documentation site in _docs (needs Quarto)
	@command -v quarto >/dev/null || { echo "docs: Quarto is not installed; get it from https://quarto.org/docs/get-started, the version that .github/workflows/docs.yml names" >&2; exit 1; }
	@PYTHONPATH="$(CURDIR)/tools" $(BIN)/nbdev_docs
	@$(BIN)/python tools/readme.py

docs-check: setup ## each page of the site as nbdev makes it: links, anchors, pictures, sidebar, README.md
	@$(BIN)/python tools/docs_check.py

readme: setup ## write README.md from nbs/index.ipynb
	@$(BIN)/python tools/readme.py

pins: setup ## resolve constraints.txt anew from settings.ini, keeping pins that still fit
	@$(BIN)/python tools/requirements.py --all | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --output-file constraints.txt -

clean: ## remove .venv and everything that is built; runs/ stays
	rm -rf .venv build dist _docs _proc *.egg-info .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
