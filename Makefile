# Everything that a checkout can do. `make` lists it; every target builds the environment it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that is new enough; PYTHON=... to choose another.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
BUILT := .venv/.built
PYTEST := $(BIN)/python -m pytest -q
# Several processes, each with whole files: tests of one file share a fleet, or a server. JOBS=0 for one after the other.
JOBS ?= auto
SPREAD := -n $(JOBS) --dist loadfile --no-loadscope-reorder

##@ Run

demo: $(BUILT) ## Play 300 notifications through everything embedded, and judge what became of them
	@$(BIN)/clearance demo

up: $(BUILT) ## Run all processes embedded until Ctrl-C; the sandbox is the vendor when none is set
	@$(BIN)/clearance up

bench: $(BUILT) ## Measure the triggered lane beside the usual way
	@$(BIN)/python -m benchmarks

##@ Check

check: $(BUILT) ## Format, lint, types, imports, generated documents, unit tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pip --disable-pip-version-check check
	@$(BIN)/python -m config.reference --check
	@$(PYTEST) $(SPREAD) tests/unit

# After `check` in one call of make the unit tests have run.
test: $(BUILT) ## All tests that need no server beyond the embedded ones
	@$(PYTEST) $(SPREAD) -m "not services and not alone" $(if $(filter check,$(MAKECMDGOALS)),--ignore=tests/unit) || \
		$(call once-more,not services and not alone)
	@$(PYTEST) -m "alone and not services" || $(call once-more,alone and not services)

integration: $(BUILT) ## The tests that need Redis, PostgreSQL and RabbitMQ; with CI=true a missing one is a failure
	@$(PYTEST) $(SPREAD) -m services || $(call once-more,services)

# once-more EXPRESSION: what failed (not what broke: status 1) runs again with nothing beside it, up to its first failure.
# Tests of real processes share few cores and a disk; one that fails in company only is reported, and is still to be mended.
define once-more
{ status=$$?; [ $$status = 1 ] || exit $$status; \
	echo "What failed runs once more, alone:"; $(PYTEST) -m "$(1)" --last-failed --last-failed-no-failures none --exitfirst; }
endef

##@ Maintain

format: $(BUILT) ## Format, and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(BUILT) ## Write docs/configuration.md, docs/metrics.md and .env.example anew
	@$(BIN)/python -m config.reference

lock: ## Pin the newest versions that pyproject.toml allows
	@$(call require-python)
	@rm -rf var/lock && $(PYTHON) -m venv var/lock
	@var/lock/bin/python -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@var/lock/bin/python -m pip freeze --exclude-editable | sed -n '/^[A-Za-z0-9._-]*==/p' > requirements.lock
	@rm -rf var/lock
	@echo "requirements.lock: $$(wc -l < requirements.lock) packages"

# In an environment of its own: what audits is none of what is audited.
audit: ## Ask the public advisory database about every pinned package; needs the network
	@$(call require-python)
	@rm -rf var/audit && $(PYTHON) -m venv var/audit
	@var/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit
	@var/audit/bin/pip-audit --disable-pip --no-deps --requirement requirements.lock
	@rm -rf var/audit

clean: ## Remove the environment, caches and all embedded state
	@rm -rf .venv var *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

venv: $(BUILT) ## Build the environment in .venv

$(BUILT): requirements.lock pyproject.toml
	@$(call require-python)
	@echo "building .venv with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv .venv || { echo "python3 cannot make environments: install its venv module" >&2; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -e .
	@touch $@

define require-python
test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python" >&2; exit 1; }
endef

help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo up bench check test integration format docs lock audit clean venv help
