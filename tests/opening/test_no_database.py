"""Files that are no database of any kind: when that is said, and that nothing beside them is touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW

CONTENTS = [b"xy", b"hello", b"SQLite", b"no database at all\n" * 3, bytes(range(256)) * 40]


@pytest.fixture
def installed() -> Iterator[None]:
    lumocrypt.install()
    yield
    lumocrypt.install(default=False)


@pytest.mark.parametrize("content", CONTENTS)
def test_through_the_default_it_is_said_when_sqlite_says_it(
    tmp_path: Path, installed: None, content: bytes
) -> None:
    """Programs that look whether a file is a database open it and catch the error of the first statement."""
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    for log in ("-journal", "-wal"):
        (tmp_path / f"a.txt{log}").write_bytes(b"somebody's")
    connection = sqlite3.connect(path)
    for statement in ("SELECT * FROM sqlite_schema", "CREATE TABLE t (a)"):
        with pytest.raises(sqlite3.DatabaseError, match="neither") as caught:
            connection.execute(statement)
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_NOTADB
        assert isinstance(caught.value, lumocrypt.NotEncryptedError)
    connection.close()
    assert path.read_bytes() == content
    assert [(tmp_path / f"a.txt{log}").read_bytes() for log in ("-journal", "-wal")] == [b"somebody's"] * 2


@pytest.mark.parametrize("content", CONTENTS)
def test_with_a_key_it_is_said_at_once(
    tmp_path: Path, installed: None, key: lumocrypt.Key, content: bytes
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(lumocrypt.NotEncryptedError):
        lumocrypt.connect(path, key=key)
    with pytest.raises(lumocrypt.NotEncryptedError):
        sqlite3.connect(f"file:{path}?lumo_key=x%27{RAW.hex()}%27", uri=True)
    assert path.read_bytes() == content


def test_a_damaged_header_is_said_at_once(encrypted: Path, installed: None) -> None:
    content = encrypted.read_bytes()
    encrypted.write_bytes(content[:10])
    with pytest.raises(lumocrypt.HeaderDamagedError):
        sqlite3.connect(encrypted)


@pytest.mark.parametrize("call", [lumocrypt.info, lumocrypt.verify, lumocrypt.salvage])
def test_whole_files_name_the_format_that_nothing_tells(
    tmp_path: Path, key: lumocrypt.Key, call: object
) -> None:
    path = tmp_path / "a.db"
    with lumocrypt.crypto_vfs(bytes(32)) as vfs:
        connection = sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True)
        connection.execute("CREATE TABLE t (a)")
        connection.close()
    arguments = {} if call is lumocrypt.info else {"key": key}
    more = (tmp_path / "b.db",) if call is lumocrypt.salvage else ()
    with pytest.raises(lumocrypt.NotEncryptedError, match="gosqlite"):
        call(path, *more, **arguments)  # type: ignore[operator]
