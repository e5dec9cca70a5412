"""The thread that writes the batches of large transactions: what it must not change."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import lumocrypt

RAW = b"t" * 32
KEY = lumocrypt.Key.raw(RAW)
TASKS = Path("/proc/self/task")
#: In a row of the tests' table. Two rows and a bit to a page of 4096 bytes, thirty pages to a batch.
ROW = 1500

pytestmark = pytest.mark.skipif(
    not TASKS.exists() or (os.cpu_count() or 1) < 2, reason="there is a second thread on Linux with two cores"
)


def connect(path: Path, journal: str = "wal", **options: Any) -> sqlite3.Connection:
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None, **options)
    connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
    connection.execute("PRAGMA cache_size=20")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, v BLOB, n)")
    return connection


def insert(connection: sqlite3.Connection, numbers: range) -> None:
    connection.executemany(
        "INSERT INTO t VALUES (?, randomblob(?), 0)", ((number, ROW) for number in numbers)
    )


def writers() -> list[str]:
    """The names of the engine's threads in this process."""
    names: list[str] = []
    for task in TASKS.iterdir():
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name.startswith("lumocrypt-wri")]


def whole(connection: sqlite3.Connection, count: int) -> bool:
    found = connection.execute("SELECT count(*), sum(length(v)) FROM t").fetchone()
    return found == (count, count * ROW if count else None) and connection.execute(
        "PRAGMA integrity_check"
    ).fetchall() == [("ok",)]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own. That it forks with threads is meant."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("io", ["map", "pread"])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_it_is_there_in_large_transactions_and_gone_after_them(tmp_path: Path, journal: str, io: str) -> None:
    """Programs that fork between transactions have one thread less to fear for."""
    with contextlib.closing(connect(tmp_path / "app.db", journal, io=io)) as connection:
        for number, end in enumerate(["COMMIT", "ROLLBACK", "COMMIT"]):
            connection.execute("BEGIN")
            insert(connection, range(number * 1000, number * 1000 + 800))
            assert len(writers()) == 1
            # What was spilled is read from wherever it is by now.
            spilled = "SELECT count(*), min(length(v)) FROM t WHERE a >= ?"
            assert connection.execute(spilled, [number * 1000]).fetchone() == (800, ROW)
            connection.execute("UPDATE t SET n = n + 1 WHERE a % 3 = 0")
            connection.execute(end)
            assert writers() == []
        assert whole(connection, 1600)
        assert connection.execute("SELECT sum(n) FROM t").fetchone() == (267 * 2 + 267,)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert writers() == []
        insert(connection, range(5000, 5005))
        assert writers() == []
    with contextlib.closing(connect(tmp_path / "app.db", journal)) as connection:
        assert whole(connection, 1605)
    assert lumocrypt.verify(tmp_path / "app.db", key=KEY).ok


def test_a_checkpoint_is_in_the_file_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with contextlib.closing(connect(path)) as connection:
        connection.execute("BEGIN")
        insert(connection, range(2000))
        connection.execute("COMMIT")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        (tmp_path / "copy.db").write_bytes(path.read_bytes())
    with contextlib.closing(connect(tmp_path / "copy.db")) as copy:
        assert whole(copy, 2000)


def test_other_connections_never_see_half_of_it(tmp_path: Path) -> None:
    """In WAL mode readers go on beside it, and in every transaction they find all of a commit or nothing."""
    path, seen, stop = tmp_path / "app.db", set[int](), threading.Event()

    def read() -> None:
        with contextlib.closing(connect(path)) as reader:
            while not stop.is_set():
                seen.add(reader.execute("SELECT count(*) FROM t").fetchone()[0])

    with contextlib.closing(connect(path)) as connection:
        thread = threading.Thread(target=read)
        thread.start()
        try:
            for number in range(12):
                connection.execute("BEGIN")
                insert(connection, range(number * 500, number * 500 + 500))
                connection.execute("ROLLBACK" if number % 3 == 2 else "COMMIT")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            stop.set()
            thread.join()
        assert seen <= set(range(0, 4001, 500))
        assert whole(connection, 4000)


