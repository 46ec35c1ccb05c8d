# `make run` starts a ready host; `make test` runs everything that a commit must pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SYSTEM_PACKAGES := python3-venv python3-dev gcc pkg-config librrd-dev libpam0g

.PHONY: run test quick lint types bench docs clean

run: $(VENV)/.installed
	@exec $(BIN)/xapi --auth password $(ARGS)

test: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(ARGS)

quick: $(VENV)/.installed-for-tests
	$(BIN)/pytest -m "not slow" -x $(ARGS)

lint: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-for-tests
	$(BIN)/mypy

bench: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.golden.write

# As root, missing system packages are installed; for others they are named.
$(VENV)/bin/python:
	@missing=""; for package in $(SYSTEM_PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "ok installed" || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    echo "Installing system packages:$$missing"; \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || exit 1; \
	  else echo "These system packages are needed:$$missing"; echo "Run: sudo apt-get install$$missing"; exit 1; fi; fi
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing what xapi needs into $(VENV) (about a minute the first time)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-for-tests: pyproject.toml | $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
