"""Copies of whole databases: VACUUM, VACUUM INTO, the backup API, serialize; and incremental blob I/O."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest

import lumocrypt
from support.known_keys import FAST
from support.sql_database import (
    OTHER_RAW,
    RAW,
    add,
    assert_sound,
    assert_verified,
    connect,
    content,
    count,
    make,
    opened,
    outcome,
)

#: Who a database belongs to in the tests of backup: a raw key, None for plaintext, "" for memory.
KINDS: list[bytes | str | None] = [RAW, OTHER_RAW, None, ""]


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "memory", "off", "wal"])
def test_vacuum_shrinks(tmp_path: Path, journal_mode: str) -> None:
    path = make(tmp_path / "a.db", rows=1000, journal_mode=journal_mode)
    with opened(path) as connection:
        connection.execute("DELETE FROM t WHERE id % 10")
        wanted = content(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < before / 4
        assert content(connection) == wanted
    assert_verified(path)


@pytest.mark.parametrize("block_size", [512, 4096, 65536])
def test_page_sizes_change_by_vacuum(tmp_path: Path, block_size: int) -> None:
    plain = make(tmp_path / "plain.db", None, rows=300)
    path = tmp_path / "a.db"
    lumocrypt.encrypt(plain, path, key=lumocrypt.Key.raw(RAW), block_size=block_size)
    with opened(path) as connection:
        wanted = content(connection)
        for page_size in (1024, 65536, 512, 8192, 4096, 32768):
            connection.execute(f"PRAGMA page_size={page_size}")
            connection.execute("VACUUM")
            assert connection.execute("PRAGMA page_size").fetchone() == (page_size,)
            assert content(connection) == wanted
        status = json.loads(connection.execute("PRAGMA lumo_status").fetchone()[0])
        assert status["block_size"] == block_size
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA page_size=1024")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA page_size").fetchone() == (32768,)
    assert_verified(path)


def test_auto_vacuum(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=1000, auto_vacuum=2)
    with opened(path) as connection:
        connection.execute("DELETE FROM t")
        before = path.stat().st_size
        # Not execute(): it stops after the first page.
        connection.executescript("PRAGMA incremental_vacuum(20)")
        after = path.stat().st_size
        assert before - 21 * 4136 <= after <= before - 19 * 4136
        connection.execute("PRAGMA auto_vacuum=1")
        connection.execute("VACUUM")
        add(connection, 1000)
        full = path.stat().st_size
        connection.execute("DELETE FROM t WHERE id > 10")
        assert path.stat().st_size < full / 4
        assert_sound(connection)
    assert_verified(path)


def test_vacuum_into(tmp_path: Path) -> None:
    """The copy opens with the same passphrase: a new UUID, the same data key."""
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    connection = lumocrypt.connect(path, key="passphrase", kdf=FAST, isolation_level=None)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    add(connection, 300)
    connection.execute("VACUUM INTO ?", (str(copy),))
    wanted = content(connection)
    connection.close()
    assert b"SQLite format" not in copy.read_bytes()
    ours, theirs = lumocrypt.info(path), lumocrypt.info(copy)
    assert ours.key_id == theirs.key_id
    assert ours.uuid != theirs.uuid
    assert lumocrypt.verify(copy, key="passphrase").ok
    with pytest.raises(lumocrypt.WrongKeyError):
        lumocrypt.connect(copy, key="another")
    other = lumocrypt.connect(copy, key="passphrase")
    assert content(other) == wanted
    other.close()


@pytest.mark.parametrize("key", ["it's another", f"x'{OTHER_RAW.hex()}'"])
def test_vacuum_into_with_a_key_of_its_own(tmp_path: Path, key: str) -> None:
    """The copy has another data key then, and the original's opens nothing of it."""
    path, copy = make(tmp_path / "a.db"), tmp_path / "copy.db"
    with opened(path) as connection:
        connection.execute("VACUUM INTO ?", (f"file:{copy}?lumo_key={quote(key)}",))
        wanted = content(connection)
    assert lumocrypt.info(path).key_id != lumocrypt.info(copy).key_id
    with pytest.raises(lumocrypt.WrongKeyError):
        connect(copy, RAW)
    assert lumocrypt.verify(copy, key=key).ok
    with contextlib.closing(lumocrypt.connect(copy, key=key)) as other:
        assert content(other) == wanted


