"""What a process does whose random number generator fails: one word for each thing that was right."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import lumocrypt

KEY = lumocrypt.Key.raw(bytes(range(32)))


def fails(action: Callable[[], object]) -> bool:
    """Does it fail as a disk does, because of the generator?"""
    generator = ctypes.CDLL(os.environ["LD_PRELOAD"])
    before = generator.randomness_fail(1)
    try:
        action()
    except sqlite3.OperationalError as error:
        return (
            type(error) is sqlite3.OperationalError and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR
        )
    finally:
        failed = generator.randomness_fail(0) - before
        print(f"failed {failed} times", file=sys.stderr)
    return False


def rows(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT count(*), sum(length(v)) FROM t").fetchall()


def change(connection: sqlite3.Connection) -> None:
    """More than the cache holds."""
    connection.execute("BEGIN")
    try:
        connection.execute("UPDATE t SET v = zeroblob(3000)")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def main() -> None:
    folder, journal = Path(sys.argv[1]), sys.argv[2]
    path = folder / "app.db"
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    assert fails(lambda: connection.execute("CREATE TABLE t (v BLOB)"))
    connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
    connection.execute("PRAGMA cache_size=5")
    connection.execute("CREATE TABLE t (v BLOB)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?)", [(bytes(2000),)] * 40)
    connection.execute("COMMIT")
    before = rows(connection)
    for _ in range(2):
        assert fails(lambda: change(connection))
        assert rows(connection) == before
    change(connection)
    connection.close()
    assert lumocrypt.verify(path, key=KEY).ok
    print("fine")


if __name__ == "__main__":
    main()
