"""Counts imports between crates and between Python packages; finds those that lead upwards or in a circle.

``PYTHONPATH=tests python -m house.imports``
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from house import python
from house.circles import circles
from house.rust import Crate, crates

ROOT = Path(__file__).parents[2]

#: The engine's crates from the bottom up: each may use those in front of it.
CRATES = ("ground", "crypto", "vault", "storage", "sqlite", "gosqlite", "lmdb-sys", "lmdb", "offline", "capi")
#: The rooms from the ground up. A module may import those of its own room and of the ones before it.
ROOMS = (
    "_lumocrypt",  # the engine's shared object
    "errors",  # exceptions, names in messages, tracebacks without keys
    "files",  # names, folders, new files, attributes
    "engine",  # the C ABI, SQLite libraries, failures as exceptions
    "keys",  # keys, where they come from, which database they are for
    "opening",  # connections
    "lmdb",  # LMDB environments, with py-lmdb's names
    "foreign",  # other programs' formats
    "pages",  # SQLite's pages in spite of damage
    "database",  # operations on a whole database
    "salvaging",  # copies of what is left
    "shell",  # statements, dot-commands, modes
    "cli",  # a module per command, and their options
    "",  # the package itself: its names, __main__
)

#: By crate, circles of modules that are still there. One that is gone or smaller leaves this list.
KNOWN: dict[str, tuple[frozenset[str], ...]] = {}


def upwards(order: Sequence[str], uses: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """What is wrong with who uses whom how often: it is not in `order`, or does not come in front."""
    for name, used in uses.items():
        if name not in order:
            yield f"{name} has no floor: put it where it belongs in tests/house/imports.py"
            continue
        below = order[: order.index(name)]
        for other, count in used.items():
            if count and other not in below:
                yield f"{name} uses {other}, which is not below it"


def round_and_round(crate: Crate, known: Sequence[frozenset[str]]) -> Iterator[str]:
    """What is wrong with the circles in a crate: there are others than those that are `known`."""
    found = circles(crate.arrows())
    for circle in found:
        if circle not in known:
            yield f"{crate.name} has a circle: {', '.join(sorted(circle))}"
    for circle in known:
        if circle not in found:
            yield f"{crate.name} has no such circle any more: {', '.join(sorted(circle))}"


def complaints() -> list[str]:
    """Everything that is wrong."""
    engine = crates(ROOT / "engine" / "crates")
    # A manifest that names a crate is enough: what it does not name, the compiler does not find.
    found = list(upwards(CRATES, {crate.name: dict.fromkeys(crate.dependencies, 1) for crate in engine}))
    for crate in engine:
        found += round_and_round(crate, KNOWN.get(crate.name, ()))
    found += upwards(ROOMS, python.imports(ROOT / "python" / python.ROOT))
    return found


def _table(order: Sequence[str], uses: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """How often each uses each, in the order of floors."""
    names = sorted(uses, key=lambda name: (order.index(name) if name in order else len(order), name))
    width = max(map(len, names))
    for name in names:
        counts = [f"{other} {uses[name][other]}" for other in names if uses[name].get(other)]
        yield f"{name:{width}}  {', '.join(counts) or '-'}"


def main() -> int:
    """Prints counts and complaints."""
    engine = crates(ROOT / "engine" / "crates")
    print(*_table(CRATES, {crate.name: crate.imports() for crate in engine}), "", sep="\n")
    print(*_table(ROOMS, python.imports(ROOT / "python" / python.ROOT)), "", sep="\n")
    found = complaints()
    print(*found or ["Nothing leads upwards, and nothing new in a circle."], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
