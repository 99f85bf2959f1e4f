# make alone prints the targets.

GO ?= go
SCREENSHOTS ?= bin/screenshots
LINT = $(GO) tool -modfile=tools/lint/go.mod golangci-lint
BUF  = $(GO) tool -modfile=../tools/buf/go.mod buf

.PHONY: help
help: ## Print the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/starplan.
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/starplan ./cmd/starplan

.PHONY: run
run: ## Try the sample plans with an embedded broker.
	$(GO) run ./cmd/starplan dev

.PHONY: test
test: ## Run all tests; they need only Go.
	$(GO) test -race -shuffle=on -timeout=5m ./...

.PHONY: kafka
kafka: ## Start a real Apache Kafka on port 9092 (needs Java and Maven).
	$(GO) run ./internal/kafkatest/cmd/kafka --port 9092 --tenant dev

.PHONY: test-check
test-check: ## Hold the check to its promises, at full size and by the clock.
	$(GO) test -count=1 -timeout=10m -run 'Plans|OnePlan|Own' ./plan/check ./internal/cli

.PHONY: test-differential
test-differential: ## Compare plans in Python and in Starlark (needs python3 with venv and pip).
	$(GO) test -tags differential -count=1 -timeout=5m ./internal/differential

.PHONY: test-pyright
test-pyright: ## Have Pyright read the stubs and check plans by them (needs npm).
	$(GO) test -tags pyright -count=1 -timeout=5m ./internal/reference

.PHONY: test-kafka
test-kafka: ## Run the end-to-end tests on a real Apache Kafka, with TLS, SASL and access control (needs Java and Maven).
	STARPLAN_E2E_BROKER=kafka $(GO) test -tags kafka -p 1 -race -count=1 -timeout=10m ./bench/check ./internal/e2e ./internal/kafkatest

.PHONY: test-browser
test-browser: ## Run the status page in a real browser (needs Chromium and npm); screenshots in SCREENSHOTS.
	STARPLAN_SCREENSHOTS=$(abspath $(SCREENSHOTS)) $(GO) test -race -count=1 -timeout=6m -tags=browser ./internal/statuspage/browser

.PHONY: test-prometheus
test-prometheus: ## Have a real Prometheus watch a service on a real Kafka while all goes wrong (needs Debian's prometheus, Java and Maven).
	$(GO) test -count=1 -timeout=5m -tags=prometheus ./deploy/prometheus

.PHONY: lint
lint: ## Check style, generated code and formatting.
	$(LINT) run
	cd proto && $(BUF) lint
	$(MAKE) --no-print-directory check-generated

.PHONY: fmt
fmt: ## Format all code.
	$(LINT) fmt

.PHONY: proto
proto: ## Generate Go code from proto/plan.proto.
	cd proto && $(BUF) generate

.PHONY: check-generated
check-generated: proto ## Fail where generated files or go.mod are not up to date.
	$(GO) mod tidy -diff
	git diff --exit-code -- proto

.PHONY: bench
bench: ## Run the benchmarks.
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-short
bench-short: ## Run the benchmarks for a moment each, to see that they work.
	$(GO) test -run '^$$' -bench . -benchtime 50x ./plan/... ./starlarkpb ./processor ./internal/metricset ./internal/tracing ./bench
	$(GO) run ./bench/e2e -variants exactly-once/lz4 -records 5000 -last 5s -warm-up 0 -rounds 1 -delay-rounds 1

.PHONY: fuzz
fuzz: ## Run every fuzz test for ten seconds.
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 10s $$pkg || exit 1; \
	  done; \
	done

.PHONY: bench-e2e
bench-e2e: ## Measure throughput and delay on a real Apache Kafka: what exactly once costs, and compressions (needs Java and Maven).
	$(GO) run ./bench/e2e
	$(GO) run ./bench/e2e -rounds 10 -variants exactly-once/lz4,exactly-once/zstd,exactly-once/none

CHAOS = bin/chaos -program bin/starplan
CHAOS_SHORT = -inputs 20000 -rate 1000 -slow 10 -kill 2 -stop 1 -join 1 -broker-kill 1 -broker-freeze 0 -reload 4 -worker 10

.PHONY: chaos
chaos: build bin/chaos ## Break everything around the service for ten minutes (needs Java and Maven).
	$(CHAOS)
	$(CHAOS) -delivery at-least-once
	$(CHAOS) -scenario recovery -rate 500
	$(CHAOS) -scenario neighbours
	$(CHAOS) -scenario rolling -rate 500

.PHONY: chaos-short
chaos-short: build bin/chaos ## The same in two minutes.
	$(CHAOS) $(CHAOS_SHORT)
	$(CHAOS) $(CHAOS_SHORT) -delivery at-least-once
	$(CHAOS) -scenario rolling -rate 200

.PHONY: bin/chaos
bin/chaos:
	$(GO) build -o $@ ./bench/chaos
