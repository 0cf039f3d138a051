# Everything that is done to this project has a name here. `make check` is what
# a change must pass; the long versions have names of their own.

GO ?= go
FUZZTIME ?= 10s
SYSTEMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: check test race fmt vet cross lint rules fuzz failpoints soak bench demo build hooks soak-hooks

check: fmt vet lint race ## what every change passes

build: ## the binary, with its version from the repository
	$(GO) build -o bin/qarion ./cmd/qarion

test: ## the tests, as the README has them
	$(GO) test ./...

race: ## the tests under the race detector
	$(GO) test -race ./...

fmt: ## fails when a file is not formatted
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

cross: ## builds for the systems that qarion runs on, and vets what differs between them
	@for system in $(SYSTEMS); do export GOOS=$${system%/*} GOARCH=$${system#*/}; \
	  echo "== $$system"; $(GO) build ./... && $(GO) vet ./... || exit 1; done

lint: ## staticcheck, pinned
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	@cd examples/hooks && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

fuzz: ## every fuzz target for FUZZTIME
	@cd examples/hooks/hookguest && for f in FuzzParse FuzzRead; do \
	  echo "== hookguest $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) . || exit 1; \
	done
	@for pkg in $$($(GO) list ./...); do \
	  dir=$$($(GO) list -f '{{.Dir}}' $$pkg); \
	  for f in $$(grep -lE '^func Fuzz' $$dir/*_test.go 2>/dev/null | xargs -r grep -hoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort -u); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

failpoints: ## the program stopped at each crash point
	$(GO) vet -tags failpoints ./...
	$(GO) test -tags failpoints -count=1 -run 'TestFailpoints' ./cmd/qarion

soak: ## the long crash loop: 200 kills
	QARION_CRASH_KILLS=200 $(GO) test -count=1 -timeout 2h -run 'TestCrash' ./cmd/qarion

hooks: ## the hooks in C, Rust and AssemblyScript that are checked in, built anew
	examples/hooks/build.sh

soak-hooks: ## a million calls on one instance of every hook: memory stays where it is
	QARION_HOOK_CALLS=1000000 $(GO) test -count=1 -timeout 2h -v -run 'TestMemory' ./internal/guests

bench: ## the figures that the documentation names
	$(GO) run ./cmd/qarion bench

demo:
	$(GO) run ./cmd/qarion demo
