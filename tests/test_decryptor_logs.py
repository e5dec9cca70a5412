"""The independent decryptor reads databases with live logs: WALs, hot journals, what PERSIST leaves."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import apsw
import pytest

import lumocrypt
from conftest import RAW, flip
from decryptor import ForeignLogError, LostLogError, UnauthenticError, read_database
from samples import SUITES, connect, content, content_of, copy_database, fill, key_for, read, reopened

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


def test_a_torn_slot_under_a_log_and_holes_behind_its_beginning(tmp_path: Path) -> None:
    """A slot that the WAL replaces may be anything; one behind the recorded count may be a hole."""
    path = tmp_path / "app.db"
    connection = wal_database(path, "aegis-256")
    fill(connection, 20)
    checkpoint(connection, "TRUNCATE")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE big (a)")
    connection.execute("INSERT INTO big VALUES (zeroblob(400000))")
    fill_more = "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
    connection.execute("CREATE TABLE last (a)")
    connection.execute(fill_more + "INSERT INTO last SELECT zeroblob(3000) FROM n")
    # Spilled pages of it are in the WAL, pages freed before they were spilled are not.
    connection.execute("DROP TABLE big")
    connection.execute("COMMIT")
    expected = content_of(connection)
    checkpoint(connection)
    copy = copy_database(path, tmp_path / "crash")
    connection.close()

    found = read(copy, "aegis-256")
    assert found.wal is not None
    overlay, begin = found.wal.overlay, found.wal.header.main_slots
    assert overlay is not None
    slots = (copy.stat().st_size - 65536) // 4136
    holes = [index for index in range(begin, slots) if index + 1 not in overlay.pages]
    replaced = [index for index in range(slots) if index + 1 in overlay.pages]
    kept = [index for index in range(begin) if index + 1 not in overlay.pages]
    assert holes
    assert replaced
    assert kept
    pristine = copy.read_bytes()

    def with_slots(indexes: list[int], byte: int) -> None:
        data = bytearray(pristine)
        for index in indexes:
            data[65536 + index * 4136 : 65536 + (index + 1) * 4136] = bytes([byte]) * 4136
        copy.write_bytes(data)

    with_slots(replaced, 0xEE)
    assert content(read(copy, "aegis-256").image) == expected
    with_slots(holes, 0)
    assert content(read(copy, "aegis-256").image) == expected
    for indexes, byte in ((holes[:1], 0xEE), (kept[:1], 0xEE), (kept[:1], 0)):
        with_slots(indexes, byte)
        with pytest.raises(UnauthenticError):
            read(copy, "aegis-256")
    with_slots([*holes, *replaced[1:]], 0)
    assert reopened(copy, "aegis-256") == expected


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("suite", SUITES)
def test_a_hot_journal(suite: str, page_size: int, tmp_path: Path) -> None:
    """Copied in mid-transaction, when some of the changes are in the main file already."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(SPILL)
    fill(connection, 1200 if page_size == 65536 else 300)
    before, main = read(path, suite).image, path.read_bytes()
    expected = content_of(connection)
    connection.execute("BEGIN")
    connection.execute("DELETE FROM t WHERE id % 7 = 0")
    connection.execute("UPDATE t SET name = 'changed ' || name, data = zeroblob(length(data) + 700)")
    copy = copy_database(path, tmp_path / "crash")
    connection.execute("COMMIT")
    after = content_of(connection)
    connection.close()

    assert copy.read_bytes()[65536 : len(main)] != main[65536:]
    found = read(copy, suite)
    assert found.journal is not None
    assert found.journal.extents > 0
    assert found.rolled_back is not None
    assert len(found.rolled_back.pages) > 1
    assert found.image == before
    # A slot torn by the crash is put right by the rollback.
    torn = max(number for number in found.rolled_back.pages if number <= found.rolled_back.page_count)
    if page_size == 4096:
        flip(copy, 65536 + (torn - 1) * (4096 + (16 if suite == "checksum" else 40)))
        assert read(copy, suite).image == before
    assert reopened(copy, suite) == expected
    assert content(read(path, suite).image) == after


@pytest.mark.parametrize("suite", SUITES)
def test_what_persist_leaves(suite: str, tmp_path: Path) -> None:
    """A finished journal counts for nothing, and the next one is written over it."""
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute("PRAGMA journal_mode=PERSIST")
    connection.execute(SPILL)
    fill(connection)
    for seed in range(3):
        expected = content_of(connection)
        found = read(path, suite)
        assert path.with_name("app.db-journal").stat().st_size > 128
        assert found.rolled_back is None
        assert content(found.image) == expected
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(?)", (2000 >> seed,))
        copy = copy_database(path, tmp_path / f"crash{seed}")
        connection.execute("COMMIT")
        undone = read(copy, suite)
        assert undone.rolled_back is not None
        assert content(undone.image) == expected
        assert reopened(copy, suite) == expected
    connection.close()


