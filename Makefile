# Everything that is done with this project, on a laptop and in CI alike. `make` alone lists the verbs.
# A fresh Debian with Python 3.11 or later and make is enough: the rest is installed here.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
# Two cores: with two workers they idle a third of the time, as tests wait for nodes.
WORKERS ?= 3
PIP := $(PY) -m pip install -q --disable-pip-version-check
UV := $(VENV)/bin/uv pip install -q --python $(PY) --require-hashes
PYTEST := $(PY) -m pytest -q
# Where it is forbidden to keep what was compiled, each start of a server compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

# What the two databases could do differently: locks, chains, exactly-once, SQL of our own. With ALL=1
# everything of the plane but what is about browsers and servers.
ON_POSTGRES := $(if $(ALL),tests/tenants_app tests/observability \
  $(filter-out %test_walk.py %test_who_did_it.py,$(wildcard tests/console/plane/test_*.py)) $(filter-out \
  $(patsubst %,tests/console/test_%.py,browser dashboard_walk figures_live formats live members members_live \
  overview run sign_on_browser znodes), \
  $(wildcard tests/console/test_*.py)), \
  $(patsubst %,tests/tenants_app/test_%.py,actions audit_chain backup people publication reconcile) \
  $(patsubst %,tests/tenants_app/api/test_%.py,policy requests tokens) \
  $(patsubst %,tests/observability/test_%.py,collected_together history journal_collected retention samples trail) \
  $(patsubst %,tests/observability/alerts/test_%.py,burning deliver evaluate mail) \
  $(patsubst %,tests/observability/index/test_%.py,index search) tests/tenants_app/bulk/test_runner.py \
  $(patsubst %,tests/console/plane/test_%.py,alerts audit_page) \
  $(patsubst %,tests/console/test_%.py,health lockouts people second_factor sign_on))

.PHONY: help install run test long format lint types compile unit integration postgres bench failover scale neighbour chaos \
        fuzz sim sim-long sim-bugs kazoo check clean lock

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s%s\n", $$1, $$2}' Makefile

# --- set-up: each step leaves a stamp, later runs do only what has changed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed, $(PYTHON) is $$($(PYTHON) --version)"; exit 1; }
	@PYTHON=$(PYTHON) sh tests/needs.sh venv
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)

# `uv` takes seconds where pip takes minutes, but knows nothing of pip's settings: where those say
# from where packages come, it may find none, and pip does it.
$(STAMPS)/uv: requirements-uv.lock | $(VENV)/bin/python
	$(PIP) --require-hashes -r requirements-uv.lock
	@touch $@

