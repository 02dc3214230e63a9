# Every command a developer needs, one line each. `make` alone lists them, in the groups that `##@` begins.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# where a shell forbids Python to keep what it compiled, each of our many processes compiles all of Weir again
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEIR := $(BIN)/weir
READY := $(VENV)/.ready
PYFLINK := build/pyflink

# of `make demo`: seconds of live traffic (0 runs until Ctrl-C) and events a second
DURATION ?= 60
RATE ?= 100
# of `make faults`: one fault (all when empty), kills per fault that kills, seeds, how many at once (each on servers of
# its own: most of a fault is waiting), and JSON=1 for a list of objects
FAULT ?=
KILLS ?= 40
SEED ?= 1
JOBS ?= 2
JSON ?=
# of `make soak`: minutes, and events a second (RATE too where it is given)
MINUTES ?= 45
SOAK_RATE := $(if $(filter file,$(origin RATE)),3000,$(RATE))
# of `make bench`: how often each contender runs, and which (all when empty; `make bench ONLY="processor quix-eos"`)
ROUNDS ?= 5
ONLY ?=
# of `make unit` and `make test`: processes, each with servers of its own. Half of an integration test is waiting, so
# their files are spread over all others (tests/conftest.py), and there is one process more than most machines have cores
WORKERS ?= 3
# of `make test-long`: where its tests are
LONG ?= tests/alerts tests/upgrade tests/integration
# COVERAGE=1 counts the lines and branches that the tests run, in every process that they start; `make coverage` says how many
COVERAGE ?=
PYTEST := $(if $(COVERAGE),$(BIN)/coverage run -m pytest,$(BIN)/python -m pytest)
# of `make test-browser`: 1 writes the pictures of docs/pictures
PICTURES ?=
# more flags for the verb behind a target, as in `make train ARGS=--quick`
ARGS ?=

.PHONY: help setup lock demo up down test test-long test-verify test-browser test-feast coverage unit lint format types imports security audit docs check train train-scheduled serve health inspect test-api faults faults-short faults-mutants verify soak peers bench bench-quick bench-growth flamegraphs weir-bench benchmark bench-pyflink past-page clean clean-data picture

##@ Start and look
setup:  ## make the virtual environment with the locked packages, or repair it (Python 3.11 to 3.13)
	@rm -f $(READY)
	@$(MAKE) --no-print-directory $(READY)

# one line for every 25 packages that pip finds or fetches, and one before it unpacks them, which is silent
define SHOW_PACKAGES
import sys
found, of = 0, int(sys.argv[1])
for line in sys.stdin:
    if line.startswith(("Collecting ", "Requirement already satisfied")):
        found += 1
        if found % 25 == 0 or found == of:
            print(f"packages: {found} of {of}", flush=True)
    elif line.startswith("Installing collected packages"):
        print("packages: unpacking them, for a minute or two", flush=True)
endef
export SHOW_PACKAGES

