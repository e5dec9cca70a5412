"""APSW, with an SQLite library of its own, beside the standard library's in one process and between two."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt
from support.peers import Peer
from support.sql_database import OTHER_RAW, RAW, assert_verified, count, make, opened

KEY_PRAGMA = f"PRAGMA lumo_key = \"x'{RAW.hex()}'\""


@pytest.fixture
def connect() -> Iterator[Callable[..., apsw.Connection]]:
    """Opens with APSW; closed at the end, before the interpreter may collect them in any order."""
    lumocrypt.load(apsw.Connection(":memory:"))
    connections: list[apsw.Connection] = []

    def open_one(path: Path, pragma: str | None = KEY_PRAGMA, parameters: str = "") -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection(f"file:{path}?vfs=lumocrypt{parameters}", flags=flags)
        connections.append(connection)
        if pragma is not None:
            assert connection.execute(pragma).fetchall() == [("ok",)]
        return connection

    yield open_one
    for connection in connections:
        connection.close()


def workload(run: Callable[[str], list[tuple[object, ...]]]) -> list[object]:
    """The same on either library; what it returns must be equal."""
    found: list[object] = []
    for mode in ("delete", "wal", "persist", "truncate"):
        found.append(run(f"PRAGMA journal_mode={mode}"))
        run("PRAGMA cache_size=3")
        run("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
        run("BEGIN")
        run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
            "INSERT INTO t (name, data) SELECT 'row ' || i, zeroblob(i * 10) FROM n"
        )
        run("SAVEPOINT s")
        run("DELETE FROM t WHERE id % 2")
        run("ROLLBACK TO s")
        run("UPDATE t SET data = zeroblob(77) WHERE id % 3 = 0")
        run("COMMIT")
        run("CREATE INDEX IF NOT EXISTS by_name ON t (name, data)")
        found.append(
            run("SELECT name, count(*), sum(length(data)) FROM t GROUP BY name ORDER BY max(data), name")
        )
        run("DELETE FROM t WHERE id % 5 = 0")
        run("VACUUM")
        found.append(run("PRAGMA integrity_check"))
    found.append(run("SELECT id, name, hex(data) FROM t ORDER BY id"))
    return found


def test_the_same_workload_side_by_side(tmp_path: Path, connect: Callable[..., apsw.Connection]) -> None:
    assert apsw.sqlite_lib_version() != sqlite3.sqlite_version or "the same version, but another copy"
    theirs = connect(tmp_path / "apsw.db")
    with opened(tmp_path / "stdlib.db") as ours:
        found = workload(lambda sql: theirs.execute(sql).fetchall())
        assert workload(lambda sql: ours.execute(sql).fetchall()) == found
    theirs.close()
    assert [("ok",)] in found
    for name in ("apsw.db", "stdlib.db"):
        assert_verified(tmp_path / name)
    # Each opens the other's file.
    again = connect(tmp_path / "stdlib.db")
    with opened(tmp_path / "apsw.db") as ours:
        sql = "SELECT id, name, hex(data) FROM t ORDER BY id"
        assert again.execute(sql).fetchall() == ours.execute(sql).fetchall() == found[-1]


def test_keys(tmp_path: Path, connect: Callable[..., apsw.Connection]) -> None:
    path = make(tmp_path / "a.db")
    before = path.read_bytes()
    with pytest.raises(apsw.AuthError):
        connect(path, f"PRAGMA lumo_key = \"x'{OTHER_RAW.hex()}'\"")
    with pytest.raises(apsw.AuthError):
        connect(path, None).execute("SELECT * FROM t")
    with pytest.raises(apsw.AuthError):
        connect(path, None).execute("CREATE TABLE x (a)")
    with pytest.raises(apsw.AuthError):
        connect(tmp_path / "new.db", None).execute("CREATE TABLE x (a)")
    late = connect(path, None)
    with pytest.raises(apsw.AuthError):
        late.execute("SELECT count(*) FROM t")
    assert late.execute(KEY_PRAGMA).fetchall() == [("ok",)]
    assert late.execute("SELECT count(*) FROM t").fetchall() == [(100,)]
    uri = connect(path, None, f"&lumo_key=x'{RAW.hex()}'")
    assert uri.execute("SELECT count(*) FROM t").fetchall() == [(100,)]
    assert path.read_bytes() == before
    plain = make(tmp_path / "plain.db", None)
    with pytest.raises(apsw.NotADBError):
        connect(plain, None).execute("SELECT * FROM t")


def test_a_changed_byte(tmp_path: Path, connect: Callable[..., apsw.Connection]) -> None:
    path = make(tmp_path / "a.db", rows=300)
    content = bytearray(path.read_bytes())
    content[65536 + 20 * 4136 + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(apsw.IOError) as caught:
        connect(path).execute("SELECT sum(length(data)) FROM t").fetchall()
    assert caught.value.extendedresult == apsw.SQLITE_IOERR_DATA


@pytest.mark.parametrize("apsw_is_here", [True, False])
def test_wal_between_libraries_in_two_processes(
    tmp_path: Path, connect: Callable[..., apsw.Connection], peer: Callable[..., Peer], apsw_is_here: bool
) -> None:
    """One WAL, one wal-index: two versions of SQLite take turns, with checkpoints and rollbacks between."""
    path = make(tmp_path / "a.db", journal_mode="wal")
    if apsw_is_here:
        other = peer(path, RAW)
        here = connect(path)

        def mine(sql: str) -> list[list[object]]:
            return [list(row) for row in here.execute(sql).fetchall()]

        def theirs(sql: str) -> list[list[object]]:
            return other.run(sql)["rows"]
    else:
        process = _ApswProcess(path)
        stdlib = lumocrypt.connect(path, key=lumocrypt.Key.raw(RAW), isolation_level=None)

        def mine(sql: str) -> list[list[object]]:
            return [list(row) for row in stdlib.execute(sql).fetchall()]

        def theirs(sql: str) -> list[list[object]]:
            return process.run(sql)

    total = 100
    for turn in range(12):
        for run, look in ((mine, theirs), (theirs, mine)):
            run("BEGIN IMMEDIATE")
            run("INSERT INTO t (name, data) SELECT name, zeroblob(900) FROM t LIMIT 20")
            run("ROLLBACK")
            run("INSERT INTO t (name, data) SELECT name, zeroblob(500) FROM t LIMIT 15")
            total += 15
            if turn % 3 == 0:
                run("PRAGMA wal_checkpoint(TRUNCATE)")
            elif turn % 3 == 1:
                run("PRAGMA wal_checkpoint(RESTART)")
            assert look("SELECT count(*) FROM t") == run("SELECT count(*) FROM t") == [[total]]
            assert look("PRAGMA integrity_check") == [["ok"]]
    if not apsw_is_here:
        process.close()
        stdlib.close()
    with opened(path) as connection:
        assert count(connection) == total


_PROCESS = """
import sys, json, apsw, lumocrypt
lumocrypt.load(apsw.Connection(":memory:"))
key = sys.stdin.readline().strip()
connection = apsw.Connection("file:" + sys.argv[1] + "?vfs=lumocrypt",
    flags=apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE)
connection.execute(f"PRAGMA lumo_key = \\"x'{key}'\\"").fetchall()
for line in sys.stdin:
    print(json.dumps(connection.execute(json.loads(line)).fetchall()), flush=True)
connection.close()
"""


class _ApswProcess:
    """APSW in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROCESS, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._send(RAW.hex())

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def run(self, sql: str) -> list[list[object]]:
        import json

        assert self._process.stdout is not None
        self._send(json.dumps(sql))
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0
