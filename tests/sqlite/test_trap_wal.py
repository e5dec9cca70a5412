"""Traps of a write-ahead log that is encrypted frame by frame; each test names its trap."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.crash import crashed, log_of
from support.layout import HEADER, OVERHEAD
from support.peers import Peer
from support.sql_database import (
    RAW,
    add,
    assert_sound,
    assert_verified,
    connect,
    content,
    count,
    make,
    opened,
)

PAGE = 4096
FRAMES = 8192
SLOT = 24 + PAGE + OVERHEAD


def test_stale_buffer_after_rollback_trap_1(tmp_path: Path, peer: Callable[..., Peer]) -> None:
    """Trap 1: what a rolled-back transaction has buffered must not come back over frames that another
    connection has committed since at the same place in the log."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    other = peer(path, RAW)
    for _ in range(2):
        with opened(path) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("PRAGMA cache_size=2")
            for turn in range(12):
                connection.execute("BEGIN")
                add(connection, 5 + turn * 3)
                connection.execute("UPDATE t SET name = 'never'")
                if turn % 2:
                    connection.execute("SAVEPOINT s")
                    connection.execute("DELETE FROM t")
                    connection.execute("ROLLBACK TO s")
                connection.execute("ROLLBACK")
                assert other.run(f"INSERT INTO t (name) VALUES ('theirs {turn}')") == {"rows": []}
                connection.execute("INSERT INTO t (name) VALUES ('ours')")
                rows = connection.execute("SELECT count(*) FROM t WHERE name LIKE 'theirs%'").fetchone()[0]
                assert other.run("SELECT count(*) FROM t WHERE name LIKE 'theirs%'")["rows"] == [[rows]]
                assert connection.execute("SELECT count(*) FROM t WHERE name = 'never'").fetchone() == (0,)
            copy = crashed(path, tmp_path / f"crash-{count(connection)}")
            wanted = content(connection)
        with opened(copy) as recovered:
            assert content(recovered) == wanted
    with opened(path) as connection:
        assert connection.execute("SELECT name, count(*) FROM t WHERE id > 100 GROUP BY name").fetchall() == [
            ("ours", 24),
            *sorted((f"theirs {turn}", 2) for turn in range(12)),
        ]
        assert_sound(connection)


@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
@pytest.mark.parametrize("locking_mode", ["normal", "exclusive"])
def test_rewritten_frames_trap_3_and_trap_4(tmp_path: Path, synchronous: str, locking_mode: str) -> None:
    """Traps 3 and 4: a page that is spilled twice is written over its own frame without a header, headers
    with salt and checksum zero follow, and at the end headers without pages. All of it is read back by the
    transaction, and what a crash finds after the commit is the whole transaction, before it nothing."""
    path = make(tmp_path / "a.db", journal_mode="wal", rows=60)
    with opened(path) as connection:
        connection.execute(f"PRAGMA locking_mode={locking_mode}")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA cache_size=1")
        before = content(connection)
        connection.execute("BEGIN")
        for turn in range(4):
            # Every page is dirtied again in each turn, and there is room for one.
            connection.execute(
                "UPDATE t SET data = zeroblob(length(data) + 1), name = name || ?", (str(turn),)
            )
            connection.execute("SAVEPOINT s")
            connection.execute("UPDATE t SET name = 'no'")
            connection.execute("ROLLBACK TO s")
            assert connection.execute("SELECT DISTINCT length(data) FROM t").fetchall() == [(501 + turn,)]
            assert connection.execute("SELECT count(*) FROM t WHERE name = 'no'").fetchone() == (0,)
        frames = log_of(path, "-wal").stat().st_size
        under_way = crashed(path, tmp_path / "under-way")
        connection.execute("COMMIT")
        assert log_of(path, "-wal").stat().st_size - frames < frames, "nothing was spilled"
        committed = crashed(path, tmp_path / "committed")
        after = content(connection)
    for copy, wanted in ((under_way, before), (committed, after)):
        with opened(copy) as recovered:
            assert content(recovered) == wanted
        assert_verified(copy)