FORKS = """
import os, sys
import lumocrypt

path, journal = sys.argv[1:]
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(b"t" * 32), isolation_level=None)
connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
connection.execute("PRAGMA cache_size=20")
connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, v BLOB, n)")
children = []
connection.execute("BEGIN")
for number in range(3000):
    connection.execute("INSERT INTO t VALUES (?, randomblob(1500), 0)", (number,))
    if number % 300 == 299:
        child = os.fork()
        if not child:
            # SQLite forbids a child to use the connection; that its interpreter ends is no use.
            del connection
            os._exit(0)
        children.append(child)
connection.execute("COMMIT")
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
print(connection.execute("SELECT count(*) FROM t").fetchone()[0])
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_fork_in_the_middle_harms_neither_process(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "app.db"
    done = run(FORKS, path, journal)
    assert (done.returncode, done.stdout.strip()) == (0, "3000"), done.stderr
    with contextlib.closing(connect(path, journal)) as connection:
        assert whole(connection, 3000)


CHILD = """
import os, sqlite3, sys, time
import lumocrypt

path, journal = sys.argv[1:]
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(b"t" * 32), isolation_level=None)
connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
connection.execute("PRAGMA cache_size=20")
connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, v BLOB, n)")
insert = "INSERT INTO t (v) VALUES (randomblob(1500))"
connection.execute("BEGIN")
for number in range(800):
    connection.execute(insert)
child = os.fork()
if not child:
    try:
        for number in range(800):
            connection.execute(insert)
        connection.execute("COMMIT")
    except sqlite3.Error:
        pass
    connection.close()
    os._exit(0)
for _ in range(3000):
    if os.waitpid(child, os.WNOHANG)[0]:
        break
    time.sleep(0.01)
else:
    os.kill(child, 9)
    sys.exit("the child hangs")
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_child_that_goes_on_all_the_same_does_not_hang(tmp_path: Path, journal: str) -> None:
    """SQLite forbids it, and what becomes of the file is anyone's guess; the child must come to an end."""
    done = run(CHILD, tmp_path / "app.db", journal)
    assert done.returncode == 0, done.stderr


def test_a_connection_goes_from_thread_to_thread(tmp_path: Path) -> None:
    """Whoever ends a transaction need not be who began it."""
    path = tmp_path / "app.db"
    with contextlib.closing(connect(path, check_same_thread=False)) as connection:
        for number in range(10):
            connection.execute("BEGIN")
            insert(connection, range(number * 400, number * 400 + 400))
            thread = threading.Thread(target=connection.execute, args=["COMMIT"])
            thread.start()
            thread.join(60)
            assert not thread.is_alive()
        assert whole(connection, 4000)


