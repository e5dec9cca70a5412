"""Another file in the place of an open one: by copying over it, by renaming, by cutting it first."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.opening.connection import Io
from support.plaintext import MARKER

AGAIN = "close it and open"


@pytest.fixture(params=["delete", "wal"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["map", "pread"])
def io(request: pytest.FixtureRequest) -> Io:
    return request.param


def make(path: Path, key: lumocrypt.Key, text: str, mode: str = "delete") -> Path:
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(text * 300,)] * 200)
    connection.close()
    return path


def overwrite(source: Path, target: Path) -> None:
    """As cp does, but never shorter than what somebody may have mapped."""
    content = source.read_bytes()
    with target.open("r+b") as file:
        file.write(content)
        file.truncate()


def test_another_database(tmp_path: Path, key: lumocrypt.Key, mode: str, io: Io) -> None:
    """Copied over an open one: nothing is damaged, the connection is of the other one."""
    path = make(tmp_path / "app.db", key, "now", mode)
    other = make(tmp_path / "other.db", lumocrypt.Key.raw(bytes(32)), "other")
    connection = lumocrypt.connect(path, key=key, io=io, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (200,)
    overwrite(other, path)
    content = path.read_bytes()
    for statement in ("SELECT * FROM t", "SELECT sum(length(a)) FROM t", "INSERT INTO t VALUES ('written')"):
        with pytest.raises(lumocrypt.InUseError, match=AGAIN) as caught:
            connection.execute(statement).fetchall()
        assert caught.value.path == str(path)
        assert isinstance(caught.value, sqlite3.OperationalError)
    connection.close()
    assert path.read_bytes() == content


def test_a_copy_with_the_same_key(tmp_path: Path, key: lumocrypt.Key, io: Io) -> None:
    """What VACUUM INTO made has the same data key and is another database all the same."""
    path = make(tmp_path / "app.db", key, "now")
    connection = lumocrypt.connect(path, key=key, io=io, isolation_level=None)
    connection.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    connection.execute("DELETE FROM t")
    overwrite(tmp_path / "backup.db", path)
    for _ in range(2):
        with pytest.raises(lumocrypt.InUseError, match=AGAIN):
            connection.execute("SELECT * FROM t").fetchall()
    connection.close()
    connection = lumocrypt.connect(path, key=key)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (200,)
    connection.close()
    assert lumocrypt.verify(path, key=key)


def test_an_older_copy_of_itself_is_read(tmp_path: Path, key: lumocrypt.Key) -> None:
    """It is the same database, and as without encryption nobody can tell."""
    path = make(tmp_path / "app.db", key, "now")
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    shutil.copyfile(path, tmp_path / "copy.db")
    connection.execute("DELETE FROM t")
    overwrite(tmp_path / "copy.db", path)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (200,)
    connection.close()


def test_plaintext(tmp_path: Path, key: lumocrypt.Key, io: Io) -> None:
    path = make(tmp_path / "app.db", key, "now")
    plain = tmp_path / "plain.db"
    with sqlite3.connect(plain) as clear:
        clear.execute("CREATE TABLE t (a)")
        clear.executemany("INSERT INTO t VALUES (?)", [("clear" * 200,)] * 600)
    clear.close()
    connection = lumocrypt.connect(path, key=key, io=io, isolation_level=None)
    connection.execute("SELECT * FROM t").fetchall()
    overwrite(plain, path)
    content = path.read_bytes()
    for statement in ("SELECT * FROM t", f"INSERT INTO t VALUES ('{MARKER}')"):
        with pytest.raises(lumocrypt.NotEncryptedError, match="replaced while it was open"):
            connection.execute(statement).fetchall()
    connection.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("gone", [True, False])
def test_a_name_that_leads_elsewhere(tmp_path: Path, key: lumocrypt.Key, gone: bool) -> None:
    """Renamed into its place, or deleted: SQLite refuses to write, and the words are ours."""
    path = make(tmp_path / "app.db", key, "now")
    other = make(tmp_path / "other.db", key, "other")
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute("SELECT * FROM t").fetchall()
    if gone:
        path.unlink()
    else:
        other.replace(path)
    for _ in range(2):
        with pytest.raises(lumocrypt.InUseError, match="moved, deleted or replaced") as caught:
            connection.execute("INSERT INTO t VALUES (1)")
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_READONLY_DBMOVED
    connection.close()
    assert gone or lumocrypt.verify(path, key=key)


def test_a_real_read_only_database_says_so(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = make(tmp_path / "app.db", key, "now")
    connection = lumocrypt.connect(f"file:{path}?mode=ro", key=key, uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly") as caught:
        connection.execute("INSERT INTO t VALUES (1)")
    assert type(caught.value) is sqlite3.OperationalError
    connection.close()


def test_a_checkpoint_does_not_write_into_another_database(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = make(tmp_path / "app.db", key, "now", "wal")
    other = make(tmp_path / "other.db", lumocrypt.Key.raw(bytes(32)), "other")
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("UPDATE t SET a = 'changed'")
    overwrite(other, path)
    content = path.read_bytes()
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO t VALUES (1)"):
        with pytest.raises(lumocrypt.InUseError, match=AGAIN):
            connection.execute(statement).fetchall()
    connection.close()
    assert path.read_bytes() == content
    # The log of the other one is in the way, and is not lost.
    assert os.path.getsize(f"{path}-wal") > 0
