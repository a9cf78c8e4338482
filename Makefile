# `make demo` shows claude-vm at work, `make test` proves that it works, `make check` is the quick look while editing.
# What is built or fetched on the way lies in a cache outside the work tree; see DEVELOPMENT.md.

SHELL := /bin/bash
GO ?= go

.PHONY: help build check lint test test-quick test-vm demo record bench image lima deps env docs release clean

# The first target: make without one shows this.
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' Makefile | while IFS='|' read -r target text; do printf '%-11s %s\n' "$$target" "$$text"; done

build: ## bin/claude-vm
	$(GO) build -trimpath -o bin/claude-vm ./cmd/claude-vm

# The quick look: formatting, vet, and the tests that need neither Lima nor QEMU, except those that take minutes.
check: build ## formatting, vet, and the tests that need neither Lima nor QEMU, nor minutes
	@test -z "$$(gofmt -l cmd internal scripts test)" || { gofmt -d cmd internal scripts test; exit 1; }
	$(GO) vet ./...
	$(GO) test -short ./...

lint: deps ## staticcheck, shellcheck, actionlint, known vulnerabilities
	$(GO) build -C tools -o $(CURDIR)/bin/ honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint golang.org/x/vuln/cmd/govulncheck
	bin/staticcheck ./...
	bin/actionlint .github/workflows/*.yml
	shellcheck -x install.sh scripts/*.sh internal/guest/scripts/*.sh internal/tool/*.sh test/e2e/testdata/*.sh .ci/run
	@scripts/vuln.sh

deps: ## the Debian packages that all this needs
	@scripts/deps.sh

lima: deps ## limactl from its Go module, unless one is on PATH
	@scripts/lima.sh

image: deps ## the guest image from Debian packages
	@scripts/image.sh

# Shell exports with which bin/claude-vm works from any folder: eval "$$(make -s env)"
env: build lima ## shell exports with which bin/claude-vm works from any folder
	@scripts/env.sh

# All that CI runs.
test: lint build lima ## all that CI runs, on real VMs
	@set -e; env=$$(scripts/env.sh); eval "$$env"; GO="$(GO)" scripts/test.sh

# Its two halves, for machines that run them side by side.
test-quick: build lima ## the tests without a VM
	@set -e; env=$$(scripts/env.sh); eval "$$env"; GO="$(GO)" scripts/test.sh quick

test-vm: build lima ## the tests on real VMs
	@set -e; env=$$(scripts/env.sh); eval "$$env"; GO="$(GO)" scripts/test.sh vm

demo: build lima ## a session with Claude on a sample project
	@set -e; env=$$(scripts/env.sh); eval "$$env"; scripts/demo.sh

record: build lima ## a recording of a session, docs/session.svg
	@set -e; env=$$(scripts/env.sh); eval "$$env"; scripts/record.sh

bench: build lima ## how fast sessions start here
	@set -e; env=$$(scripts/env.sh); eval "$$env"; scripts/bench.sh

# The reference of the configuration, from the table of its keys.
docs: ## the reference of the configuration
	$(GO) test ./internal/config -run TestDocumentedKeys -update

# What a release consists of, in dist/. RELEASE_KEY is the file of the minisign key that signs it, MINISIGN_PASSWORD its password;
# UNSIGNED=1 does without.
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null)
release: ## archives, checksums and a formula, in dist/
	GO="$(GO)" $(GO) run ./scripts/release -version "$(VERSION)" -key "$(RELEASE_KEY)" $(if $(UNSIGNED),-unsigned)

clean: ## removes what was built here
	rm -rf bin dist
