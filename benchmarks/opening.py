"""What opening costs: ``connect``, a SELECT of one row, close."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .environments import OWN
from .measured import interval_of
from .processes import Children
from .results import Record
from .subjects import SUBJECTS

#: Whose opening is measured unless told otherwise.
USUAL = ("passphrase", "raw", "mc-aegis-passphrase", "mc-chacha20-passphrase", "sqlcipher-passphrase")
#: Openings of a case in a process, and seconds after which there are no more: some derive a key each time.
TIMES = 300
ENOUGH = 2.0
#: The cases, and whether another connection is open meanwhile. Alone in WAL mode, each close is a checkpoint.
CASES = {
    "first": False,
    "later": False,
    "later, WAL": False,
    "beside another": True,
    "beside another, WAL": True,
}


def measure(
    folder: Path, children: Children, subjects: Sequence[str], processes: int
) -> Iterator[list[Record]]:
    """Microseconds of each case above those of plaintext; medians over processes of medians in each."""
    for subject in subjects:
        environment = SUBJECTS[subject].environment
        paths = {
            mode: [str(folder / f"{subject}.{one}.{mode}.db") for one in (SUBJECTS[subject].base, subject)]
            for mode in ("delete", "wal")
        }
        for mode, both in paths.items():
            children.run(environment, "opening", subject=subject, case=f"make {mode}", paths=both)
        records: list[Record] = []
        for case in CASES:
            mode = "wal" if "WAL" in case else "delete"
            pairs: list[tuple[float, float]] = [
                children.run(environment, "opening", subject=subject, case=case, paths=paths[mode])
                for _ in range(processes)
            ]
            above = [theirs - plain for plain, theirs in pairs]
            low, high = interval_of(above)
            records.append(
                Record(
                    kind="opening",
                    subject=subject,
                    name=case,
                    value=round(median(above), 1),
                    unit="us above plaintext",
                    interval=(round(low, 1), round(high, 1)),
                    details={"microseconds": [[round(one, 1) for one in pair] for pair in pairs]},
                )
            )
        yield records


def child(subject: str, case: str, paths: Sequence[str]) -> tuple[float, float] | None:
    """Microseconds of opening plaintext and the subject, in turns; ``make`` makes the files."""
    names = (SUBJECTS[subject].base, subject)
    both = list(zip(names, paths, strict=True))
    if case.startswith("make"):
        for name, path in both:
            _make(name, path, case.removeprefix("make "))
        return None
    # Loads the libraries, which is not the price of opening a database. A peer is one with its base, and
    # there is no key for what is in memory.
    for name in names if SUBJECTS[subject].environment == OWN else names[:1]:
        SUBJECTS[name].connect(":memory:").close()
    first = [_open_once(name, path) for name, path in both]
    if case == "first":
        return first[0], first[1]
    # Opened in the other order than they are timed; both do nothing but be there.
    others = [SUBJECTS[name].connect(path) for name, path in both] if CASES[case] else []
    for other in others:
        list(other.execute("SELECT b FROM t WHERE a = 1"))
    found: list[list[float]] = [[], []]
    begun = time.monotonic()
    while len(found[0]) < TIMES and time.monotonic() - begun < ENOUGH:
        for times, (name, path) in zip(found, both, strict=True):
            times.append(_open_once(name, path))
    for other in others:
        other.close()
    return median(found[0]), median(found[1])


def _open_once(name: str, path: str) -> float:
    connect = SUBJECTS[name].connect
    begun = time.perf_counter()
    connection = connect(path)
    list(connection.execute("SELECT b FROM t WHERE a = 1"))
    connection.close()
    return (time.perf_counter() - begun) * 1e6


def _make(name: str, path: str, mode: str) -> None:
    connection: Any = SUBJECTS[name].connect(path)
    list(connection.execute(f"PRAGMA journal_mode={mode}"))
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'one')")
    connection.close()
