"""What starting costs: ``import lumocrypt``, the first use of it, and ``lumocrypt --help``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from .measured import interval_of
from .results import Record

#: What is measured against ``import sqlite3``, which whoever uses the package has loaded anyway.
ABOVE_SQLITE = {
    "import": ("-c", "import sqlite3, lumocrypt"),
    "import and connect": ("-c", "import sqlite3, lumocrypt; lumocrypt.connect(':memory:').close()"),
}
#: What is measured against nothing.
ALONE = {"--help": ("-m", "lumocrypt", "--help")}
_SQLITE = ("-c", "import sqlite3")
#: Interpreters of each case in a round: the quickest counts, for what else the machine does only adds.
TIMES = 5


def measure(rounds: int) -> Iterator[list[Record]]:
    """Milliseconds of fresh interpreters; medians over rounds of the quickest in each."""
    found: dict[str, list[float]] = {name: [] for name in (*ABOVE_SQLITE, *ALONE)}
    # Loads the files, which is not what is measured.
    for arguments in (_SQLITE, *ABOVE_SQLITE.values(), *ALONE.values()):
        _run(arguments)
    for _ in range(rounds):
        base = _quickest(_SQLITE)
        for name, arguments in ABOVE_SQLITE.items():
            found[name].append(_quickest(arguments) - base)
        for name, arguments in ALONE.items():
            found[name].append(_quickest(arguments))
    yield [_record(name, values) for name, values in found.items()]


def _quickest(arguments: tuple[str, ...]) -> float:
    return min(_run(arguments) for _ in range(TIMES))


def _run(arguments: tuple[str, ...]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def _record(name: str, values: list[float]) -> Record:
    low, high = interval_of(values)
    return Record(
        kind="imports",
        subject="lumocrypt",
        name=name,
        value=round(median(values), 1),
        unit="ms" if name in ALONE else "ms above import sqlite3",
        interval=(round(low, 1), round(high, 1)),
        details={"milliseconds": [round(value, 1) for value in values]},
    )
