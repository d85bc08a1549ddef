# Everything a person or the CI does with this repository. `make help` lists it.
# Needed: Go 1.26, git, make. `make test-real` installs what else it needs and wants root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

export CGO_ENABLED := 0

GO_BUILD := go build -trimpath -ldflags '$(LDFLAGS)'
BUF := go tool -modfile=deploy/tools/buf.mod buf
GOLANGCI := go tool -modfile=deploy/tools/golangci-lint.mod golangci-lint

# Where the slow parts of the test hosts are kept between runs: a Wine prefix, a Debian tree.
CACHE ?= $(CURDIR)/.cache/testhosts

# Every plugin is one program; its file has the name of its folder.
PLUGINS := endpoint terminal firmware certs nes support

# The ref that the contracts must stay compatible with. `make lint` compares with it when it exists.
BREAKING_AGAINST ?= $(shell git describe --tags --abbrev=0 2>/dev/null)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build fleetd, fleet-agent, fleetctl and the plugins into bin/
	$(GO_BUILD) -o bin/ ./server/cmd/fleetd ./agent/cmd/fleet-agent ./cli/cmd/fleetctl
	$(GO_BUILD) -o bin/plugins/ $(PLUGINS:%=./plugins/%)
	bin/fleet-agent plugins lock bin/plugins

.PHONY: build-windows
build-windows: build ## build fleet-agent.exe, fleetctl.exe and the plugins into bin/windows/
	GOOS=windows GOARCH=amd64 $(GO_BUILD) -o bin/windows/ ./server/cmd/fleetd ./agent/cmd/fleet-agent ./cli/cmd/fleetctl
	GOOS=windows GOARCH=amd64 $(GO_BUILD) -o bin/windows/plugins/ $(PLUGINS:%=./plugins/%)
	bin/fleet-agent plugins lock bin/windows/plugins --describe-from bin/plugins

# What goes to a site's machines, one folder for each system. Plugins of an earlier build that are no more would go with it.
RELEASES := bin/release

.PHONY: release-windows
release-windows: build-windows ## pack the agent for Windows: programs, plugins, scripts, checksums, into bin/release/
	deploy/release.sh '$(RELEASES)/bandfleet-agent-$(VERSION)-windows-amd64' bin/windows/fleet-agent.exe bin/windows/plugins \
	  deploy/windows/install.cmd deploy/windows/uninstall.cmd

.PHONY: release-linux
release-linux: build ## pack the agent for Linux: program, plugins, checksums, into bin/release/
	deploy/release.sh '$(RELEASES)/bandfleet-agent-$(VERSION)-linux-amd64' bin/fleet-agent bin/plugins

.PHONY: demo
demo: build ## show the tool at work on two made-up sites (KEEP=1 leaves it running)
	deploy/demo/demo.sh

.PHONY: test
test: ## run all tests that need only Go, as any user
	go test -timeout 20m ./...
	cd deploy/bench && go vet ./... && go test ./...

.PHONY: test-real
test-real: build build-windows ## run the tests on real Wine, systemd and network namespaces (root; installs what it needs)
	deploy/testhosts/install.sh
	BANDFLEET_TESTHOSTS='$(CACHE)' go test -tags real -count 1 -timeout 40m -v ./deploy/e2e -run '^TestReal'

.PHONY: planted
planted: ## plant one bug after the other in a copy of the tree; each must be caught (root, strace)
	go test -count 1 -tags planted -timeout 40m -v ./deploy/faults/planted

COUNT ?= 100
SEED ?= $(shell date +%s)

.PHONY: campaign
campaign: ## kill, cut and cancel under load for COUNT rounds (SEED=S repeats one)
	CAMPAIGN_ROUNDS='$(COUNT)' CAMPAIGN_SEED='$(SEED)' go test -count 1 -timeout 24h -v ./deploy/e2e -run '^TestCampaign$$'

.PHONY: proof
proof: ## prove each entry of the guide over a fleet, and make the page of it (a quarter of an hour)
	PROOF=write go test -count 1 -parallel 14 -timeout 40m -v ./deploy/e2e -run '^TestProof$$'
	go run ./deploy/proof

.PHONY: race
race: ## run the tests under the race detector (needs gcc)
	CGO_ENABLED=1 go test -race -timeout 25m ./...

.PHONY: lint
lint: lint-go lint-proto ## check style, imports, both operating systems and the contracts

.PHONY: lint-go
lint-go:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [[ -n $$unformatted ]]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted"; exit 1; fi
	GOOS=linux go vet ./...
	GOOS=linux go vet -tags real,realhost ./...
	GOOS=linux go vet -tags planted ./deploy/faults/planted
	GOOS=linux go vet -tags killpoints ./agent ./server ./proto/killpoint
	GOOS=windows go vet ./...
	GOOS=windows go vet -tags realhost ./...
	$(GOLANGCI) run --timeout 10m ./...

.PHONY: lint-proto
lint-proto:
	$(BUF) lint
	$(BUF) format --diff --exit-code
ifneq ($(BREAKING_AGAINST),)
	$(BUF) breaking --against '.git#ref=$(BREAKING_AGAINST)'
endif

.PHONY: generate
generate: ## make the Go code of the contracts and the pages of the actions and of the guide again
	$(BUF) generate --template proto/buf.gen.yaml
	go run ./deploy/actiondocs $(PLUGINS)
	go run ./deploy/guidedocs

.PHONY: generate-check
generate-check: generate ## fail when the committed code or pages are not what contracts and manifests give
	@if [[ -n $$(git status --porcelain -- '*.pb.go' docs/actions docs/guide) ]]; then \
	  git --no-pager diff --stat -- '*.pb.go' docs/actions docs/guide; git status --short -- '*.pb.go' docs/actions docs/guide; \
	  echo 'what is generated is stale: run `make generate` and commit the result'; exit 1; fi

.PHONY: bench
bench: build ## measure the server beside plain grpc-go and NATS, its restart, and a full store (BENCH_FLAGS='-only restart')
	cd deploy/bench && go build -trimpath -o ../../bin/ ./cmd/bandfleet-bench
	bin/bandfleet-bench $(BENCH_FLAGS)

.PHONY: bench-agent
bench-agent: ## measure what an agent's journal costs a task, and collecting logs beside plain copies
	go test ./agent/runner -run '^$$' -bench BenchmarkJournal -count 3 -benchtime 300x
	go test ./agent/collect -run '^$$' -bench BenchmarkArchive -count 3

.PHONY: bench-faults
bench-faults: build ## measure faults: taken, remedied, looked for, read from logs (BENCH_FLAGS='-faulty 1000'); about ten minutes
	cd deploy/bench && go build -trimpath -o ../../bin/ ./cmd/bandfleet-bench
	bin/bandfleet-bench -only faults,remedies,idle $(BENCH_FLAGS)
	go test ./proto/catalogue/match -run '^$$' -bench BenchmarkLines -count 3
	go test ./agent/logs -run '^$$' -bench 'Pipeline|(Plain|Folded)Scan' -count 3 -benchtime 3x

.PHONY: clean
clean: ## remove what was built (the test hosts' cache too)
	rm -rf bin .cache
