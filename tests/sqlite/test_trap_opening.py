"""Traps of opening, locking and creating encrypted databases; each test names its trap."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.crash import contents, crashed
from support.layout import COPY, slot_at
from support.peers import Peer
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
)


@pytest.mark.parametrize("log", ["wal", "journal"])
@pytest.mark.parametrize("state", ["no key", "wrong key", "damaged header"])
def test_logs_survive_whoever_cannot_read_trap_7(tmp_path: Path, log: str, state: str) -> None:
    """Trap 7: SQLite deletes the logs of a database that it believes to be empty. Without a key, with a wrong
    one or with both superblocks damaged the file is never said to be empty, and nothing in the folder
    changes."""
    path = make(tmp_path / "a.db", journal_mode="wal" if log == "wal" else "delete")
    with opened(path) as connection:
        connection.execute("PRAGMA cache_size=2")
        wanted = content(connection)
        if log == "journal":
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(600)")
        else:
            add(connection, 20)
            wanted = content(connection)
        copy = crashed(path, tmp_path / "crash")
        if log == "journal":
            connection.execute("ROLLBACK")
    if state == "damaged header":
        flip(copy, 100)
        flip(copy, COPY + 100)
    before = contents(copy.parent)
    assert len(before) == 2
    for sql in (
        "SELECT count(*) FROM t",
        "PRAGMA journal_mode=delete",
        "CREATE TABLE x (a)",
        "VACUUM",
        "PRAGMA integrity_check",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "BEGIN EXCLUSIVE",
    ):
        with pytest.raises(lumocrypt.CryptError):
            _open_badly(copy, wrong_key=state == "wrong key").execute(sql)
        assert contents(copy.parent) == before, sql
    if state == "damaged header":
        flip(copy, 100)
        flip(copy, COPY + 100)
    with opened(copy) as recovered:
        assert content(recovered) == wanted


def _open_badly(path: Path, *, wrong_key: bool) -> sqlite3.Connection:
    return connect(path, OTHER_RAW) if wrong_key else lumocrypt.connect(path, isolation_level=None)


def test_everybody_creates_at_once_trap_11(tmp_path: Path, peer: Callable[..., Peer]) -> None:
    """Trap 11: a new database comes into being under a lock and once: nobody's header replaces another's."""
    for turn in range(5):
        path = tmp_path / f"{turn}.db"
        start = threading.Barrier(6)
        errors: list[BaseException] = []

        def work(
            number: int,
            path: Path = path,
            start: threading.Barrier = start,
            errors: list[BaseException] = errors,
        ) -> None:
            try:
                with opened(path, timeout=30) as connection:
                    start.wait()
                    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)")
                    connection.execute("INSERT INTO t (name) VALUES (?)", (str(number),))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        other = peer(path, RAW)
        start.wait()
        other.run("PRAGMA busy_timeout=30000")
        assert other.run("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)") == {"rows": []}
        assert other.run("INSERT INTO t (name) VALUES ('5')") == {"rows": []}
        for thread in threads:
            thread.join()
        assert not errors, errors
        with opened(path) as connection:
            names = connection.execute("SELECT name FROM t ORDER BY name").fetchall()
            assert names == [(str(number),) for number in range(6)]
        assert_verified(path)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_locks_outlive_looks_at_the_file_trap_12(
    tmp_path: Path, mode: str, peer: Callable[..., Peer]
) -> None:
    """Trap 12: POSIX drops all of a process's locks on a file when any descriptor of it is closed. Looking at
    an open database with info, verify or a second connection must not do that; another process sees the
    locks."""
    path = make(tmp_path / "a.db", journal_mode=mode)
    key = lumocrypt.Key.raw(RAW)
    other = peer(path, RAW)
    looks: list[Callable[[], object]] = [
        lambda: lumocrypt.info(path),
        lambda: _verify_or_in_use(path, key),
        lambda: lumocrypt.unlock(path, key),
        lambda: lumocrypt.lock(path),
        lambda: connect(path).close(),
        lambda: _refused(lambda: lumocrypt.connect(path, key=lumocrypt.Key.raw(OTHER_RAW))),
        lambda: _refused(lambda: lumocrypt.encrypt(path, key=key)),
    ]
    with opened(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        add(connection, 5)
        for number, look in enumerate(looks):
            look()
            assert other.run("BEGIN IMMEDIATE").get("message") == "database is locked", number
        connection.execute("COMMIT")
        connection.execute("BEGIN")
        assert count(connection) == 105
        for number, look in enumerate(looks):
            look()
            # A reader holds off what needs everybody gone.
            answer = other.run("PRAGMA journal_mode=off" if mode == "wal" else "BEGIN EXCLUSIVE")
            assert answer.get("message") == "database is locked", number
        connection.execute("COMMIT")
        assert_sound(connection)
    assert other.run("SELECT count(*) FROM t") == {"rows": [[105]]}


def _verify_or_in_use(path: Path, key: lumocrypt.Key) -> None:
    with contextlib.suppress(lumocrypt.InUseError):
        lumocrypt.verify(path, key=key)


def _refused(call: Callable[[], object]) -> None:
    with pytest.raises(lumocrypt.CryptError):
        call()


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_psow_off_trap_14(tmp_path: Path, journal_mode: str) -> None:
    """Trap 14: with psow=0 SQLite splits what it writes to a WAL at sector boundaries, in the middle of
    headers and pages, and repeats the last frame; the log must come out the same."""
    path = make(tmp_path / "a.db", journal_mode=journal_mode, page_size=1024)
    with opened(f"file:{path}?psow=0", uri=True) as connection:
        connection.execute("PRAGMA cache_size=2")
        for turn in range(8):
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(?)", (300 + turn,))
            add(connection, 9)
            connection.execute("COMMIT" if turn % 2 else "ROLLBACK")
            wanted = content(connection)
            copy = crashed(path, tmp_path / f"crash-{turn}")
            with opened(copy) as recovered:
                assert content(recovered) == wanted
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert content(connection) == wanted
    assert_verified(path)


def test_no_keyless_creation_trap_16(tmp_path: Path) -> None:
    """Trap 16: SQLite ignores a pragma that nobody knows, so a missing key must show: lumo_key returns a row,
    the first write without a key fails, and no plaintext comes into being."""
    path = tmp_path / "a.db"
    for sql in ("CREATE TABLE t (a)", "PRAGMA user_version=1", "PRAGMA journal_mode=wal", "BEGIN EXCLUSIVE"):
        connection = lumocrypt.connect(path, isolation_level=None)
        with contextlib.suppress(lumocrypt.KeyRequiredError):
            # An exclusive lock alone writes nothing, so it may be had.
            connection.execute(sql)
        with pytest.raises(lumocrypt.KeyRequiredError):
            connection.execute("CREATE TABLE t (a)")
        connection.close()
        assert not path.exists() or path.stat().st_size == 0, sql
    connection = lumocrypt.connect(path, isolation_level=None)
    assert connection.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall() == [("ok",)]
    connection.execute("CREATE TABLE t (a)")
    status = json.loads(connection.execute("PRAGMA lumo_status").fetchone()[0])
    assert status["encrypted"]
    connection.close()
    assert b"SQLite format" not in path.read_bytes()
    plain = sqlite3.connect(tmp_path / "plain.db")
    assert plain.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall() == []
    plain.close()


@pytest.mark.parametrize("io", ["map", "pread"])
def test_damage_fails_at_once_trap_17(tmp_path: Path, io: str) -> None:
    """Trap 17: only reads that a checkpointer may disturb are tried again, and a few times only."""
    path = make(tmp_path / "a.db", rows=300)
    for block, attempts in ((0, 64), (20, 4)):
        copy = crashed(path, tmp_path / f"block-{block}-{io}")
        flip(copy, slot_at(block, 4096) + 9)
        before = lumocrypt.stats()["unauthentic"]
        with pytest.raises(lumocrypt.TamperedError) as caught, opened(copy, io=io) as connection:
            connection.execute("SELECT sum(length(data)) FROM t").fetchone()
        assert caught.value.block == block
        assert 0 < lumocrypt.stats()["unauthentic"] - before <= attempts
