.PHONY: help setup test test-install fuzz demo bench guests man vsix site lint clean
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# A process has all tests of a file, since they share recordings.
PARALLEL := --numprocesses 2 --dist loadfile

# Folders with other QEMUs, made by scripts/other-qemu; any place will do.
QEMU_10 ?= build/qemu-10
QEMU_11 ?= build/qemu-11
with = PATH="$(abspath $(1))/bin:$$PATH"

# What is tested with each QEMU, besides the one installed here: travelling, on each architecture.
TRAVEL := tests/matrix tests/engine/test_oracle.py tests/keeper/test_real_guests.py \
	tests/engine/test_spaces_elsewhere.py tests/linux/test_switches.py tests/server/test_gdb_lines.py \
	tests/boards/test_modes.py
# And what takes long, with the one that is installed.
LONG := tests/bugs/test_linux_bug.py tests/bugs/test_mailbox.py tests/peripherals/test_linux_on_disk.py tests/server/test_processes.py \
	tests/server/test_conditions.py tests/linux/test_scope.py tests/linux/test_programs.py tests/linux/test_bisect.py tests/linux/test_kept.py tests/linux/test_types.py tests/linux/test_drgn.py tests/linux/test_gdb_extensions.py \
	tests/server/test_gdb_linux.py tests/engine/test_origin.py tests/keeper/test_indexer.py \
	tests/attach/test_accesses.py tests/engine/test_accesses.py tests/benchmarks/test_harness.py tests/hunt \
	tests/mcp/test_bugs.py tests/engine/test_beside.py \
	tests/web/test_million.py tests/web/test_look.py tests/web/test_flame.py tests/web/test_linux_hunt.py \
	tests/docs

help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

setup: ## Install what is missing: Debian packages, and the virtual environment .venv
	@scripts/setup

test: lint site ## Run linters, type checker, the links of the pages and all tests (some of them: make test ARGS='-k NAME')
	$(PYTEST) $(or $(ARGS),$(PARALLEL))
	$(if $(ARGS),,$(MAKE) --no-print-directory test-newer)

test-install: setup ## Build sdist and wheel, install them into empty environments of each Python here, and use them
	scripts/check-install

FUZZ_SECONDS ?= 3600

fuzz: setup ## Let each fuzzer try other inputs for an hour (FUZZ_SECONDS=60); with the tests they run some seconds
	RRDBG_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTEST) --timeout $$(($(FUZZ_SECONDS) + 600)) -p no:logging -k test_fuzz -rP tests/store/test_fuzz.py \
		tests/server/test_bounds.py $(ARGS)

# A small part with QEMU 10.0; the whole is test-matrix.
test-newer: $(QEMU_10)/complete
	$(call with,$(QEMU_10)) $(PYTEST) tests/matrix tests/engine/test_oracle.py tests/peripherals/test_drives.py \
		tests/bugs/test_cortex_m.py -k 'cells or single_step_back or under_way or lead_to_the_cause'

test-matrix: lint $(QEMU_10)/complete $(QEMU_11)/complete ## Travel in guests of three architectures with three QEMUs
	RRDBG_JUMPS=200 RRDBG_MODES=500 RRDBG_KILLS=50 $(PYTEST) -m '' $(TRAVEL) $(LONG) $(ARGS)
	RRDBG_EXAMPLES=50 $(PYTEST) tests/engine/test_spaces.py $(ARGS)
	RRDBG_JUMPS=200 RRDBG_MODES=500 $(call with,$(QEMU_10)) $(PYTEST) -m '' $(TRAVEL) $(ARGS)
	RRDBG_JUMPS=200 RRDBG_MODES=500 $(call with,$(QEMU_11)) $(PYTEST) -m '' $(TRAVEL) $(ARGS)

guests: setup $(QEMU_10)/complete $(QEMU_11)/complete ## Record every guest of the matrix with three QEMUs, and jump; writes docs/reference/guests.md
	-$(BIN)/python -m tests.matrix all $(ARGS)
	-$(call with,$(QEMU_10)) $(BIN)/python -m tests.matrix all $(ARGS)
	-$(call with,$(QEMU_11)) $(BIN)/python -m tests.matrix all $(ARGS)
	$(BIN)/python -m tests.matrix --page docs/reference/guests.md

# One that is incomplete was broken off; one that an older script has made is put right.
%/complete: scripts/other-qemu | setup
	[ -e $@ ] || rm -rf $(@D)
	scripts/other-qemu $(lastword $(subst -, ,$(@D))) $(@D)

demo: setup ## Record two guests, find a bug by walking backwards, and see how
	@$(BIN)/python -m tests.guests
	@scripts/demo.sh

bench: setup ## Measure beside QEMU's and GDB's own reverse execution; writes docs/reference/benchmarks.md (ARGS='--help')
	$(BIN)/python -m benchmarks --json benchmarks/results/latest.json --page docs/reference/benchmarks.md $(ARGS)
	$(BIN)/python -m benchmarks.pace --json benchmarks/results/pace.json --page docs/reference/pace.md

man: setup ## Write the manual page build/rrdbg.1
	$(BIN)/python scripts/manpage build/rrdbg.1

site: setup ## Build README and docs as a site in build/site; a link or anchor that leads nowhere fails
	$(BIN)/python scripts/site/build.py build/site

vsix: setup ## Pack the extension for VS Code into build/rrdbg-VERSION.vsix
	$(BIN)/python scripts/vsix.py build

lint: setup ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Delete what was built (recordings and .venv stay)
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find rrdbg tests -name __pycache__ -exec rm -rf {} +
