# make test runs everything that must pass; the other targets are its parts.

GO       ?= go
FUZZTIME ?= 30s
BENCH    ?= .
# Tests that talk to real phones carry the build tag e2e.
E2E      = $(shell $(GO) list -tags e2e ./... 2>/dev/null | grep '/test\(/\|$$\)')

.PHONY: test build vet lint test-race e2e e2e-browser e2e-firefox screenshots fuzz durability soak soak-models soak-phones bench bench-flat bench-churn bench-tls bench-push bench-calls bench-overload bench-go bench-users bench-clean generate check-generated install release release-check package-check deb-check image-check dashboards-check demo clean

test:
	@.ci/stage install $(MAKE) --no-print-directory install
	@.ci/stage build $(MAKE) --no-print-directory build
	@.ci/stage vet $(MAKE) --no-print-directory vet
	@.ci/stage generate $(MAKE) --no-print-directory check-generated
	@.ci/stage race $(MAKE) --no-print-directory test-race
	@.ci/stage e2e $(MAKE) --no-print-directory e2e
	@.ci/stage browser $(MAKE) --no-print-directory e2e-browser

install:
	.ci/install

build:
	$(GO) build -o bin/ ./cmd/...

vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,browser ./...
	$(GO) vet -tags firefox ./test/browser

# golangci-lint is no dependency of the build: install it for this target.
GOLANGCI ?= golangci-lint
lint: vet
	@command -v $(GOLANGCI) >/dev/null || { echo "golangci-lint is missing; install it with:" \
		"go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0"; exit 1; }
	$(GOLANGCI) run
	$(GOLANGCI) run --build-tags e2e,firefox ./test/browser/...

test-race:
	$(GO) test -race -shuffle=on -timeout 20m ./...

e2e:
	@if [ -n "$(E2E)" ]; then $(GO) test -tags e2e -shuffle=on -timeout 20m $(E2E); else echo "no end-to-end tests"; fi

# Phones in a real browser, under a build tag of their own.
e2e-browser:
	.ci/install-browser
	$(GO) test -tags browser -count=1 -shuffle=on -timeout 10m ./test/browser ./test/console

# The pictures of docs/console.md, taken anew.
screenshots:
	.ci/install-browser
	$(GO) test -tags browser -count=1 -run Screenshots ./test/console -screenshots $(CURDIR)/docs/screenshots

# The same in Firefox, which takes pushes from a push service of the test. It is
# no part of `make test`: another 80 MB to install, and two minutes.
e2e-firefox:
	.ci/install-browser firefox-esr
	$(GO) test -tags firefox -count=1 -shuffle=on -timeout 5m ./test/browser

# The store on disk against kill -9, far more often than the tests do it.
durability:
	REVEILLE_DISK_KILL_LOOPS=100 $(GO) test -count=1 -timeout 30m -run Kill -v ./usrloc/disk

# Every fuzz target in turn, each for FUZZTIME.
fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "== $$p $$f"; nice $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

# What tests at random, for a long time: every model with thousands of seeds, then
# half an hour of simulated phones on real sockets, in which memory must stay flat.
SOAKTIME  ?= 30m
SOAKSEEDS ?= 5000
SOAKFLAGS ?=
soak: soak-models soak-phones

soak-models:
	REVEILLE_MODEL_SEEDS=$(SOAKSEEDS) nice $(GO) test -count=1 -timeout 4h -run 'Model|Random|TestOrder' \
		./internal/proxy ./internal/transaction ./registrar ./usrloc
	REVEILLE_MODEL_SEEDS=$$(( $(SOAKSEEDS) / 20 )) nice $(GO) test -count=1 -timeout 4h -run Model ./usrloc/disk

soak-phones: build
	$(GO) run ./test/soak -lasts $(SOAKTIME) $(SOAKFLAGS)

# The server against Kamailio, where that is installed, on one core each; in some
# ten minutes. The table goes into docs/performance.md. BENCHFLAGS=-quick shows in
# one that all works, and writes nothing.
BENCHFLAGS ?= -write docs/performance.md
bench: build
	$(GO) run ./test/bench/compare $(BENCHFLAGS)

# A million bindings: what one costs, and the start after kill -9. Five minutes.
bench-flat: build
	$(GO) run ./test/bench/compare flat $(BENCHFLAGS)

# Memory under phones that come and go. Twenty minutes.
bench-churn: build
	$(GO) run ./test/bench/compare churn $(BENCHFLAGS)

# TLS against Kamailio's, where its TLS module is installed. Two minutes.
bench-tls: build
	$(GO) run ./test/bench/compare tls $(BENCHFLAGS)

# What a push costs, against a plain POST, and what a stuck push service costs the
# others. A minute.
bench-push:
	mkdir -p bin
	$(GO) run ./test/bench/compare push $(BENCHFLAGS)

# Calls that are relayed, with SIPp at both ends, against Kamailio. Nine minutes.
bench-calls: build
	$(GO) run ./test/bench/compare calls $(BENCHFLAGS)

# The same with more calls than go (six minutes).
bench-overload: build
	$(GO) run ./test/bench/compare overload $(BENCHFLAGS)

# The benchmarks of single parts.
bench-go:
	nice $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# What configs/bench-digest.yaml and bench-fsync.yaml name and the repository does
# not hold: the users, and a store with nothing in it.
bench-users:
	$(GO) run ./test/bench/compare users 200000 >configs/bench.users
	chmod 600 configs/bench.users

bench-clean:
	rm -rf configs/bench.store

generate:
	$(GO) generate ./...
	$(GO) run ./cmd/reveille config docs >docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md
	$(GO) run ./cmd/reveille cli-docs >docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

# What is generated must be what is committed.
check-generated: generate
	git diff --exit-code -- docs/configuration.md docs/cli.md

# What is given to others: tarballs and Debian packages in dist. Two minutes.
release:
	deploy/release

# The release of the last commit, made twice in different folders: the same bytes.
release-check:
	deploy/release-check

# What lintian, systemd and shellcheck say of the package, its unit and scripts.
package-check:
	ARCHS=$(shell $(GO) env GOHOSTARCH) deploy/release
	deploy/package-check

# The package, installed, upgraded and purged in a Debian of its own, in a folder.
deb-check:
	ARCHS=$(shell $(GO) env GOHOSTARCH) deploy/release
	deploy/deb-check

# The container image: built without network, looked at, and started.
image-check:
	deploy/image-check

# The alarms and the dashboard, read and tried out by Prometheus's own promtool.
dashboards-check:
	deploy/dashboards-check

demo:
	$(GO) run ./cmd/reveille demo

clean:
	rm -rf bin dist
