"""What the default settings are to reach, and whether results.json shows it. Measured in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .results import Record, Results
from .table import by_place, mean
from .workloads import API, ENGINE

PLACE = "tmpfs"
#: Most that each workload may take.
EACH = 1.02
MEAN = 0.90
#: Stricter ones.
LIMITS = {"checkpoint": 0.80, "wal_commits_of_16_pages": 0.75}
#: What reads without a map may cost.
PREAD = dict.fromkeys(("points_in_transaction", "points_autocommit", "updates_in_transaction"), 1.25)
#: Microseconds of a later connection to a file with a passphrase.
LATER = 150
#: Megabytes a second on one core.
RATES = {"encrypt": 700, "verify": 1500, "rekey": 300}
#: Milliseconds of fresh interpreters: `import lumocrypt` above `import sqlite3`, and `lumocrypt --help`.
STARTS = {"import": 25.0, "--help": 120.0}
#: Megabytes of private memory.
MEMORY = 4.0


@dataclass(frozen=True, slots=True)
class Target:
    """A promise, and the figure that keeps or breaks it."""

    name: str
    #: None if it has not been measured, or is void.
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within the limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        state = "-     " if self.value is None else "met   " if self.met else "MISSED"
        figure = "not measured" if self.value is None else f"{self.value:.3g}"
        return f"{state} {self.name}: {figure} (at {'least' if self.at_least else 'most'} {self.limit:.3g})"


def targets(results: Results) -> Iterator[Target]:
    """All of them."""
    cells = by_place(results.of("speed", PLACE))
    for subject, eased in (("map", {}), ("pread", PREAD)):
        limits = {**dict.fromkeys(ENGINE, EACH), **LIMITS, **eased}
        if subject == "map":
            yield Target("map, geometric mean", mean(cells, subject), MEAN)
        for name, limit in limits.items():
            yield Target(f"{subject}, {name}", _value(cells, subject, name), limit)
    for name in ENGINE:
        theirs = _value(cells, "mc-aegis", name)
        ours = None if theirs is None else _value(cells, "map", name)
        yield Target(f"map, {name}, beside mc-aegis", ours, theirs or 0.0)
    for name in API:
        yield Target(f"connect, {name}", _value(cells, "connect", name), EACH)
    yield from _others(results)


def _others(results: Results) -> Iterator[Target]:
    opening = by_place(results.of("opening", PLACE))
    for case in ("later", "later, WAL", "beside another", "beside another, WAL"):
        value = _value(opening, "passphrase", case)
        yield Target(f"opening, {case}, us above plaintext", value, LATER)
    offline = by_place(results.of("offline", PLACE))
    for operation, rate in RATES.items():
        value = _value(offline, operation, "one core")
        yield Target(f"{operation} on one core, MB/s", value, rate, at_least=True)
    memory = results.of("memory", PLACE)
    for record in memory or [None]:
        name = f"memory, {record.subject}, {record.name}, MB" if record else "memory, MB"
        yield Target(name, record.value if record else None, MEMORY)
    starts = by_place(results.of("imports"))
    for name, limit in STARTS.items():
        yield Target(f"starting, {name}, ms", _value(starts, "lumocrypt", name), limit)


def _value(cells: Mapping[tuple[str, str], Record], subject: str, name: str) -> float | None:
    record = cells.get((subject, name))
    return None if record is None or record.void else record.value
