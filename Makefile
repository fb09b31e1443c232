# raydo: `make run` from a fresh machine with Python 3.11+ and make; `make test` runs the tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

ifdef UV
  MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  PIP       = uv pip install --quiet --python $(BIN)/python
else
  MAKE_VENV = $(PYTHON) -m venv $(VENV)
  PIP       = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help run demo test check sim mutants crash format bench vendor wheel pin clean
help: ## show this
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.run ## start Ray and the gateway on 127.0.0.1:8000 (ARGS="--port 9000" passes options on)
	@exec $(BIN)/raydo serve $(ARGS)

demo: $(VENV)/.run ## make 20 tenants with 90 days of events and say where to look
	@exec $(BIN)/raydo demo $(ARGS)

test: $(VENV)/.dev .dev/raydo ## run the tests
	@$(BIN)/pytest $(ARGS)

check: $(VENV)/.dev .dev/raydo ## format, lint, types, layers, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest $(ARGS)

sim: $(VENV)/.dev ## crash a simulated tenant at every step, on all cores (ARGS="--seeds 1000 --first 0")
	@PYTHONPATH=tests $(BIN)/python -m sim $(ARGS)

mutants: $(VENV)/.dev ## break the source on purpose, and see that the simulation notices (ARGS="--only lease")
	@PYTHONPATH=tests $(BIN)/python -m sim.mutate $(ARGS)

crash: $(VENV)/.dev ## kill the real server's processes 300 times while clients send, and settle accounts
	@PYTHONPATH=tests $(BIN)/python -m crash.loop $(ARGS)

format: $(VENV)/.dev ## rewrite the code in the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure; tables on the screen, JSON in benchmarks/results
	@$(BIN)/python -m benchmarks $(ARGS)

vendor: ## fetch the libraries of the dashboard again, as npm has them
	@gateway/static/vendor/fetch.sh

wheel: $(VENV)/.dev ## build the wheel into dist/
	@rm -rf build dist
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

pin: ## write the pinned requirements anew (needs uv)
	@echo 'setuptools>=77' > $(VENV)/build.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --extra server pyproject.toml $(VENV)/build.in --output-file requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --extra server --extra dev --constraint requirements.txt pyproject.toml $(VENV)/build.in --output-file requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  tests/clients/requirements.in --output-file tests/clients/requirements.txt

clean: ## remove what was built and measured; data/ stays
	@rm -rf build dist .dev *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The pinned packages, then this folder itself, editable. The stamp is newer than what it was made from.
$(VENV)/.run: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(MAKE_VENV)
	@echo "Installing the pinned packages into $(VENV) …"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# Type checkers see the folders under their import names through these links.
.dev/raydo:
	@mkdir -p $@
	@cd $@ && for name in actors gateway pipelining __init__.py testing.py py.typed; do ln -sfn ../../$$name $$name; done
