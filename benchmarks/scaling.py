"""What changes with the size of a database, and the number of connections, threads and processes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from .child import wait_for_others
from .control import alternating, beside_control
from .limits import allow_open_files
from .machine import room
from .processes import Children
from .results import Record
from .subjects import SUBJECTS, with_controls

Axis = Literal["size", "connections", "threads", "processes"]

SIZES_MB = (10, 100, 1000, 4000)
COUNTS: dict[Axis, tuple[int, ...]] = {
    "connections": (1, 10, 100, 1000),
    "threads": (1, 2, 4),
    "processes": (1, 2, 4),
}
#: Megabytes of the database for all axes but the size.
ENOUGH_MB = 100
#: About the bytes of a row in its page: four of them fill one.
ROW = 1020
#: Bytes that scans of one run read, and rows that its points find.
SCANNED = 1_500_000_000
POINTS = 100_000


@dataclass(frozen=True, slots=True)
class Load:
    """What runs at once, in each process."""

    axis: Axis
    at: int
    #: ``full scan`` hands every row to Python, ``count scan`` none, ``points`` finds rows by their key.
    work: str
    rows: int
    connections: int = 1
    threads: int = 1
    processes: int = 1


def measure(
    folder: Path,
    children: Children,
    subjects: Sequence[str],
    axes: Sequence[str],
    sizes: Sequence[int],
    pairs: int,
) -> Iterator[list[Record]]:
    """Ratios to plaintext under the same load."""
    wanted = {*(sizes if "size" in axes else ()), *({ENOUGH_MB} if set(axes) - {"size"} else ())}
    for megabytes in sorted(wanted):
        needed = round(len(_files(subjects)) * megabytes * 1.05e6)
        if needed > room(folder):
            print(
                f"{megabytes} MB: left out, since {folder} has no room for {needed / 1e9:.1f} GB",
                file=sys.stderr,
            )
            continue
        paths = {name: folder / f"{name}.scaling.db" for name in _files(subjects)}
        rows = megabytes * 1_000_000 // ROW
        for name, path in paths.items():
            environment = SUBJECTS[name].environment
            children.run(environment, "scaling", subject=name, path=str(path), load=None, rows=rows)
        for load in _loads(megabytes, rows, axes, sizes):
            yield _load(children, paths, subjects, load, pairs)
        for path in paths.values():
            path.unlink()


def _files(subjects: Sequence[str]) -> list[str]:
    """The subjects that have a file of their own; how it is read is not in the file."""
    return list(dict.fromkeys(_file_of(name) for name in with_controls(subjects)))


def _file_of(subject: str) -> str:
    return "map" if subject == "pread" else subject


def _loads(megabytes: int, rows: int, axes: Sequence[str], sizes: Sequence[int]) -> Iterator[Load]:
    if "size" in axes and megabytes in sizes:
        for work in ("full scan", "points"):
            yield Load("size", megabytes, work, rows)
    if megabytes != ENOUGH_MB:
        return
    for axis, counts in COUNTS.items():
        if axis not in axes:
            continue
        for count in counts:
            for work in ("points",) if axis == "connections" else ("count scan", "points"):
                yield Load(axis, count, work, rows, **{axis: count})


def _load(
    children: Children, paths: Mapping[str, Path], subjects: Sequence[str], load: Load, pairs: int
) -> list[Record]:
    def seconds(subject: str) -> float:
        return _seconds(children, paths[_file_of(subject)], subject, load)

    def pair(subject: str, base_first: bool) -> tuple[float, float]:
        return alternating(SUBJECTS[subject].base, subject, base_first, seconds)

    name = f"{load.axis} {load.at}, {load.work}"
    details = {"axis": load.axis, "at": load.at, "work": load.work}
    return beside_control("scaling", with_controls(subjects), name, pairs, pair, details)


def _seconds(children: Children, path: Path, subject: str, load: Load) -> float:
    """From when all processes were ready to when the last was done."""
    environment = SUBJECTS[subject].environment
    spans = children.together(
        environment,
        "scaling",
        load.processes,
        subject=subject,
        path=str(path),
        load=asdict(load),
        rows=load.rows,
    )
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def child(subject: str, path: str, load: dict[str, Any] | None, rows: int) -> tuple[float, float] | None:
    """When a load began and when it ended; without one, the database is made."""
    if load is None:
        _make(subject, path, rows)
        return None
    return _run(subject, path, Load(**load))


def _make(subject: str, path: str, rows: int) -> None:
    connection = SUBJECTS[subject].connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1) "
        "INSERT INTO t SELECT i, zeroblob(1000) FROM n",
        (rows,),
    )
    connection.close()


def _run(subject: str, path: str, load: Load) -> tuple[float, float]:
    allow_open_files(load.connections + 100)
    ready = threading.Barrier(load.threads + 1)
    go = threading.Event()

    def work(number: int) -> None:
        # A connection of the standard library belongs to the thread that opened it.
        connections = [SUBJECTS[subject].connect(path) for _ in range(load.connections)]
        for connection in connections:
            list(connection.execute("SELECT a FROM t WHERE a = 1"))
        keys = _keys(load.rows, number) if load.work == "points" else []
        ready.wait()
        go.wait()
        _work(connections, load, keys)
        for connection in connections:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(load.threads)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = wait_for_others()
    go.set()
    for thread in threads:
        thread.join()
    return begun, time.monotonic()


def _keys(rows: int, seed: int) -> list[int]:
    random = Random(seed)
    return [random.randrange(rows) for _ in range(POINTS)]


def _work(connections: Sequence[Any], load: Load, keys: Sequence[int]) -> None:
    if load.work == "points":
        for number, key in enumerate(keys):
            list(connections[number % len(connections)].execute("SELECT b FROM t WHERE a = ?", (key,)))
        return
    what = "a, b" if load.work == "full scan" else "count(*)"
    for _ in range(max(1, SCANNED // (load.rows * ROW))):
        for _row in connections[0].execute(f"SELECT {what} FROM t NOT INDEXED"):
            pass
