# `make demo` and `make test` need Python 3.11 or newer, a Rust toolchain and a C compiler; they set up the rest
# in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARGO := cargo
ENGINE := --manifest-path engine/Cargo.toml

SOURCES := $(shell find engine/crates python/lumocrypt -name _lumocrypt -prune -o -name '*.rs' -print -o -name 'Cargo.toml' -print -o -name '*.py' -print)
SOURCES += engine/Cargo.toml engine/Cargo.lock engine/crates/capi/cbindgen.toml
# Processes that run the Python tests, of which some sleep; make test JOBS=0 keeps them in one.
JOBS ?= $(shell echo $$((2 * $$(nproc))))

# How many crash states make crash judges, at least, and the first seed.
STATES ?= 100000
SEED ?= 1
CORES ?= $(shell nproc)

# Processes that make faults kills.
KILLS ?= 200
# How long make threads gives each scenario, in seconds.
SECONDS ?= 30
# How long make fuzz gives each target, and make fuzz-python all of its forgeries.
MINUTES ?= 10
FUZZ_TARGETS := $(basename $(notdir $(wildcard engine/fuzz/fuzz_targets/*.rs)))

# Pairs of processes that make bench times for each workload; the folder of its second campaign, on a disk; and the
# sizes, in MB, of the databases of bench-scaling.
PAIRS ?= 9
DISK ?= .bench
SIZES ?= 10 100 1000 4000
BENCH = $(BIN)/python -m benchmarks

.PHONY: bench bench-setup bench-speed bench-disk bench-opening bench-scaling bench-memory bench-offline bench-report
.PHONY: crash faults frozen threads lmdb sqlite-suite mptest fuzz fuzz-check fuzz-python interop golden-gosqlite demo test lint deny docs
.PHONY: build clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py

test: $(VENV)/.package $(VENV)/.tools
	$(CARGO) test --release --workspace $(ENGINE)
	$(BIN)/python -m pytest -n $(JOBS) tests

# Crashes of every scenario, as they are and after a sync or a write that fails; the engines that are broken on purpose
# come first, since without them silence means nothing.
crash: $(VENV)/.package $(VENV)/.tools
	$(BIN)/python -m pytest -n $(JOBS) tests/crash/test_crash_broken_builds.py tests/crash/test_crash_lies.py
	PYTHONPATH=tests $(BIN)/python -m crash --states $(STATES) --seed $(SEED) --processes $(CORES)
	PYTHONPATH=tests $(BIN)/python -m crash --failing sync --states $(STATES) --seed $(SEED) --processes $(CORES)
	PYTHONPATH=tests $(BIN)/python -m crash --failing write --states $$(($(STATES) / 5)) --seed $(SEED) --processes $(CORES)
	for cipher in adiantum aes-256-xts; do \
	    PYTHONPATH=tests $(BIN)/python -m crash --flavour $$cipher \
	        --states $$(($(STATES) / 5)) --seed $(SEED) --processes $(CORES) || exit 1; \
	done

# Processes and changes of the data key killed at random, and every call of the VFS below failing in turn: half an hour. A
# sample of both is in make test.
faults: $(VENV)/.package
	PYTHONPATH=tests $(BIN)/python -m faults.kills --kills $(KILLS)
	PYTHONPATH=tests $(BIN)/python -m faults.rekeys
	PYTHONPATH=tests $(BIN)/python -m faults.stress --seconds 300
	PYTHONPATH=tests $(BIN)/python -m faults.sweep --jobs $(CORES)
	PYTHONPATH=tests $(BIN)/python -m threads --seconds $(SECONDS)

# Every scenario of threads, with an engine that checks the order of its locks; a moment of each is in make test.
threads: $(VENV)/.package
	PYTHONPATH=tests $(BIN)/python -m threads --checked --seconds $(SECONDS)

# Every fault of LMDB's that an edit mends, there in LMDB as it is and gone in ours; then random work on environments for
# MINUTES, and KILLS writers killed. Transactions spill at once. A sample of the last two is in make test.
lmdb:
	$(CARGO) test --release $(ENGINE) -p lumocrypt-lmdb-sys --features stock,small-lists
	LUMO_LMDB_SECONDS=$$(($(MINUTES) * 60)) LUMO_LMDB_SEED=$(SEED) LUMO_LMDB_KILLS=$(KILLS) \
	    $(CARGO) test --release $(ENGINE) -p lumocrypt-lmdb --features small-lists

# SQLite's own tests with every new database encrypted, each file compared with its run in clear: about an hour. Fetches SQLite's
# source from Debian and builds it in .sqlite; needs apt, as root where something is missing, and a C compiler.
sqlite-suite: $(VENV)/.package .sqlite/.made
	PYTHONPATH=tests $(BIN)/python -m sqlite_suite .sqlite --processes $(CORES)

# SQLite's test of many processes on one database, in each journal mode.
mptest: $(VENV)/.package .sqlite/.made
	PYTHONPATH=tests $(BIN)/python -m sqlite_suite.mptest .sqlite

.sqlite/.made: tests/sqlite_suite/setup.sh tests/sqlite_suite/loader.c
	tests/sqlite_suite/setup.sh .sqlite
	touch $@

# Needs a nightly compiler and `cargo install cargo-fuzz`; address sanitizer and overflow checks are on. Starts from
# engine/fuzz/seeds, collects in engine/fuzz/corpus, and leaves what it finds in engine/fuzz/artifacts.
fuzz:
	cd engine/fuzz && $(CARGO) +nightly fuzz build
	cd engine/fuzz && for target in $(FUZZ_TARGETS); do \
	    mkdir -p corpus/$$target && tar -xJf seeds/$$target.tar.xz -C corpus/$$target && \
	    $(CARGO) +nightly fuzz run $$target -- \
	        -max_total_time=$$(($(MINUTES) * 60)) -max_len=1024 -len_control=0 -timeout=30 -print_final_stats=1 \
	        || exit 1; \
	done

# The fuzz targets still build; needs no nightly.
fuzz-check:
	$(CARGO) clippy --manifest-path engine/fuzz/Cargo.toml --no-default-features -- -D warnings

# Hostile files before every command and every public function, in this process: headers with digests made right,
# side files, other programs' databases, b-trees. A sample is in make test.
fuzz-python: $(VENV)/.package $(VENV)/.tools
	PYTHONPATH=tests $(BIN)/python -m hostile --minutes $(MINUTES) --seed $(SEED)

# The gosqlite format against a program in Go; a part of make test. Needs Go, and its module proxy the first time.
interop: $(VENV)/.package $(VENV)/.tools
	cd tests/interop && go vet . && test -z "$$(gofmt -l .)"
	$(BIN)/python -m pytest -n $(JOBS) tests/interop/test_interop_go.py tests/interop/test_golden_gosqlite.py

# A program made by PyInstaller opens a database. Installs PyInstaller into a folder of its own.
frozen: $(VENV)/.package
	rm -rf .frozen && $(PYTHON) -m venv .frozen/venv
	.frozen/venv/bin/python -m pip install --quiet pyinstaller .
	cp examples/frozen.py .frozen && cd .frozen && venv/bin/pyinstaller --log-level ERROR frozen.py
	cd .frozen && ./dist/frozen/frozen

# Makes the samples again, which is needed only for more of them.
golden-gosqlite: $(VENV)/.package $(VENV)/.tools
	$(BIN)/python tests/make_golden_gosqlite.py

# Everything that docs/speed.md has, on an otherwise idle machine; about three hours. Whatever a busy machine made
# void is said and does not keep the rest from running; the single targets, or python -m benchmarks, repeat a part.
bench: bench-setup
	-$(BENCH) speed --pairs $(PAIRS)
	-$(BENCH) speed --pairs $(PAIRS) --folder $(DISK) --subjects map pread mc-aegis
	$(BENCH) opening --pairs $(PAIRS)
	$(BENCH) memory --pairs 3
	$(BENCH) offline --pairs 5
	$(BENCH) imports --pairs $(PAIRS)
	-$(BENCH) scaling --pairs 5 --sizes $(SIZES)
	$(BENCH) report
	-$(BENCH) targets

bench-setup: $(VENV)/.package .bench/mc/.made .bench/sqlcipher/.made .bench/apsw/.package

bench-speed: bench-setup
	$(BENCH) speed --pairs $(PAIRS)

bench-disk: bench-setup
	$(BENCH) speed --pairs $(PAIRS) --folder $(DISK) --subjects map pread mc-aegis

bench-opening: bench-setup
	$(BENCH) opening --pairs $(PAIRS)

bench-scaling: bench-setup
	$(BENCH) scaling --pairs 5 --sizes $(SIZES)

bench-memory: bench-setup
	$(BENCH) memory --pairs 3

bench-offline: bench-setup
	$(BENCH) offline --pairs 5

# README.md, docs/speed.md and the charts, from benchmarks/results.json.
bench-report: $(VENV)/.package
	$(BENCH) report

# Each peer in an environment of its own, at the version that is written down.
.bench/%/.made: benchmarks/peers/%.txt $(VENV)/.made
	$(BIN)/python -m venv --clear .bench/$*
	.bench/$*/bin/python -m pip install --quiet --requirement $<
	touch $@

# lumocrypt inside APSW's own SQLite; cargo has built it already.
.bench/apsw/.package: .bench/apsw/.made $(VENV)/.package
	.bench/apsw/bin/python -m pip install --quiet .
	touch $@

lint: $(VENV)/.tools
	$(BIN)/ruff check python tests examples benchmarks docs
	$(BIN)/ruff format --check python tests examples benchmarks docs
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(CARGO) fmt $(ENGINE) --all --check
	$(CARGO) fmt --manifest-path engine/fuzz/Cargo.toml --check
	$(CARGO) clippy $(ENGINE) --workspace --all-targets -- -D warnings

# Licences and sources of all crates (deny.toml). Needs no network.
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny $(ENGINE) --offline check licenses sources bans; \
	else \
	    echo 'cargo-deny is not installed: cargo install --locked cargo-deny' >&2; exit 1; \
	fi

# The site, in site/. Warnings are errors: links, anchors, and functions that the reference names but the package lacks.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

build: $(VENV)/.made
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .bench .sqlite .demo dist site engine/target .pytest_cache .ruff_cache .hypothesis \
	    engine/fuzz/target engine/fuzz/corpus engine/fuzz/artifacts

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.package: $(VENV)/.made pyproject.toml $(SOURCES)
	$(BIN)/python -m pip install --quiet .
	touch $@

$(VENV)/.demo: $(VENV)/.package
	$(BIN)/python -m pip install --quiet pyproj
	touch $@

# What pyproject.toml's extras name, without building the package.
$(VENV)/.tools: $(VENV)/.made pyproject.toml
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    extra = project["optional-dependencies"]; \
	    print(*project["dependencies"], *extra["test"], *extra["dev"], sep="\n")' > $(VENV)/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/requirements.txt
	touch $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*project["optional-dependencies"]["docs"], sep="\n")' > $(VENV)/docs.txt
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/docs.txt
	touch $@
