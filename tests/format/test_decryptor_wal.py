"""The independent decryptor reads databases with a live WAL."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

import lumocrypt
from decryptor import ForeignLogError, LostLogError, UnauthenticError, read_database
from decryptor.main_file import MainFile
from samples import SUITES, connect, content, content_of, copy_database, fill, read, reopened
from support.bytes_on_disk import flip
from support.known_keys import RAW

SPILL = "PRAGMA cache_size=5"


def wal_database(path: Path, suite: str, page_size: int = 4096) -> sqlite3.Connection:
    """In WAL mode, checkpointed only when told to, with a cache so small that transactions spill."""
    connection = connect(path, suite)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(SPILL)
    return connection


def checkpoint(connection: sqlite3.Connection, mode: str = "PASSIVE") -> None:
    busy, frames, done = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    assert busy == 0
    assert frames == done


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("suite", SUITES)
def test_a_live_wal(suite: str, page_size: int, tmp_path: Path) -> None:
    """Commits, spills, rollbacks and restarts, looked at while the connection is open."""
    path = tmp_path / "app.db"
    connection = wal_database(path, suite, page_size)

    def check() -> None:
        found = read(path, suite)
        assert found.wal is not None
        assert content(found.image) == content_of(connection)

    fill(connection)
    check()
    first = read(path, suite).wal
    assert first is not None
    assert first.header.sequence == 1
    assert first.committed > 0

    # A rolled back transaction that spilled leaves authentic frames behind the last commit.
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET name = name || ' rolled back', data = zeroblob(3000)")
    connection.execute("ROLLBACK")
    after = read(path, suite).wal
    assert after is not None
    assert after.authentic > after.committed == first.committed
    check()

    # The same page spilled, changed and spilled again, with savepoints rolled back in between.
    connection.execute("BEGIN")
    for turn in range(4):
        connection.execute("SAVEPOINT s")
        connection.execute("UPDATE t SET data = zeroblob(length(data) + ?)", (turn,))
        connection.execute("ROLLBACK TO s" if turn % 2 else "RELEASE s")
    connection.execute("COMMIT")
    check()

    # Restarted twice: each copy of the header has been used, and old frames lie behind the new ones.
    for seed in (1, 2):
        checkpoint(connection)
        check()
        fill(connection, 10, seed)
        check()
    last = read(path, suite).wal
    assert last is not None
    assert last.header.sequence == 3
    assert 0 < last.committed < first.committed
    expected = content_of(connection)

    # What a crash leaves is recovered to the same by both.
    copy = copy_database(path, tmp_path / "crash")
    assert content(read(copy, suite).image) == expected
    assert reopened(copy, suite) == expected
    connection.close()
    assert read(path, suite).wal is None
    assert content(read(path, suite).image) == expected


def test_an_uncommitted_transaction_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = wal_database(path, "aegis-256")
    fill(connection)
    expected = content_of(connection)
    connection.execute("BEGIN")
    connection.execute("DELETE FROM t WHERE id > 5")
    connection.execute("UPDATE t SET data = zeroblob(9000)")
    found = read(path, "aegis-256")
    assert found.wal is not None
    assert found.wal.authentic > found.wal.committed
    assert content(found.image) == expected
    connection.close()


@pytest.mark.parametrize("suite", SUITES)
def test_a_damaged_frame_ends_the_log(suite: str, tmp_path: Path) -> None:
    """As SQLite defines it: what is committed before it counts, what comes after it does not."""
    path = tmp_path / "app.db"
    connection = wal_database(path, suite)
    fill(connection, 20)
    states = [content_of(connection)]
    ends = [read(path, suite).wal]
    for seed in (1, 2):
        fill(connection, 20, seed)
        states.append(content_of(connection))
        ends.append(read(path, suite).wal)
    copy = copy_database(path, tmp_path / "crash")
    connection.close()
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[1].committed > ends[0].committed
    slot = 24 + 4096 + (16 if suite == "checksum" else 40)
    flip(copy.with_name("app.db-wal"), 8192 + ends[0].committed * slot + 30)
    found = read(copy, suite)
    assert found.wal is not None
    assert found.wal.committed == ends[0].committed
    assert content(found.image) == states[0] != states[1]
    assert reopened(copy, suite) == states[0]


def test_a_frame_of_a_rolled_back_transaction_in_a_later_one(tmp_path: Path) -> None:
    """It is authentic in its place, so that only SQLite's own checksum tells that a write was lost."""
    path = tmp_path / "app.db"
    connection = wal_database(path, "aegis-256")
    fill(connection, 600)
    expected = content_of(connection)
    committed = read(path, "aegis-256").wal
    assert committed is not None
    connection.execute("BEGIN")
    # Each page is spilled once: from the first that is spilled again on, SQLite writes salts of zero.
    connection.execute("UPDATE t SET data = zeroblob(length(data))")
    connection.execute("ROLLBACK")
    old = path.with_name("app.db-wal").read_bytes()
    connection.execute("UPDATE t SET data = randomblob(length(data))")
    copy = copy_database(path, tmp_path / "crash")
    connection.close()
    new = copy.with_name("app.db-wal").read_bytes()
    whole = read(copy, "aegis-256").wal
    assert whole is not None
    slot = 24 + 4096 + 40
    # Of the frames of the first transaction the last ones were never written.
    stale = 8192 + (committed.committed + 10) * slot
    assert whole.committed > committed.committed + 10
    assert len(old) > stale + slot
    assert old[stale : stale + slot] != new[stale : stale + slot]
    copy.with_name("app.db-wal").write_bytes(new[:stale] + old[stale : stale + slot] + new[stale + slot :])
    found = read(copy, "aegis-256")
    assert found.wal is not None
    assert found.wal.authentic == whole.authentic
    assert content(found.image) == expected
    assert reopened(copy, "aegis-256") == expected


