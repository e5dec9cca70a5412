"""Opening, filling and judging the databases of the SQL tests."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lumocrypt

RAW = bytes(range(32))
OTHER_RAW = bytes(range(32, 64))


def connect(path: Path | str, raw: bytes | None = RAW, **arguments: Any) -> sqlite3.Connection:
    """A connection in autocommit mode: encrypted, or plaintext if ``raw`` is None."""
    arguments = {"isolation_level": None, **arguments}
    if raw is None:
        return sqlite3.connect(path, **arguments)
    return lumocrypt.connect(path, key=lumocrypt.Key.raw(raw), **arguments)


@contextlib.contextmanager
def opened(path: Path | str, raw: bytes | None = RAW, **arguments: Any) -> Iterator[sqlite3.Connection]:
    """:func:`connect`, closed at the end."""
    with contextlib.closing(connect(path, raw, **arguments)) as connection:
        yield connection


def make(path: Path, raw: bytes | None = RAW, *, rows: int = 100, **pragmas: Any) -> Path:
    """A closed database with a table ``t`` of ``rows`` rows; the pragmas come before the table."""
    with opened(path, raw) as connection:
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
        add(connection, rows)
        connection.execute("CREATE INDEX by_name ON t (name)")
    return path


def add(connection: sqlite3.Connection, rows: int, *, size: int = 500) -> None:
    """More rows, in one transaction or in the one that is open."""
    connection.execute("SAVEPOINT add_rows")
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"row {i}", random.Random(i).randbytes(size)) for i in range(rows)),
    )
    connection.execute("RELEASE add_rows")


def count(connection: sqlite3.Connection, table: str = "t") -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def content(connection: sqlite3.Connection) -> list[str]:
    """A sound database as SQL."""
    assert_sound(connection)
    return list(connection.iterdump())


def assert_sound(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def assert_verified(path: Path, raw: bytes = RAW) -> None:
    found = lumocrypt.verify(path, key=lumocrypt.Key.raw(raw))
    assert found.ok, found


def outcome(connection: sqlite3.Connection, sql: str, *parameters: Any) -> list[Any] | str:
    """The rows of a statement, or its error."""
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.Error as error:
        return str(error)