def test_in_exclusive_mode_a_rollback_leaves_nothing_to_the_next_transaction(tmp_path: Path) -> None:
    """No lock tells of that rollback: what it left does not count, and the thread goes with the next."""
    path = tmp_path / "app.db"
    with contextlib.closing(connect(path)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        insert(connection, range(10))
        for number in range(3):
            connection.execute("BEGIN")
            insert(connection, range(1000, 1800))
            connection.execute("UPDATE t SET n = 7")
            connection.execute("ROLLBACK")
            insert(connection, range(10 + number, 11 + number))
            assert writers() == []
            assert whole(connection, 11 + number)
    with contextlib.closing(connect(path)) as connection:
        assert whole(connection, 13)
        assert connection.execute("SELECT sum(n) FROM t").fetchone() == (0,)


SIGNALS = """
import signal, sys, threading
import lumocrypt

handled = []
signal.signal(signal.SIGALRM, lambda *_: handled.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
connection = lumocrypt.connect(sys.argv[1], key=lumocrypt.Key.raw(b"t" * 32), isolation_level=None)
connection.execute("PRAGMA journal_mode=wal").fetchall()
connection.execute("PRAGMA cache_size=20")
connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, v BLOB, n)")
blocked = set()
connection.execute("BEGIN")
for number in range(4000):
    connection.execute("INSERT INTO t VALUES (?, randomblob(1500), 0)", (number,))
    if number % 500 == 499:
        import pathlib
        for task in pathlib.Path("/proc/self/task").iterdir():
            status = (task / "status").read_text()
            if "lumocrypt-wri" in status:
                blocked.add(next(line for line in status.splitlines() if line.startswith("SigBlk")))
connection.execute("COMMIT")
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(handled) > 0, [int(line.split()[1], 16) >> (signal.SIGALRM - 1) & 1 for line in blocked])
print(connection.execute("PRAGMA integrity_check").fetchone()[0])
"""


def test_signals_are_the_hosts_and_not_the_threads(tmp_path: Path) -> None:
    """A handler of the host runs in the host's threads."""
    done = run(SIGNALS, tmp_path / "app.db")
    assert done.stdout.split("\n")[:2] == ["True [1]", "ok"], done.stderr


FULL = """
import resource, signal, sqlite3, sys
import lumocrypt

path, journal, limit = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(b"t" * 32), isolation_level=None)
connection.execute("PRAGMA cache_size=20")
before = connection.execute("SELECT count(*), sum(n) FROM t").fetchone()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
connection.execute("BEGIN")
try:
    connection.execute("UPDATE t SET n = n + 1")
    numbers = ((number,) for number in range(9000, 20000))
    connection.executemany("INSERT INTO t VALUES (?, randomblob(1500), 0)", numbers)
    print("no error")
except sqlite3.OperationalError as error:
    print(error)
if connection.in_transaction:
    connection.execute("ROLLBACK")
assert connection.execute("SELECT count(*), sum(n) FROM t").fetchone() == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
connection.execute("UPDATE t SET n = n + 1")
print(connection.execute("PRAGMA integrity_check").fetchone()[0])
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("megabytes", [6, 9])
def test_a_disk_that_fills_up_behind_its_back_ends_the_transaction(
    tmp_path: Path, journal: str, megabytes: int
) -> None:
    """The thread meets the full disk; SQLite hears of it, rolls back, and goes on when there is room."""
    path = tmp_path / "app.db"
    with contextlib.closing(connect(path, journal)) as connection:
        connection.execute("BEGIN")
        insert(connection, range(2000))
        connection.execute("COMMIT")
    done = run(FULL, path, journal, megabytes << 20)
    error, *rest = done.stdout.splitlines()
    assert ("disk I/O error" in error or "full" in error, rest) == (True, ["ok"]), done.stdout + done.stderr
    with contextlib.closing(connect(path, journal)) as connection:
        assert whole(connection, 2000)
        assert connection.execute("SELECT sum(n) FROM t").fetchone() == (2000,)
    assert lumocrypt.verify(path, key=KEY).ok


CHECKPOINT = """
import resource, signal, sqlite3, sys
import lumocrypt

path, limit = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
connection = lumocrypt.connect(path, key=lumocrypt.Key.raw(b"t" * 32), isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
count = "SELECT count(*), sum(length(v)) FROM t"
before = connection.execute(count).fetchone()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
for _ in range(3):
    try:
        print(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    except sqlite3.OperationalError as error:
        print("refused")
    assert connection.execute(count).fetchone() == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert connection.execute(count).fetchone() == before
print(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
print(connection.execute("PRAGMA integrity_check").fetchone()[0])
"""


def test_a_checkpoint_that_the_thread_cannot_write_leaves_the_pages_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    connection = connect(path)
    connection.execute("BEGIN")
    insert(connection, range(2000))
    connection.execute("COMMIT")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    # As a crash leaves it: the last connection to close would do the checkpoint.
    for suffix in ("", "-wal"):
        (crashed / f"app.db{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    connection.close()
    done = run(CHECKPOINT, crashed / "app.db", 1 << 20)
    assert done.stdout.splitlines() == ["refused"] * 3 + ["(0, 0, 0)", "ok"], done.stderr
    with contextlib.closing(connect(crashed / "app.db")) as connection:
        assert whole(connection, 2000)