$(READY): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { echo "expected Python 3.11 to 3.13, found $$($(PYTHON) --version 2>&1); run \`make PYTHON=python3.11 setup\`" >&2; exit 2; }
	@echo "packages: installing into $(VENV) what is not there yet (minutes, the first time; 1.7 GB on the disk)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.lock | $(BIN)/python -c "$$SHOW_PACKAGES" $$(grep -c '^[a-z].*==' requirements/dev.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # on every core, where pip would on one; some packages hold templates
	@rm -f streaming/core/__pycache__/*.nb[ci] # compiled by a release whose modules may be called otherwise
	@touch $@

demo: $(READY)  ## run everything for a minute and show it live
	$(WEIR) demo --seconds $(DURATION) --rate $(RATE) $(ARGS)

up: $(READY)  ## start the embedded Kafka, Redis and schema registry
	$(WEIR) up

down: $(READY)  ## stop them
	$(WEIR) down

health: $(READY)  ## show each embedded server, then the topics' fitness
	$(WEIR) status
	$(WEIR) topics check

inspect: $(READY)  ## show a card, a transaction or the stream as it is now, as in `make inspect ARGS="card C1"`
	$(WEIR) inspect $(or $(ARGS),lag)

serve: $(READY)  ## serve the HTTP API on 127.0.0.1
	$(WEIR) serve $(ARGS)

past-page: $(READY)  ## run every command about the past on the data of `make demo`, and write what each says (20 minutes; publishes, takes back, and erases one card)
	$(BIN)/python -m tests.past_page $(ARGS)

picture: $(READY)  ## make the README's picture from a demo's live view
	$(BIN)/python -m tests.demo_picture $(ARGS)

train: $(READY)  ## train on the history at hand, compare, and promote what is better
	$(WEIR) train $(ARGS)

train-scheduled: $(READY)  ## what a scheduler runs: retrain where it is needed, through gates, shadow and canary
	$(WEIR) retrain --if-needed $(ARGS)

##@ Check
unit: $(READY)  ## run the tests that need no server (minutes; WORKERS=3 processes)
	$(BIN)/python -m pytest tests/unit tests/house --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test: $(READY)  ## run the tests, on real servers where a test needs them
	@$(if $(COVERAGE),rm -rf build/coverage && mkdir -p build/coverage)
	$(PYTEST) -m 'not long and not verify and not browser' --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(READY) build/peers/.ready  ## run those that take minutes each: alerts end to end, servers that go away, offsets moved, fixes followed, an upgrade
	$(PYTEST) -m 'long and not verify' $(LONG) --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-verify: $(READY) build/peers/.ready  ## run the tests that CI has no time for: the pages of readers and contributors followed, an object store, other declarations
	$(PYTEST) -m verify tests/unit tests/integration --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-browser: $(READY)  ## run the console in a real browser (two minutes; needs chromium); PICTURES=1 makes the documents' pictures again
	PICTURES='$(PICTURES)' $(PYTEST) -m browser tests/e2e/console $(ARGS)

test-feast: build/feast/.ready  ## run Feast on an archive (its environment takes 900 MB, in build/)
	build/feast/bin/python -m pytest tests/feast $(ARGS)

build/feast/.ready: requirements/feast.lock
	test -x build/feast/bin/python || $(PYTHON) -m venv build/feast
	build/feast/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/feast.lock
	touch $@

coverage: $(READY)  ## the share of lines and branches that `make test COVERAGE=1` ran (it runs first, where nothing is counted yet); fails below 90 %
	@ls build/coverage/data* >/dev/null 2>&1 || $(MAKE) --no-print-directory test COVERAGE=1
	$(BIN)/coverage report # adds the files of all processes up in build/coverage/data, and deletes them

test-api: $(READY)  ## run the tests of the HTTP API and of what it is made of
	$(BIN)/python -m pytest tests/unit/inference tests/integration/test_refused_starts.py tests/integration/test_inspect.py tests/integration/test_served_streams.py $(wildcard tests/integration/test_keys*.py) tests/integration/test_cases_live.py $(wildcard tests/integration/test_api*.py) $(ARGS)

lint: $(READY)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## format in place
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: $(READY)  ## check types
	$(BIN)/mypy

imports: $(READY)  ## check which package may import which
	$(BIN)/lint-imports

security: $(READY)  ## look for insecure constructs in what is installed
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .

docs: build/docs/.ready  ## build the documents as a site into build/site, strictly (its environment takes 180 MB, in build/)
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --quiet --strict

build/docs/.ready: requirements/docs.lock
	test -x build/docs/bin/python || $(PYTHON) -m venv build/docs
	build/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.lock
	touch $@

check: lint types imports security docs test test-browser test-long  ## everything that CI runs before the faults

##@ Break it on purpose
faults: $(READY)  ## kill and break everything many times, and judge what was decided with an oracle
	@$(BIN)/python -m tests.faults $(FAULT) --kills $(KILLS) --seed $(SEED) --jobs $(JOBS) $(if $(JSON),--json) $(if $(FAULT),,--write 'make faults KILLS=$(KILLS) SEED="$(SEED)" JOBS=$(JOBS)')

faults-short: $(READY)  ## every fault once
	@$(BIN)/python -m tests.faults $(FAULT) --seed $(SEED) --jobs $(JOBS) $(if $(JSON),--json)

faults-mutants: $(READY)  ## switch off each guard of the protocol: every run must go red
	@$(BIN)/python -m tests.faults --mutants $(FAULT) --seed $(SEED) --jobs $(JOBS)

verify: $(READY) build/peers/.ready  ## the proofs that take longer than CI may, hours when whole (ONLY=soak); writes docs/results/verify.md
	@$(BIN)/python -m tests.verify $(ONLY)

soak: $(READY)  ## a steady stream for MINUTES=45, and whether memory, handles, lag or latency climb
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --rate $(SOAK_RATE) --out docs/results $(ARGS)

##@ Measure
bench-quick: $(READY) build/peers/.ready  ## measure what takes three minutes; fails when a ratio to the peers is lost in three rounds
	@$(BIN)/python -m tests.bench --quick --only '$(ONLY)' $(if $(JSON),--json) $(ARGS)

bench: $(READY) build/peers/.ready  ## measure everything next to its peers (up to an hour; HTTP throughput needs `wrk` on the PATH)
	@$(BIN)/python -m tests.bench --rounds $(ROUNDS) --only '$(ONLY)' $(if $(JSON),--json) $(if $(ONLY),,--write docs/results --command 'make bench ROUNDS=$(ROUNDS)') $(ARGS)

bench-growth: $(READY)  ## measure at other sizes: entities, partitions, batches, instances (hours when whole; ONLY=batches)
	@$(BIN)/python -m tests.bench.growth --only '$(ONLY)' $(if $(ONLY),,--write docs/results/growth.md --command 'make bench-growth') $(ARGS)

benchmark: $(READY)  ## train and judge models by a published protocol and by our own (15 minutes of a core); fails when a figure is missed or a leak
	$(WEIR) benchmark handbook --write docs/results
	$(WEIR) benchmark simulator --write docs/results

bench-pyflink: $(READY) $(PYFLINK)/.ready  ## measure PyFlink on generated payments (its environment takes 900 MB; Python 3.11)
	$(BIN)/python -m tests.bench.pyflink_run $(ARGS)

weir-bench: $(READY)  ## the user's quick look: `weir bench`, throughput and latency without peers
	$(WEIR) bench $(ARGS)

flamegraphs: $(READY) build/peers/.ready  ## draw where the processor and the scorer spend their time, into docs/results
	@$(BIN)/python -m tests.bench.flamegraphs $(ARGS)

peers: build/peers/.ready  ## make the environment of the systems that `make bench` compares with (175 MB, in build/)

build/peers/.ready: requirements/peers.lock
	test -x build/peers/bin/python || $(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.lock
	touch $@

$(PYFLINK)/.ready: requirements/pyflink-build.lock requirements/pyflink.lock
	$(PYTHON) -m venv $(PYFLINK)
	$(PYFLINK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pyflink-build.lock
	$(PYFLINK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation -r requirements/pyflink.lock
	touch $@

##@ Maintain
help:  ## list the targets, in groups
	@awk -F ':[^#]*## ' '/^##@ / { print substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
lock:  ## resolve the packages of pyproject.toml again (needs uv on the PATH or in the environment)
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml --python-version 3.11 --all-extras --generate-hashes --no-header -o requirements/dev.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-header -c requirements/dev.lock -o requirements/runtime.lock
	for name in pyflink-build pyflink; do PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile requirements/$$name.in --python-version 3.11 --generate-hashes --no-header -o requirements/$$name.lock; done
	PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile pyproject.toml requirements/feast.in --extra archive --python-version 3.11 --generate-hashes --no-header -o requirements/feast.lock
	for name in peers docs; do PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile requirements/$$name.in --python-version 3.11 --generate-hashes --no-header -o requirements/$$name.lock; done

audit: $(READY)  ## ask a vulnerability service about every locked package (needs a network; not part of CI)
	test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	build/audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.lock $(ARGS)

clean:  ## free what can be freed without loss: old logs and downloads, caches, the environments of `make bench`
	@if test -x $(WEIR); then $(WEIR) clean --apply; fi
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

clean-data:  ## show which data, models and history would be deleted; ARGS=--apply stops the servers and does it
	@if test -x $(WEIR); then $(WEIR) clean --data $(ARGS); fi
