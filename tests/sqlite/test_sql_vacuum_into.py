"""Whose keys a copy made by VACUUM INTO has: those of the database that is copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.known_keys import FAST
from support.plaintext import MARKER

MAIN, X, Y = (lumocrypt.Key.raw(bytes([n]) * 32) for n in (1, 2, 3))


def make(path: Path, key: lumocrypt.Key, rows: int) -> Path:
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(MARKER,)] * rows)
    connection.close()
    return path


@pytest.fixture
def x(tmp_path: Path) -> Path:
    return make(tmp_path / "x.db", X, 7)


@pytest.fixture(params=["file", "new", "memory", "temporary"])
def main(request: pytest.FixtureRequest, tmp_path: Path, x: Path) -> Iterator[sqlite3.Connection]:
    """A connection with x attached, and a main database of each kind."""
    name = {"memory": ":memory:", "temporary": ""}.get(request.param, str(tmp_path / "main.db"))
    if request.param == "file":
        make(tmp_path / "main.db", MAIN, 3)
    connection = lumocrypt.connect(name, key=MAIN, isolation_level=None)
    lumocrypt.attach(connection, x, "x", key=X)
    lumocrypt.attach(connection, make(tmp_path / "y.db", Y, 5), 'y "2"', key=Y)
    yield connection
    connection.close()


def copied(path: Path, key: lumocrypt.Key) -> int:
    assert MARKER.encode() not in path.read_bytes()
    connection = lumocrypt.connect(path, key=key)
    rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    connection.close()
    return rows


@pytest.mark.parametrize(
    ("statement", "key", "rows"),
    [
        ("VACUUM x INTO ?", X, 7),
        ("vacuum main_of_nothing into ?", None, 0),
        ('/* VACUUM main */ VACUUM "y ""2""" -- INTO\n INTO ?', Y, 5),
        ("VACUUM [x] INTO ? || ''", X, 7),
    ],
)
def test_a_copy_has_the_keys_of_what_is_copied(
    tmp_path: Path, main: sqlite3.Connection, statement: str, key: lumocrypt.Key | None, rows: int
) -> None:
    target = tmp_path / "copy.db"
    if key is None:
        with pytest.raises(sqlite3.OperationalError, match="unknown database"):
            main.execute(statement, (str(target),))
        assert not target.exists()
        return
    main.execute(statement, (str(target),))
    assert copied(target, key) == rows
    for other in {MAIN, X, Y} - {key}:
        with pytest.raises(lumocrypt.WrongKeyError):
            lumocrypt.connect(target, key=other)


def test_a_script_and_a_literal_name(tmp_path: Path, main: sqlite3.Connection) -> None:
    main.executescript(f"SELECT 1; VACUUM x INTO '{tmp_path}/one.db'; VACUUM x INTO '{tmp_path}/two.db';")
    assert copied(tmp_path / "one.db", X) == copied(tmp_path / "two.db", X) == 7


def test_main_is_copied_under_its_own(tmp_path: Path, x: Path) -> None:
    for path in (make(tmp_path / "main.db", MAIN, 3), tmp_path / "new.db"):
        connection = lumocrypt.connect(path, key=MAIN, isolation_level=None)
        lumocrypt.attach(connection, x, "x", key=X)
        target = tmp_path / f"copy-of-{path.name}"
        connection.execute("VACUUM INTO ?", (str(target),))
        connection.close()
        assert lumocrypt.connect(target, key=MAIN).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("name", [":memory:", ""])
def test_a_copy_of_a_database_without_a_key_needs_one(tmp_path: Path, x: Path, name: str) -> None:
    connection = lumocrypt.connect(name, isolation_level=None)
    connection.execute("CREATE TABLE t (a)")
    lumocrypt.attach(connection, x, "x", key=X)
    target = tmp_path / "copy.db"
    for _ in range(2):
        with pytest.raises(lumocrypt.KeyRequiredError, match="VACUUM INTO"):
            connection.execute("VACUUM INTO ?", (str(target),))
        assert not target.exists()
    connection.execute("VACUUM INTO ?", (f"file:{target}?lumo_key=abc%20def",))
    connection.close()
    lumocrypt.connect(target, key="abc def").execute("SELECT * FROM t").fetchall()


