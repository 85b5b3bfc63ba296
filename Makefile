# The steps of every day. `make env` is the first of all others and does nothing when it is up to date.
#   make demo    the main job on this machine, with a simulated shop     make lint   style, types, layers
#   make test    lint and all tests                                      make bench  microseconds per event
#   make torture the laws of the core, with random seeds and many more examples
#   make pins    resolve the requirements anew                           make clean  remove what env and tests made

PYTHON ?= $(firstword $(foreach name,python3.12 python3.11 python3 python,$(shell \
	command -v $(name) >/dev/null && $(name) -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $(name))))
BIN := .venv/bin
STAMP := .venv/up-to-date
TEST_STAMP := .venv/tests-up-to-date
SOURCES := streams online_models sinks connectors dashboards contracts crmstream tests
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
PIN := CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile --quiet --no-config --strip-extras --generate-hashes \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	--annotation-style=line --all-build-deps

.PHONY: env machine env-tests demo test lint torture bench bench-quick bench-docs pins clean
.NOTPARALLEL:

env: $(STAMP)

$(STAMP): requirements.txt pyproject.toml crmstream/stack/kafka-jars.lock
	@if [ -z "$(PYTHON)" ]; then \
		echo "crmstream needs Python 3.11 or 3.12 with its venv module (on Debian: apt-get install python3-venv)." >&2; \
		echo "If it is there under another name: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; fi
	@echo "Making the environment in .venv ($$($(PYTHON) --version)). The first time takes some minutes."
	@$(PYTHON) -m venv .venv
	@echo "  installing the pinned packages ..."
	@$(PIP) install --no-compile --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@echo "  bringing Apache Kafka ..."
	@$(BIN)/python -m crmstream.stack.jars
	@$(BIN)/python -m crmstream.stack.jvm_cache
	@touch $(STAMP)
	@echo "The environment is ready: $$(du -sh .venv | cut -f1) in .venv."

# what only tests, lint and benchmarks need; machine.sh looks first for programs that are not Python packages
machine:
	@PYTHON="$(PYTHON)" tests/support/machine.sh

env-tests: $(TEST_STAMP)

$(TEST_STAMP): $(STAMP) requirements-dev.txt
	@echo "  installing what only the tests need ..."
	@$(PIP) install --no-compile --require-hashes -r requirements-dev.txt
	@touch $(TEST_STAMP)

demo: env
	@$(BIN)/crmstream demo

lint: env-tests
	@echo "Checking style, types and layers ..."
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>&1 || { echo "the layers are broken" >&2; exit 1; }

test: machine lint
	@echo "Running all tests (some minutes; they start real servers on free ports) ..."
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 10 --durations-min 5

# TORTURE="-k money" chooses some; nothing is started, and no run is like another
torture: env-tests
	@echo "Trying the laws with many examples (takes long) ..."
	@HYPOTHESIS_PROFILE=wide $(BIN)/python -m pytest --numprocesses 2 --timeout 7200 tests/unit/streams \
		tests/unit/online_models $(TORTURE)

# BENCH="--against COMMIT --parts whole --rounds 5 --save docs/performance/results.json": more in docs/performance.md
bench: env-tests
	@$(BIN)/python tests/benchmarks/bench.py $(BENCH)

bench-quick: env-tests
	@$(BIN)/python tests/benchmarks/bench.py --quick $(BENCH)

bench-docs: env-tests
	@$(BIN)/python tests/benchmarks/report.py $(wildcard $(patsubst %,docs/performance/%.json,results one-event scale soak)) > docs/performance.md.new
	@mv docs/performance.md.new docs/performance.md
	@$(BIN)/python tests/benchmarks/sizing.py $(wildcard $(patsubst %,docs/performance/%.json,results scale soak)) > docs/sizing.md.new
	@mv docs/sizing.md.new docs/sizing.md

# requirements.txt is what runs; requirements-dev.txt is the same and what tests need, at the same versions
pins: env-tests
	@echo "Resolving the requirements (takes minutes: every hash is fetched) ..."
	@$(PIN) --output-file requirements.txt pyproject.toml
	@cp requirements.txt requirements-dev.txt
	@$(PIN) --extra dev --output-file requirements-dev.txt pyproject.toml

clean:
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
