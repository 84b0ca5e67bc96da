# All of Restante's work is done by `python3 -m launch` (start) and pytest (tests): here are only their names.

# The Python that prepares the machine, 3.11 or newer; the rest runs in .venv.
PYTHON ?= python3
# When make itself is killed, what it has started must not go on alone.
START := exec setpriv --pdeathsig TERM $(PYTHON) -B -m
LAUNCH := $(START) launch
BIN := .venv/bin

# Two tests at a time for each worker: the slow ones stand beside each other, and would all be one worker's.
SPREAD := -n 4 --maxschedchunk 2

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-dovecot24 check messages screenshots bench clean
.PHONY: test-setup test-sqlite test-postgres check-then-postgres

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

run: ## prepare the machine and start Restante in the foreground; Ctrl-C stops it
	@$(LAUNCH) run

# Two at a time, each of which leaves the processors idle while it waits; what each says comes when it is done.
test: test-setup ## prepare the machine, then check and test everything
	@$(MAKE) --no-print-directory -j 2 --output-sync=target test-sqlite check-then-postgres

test-all: test ## also live tests as root and as an ordinary user, on Debian 13, and all tests on PostgreSQL
	$(BIN)/python -m pytest -n 3 -m "" --privileges root tests/live tests/browser
	$(BIN)/python -m pytest -n 3 -m "" --privileges ordinary tests/live tests/browser
	$(BIN)/python -m pytest -n 3 -m "" --database postgres
	@$(START) tests.debian13

test-dovecot24: ## as root: live tests on Debian 13, in a folder made once and kept outside the checkout
	@$(START) tests.debian13

check: ## format, lint, types and imports, without tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: ## pictures of every page, phone and desktop, light and dark, in both languages, into docs/screenshots/pages
	$(BIN)/python -m tests.screenshots

messages: ## extract what the panel says into locale/, and list what is not translated yet
	$(BIN)/python -m tests.translations

bench: ## measure against named references on both databases, and write docs/benchmarks.md (15 minutes)
	$(BIN)/python -m bench --database sqlite postgres --write docs/benchmarks.md

clean: ## remove caches; data and the virtual environment stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './var/*' -prune -exec rm -rf {} +

test-setup:
	@$(LAUNCH) test-setup

test-sqlite:
	$(BIN)/python -m pytest $(SPREAD)

check-then-postgres: check
	@$(MAKE) --no-print-directory test-postgres

# File by file, so that one worker alone starts a Restante for the live ones, which come first.
test-postgres:
	$(BIN)/python -m pytest -n 4 --dist loadfile --database postgres tests/live/test_smoke.py tests/panel
