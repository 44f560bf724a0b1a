# "make" needs Go, make and git; "make test" gets the rest by itself on Debian.

GO   ?= go
T    ?= 30s
ARGS ?=

.DEFAULT_GOAL := build
.PHONY: help build run test check bench bench-e2e fuzz sim clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

build: ## build bin/imaplb, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/imaplb ./cmd/imaplb

run: build ## try it: two built-in servers behind the balancer
	@exec bin/imaplb demo

test: check ## check, then all tests with the race detector; installs Dovecot and clients if missing
	tests/install.sh
	$(GO) test -race -shuffle=on -timeout 40m ./...
	$(GO) test ./cluster -run 'TestSimulation$$' -sim.seeds 2000

check: ## gofmt, go vet, staticcheck
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted: $$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

bench: ## Go benchmarks with allocation counts
	$(GO) test -run='^$$' -bench=. -benchmem $(ARGS) ./...

bench-e2e: build ## the binary beside HAProxy and nginx; see tests/load/README.md, ARGS=-quick for a short round
	$(GO) run ./tests/load bench $(ARGS)

fuzz: ## each fuzz target for T=30s
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list='^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run='^$$' -fuzz="^$$f$$" -fuzztime=$(T) $$p; \
		done; \
	done

sim: ## peers on a simulated network for T=30s, seeds that no test has had
	$(GO) test ./cluster -run 'TestSimulation$$' -v -sim.for $(T) -sim.first $$(date +%s)000

clean: ## remove what was built
	rm -rf bin
