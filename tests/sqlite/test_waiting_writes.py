"""Blocks wait for each other before they are written: what must hold all the same."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt

RAW = b"w" * 32


def connect(path: Path, **parameters: str) -> sqlite3.Connection:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    key = lumocrypt.Key.raw(RAW)
    return lumocrypt.connect(f"file:{path}?{query}", key=key, uri=True, isolation_level=None)


def test_the_size_is_looked_at_anew_in_each_transaction_without_locks(tmp_path: Path) -> None:
    """With nolock=1 nothing but the look at the change counter announces that others made the file longer."""
    path = tmp_path / "app.db"
    with contextlib.closing(connect(path)) as connection:
        connection.execute("CREATE TABLE t (a, b)")
    with (
        contextlib.closing(connect(path, nolock="1")) as first,
        contextlib.closing(connect(path, nolock="1")) as second,
    ):
        first.execute("INSERT INTO t VALUES (1, zeroblob(3000))")
        for number, connection in enumerate([second, first, second, first], 2):
            assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1 + (number - 2) * 50
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO t VALUES (?, zeroblob(3000))", [(number,)] * 50)
            connection.execute("COMMIT")
    with contextlib.closing(connect(path)) as connection:
        counts = connection.execute("SELECT a, count(*) FROM t GROUP BY a").fetchall()
        assert counts == [(1, 1), (2, 50), (3, 50), (4, 50), (5, 50)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


FULL = """
import resource, signal, sys
import lumocrypt

path, journal, limit, cache = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(b"w" * 32), isolation_level=None)
connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
connection.execute(f"PRAGMA cache_size={cache}")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    connection.execute("BEGIN")
    for number in range(300):
        connection.execute("INSERT INTO t VALUES (?, randomblob(2000), 0)", (10_000 + number,))
        connection.execute("UPDATE t SET v = v + 1 WHERE a = ?", (number * 2,))
    connection.execute("COMMIT")
    print("committed")
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize("journal", ["delete", "persist"])
def test_a_transaction_that_a_full_disk_ends_leaves_nothing(tmp_path: Path, journal: str) -> None:
    original, path = tmp_path / "original.db", tmp_path / "app.db"
    with contextlib.closing(connect(original)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b, v)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, randomblob(2000), 0)", ((n,) for n in range(600)))
        connection.execute("COMMIT")
    size = original.stat().st_size
    for more in range(0, 60_000, 5_000):
        for cache in (10, 20):
            shutil.copy(original, path)
            command = [sys.executable, "-c", FULL, str(path), journal, str(size + more), str(cache)]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            assert "committed" not in said
            with contextlib.closing(connect(path)) as connection:
                assert connection.execute("SELECT count(*), sum(v) FROM t").fetchall() == [(600, 0)]
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert lumocrypt.verify(path, key=lumocrypt.Key.raw(RAW)).ok


def test_a_free_list_that_leads_in_circles_does_not_exhaust_a_rollback(tmp_path: Path) -> None:
    clear, path = tmp_path / "clear.db", tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(clear, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE k (a)")
        connection.executemany("INSERT INTO k VALUES (?)", [("y" * 3000,)] * 300)
        connection.execute("CREATE TABLE t (a)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (zeroblob(4000))", [()] * 2000)
        connection.execute("COMMIT")
        connection.execute("DROP TABLE t")
    content = bytearray(clear.read_bytes())
    (trunk,) = struct.unpack_from(">I", content, 32)
    struct.pack_into(">I", content, 36, 0xFFFFFFFF)
    struct.pack_into(">I", content, (trunk - 1) * 4096, trunk)
    clear.write_bytes(content)
    lumocrypt.encrypt(clear, path, key=lumocrypt.Key.raw(RAW))
    if os.fork() == 0:
        connection = connect(path)
        connection.execute("PRAGMA cache_size=5")
        connection.execute("BEGIN")
        connection.execute("UPDATE k SET a = ?", ("x" * 3000,))
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    assert path.with_name("app.db-journal").stat().st_size > 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.closing(connect(path)) as connection:
        assert connection.execute("SELECT count(*), min(a), max(a) FROM k").fetchall() == [
            (300, "y" * 3000, "y" * 3000)
        ]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
