# `make run` starts the service, `make test` proves it; both set themselves up with Python and make.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
# Test files at the same time; more than half of their time is waiting.
JOBS ?= 6
export PYTHON HOST PORT
# Bytecode is kept, whatever the machine says: a run starts hundreds of servers, each of which would
# compile the package once more (1.2 s instead of 0.4 s).
export PYTHONDONTWRITEBYTECODE =

VENV := .venv
BIN := $(VENV)/bin
# Part of the stamps' names, so that another PYTHON gets a new virtual environment.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
RUNTIME := $(VENV)/.runtime-$(VERSION)
DEVELOPMENT := $(VENV)/.development-$(VERSION)
# The peers' packages stay out of the tests' environment.
BENCH_VENV := .venv-bench
BENCH := $(BENCH_VENV)/.bench-$(VERSION)
# Sphinx and what it brings stay out of it too.
DOCS_VENV := .venv-docs
DOCS := $(DOCS_VENV)/.docs-$(VERSION)
# What measures stays out of the tests' environment, and so do its hooks in every interpreter.
COVERAGE_VENV := .venv-coverage
COVERAGE := $(COVERAGE_VENV)/.coverage-$(VERSION)
# `make bench WORK=… ARGS="…"`: which work is measured (bench/README.md), and its options.
WORK ?= tokens
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-all test-parked test-sites test-models test-agents test-gevent test-matrix test-stores test-extensions test-open-responses test-aegra test-mcp test-a2a release resolve-sites check format lint docs lock bench coverage packages clients clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

run: $(RUNTIME) ## start the service on http://127.0.0.1:8000 (PORT=… moves it)
	@echo 'Open   http://$(HOST):$(PORT)/'
	@echo 'or try curl -N -X POST http://$(HOST):$(PORT)/chat/s-1 -H "Authorization: Bearer dev" -H "Content-Type: application/json" -d '\''{"message":"what is 12*34?"}'\'''
	@exec $(BIN)/gunicorn --config gunicorn.conf.py wsgi_app:app

test: $(DEVELOPMENT) packages clients ## the core tests, under 10 minutes on 2 cores
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Each part by itself: few servers are started.
FAST_TESTS := tests/wire tests/auth tests/agents tests/test_routes.py \
  $(addprefix tests/delivery/test_,events.py pump.py slots.py) \
  $(addprefix tests/engine/test_,loops.py session_agents.py turn_state.py)

test-fast: $(DEVELOPMENT) packages ## the parts by themselves, a minute
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(FAST_TESTS)

test-all: $(DEVELOPMENT) packages clients ## all tests, the long ones too
	@$(BIN)/python -m pytest -m "not sites and not models and not agents and not open_responses and not aegra and not release and not mcp and not a2a" -n $(JOBS) --dist loadfile --no-loadscope-reorder
	@$(MAKE) --no-print-directory test-parked test-gevent

# What concerns delivery, drain, crashes and the store, once more with parked streams.
PARKED_TESTS := $(addprefix tests/engine/test_,across_workers.py cancel_anywhere.py drain.py \
  lost_signals.py races.py rolling_reload.py store_outage.py worker_death.py) \
  $(addprefix tests/delivery/test_,hang_up.py many_sessions.py resume.py) \
  $(addprefix tests/web/test_,chat_modes.py idempotency.py if_busy.py input.py) \
  tests/clients/test_ag_ui.py tests/clients/test_ai_sdk.py \
  $(addprefix tests/clients/test_openai_,python.py python_responses.py) tests/langgraph

test-parked: $(DEVELOPMENT) packages clients ## the suites of delivery, with streams without threads
	@TEST_DELIVERY=parked $(BIN)/python -m pytest -m "not sites" -n $(JOBS) --dist loadfile $(PARKED_TESTS)

# Each application is installed once, into .venv-sites/, as its own files pin it.
test-sites: $(DEVELOPMENT) packages ## real applications with the host mounted (SITE=ihatemoney: one of them)
	@$(BIN)/python -m pytest -m sites -n 2 --dist loadfile tests/sites$(if $(SITE),/test_$(SITE).py)

test-models: $(DEVELOPMENT) packages ## real model servers and gateways (MODEL=llama_cpp: one of them)
	@$(BIN)/python -m pytest -m models tests/models$(if $(MODEL),/test_$(MODEL).py)

test-agents: $(DEVELOPMENT) packages clients ## agents with the frameworks, databases and MCP servers that teams have
	@$(BIN)/python -m pytest -m "slow or agents" -n 2 --dist loadfile tests/agents tests/agents_real

# The same, and the built-in agent, on gunicorn's gevent workers.
GEVENT_TESTS := $(PARKED_TESTS) tests/a2a/test_a2a_server.py tests/agents/test_openai_agent.py \
  tests/clients/test_mcp.py tests/delivery/test_websocket.py \
  tests/engine/test_given_up_questions.py tests/mcp/test_mcp_server.py \
  tests/mcp/test_mcp_questions.py tests/gevent

test-gevent: $(DEVELOPMENT) packages clients ## the suites of delivery, on gevent's worker class
	@TEST_WORKER_CLASS=gevent $(BIN)/python -m pytest -m "" -n $(JOBS) --dist loadfile $(GEVENT_TESTS)

