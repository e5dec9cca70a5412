"""Connections that share SQLite's cache of an encrypted database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import fill

ROWS = 500


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "app.db"
    with contextlib.closing(lumocrypt.connect(path, key=lumocrypt.Key.raw(RAW))) as connection:
        fill(connection, ROWS)
    lumocrypt.unlock(path, lumocrypt.Key.raw(RAW))
    yield path
    lumocrypt.lock(path)


def _shared(path: Path) -> str:
    return f"file:{path}?vfs=lumocrypt&cache=shared"


def _count(connection: sqlite3.Connection, schema: str = "main") -> int:
    return connection.execute(f"SELECT count(*) FROM {schema}.t").fetchone()[0]


def _attach_and_count(connection: sqlite3.Connection, path: Path) -> int:
    connection.execute("ATTACH ? AS x", (_shared(path),))
    return _count(connection, "x")


def test_a_connection_on_another_vfs_may_not_use_the_cache_and_disturbs_nobody(path: Path) -> None:
    """It would sort the rows into clear files."""
    with (
        contextlib.closing(sqlite3.connect(_shared(path), uri=True)) as first,
        contextlib.closing(sqlite3.connect(path.with_name("clear.db"), uri=True)) as foreign,
    ):
        assert _count(first) == ROWS
        with pytest.raises(lumocrypt.InUseError, match="main database is on another VFS"):
            _attach_and_count(foreign, path)
        assert _count(first) == ROWS
        first.execute("DELETE FROM t WHERE id = 1")
        first.commit()
        with contextlib.closing(sqlite3.connect(_shared(path), uri=True)) as second:
            assert _count(second) == ROWS - 1


def test_the_first_to_come_may_be_the_first_to_go(path: Path) -> None:
    first = sqlite3.connect(_shared(path), uri=True)
    second = sqlite3.connect(_shared(path), uri=True)
    assert _count(first) == _count(second) == ROWS
    first.close()
    second.execute("PRAGMA cache_size=5")
    second.execute("UPDATE t SET data = randomblob(300)")
    second.commit()
    with contextlib.closing(sqlite3.connect(_shared(path), uri=True)) as third:
        assert _count(third) == ROWS
        assert third.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    second.close()


def test_one_database_is_main_here_and_attached_there(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    lumocrypt.unlock(other, lumocrypt.Key.raw(RAW))
    with (
        contextlib.closing(sqlite3.connect(_shared(path), uri=True)) as one,
        contextlib.closing(sqlite3.connect(_shared(other), uri=True)) as two,
    ):
        fill(two, 10)
        one.execute("ATTACH ? AS x", (_shared(other),))
        two.execute("ATTACH ? AS x", (_shared(path),))
        assert (_count(one), _count(one, "x")) == (ROWS, 10)
        assert (_count(two), _count(two, "x")) == (10, ROWS)
    lumocrypt.lock(other)
