# `make` alone lists what there is. Every target sets up what it needs by itself.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
ENGINE_SOURCES := Cargo.toml Cargo.lock $(shell find engine_rs -type f \( -name '*.rs' -o -name Cargo.toml \) -not -path '*/fuzz/*')

SCHEDULES ?= 1000
KILLS ?= 100
SECONDS ?= 60
MINUTES ?= 60

.PHONY: help setup run test test-fast chaos soak docs fuzz check fmt bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.built ## make .venv with all dependencies and the compiled engine (the others call it)

$(VENV)/.installed: requirements/dev.lock
	@cargo --version >/dev/null 2>&1 || { echo "Rust is missing: install it from rustup.rs (1.85 or newer), then run make again." >&2; exit 1; }
	@python=$$(tools/find-python) && echo "setting up .venv with $$python (once, a few minutes)" && \
		{ [ -x $(BIN)/python ] || "$$python" -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/.built: $(VENV)/.installed Makefile pyproject.toml $(ENGINE_SOURCES)
	@echo "compiling the engine"
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## trade a simulated day from configs/paper.yaml, no keys and no network needed
	$(BIN)/runner configs/paper.yaml --sim --start 09:00 --speed 600

test: setup ## every test, Python and Rust
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: setup ## the Python tests that take no servers
	$(BIN)/python -m pytest -x -q -m 'not slow'

chaos: setup ## a thousand seeded schedules of faults and a hundred kills: no order lost, none sent twice (SCHEDULES=n, KILLS=n)
	RUNNER_CHAOS_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest -q --timeout 3600 tests/alpaca/test_chaos.py
	RUNNER_CHAOS_KILLS=5 RUNNER_CHAOS_SEEDS=$$(( $(KILLS) / 5 )) $(BIN)/python -m pytest -q tests/journal/test_kill.py

soak: setup ## an hour of generated days at 50 times real speed: memory and latency stay flat (MINUTES=n); writes docs/soak.md
	$(BIN)/python -m benches.soak --minutes $(MINUTES) --out docs/soak.md

docs: setup ## the generated pages of docs/reference, and the site in target/site
	$(BIN)/python tools/reference.py
	DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet

fuzz: ## fuzz the parsers, a minute each (SECONDS=n for longer); needs cargo-fuzz and a nightly compiler
	tools/fuzz $(SECONDS)

check: setup ## lint, types, formats, import contracts, stubs against the binary
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked --quiet -- -D warnings
	$(BIN)/python -m mypy.stubtest runner._engine --mypy-config-file pyproject.toml

fmt: setup ## format Python and Rust
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	cargo fmt --all

bench: setup ## speeds beside alpaca-py, as ratios of one run
	$(BIN)/python -m benches

lock: ## write the lock files anew (needs uv)
	uv pip compile pyproject.toml --group dev --extra plots --universal --generate-hashes --python-version 3.12 --no-header --upgrade -q -o requirements/dev.lock
	uv pip compile pyproject.toml -c requirements/dev.lock --universal --generate-hashes --python-version 3.12 --no-header -q -o requirements/run.lock
	cargo update

clean: ## remove what make made
	rm -rf $(VENV) target dist .pytest_cache .mypy_cache .ruff_cache
