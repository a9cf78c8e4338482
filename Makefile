# `make demo` shows claude-vm at work, `make test` proves that it works, `make check` is the quick look while editing.
# What is built or fetched on the way lies in a cache outside the work tree; see DEVELOPMENT.md.

SHELL := /bin/bash
GO ?= go

.PHONY: build check lint test demo bench image lima deps env docs release clean

build:
	$(GO) build -trimpath -o bin/claude-vm ./cmd/claude-vm

# The quick look: formatting, vet, and the tests that need neither Lima nor QEMU, except those that take minutes.
check: build
	@test -z "$$(gofmt -l cmd internal scripts test)" || { gofmt -d cmd internal scripts test; exit 1; }
	$(GO) vet ./...
	$(GO) test -short ./...

lint: deps
	$(GO) build -C tools -o $(CURDIR)/bin/ honnef.co/go/tools/cmd/staticcheck github.com/rhysd/actionlint/cmd/actionlint golang.org/x/vuln/cmd/govulncheck
	bin/staticcheck ./...
	bin/actionlint .github/workflows/*.yml
	shellcheck -x install.sh scripts/*.sh internal/guest/scripts/*.sh internal/tool/*.sh test/e2e/testdata/*.sh .ci/run
	@scripts/vuln.sh

deps:
	@scripts/deps.sh

lima: deps
	@scripts/lima.sh

image: deps
	@scripts/image.sh

# Shell exports with which bin/claude-vm works from any folder: eval "$$(make -s env)"
env: build lima
	@scripts/env.sh

# All that CI runs.
test: lint build lima
	@set -e; env=$$(scripts/env.sh); eval "$$env"; GO="$(GO)" scripts/test.sh

demo: build lima
	@set -e; env=$$(scripts/env.sh); eval "$$env"; scripts/demo.sh

bench: build lima
	@set -e; env=$$(scripts/env.sh); eval "$$env"; scripts/bench.sh

# The reference of the configuration, from the table of its keys.
docs:
	$(GO) test ./internal/config -run TestDocumentedKeys -update

# What a release consists of, in dist/. RELEASE_KEY is the file of the minisign key that signs it, MINISIGN_PASSWORD its password;
# UNSIGNED=1 does without.
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null)
release:
	GO="$(GO)" $(GO) run ./scripts/release -version "$(VERSION)" -key "$(RELEASE_KEY)" $(if $(UNSIGNED),-unsigned)

clean:
	rm -rf bin dist