def test_a_journal_of_another_database(tmp_path: Path) -> None:
    journals: list[Path] = []
    for name in ("one", "two"):
        connection = connect(tmp_path / name, "aegis-256")
        connection.execute(SPILL)
        fill(connection)
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(2000)")
        copy = copy_database(tmp_path / name, tmp_path / f"crash-{name}")
        journals.append(copy.with_name(name + "-journal"))
        connection.close()
    shutil.copyfile(journals[1], journals[0])
    with pytest.raises(ForeignLogError):
        read_database(tmp_path / "crash-one" / "one", RAW)
    with pytest.raises(lumocrypt.CryptError):
        reopened(tmp_path / "crash-one" / "one", "aegis-256")
    journals[0].write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
    with pytest.raises(ForeignLogError):
        read_database(tmp_path / "crash-one" / "one", RAW)


def test_a_torn_journal(tmp_path: Path) -> None:
    """The preamble may be torn; the extents before the first unauthentic one are rolled back."""
    path = tmp_path / "app.db"
    connection = connect(path, "aegis-256")
    connection.execute(SPILL)
    fill(connection)
    before = read(path, "aegis-256").image
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET data = zeroblob(2000)")
    copy = copy_database(path, tmp_path / "crash")
    connection.close()
    journal = copy.with_name("app.db-journal")
    whole = read(copy, "aegis-256").journal
    assert whole is not None
    flip(journal, 40)
    assert read(copy, "aegis-256").image == before
    # The last extent, whose pages are not in the main file yet or are restored by no other.
    pristine = journal.read_bytes()
    (length,) = struct.unpack_from("<I", pristine, 128 + 4)
    assert pristine[128:132] == b"LJX1"
    journal.write_bytes(pristine[: 128 + 24 + length + 40] + b"\0" + pristine[128 + 24 + length + 41 :])
    cut = read(copy, "aegis-256").journal
    assert cut is not None
    assert cut.extents == 1 < whole.extents


class Snooping(apsw.VFSFile):
    """Calls back when its database is synced: in a commit over several databases, after the super-journal
    and the other databases are written and before anything is finished."""

    on_sync = None

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if Snooping.on_sync is not None:
            Snooping.on_sync()


class SnoopingVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("snooping", "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return Snooping("unix", name, flags)


@pytest.mark.parametrize("suite", ["aegis-256", "checksum"])
def test_a_journal_with_a_super_journal(suite: str, tmp_path: Path) -> None:
    lumocrypt.load(apsw.Connection(":memory:"))
    vfs = SnoopingVFS()
    path = tmp_path / "app.db"
    connection = connect(path, suite)
    connection.execute(SPILL)
    fill(connection)
    before = read(path, suite).image
    connection.close()
    if suite != "checksum":
        lumocrypt.unlock(path, key_for(suite))  # type: ignore[arg-type]
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    both = apsw.Connection(str(path), flags=flags, vfs="lumocrypt")
    both.execute(f"ATTACH 'file:{tmp_path}/plain.db?vfs={vfs.vfs_name}' AS plain")
    both.execute("CREATE TABLE plain.t (a)")
    both.execute("BEGIN; UPDATE t SET data = zeroblob(1500); INSERT INTO plain.t VALUES (1)")
    copies: list[tuple[Path, set[str]]] = []

    def copy() -> None:
        names = {entry.name for entry in tmp_path.iterdir()}
        copies.append((copy_database(path, tmp_path / f"crash{len(copies)}"), names))

    Snooping.on_sync = copy
    try:
        both.execute("COMMIT")
    finally:
        Snooping.on_sync = None
    both.close()
    vfs.unregister()
    lumocrypt.lock(path)
    # The last of its syncs with the super-journal in place.
    caught, names = next(pair for pair in reversed(copies) if any("-mj" in name for name in pair[1]))
    (name,) = (name for name in names if "-mj" in name)
    found = read_database(caught, RAW if suite != "checksum" else None, super_journal_exists=lambda _: True)
    assert found.super_journal == str(tmp_path / name)
    assert found.image == before
    assert found.journal is not None
    # The trailer stands in clear at the physical end, where SQLite looks for it.
    assert found.journal.rest == found.journal.logical[-len(found.journal.rest) :]
    assert found.journal.rest.startswith(str(tmp_path / name).encode())
    assert found.journal.rest.endswith(bytes.fromhex("d9d505f920a163d7"))
    # The super-journal is gone: the transaction is committed.
    committed = read(caught, suite)
    assert committed.rolled_back is None
    assert content(committed.image) == content(read(path, suite).image) != content(before)
    assert reopened(caught, suite) == content(committed.image)