def test_an_unreadable_tail_ends_the_log_trap_5(tmp_path: Path) -> None:
    """Trap 5: recovery takes a frame that does not authenticate for the end of the log: the database opens
    with the commits before it, whole."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        ends = []
        for turn in range(5):
            connection.execute("UPDATE t SET data = zeroblob(?) WHERE id <= 20", (600 + turn,))
            ends.append(log_of(path, "-wal").stat().st_size)
        copy = crashed(path, tmp_path / "crash")
    wal, whole, base = log_of(copy, "-wal"), log_of(copy, "-wal").read_bytes(), copy.read_bytes()
    assert (ends[-1] - FRAMES) % SLOT == 0
    for cut in [
        FRAMES,
        FRAMES + 11,
        *(end + move for end in ends[:-1] for move in (-SLOT, -1, 0, 1, SLOT + 5)),
    ]:
        for torn in (
            whole[:cut],
            whole[:cut] + bytes(len(whole) - cut),
            whole[:cut] + b"\xa5" * (len(whole) - cut),
        ):
            copy.write_bytes(base)
            wal.write_bytes(torn)
            log_of(copy, "-shm").unlink(missing_ok=True)
            with opened(copy) as recovered:
                found = recovered.execute("SELECT DISTINCT length(data) FROM t WHERE id <= 20").fetchall()
                assert_sound(recovered)
            commits = sum(end <= cut for end in ends)
            assert found == [(599 + commits if commits else 500,)], (cut, commits)


@pytest.mark.parametrize(
    ("page_size", "block_size"), [(512, 4096), (1024, 65536), (4096, 4096), (8192, 1024)]
)
def test_a_torn_checkpoint_trap_9(tmp_path: Path, page_size: int, block_size: int) -> None:
    """Trap 9: a crash in a checkpoint tears blocks of the main file. All pages of each must be in the log,
    and writing them back piece by piece must not fail for what is torn."""
    plain = make(tmp_path / "plain.db", None, rows=200, page_size=page_size)
    path = tmp_path / "a.db"
    lumocrypt.encrypt(plain, path, key=lumocrypt.Key.raw(RAW), block_size=block_size)
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE t SET data = zeroblob(700) WHERE id % 50 = 0")
        add(connection, 3)
        connection.execute("DELETE FROM t WHERE id % 60 = 0")
        wanted = content(connection)
        before = path.read_bytes()
        copy = crashed(path, tmp_path / "crash")
        connection.execute("PRAGMA wal_checkpoint")
        image = bytearray(path.read_bytes())
    slot, torn = block_size + OVERHEAD, 0
    for at in range(HEADER, len(image), slot):
        if before[at : at + slot] != image[at : at + slot]:
            end = min(at + slot, len(image))
            image[(at + end) // 2 : end] = bytes(end - (at + end) // 2)
            torn += 1
    assert torn > 1
    copy.write_bytes(image)
    with opened(copy) as recovered:
        assert content(recovered) == wanted
        assert recovered.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert content(recovered) == wanted
    assert_verified(copy)


def assert_no_hole(path: Path) -> None:
    slots, size = path.read_bytes()[HEADER:], PAGE + OVERHEAD
    assert not any(slots[at : at + size] == bytes(size) for at in range(0, len(slots), size))


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_holes_trap_8(tmp_path: Path, journal_mode: str) -> None:
    """Trap 8: pages freed by the transaction that made them need not be written. They would be holes in the
    main file, which look like tampering; every gap is sealed, and a backup reads all pages.

    With APSW's SQLite: one that is built with SECURE_DELETE, as Debian's, writes such pages all the same. In
    WAL mode no SQLite that was tried leaves any page out of the log; the holes that hazard 8 speaks of are
    made in a test of the engine (``a_crash_in_a_checkpoint_is_no_tampering_hazard_8``).
    """
    path = make(tmp_path / "a.db", journal_mode=journal_mode)
    lumocrypt.load(apsw.Connection(":memory:"))
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(f"file:{path}?vfs=lumocrypt", flags=flags)
    connection.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
    connection.execute(
        "BEGIN; INSERT INTO t (id, data) VALUES (101, zeroblob(900000)); DELETE FROM t WHERE id = 101; "
        "INSERT INTO t (data) VALUES (randomblob(9000)); COMMIT"
    )
    copies = [crashed(path, tmp_path / "written")]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    copies.append(crashed(path, tmp_path / "checkpointed"))
    connection.close()
    if journal_mode == "wal":
        # A crash in the checkpoint that kept the new length and lost what was written behind the old one.
        copies.append(crashed(copies[0], tmp_path / "lost"))
        assert copies[-1].stat().st_size < path.stat().st_size
        os.truncate(copies[-1], path.stat().st_size)
    for copy in copies:
        with opened(copy) as source, opened(copy.with_name("backup.db")) as target:
            source.backup(target)
            assert content(target) == content(source)
            assert count(target) == 101
            source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert_verified(copy)
        assert_no_hole(copy)
    assert_verified(path)
    assert_no_hole(path)


def test_a_block_kept_in_clear_trap_10(tmp_path: Path, peer: Callable[..., Peer]) -> None:
    """Trap 10: the block that is kept to answer the look at the change counter is never older than the file,
    whether locks announce the change or not."""
    for mode in ("delete", "wal"):
        path = make(tmp_path / f"{mode}.db", journal_mode=mode)
        other = peer(path, RAW)
        plain, careless = connect(path), None
        if mode == "delete":
            careless = connect(f"file:{path}?nolock=1", uri=True)
        for turn in range(20):
            other.run(
                "DELETE FROM t WHERE id % 7 = 0" if turn % 3 else "INSERT INTO t (name) SELECT name FROM t"
            )
            if turn % 4 == 0:
                other.run("PRAGMA wal_checkpoint(TRUNCATE)")
            wanted = other.run("SELECT count(*) FROM t")["rows"][0][0]
            for connection in filter(None, (plain, careless)):
                assert count(connection) == wanted
        plain.close()


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_commit_that_changes_one_row_is_seen_trap_10(
    tmp_path: Path, peer: Callable[..., Peer], mode: str, io: str
) -> None:
    """Trap 10: between two looks at the change counter nothing moves but one row and the counter itself."""
    path = make(tmp_path / "a.db", journal_mode=mode, rows=3)
    other = peer(path, RAW)
    other.run(f"PRAGMA journal_mode={mode}")
    with opened(path, io=io) as reader, opened(path) as writer:
        for turn in range(20):
            sql = f"UPDATE t SET name = 'turn {turn}' WHERE id = 2"
            if turn % 2:
                assert other.run(sql) == {"rows": []}
            else:
                writer.execute(sql)
            assert reader.execute("SELECT name FROM t WHERE id = 2").fetchone() == (f"turn {turn}",)


def test_header_and_page_are_not_always_a_pair_trap_4(tmp_path: Path) -> None:
    """Trap 4: the page alone, over a frame that this very transaction spilled, then one commit that is all of
    it."""
    path = make(tmp_path / "a.db", journal_mode="wal", rows=30)
    connection = connect(path)
    connection.execute("PRAGMA cache_size=1")
    connection.execute("PRAGMA cache_spill=1")
    connection.execute("BEGIN")
    for number in range(200):
        connection.execute("UPDATE t SET name = ? WHERE id = ?", (f"new {number}", number % 30 + 1))
    connection.execute("COMMIT")
    copy = crashed(path, tmp_path / "crash")
    with opened(copy) as recovered:
        names = {name for (name,) in recovered.execute("SELECT name FROM t")}
    assert names == {f"new {number}" for number in range(170, 200)}
    connection.close()


def test_reads_by_the_same_connection_trap_4(tmp_path: Path) -> None:
    """Trap 4: an open cursor reads pages that its own transaction has spilled and written again."""
    path = make(tmp_path / "a.db", journal_mode="wal", rows=300)
    with opened(path) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        cursor = connection.execute("SELECT id, length(data) FROM t ORDER BY id")
        seen = 0
        for number, length in cursor:
            assert length == 500
            connection.execute("UPDATE t SET data = zeroblob(400) WHERE id = ?", (number,))
            seen += 1
        assert seen == 300
        connection.execute("COMMIT")
        assert connection.execute("SELECT sum(length(data)) FROM t").fetchone() == (120_000,)
        assert_sound(connection)
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()
    assert_verified(path)


@pytest.mark.parametrize("restart", ["RESTART", "TRUNCATE"])
def test_a_restarted_log_is_noticed_before_it_is_written_hazard_18(
    tmp_path: Path, peer: Callable[..., Peer], restart: str
) -> None:
    """Hazard 18: a connection that knows an earlier generation of the log writes frames to the present one,
    without having read any of it: what it needs is in the main file. Under the earlier generation its commit
    would be lost in the next recovery."""
    path = make(tmp_path / "a.db", journal_mode="wal", rows=300)
    other = peer(path, RAW)
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        other.run("PRAGMA wal_autocheckpoint=0")
        for turn in range(6):
            connection.execute("UPDATE t SET data = ? WHERE id = 10", (f"ours {turn}",))
            assert other.run(f"PRAGMA wal_checkpoint({restart})")["rows"][0][0] == 0
            # In another leaf, so that this connection has no reason to read the frame.
            assert other.run(f"UPDATE t SET data = 'theirs {turn}' WHERE id = 290") == {"rows": []}
            connection.execute("UPDATE t SET data = ? WHERE id = 20", (f"ours too {turn}",))
            copy = crashed(path, tmp_path / f"{turn}")
            with opened(copy) as recovered:
                assert_sound(recovered)
                found = recovered.execute("SELECT data FROM t WHERE id IN (10, 20, 290)").fetchall()
            assert found == [(f"ours {turn}",), (f"ours too {turn}",), (f"theirs {turn}",)]
            assert_verified(copy)
