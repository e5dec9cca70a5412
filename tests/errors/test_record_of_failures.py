"""A failure is never told of as the reason of an error of another library, connection or file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.bytes_on_disk import flip

SLOT = 4096 + 40
#: A leaf of the table t.
DAMAGED = 10


def slot(index: int) -> int:
    return 65536 + index * SLOT


def fail_in_apsw(folder: Path, encrypted: Path) -> None:
    """Leaves a failure of APSW's library in this thread."""
    lumocrypt.load(apsw.Connection(":memory:"))
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    plain = apsw.Connection(f"file:{folder}/apsw.db", flags=flags)
    with pytest.raises(apsw.CantOpenError):
        plain.execute(f"ATTACH 'file:{encrypted}?vfs=lumocrypt' AS z")
    plain.close()


@pytest.fixture
def damaged(encrypted: Path) -> Path:
    flip(encrypted, slot(DAMAGED) + 100)
    return encrypted


def unrelated(folder: Path) -> Iterator[tuple[str, type[sqlite3.Error]]]:
    """Errors of plaintext connections, each with a text that a failure of ours may have, too."""
    noise = folder / "noise.db"
    noise.write_bytes(b"no database at all " * 100)
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(folder / "no" / "such" / "folder.db")
    yield str(caught.value), type(caught.value)
    for statement in ("SELECT * FROM sqlite_schema", f"ATTACH '{folder}/no/such.db' AS z"):
        connection = sqlite3.connect(noise if "schema" in statement else ":memory:")
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute(statement)
        yield str(caught.value), type(caught.value)
        connection.close()


def test_another_librarys_failure(tmp_path: Path, encrypted: Path) -> None:
    errors = list(unrelated(tmp_path))
    found = []
    for n, _ in enumerate(errors):
        # The record is good for one look, so each error gets one of its own.
        generator = unrelated(tmp_path)
        for _ in range(n):
            next(generator)
        fail_in_apsw(tmp_path, encrypted)
        found.append(next(generator))
    assert found == errors
    assert {kind for _, kind in found} == {sqlite3.OperationalError, sqlite3.DatabaseError}


def stale_record(connection: sqlite3.Connection, statement: str) -> None:
    """A failure of ``connection`` whose record stays: the exception is of a class that takes none."""
    hook = sqlite3.DatabaseError.__init__
    sqlite3.DatabaseError.__init__ = lambda self, *arguments: None  # type: ignore[method-assign]
    try:
        with pytest.raises(sqlite3.Error):
            connection.execute(statement).fetchall()
    finally:
        sqlite3.DatabaseError.__init__ = hook  # type: ignore[method-assign]


def test_a_failure_that_was_passed_over(tmp_path: Path, damaged: Path, key: lumocrypt.Key) -> None:
    """Its connection has gone on since; or has not, and says something else than the error."""
    connection = lumocrypt.connect(damaged, key=key, isolation_level=None)
    for message in ("disk I/O error", "authorization denied", "file is not a database"):
        stale_record(connection, "SELECT * FROM t")
        connection.execute("SELECT 1").fetchall()
        error = sqlite3.OperationalError(message)
        assert type(error) is sqlite3.OperationalError, message
        stale_record(connection, "SELECT * FROM t")
        connection.close()
        error = sqlite3.OperationalError(message)
        assert type(error) is sqlite3.OperationalError, message
        connection = lumocrypt.connect(damaged, key=key, isolation_level=None)


def test_the_same_text_of_another_connection(tmp_path: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    main = sqlite3.connect(f"file:{tmp_path}/plain.db", uri=True)
    lumocrypt.connect(tmp_path / "other.db", key=key).close()
    stale_record(main, f"ATTACH 'file:{encrypted}?vfs=lumocrypt' AS z")
    with pytest.raises(sqlite3.OperationalError) as caught:
        main.execute(f"ATTACH '{tmp_path}/no/such.db' AS z")
    assert type(caught.value) is sqlite3.OperationalError
    # And the error that it belongs to.
    with pytest.raises(lumocrypt.InUseError):
        main.execute(f"ATTACH 'file:{encrypted}?vfs=lumocrypt' AS z")


def test_every_way_to_meet_a_failure_is_told_of(damaged: Path, key: lumocrypt.Key) -> None:
    """Cursors, iteration, scripts, backup, blobs, and statements within functions."""
    connection = lumocrypt.connect(damaged, key=key, isolation_level=None)

    def tampered(work: object) -> None:
        with pytest.raises(lumocrypt.TamperedError) as caught:
            work()  # type: ignore[operator]
        assert (caught.value.path, caught.value.block) == (str(damaged), DAMAGED)
        # What comes next is its own.
        with pytest.raises(sqlite3.OperationalError) as other:
            connection.execute("SELECT * FROM no_such")
        assert type(other.value) is sqlite3.OperationalError
        assert "no such table" in str(other.value)
        error = sqlite3.OperationalError("disk I/O error")
        assert type(error) is sqlite3.OperationalError

    tampered(lambda: connection.execute("SELECT * FROM t").fetchall())
    tampered(lambda: list(connection.execute("SELECT * FROM t NOT INDEXED")))
    tampered(lambda: connection.executescript("SELECT 1; CREATE TABLE copy AS SELECT * FROM t;"))
    tampered(lambda: connection.executemany("DELETE FROM t WHERE rowid > ?", [(0,)]))

    def back_up() -> None:
        target = sqlite3.connect(":memory:")
        try:
            connection.backup(target, pages=1)
        finally:
            target.close()

    tampered(back_up)

    def within() -> None:
        failures: list[BaseException] = []

        def function() -> int:
            try:
                connection.execute("SELECT * FROM t").fetchall()
            except lumocrypt.CryptError as error:
                failures.append(error)
            return 1

        connection.create_function("f", 0, function)
        assert connection.execute("SELECT f()").fetchall() == [(1,)]
        raise failures[0]

    tampered(within)
    connection.close()


def test_a_blob(encrypted: Path, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(encrypted, key=key, isolation_level=None)
    connection.execute("CREATE TABLE b (a)")
    connection.execute("INSERT INTO b VALUES (randomblob(100000))")
    connection.close()
    flip(encrypted, slot(lumocrypt.info(encrypted).blocks - 2) + 50)
    connection = lumocrypt.connect(encrypted, key=key)
    blob = connection.blobopen("b", "a", 1)
    with pytest.raises(lumocrypt.TamperedError):
        blob.read()
    blob.close()
    connection.close()


def test_a_checkpoint_that_sqlite_passes_over(tmp_path: Path, key: lumocrypt.Key) -> None:
    """An automatic checkpoint fails without a word; what fails next is not dressed in it."""
    path = tmp_path / "a.db"
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (a, b)")
    connection.executemany("INSERT INTO t VALUES (?, randomblob(3000))", ((n,) for n in range(50)))
    flip(tmp_path / "a.db-wal", 200 + 20 * (24 + SLOT))
    connection.execute("PRAGMA wal_autocheckpoint = 1")
    with contextlib.suppress(sqlite3.Error):
        connection.execute("INSERT INTO t VALUES (0, 0)")
    (tmp_path / "noise.db").write_bytes(b"noise" * 1000)
    for number in range(2):
        with pytest.raises(sqlite3.DatabaseError) as caught:
            sqlite3.connect(tmp_path / "noise.db").execute("SELECT * FROM t")
        assert type(caught.value) is sqlite3.DatabaseError, number
    connection.close()
