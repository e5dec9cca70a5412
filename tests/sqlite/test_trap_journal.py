"""Traps of an encrypted rollback journal; each test names its trap."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.crash import crashed, log_of
from support.layout import HEADER, OVERHEAD
from support.sql_database import (
    OTHER_RAW,
    RAW,
    add,
    assert_sound,
    assert_verified,
    content,
    count,
    make,
    opened,
)
from support.sql_recorder import Event, Recorder

#: What ends a super-journal's record (pager.c, aJournalMagic).
SQLITE_MAGIC = bytes.fromhex("d9d505f920a163d7")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    one = Recorder()
    yield one
    one.stop()


def _database(path: Path, *, page_size: int, block_size: int) -> Path:
    plain = make(path.with_suffix(".plain"), None, rows=200, page_size=page_size)
    lumocrypt.encrypt(plain, path, key=lumocrypt.Key.raw(RAW), block_size=block_size)
    return path


@pytest.mark.parametrize(
    ("page_size", "block_size"), [(512, 4096), (1024, 65536), (4096, 4096), (16384, 4096)]
)
@pytest.mark.parametrize("garbage", ["torn", "zeros", "noise"])
def test_torn_blocks_trap_2_and_trap_9(tmp_path: Path, page_size: int, block_size: int, garbage: str) -> None:
    """Traps 2 and 9: a crash may tear every block that a transaction has written. Where a block holds several
    pages, all of them must be in the journal, and playback, page by page, must not stumble over the block it
    repairs."""
    path = _database(tmp_path / "a.db", page_size=page_size, block_size=block_size)
    with opened(path) as connection:
        wanted = content(connection)
        before = path.read_bytes()
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(400) WHERE id % 40 = 0")
        connection.execute("UPDATE t SET name = 'never' WHERE id % 50 = 0")
        # Pages wait until there are many.
        connection.execute("UPDATE t SET data = zeroblob(300000) WHERE id = 1")
        copy = crashed(path, tmp_path / "crash")
        connection.execute("ROLLBACK")
    image = bytearray(copy.read_bytes())
    slot = block_size + OVERHEAD
    written = 0
    for at in range(HEADER, len(before), slot):
        old, new = before[at : at + slot], bytes(image[at : at + slot])
        if old != new:
            written += 1
            half = len(new) // 2
            image[at : at + slot] = {
                "torn": old[:half] + new[half:],
                "zeros": bytes(len(new)),
                "noise": b"\xa5" * len(new),
            }[garbage]
    assert written, "nothing was spilled"
    copy.write_bytes(image)
    with opened(copy) as recovered:
        assert content(recovered) == wanted
    assert_verified(copy)


def test_a_torn_journal_has_nothing_to_undo_trap_5(tmp_path: Path) -> None:
    """Trap 5: a journal that never was synced, cut or garbled anywhere, is no error: the main file is
    untouched."""
    path = make(tmp_path / "a.db")
    with opened(path) as connection:
        wanted = content(connection)
        connection.execute("PRAGMA synchronous=off")
        connection.execute("PRAGMA cache_size=3")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET data = zeroblob(500)")
        copy = crashed(path, tmp_path / "crash")
        connection.execute("ROLLBACK")
    journal = log_of(copy, "-journal").read_bytes()
    assert len(journal) > 5000
    base = path.read_bytes()
    draw = list(range(0, 400, 7)) + list(range(400, len(journal), 1501))
    for cut in draw:
        for torn in (journal[:cut], journal[:cut] + bytes(len(journal) - cut), journal[:cut] + b"\xa5" * 700):
            copy.write_bytes(base)
            log_of(copy, "-journal").write_bytes(torn)
            with opened(copy) as recovered:
                assert count(recovered) == 100
                assert_sound(recovered)
    with opened(copy) as recovered:
        assert content(recovered) == wanted


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_synchronous_off_trap_13(tmp_path: Path, mode: str) -> None:
    """Trap 13: without syncs the journal is one segment whose header is never patched; a kill (not a power
    failure) at any time leaves enough to roll back."""
    path = make(tmp_path / "a.db", journal_mode=mode)
    with opened(path) as connection:
        connection.execute("PRAGMA synchronous=off")
        connection.execute("PRAGMA cache_size=2")
        for turn in range(8):
            wanted = content(connection)
            connection.execute("BEGIN")
            copies = []
            for step in range(4):
                connection.execute("UPDATE t SET data = zeroblob(?), name = name || 'x'", (300 + step,))
                add(connection, 7)
                copies.append(crashed(path, tmp_path / f"{turn}-{step}"))
            connection.execute("COMMIT" if turn % 2 else "ROLLBACK")
            for copy in copies:
                with opened(copy) as recovered:
                    assert content(recovered) == wanted
                assert_verified(copy)
                shutil.rmtree(copy.parent)


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_reads_are_served_from_memory_trap_15(tmp_path: Path, recorder: Recorder, synchronous: str) -> None:
    """Trap 15: SQLite reads its journal back (8 bytes at the next header) before each sync.

    Were the buffer flushed for that, a commit would cost one more write. It is one for the records, synced
    once (SQLITE_IOCAP_SAFE_APPEND), and a last small one to say that the database is written now.
    """
    path = make(tmp_path / "a.db")
    connection = recorder.connect(path)
    connection.execute(f"PRAGMA synchronous={synchronous}").fetchall()
    connection.execute("SELECT count(*) FROM t").fetchall()
    for _ in range(3):
        recorder.watch()
        connection.execute("UPDATE t SET data = randomblob(500) WHERE id % 10 = 0")
        events = [event for event in recorder.stop() if event.name.endswith("-journal")]
        operations = [event.operation for event in events]
        assert operations == ["write", "sync", "write", "delete"]
        assert all(event.length < 200 for event in events[1:])
    connection.close()
    assert_verified(path)


def _snapshots(recorder: Recorder, folder: Path, work: Callable[[], None]) -> list[dict[str, bytes]]:
    """The files of a folder after every single operation of ``work``."""
    taken: list[dict[str, bytes]] = []

    def take(_: Event) -> None:
        taken.append({file.name: file.read_bytes() for file in folder.iterdir()})

    recorder.watch(take)
    work()
    recorder.stop()
    return taken


@dataclass(frozen=True)
class _Pair:
    """A transaction over two databases, as it was after each of its operations."""

    folder: Path
    #: Each database and its key.
    main: tuple[Path, bytes]
    other: tuple[Path, bytes | None]
    snapshots: list[dict[str, bytes]]

    @classmethod
    def of(cls, folder: Path, recorder: Recorder, mode: str, attached: str) -> _Pair:
        folder.mkdir()
        raw = OTHER_RAW if attached == "encrypted" else None
        main = make(folder / "main.db", rows=3, journal_mode=mode)
        other = make(folder / "other.db", raw, rows=3, journal_mode=mode)
        connection = recorder.connect(main)
        how = f"lumo_key=x'{OTHER_RAW.hex()}'" if raw else "lumo_plain=1"
        connection.execute(f'ATTACH "file:{other}?{how}" AS other')
        # The mode is each connection's own.
        connection.execute(f"PRAGMA main.journal_mode={mode}; PRAGMA other.journal_mode={mode}").fetchall()

        def transaction() -> None:
            connection.execute(
                "BEGIN; UPDATE main.t SET name = 'new'; UPDATE other.t SET name = 'new'; COMMIT"
            ).fetchall()

        snapshots = _snapshots(recorder, folder, transaction)
        connection.close()
        return cls(folder, (main, RAW), (other, raw), snapshots)

    def put(self, files: dict[str, bytes]) -> None:
        for file in self.folder.iterdir():
            file.unlink()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def changed_rows(self, *, main_first: bool) -> tuple[int, int]:
        """How many rows of either database are the transaction's, after recovery in that order."""
        found: dict[Path, int] = {}
        for path, key in (self.main, self.other) if main_first else (self.other, self.main):
            with opened(path, key) as recovered:
                assert_sound(recovered)
                found[path] = recovered.execute("SELECT count(*) FROM t WHERE name = 'new'").fetchone()[0]
        return found[self.main[0]], found[self.other[0]]


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
@pytest.mark.parametrize("attached", ["encrypted", "plaintext"])
def test_super_journals_trap_6(tmp_path: Path, recorder: Recorder, mode: str, attached: str) -> None:
    """Trap 6: a transaction over two files is in both or in neither, wherever a crash hits it, and whichever
    file is opened first, through whichever VFS: who rolls back one must find the super-journal's name at the
    end of the other's journal."""
    pair = _Pair.of(tmp_path / "files", recorder, mode, attached)
    assert sum(any("-mj" in name for name in files) for files in pair.snapshots) > 5
    outcomes = set()
    for files in pair.snapshots:
        for main_first in (True, False):
            pair.put(files)
            main, other = pair.changed_rows(main_first=main_first)
            assert main == other, (main_first, sorted(files))
            outcomes.add(main)
    assert outcomes == {0, 3}


