.DEFAULT_GOAL := help
.PHONY: help demo test race vet lint fmt fuzz bench soak ci build

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## run the whole bridge embedded, with sample traffic
	go run ./cmd/cebridge demo

test: ## run every test
	go test ./...

race: ## run the packages with concurrency under the race detector
	go test -race $(shell cat .ci/race-packages)

vet: ## go vet and gofmt
	go vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }

lint: ## staticcheck, fetched by name
	.ci/lint

fmt: ## format every file
	gofmt -w .

fuzz: ## run every fuzz target for 10 s
	.ci/fuzz 10s

bench: ## print our rates beside the raw limit
	go run ./cmd/cebridge bench

soak: ## kill the bridge 200 times under load and check the histories
	go run ./cmd/cebridge soak --kills 200

build: ## build one static binary
	CGO_ENABLED=0 go build -trimpath -o cebridge ./cmd/cebridge

ci: ## what has to pass before landing
	bash .ci/run
