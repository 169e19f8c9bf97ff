# What there is to do: make help

.DEFAULT_GOAL := help
CARGO ?= cargo
ASSAY = $(CARGO) run --quiet --package assay --
# Both at once, so that what they are built upon is built once.
BENCHED = --package assay --package assay-tests
BUILT = $(or $(CARGO_TARGET_DIR),target)/release/assay

.PHONY: help demo test fuzz chaos bench bench-sandbox check components examples languages setup

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

demo: components ## sixty stores start selling, and tables fill before your eyes
	$(ASSAY) demo $(ARGS)

test languages: CARGO += --config .ci/tests.toml
# A fifth of the time a test waits for a broker or a clock: one more than there are processors runs.
test: export RUST_TEST_THREADS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

test: examples ## every test but that of `make languages`
	@.ci/setup tests
	$(CARGO) build --package assay --features faults --bin assay-faults
	$(CARGO) test --workspace

languages: components ## new projects of each step in JavaScript, TypeScript and Python pass their cases (minutes)
	@.ci/setup tests
	$(CARGO) test --package assay-tests languages -- --include-ignored

fuzz: setup ## decoders, TOMLs, logs and columns meet inputs that nobody wrote: MINUTES=10 each
	BOLERO_RANDOM_TEST_TIME_MS=$$(($(or $(MINUTES),10) * 60000)) \
		$(CARGO) test --package assay --lib fuzz:: -- --nocapture

chaos: components ## hosts killed, frozen and moved, brokers restarted: SEED=1 ROUNDS=10 LENGTH=60 (seconds)
	@.ci/setup tests
	ASSAY_CHAOS_SEED=$(or $(SEED),1) ASSAY_CHAOS_ROUNDS=$(or $(ROUNDS),10) ASSAY_CHAOS_SECONDS=$(or $(LENGTH),60) \
		$(CARGO) test --package assay-tests chaos

bench: ## what it costs: CPU an event, events a second, memory, commits (release build)
	@.ci/setup tests
	$(CARGO) build --release $(BENCHED) --bin assay --bench road
	$(BUILT) plugin build
	$(CARGO) bench $(BENCHED) --bench road -- $(ARGS)

bench-sandbox: ## what the sandbox costs, and how soon it is rid of who means harm (release build)
	$(CARGO) build --release $(BENCHED) --bin assay --bench sandbox
	$(BUILT) plugin build
	$(CARGO) bench $(BENCHED) --bench sandbox

check: setup ## format and lints, with warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings

components: setup
	$(CARGO) build --package assay
	$(ASSAY) plugin build

examples: components
	$(ASSAY) plugin build plugins/sdk/examples/*

setup:
	@.ci/setup
