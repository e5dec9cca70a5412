"""Ways to open a database: read-only, immutable, without locks, exclusively, over named VFSs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.crash import crashed
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
    outcome,
)

SIDES = [("plain.db", None), ("encrypted.db", RAW)]


def uri(path: Path, parameters: str) -> str:
    return f"file:{path}?{parameters}"


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_read_only(tmp_path: Path, journal_mode: str) -> None:
    found = []
    for name, raw in SIDES:
        path = make(tmp_path / name, raw, journal_mode=journal_mode)
        before = path.read_bytes()
        with opened(uri(path, "mode=ro"), raw, uri=True) as connection:
            found.append(
                [outcome(connection, sql) for sql in ("SELECT count(*) FROM t", "DELETE FROM t", "VACUUM")]
            )
            assert_sound(connection)
        assert path.read_bytes() == before
    assert found[0] == found[1]
    assert found[1][:2] == [[(100,)], "attempt to write a readonly database"]


def test_read_only_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(uri(tmp_path / "a.db", "mode=ro"), uri=True)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(uri(tmp_path / "a.db", "mode=rw"), uri=True)
    assert list(tmp_path.iterdir()) == []


READ = """
import sqlite3, sys
sys.path[:0] = {path!r}
from support.sql_database import connect, outcome
connection = connect(sys.argv[2], bytes.fromhex(sys.argv[1]) or None, uri=True)
print([outcome(connection, sql) for sql in ("SELECT count(*) FROM t", "DELETE FROM t")])
"""


def _unprivileged() -> list[str] | None:
    """What makes a command respect permissions."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        return None
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.skipif(_unprivileged() is None, reason="root, and no setpriv to give its powers up")
@pytest.mark.parametrize("parameters", ["", "mode=ro", "immutable=1"])
@pytest.mark.parametrize("state", ["delete", "wal", "wal-open"])
def test_read_only_folder(tmp_path: Path, state: str, parameters: str) -> None:
    """The file 0444 in a folder 0555; a WAL may lie there with or without frames."""
    found = []
    for name, raw in SIDES:
        folder = tmp_path / f"folder-{name}"
        folder.mkdir()
        path = make(tmp_path / name, raw, journal_mode=state.partition("-")[0])
        live = connect(path, raw)
        live.execute("PRAGMA wal_autocheckpoint=0")
        if state == "wal-open":
            add(live, 20)
        for file in tmp_path.glob(f"{name}*"):
            if state == "wal-open" or file == path:
                shutil.copyfile(file, folder / file.name)
                (folder / file.name).chmod(0o444)
        live.close()
        folder.chmod(0o555)
        command = [
            *(_unprivileged() or []),
            sys.executable,
            "-c",
            READ.format(path=[str(Path(__file__).parents[1])]),
        ]
        done = subprocess.run(
            [*command, (raw or b"").hex(), uri(folder / name, parameters)],
            capture_output=True,
            text=True,
            check=False,
        )
        folder.chmod(0o755)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1]


def test_immutable(tmp_path: Path) -> None:
    """No locks, no logs: what is in the WAL is not seen, as without encryption."""
    found = []
    for name, raw in SIDES:
        path = make(tmp_path / name, raw, journal_mode="wal")
        with opened(path, raw) as live:
            add(live, 50)
            assert count(live) == 150
            live.execute("BEGIN IMMEDIATE")
            with opened(uri(path, "immutable=1"), raw, uri=True) as connection:
                found.append(outcome(connection, "SELECT count(*) FROM t"))
                found.append(outcome(connection, "DELETE FROM t"))
            live.execute("ROLLBACK")
    assert found == [[(100,)], "attempt to write a readonly database"] * 2


