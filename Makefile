# From a bare checkout: `make run` starts the daemon, `make test` runs every test. `make help` lists the rest.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
JOBS ?= auto
ARGS ?=

# Of `make install`: the service runs as a user of its own, so its Python is the system's, not somebody's own.
SYSTEM_PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
PLACES = PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" DESTDIR="$(DESTDIR)" PYTHON="$(SYSTEM_PYTHON)"

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --no-input --disable-pip-version-check install
HASHED := $(PIP) --require-hashes --only-binary :all: --requirement
# Whoever has nothing left to run takes from the others: some files start systemd, and take a minute.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make requirements"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help run install uninstall deb test soak coverage lint openapi docs bench requirements clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/daemon.stamp ## Start daemon and keeper; flags in ARGS, as in ARGS="--tcp 127.0.0.1:8080"
	@exec $(BIN)/socketd run --banner $(ARGS)

install: ## Install for the whole system, as root; places in PREFIX, SYSCONFDIR, DESTDIR and SYSTEM_PYTHON
	@$(PLACES) packaging/install.sh install

uninstall: ## Remove what `make install` with the same places installed
	@$(PLACES) packaging/install.sh uninstall

deb: ## Build dist/socketd_VERSION_ARCHITECTURE.deb; needs dpkg-deb
	@PYTHON="$(SYSTEM_PYTHON)" packaging/deb.sh dist

test: $(VENV)/test.stamp ## Run every test; pytest's own arguments in ARGS
	$(PYTEST) $(ARGS)

soak: $(VENV)/test.stamp ## Run the same tests with larger numbers (SOCKETD_SOAK=1)
	SOCKETD_SOAK=1 $(PYTEST) --timeout 1800 $(ARGS)

coverage: $(VENV)/test.stamp ## Run every test and show the branches that none of them took
	$(PYTEST) --cov --cov-report term-missing $(ARGS)

lint: $(VENV)/test.stamp ## Check style, types, the import rule and openapi.yaml, and run nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/socketd openapi --check openapi.yaml

openapi: $(VENV)/daemon.stamp ## Write openapi.yaml anew from the schemas
	$(BIN)/socketd openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

docs: openapi ## Write openapi.yaml, docs/errors.md, the man page and socketd.toml anew from what they describe
	$(BIN)/python -m socketd.web.reference_errors > docs/errors.md.new && mv docs/errors.md.new docs/errors.md
	$(BIN)/python -m socketd_client.cli.manual > docs/man/socketctl.1.new && \
		mv docs/man/socketctl.1.new docs/man/socketctl.1
	$(BIN)/socketd config --defaults > systemd/socketd.toml.new && mv systemd/socketd.toml.new systemd/socketd.toml

bench: $(VENV)/test.stamp ## Measure against the yardsticks of benchmarks/README.md
	$(BIN)/python benchmarks/run.py $(ARGS)

requirements: $(VENV)/uv.stamp ## Pin and hash requirements/ anew; ARGS=--upgrade takes newer versions
	$(LOCK) --group lock $(ARGS) --output-file requirements/uv.txt
	$(LOCK) --extra daemon --extra cli $(ARGS) --output-file requirements/daemon.txt pyproject.toml
	$(LOCK) --group build --constraints requirements/daemon.txt $(ARGS) --output-file requirements/build.txt
	$(LOCK) --extra daemon --extra cli --group dev --constraints requirements/daemon.txt \
		--constraints requirements/build.txt $(ARGS) --output-file requirements/test.txt pyproject.toml

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find daemon client tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second `make run` start at once: pip is asked only when a list below has changed.

$(VENV)/venv.stamp:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "make: there is no $(PYTHON) here: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: socketd needs Python 3.11 or newer: name one, as in make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make environments: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/daemon.stamp: requirements/daemon.txt requirements/build.txt pyproject.toml daemon/socketd/__init__.py \
		$(VENV)/venv.stamp
	@echo "Installing the daemon into $(VENV)" >&2
	@$(HASHED) requirements/daemon.txt --requirement requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/daemon.stamp
	@echo "Installing what the tests need into $(VENV)" >&2
	@$(HASHED) requirements/test.txt
	@touch $@

$(VENV)/uv.stamp: requirements/uv.txt $(VENV)/venv.stamp
	@$(HASHED) requirements/uv.txt
	@touch $@
