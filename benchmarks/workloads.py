"""What is timed: each workload prepares, and returns what is to be timed.

Everything is written for a connection of the standard library or one that behaves like it (APSW, sqlcipher3),
opened in autocommit mode. The numbers of rows make runs last about a second where they were chosen; only the
checkpoint is shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

#: Rows of the table that reads and updates work on: with its index some 30 MB, far more than SQLite's cache.
ROWS = 200_000

Timed = Callable[[], object]


class Connection(Protocol):
    """What the workloads use of a connection."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


def rows(count: int) -> list[tuple[int, str, int]]:
    """The table's rows."""
    return [(number, f"x{number}" * 12, number * 7919 % 100_003) for number in range(count)]


def fill(connection: Connection, count: int = ROWS) -> None:
    """The table, in one transaction."""
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, n INTEGER)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows(count))
    connection.execute("COMMIT")


def template(connection: Connection) -> None:
    """The database that most workloads start with."""
    _all(connection, "PRAGMA journal_mode=WAL")
    fill(connection)
    connection.execute("CREATE INDEX by_n ON t (n)")
    _all(connection, "PRAGMA wal_checkpoint(TRUNCATE)")


def _all(connection: Connection, sql: str, *parameters: object) -> list[Any]:
    return list(connection.execute(sql, parameters))


def _wal(connection: Connection) -> None:
    _all(connection, "PRAGMA journal_mode=WAL")
    _all(connection, "PRAGMA synchronous=NORMAL")
    _all(connection, "PRAGMA wal_autocheckpoint=0")


def _keys(count: int) -> list[int]:
    random = Random(1)
    return [random.randrange(ROWS) for _ in range(count)]


def full_scan(connection: Connection) -> Timed:
    """Every row, to Python."""

    def run() -> None:
        for _ in range(10):
            for _row in connection.execute("SELECT a, b, n FROM t"):
                pass

    return run


def count_scan(connection: Connection) -> Timed:
    """Every page, and nothing to Python."""

    def run() -> None:
        for _ in range(240):
            _all(connection, "SELECT count(*) FROM t NOT INDEXED")

    return run


def bulk_insert(connection: Connection) -> Timed:
    """One large transaction into an empty database in WAL mode."""
    _wal(connection)
    connection.execute("CREATE TABLE u (a INTEGER PRIMARY KEY, b TEXT, n INTEGER)")
    new = rows(2 * ROWS)

    def run() -> None:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO u VALUES (?, ?, ?)", new)
        connection.execute("COMMIT")

    return run


def create_index(connection: Connection) -> Timed:
    """An index over a column in random order."""
    _wal(connection)

    def run() -> None:
        for number in range(4):
            connection.execute(f"CREATE INDEX more_{number} ON t (n, a)")

    return run


def checkpoint(connection: Connection) -> Timed:
    """A WAL of some 160 MB into the database."""
    _wal(connection)
    connection.execute("BEGIN")
    connection.execute(
        "CREATE TABLE u AS SELECT a, b || b || b || b || b || b || b || b || b || b || b || b AS b, n FROM t"
    )
    connection.execute("COMMIT")

    def run() -> None:
        _all(connection, "PRAGMA wal_checkpoint(TRUNCATE)")

    return run


def points_in_transaction(connection: Connection) -> Timed:
    """Rows by their key, in one transaction."""
    keys = _keys(150_000)

    def run() -> None:
        connection.execute("BEGIN")
        for key in keys:
            _all(connection, "SELECT b FROM t WHERE a = ?", key)
        connection.execute("COMMIT")

    return run


def points_autocommit(connection: Connection) -> Timed:
    """Rows by their key, each in a transaction of its own."""
    keys = _keys(150_000)

    def run() -> None:
        for key in keys:
            _all(connection, "SELECT b FROM t WHERE a = ?", key)

    return run


def updates_in_transaction(connection: Connection) -> Timed:
    """Random updates of an indexed column, in one transaction."""
    _wal(connection)
    keys = _keys(60_000)

    def run() -> None:
        connection.execute("BEGIN")
        for key in keys:
            connection.execute("UPDATE t SET n = n + 1 WHERE a = ?", (key,))
        connection.execute("COMMIT")

    return run


def wal_commits(connection: Connection) -> Timed:
    """Transactions that change one page."""
    _wal(connection)
    keys = _keys(60_000)

    def run() -> None:
        for key in keys:
            connection.execute("UPDATE t SET b = ? WHERE a = ?", ("y" * 60, key))

    return run


def wal_commits_of_16_pages(connection: Connection) -> Timed:
    """Transactions that change sixteen pages."""
    _wal(connection)
    keys = _keys(40_000)

    def run() -> None:
        for start in range(0, len(keys), 16):
            connection.execute("BEGIN")
            for key in keys[start : start + 16]:
                connection.execute("UPDATE t SET b = ? WHERE a = ?", ("z" * 60, key))
            connection.execute("COMMIT")

    return run


def rollback_commits(connection: Connection) -> Timed:
    """Transactions that change one page, with a journal that is deleted."""
    _all(connection, "PRAGMA journal_mode=DELETE")
    keys = _keys(6_000)

    def run() -> None:
        for key in keys:
            connection.execute("UPDATE t SET b = ? WHERE a = ?", ("q" * 60, key))

    return run


#: In the order of the report.
WORKLOADS: dict[str, Callable[[Connection], Timed]] = {
    workload.__name__: workload
    for workload in (
        full_scan, count_scan, points_in_transaction, points_autocommit, bulk_insert, create_index,
        updates_in_transaction, checkpoint, wal_commits, wal_commits_of_16_pages, rollback_commits,
    )
}  # fmt: skip
#: Those that do not start with the template.
FROM_NOTHING = frozenset({"bulk_insert"})
