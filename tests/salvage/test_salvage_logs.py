"""``salvage`` beside logs: what was committed counts, and nothing else."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path

import lumocrypt
from samples import copy_database
from support.bytes_on_disk import flip
from support.damage import damage
from support.rescue import Content, rescue


def _with_wal(folder: Path, key: lumocrypt.Key) -> Path:
    """A database with 100 rows in its main file and 10 commits of 10 rows each in its WAL."""
    path = folder / "live" / "wal.db"
    path.parent.mkdir()
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "m" * 300) for i in range(100)))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        for commit in range(10):
            connection.execute("BEGIN")
            rows = range(100 + commit * 10, 110 + commit * 10)
            connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "w" * 300) for i in rows))
            connection.execute("COMMIT")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (999, 'never committed')")
        return copy_database(path, folder / "copy")


def _count(found: Content) -> int:
    return found["t"].total()


FRAME = 24 + 4096 + 40


def test_committed_frames_count(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    result, found = rescue(path, key)
    assert result.ok
    assert _count(found) == 200


def test_blocks_that_the_log_replaces_need_not_be_readable(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    damage(path, 1, page_size=4096)
    verdict = lumocrypt.verify(path, key=key)
    assert verdict.ok
    assert "a log holds all that was in it" in verdict.warnings[-1]
    result, found = rescue(path, key)
    assert result.ok
    assert _count(found) == 200


def test_a_damaged_frame_ends_the_log_at_a_commit(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    log = path.with_name("wal.db-wal")
    frames = (log.stat().st_size - 8192) // FRAME
    flip(log, 8192 + frames // 2 * FRAME + 500)
    result, found = rescue(path, key)
    assert not result.ok
    assert "left out" in result.lost_commits[0]
    assert 100 < _count(found) < 200
    assert _count(found) % 10 == 0


def test_a_damaged_frame_that_was_checkpointed_costs_nothing_visible(
    tmp_path: Path, key: lumocrypt.Key
) -> None:
    path = _with_wal(tmp_path, key)
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        path = copy_database(path, tmp_path / "checkpointed")
    flip(path.with_name("wal.db-wal"), 8192 + 5 * FRAME + 500)
    result, found = rescue(path, key)
    assert "were used" in result.lost_commits[0]
    assert not result.ok
    assert _count(found) == 200


def test_frames_count_without_the_header_of_their_log(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    log = path.with_name("wal.db-wal")
    for offset in (0, 4096):
        flip(log, offset + 150)
    result, found = rescue(path, key)
    assert any("header of the write-ahead log" in text for text in result.warnings)
    assert _count(found) == 200


def test_frames_that_were_rolled_back_do_not_count(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "live" / "wal.db"
    path.parent.mkdir()
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA cache_size=5")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connection.execute("INSERT INTO t VALUES (1, 'one')")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "spilled" * 100) for i in range(2, 1500)))
        connection.execute("ROLLBACK")
        connection.execute("INSERT INTO t VALUES (2, 'two')")
        path = copy_database(path, tmp_path / "copy")
    assert path.with_name("wal.db-wal").stat().st_size > 30 * FRAME
    result, found = rescue(path, key)
    assert result.ok
    assert found["t"] == Counter([repr((1, 1, b"one")), repr((2, 2, b"two"))])


def test_a_database_without_content(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "empty.db"
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        connection.execute("CREATE TABLE t (x)")
    os.truncate(path, 65536)
    result, found = rescue(path, key)
    assert found == {"(schema)": Counter()}
    assert result.tables == []
    assert not result.ok


def test_a_missing_log_is_reported(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    path.with_name("wal.db-wal").unlink()
    result, found = rescue(path, key)
    assert not result.ok
    assert "missing" in result.lost_commits[0]
    assert _count(found) == 100


def test_both_wal_cells_may_be_lost(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = _with_wal(tmp_path, key)
    for offset in (0x8000, 0x9000):
        flip(path, offset + 20)
    result, found = rescue(path, key)
    assert _count(found) == 200
    assert any("cell" in text for text in result.warnings)


def test_an_unfinished_transaction_is_rolled_back(tmp_path: Path, key: lumocrypt.Key) -> None:
    path = tmp_path / "live" / "hot.db"
    path.parent.mkdir()
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "old" * 100) for i in range(300)))
        connection.execute("COMMIT")
        connection.execute("PRAGMA cache_size=5")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET x = 'new'")
        connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, "new" * 100) for i in range(300, 600)))
        path = copy_database(path, tmp_path / "copy")
    assert path.with_name("hot.db-journal").exists()
    result, found = rescue(path, key)
    assert result.ok
    assert any("rolled back" in text for text in result.warnings)
    assert found["t"] == Counter(repr((i, i, b"old" * 100)) for i in range(300))
