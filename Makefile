# `make run` starts a ready host; `make test` runs everything that a commit must pass.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SYSTEM_PACKAGES := python3-venv python3-dev gcc pkg-config librrd-dev libpam0g
# Programs that tests use as clients and as the other side; a test whose program is missing is skipped and says so.
TEST_PACKAGES := btrfs-progs chromium curl e2fsprogs libnbd-bin lvm2 novnc openssl qemu-utils rrdtool wget xfsprogs

.PHONY: run test thorough quick lint types bench lab docs clean

run: $(VENV)/.installed
	@exec $(BIN)/xapi --auth password $(ARGS)

# The files of the tests are shared out to a process for each processor; `make test WORKERS=0` runs them in one.
WORKERS ?= auto
PYTEST := $(BIN)/pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) -m "not thorough" $(ARGS)

# Every step of the sweeps over faults and kills, of which `make test` takes some: a quarter of an hour.
thorough: $(VENV)/.installed-for-tests
	$(PYTEST) -m thorough $(ARGS)

quick: $(VENV)/.installed-for-tests
	$(PYTEST) -m "not slow and not thorough" -x $(ARGS)

lint: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-for-tests
	$(BIN)/mypy

bench: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.bench $(ARGS)

# The storage drivers on real LVM, iSCSI and NFS, in a machine of their own: see docs/howto/lab.md.
lab: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.lab $(ARGS)

docs: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.golden.write

# The packages of a list that are not installed.
missing = missing=""; for package in $(1); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "ok installed" || missing="$$missing $$package"; done

# As root, missing system packages are installed; for others they are named.
$(VENV)/bin/python:
	@$(call missing,$(SYSTEM_PACKAGES)); \
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

$(VENV)/.installed-for-tests: pyproject.toml Makefile | $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) -e '.[test]'
	@$(call missing,$(TEST_PACKAGES)); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    echo "Installing programs for the tests:$$missing"; \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	    || echo "They could not be installed; the tests that need them are skipped."; \
	  else echo "Tests that need these packages are skipped:$$missing"; fi; fi
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
