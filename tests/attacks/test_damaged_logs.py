"""Logs that a recovery is about to lose commits from: a copy is kept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.attacked_logs import log
from support.crash import contents, crashed, log_of
from support.folders import fast_folder
from support.history import KEY, Crashed, crash_in_a_transaction, crash_in_wal_mode, open_wal
from support.intruder import ACCESS_LIST, DEFAULT_LIST, OTHER, access_list, supports_access_lists
from support.layout import OVERHEAD, WAL_FRAME_HEADER, WAL_FRAMES
from support.sql_recorder import Recorder
from support.tiny import BLOCK

#: Lengths of a journal's preamble and of what stands in front of each extent.
PREAMBLE, EXTENT_HEAD = 128, 24
FRAME = WAL_FRAME_HEADER + BLOCK + OVERHEAD


@pytest.fixture(scope="module")
def wal_crash() -> Iterator[Crashed]:
    with fast_folder() as folder:
        yield crash_in_wal_mode(folder)


@pytest.fixture(autouse=True)
def _as_crashed(wal_crash: Crashed) -> None:
    wal_crash.put()
    for kept in wal_crash.path.parent.glob("*.lumo-damaged"):
        kept.unlink()


def kept_of(log_file: Path) -> Path:
    return log_file.with_name(log_file.name + ".lumo-damaged")


def damage_frame(crash: Crashed, frame: int) -> bytes:
    """Flips a bit in a frame of the log; the log."""
    wal = bytearray(log(crash))
    wal[WAL_FRAMES + frame * FRAME + 100] ^= 1
    crash.put(wal=bytes(wal))
    return bytes(wal)


def test_a_wal_that_loses_commits_is_kept_hazard_4(wal_crash: Crashed) -> None:
    wal = damage_frame(wal_crash, 0)
    wal_crash.wal.chmod(0o640)
    assert wal_crash.outcome() == wal_crash.states[0], "recovery goes on as SQLite's does"
    assert not wal_crash.wal.exists()
    kept = kept_of(wal_crash.wal)
    assert kept.read_bytes() == wal
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    found = lumocrypt.verify(wal_crash.path, key=KEY)
    assert found.ok
    assert [warning for warning in found.warnings if str(kept) in warning]
    # What is kept is everything that was there before: put back, it is the same log.
    wal_crash.put(wal=kept.read_bytes())
    (damaged,) = lumocrypt.verify(wal_crash.path, key=KEY).damaged
    assert (damaged.file_kind, damaged.frame) == ("wal", 0)
    assert "the 4 commits behind it are lost" in damaged.reason


def test_a_kept_log_lets_in_who_the_log_did_hazard_4(wal_crash: Crashed) -> None:
    """Not those whom the folder's own list lets use what is made in it."""
    folder = wal_crash.path.parent
    damage_frame(wal_crash, 0)
    wal_crash.wal.chmod(0o640)
    given = access_list(named={1000: 4}, group=4)
    if not supports_access_lists(folder):
        pytest.skip("no access control lists here")
    if os.geteuid() == 0:
        # SQLite gives logs to whom the database belongs to.
        os.chown(wal_crash.path, OTHER, 12345)
    os.setxattr(folder, DEFAULT_LIST, access_list(named={12345: 6}, group=6, others=6))
    try:
        for expected in (None, given):
            if expected is not None:
                damage_frame(wal_crash, 0)
                os.setxattr(wal_crash.wal, ACCESS_LIST, expected)
            wal, owner = wal_crash.wal.stat(), wal_crash.path.stat()
            assert wal_crash.outcome() == wal_crash.states[0]
            kept = kept_of(wal_crash.wal)
            found = kept.stat()
            assert (found.st_uid, found.st_gid, found.st_mode) == (owner.st_uid, owner.st_gid, wal.st_mode)
            there = os.getxattr(kept, ACCESS_LIST) if ACCESS_LIST in os.listxattr(kept) else None
            assert there == expected
            kept.unlink()
    finally:
        os.removexattr(folder, DEFAULT_LIST)
        os.chown(wal_crash.path, os.geteuid(), os.getegid())


def test_the_first_copy_stays_hazard_4(wal_crash: Crashed) -> None:
    kept = kept_of(wal_crash.wal)
    kept.write_bytes(b"an earlier one")
    damage_frame(wal_crash, 0)
    assert wal_crash.outcome() == wal_crash.states[0]
    assert kept.read_bytes() == b"an earlier one"


