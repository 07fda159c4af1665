# Everything here needs Python 3.11 or newer and nothing else; the first use creates .venv.

AIRFLOW_VERSION := 3.3.2
# Older releases, each with a cut-off date for the versions of its dependencies: later versions break it.
OLDER_AIRFLOWS := 2.11.2/2026-03-20 3.0.6/2025-09-10 3.1.8/2026-03-20 3.2.2/2026-06-10
# Exception: the oldest version with everything that we need from it.
OLDEST_COMPAT := apache-airflow-providers-common-compat=2026-03-20
CONSTRAINTS := constraints/airflow-$(AIRFLOW_VERSION).txt
VENV := .venv
BENCH_VENV := .venv-bench
BENCH_PEERS := benchmarks/requirements
BIN := $(VENV)/bin
GROUPS := --group test --group lint --group docs --group matrix
PIN = $(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)

# Offline, pip ends with a misleading message about versions.
OFFLINE = Most likely pip could not reach its package index: offline, it reports conflicting or missing \
versions. Check network, proxy and pip configuration, then run make again.

# Use the first Python that works and is new enough.
PYTHON ?= $(shell for python in python3.12 python3.13 python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Without bytecode each process that imports Airflow takes seconds longer.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo ui test test-matrix soak lint docs bench constraints clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed ## Watch four simulated migrations in a real Airflow
	$(BIN)/python scripts/local_airflow.py demo

ui: $(VENV)/.installed ## Start an Airflow with the demo on http://localhost:8080 (or PORT=…) to click through
	$(BIN)/python scripts/local_airflow.py ui $(if $(PORT),--port $(PORT))

# Tests wait more than they compute, so two groups of them share the machine.
test: $(VENV)/.developed ## Run the tests, many of them also with Airflow 2.11 and 3.1
	$(MAKE) --jobs=2 test-package test-system
	$(MAKE) test-others

.PHONY: test-package test-system test-others
test-package:
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest --cov --cov-report=term -m 'not browser' --ignore=tests/system

# Not under coverage: an Airflow of its own runs the package there, and playwright's greenlets under coverage can hang
# Python 3.11 when two threads end at once.
test-system:
	$(BIN)/python -m pytest tests/system -m 'not browser'
	$(BIN)/python -m pytest -m browser
test-others:
	$(BIN)/python scripts/test_matrix.py 2.11 3.1

test-matrix: $(VENV)/.developed ## Run the tests with each Airflow and Python, or with some: PAIRS="2.11 3.1/3.12"
	$(BIN)/python scripts/test_matrix.py $(PAIRS)

soak: $(VENV)/.soaked ## Run the tests of outages, alerts and load on a real Airflow (needs PostgreSQL; 75 minutes)
	$(BIN)/python -m pytest tests/soak --log-cli-level=INFO

lint: $(VENV)/.developed ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python scripts/type_completeness.py

docs: $(VENV)/.developed ## Build the documentation site in build/site
	$(BIN)/python scripts/record_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'The site is in build/site: open build/site/index.html.'

bench: $(BENCH_VENV)/.installed ## Benchmark polls against other providers; takes minutes
	$(BENCH_VENV)/bin/python benchmarks/run.py

constraints: $(VENV)/.tools ## Update the pinned dependencies
	$(BIN)/python -m pip install --quiet uv
	mkdir -p build
	echo 'apache-airflow==$(AIRFLOW_VERSION)' | \
		$(PIN) --constraints - pyproject.toml $(GROUPS) --group soak --output-file $(CONSTRAINTS)
	for older in $(OLDER_AIRFLOWS); do \
		echo "apache-airflow==$${older%/*}" | \
			$(PIN) --exclude-newer "$${older#*/}" --exclude-newer-package $(OLDEST_COMPAT) - --output-file build/older.txt && \
		$(PIN) --constraints build/older.txt pyproject.toml --extra simulator --group test \
			--output-file "constraints/airflow-$${older%/*}.txt" || exit; \
	done
	echo 'apache-airflow==$(AIRFLOW_VERSION)' | \
		$(PIN) --constraints - pyproject.toml $(BENCH_PEERS).in --output-file $(BENCH_PEERS).txt

clean: ## Remove everything created by the other commands
	rm -rf $(VENV) $(BENCH_VENV) .matrix .demo .soak .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist

# Remove an incomplete environment, but not one that existed before.
$(VENV)/.tools: $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed. Name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "PYTHON=$(PYTHON) does not work or is older than 3.11. Name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo 'Installing Airflow and the rest into $(VENV): once, for about a minute …'
	@was=$$(test ! -e $(VENV) || echo there); $(PYTHON) -m venv $(VENV) && $(PIP) --upgrade pip || { \
		test -n "$$was" || rm -rf $(VENV); echo '$(VENV) could not be created. $(OFFLINE)' >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml
	@$(PIP) --editable . || { echo '$(OFFLINE)' >&2; exit 1; }
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@$(PIP) $(GROUPS) || { echo '$(OFFLINE)' >&2; exit 1; }
	@touch $@

$(VENV)/.soaked: $(VENV)/.developed
	@$(PIP) --group soak || { echo '$(OFFLINE)' >&2; exit 1; }
	@touch $@

$(BENCH_VENV)/.installed: $(VENV)/.tools pyproject.toml $(BENCH_PEERS).txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(BENCH_PEERS).txt
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
