# `make` lists what there is. Logic lives in Rust tests, not here.
.PHONY: help dev test fast sim accept chaos bench fmt lint backends
CARGO ?= cargo
BUILT := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/tutti
# Where it may: a fresh Debian has no package lists yet.
install = { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq $(1); } >/dev/null 2>&1

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

dev: cc ## run the server from source
	$(CARGO) run -p tutti -- serve

test: cc backends ## every test: unit, conformance, simulation, acceptance, kill -9
	$(CARGO) build --locked -p tutti -p tutti-tests --bins
	TUTTI_BIN=$(BUILT) $(CARGO) test --workspace --locked --no-fail-fast
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo "skipped: PostgreSQL is not on this machine"
	! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || TUTTI_TEST_STORE=postgres TUTTI_BIN=$(BUILT) \
		$(CARGO) test --locked -p tutti-tests --test it -- acceptance --skip data_directory

# A RabbitMQ node takes seconds to start, and some tests start it several times.
fast: cc ## unit tests and a short simulation: no network, under a minute
	TUTTI_SEEDS=200 $(CARGO) test --locked -p tutti-engine -p tutti-stores -p tutti-workflows -p tutti-app -- --skip rabbitmq::

sim: cc ## twenty thousand stories with crashes, stolen runs and unknown commits
	TUTTI_SEEDS=20000 $(CARGO) test --locked -p tutti-engine -p tutti-workflows --test it -- sim_ --nocapture

accept: cc backends ## the real binary over HTTP
	$(CARGO) build --locked -p tutti -p tutti-tests --bins
	TUTTI_BIN=$(BUILT) $(CARGO) test --locked -p tutti-tests --test it -- acceptance

chaos: cc backends ## the real binary killed at random under load
	$(CARGO) build --locked -p tutti -p tutti-tests --bins
	TUTTI_CHAOS_SECS=$${TUTTI_CHAOS_SECS:-180} TUTTI_BIN=$(BUILT) $(CARGO) test --locked -p tutti-tests --test it -- chaos --nocapture

bench: cc ## the release binary beside the ceiling probe; writes target/bench.json
	@command -v wrk >/dev/null || $(call install,wrk) || true
	$(CARGO) build --release --locked -p tutti
	$(CARGO) run --release --locked -p tutti-bench

fmt: ## format the code
	$(CARGO) fmt --all

lint: cc ## format check, and clippy with warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# What the tests of several machines start; without them those tests skip aloud.
backends:
	@{ ls /usr/lib/postgresql/*/bin/postgres && command -v redis-server rabbitmq-server; } >/dev/null 2>&1 || \
		$(call install,postgresql redis-server rabbitmq-server) || true

# Bundled SQLite and the TLS library are C.
cc:
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing; install Rust 1.95"; exit 1; }
	@command -v cc >/dev/null || $(call install,gcc libc6-dev) || \
		{ echo "make: a C compiler is missing; install gcc and libc6-dev"; exit 1; }
.PHONY: cc
