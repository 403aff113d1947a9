# What a person types. `make` alone says what there is.

SHELL := /bin/bash
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
LAB := $(TARGET)/debug/yunting-lab

.DEFAULT_GOAL := help
.PHONY: help build gate bench-node demo demo-down check test soak mutants bench-provision generate layout deny lab-up lab-down lab-status

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## compile the programs that the lab and the demo run
	$(CARGO) build --locked --workspace --bins

demo: build ## three sites, a hub and Bozhou's service hall on this machine, told step by step (root)
	$(TARGET)/debug/yunting-demo

demo-down: build ## end the demo's lab and remove all it made
	$(LAB) down

check: ## format, lints, unit tests: no server, no root, minutes
	tests/suites.sh format lint unit

test: ## everything CI runs, with the time of each suite and its bound (root, for the lab)
	tests/suites.sh format build lint unit rules model tools tools-of-tests schema policies faults changes storms boundary volumes lab between city

soak: ## the suites on real servers and sites three times over, model, lab, faults, changes and storms in full once, and the mutants: a flaky pass is a failure (root)
	tests/suites.sh build model-full tools tools-of-tests schema policies city lab-full faults-full build-soak changes-full storms-full schema policies lab faults changes storms between boundary volumes schema policies lab faults changes storms between boundary volumes
	tests/mutants.sh

mutants: ## break one safety property after another in a copy, and see its test fail; NAMES="sweeper-off" chooses (root)
	tests/mutants.sh $(NAMES)

bench-provision: ## provisioning as ratios to a raw client, on API servers alone; ARGS="--full" or "--vdcs 50 --sites 3"
	$(CARGO) build --locked --release --workspace --bin yunting-controller --bin yunting-bench
	$(TARGET)/release/yunting-bench --program $(TARGET)/release/yunting-controller --keep $(TARGET)/bench $(ARGS)

generate: ## write anew what is generated: CRDs, samples
	$(CARGO) run --locked --quiet -p yunting-crds --bin crdgen -- crds/yaml
	$(CARGO) run --locked --quiet -p yunting-crds --bin samples -- crds/samples/bozhou

gate: ## build the gate's BPF program anew (Debian's clang 14 and llvm, libbpf-dev)
	cd controller/src/node/gate && clang -O2 -g -target bpf -I/usr/include/$$(uname -m)-linux-gnu -fdebug-compilation-dir=. -c gate.bpf.c -o gate.bpf.o && llvm-strip -g gate.bpf.o && sha256sum gate.bpf.c > gate.bpf.o.source

bench-node: ## what boundary, gate, tunnel, encrypted and replicated volumes cost on a node, as ratios; ARGS="--only tunnel --turns 15" (root)
	$(CARGO) build --locked --release --workspace --bin yunting-bench-node
	$(TARGET)/release/yunting-bench-node $(ARGS)

layout: ## cut the power under a busy encrypted volume, snapshot it in mid-write, open what is left; ARGS="--layout fscrypt --images 1000 --snapshots 1000" (root)
	$(CARGO) build --locked --release -p yunting-layout
	$(TARGET)/release/yunting-layout $(or $(ARGS),--layout fscrypt)

deny: ## licences, advisories and sources of dependencies (needs cargo-deny)
	$(CARGO) deny --locked check

lab-up: build ## start the lab without the sample, or finish a start (root)
	$(LAB) up

lab-down: build ## end the lab and remove all it made
	$(LAB) down

lab-status: build ## show sites, processes and forwards
	$(LAB) status