def test_nolock(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with opened(path) as live:
        live.execute("BEGIN EXCLUSIVE")
        with opened(uri(path, "nolock=1"), uri=True) as connection:
            assert count(connection) == 100
        live.execute("ROLLBACK")
    with opened(uri(path, "nolock=1"), uri=True) as connection:
        add(connection, 30)
        # Its next reads start without any xLock: what it kept in memory must be looked at again.
        with opened(path) as other:
            add(other, 30)
        assert count(connection) == 160
        assert_sound(connection)
    assert_verified(path)


def test_exclusive_wal_needs_no_shared_memory_hazard_19(tmp_path: Path, peer: Callable[..., Peer]) -> None:
    path = make(tmp_path / "a.db")
    with opened(path) as connection:
        connection.execute("PRAGMA locking_mode=exclusive")
        assert connection.execute("PRAGMA journal_mode=wal").fetchone() == ("wal",)
        connection.execute("PRAGMA cache_size=5")
        for _ in range(3):
            add(connection, 200)
            connection.execute("BEGIN")
            add(connection, 200)
            connection.execute("UPDATE t SET data = zeroblob(800)")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA wal_checkpoint")
        assert not path.with_name("a.db-shm").exists()
        assert peer(path, RAW).run("SELECT count(*) FROM t")["message"] == "database is locked"
        crash = crashed(path, tmp_path / "crash")
        wanted = content(connection)
    for file in (path, crash):
        with opened(file) as connection:
            assert content(connection) == wanted
        assert_verified(file)


@pytest.mark.parametrize("base", ["unix", "unix-dotfile", "unix-excl", "unix-none"])
@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "memory", "wal"])
def test_named_base_vfs(tmp_path: Path, base: str, journal_mode: str) -> None:
    """Whatever the base cannot do (WAL without shared memory) is refused as it is without encryption."""
    found = []
    for name, raw in SIDES:
        with opened(uri(tmp_path / name, f"vfs={base}"), raw, uri=True) as connection:
            answers = [connection.execute(f"PRAGMA journal_mode={journal_mode}").fetchall()]
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
            add(connection, 100)
            connection.execute("BEGIN")
            connection.execute("DELETE FROM t WHERE id > 50")
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA locking_mode=exclusive")
            answers.append(connection.execute("PRAGMA journal_mode=wal").fetchall())
            add(connection, 100)
            found.append((answers, content(connection)))
            if raw:
                assert connection.execute("PRAGMA lumo_status").fetchall()
        with opened(tmp_path / name, raw) as connection:
            assert count(connection) == 200
            assert_sound(connection)
    assert found[0] == found[1]
    assert_verified(tmp_path / "encrypted.db")


def test_no_such_base_vfs(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such vfs"):
        connect(uri(tmp_path / "a.db", "vfs=nonsense"), uri=True)


@pytest.mark.parametrize("io", ["map", "pread"])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_users_mmap_size(tmp_path: Path, io: str, journal_mode: str, peer: Callable[..., Peer]) -> None:
    """SQLite must never read ciphertext from a map of its own; file size and content change under it."""
    path = make(tmp_path / "a.db", journal_mode=journal_mode, rows=500)
    other = peer(path, RAW)
    with opened(path, io=io) as connection:
        connection.execute("PRAGMA mmap_size=268435456")
        assert_sound(connection)
        for turn in range(5):
            other.run("INSERT INTO t (name, data) SELECT name, randomblob(2000) FROM t LIMIT 200")
            assert count(connection) == 500 + 200 * (turn + 1)
            connection.execute("UPDATE t SET data = zeroblob(100) WHERE id % 5 = ?", (turn,))
            assert other.run("SELECT sum(length(data)) FROM t")["rows"] == [
                list(connection.execute("SELECT sum(length(data)) FROM t").fetchone())
            ]
            connection.execute("PRAGMA mmap_size=0" if turn % 2 else "PRAGMA mmap_size=1000000")
        other.run("DELETE FROM t WHERE id > 10")
        other.run("VACUUM")
        assert count(connection) == 10
        assert_sound(connection)
    assert_verified(path)


def test_every_opened_file_is_counted(tmp_path: Path) -> None:
    before = lumocrypt.stats()
    path = make(tmp_path / "a.db")
    with opened(path), opened(path):
        found = lumocrypt.stats()
        assert found["open"] == before["open"] + 2
    assert lumocrypt.stats()["open"] == before["open"]
    assert lumocrypt.stats()["opened"] == before["opened"] + 3
