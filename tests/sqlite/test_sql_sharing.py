"""One database, several users: connections, threads, processes, forked children."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support import sql_worker
from support.peers import Peer
from support.sql_database import (
    RAW,
    add,
    assert_sound,
    assert_verified,
    connect,
    count,
    make,
    opened,
    outcome,
)

SHARED_MODES = ["delete", "truncate", "persist", "wal"]


@pytest.mark.parametrize("journal_mode", SHARED_MODES)
def test_connections_see_each_others_commits(tmp_path: Path, journal_mode: str) -> None:
    path = make(tmp_path / "a.db", journal_mode=journal_mode)
    connections = [connect(path, io=io) for io in ("map", "pread", "map")]
    for turn in range(30):
        writer = connections[turn % 3]
        add(writer, 10, size=300 * (turn % 4) + 10)
        if turn % 5 == 4:
            writer.execute("DELETE FROM t WHERE id % 3 = 0")
        found = [
            connection.execute("SELECT count(*), sum(id) FROM t").fetchone() for connection in connections
        ]
        assert found[0] == found[1] == found[2]
    for connection in connections:
        assert_sound(connection)
        connection.close()
    assert_verified(path)


def _in_threads(work: Callable[[int], None], number: int = 4) -> None:
    errors: list[BaseException] = []

    def run(which: int) -> None:
        try:
            work(which)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_threads_with_a_connection_each(tmp_path: Path, journal_mode: str) -> None:
    path = tmp_path / "a.db"
    sql_worker.create(path, journal_mode)

    def work(worker: int) -> None:
        with opened(path, timeout=60, io="map" if worker % 2 else "pread") as connection:
            for number in range(25):
                sql_worker.transfer(connection, worker, number)
                assert sql_worker.total(connection) == sql_worker.ACCOUNTS * sql_worker.START

    _in_threads(work)
    with opened(path) as connection:
        assert count(connection, "log") == 4 * 25
        assert_sound(connection)
    assert_verified(path)


@pytest.mark.skipif(sqlite3.threadsafety != 3, reason="this SQLite is not built serialized")
def test_threads_share_one_connection(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", rows=0)
    # Without a cache: out of it two threads may be handed the same statement, which Python does not lock.
    with opened(path, check_same_thread=False, cached_statements=0) as connection:
        connection.execute("PRAGMA synchronous=off")

        def work(which: int) -> None:
            for number in range(50):
                connection.execute(
                    "INSERT INTO t (name, data) VALUES (?, zeroblob(900))", (f"{which} {number}",)
                )
                connection.execute("SELECT max(id), sum(length(data)) FROM t").fetchone()

        _in_threads(work)
        assert count(connection) == 4 * 50
        assert connection.execute("SELECT count(DISTINCT name) FROM t").fetchone() == (200,)
        assert_sound(connection)


@pytest.mark.parametrize("journal_mode", ["delete", "persist", "wal"])
def test_processes_keep_every_acknowledged_commit(tmp_path: Path, journal_mode: str) -> None:
    """Two writers and a reader; one writer is killed in the middle."""
    path = tmp_path / "a.db"
    sql_worker.create(path, journal_mode)
    spawn = multiprocessing.get_context("spawn")
    stop = tmp_path / "stop"
    notes = [tmp_path / f"acknowledged-{worker}" for worker in range(2)]
    writers = [
        spawn.Process(target=sql_worker.write, args=(str(path), worker, str(stop), str(note)))
        for worker, note in enumerate(notes)
    ]
    reader = spawn.Process(target=sql_worker.read, args=(str(path), str(stop)))
    for process in (*writers, reader):
        process.start()
    _wait_for(lambda: min(len(_numbers(note)) for note in notes) > 40)
    writers[0].kill()
    alone = len(_numbers(notes[1]))
    _wait_for(lambda: len(_numbers(notes[1])) > alone + 20)
    stop.touch()
    for process in (*writers, reader):
        process.join(60)
    assert [process.exitcode for process in (*writers, reader)] == [-9, 0, 0]
    with opened(path, timeout=60) as connection:
        for worker, note in enumerate(notes):
            rows = connection.execute(
                "SELECT number FROM log WHERE worker = ? ORDER BY 1", (worker,)
            ).fetchall()
            found = [number for (number,) in rows]
            acknowledged = _numbers(note)
            assert found[: len(acknowledged)] == acknowledged
            # A commit may have happened whose acknowledgement was killed.
            assert len(found) <= len(acknowledged) + 1
        assert sql_worker.total(connection) == sql_worker.ACCOUNTS * sql_worker.START
        assert_sound(connection)
    assert_verified(path)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _numbers(note: Path) -> list[int]:
    # The last line may be cut off by the kill.
    return [int(line) for line in note.read_text().split("\n")[:-1]] if note.exists() else []


BUSY_STEPS = [
    (0, "BEGIN IMMEDIATE"),
    (1, "BEGIN IMMEDIATE"),
    (1, "SELECT count(*) FROM t"),
    (0, "INSERT INTO t (name) VALUES ('x')"),
    (1, "INSERT INTO t (name) VALUES ('y')"),
    (1, "BEGIN"),
    (1, "SELECT count(*) FROM t"),
    (0, "COMMIT"),
    (1, "SELECT count(*) FROM t"),
    (1, "INSERT INTO t (name) VALUES ('z')"),
    (1, "COMMIT"),
    (0, "COMMIT"),
    (1, "SELECT count(*) FROM t"),
    (1, "BEGIN EXCLUSIVE"),
    (0, "SELECT count(*) FROM t"),
    (0, "PRAGMA wal_checkpoint(TRUNCATE)"),
    (1, "ROLLBACK"),
    (0, "BEGIN"),
    (0, "SELECT count(*) FROM t"),
    (1, "PRAGMA journal_mode=delete"),
    (1, "VACUUM"),
    (0, "ROLLBACK"),
    (1, "PRAGMA journal_mode=delete"),
    (1, "PRAGMA locking_mode=exclusive"),
    (1, "INSERT INTO t (name) VALUES ('w')"),
    (0, "SELECT count(*) FROM t"),
    (1, "PRAGMA locking_mode=normal"),
    (1, "SELECT count(*) FROM t"),
    (0, "SELECT count(*) FROM t"),
]


@pytest.mark.parametrize("journal_mode", SHARED_MODES)
def test_busy_as_without_encryption(tmp_path: Path, journal_mode: str) -> None:
    outcomes: list[list[object]] = []
    for name, raw in (("plain.db", None), ("encrypted.db", RAW)):
        path = make(tmp_path / name, raw, journal_mode=journal_mode)
        pair = [connect(path, raw, timeout=0) for _ in range(2)]
        outcomes.append([(sql, outcome(pair[who], sql)) for who, sql in BUSY_STEPS])
        for connection in pair:
            connection.close()
    assert outcomes[0] == outcomes[1]
    assert any(answer == "database is locked" for _, answer in outcomes[0])


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_busy_between_processes(tmp_path: Path, journal_mode: str, peer: Callable[..., Peer]) -> None:
    path = make(tmp_path / "a.db", journal_mode=journal_mode)
    other = peer(path, RAW)
    with opened(path, timeout=0) as connection:
        assert other.run("BEGIN IMMEDIATE") == {"rows": []}
        assert outcome(connection, "BEGIN IMMEDIATE") == "database is locked"
        assert count(connection) == 100
        assert other.run("INSERT INTO t (name) VALUES ('theirs')") == {"rows": []}
        other.run("COMMIT")
        assert count(connection) == 101
        connection.execute("BEGIN EXCLUSIVE")
        assert other.run("DELETE FROM t")["message"] == "database is locked"
        connection.execute("ROLLBACK")
        other.run("DELETE FROM t")
        assert count(connection) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_reopen(tmp_path: Path) -> None:
    """A child keeps the unlocked key but must open its own connection, as with any SQLite."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    lumocrypt.unlock(path, lumocrypt.Key.raw(RAW))
    parent = lumocrypt.connect(path, isolation_level=None)
    assert count(parent) == 100
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            mine = lumocrypt.connect(path, isolation_level=None, timeout=10)
            add(mine, 50)
            os.write(write_end, json.dumps(count(mine)).encode())
            status = 0
        finally:
            os._exit(status)
    add(parent, 50)
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(os.read(read_end, 100)) in (150, 200)
    assert count(parent) == 200
    assert_sound(parent)
    parent.close()
    assert lumocrypt.lock(path)
    for end in (read_end, write_end):
        os.close(end)
    assert_verified(path)
