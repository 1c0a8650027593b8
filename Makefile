# What a person who builds, tests or releases weir needs. `make help` lists the targets.

# The toolchain line of go.mod names a Go release with the fixes weir relies on; auto lets an older go fetch it.
export GOTOOLCHAIN := auto

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# TEST_TIMEOUT bounds each package's tests. TESTFLAGS go to go test as they are, such as TESTFLAGS='-run TestReload'.
TEST_TIMEOUT ?= 15m
TESTFLAGS    ?=
# RACE_PACKAGES are the packages that `make race` tests. Tests that start bin/weir build it with -race there.
RACE_PACKAGES ?= ./...
# FUZZTIME is the time of each fuzz target. Targets behind sockets hardly cover the same twice, so little is tried to make inputs small.
FUZZTIME ?= 10s
FUZZMINIMIZE ?= 20x
# RESULTS is what `make docs-performance` makes the manual's page of: by default what it was made of before.
PERFORMANCE := bench/results/performance.json
RESULTS ?= $(PERFORMANCE)
# BENCHFLAGS go to the scenario runner, CLUSTERFLAGS to that of the cluster, MICROFLAGS to go test -bench.
BENCHFLAGS ?=
CLUSTERFLAGS ?=
MICROFLAGS ?= -benchtime 300ms
# BASE is the commit that bench-compare compares with, COMPARE_PACKAGES the directories whose benchmarks it runs; none are those
# of the hot pieces.
BASE ?=
COMPARE_PACKAGES ?=

STATICCHECK := go tool -modfile=tools/go.mod staticcheck

.DEFAULT_GOAL := build
.PHONY: build demo deps test race lint fuzz bench bench-quick docs-performance bench-cluster microbench bench-compare clean help

build: ## write bin/weir
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

demo: build ## build weir and run its demonstration; needs nothing installed
	bin/weir demo

deps: ## install the programs the tests start (as root on Debian; otherwise say what is missing)
	./scripts/test-deps.sh

test: deps ## run all tests
	go test -count=1 -timeout $(TEST_TIMEOUT) $(TESTFLAGS) ./...

race: deps ## run the tests under the race detector, the weir they start included
	go test -race -count=1 -timeout $(TEST_TIMEOUT) $(TESTFLAGS) $(RACE_PACKAGES)

lint: ## formatting, go vet, staticcheck, a tidy and unaltered module graph
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofmt: run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	$(STATICCHECK) ./...
	go mod tidy -diff
	go -C tools mod tidy -diff
	go mod verify

fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for dir in $$(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -h '^func Fuzz' $$dir/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
			echo "== $$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime $(FUZZMINIMIZE) ./$$dir; \
		done; \
	done

bench: build deps ## measure weir beside other balancers: prints ratios, writes JSON and HTML; BENCH_CADDY=1 adds Caddy
	go run ./bench $(BENCHFLAGS)

bench-quick: build deps ## the same for a few scenarios of each family, within five minutes
	go run ./bench -quick $(BENCHFLAGS)

docs-performance: ## write docs/performance.md from RESULTS, a file of bench/results, and keep that for it
	@[ "$(RESULTS)" -ef $(PERFORMANCE) ] || cp "$(RESULTS)" $(PERFORMANCE)
	go run ./bench report -markdown docs/performance.md $(PERFORMANCE)

bench-cluster: build ## measure how soon the nodes of a cluster know what has died, and what that costs
	go run ./bench cluster $(CLUSTERFLAGS)

microbench: ## run the benchmarks that stand beside the code
	go test -run '^$$' -bench . -benchmem $(MICROFLAGS) ./...

bench-compare: ## compare the benchmarks beside the code with those of another commit, BASE=ref
	@./scripts/bench-compare.sh '$(BASE)' $(COMPARE_PACKAGES)

clean: ## remove what was built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15