def test_vacuum_into_a_file_that_exists(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    taken = make(tmp_path / "taken.db", OTHER_RAW, rows=5)
    before = taken.read_bytes()
    with opened(path) as connection, pytest.raises(sqlite3.Error):
        connection.execute("VACUUM INTO ?", (str(taken),))
    assert taken.read_bytes() == before


def _end(folder: Path, name: str, kind: bytes | str | None) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None) if kind == "" else connect(folder / name, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("page_sizes", [(4096, 4096), (1024, 16384), (65536, 512)])
@pytest.mark.parametrize("source_kind", KINDS)
@pytest.mark.parametrize("target_kind", KINDS)
def test_backup_in_every_direction(
    tmp_path: Path,
    source_kind: bytes | str | None,
    target_kind: bytes | str | None,
    page_sizes: tuple[int, int],
) -> None:
    source, target = _end(tmp_path, "source.db", source_kind), _end(tmp_path, "target.db", target_kind)
    for connection, page_size, rows in ((source, page_sizes[0], 200), (target, page_sizes[1], 700)):
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
        add(connection, rows)
    wanted = content(source)
    try:
        source.backup(target, pages=7)
    except sqlite3.OperationalError as error:
        # The page size of a database in memory cannot change, also without encryption.
        assert "readonly" in str(error)  # noqa: PT017
        assert target_kind == ""
        assert page_sizes[0] != page_sizes[1]
        return
    assert content(target) == wanted
    assert target.execute("PRAGMA page_size").fetchone() == (page_sizes[0],)
    source.close()
    target.close()
    if isinstance(target_kind, bytes):
        assert_verified(tmp_path / "target.db", target_kind)


@pytest.mark.parametrize("page_size", [4096, 1024])
def test_backup_into_a_wal_database(tmp_path: Path, page_size: int) -> None:
    """Another page size is refused in WAL mode; so it is without encryption."""
    found = []
    for name, raw in (("plain.db", None), ("encrypted.db", RAW)):
        target_path = make(tmp_path / name, raw, journal_mode="wal")
        with (
            opened(
                make(tmp_path / f"source-{name}", OTHER_RAW, page_size=page_size, rows=300), OTHER_RAW
            ) as source,
            opened(target_path, raw) as target,
            opened(target_path, raw) as reader,
        ):
            assert count(reader) == 100
            try:
                source.backup(target, pages=11)
                found.append("done")
            except sqlite3.OperationalError as error:
                found.append(str(error))
            found.append(outcome(reader, "SELECT count(*) FROM t"))
            assert_sound(reader)
    assert found[:2] == found[2:]
    assert_verified(tmp_path / "encrypted.db")


def test_backup_of_a_source_that_is_written_meanwhile(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=500, journal_mode="wal")
    with opened(path) as source, opened(path) as writer, opened(tmp_path / "b.db", OTHER_RAW) as target:
        turns = iter(range(5))

        def progress(*_: int) -> None:
            if next(turns, None) is not None:
                add(writer, 20)

        source.backup(target, pages=20, progress=progress)
        assert content(target) == content(source)
        assert count(target) == 600


def test_serialize(tmp_path: Path) -> None:
    """What is serialized is plaintext: the database as SQLite sees it."""
    path = make(tmp_path / "a.db", rows=300)
    with opened(path) as connection:
        image = connection.serialize()
        wanted = content(connection)
    assert image.startswith(b"SQLite format 3\0")
    lumocrypt.decrypt(path, tmp_path / "decrypted.db", key=lumocrypt.Key.raw(RAW))
    assert image == (tmp_path / "decrypted.db").read_bytes()
    with opened(path) as connection:
        # The connection's main database is one in memory from here on.
        connection.deserialize(image)
        assert content(connection) == wanted
        connection.execute("DELETE FROM t")
        assert count(connection) == 0
    with opened(path) as connection:
        assert content(connection) == wanted
        memory = sqlite3.connect(":memory:")
        memory.deserialize(connection.serialize())
        memory.backup(connection)
        memory.close()
        assert content(connection) == wanted
    assert_verified(path)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("io", ["map", "pread"])
def test_incremental_blob_io(tmp_path: Path, journal_mode: str, io: str) -> None:
    """Reads of parts of overflow pages, in any order, and writes that spill."""
    path = make(tmp_path / "a.db", rows=5, journal_mode=journal_mode)
    size = 300_000
    with opened(path, io=io) as connection:
        connection.execute("PRAGMA cache_size=3")
        connection.execute("INSERT INTO t (id, data) VALUES (1000, zeroblob(?))", (size,))
        wanted = bytearray(size)
        draw = random.Random(1)
        with connection.blobopen("t", "data", 1000) as blob:
            for _ in range(200):
                start, length = draw.randrange(size - 9000), draw.randrange(1, 9000)
                blob.seek(start)
                if draw.random() < 0.5:
                    piece = draw.randbytes(length)
                    blob.write(piece)
                    wanted[start : start + length] = piece
                else:
                    assert blob.read(length) == wanted[start : start + length]
            assert blob[::4097] == bytes(wanted)[::4097]
        assert_sound(connection)
    with opened(path, io=io) as connection, connection.blobopen("t", "data", 1000, readonly=True) as blob:
        for start in (0, 4091, 8183, 299_999):
            blob.seek(start)
            assert blob.read(5) == wanted[start : start + 5]
        assert connection.execute("SELECT data FROM t WHERE id = 1000").fetchone() == (bytes(wanted),)
    assert_verified(path)
