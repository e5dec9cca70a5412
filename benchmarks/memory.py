"""Private memory of open files, after some work.

What maps a file is left out: the pages of the lumocrypt map are the page cache's, and the kernel takes them
back when it wants. (On tmpfs they would count as private and dirty, so the sum of smaps_rollup does not do.)
Keys are raw ones, so there is no memory of a key derivation.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from .limits import allow_open_files
from .measured import interval_of
from .processes import Children
from .results import Record
from .subjects import SUBJECTS
from .workloads import ROWS, run, template

#: Each case: connections, and whether each has a file of its own.
CASES = {
    "1 connection": (1, False),
    "10 connections": (10, False),
    "100 connections": (100, False),
    "10 files": (10, True),
}


def measure(
    folder: Path, children: Children, subjects: Sequence[str], processes: int
) -> Iterator[list[Record]]:
    """Megabytes of an open file above those of plaintext; medians over processes."""
    for subject in subjects:
        environment = SUBJECTS[subject].environment
        names = (SUBJECTS[subject].base, subject)
        for name in names:
            path = folder / f"{name}.memory.db"
            if not path.exists():
                children.run(environment, "memory", subject=name, paths=[str(path)], connections=0)
        records: list[Record] = []
        for case, (connections, of_its_own) in CASES.items():
            found: list[list[float]] = []
            for _ in range(processes):
                pair: list[float] = []
                for name in names:
                    paths = _files(folder, folder / f"{name}.memory.db", connections if of_its_own else 1)
                    pair.append(
                        children.run(
                            environment, "memory", subject=name, paths=paths, connections=connections
                        )
                    )
                found.append(pair)
            above = [(theirs - plain) / 1e6 for plain, theirs in found]
            low, high = interval_of(above)
            records.append(
                Record(
                    kind="memory",
                    subject=subject,
                    name=case,
                    value=round(median(above), 3),
                    unit="MB above plaintext",
                    interval=(round(low, 3), round(high, 3)),
                    details={"bytes": found},
                )
            )
        yield records


def _files(folder: Path, made: Path, count: int) -> list[str]:
    """Copies of a database, fresh ones."""
    paths: list[str] = []
    for number in range(count):
        for old in folder.glob(f"memory-{number}.db*"):
            old.unlink()
        paths.append(str(shutil.copyfile(made, folder / f"memory-{number}.db")))
    return paths


def child(subject: str, paths: Sequence[str], connections: int) -> float | None:
    """Bytes for each of some connections, spread over the files; with none, a database is made."""
    connect = SUBJECTS[subject].connect
    if connections == 0:
        template(connect(paths[0]))
        return None
    allow_open_files(4 * connections + 100)
    # One that is closed again: the library, the engine and their globals are not the price of an open file.
    first = connect(paths[0])
    _work(first, 0)
    before = private_dirty()
    opened = [connect(paths[number % len(paths)]) for number in range(connections)]
    for number, connection in enumerate(opened):
        _work(connection, number)
    return (private_dirty() - before) / connections


def _work(connection: Any, seed: int) -> None:
    """A scan, points, a transaction of updates, a checkpoint."""
    random = Random(seed)
    run(connection, "SELECT count(*) FROM t NOT INDEXED")
    for _ in range(2000):
        run(connection, "SELECT b FROM t WHERE a = ?", random.randrange(ROWS))
    connection.execute("BEGIN")
    for _ in range(500):
        connection.execute("UPDATE t SET n = n + 1 WHERE a = ?", (random.randrange(ROWS),))
    connection.execute("COMMIT")
    run(connection, "PRAGMA wal_checkpoint")


def private_dirty() -> int:
    """Bytes of this process that are its own and nothing else's, without what maps database files."""
    total = 0
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            fields = line.split(maxsplit=5)
            name = fields[5] if len(fields) > 5 else ""
        elif line.startswith("Private_Dirty:") and not re.search(r"\.db(-\w+)?$", name):
            total += int(line.split()[1]) * 1024
    return total
