# Every target works on a fresh Debian/Ubuntu machine with Python >= 3.11: missing system
# packages are installed where we are root, then a virtual environment, then the package.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What a napari window needs, with a virtual screen and xdotool for the tests.
APT_PACKAGES := python3-venv xvfb xauth xdotool libegl1 libgl1 libglib2.0-0 libdbus-1-3 \
	libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0

.PHONY: help
help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.PHONY: demo
demo: $(READY) ## Segment a phantom volume from a few strokes; writes demo-output/
	$(BIN)/napari-regcon demo --out demo-output

.PHONY: test
test: $(READY) ## Run the tests, with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --maxprocesses 4 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

.PHONY: check
check: $(READY) ## Lint, types, layers, docs, package, manifest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --strict --quiet
	rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	$(BIN)/npe2 validate napari_regcon

.PHONY: format
format: $(READY) ## Format the code and apply the linter's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: screenshots
screenshots: $(READY) ## Make the pictures of the docs anew
	xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python docs/make_screenshots.py

.PHONY: docs
docs: $(READY) ## Serve the docs on localhost
	$(BIN)/mkdocs serve

.PHONY: clean
clean: ## Remove the environment and everything built
	rm -rf $(VENV) dist site demo-output .coverage* .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	@missing=""; if [ "$$(id -u)" = 0 ] && command -v dpkg-query > /dev/null; then \
		for p in $(APT_PACKAGES); do \
			dpkg-query -W -f='$${Status}' $$p 2> /dev/null | grep -q "ok installed" || missing="$$missing $$p"; \
		done; \
		if [ -n "$$missing" ]; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing > /dev/null; \
		fi; \
	fi
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade uv
	@UV_FIND_LINKS=$${PIP_FIND_LINKS:-} VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet \
		--constraint constraints.txt --editable ".[dev]"
	@touch $(READY)
