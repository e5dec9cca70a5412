"""Large databases: around the page that SQLite locks, at 1 GiB, and beyond 4 GiB.

``LUMO_LONG=1`` runs the latter, which writes a file of 4.2 GiB.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import lumocrypt
from support.layout import HEADER, OVERHEAD
from support.sql_database import RAW, assert_verified, connect, opened

GIB = 1 << 30
#: SQLite's largest page makes the quickest large file.
PAGE = 65536


def grow(path: Path, logical_size: int) -> sqlite3.Connection:
    """A database of that size: one table with rows of 16 MB of zeros, which cost little to make."""
    connection = connect(path)
    connection.execute(f"PRAGMA page_size={PAGE}")
    connection.execute("PRAGMA journal_mode=off")
    connection.execute("PRAGMA synchronous=off")
    connection.execute("PRAGMA cache_size=-60000")
    connection.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, data BLOB)")
    connection.execute("BEGIN")
    for number in range(logical_size // (16 << 20) + 1):
        connection.execute("INSERT INTO big VALUES (?, zeroblob(16777216))", (number,))
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=delete")
    return connection


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    # Gigabytes are not kept for the next three runs, as pytest does.
    for file in tmp_path.iterdir():
        file.unlink()


def check(path: Path, connection: sqlite3.Connection, logical_size: int) -> None:
    """Writes, a rollback, reads and another connection at both ends and around the lock page."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    assert pages * PAGE > logical_size
    rows = connection.execute("SELECT count(*) FROM big").fetchone()[0]
    last = rows - 1
    # The row that lies around 1 GiB, where the slots make way for SQLite's locks.
    around = GIB // (16 << 20) - 1
    connection.execute("CREATE TABLE small (a)")
    for number in (0, around, around + 1, last):
        for start in (0, 8 << 20, (16 << 20) - 100):
            with connection.blobopen("big", "data", number) as blob:
                blob.seek(start)
                blob.write(b"row %08d at %08d" % (number, start))
    connection.execute("BEGIN")
    connection.execute("UPDATE big SET data = zeroblob(70000) WHERE id IN (?, ?)", (around, last))
    connection.execute("INSERT INTO small VALUES (1)")
    connection.execute("ROLLBACK")
    with opened(path, io="pread") as other:
        for number in (0, around, around + 1, last):
            with other.blobopen("big", "data", number, readonly=True) as blob:
                assert len(blob) == 16 << 20
                for start in (0, 8 << 20, (16 << 20) - 100):
                    blob.seek(start)
                    assert blob.read(24) == b"row %08d at %08d" % (number, start)
        assert other.execute("SELECT count(*) FROM small").fetchone() == (0,)


def test_around_the_lock_page(folder: Path) -> None:
    """No slot covers the bytes at 1 GiB that SQLite locks, and what lies behind them is found."""
    path = folder / "a.db"
    connection = grow(path, GIB)
    check(path, connection, GIB)
    size = path.stat().st_size
    block = lumocrypt.info(path).block_size
    slot = block + OVERHEAD
    with path.open("rb") as file:
        # From the last slot below 1 GiB to 64 KiB behind it nothing is ever written.
        before = (GIB - HEADER) // slot
        start = HEADER + before * slot
        file.seek(start)
        assert file.read(GIB + 65536 - start) == bytes(GIB + 65536 - start)
        assert file.read(slot).strip(b"\0")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    assert size == GIB + 65536 + (pages * PAGE // block - before) * slot
    # Down again, to below the lock page.
    connection.execute("PRAGMA synchronous=off")
    connection.execute("DELETE FROM big WHERE id > 1")
    connection.execute("PRAGMA journal_mode=memory")
    connection.execute("VACUUM")
    assert path.stat().st_size < 50_000_000
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert_verified(path)


@pytest.mark.skipif(not os.environ.get("LUMO_LONG"), reason="writes 4.2 GiB; LUMO_LONG=1 runs it")
def test_beyond_4_gib(folder: Path) -> None:
    path = folder / "a.db"
    wanted = 4 * GIB + (64 << 20)
    connection = grow(path, wanted)
    check(path, connection, wanted)
    connection.close()
    assert path.stat().st_size > 4 * GIB
    assert lumocrypt.verify(path, key=lumocrypt.Key.raw(RAW)).ok
