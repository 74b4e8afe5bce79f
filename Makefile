# tinyprof. `make demo` and `make test` do all the set-up on a machine with Python 3.11+, make and a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: help secrets demo test check format benchmarks faults influxd wheel clean

help:
	@echo "make demo        run broker, collector, agent and dashboard here, on this machine's processor"
	@echo "make test        run all tests"
	@echo "make check       lint, formatting, types, layers"
	@echo "make influxd     build the InfluxDB servers that some tests run against (Go, Rust; 8 minutes the first time)"
	@echo "make benchmarks  print the figures of docs/performance.md (minutes)"
	@echo "make faults      break sites on purpose: SEED=... MINUTES=3 AT_ONCE=1, or ROUND=... again (docs/reliability.md)"
	@echo "make secrets     make certificates, passwords and tokens for docker-compose.yml and deploy/"
	@echo "make format      put the code into its format"
	@echo "make wheel       build dist/*.whl"
	@echo "make clean       remove .venv and what was built"

# The one rule that makes the environment; it runs again when the dependencies change.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "tinyprof needs Python 3.11 or later as $(PYTHON); name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "this Python cannot make environments: install it with 'sudo apt install python3-venv' and try again" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/tinyprof demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

benchmarks: $(STAMP)
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(STAMP)
	@PYTHONPATH=tests/integration $(BIN)/python -m faults --seed "$(SEED)" --minutes $(or $(MINUTES),3) \
	  --side-by-side $(or $(AT_ONCE),1) $(if $(ROUND),--round $(ROUND)) $(ARGS)

influxd:
	@tests/servers/influxd/build.sh

secrets: $(STAMP)
	@$(BIN)/python deploy/make_secrets.py $(ARGS)

wheel: $(STAMP)
	@$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
