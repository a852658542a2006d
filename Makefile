# Campanile. `make dev` runs it, `make test` proves it; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

target := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
clients := tests/clients
# One virtual environment for each boto3, and for what stands in for AWS: they cannot live in one.
venvs := $(addprefix $(clients)/.venv-,2019 old new moto)

# Everything the console is built from: sources, not what npm or vite made of them.
console_sources := $(shell find console -type d \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)

# Packages run no scripts of their own: nothing here needs one, and none may fetch anything at install time.
npm_ci := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: dev
dev: preflight-dev console ## Build in release mode and run the service on loopback (data in .campanile/)
	cargo build --release --locked -p campanile-server
	exec "$(target)/release/campanile" dev --data-dir .campanile $(DEV_FLAGS)

.PHONY: test
test: setup ## Everything that must hold: Rust tests, real SDKs, browsers
	@tests/run

.PHONY: test-long
test-long: setup ## The same with full counts and soaks; takes long
	@CAMPANILE_LONG=1 tests/run

.PHONY: check
check: preflight-dev console ## Formatting and lints, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(if $(wildcard console/package.json),cd console && npm run check)

.PHONY: measure
measure: setup ## The numbers of docs/performance.md: join time, CPU, memory, start, size (release build)
	cargo build --release --locked -p campanile-server
	CAMPANILE_BIN="$(target)/release/campanile" node $(clients)/browser/measure.mjs

.PHONY: quality
quality: preflight-quality console $(clients)/node_modules/.stamp ## What becomes of speech in codec, mixer and browsers: PESQ, delay, cost; takes most of an hour
	cargo build --locked -p campanile-server
	cargo build --release --locked -p campanile-mixer --example quality
	test -d bench/quality/.venv || python3 -m venv bench/quality/.venv
	bench/quality/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/quality/requirements.txt
	CAMPANILE_BIN="$(target)/debug/campanile" bench/quality/.venv/bin/python bench/quality/quality.py "$(target)/release/examples/quality"

.PHONY: setup
setup: preflight-test console $(clients)/node_modules/.stamp $(addsuffix /.stamp,$(venvs)) ## What the tests need, into ignored folders

.PHONY: console
console: $(if $(wildcard console/package.json),console/dist/index.html) ## Build the web console that the binary embeds

.PHONY: preflight-dev preflight-test preflight-quality
preflight-dev preflight-test preflight-quality: preflight-%:
	@.ci/preflight $*

console/node_modules/.stamp: console/package.json console/package-lock.json | preflight-dev
	cd console && $(npm_ci)
	@touch $@

console/dist/index.html: console/node_modules/.stamp $(console_sources)
	cd console && npm run build
	@touch $@

$(clients)/node_modules/.stamp: $(clients)/package.json $(clients)/package-lock.json | preflight-test
	cd $(clients) && $(npm_ci)
	@touch $@

# The boto3 of 2019 does not import on Python 3.12 or newer.
$(clients)/.venv-2019/.stamp: python = $(shell python3 -c 'import sys; print("python3" if sys.version_info < (3, 12) else "python3.11")')
$(clients)/.venv-%/.stamp: python = python3
$(clients)/.venv-%/.stamp: $(clients)/requirements-%.lock | preflight-test
	rm -rf $(@D)
	$(python) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

.PHONY: clean
clean: ## Remove what the build and the tests made, and the data of `make dev`
	cargo clean
	rm -rf console/node_modules console/dist $(clients)/node_modules $(venvs) .campanile