def test_an_empty_file_that_was_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.touch()
    connection = lumocrypt.connect(":memory:", isolation_level=None)
    with pytest.raises(lumocrypt.KeyRequiredError):
        connection.execute("VACUUM INTO ?", (str(target),))
    assert target.exists()


def test_a_plaintext_main_copies_an_encrypted_database_under_its_keys(
    tmp_path: Path, plain: Path, x: Path
) -> None:
    """Through the VFS that lets plaintext pass, where a new file would be in clear."""
    lumocrypt.install()
    try:
        connection = sqlite3.connect(f"file:{plain}", uri=True, isolation_level=None)
        lumocrypt.attach(connection, x, "x", key=X)
        connection.execute("VACUUM x INTO ?", (str(tmp_path / "copy.db"),))
        connection.execute("VACUUM INTO ?", (str(tmp_path / "clear.db"),))
        connection.close()
    finally:
        lumocrypt.install(default=False)
    assert copied(tmp_path / "copy.db", X) == 7
    assert (tmp_path / "clear.db").read_bytes().startswith(b"SQLite format 3")


def test_in_another_library(tmp_path: Path, x: Path) -> None:
    lumocrypt.load(apsw.Connection(":memory:"))
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(":memory:", flags=flags, vfs="lumocrypt")
    connection.execute(f"ATTACH 'file:{x}?lumo_key=x%27{'02' * 32}%27' AS x")
    connection.execute("VACUUM x INTO ?", (str(tmp_path / "copy.db"),))
    connection.close()
    assert copied(tmp_path / "copy.db", X) == 7


# ATTACH without a key.


@pytest.mark.parametrize("by", ["connect", "pragma", "unlock", "environment"])
def test_attach_tries_what_main_was_opened_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The same passphrase, in two files that have nothing else in common."""
    for name in ("main.db", "other.db", "third.db"):
        key = "another" if name == "third.db" else "a passphrase"
        connection = lumocrypt.connect(tmp_path / name, key=key, kdf=FAST, isolation_level=None)
        connection.execute("CREATE TABLE t (a)")
        connection.close()
    path = tmp_path / "main.db"
    if by == "environment":
        monkeypatch.setenv("LUMO_KEY", "a passphrase")
    if by == "unlock":
        lumocrypt.unlock(path, "a passphrase")
    connection = lumocrypt.connect(path, key="a passphrase" if by == "connect" else None)
    if by == "pragma":
        connection.execute("PRAGMA lumo_key = 'a passphrase'").fetchall()
    connection.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
    connection.execute("SELECT * FROM other.t").fetchall()
    runs = lumocrypt.stats()["kdf_runs"]
    connection.execute("DETACH other")
    connection.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
    assert lumocrypt.stats()["kdf_runs"] == runs
    with pytest.raises((lumocrypt.KeyRequiredError, lumocrypt.WrongKeyError)):
        connection.execute("ATTACH ? AS third", (str(tmp_path / "third.db"),))
    lumocrypt.attach(connection, tmp_path / "third.db", "third", key="another")
    connection.close()
    lumocrypt.lock(path)


def test_attach_beside_a_main_database_that_is_not_there_yet(tmp_path: Path, x: Path) -> None:
    connection = lumocrypt.connect(tmp_path / "main.db", key=X, isolation_level=None)
    connection.execute("ATTACH ? AS x", (str(x),))
    connection.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
    connection.execute("CREATE TABLE new.t AS SELECT * FROM x.t")
    connection.close()
    assert copied(tmp_path / "new.db", X) == 7