def test_what_a_crash_leaves_is_not_kept_hazard_4(wal_crash: Crashed) -> None:
    """A torn end of the log is no loss: it was not committed, or never synced."""
    wal = log(wal_crash)
    for torn in (wal[: -FRAME // 2], wal[:-FRAME] + bytes(FRAME), wal[:-7] + bytes(7), wal):
        wal_crash.put(wal=torn)
        assert wal_crash.outcome() in wal_crash.states
        assert list(wal_crash.path.parent.glob("*.lumo-damaged")) == []


def test_a_wal_that_is_discarded_on_demand_is_kept_hazard_4(wal_crash: Crashed) -> None:
    """``lumo_discard_wal=1`` beside a log that the database does not name."""
    connection = open_wal(wal_crash.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO t VALUES (100, 'after', NULL)")
    connection.close()
    old = log(wal_crash)
    wal_crash.wal.write_bytes(old)
    with pytest.raises(lumocrypt.TamperedError):
        wal_crash.rows()
    connection = lumocrypt.connect(wal_crash.path.as_uri() + "?lumo_discard_wal=1", key=KEY, uri=True)
    assert connection.execute("SELECT count(*) FROM t WHERE id = 100").fetchone() == (1,)
    connection.execute("INSERT INTO t VALUES (101, 'after', NULL)")
    connection.commit()
    connection.close()
    assert kept_of(wal_crash.wal).read_bytes() == old


def test_a_journal_that_is_rolled_back_in_part_is_kept_hazard_4(tmp_path: Path) -> None:
    """``lumo_partial_journal=1`` with a journal that is damaged in a part that was synced."""
    crash = crash_in_a_transaction(tmp_path)
    journal = bytearray(log(crash))
    at = PREAMBLE
    # Behind the first segment's records and their number, without which there is nothing to roll back.
    for _ in range(3):
        at += EXTENT_HEAD + int.from_bytes(journal[at + 4 : at + 8], "little") + OVERHEAD
    journal[at + EXTENT_HEAD] ^= 1
    crash.put(journal=bytes(journal))
    before = contents(crash.path.parent)
    with pytest.raises(lumocrypt.TamperedError, match="lumo_partial_journal=1"):
        crash.rows()
    assert contents(crash.path.parent) == before
    connection = lumocrypt.connect(crash.path.as_uri() + "?lumo_partial_journal=1", key=KEY, uri=True)
    with contextlib.suppress(sqlite3.DatabaseError):
        # Half a transaction may be no database.
        connection.execute("SELECT count(*) FROM t").fetchone()
    connection.close()
    assert not crash.journal.exists()
    assert kept_of(crash.journal).read_bytes() == journal


def test_the_copy_is_told_of_in_the_log_of_errors_hazard_4(wal_crash: Crashed) -> None:
    recorder = Recorder()
    damage_frame(wal_crash, 0)
    messages: list[str] = []
    apsw.config(apsw.SQLITE_CONFIG_LOG, lambda _, message: messages.append(message))
    try:
        connection = recorder.connect(wal_crash.path)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        connection.execute("SELECT count(*) FROM t").fetchall()
        connection.close()
    finally:
        apsw.config(apsw.SQLITE_CONFIG_LOG, None)
    # SQLite's lines are short: what does not fit into one goes on in the next.
    (message,) = (
        message
        for message in "\n".join(messages).replace("\nlumocrypt: ... ", " ").split("\n")
        if "lumo-damaged" in message
    )
    assert "frame 0 does not authenticate" in message
    assert f"a copy was kept as {kept_of(wal_crash.wal)}" in message


def test_without_room_for_a_copy_recovery_goes_on_hazard_4(wal_crash: Crashed) -> None:
    damage_frame(wal_crash, 0)
    kept_of(wal_crash.wal).mkdir()
    assert wal_crash.outcome() == wal_crash.states[0]
    kept_of(wal_crash.wal).rmdir()


def test_the_copy_is_one_of_the_moment_of_recovery_hazard_4(wal_crash: Crashed) -> None:
    """A reader that only looks changes nothing else."""
    wal = damage_frame(wal_crash, 0)
    copy = crashed(wal_crash.path, wal_crash.path.parent / "again")
    connection = lumocrypt.connect(copy, key=KEY)
    assert connection.execute("SELECT count(*) FROM t").fetchone()
    assert log_of(copy, "-wal").read_bytes() == wal == kept_of(log_of(copy, "-wal")).read_bytes()
    connection.close()
