.PHONY: help setup test demo bench lint clean
.DEFAULT_GOAL := help

BIN := .venv/bin

help: ## List what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: ## Install what is missing: Debian packages, and the virtual environment .venv
	@scripts/setup

test: lint ## Run linters, type checker and all tests (some of them: make test ARGS='-k NAME')
	$(BIN)/python -m pytest $(ARGS)

demo: setup ## Record two guests, find a bug by walking backwards, and see how
	@$(BIN)/python -m tests.guests
	@scripts/demo.sh

bench: setup ## Measure beside QEMU's and GDB's own reverse execution; writes docs/reference/benchmarks.md (ARGS='--help')
	$(BIN)/python -m benchmarks --json benchmarks/results/latest.json --page docs/reference/benchmarks.md $(ARGS)

lint: setup ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Delete what was built (recordings and .venv stay)
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find rrdbg tests -name __pycache__ -exec rm -rf {} +