def _renamed_trailer(journal: bytes) -> bytes:
    """A journal that ends in another name, with a right checksum (pager.c, readSuperJournal)."""
    length = int.from_bytes(journal[-16:-12], "big")
    name = b"X" * length
    checksum = sum(name) & 0xFFFFFFFF
    return journal[: -16 - length] + name + journal[-16:-12] + checksum.to_bytes(4, "big") + journal[-8:]


@pytest.mark.parametrize("attached", ["encrypted", "plaintext"])
def test_an_edited_super_journal_trailer_hazard_20(tmp_path: Path, recorder: Recorder, attached: str) -> None:
    """Hazard 20: the trailer is clear, and anybody can make it name a super-journal that does not exist.
    SQLite believes that and skips the rollback; of an encrypted journal the sealed copy decides."""
    pair = _Pair.of(tmp_path / "files", recorder, "delete", attached)
    edited = {"main.db-journal": 0, "other.db-journal": 0}
    torn = 0
    for files in pair.snapshots:
        for name in edited:
            journal = files.get(name, b"")
            if not any("-mj" in file for file in files) or not journal.endswith(SQLITE_MAGIC):
                continue
            pair.put({**files, name: _renamed_trailer(journal)})
            edited[name] += 1
            main_first = name.startswith("main")
            if main_first or attached == "encrypted":
                assert pair.changed_rows(main_first=main_first) == (0, 0)
                continue
            # The control: this is what the attack does to a database of SQLite's own.
            try:
                torn += pair.changed_rows(main_first=main_first) != (0, 0)
            except AssertionError:
                torn += 1
    assert min(edited.values()) > 2
    assert (torn > 0) == (attached == "plaintext")


