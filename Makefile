# The two commands are `make demo` and `make test`; `make help` lists the rest.

# One target folder for all checkouts, so that dependencies are built once.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/netcom-target
# Programs the tests need beyond the Rust toolchain, built once.
export NETCOM_TOOLS ?= $(HOME)/.cache/netcom-tools
export PATH := $(NETCOM_TOOLS)/bin:$(PATH)

# Narrows `make test`, as in `make test ARGS="-p netcom-session"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt audit bench docs proto clean

help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Builds the release binary and shows what it does, on this machine alone
	@bash scripts/claim-target.sh
	cargo build --release --package netcom-cli --bin netcom
	"$(CARGO_TARGET_DIR)/release/netcom" demo

test: ## Installs what the tests need, then runs every check and every test
	@bash scripts/setup-test.sh
	@bash scripts/claim-target.sh
	@cargo xtask test $(ARGS)

lint: ## Runs the checks alone: format, the project's own rules, clippy
	cargo fmt --all --check
	cargo xtask lint
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## Formats the code
	cargo fmt --all

audit: ## Looks the dependencies up in the advisory database (needs the network)
	@bash scripts/setup-test.sh
	cargo deny check advisories

bench: ## Measures against peers, as ratios in one run
	cargo xtask bench --quick

docs: ## Builds the API documentation
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --lib --no-deps

proto: ## Writes the code generated from proto/
	cargo xtask proto

clean: ## Removes the target folder
	cargo clean
