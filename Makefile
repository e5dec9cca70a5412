# `make demo` and `make test` need Python 3.11 or newer, a Rust toolchain and a C compiler; they set up the rest
# in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARGO := cargo
ENGINE := --manifest-path engine/Cargo.toml

SOURCES := $(shell find engine/src python -name '*.rs' -o -name '*.py') engine/Cargo.toml engine/Cargo.lock
# All cores, as far as pytest can use them: make test JOBS=1 for one process.
JOBS ?= auto

.PHONY: demo test lint build clean

demo: $(VENV)/.package
	$(BIN)/python examples/demo.py

test: $(VENV)/.package
	$(CARGO) test --release $(ENGINE)
	$(BIN)/python -m pytest -n $(JOBS) tests

lint: $(VENV)/.tools
	$(BIN)/ruff check python tests examples
	$(BIN)/ruff format --check python tests examples
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(CARGO) fmt $(ENGINE) --check
	$(CARGO) clippy $(ENGINE) --all-targets -- -D warnings

build: $(VENV)/.tools
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .demo dist engine/target .pytest_cache .ruff_cache .hypothesis

# The dependencies, from pyproject.toml alone: a change of the sources does not fetch them again.
$(VENV)/.tools: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("lumocrypt needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    extra = project["optional-dependencies"]; \
	    print(*project["dependencies"], *extra["test"], *extra["dev"], sep="\n")' > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/requirements.txt
	touch $@

$(VENV)/.package: $(VENV)/.tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@
