"""What is timed: each workload prepares, and yields what is to be timed.

A workload may yield several times; what it does in between is not timed. Everything is written for a
connection of the standard library or one that behaves like it (APSW, sqlcipher3), opened in autocommit mode,
with SQLite's default cache of 2 MB. Numbers of rows and rounds were chosen so that plaintext takes 1 to 1.5
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol

#: Rows of the table that reads and updates work on: with its index some 30 MB, far more than SQLite's cache.
ROWS = 200_000
#: Rows of the table for the workloads of the Python interface, which is to stay in the cache.
SMALL = 1_000

Timed = Callable[[], object]


class Connection(Protocol):
    """What the workloads use of a connection."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


Workload = Callable[[Connection], Iterator[Timed]]


def rows(count: int) -> list[tuple[int, str, int]]:
    """The table's rows."""
    return [(number, f"x{number}" * 12, number * 7919 % 100_003) for number in range(count)]


def template(connection: Connection) -> None:
    """The database that most workloads start with."""
    run(connection, "PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, n INTEGER)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows(ROWS))
    connection.execute("COMMIT")
    connection.execute("CREATE INDEX by_n ON t (n)")
    _empty_wal(connection)


def run(connection: Connection, sql: str, *parameters: object) -> list[Any]:
    """All rows of a statement."""
    return list(connection.execute(sql, parameters))


def _wal(connection: Connection) -> None:
    run(connection, "PRAGMA journal_mode=WAL")
    run(connection, "PRAGMA synchronous=NORMAL")
    # Checkpoints have a workload of their own.
    run(connection, "PRAGMA wal_autocheckpoint=0")


def _empty_wal(connection: Connection) -> None:
    run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")


def _keys(count: int, seed: int = 1) -> list[int]:
    random = Random(seed)
    return [random.randrange(ROWS) for _ in range(count)]


def full_scan(connection: Connection) -> Iterator[Timed]:
    """Every row, to Python."""

    def timed() -> None:
        for _ in range(20):
            for _row in connection.execute("SELECT a, b, n FROM t"):
                pass

    yield timed


def count_scan(connection: Connection) -> Iterator[Timed]:
    """Every page, and nothing to Python."""

    def timed() -> None:
        for _ in range(240):
            run(connection, "SELECT count(*) FROM t NOT INDEXED")

    yield timed


def points_in_transaction(connection: Connection) -> Iterator[Timed]:
    """Rows by their key, in one transaction."""
    keys = _keys(400_000)

    def timed() -> None:
        connection.execute("BEGIN")
        for key in keys:
            run(connection, "SELECT b FROM t WHERE a = ?", key)
        connection.execute("COMMIT")

    yield timed


def points_autocommit(connection: Connection) -> Iterator[Timed]:
    """Rows by their key, each in a transaction of its own."""
    keys = _keys(200_000)

    def timed() -> None:
        for key in keys:
            run(connection, "SELECT b FROM t WHERE a = ?", key)

    yield timed


def bulk_insert(connection: Connection) -> Iterator[Timed]:
    """One large transaction into an empty database in WAL mode, four times."""
    _wal(connection)
    new = rows(2 * ROWS)

    def timed() -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO u VALUES (?, ?, ?)", new)
        connection.execute("COMMIT")

    for number in range(4):
        if number:
            connection.execute("DROP TABLE u")
            # Without it the next one would fill free pages instead of letting the database grow.
            connection.execute("VACUUM")
        connection.execute("CREATE TABLE u (a INTEGER PRIMARY KEY, b TEXT, n INTEGER)")
        _empty_wal(connection)
        yield timed


def create_index(connection: Connection) -> Iterator[Timed]:
    """Indexes over a column in random order; the sorter spills to temporary files."""
    _wal(connection)

    def timed(names: Sequence[str]) -> None:
        for name in names:
            connection.execute(f"CREATE INDEX {name} ON t (n, a)")

    for number in range(5):
        yield partial(timed, [f"more_{number}_{letter}" for letter in "abcd"])
        _empty_wal(connection)


def updates_in_transaction(connection: Connection) -> Iterator[Timed]:
    """Random updates of an indexed column, 60,000 in one transaction, twice."""
    _wal(connection)

    def timed(keys: Sequence[int]) -> None:
        connection.execute("BEGIN")
        for key in keys:
            connection.execute("UPDATE t SET n = n + 1 WHERE a = ?", (key,))
        connection.execute("COMMIT")

    for number in range(2):
        yield partial(timed, _keys(60_000, number))
        _empty_wal(connection)


def checkpoint(connection: Connection) -> Iterator[Timed]:
    """A WAL of some 160 MB into the database: it grows by it once, and five times has it written over."""
    _wal(connection)
    wide = " || ".join(["b"] * 12)
    for number in range(6):
        connection.execute("BEGIN")
        if number == 0:
            connection.execute(f"CREATE TABLE u AS SELECT a, {wide} AS b, n FROM t")
        else:
            connection.execute("UPDATE u SET n = n + 1")
        connection.execute("COMMIT")
        yield partial(_empty_wal, connection)


def wal_commits(connection: Connection) -> Iterator[Timed]:
    """Transactions that change one page, three times 30,000."""
    _wal(connection)

    def timed(keys: Sequence[int]) -> None:
        for key in keys:
            connection.execute("UPDATE t SET b = ? WHERE a = ?", ("y" * 60, key))

    for number in range(3):
        yield partial(timed, _keys(30_000, number))
        _empty_wal(connection)


def wal_commits_of_16_pages(connection: Connection) -> Iterator[Timed]:
    """Transactions that change sixteen pages, four times 2,500."""
    _wal(connection)

    def timed(keys: Sequence[int]) -> None:
        for start in range(0, len(keys), 16):
            connection.execute("BEGIN")
            for key in keys[start : start + 16]:
                connection.execute("UPDATE t SET b = ? WHERE a = ?", ("z" * 60, key))
            connection.execute("COMMIT")

    for number in range(4):
        yield partial(timed, _keys(40_000, number))
        _empty_wal(connection)


def rollback_commits(connection: Connection, transactions: int = 24_000) -> Iterator[Timed]:
    """Transactions that change one page, with a journal that is deleted, at full durability."""
    run(connection, "PRAGMA journal_mode=DELETE")
    keys = _keys(transactions)

    def timed() -> None:
        for key in keys:
            connection.execute("UPDATE t SET b = ? WHERE a = ?", ("q" * 60, key))

    yield timed


def fetchone(connection: Connection) -> Iterator[Timed]:
    """``execute().fetchone()`` of a table in the cache."""
    _small(connection)
    keys = [number % SMALL for number in range(800_000)]

    def timed() -> None:
        # One read transaction: locks are the engine's affair, and in other workloads.
        connection.execute("BEGIN")
        for key in keys:
            connection.execute("SELECT b FROM small WHERE a = ?", (key,)).fetchone()
        connection.execute("COMMIT")

    yield timed


def row_iteration(connection: Connection) -> Iterator[Timed]:
    """``for row in execute()`` over a table in the cache."""
    _small(connection)

    def timed() -> None:
        connection.execute("BEGIN")
        for _ in range(3_600):
            for _row in connection.execute("SELECT a, b FROM small"):
                pass
        connection.execute("COMMIT")

    yield timed


def _small(connection: Connection) -> None:
    connection.execute("CREATE TABLE small (a INTEGER PRIMARY KEY, b TEXT)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO small VALUES (?, ?)", ((n, f"row {n}") for n in range(SMALL)))
    connection.execute("COMMIT")


def _named(*workloads: Workload) -> dict[str, Workload]:
    return {getattr(workload, "__name__", ""): workload for workload in workloads}


#: The workloads of the engine, in the order of the report.
ENGINE = _named(
    full_scan,
    count_scan,
    points_in_transaction,
    points_autocommit,
    bulk_insert,
    create_index,
    updates_in_transaction,
    checkpoint,
    wal_commits,
    wal_commits_of_16_pages,
    rollback_commits,
)
#: Those of the Python interface, where the engine does next to nothing.
API = _named(fetchone, row_iteration)
WORKLOADS = {**ENGINE, **API}
#: Where syncs take their time: fewer transactions, of milliseconds each.
WITH_SLOW_SYNCS: dict[str, Workload] = {"rollback_commits": partial(rollback_commits, transactions=2_000)}
#: Those that do not start with the template.
FROM_NOTHING = frozenset({"bulk_insert", *API})