def test_a_wal_of_another_time_or_place(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = wal_database(path, "aegis-256")
    fill(connection, 20)
    old = copy_database(path, tmp_path / "old")
    checkpoint(connection, "RESTART")
    fill(connection, 5, 1)
    # One generation back is still what a lost write of the cell would leave; two back is a replay.
    checkpoint(connection, "TRUNCATE")
    fill(connection, 5, 2)
    new = copy_database(path, tmp_path / "new")
    connection.close()
    closed = copy_database(path, tmp_path / "closed")
    other = wal_database(tmp_path / "other.db", "aegis-256")
    fill(other, 5)
    cases = [
        (new, old.with_name("app.db-wal")),
        (closed, old.with_name("app.db-wal")),
        (new, tmp_path / "other.db-wal"),
    ]
    plain = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    plain.execute("PRAGMA journal_mode=WAL")
    fill(plain, 5)
    cases.append((new, tmp_path / "plain.db-wal"))
    for number, (database, log) in enumerate(cases):
        target = copy_database(database, tmp_path / f"case{number}")
        shutil.copyfile(log, target.with_name("app.db-wal"))
        with pytest.raises(ForeignLogError):
            read_database(target, RAW)
        with pytest.raises(lumocrypt.CryptError):
            reopened(target, "aegis-256")
    for damage in (Path.unlink, lambda log: log.write_bytes(b"")):
        target = copy_database(new, tmp_path / f"lost{damage.__name__}")
        damage(target.with_name("app.db-wal"))
        with pytest.raises(LostLogError):
            read_database(target, RAW)
        with pytest.raises(lumocrypt.CryptError):
            reopened(target, "aegis-256")
    other.close()
    plain.close()


@pytest.mark.parametrize("suite", SUITES)
def test_a_changed_wal_header(suite: str, tmp_path: Path) -> None:
    """The clear part of a header is bound to the sealed one, whoever makes its digest right again."""
    path = tmp_path / "app.db"
    connection = wal_database(path, suite)
    fill(connection, 5)
    copy = copy_database(path, tmp_path / "crash")
    connection.close()
    log = copy.with_name("app.db-wal")
    pristine = log.read_bytes()
    # Sequence number, generation, reserved bytes; the digest itself; SQLite's header, its seal.
    for offset, mended in [(24, True), (64, True), (80, False), (100, False), (128 + 8, False), (200, False)]:
        raw = bytearray(pristine)
        raw[offset] ^= 1
        if mended:
            raw[96:128] = hashlib.sha256(raw[:96]).digest()
        log.write_bytes(raw)
        with pytest.raises(LostLogError):
            read(copy, suite)
        with pytest.raises(lumocrypt.CryptError):
            reopened(copy, suite)
    log.write_bytes(pristine)
    assert len(read(copy, suite).image) > 0


def test_torn_slots_under_a_log_and_holes_behind_its_beginning(tmp_path: Path) -> None:
    """A slot that the WAL replaces may be anything; a zero one behind the recorded count is a hole."""
    path = tmp_path / "app.db"
    connection = wal_database(path, "aegis-256")
    fill(connection, 100)
    checkpoint(connection, "TRUNCATE")
    connection.execute("UPDATE t SET name = 'x' WHERE id > 90")
    fill(connection, 100, 1)
    expected = content_of(connection)
    checkpoint(connection)
    copy = copy_database(path, tmp_path / "crash")
    connection.close()

    found = read(copy, "aegis-256")
    assert found.header is not None
    assert found.wal is not None
    overlay, begin = found.wal.overlay, found.wal.header.main_slots
    assert overlay is not None
    slots = (copy.stat().st_size - 65536) // 4136
    replaced = [index for index in range(slots) if index + 1 in overlay.pages]
    kept = [index for index in range(begin) if index + 1 not in overlay.pages]
    assert kept
    assert min(replaced) < begin < max(replaced)
    pristine = copy.read_bytes()

    def with_slots(indexes: list[int], byte: int) -> None:
        data = bytearray(pristine)
        for index in indexes:
            data[65536 + index * 4136 : 65536 + (index + 1) * 4136] = bytes([byte]) * 4136
        copy.write_bytes(data)

    for byte in (0, 0xEE):
        with_slots(replaced, byte)
        assert content(read(copy, "aegis-256").image) == expected
        with_slots(kept[:1], byte)
        with pytest.raises(UnauthenticError):
            read(copy, "aegis-256")
    with_slots(replaced, 0)
    with copy.open("rb") as file:
        main = MainFile(file, len(pristine), found.header)
        with pytest.raises(UnauthenticError):
            main.block(begin)
        main.holes_from = begin
        assert main.block(begin) == bytes(4096)
        with pytest.raises(UnauthenticError):
            main.block(max(index for index in replaced if index < begin))
    # Recovery, and the checkpoint when it is closed, put all of them right.
    with_slots(replaced, 0xEE)
    assert reopened(copy, "aegis-256") == expected
    assert read(copy, "aegis-256").wal is None
    assert content(read(copy, "aegis-256").image) == expected