test-matrix: $(DEVELOPMENT) packages ## a part of the suite with old and new versions of everything (ARGS="flask lowest")
	@$(BIN)/python -m tests.matrix $(ARGS)

test-stores: $(DEVELOPMENT) packages ## the store's tests on Redis, Valkey and Redict of several versions (ARGS="valkey-9")
	@$(BIN)/python -m tests.matrix.stores $(ARGS)

test-extensions: $(DEVELOPMENT) packages ## the extensions of docs/extensions.md, of today and of old sites
	@$(BIN)/python -m pytest -m slow -n 2 tests/extensions

# Fetched, never committed: AEGRA=<repository or checkout> is another place to have it from.
test-aegra: $(DEVELOPMENT) packages ## aegra's end-to-end tests, unmodified, against the host
	@scripts/aegra .aegra
	@$(BIN)/python -m pytest -m aegra tests/aegra

# Fetched, never committed: OPEN_RESPONSES=<repository or checkout> is another place to have it from.
test-open-responses: $(DEVELOPMENT) packages ## the public suite of Open Responses, unmodified, against the host
	@scripts/open-responses .open-responses
	@$(BIN)/python -m pytest -m open_responses tests/open_responses

# Its suite and an older client of it, in environments of their own.
test-mcp: $(DEVELOPMENT) packages clients ## the public suite of MCP against the host, and older clients
	@scripts/mcp-suite .mcp-suite
	@$(BIN)/python -m pytest -m mcp tests/mcp

# The same of A2A; A2A_TCK=<repository or checkout> is another place to have the suite from.
test-a2a: $(DEVELOPMENT) packages clients ## the public suite of A2A against the host, and its SDKs
	@scripts/a2a-suite .a2a-suite
	@$(BIN)/python -m pytest -m a2a tests/a2a

# From Python 3.12 on through sys.monitoring, which costs little; before, it traces.
coverage: export COVERAGE_CORE = $(if $(filter 3.10 3.11,$(VERSION)),ctrace,sysmon)
coverage: $(COVERAGE) packages clients ## what the core tests reach, servers and all (PYTHON=python3.13 is faster)
	@rm -rf .coverage-data && mkdir .coverage-data
	@$(COVERAGE_VENV)/bin/python -m coverage run -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
	@$(COVERAGE_VENV)/bin/python -m coverage combine --quiet
	@$(COVERAGE_VENV)/bin/python -m coverage report --skip-covered --sort=miss

check: lint docs ## format, lint, types, import direction, documentation and the core tests
	@$(MAKE) --no-print-directory test

release: $(DEVELOPMENT) ## build dist/ and try it in empty environments (CONTRIBUTING.md says what comes before and after)
	@$(BIN)/python -m pytest -m release tests/release

resolve-sites: $(DEVELOPMENT) ## whether the package resolves beside real applications' own pins (SITE=ckan: one of them)
	@$(BIN)/python -m tests.sites.resolve $(SITE)

format: $(DEVELOPMENT) ## rewrite the sources in the project's format
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --quiet --fix-only

lint: $(DEVELOPMENT) ## format, lint, types and import direction, without the tests
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(DOCS) ## the documentation as a site, in docs/_build/html
	@$(DOCS_VENV)/bin/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

lock: ## take the newest versions into the lock files (needs uv)
	@scripts/lock

bench: $(BENCH) ## this host beside its peers: tokens per second and latency (WORK=all, ARGS="--help")
	@command -v redis-server >/dev/null || scripts/debian-packages redis-server
	@$(BENCH_VENV)/bin/python -m bench $(WORK) $(ARGS)

packages:
	@scripts/debian-packages

clients: $(DEVELOPMENT) packages
	@$(BIN)/python -m tests.support.node

clean: ## remove what the other targets made
	@rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV) $(COVERAGE_VENV) .coverage-data docs/_build docs/reference .venv-matrix .venv-agentflow .venv-apache .venv-sites .store-servers dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(RUNTIME): requirements-runtime.lock pyproject.toml
	@scripts/virtualenv $(VENV) requirements-runtime.lock
	@touch $@

$(DEVELOPMENT): requirements.lock pyproject.toml
	@scripts/virtualenv $(VENV) requirements.lock
	@touch $@ $(RUNTIME) # it holds all that a run needs

$(DOCS): docs/requirements.lock pyproject.toml
	@scripts/virtualenv $(DOCS_VENV) docs/requirements.lock
	@touch $@

$(COVERAGE): requirements.lock tests/coverage.lock pyproject.toml
	@scripts/virtualenv $(COVERAGE_VENV) requirements.lock
	@$(COVERAGE_VENV)/bin/python -m pip --quiet --quiet --disable-pip-version-check install --no-deps --require-hashes --only-binary :all: --requirement tests/coverage.lock
	@touch $@

# uvicorn and Node read requests in C, so gunicorn may too. The parser comes as source.
$(BENCH): bench/requirements.lock bench/parser.lock pyproject.toml
	@command -v cc >/dev/null || scripts/debian-packages gcc libc6-dev
	@scripts/virtualenv $(BENCH_VENV) bench/requirements.lock
	@$(BENCH_VENV)/bin/python -m pip --quiet --quiet --disable-pip-version-check install --no-deps --require-hashes --requirement bench/parser.lock \
	  || echo "gunicorn's parser in C cannot be built here: gunicorn reads requests in Python." >&2
	@touch $@