def test_one_write_per_extent_trap_2(tmp_path: Path, recorder: Recorder) -> None:
    """Trap 2: what is synced in the journal is never written over by the same transaction."""
    path = make(tmp_path / "a.db", rows=400)
    connection = recorder.connect(path)
    connection.execute("PRAGMA cache_size=3")
    synced, end = 0, 0
    recorder.watch()
    connection.execute("BEGIN; UPDATE t SET data = zeroblob(501); UPDATE t SET name = 'x'; COMMIT").fetchall()
    for event in recorder.stop():
        if not event.name.endswith("-journal"):
            continue
        if event.operation == "write":
            assert event.offset >= synced, "a synced part was rewritten"
            end = max(end, event.offset + event.length)
        elif event.operation == "sync":
            synced = end
    assert synced > 100_000
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_recorder_sees_everything(tmp_path: Path, recorder: Recorder) -> None:
    """A control: the counts above are no counts of nothing."""
    connection = recorder.connect(tmp_path / "a.db")
    recorder.watch()
    connection.execute("CREATE TABLE t (a)")
    names = {(event.operation, event.name) for event in recorder.stop()}
    assert {
        ("write", "a.db"),
        ("sync", "a.db"),
        ("write", "a.db-journal"),
        ("delete", "a.db-journal"),
    } <= names
    assert isinstance(connection, apsw.Connection)
    connection.close()