$(STAMPS)/runtime: requirements.lock pyproject.toml $(STAMPS)/uv
	$(UV) -r requirements.lock || $(PIP) --require-hashes -r requirements.lock
	ENSEMBLE_COMPILE=0 $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/runtime
	$(UV) -r requirements-dev.lock || $(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

install: $(STAMPS)/runtime  ## the virtual environment with everything that running needs

compile: $(STAMPS)/runtime  ## the hot modules as C, if there is a C compiler and they have changed
	@$(PY) setup.py compile

# --- the two commands

run: compile  ## start three nodes and the console; Ctrl-C stops everything
	@exec $(PY) -m ensemble.server.main up --dir var $(ARGS)

# What Debian brings comes first: without its compiler there would be nothing compiled to test.
test:  ## style, types, the tests interpreted and compiled, the simulation; `make long` is the rest
	@PYTHON=$(PYTHON) sh tests/needs.sh test
	@$(MAKE) --no-print-directory -j2 compile types
	@$(MAKE) --no-print-directory lint unit integration postgres sim

# --- its parts

format: $(STAMPS)/dev  ## rewrite the source in the one style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lint: $(STAMPS)/dev  ## style, without changing anything
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

types: $(STAMPS)/dev  ## mypy --strict
	$(PY) -m mypy

# The pure parts, interpreted: what a debugger sees, and what platforms without a compiler run.
unit: $(STAMPS)/dev  ## the tests of wire, tree, storage, client and zab, interpreted
	ENSEMBLE_PURE=1 $(PYTEST) -n $(WORKERS) tests/wire tests/tree tests/storage tests/client tests/zab

# Everything, with the compiled modules where they were built.
integration: $(STAMPS)/dev compile  ## all tests, on the compiled modules
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "not long"

long: $(STAMPS)/dev compile  ## the tests that `make test` leaves out, for their time
	$(PYTEST) -n $(WORKERS) --dist worksteal -m long

# `tests.postgres` starts Debian's server in a folder of its own, and ends and removes it.
postgres: $(STAMPS)/dev compile  ## the admin plane's tests on PostgreSQL: make postgres ALL=1
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then \
	  $(PY) -m tests.postgres $(PYTEST) -n $(WORKERS) --reuse-db $(ON_POSTGRES); \
	else echo "no PostgreSQL here: sh tests/needs.sh test"; [ -z "$$CI" ]; fi

bench: $(STAMPS)/dev compile  ## ours beside Apache's server, as a table with ratios
	$(PY) -m benchmarks.run $(ARGS)

failover: $(STAMPS)/dev compile  ## how long writes stop when the leader is killed: make failover ARGS="--kills 100"
	$(PY) -m benchmarks.failover $(ARGS)

scale: $(STAMPS)/dev compile  ## ten thousand sessions, thousands of connections, five members, an observer
	$(PY) -m benchmarks.scale $(ARGS)

neighbour: $(STAMPS)/dev compile  ## what a quiet tenant notices of a noisy one: make neighbour ARGS="--seconds 600"
	$(PY) -m benchmarks.neighbour $(ARGS)

chaos: $(STAMPS)/dev compile  ## real processes are hurt under load: make chaos SECONDS=300 SEED=7 ARGS="--software mixed"
	$(PY) -m tests.chaos.run --seconds $(or $(SECONDS),300) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: $(STAMPS)/dev compile  ## mutated frames at a server: make fuzz SECONDS=300 SEED=0
	$(PY) -m tests.fuzz.frames --seconds $(or $(SECONDS),300) --seed $(or $(SEED),0)

# Compiled where it can be: what is shipped. A seed is the same run interpreted, only slower.
sim: $(STAMPS)/dev compile  ## ensembles in simulation: make sim SEEDS=500, or SEED=n for the story of one
	$(PY) -m tests.sim.runner --workers $(WORKERS) \
	  $(if $(SEED),--seed $(SEED),--compiled --seeds $(or $(SEEDS),500)) $(ARGS)
	$(if $(SEED),,set -e; for runs in core:200 reconfig:60 local:60 wire:40 groups:20 core-groups:40 decay:24 walled:20; do \
	  echo "$${runs%:*}:"; $(PY) -m tests.sim.runner --workers $(WORKERS) --compiled \
	    --kind $${runs%:*} --seeds $(or $(SEEDS),$${runs#*:}); done)

sim-long: $(STAMPS)/dev compile  ## the same until it is told to stop: make sim-long FIRST=1000
	$(PY) -m tests.sim.runner --workers $(WORKERS) --compiled --seeds 0 --first $(or $(FIRST),1000) $(ARGS)

sim-bugs: $(STAMPS)/dev  ## known bugs put back in, one at a time: how many seeds find each
	$(PY) -m tests.sim.find_bugs

kazoo: $(STAMPS)/dev compile  ## kazoo's own test suite against one server of ours, and three
	KAZOO_RUNS=1,3,3-tenant $(PYTEST) -s tests/interop/test_kazoo_suite.py

check: test  ## what must pass before a change goes in

clean:  ## away with the environments and everything that was built; var/ stays
	rm -rf $(VENV) .venv-kazoo build build.log *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis tests/interop/java/target
	find ensemble -name '*.so' -delete; rm -f ./*__mypyc*.so

lock: $(STAMPS)/dev  ## resolve the dependencies anew; needs `uv`
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --extra console --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --extra console --extra build --extra otel --extra postgres --extra dev -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock
