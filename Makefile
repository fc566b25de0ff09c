# Every target sets up what it needs: a virtual environment from constraints.txt (exact versions, each with its
# hashes; pip takes them from whatever index it is configured with). PYTHON names the interpreter: make test PYTHON=python3.13
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PACKAGES := gateway schemas adapters renderers simulators
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
ARGS   ?=
# Tests wait more than they work: three processes keep two cores busy. Each has its own PostgreSQL and Kafka, and a file
# stays with one of them. In one process, for a debugger: ARGS="-n0 --pdb"
WORKERS := -n3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test proofs check format bench storm wheel lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY)  ## the virtual environment, nothing else

demo: $(READY)  ## the whole way once: declared, approved, signed, stamped, printed
	$(BIN)/origin demo $(ARGS)

test: $(READY)  ## all tests; what this machine lacks is listed at the end as NOT RUN (ARGS="-k door")
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

proofs: $(READY)  ## the proofs that are too long for `make test`, before a release
	$(BIN)/python -m pytest $(WORKERS) -m "long or release" $(ARGS)

check: $(READY)  ## formatter, linter, types, import contracts, stale generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict $(PACKAGES)
	$(BIN)/lint-imports
	$(BIN)/python -m gateway.generate --check

format: $(READY)  ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the figures, each beside its limit or peer of the same run
	$(BIN)/python -m ops.bench $(ARGS)

storm: $(READY)  ## faults and load together, then the invariants (ARGS="--declarations 2000 --faults 40")
	$(BIN)/python -m ops.storm $(ARGS)

wheel: $(READY)  ## dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation

lock: $(READY)  ## constraints.txt anew from pyproject.toml (ARGS=--upgrade for the newest versions)
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet $(ARGS) \
	  --output-file constraints.txt pyproject.toml

clean:  ## removes what the targets made, the virtual environment too
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Build tools first, from the same lock: docopt comes as source only, and pip's own build environment would
# fetch setuptools without a hash. So nothing here is built in isolation.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	  || { echo "Python 3.11 to 3.14 is needed; this is `$(PYTHON) --version 2>&1`. Try: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "this Python makes no virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@awk '/^[a-z]/ {keep = /^(setuptools|wheel|packaging)==/} keep' constraints.txt > $(VENV)/build-tools.txt
	$(PIP) install --quiet --require-hashes -r $(VENV)/build-tools.txt
	$(PIP) install --quiet --require-hashes --no-build-isolation -r constraints.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@
