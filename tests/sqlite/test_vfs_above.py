"""VFSs of others stacked above ours: SQLite's file objects are theirs, and names may be copies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt
from lumocrypt.engine import native
from support.known_keys import RAW
from support.plaintext import MARKER

FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
KEY = f"PRAGMA lumo_key = \"x'{RAW.hex()}'\""


class Above(apsw.VFS):
    """Changes nothing; hands on copies of the names of logs."""

    def __init__(self, name: str, base: str) -> None:
        super().__init__(name, base)


class File(apsw.VFSFile):
    """A file of a VFS in Python, over one of ours."""


class AboveWithFiles(apsw.VFS):
    def __init__(self, name: str, base: str) -> None:
        super().__init__(name, base)
        self.base = base

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return File(self.base, name, flags)


@pytest.fixture(params=[Above, AboveWithFiles])
def above(request: pytest.FixtureRequest) -> Iterator[str]:
    lumocrypt.load(apsw.Connection(":memory:"))
    vfs = request.param("above", "lumocrypt")
    yield "above"
    vfs.unregister()


def opened(path: Path, vfs: str, key: str | None = KEY) -> apsw.Connection:
    connection = apsw.Connection(f"file:{path}?vfs={vfs}", flags=FLAGS)
    connection.set_busy_timeout(5000)
    if key is not None:
        connection.execute(key)
    return connection


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "wal"])
def test_databases_are_made_and_read_again(tmp_path: Path, above: str, mode: str, key: lumocrypt.Key) -> None:
    path = tmp_path / "a.db"
    connection = opened(path, above)
    assert connection.execute(f"PRAGMA journal_mode = {mode}").fetchall() == [(mode,)]
    connection.execute("CREATE TABLE t (a, b)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, MARKER * 20) for n in range(500)))
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET b = 'x'")
    connection.execute("ROLLBACK")
    connection.execute("DELETE FROM t WHERE a % 2")
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(250,)]
    for file in tmp_path.iterdir():
        assert MARKER.encode() not in file.read_bytes()
    connection.close()
    # Nothing says that a log is missing, from either side.
    for connection in (opened(path, above), lumocrypt.connect(path, key=key), opened(path, "lumocrypt")):
        assert list(connection.execute("SELECT count(*), min(b) FROM t")) == [(250, MARKER * 20)]
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        connection.execute("INSERT INTO t VALUES (0, 0)")
        connection.execute("DELETE FROM t WHERE b = 0")
        if isinstance(connection, sqlite3.Connection):
            connection.commit()
        connection.close()
    assert lumocrypt.verify(path, key=key)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_connections_to_the_same_file_keep_their_logs_apart(tmp_path: Path, above: str, mode: str) -> None:
    path = tmp_path / "a.db"
    connections = [opened(path, above) for _ in range(3)]
    connections[0].execute(f"PRAGMA journal_mode = {mode}")
    connections[0].execute("CREATE TABLE t (a)")
    for turn in range(30):
        one, other = connections[turn % 3], connections[(turn + 1) % 3]
        one.execute("BEGIN IMMEDIATE")
        # Used in between, by the same thread.
        assert other.execute("SELECT count(*) FROM t").fetchall() == [(turn,)]
        one.execute("INSERT INTO t VALUES (?)", (turn,))
        one.execute("COMMIT")
        assert other.execute("SELECT max(a) FROM t").fetchall() == [(turn,)]
    for connection in connections:
        connection.close()
    with_one = opened(path, "lumocrypt")
    assert with_one.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with_one.close()


def test_a_hot_journal_is_rolled_back(tmp_path: Path, above: str) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    connection = opened(path, above)
    connection.execute("CREATE TABLE t (a, b)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((n, MARKER * 100) for n in range(100)))
    connection.execute("PRAGMA cache_size = 2")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET b = 'x' || b")
    copy.write_bytes(path.read_bytes())
    (tmp_path / "b.db-journal").write_bytes((tmp_path / "a.db-journal").read_bytes())
    connection.execute("ROLLBACK")
    connection.close()
    connection = opened(copy, above)
    assert connection.execute("SELECT count(*) FROM t WHERE b LIKE 'x%'").fetchall() == [(0,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_copies_and_attached_databases_take_mains_key(tmp_path: Path, above: str, key: lumocrypt.Key) -> None:
    connection = opened(tmp_path / "a.db", above)
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    connection.execute("ATTACH ? AS n", (str(tmp_path / "new.db"),))
    connection.execute("CREATE TABLE n.u (a)")
    with connection:
        connection.execute("INSERT INTO n.u VALUES (1)")
        connection.execute("INSERT INTO t VALUES (2)")
    connection.close()
    for name in ("copy.db", "new.db"):
        lumocrypt.connect(tmp_path / name, key=key).execute("SELECT * FROM sqlite_schema").fetchall()


def test_names_that_are_not_handed_on_are_refused_by_name(tmp_path: Path) -> None:
    lumocrypt.load(apsw.Connection(":memory:"))

    class Renames(AboveWithFiles):
        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
            if isinstance(name, str):
                name += ".renamed"
            return super().xOpen(name, flags)

    vfs = Renames("renames", "lumocrypt")
    try:
        connection = opened(tmp_path / "a.db", "renames")
        with pytest.raises(apsw.CantOpenError):
            connection.execute("CREATE TABLE t (a)")
        failure = native.take_failure()
        assert failure is not None
        assert "stacked above" in failure.message
        connection.close()
    finally:
        vfs.unregister()


class Scrambled(apsw.VFSFile):
    """Changes every byte."""

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(byte ^ 0xA5 for byte in super().xRead(amount, offset))

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(bytes(byte ^ 0xA5 for byte in data), offset)


def test_content_that_is_changed_above_cannot_be_logged(tmp_path: Path) -> None:
    """A commit in a write-ahead log is known by its frame, so such a log is refused; a journal is not."""
    lumocrypt.load(apsw.Connection(":memory:"))

    class Scrambles(AboveWithFiles):
        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
            return Scrambled(self.base, name, flags)

    vfs = Scrambles("scrambles", "lumocrypt")
    path = tmp_path / "a.db"
    try:
        connection = opened(path, "scrambles")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("PRAGMA journal_mode = WAL")
        with pytest.raises(apsw.CantOpenError):
            connection.execute("INSERT INTO t VALUES (2)")
        failure = native.take_failure()
        assert failure is not None
        assert "stacked above" in failure.message
        connection.close()
        connection = opened(path, "scrambles")
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
        connection.close()
    finally:
        vfs.unregister()
