# Everything here needs Python 3.11 or newer and nothing else; the first use makes .venv.

AIRFLOW_VERSION := 3.3.2
# The older releases, each with a day up to which the versions of what Airflow needs are taken: later ones break it.
OLDER_AIRFLOWS := 2.11.2/2026-03-20 3.0.6/2025-09-10 3.1.8/2026-03-20 3.2.2/2026-06-10
# But the oldest that has all we need of it.
OLDEST_COMPAT := apache-airflow-providers-common-compat=2026-03-20
CONSTRAINTS := constraints/airflow-$(AIRFLOW_VERSION).txt
VENV := .venv
BENCH_VENV := .venv-bench
BENCH_PEERS := benchmarks/requirements
BIN := $(VENV)/bin
GROUPS := --group test --group lint --group docs --group matrix
PIN = $(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)

# The first Python that works and is new enough.
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

test: $(VENV)/.developed ## Run the tests; most of them also with the oldest Airflow, and with one between
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest --cov --cov-report=term
	$(BIN)/python scripts/test_matrix.py 2.11 3.1

test-matrix: $(VENV)/.developed ## Run the tests with each Airflow and Python; or with some: PAIRS="2.11 3.1/3.12"
	$(BIN)/python scripts/test_matrix.py $(PAIRS)

soak: $(VENV)/.soaked ## Take everything away once, and let 200 sensors wait (needs PostgreSQL; half an hour)
	$(BIN)/python -m pytest tests/soak --log-cli-level=INFO

lint: $(VENV)/.developed ## Check format, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

docs: $(VENV)/.developed ## Make a site of the documentation, in build/site
	$(BIN)/python scripts/record_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'The site is in build/site: open build/site/index.html.'

bench: $(BENCH_VENV)/.installed ## Measure what a poll costs, beside the peers; takes minutes
	$(BENCH_VENV)/bin/python benchmarks/run.py

constraints: $(VENV)/.tools ## Pin the dependencies anew
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

clean: ## Remove what the other commands made
	rm -rf $(VENV) $(BENCH_VENV) .matrix .demo .soak .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist

$(VENV)/.tools: $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed. Name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@echo 'Installing Airflow and the rest into $(VENV): once, for about a minute …'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	@touch $@

$(VENV)/.installed: $(VENV)/.tools pyproject.toml
	$(PIP) --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(PIP) $(GROUPS)
	@touch $@

$(VENV)/.soaked: $(VENV)/.developed
	$(PIP) --group soak
	@touch $@

$(BENCH_VENV)/.installed: $(VENV)/.tools pyproject.toml $(BENCH_PEERS).txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(BENCH_PEERS).txt
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
